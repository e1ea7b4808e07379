//! What a read sees that doesn't come to its end in one turn.
//!
//! 1. A [`View`] is a version and a [`Mark`], a place in the order in which entries come into the memtables. It sees what has at most
//!    that version and came in before that place: an entry that comes late, with a lower version than others before it, is
//!    not seen by views that were there already.
//! 2. Memtables are numbered as they are filled. Of the one that was active when the view was taken it sees a part, of
//!    those before it all, of those after it nothing.
//! 3. What is in tables is seen by version: flushes and merges keep what views need by theirs ([`super::horizons`]). That is enough while the
//!    versions of a group rise from entry to entry. Groups whose entries come late must do more where a memtable is
//!    flushed that has such an entry behind an open view: hold the memtable and the tree of before for it.
//!
//! The incarnation that a view reads is in the keys that its reader carries.

use crate::key::{RangeTombstone, Version};
use crate::memtable::{Memtable, MemtableView, Position};

/// A place in the order in which entries come into the memtables of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the memtable that was active.
    memtable: u64,
    position: Position,
}

impl Mark {
    /// Behind all that is there or will be.
    pub const NEVER: Mark = Mark { memtable: u64::MAX, position: Position::ALL };

    /// Behind all that is in the active memtable, of this number, and in those before it.
    pub fn behind(memtable: u64, active: &Memtable) -> Mark {
        Mark { memtable, position: active.position() }
    }

    /// What of a memtable came in before.
    #[inline]
    pub fn part_of(self, number: u64, memtable: &Memtable) -> Option<MemtableView<'_>> {
        let position = if number < self.memtable { Position::ALL } else { self.position };
        (number <= self.memtable).then(|| memtable.up_to(position))
    }

    /// The range tombstones of a memtable that came in behind.
    pub fn ranges_behind(self, number: u64, memtable: &Memtable) -> &[RangeTombstone] {
        let before = self.part_of(number, memtable).map_or(0, |part| part.range_tombstones().len());
        &memtable.range_tombstones()[before..]
    }

    /// Whether a range tombstone of a memtable, by its number in order of arrival, came in before.
    pub fn has_range(self, (memtable, range): (u64, usize)) -> bool {
        memtable < self.memtable || memtable == self.memtable && self.position.has_range(range)
    }
}

/// What a read sees of the data, whenever it reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub version: Version,
    pub mark: Mark,
}

impl View {
    /// Everything, for a read that is answered at once.
    pub const NEWEST: View = View { version: Version::MAX, mark: Mark::NEVER };
}

/// What a read sees: a view of the data, of which nothing has expired by a time. A request that came later on the same key
/// may be answered first, so a read that waits must not see more has expired than when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub view: View,
    pub now_ms: u64,
    /// What has expired by this time has done so for good; of what has only by `now_ms`, nobody is told before the group's log says so.
    pub sure_ms: u64,
}

/// As of when a read sees the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The newest state at the time of the call, pending writes included (it waits for them).
    Newest,
    /// The state that was the newest when the request arrived; all of it is applied.
    At(Moment),
}

impl Reader {
    /// Whether what it reads may depend on what has expired so lately that the group's log is to say so first.
    pub fn is_unsure(self) -> bool {
        matches!(self, Reader::At(at) if at.sure_ms < at.now_ms)
    }

    /// The time that it goes by, if it isn't that of its answer, milliseconds.
    pub fn now_ms(self) -> Option<u64> {
        if let Reader::At(at) = self { Some(at.now_ms) } else { None }
    }
}
