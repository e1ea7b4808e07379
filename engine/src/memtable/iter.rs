//! Ordered reading of a memtable.

use super::arena::Ref;
use super::tree::LeafSlot;
use super::{Memtable, record};
use crate::key::Entry;

/// Cells that are looked up together: neighbours in order are strangers in memory, and this many cache misses
/// at once take little longer than one.
const AHEAD: usize = 8;

/// Entries in storage order: keys ascending, versions of a key newest first.
pub struct MemtableIter<'a> {
    memtable: &'a Memtable,
    /// Behind the cells that were looked up.
    place: LeafSlot,
    /// Cells and their newest versions, `used..filled` still to come.
    ahead: [(Ref, Ref); AHEAD],
    used: usize,
    filled: usize,
    key: &'a [u8],
    version: Ref,
}

impl<'a> MemtableIter<'a> {
    pub(super) fn new(memtable: &'a Memtable, place: LeafSlot) -> MemtableIter<'a> {
        let ahead = [(Ref::NONE, Ref::NONE); AHEAD];
        MemtableIter { memtable, place, ahead, used: 0, filled: 0, key: &[], version: Ref::NONE }
    }

    fn next_key(&mut self) -> Option<()> {
        let arena = &self.memtable.arena;
        if self.used == self.filled {
            (self.used, self.filled) = (0, 0);
            while self.filled < AHEAD {
                let Some(cell) = self.memtable.tree.next(&mut self.place) else { break };
                self.ahead[self.filled].0 = cell;
                self.filled += 1;
            }
            for (cell, newest) in &mut self.ahead[..self.filled] {
                *newest = record::newest(arena, *cell);
            }
        }
        let (cell, newest) = *self.ahead[..self.filled].get(self.used)?;
        self.used += 1;
        self.key = record::key(arena, cell);
        self.version = newest;
        Some(())
    }
}

impl<'a> Iterator for MemtableIter<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.version == Ref::NONE {
            self.next_key()?;
        }
        let arena = &self.memtable.arena;
        let entry = record::entry(arena, self.key, self.version);
        self.version = record::older(arena, self.version);
        Some(entry)
    }
}
