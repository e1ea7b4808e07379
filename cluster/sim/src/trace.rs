//! The trace of a run: a running hash of everything that happened, in order.
//!
//! Two runs of a seed that come to the same hash did the same things. The latest events are kept for reports.

use std::collections::VecDeque;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Events kept.
const KEPT: usize = 40;

/// Something that happened. Numbers are cores, clients or sizes, as the name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A core began a turn.
    Turn,
    /// A core took a connection of a client.
    Accepted,
    /// A core was presented bytes of a client.
    Presented,
    /// A client sent.
    Sent,
    /// A client received.
    Received,
    /// A connection of a client ended.
    Disconnected,
    /// A disk ended a request of a core.
    Completed,
    /// A disk failed a request of a core.
    Failed,
    /// A job of a core ended.
    JobDone,
    /// A job of a core failed.
    JobFailed,
    /// A fault struck, by number.
    Fault,
    /// The node went down.
    Down,
    /// The node serves.
    Up,
    /// A shard couldn't be opened.
    Refused,
    /// Time passed.
    Time,
    /// An attempt to reshard ended.
    Resharded,
    /// Files of a shard vanished.
    Lost,
    /// A connection that a core began is there.
    Connected,
    /// One that a core began came to nothing.
    NotConnected,
    /// Something happened on a connection between nodes.
    Carried,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    latest: VecDeque<(Event, u64, u64)>,
}

impl Trace {
    /// Adds an event with two numbers.
    pub fn add(&mut self, event: Event, a: u64, b: u64) {
        let mut bytes = [0; 17];
        bytes[0] = event as u8;
        bytes[1..9].copy_from_slice(&a.to_le_bytes());
        bytes[9..].copy_from_slice(&b.to_le_bytes());
        self.hash = xxh3_64_with_seed(&bytes, self.hash);
        self.events += 1;
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back((event, a, b));
    }

    /// Adds bytes that travelled.
    pub fn add_bytes(&mut self, event: Event, who: u64, bytes: &[u8]) {
        self.hash = xxh3_64_with_seed(bytes, self.hash);
        self.add(event, who, bytes.len() as u64);
    }

    /// The hash of all so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (event, a, b) in &self.latest {
            write!(f, "{event:?}({a},{b}) ")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_events_and_every_byte_count() {
        let hash = |events: &[(Event, u64, u64)]| {
            let mut trace = Trace::default();
            events.iter().for_each(|&(event, a, b)| trace.add(event, a, b));
            trace.hash()
        };
        let (one, other) = ((Event::Turn, 1, 2), (Event::Sent, 1, 2));
        assert_eq!(hash(&[one, other]), hash(&[one, other]));
        assert_ne!(hash(&[one, other]), hash(&[other, one]));
        assert_ne!(hash(&[one]), hash(&[(Event::Turn, 2, 1)]));
    }
}
