//! Ordered reading of a memtable.

use super::arena::Ref;
use super::tree::Place;
use super::{Memtable, record};
use crate::key::Entry;

/// Entries in storage order: keys ascending, versions of a key newest first.
pub struct MemtableIter<'a> {
    memtable: &'a Memtable,
    place: Place,
    key: &'a [u8],
    version: Ref,
}

impl<'a> MemtableIter<'a> {
    pub(super) fn new(memtable: &'a Memtable, place: Place) -> MemtableIter<'a> {
        MemtableIter { memtable, place, key: &[], version: Ref::NONE }
    }
}

impl<'a> Iterator for MemtableIter<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let arena = &self.memtable.arena;
        if self.version == Ref::NONE {
            let cell = self.memtable.tree.next(&mut self.place)?;
            self.key = record::key(arena, cell);
            self.version = record::newest(arena, cell);
        }
        let entry = record::entry(arena, self.key, self.version);
        self.version = record::older(arena, self.version);
        Some(entry)
    }
}
