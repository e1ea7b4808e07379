//! Ordered reading of a memtable.

use super::arena::Ref;
use super::tree::LeafSlot;
use super::{MemtableView, record};
use crate::key::Entry;

/// Cells that are looked up together: neighbours in order are strangers in memory, and this many cache misses
/// at once take little longer than one.
const AHEAD: usize = 8;

/// Entries in storage order: keys ascending, versions of a key newest first.
pub struct MemtableIter<'a> {
    view: MemtableView<'a>,
    /// Behind the cells that were looked up.
    place: LeafSlot,
    /// Cells and the newest version of each that is seen, `used..filled` still to come.
    ahead: [(Ref, Ref); AHEAD],
    used: usize,
    filled: usize,
    key: &'a [u8],
    version: Ref,
}

impl<'a> MemtableIter<'a> {
    pub(super) fn new(view: MemtableView<'a>, place: LeafSlot) -> MemtableIter<'a> {
        let ahead = [(Ref::NONE, Ref::NONE); AHEAD];
        MemtableIter { view, place, ahead, used: 0, filled: 0, key: &[], version: Ref::NONE }
    }

    /// To the next key; none of its versions may be seen.
    fn next_key(&mut self) -> Option<()> {
        let MemtableView { memtable, position } = self.view;
        if self.used == self.filled {
            (self.used, self.filled) = (0, 0);
            while self.filled < AHEAD {
                let Some(cell) = memtable.tree.next(&mut self.place) else { break };
                self.ahead[self.filled].0 = cell;
                self.filled += 1;
            }
            for (cell, newest) in &mut self.ahead[..self.filled] {
                *newest = record::newest(&memtable.arena, *cell, position.end);
            }
        }
        let (cell, newest) = *self.ahead[..self.filled].get(self.used)?;
        self.used += 1;
        self.key = record::key(&memtable.arena, cell);
        self.version = newest;
        Some(())
    }
}

impl<'a> Iterator for MemtableIter<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        while self.version == Ref::NONE {
            self.next_key()?;
        }
        let MemtableView { memtable, position } = self.view;
        let entry = record::entry(&memtable.arena, self.key, self.version);
        self.version = record::older(&memtable.arena, self.version, position.end);
        Some(entry)
    }
}
