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

use super::owned::OwnedOp;
use super::parked::{OwnedRequest, Work};
use super::request::{Answer, Answers, Op, Refusal};
use super::view::{Moment, Reader};
use super::{Flow, Shard, Stopped, Target};
use crate::group::groups::Place;
use crate::key::Version;
use std::collections::HashMap;

/// The moment that a kept read sees is let go after so many milliseconds of shard time.
const KEPT_MS_MAX: u64 = 600_000;

/// What a read is told that was kept for too long. Nobody else asks for one that isn't there.
const TOO_OLD: &str = "its client hasn't taken what was read before for ten minutes, and what there was then isn't kept for \
                       longer; ask again, and read the replies as they come";

/// A read that stopped before a value.
#[derive(Debug)]
struct Kept {
    target: Target,
    /// What is left of it.
    op: OwnedOp,
    at: Moment,
}

impl Kept {
    fn bytes(&self) -> usize {
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

    fn insert(&mut self, kept: Kept) -> u64 {
        self.next += 1;
        self.bytes += kept.bytes();
        self.reads.insert(self.next, kept);
        self.next
    }

    fn remove(&mut self, read: u64) -> Option<Kept> {
        let kept = self.reads.remove(&read)?;
        self.bytes -= kept.bytes();
        Some(kept)
    }

    /// Lets those go that see what was too long ago.
    pub fn drop_old(&mut self, now_ms: u64) {
        self.reads.retain(|_, kept| kept.at.now_ms + KEPT_MS_MAX > now_ms);
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

impl Shard {
    /// Puts the rest of a read aside that may wait: until its blocks are there, or until it is told to go on.
    pub(super) fn put_aside(
        &mut self,
        target: Target,
        mut op: OwnedOp,
        stopped: Stopped,
        out: &mut impl Answers,
    ) {
        let Stopped { from, at, cold, bytes } = stopped;
        op.skip(from);
        if !cold.is_empty() {
            let waiting = self.parked.insert(OwnedRequest { target, work: Work::Op(op) }, at, Vec::new());
            return self.wait_for_blocks(waiting, &cold, out);
        }
        let read = self.kept.insert(Kept { target, op, at });
        let partition = self.groups[target.place].id;
        out.answer(target.ticket, Answer::Waits { read, partition, bytes });
    }

    /// Goes on with a kept read; its answers are for the ticket of whoever asks now, and its deadline is theirs.
    #[inline(never)]
    pub(super) fn go_on(&mut self, asked: Target, read: u64, out: &mut impl Answers) {
        let Target { ticket, deadline_us, .. } = asked;
        let Some(Kept { target, op, at }) = self.kept.remove(read) else {
            return out.answer(ticket, Answer::Refused(Refusal::NoRoom(TOO_OLD)));
        };
        let target = Target { ticket, deadline_us, ..target };
        match op.with(|op| self.dispatch(&target, &op, Reader::At(at), out)) {
            Flow::Done => {}
            Flow::Cold(cold) => {
                self.put_aside(target, op, Stopped { from: 0, at, cold, bytes: 0 }, out);
            }
            Flow::Stopped(stopped) => self.put_aside(target, op, *stopped, out),
        }
    }

    /// Forgets a read that [`Answer::Waits`], if it is there.
    pub fn forget(&mut self, read: u64) {
        self.kept.remove(read);
    }

    /// Takes a read that stopped on its way and hasn't waited yet. Where too many wait it is refused, behind what it has
    /// answered; one that has waited goes on, for it takes no more than it did.
    #[inline(never)]
    pub(super) fn stop(&mut self, target: Target, op: &Op<'_>, stopped: Stopped, out: &mut impl Answers) {
        if self.has_too_many_parked() {
            self.counters.refused += 1;
            return out.answer(target.ticket, Answer::Refused(Refusal::Busy));
        }
        self.put_aside(target, OwnedOp::new(op), stopped, out);
    }
}
