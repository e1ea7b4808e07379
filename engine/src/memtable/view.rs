//! A memtable as it was at a moment: what was inserted later is invisible, whatever its version.

use super::arena::End;
use super::{Memtable, MemtableIter, record};
use crate::key::{Entry, RangeTombstone, Version};
use crate::table::key_hash;

/// How far a memtable was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub(super) end: End,
    /// How many range tombstones it had.
    pub(super) ranges: usize,
}

impl Position {
    /// Behind all that is in a memtable or will be.
    pub const ALL: Position = Position { end: End::NEVER, ranges: usize::MAX };

    /// Whether the memtable's range tombstone of this number, in order of arrival, was there.
    pub fn has_range(self, number: usize) -> bool {
        number < self.ranges
    }
}

/// A memtable up to a position.
#[derive(Clone, Copy, Debug)]
pub struct MemtableView<'a> {
    pub(super) memtable: &'a Memtable,
    pub(super) position: Position,
}

impl<'a> MemtableView<'a> {
    /// The newest entry of a key with a version at or below `at`, of any kind.
    pub fn get(self, key: &[u8], at: Version) -> Option<Entry<'a>> {
        self.get_hashed(key, key_hash(key), at)
    }

    /// [`MemtableView::get`] for a caller that knows `key_hash(key)` already.
    #[inline]
    pub fn get_hashed(self, key: &[u8], hash: u64, at: Version) -> Option<Entry<'a>> {
        let MemtableView { memtable, position } = self;
        let cell = memtable.cell(key, hash)?;
        record::find(&memtable.arena, cell, at, position.end)
    }

    /// Entries in storage order from the first with a stored key at or after `key`.
    pub fn seek(self, key: &[u8]) -> MemtableIter<'a> {
        MemtableIter::new(self, self.memtable.tree.seek(&self.memtable.arena, key))
    }

    /// All entries in storage order.
    pub fn iter(self) -> MemtableIter<'a> {
        MemtableIter::new(self, self.memtable.tree.first())
    }

    /// All range tombstones, in order of arrival.
    pub fn range_tombstones(self) -> &'a [RangeTombstone] {
        let all = self.memtable.range_tombstones.as_slice();
        &all[..self.position.ranges.min(all.len())]
    }

    /// Whether the memtable holds neither entries nor range tombstones, be they visible or not.
    pub fn is_empty(self) -> bool {
        self.memtable.is_empty()
    }
}
