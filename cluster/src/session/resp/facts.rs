//! What is known of a connection besides what it asks for: for CLIENT LIST and INFO.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its number, unique in the node.
    pub id: u64,
    /// From where it came.
    pub peer: Option<SocketAddr>,
    /// Which address of this server it reached.
    pub local: Option<SocketAddr>,
    /// When it came, by the clock of the turns.
    pub opened_us: u64,
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO: the library's name and version.
    pub library: (Vec<u8>, Vec<u8>),
    /// It asked for CLUSTER NODES, and was told that it talks to this core: DBSIZE and INFO tell it of this core.
    pub told_as_core: bool,
    /// What INFO says before it has counted the keys.
    pub info: String,
}

impl Facts {
    /// A connection that comes in now.
    pub fn new(id: u64, peer: SocketAddr, local: Option<SocketAddr>, now_us: u64) -> Facts {
        Facts { id, peer: Some(peer), local, opened_us: now_us, ..Facts::default() }
    }

    /// The address of this machine by which this client reaches it. Where the kernel couldn't say which it was, the one from
    /// which this machine would talk to the client: on one with several addresses that may be another.
    pub fn host(&self) -> Option<IpAddr> {
        let reached = self.local.map(|local| local.ip());
        reached.or_else(|| source_towards(self.peer?)).map(|ip| ip.to_canonical())
    }

    /// Memory of the texts that it was told about itself.
    pub fn text_bytes(&self) -> usize {
        self.name.capacity() + self.library.0.capacity() + self.library.1.capacity()
    }

    /// RESET: what it said about itself, and was told, is forgotten.
    pub fn reset(&mut self) {
        self.name.clear();
        self.library = Default::default();
        self.told_as_core = false;
    }
}

/// From which address this machine would send to another: a datagram socket is told where it would send to, and sends nothing.
fn source_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_was_reached_or_else_what_leads_to_the_client() {
        let peer = "127.0.0.1:40000".parse().unwrap();
        assert_eq!(Facts::new(1, peer, None, 0).host(), Some("127.0.0.1".parse().unwrap()));
        let mapped = "[::ffff:10.0.0.7]:7379".parse().unwrap();
        assert_eq!(Facts::new(1, peer, Some(mapped), 0).host(), Some("10.0.0.7".parse().unwrap()));
    }
}
