//! The memtable: the newest entries of a shard, ordered, in memory.
//!
//! One writer (`&mut`), any number of readers once it is frozen in an `Arc`. Three parts: an arena holds
//! keys and versions and hands out 32-bit references; a hash index finds a key's cell in
//! one probe, so point reads and new versions of a known key cost two cache misses whatever the size; a
//! B+-tree keeps the cells in order for scans and flushes and is touched only by new keys. Versions of
//! one key hang on its cell, newest first, with jumps: the newest is at hand, an older one O(log n) away.
//! Reads never allocate. Nothing is ever removed: the memtable is flushed and dropped whole. A reader that stays sees it
//! up to a [`Position`] in its arena.

mod arena;
mod hash;
mod iter;
mod record;
mod tree;
mod view;

#[cfg(test)]
mod memtable_test;
#[cfg(test)]
mod view_test;

pub use iter::MemtableIter;
pub use view::{MemtableView, Position};

use crate::key::{Entry, RangeTombstone, Version};
use crate::table::key_hash;
use arena::{Arena, Ref};
use hash::HashIndex;
use std::fmt;
use tree::Tree;

/// An ordered table of entries in memory.
pub struct Memtable {
    arena: Arena,
    index: HashIndex,
    tree: Tree,
    len: usize,
    range_tombstones: Vec<RangeTombstone>,
    range_tombstone_bytes: usize,
}

impl Default for Memtable {
    fn default() -> Memtable {
        Memtable::new()
    }
}

impl Memtable {
    /// An empty memtable, which owns next to nothing.
    pub fn new() -> Memtable {
        Memtable {
            arena: Arena::default(),
            index: HashIndex::new(),
            tree: Tree::new(),
            len: 0,
            range_tombstones: Vec::new(),
            range_tombstone_bytes: 0,
        }
    }

    /// Adds an entry. Versions may arrive in any order, rising ones are fast; a second entry of the same key
    /// and version hides the first.
    pub fn insert(&mut self, entry: Entry<'_>) {
        self.insert_hashed(entry, key_hash(entry.key));
    }

    /// [`Memtable::insert`] for a caller that knows `key_hash(entry.key)` already.
    pub fn insert_hashed(&mut self, entry: Entry<'_>, hash: u64) {
        debug_assert_eq!(hash, key_hash(entry.key));
        match self.cell(entry.key, hash) {
            Some(cell) => record::add_version(&mut self.arena, cell, entry),
            None => {
                let cell = record::add_key(&mut self.arena, entry);
                self.index.insert(hash, cell);
                self.tree.insert(&self.arena, cell);
            }
        }
        self.len += 1;
    }

    /// Adds a range tombstone. It hides nothing by itself: readers ask for [`Memtable::range_tombstones`].
    pub fn insert_range_tombstone(&mut self, tombstone: RangeTombstone) {
        self.range_tombstone_bytes +=
            tombstone.start.len() + tombstone.end.len() + 2 * size_of::<RangeTombstone>();
        self.range_tombstones.push(tombstone);
    }

    /// The newest entry of a key with a version at or below `at`, of any kind.
    pub fn get(&self, key: &[u8], at: Version) -> Option<Entry<'_>> {
        self.up_to(Position::ALL).get(key, at)
    }

    /// Where it ends now.
    pub fn position(&self) -> Position {
        Position { end: self.arena.end(), ranges: self.range_tombstones.len() }
    }

    /// What was in it when it ended there.
    #[inline]
    pub fn up_to(&self, position: Position) -> MemtableView<'_> {
        MemtableView { memtable: self, position }
    }

    /// All range tombstones, in order of arrival.
    pub fn range_tombstones(&self) -> &[RangeTombstone] {
        &self.range_tombstones
    }

    /// Entries in storage order from the first with a stored key at or after `key`.
    pub fn seek(&self, key: &[u8]) -> MemtableIter<'_> {
        self.up_to(Position::ALL).seek(key)
    }

    /// All entries in storage order.
    pub fn iter(&self) -> MemtableIter<'_> {
        self.up_to(Position::ALL).iter()
    }

    /// One of its stored keys, each as likely as the others, that this random number chooses. `None` if there are none.
    pub fn random_key(&self, dice: u64) -> Option<&[u8]> {
        self.tree.random(dice).map(|cell| record::key(&self.arena, cell))
    }

    /// Memory in use, in bytes, indexes and range tombstones included.
    pub fn bytes(&self) -> usize {
        self.arena.bytes() + self.index.bytes() + self.tree.bytes() + self.range_tombstone_bytes
    }

    /// How many entries were added, range tombstones not counted.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds neither entries nor range tombstones.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.range_tombstones.is_empty()
    }

    #[inline]
    fn cell(&self, key: &[u8], hash: u64) -> Option<Ref> {
        self.index.find(hash, |cell| record::key(&self.arena, cell) == key)
    }
}

impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.range_tombstones.len();
        write!(f, "Memtable({} entries, {ranges} range tombstones, {} bytes)", self.len, self.bytes())
    }
}
