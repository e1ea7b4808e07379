//! Who nodes are to each other, how long they wait, and how much they keep.

use std::net::SocketAddr;

/// Identity of a cluster, or of a node: that of its store.
pub type Id = [u8; 16];

/// A connection without an answer for so long is given up, microseconds.
pub const DEAD_US: u64 = 1_000_000;
/// How often a ping is sent, microseconds.
pub const PING_US: u64 = 200_000;
/// Pings of a connection that may be unanswered.
pub const PINGS_MAX: usize = 8;
/// Connections of a core that came in and haven't said yet who they are: when one more comes, the oldest of them has to go.
pub const NAMELESS_MAX: usize = 64;
/// A connection that came in and hasn't said who it is for so long is given up, microseconds.
pub const HELLO_US: u64 = 1_000_000;
/// The longest pause before a peer is called again, microseconds.
pub const PAUSE_US_MAX: u64 = 2_000_000;
/// What may be queued to be sent to a peer, bytes: more is there only if it doesn't read.
pub const QUEUED_BYTES_MAX: usize = 4 << 10;

/// Who a node is to others, and who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSettings {
    /// Its cluster.
    pub cluster: Id,
    /// The node itself.
    pub node: Id,
    /// The others.
    pub peers: Vec<Peer>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub node: Id,
    /// Where its cores are found, one after the other: it has as many.
    pub addresses: Vec<SocketAddr>,
}

/// A core of another node that begins a connection. There is one connection of each at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub node: Id,
    pub core: u16,
}

impl PeerSettings {
    /// Connections that a core may have that other nodes began: one of each core of each peer, and a few that nobody knows yet.
    pub fn guests_max(&self) -> usize {
        let cores = self.peers.iter().map(|peer| peer.addresses.len());
        cores.sum::<usize>() + NAMELESS_MAX
    }
}

/// What a core shows of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub node: Id,
    /// The connection to it that is welcome, if there is one, by the number in its hello.
    pub connection: Option<u64>,
    /// Pings that were sent over that.
    pub sent: u64,
    /// The newest of them that was answered.
    pub answered: u64,
    /// Pings that are remembered because they aren't.
    pub unanswered: usize,
    /// How long the last round took, microseconds.
    pub round_us: Option<u64>,
    /// Why it refused the last connection, if it did.
    pub refused: Option<String>,
    /// Attempts to connect, ever.
    pub attempts: u64,
    /// Messages that were of another connection, or came twice.
    pub strays: u64,
}
