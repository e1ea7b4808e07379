//! A request on its way through a shard: whom it is from, and how far it came.

use super::request::Ticket;
use super::view::Moment;
use crate::group::groups::Place;
use crate::key::Prefix;

/// Whom a request is from, until when they wait, and which keys it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub ticket: Ticket,
    pub deadline_us: u64,
    pub place: Place,
    pub prefix: Prefix,
}

/// How far a request came.
#[derive(Debug)]
pub(super) enum Flow {
    /// Answered, or waiting for its log write.
    Done,
    /// It needs blocks first; nothing has been done.
    Cold(smallvec::SmallVec<[crate::table::BlockRef; 4]>),
    /// A read depends on what has expired so lately that the group's log is to say so first; nothing is answered.
    Ticks,
    /// A read stopped on its way.
    Stopped(Box<Stopped>),
}

/// Where and why a read stopped.
#[derive(Debug)]
pub(super) struct Stopped {
    /// So many of its keys are answered.
    pub from: usize,
    /// What it sees.
    pub at: Moment,
    /// Blocks that it needs. None: it stopped for want of room.
    pub cold: smallvec::SmallVec<[crate::table::BlockRef; 4]>,
    /// The length of the value that there was no room for.
    pub bytes: usize,
}

/// Why a request parks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why<'a> {
    /// Somebody before it on its key waits.
    Turn,
    /// These blocks aren't in memory.
    Blocks(&'a [crate::table::BlockRef]),
}

/// Where the state of a key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Since {
    Applied,
    /// In an entry that waits to be applied.
    Held,
    Writing,
    Forming,
    /// Nowhere, since it has expired so lately that the group's log is to say so first.
    Ticked,
}
