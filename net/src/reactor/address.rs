//! A socket's address as the kernel has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of `sockaddr_in` and `sockaddr_in6`.
const V4_BYTES: u32 = 16;
const V6_BYTES: u32 = 28;

/// A `sockaddr_storage` and its length, for the kernel to write into or to read.
#[repr(C, align(8))]
pub(super) struct Address {
    bytes: [u8; 128],
    len: u32,
}

impl Address {
    pub fn new() -> Address {
        Address { bytes: [0; 128], len: 128 }
    }

    /// For a connect to read.
    pub fn of(address: SocketAddr) -> Address {
        let mut of = Address::new();
        let bytes = &mut of.bytes;
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, len) = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, V4_BYTES)
            }
            SocketAddr::V6(v6) => {
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, V6_BYTES)
            }
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        of.len = len;
        of
    }

    pub fn as_pointer(&self) -> (*const u8, u32) {
        (self.bytes.as_ptr(), self.len)
    }

    /// For an accept to write into.
    pub fn as_mut_pointers(&mut self) -> (*mut u8, *mut u32) {
        self.len = 128;
        (self.bytes.as_mut_ptr(), &raw mut self.len)
    }

    /// The address; the unspecified one if it is of a family other than IP.
    pub fn parse(&self) -> SocketAddr {
        let b = &self.bytes;
        let port = u16::from_be_bytes([b[2], b[3]]);
        match i32::from(u16::from_ne_bytes([b[0], b[1]])) {
            libc::AF_INET => SocketAddr::new(IpAddr::V4(Ipv4Addr::new(b[4], b[5], b[6], b[7])), port),
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
                let mut octets = [0; 16];
                octets.copy_from_slice(&b[8..24]);
                let scope = u32::from_ne_bytes([b[24], b[25], b[26], b[27]]);
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, flow, scope))
            }
            _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_read_as_the_kernel_writes_them() {
        let mut address = Address::new();
        address.bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        address.bytes[2..8].copy_from_slice(&[0x1c, 0xe8, 127, 0, 0, 1]);
        assert_eq!(address.parse(), "127.0.0.1:7400".parse().unwrap());
        address.bytes = [0; 128];
        address.bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        address.bytes[2..4].copy_from_slice(&7400_u16.to_be_bytes());
        address.bytes[23] = 1;
        assert_eq!(address.parse(), "[::1]:7400".parse().unwrap());
    }

    #[test]
    fn an_address_that_is_written_reads_as_it_was() {
        for text in ["127.0.0.1:7400", "[::1]:7400", "[fe80::1%7]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::of(address).parse(), address);
        }
    }
}
