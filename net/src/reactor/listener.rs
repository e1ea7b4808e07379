//! Listening sockets: a few accepts in flight each, and what to do when accepting fails.
//!
//! An accept that ended is armed again at the end of the turn, if there is a free descriptor for what it will
//! bring. After an error that isn't one connection's own (no descriptors, no memory) the reactor waits
//! [`ACCEPT_PAUSE`] before it tries again, so that a full system isn't spun on.

use super::buffers::Lent;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::time::Duration;

/// Accepts in flight per listener; also the most connections a listener brings in one turn.
pub(super) const ACCEPTS: usize = 16;
/// How long accepting rests after an error.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted.
pub(super) const BACKLOG: i32 = 4096;

/// Where the kernel writes a peer's address: a `sockaddr_storage` and its length.
#[repr(C, align(8))]
pub(super) struct Address {
    bytes: [u8; 128],
    len: u32,
}

impl Address {
    fn new() -> Address {
        Address { bytes: [0; 128], len: 128 }
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

/// One accept: in flight, or waiting to be armed.
pub(super) struct Accept {
    pub armed: bool,
    pub address: Lent<Box<Address>>,
}

pub(super) struct Listener {
    /// `None` once accepting has stopped and no accept is in flight.
    pub socket: Option<TcpListener>,
    pub accepts: Vec<Accept>,
    /// Whether the accepts in flight were told to end.
    pub cancelled: bool,
    /// It listens on every address, so that each connection has to be asked which one it reached.
    pub is_wild: bool,
}

impl Listener {
    pub fn new(socket: TcpListener) -> Listener {
        let accept = || Accept { armed: false, address: Lent::new(Box::new(Address::new())) };
        let is_wild = socket.local_addr().is_ok_and(|address| address.ip().is_unspecified());
        let accepts = (0..ACCEPTS).map(|_| accept()).collect();
        Listener { socket: Some(socket), accepts, cancelled: false, is_wild }
    }

    pub fn is_armed(&self) -> bool {
        self.accepts.iter().any(|accept| accept.armed)
    }
}

/// Which listener and which of its accepts a tag's index means.
pub(super) fn split_index(index: u32) -> (usize, usize) {
    (index as usize / ACCEPTS, index as usize % ACCEPTS)
}

/// The inverse of [`split_index`].
pub(super) fn join_index(listener: usize, accept: usize) -> u32 {
    (listener * ACCEPTS + accept) as u32
}

/// Whether an accept failed for a reason of that one connection, so that the next may be tried at once.
pub(super) fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::EPROTO | libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_read() {
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
    fn an_accepts_index_names_its_listener() {
        assert_eq!(split_index(join_index(3, 7)), (3, 7));
    }
}
