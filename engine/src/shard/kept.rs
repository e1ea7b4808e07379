//! Reads that whoever asked has no room for.
//!
//! 1. Before a value of some size leaves, the shard asks [`Answers::has_room`]. Where there is none it keeps the rest of the
//!    read, with the moment that it sees, and answers [`Answer::Waits`] with its name.
//! 2. [`Op::GoOn`] with that name goes on where it stopped, at that same moment: whatever was written since, the read comes to
//!    what it would have come to at once. [`Shard::forget`] ends it.
//!
//! So the keys of one partition are read at one moment however slowly their values leave, and a value takes no memory
//! before there is room for it. Flushes and merges keep what kept reads can see, as for those that wait for blocks; and they
//! share the memory for requests that wait. What expires and what is overwritten stays on disk for them, so none is kept for longer
//! than [`KEPT_MS_MAX`], whether its client reads slowly or not at all.

use super::flow::Target;
use super::owned::OwnedOp;
use super::view::Moment;
use crate::group::groups::Place;
use crate::key::Version;
use std::collections::HashMap;

/// The moment that a kept read sees is let go after so many milliseconds of shard time.
const KEPT_MS_MAX: u64 = 600_000;

/// A read that stopped before a value.
#[derive(Debug)]
pub(super) struct Kept {
    pub target: Target,
    /// What is left of it.
    pub op: OwnedOp,
    pub at: Moment,
}

impl Kept {
    pub fn bytes(&self) -> usize {
        size_of::<Kept>() + self.op.bytes()
    }
}

/// All kept reads, by name.
#[derive(Debug, Default)]
pub(super) struct KeptReads {
    reads: HashMap<u64, Kept>,
    next: u64,
    bytes: usize,
}

impl KeptReads {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.bytes == 0
    }

    pub fn insert(&mut self, kept: Kept) -> u64 {
        self.next += 1;
        self.bytes += kept.bytes();
        self.reads.insert(self.next, kept);
        self.next
    }

    pub fn remove(&mut self, read: u64) -> Option<Kept> {
        let kept = self.reads.remove(&read)?;
        self.bytes -= kept.bytes();
        Some(kept)
    }

    /// Lets those go that see what was too long ago, by the times of their groups.
    pub fn drop_old(&mut self, now_ms: impl Fn(Place) -> u64) {
        self.reads.retain(|_, kept| kept.at.now_ms + KEPT_MS_MAX > now_ms(kept.target.place));
        self.bytes = self.reads.values().map(Kept::bytes).sum();
    }

    /// Memory that they take, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The earliest time that one of them sees, milliseconds.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.reads.values().map(|kept| kept.at.now_ms).min()
    }

    /// The versions that merges must keep for them.
    pub fn pins(&self) -> impl Iterator<Item = (Place, Version)> {
        self.reads.values().map(|kept| (kept.target.place, kept.at.view.version))
    }
}
