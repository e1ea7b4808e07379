//! What a core remembers of a request that it sends to another one.

use super::message::Envelope;
use pinion_engine::key::Partition;
use pinion_engine::shard::request::{Op, Request, Ticket};

/// What comes back for a request, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Parcel {
    /// When nobody waits for it any more.
    pub deadline_us: u64,
    /// Whether it changes what is stored.
    pub is_write: bool,
    /// The kept read that it goes on with, and its partition.
    pub read: Option<(Partition, u64)>,
    /// There is room for so many KiB of values in its answers.
    pub room_kib: u32,
    /// Answers still to come: one, but for [`Op::GetMany`].
    pub answers: usize,
    /// Room that was promised for them, bytes.
    pub promised: usize,
}

impl Parcel {
    /// One answer without values, to a question that changes nothing.
    pub(super) fn one(deadline_us: u64) -> Parcel {
        Parcel { deadline_us, is_write: false, read: None, room_kib: 0, answers: 1, promised: 0 }
    }

    /// What comes back for this request, where there is room for so many KiB of values. Nothing is promised.
    pub fn of(request: &Request<'_>, room_kib: u32) -> Parcel {
        let answers = match request.op {
            Op::GetMany { keys, .. } => keys.len().max(1),
            _ => 1,
        };
        let read = match request.op {
            Op::GoOn { read } => Some((request.partition, read)),
            _ => None,
        };
        let is_write = request.op.is_write();
        Parcel { is_write, read, room_kib, answers, ..Parcel::one(request.deadline_us) }
    }

    pub(super) fn envelope(&self, slot: u64) -> Envelope {
        Envelope { slot, deadline_us: self.deadline_us, room_kib: self.room_kib }
    }
}

/// A request that is ended because its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Whose.
    pub ticket: Ticket,
    /// It was never sent: it leaves the backlog.
    pub was_backlogged: bool,
    /// It may be done yet.
    pub may_be_done: bool,
    /// Room that was promised for its answer and is free now, bytes.
    pub promised: usize,
    /// A kept read that nobody goes on with now, and its partition.
    pub read: Option<(Partition, u64)>,
}
