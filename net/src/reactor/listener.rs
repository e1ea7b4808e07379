//! Listening sockets: a few accepts in flight each, and what to do when accepting fails.
//!
//! An accept that ended is armed again at the end of the turn, if there is a free descriptor for what it will
//! bring. After an error that isn't one connection's own (no descriptors, no memory) the reactor waits
//! [`ACCEPT_PAUSE`] before it tries again, so that a full system isn't spun on.

use super::address::Address;
use super::buffers::Lent;
use std::net::TcpListener;
use std::time::Duration;

/// Accepts in flight per listener; also the most connections a listener brings in one turn.
pub(super) const ACCEPTS: usize = 16;
/// How long accepting rests after an error.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted.
pub(super) const BACKLOG: i32 = 4096;

/// One accept: in flight, or waiting to be armed.
pub(super) struct Accept {
    /// The direct descriptor of the connection that it brings, while it is in flight.
    pub slot: Option<u32>,
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
        let accept = || Accept { slot: None, address: Lent::new(Box::new(Address::new())) };
        let is_wild = socket.local_addr().is_ok_and(|address| address.ip().is_unspecified());
        let accepts = (0..ACCEPTS).map(|_| accept()).collect();
        Listener { socket: Some(socket), accepts, cancelled: false, is_wild }
    }

    pub fn is_armed(&self) -> bool {
        self.accepts.iter().any(|accept| accept.slot.is_some())
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
    fn an_accepts_index_names_its_listener() {
        assert_eq!(split_index(join_index(3, 7)), (3, 7));
    }
}
