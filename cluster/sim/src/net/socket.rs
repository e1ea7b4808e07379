//! What one connection is, as the core's side sees it, and what is left of it for its client.

use pinion_net::reactor::ConnId;
use rand::Rng;
use rand::rngs::SmallRng;
use std::fmt;
use std::net::SocketAddr;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarEnd {
    /// A client that came in, by its number.
    Client(usize),
    /// Whoever listens there: the core began the connection.
    Address(SocketAddr),
}

impl Default for FarEnd {
    fn default() -> FarEnd {
        FarEnd::Client(usize::MAX)
    }
}

/// One connection, as the core's side sees it.
#[derive(Debug, Default)]
pub struct Socket {
    pub far: FarEnd,
    /// The other end hasn't answered yet.
    pub is_connecting: bool,
    /// On its way to the core.
    pub arriving: Vec<u8>,
    /// Presented before, and not taken.
    pub kept: Vec<u8>,
    /// Bytes that the core has taken.
    pub taken: u64,
    /// Written by the core.
    pub output: Vec<u8>,
    /// The rest of it found no room when it was last sent.
    pub is_unread: bool,
    /// On its way to the client.
    pub leaving: Vec<u8>,
    pub pauses: u32,
    /// What is kept is no use until it is so long.
    pub wanted: usize,
    /// What is charged of input and of output.
    pub input_charged: usize,
    pub output_charged: usize,
    /// Bytes moved in both directions, and in which turn that was last.
    pub moved: u64,
    pub moved_in: u64,
    /// What is kept is to be presented again.
    pub is_ready: bool,
    /// Input was left because the output was over its budget.
    pub is_stalled: bool,
    /// The core wants to know when the output is below its budget again, and that has come.
    pub wants_drained: bool,
    pub is_drained: bool,
    /// The client will send no more, and whether the core knows.
    pub is_finished: bool,
    pub told_finished: bool,
    pub is_closing: bool,
    /// The core has thrown it away.
    pub is_aborted: bool,
    /// The client is gone.
    pub is_reset: bool,
}

impl Socket {
    pub fn note_moved(&mut self, bytes: usize, turn: u64) {
        self.moved += bytes as u64;
        self.moved_in = turn;
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {} arriving, {} kept, {} output, {} leaving, {} pauses, ready {}, closing {}",
            self.far,
            self.arriving.len(),
            self.kept.len(),
            self.output.len(),
            self.leaving.len(),
            self.pauses,
            self.is_ready,
            self.is_closing
        )
    }
}

/// What a client still gets of a connection that the core has closed.
#[derive(Debug)]
pub struct Remains {
    /// Whose.
    pub client: usize,
    /// What was under way to it.
    pub bytes: Vec<u8>,
    /// Whether the core closed it after everything was sent.
    pub is_orderly: bool,
    /// How many of the client's bytes the core had taken.
    pub taken: u64,
}

/// What the other end of a connection out still gets when the core has closed it.
#[derive(Debug)]
pub struct Parted {
    /// The connection.
    pub conn: ConnId,
    /// What was under way.
    pub bytes: Vec<u8>,
}

impl Remains {
    /// Of a client that wasn't taken.
    pub(super) fn of_knock(client: usize) -> Remains {
        Remains { client, bytes: Vec::new(), is_orderly: false, taken: 0 }
    }
}

/// How many of `len` bytes come at once: mostly all, sometimes few, at least one.
pub fn piece(len: usize, rng: &mut SmallRng) -> usize {
    match rng.random_range(0..8) {
        _ if len <= 1 => len,
        0 => rng.random_range(1..=len.min(16)),
        1 | 2 => rng.random_range(1..=len),
        _ => len,
    }
}
