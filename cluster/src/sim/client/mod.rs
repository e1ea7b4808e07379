//! Simulated clients: programs that use a node. Bytes out, bytes in.
//!
//! The world carries the bytes, as slowly and in as many pieces as it likes, and tells when connections begin and end.
//! Everything a client asks and is answered goes through a [`History`], which checks it.

mod shape;

use super::model::{Checked, History, SimTime};
use rand::rngs::SmallRng;
pub use shape::WorkloadShape;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RESP2.
    Resp2,
    /// RESP3.
    Resp3,
    /// The binary protocol.
    Wire,
    /// The binary protocol with checksums over keys and values.
    WireChecked,
}

/// Where a client is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The one that any core serves; this core does.
    Shared(usize),
    /// The own port of a core.
    Core(usize),
}

/// What a client wants of its connection after sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Go on.
    Stay,
    /// Vanish: deliver what was sent as far as you like, then close, and call [`Client::disconnected`].
    Vanish,
    /// Deliver what was sent, close the sending side, and go on delivering what comes until the server closes.
    HalfClose,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    id: usize,
    dialect: Dialect,
    shape: WorkloadShape,
    port: Option<Port>,
}

impl Client {
    /// A client that isn't connected. `id` is unique.
    pub fn new(id: usize, dialect: Dialect, shape: WorkloadShape) -> Client {
        Client { id, dialect, shape, port: None }
    }

    /// A client that reads everything the history knows of once, then is [finished](Client::is_finished): for the end of
    /// a run and after recoveries.
    pub fn auditor(id: usize, dialect: Dialect) -> Client {
        Client::new(id, dialect, WorkloadShape::default())
    }

    /// Its number.
    pub fn id(&self) -> usize {
        self.id
    }

    /// What it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A new connection.
    pub fn connected(&mut self, port: Port, now: SimTime) {
        let _ = (now, &self.shape);
        self.port = Some(port);
    }

    /// The connection is gone: the server closed it, crashed, or the client vanished. What is open has an unknown outcome.
    pub fn disconnected(&mut self, history: &mut History, now: SimTime) -> Checked {
        let _ = (history, now);
        self.port = None;
        Ok(())
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.port.is_some()
    }

    /// Whether [`send`](Client::send) would send something now.
    pub fn wants_to_send(&self, history: &History) -> bool {
        let _ = history;
        false
    }

    /// Appends the next requests.
    pub fn send(
        &mut self,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) -> After {
        let _ = (now, history, rng, out);
        After::Stay
    }

    /// Takes in bytes in the order the server sent them, cut anywhere.
    pub fn received(&mut self, bytes: &[u8], now: SimTime, history: &mut History) -> Checked {
        let _ = (bytes, now, history);
        Ok(())
    }

    /// Since when its oldest request waits, in virtual microseconds, if one does.
    pub fn waits_since_us(&self) -> Option<u64> {
        None
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> usize {
        0
    }

    /// Operations issued so far, over all connections.
    pub fn issued(&self) -> u64 {
        0
    }

    /// Whether it has nothing more to ask, and no answer is missing.
    pub fn is_finished(&self) -> bool {
        true
    }
}
