//! Finds a key's cell by its hash: one probe for a point read, found or not.
//!
//! 64 open-addressing tables, chosen by the low bits of the hash, each growing by itself, so that no single
//! insert pays for moving more than 1/64 of the slots. A slot holds the upper half of the hash and the
//! cell's reference: growing never touches a key, and a wrong key is looked at once in 4 billion slots.

use super::arena::Ref;

const TABLES: usize = 64;
const FIRST_SLOTS: usize = 8;
const EMPTY: u64 = u64::MAX;

/// The tables.
pub(super) struct HashIndex {
    tables: Box<[Slots; TABLES]>,
    bytes: usize,
}

#[derive(Default)]
struct Slots {
    slots: Vec<u64>,
    used: usize,
}

impl HashIndex {
    /// No keys yet.
    pub(super) fn new() -> HashIndex {
        HashIndex { tables: Box::new(std::array::from_fn(|_| Slots::default())), bytes: 0 }
    }

    /// The cell with this hash that `is_it` recognises.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(Ref) -> bool) -> Option<Ref> {
        let slots = self.tables[hash as usize % TABLES].slots.as_slice();
        let mask = slots.len().checked_sub(1)?;
        let tag = (hash >> 32) as u32;
        let mut at = tag as usize & mask;
        loop {
            let slot = slots[at];
            if slot == EMPTY {
                return None;
            }
            let cell = Ref(slot as u32);
            if (slot >> 32) as u32 == tag && is_it(cell) {
                return Some(cell);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds the cell of a key that isn't there yet.
    pub(super) fn insert(&mut self, hash: u64, cell: Ref) {
        let table = &mut self.tables[hash as usize % TABLES];
        if (table.used + 1) * 4 > table.slots.len() * 3 {
            self.bytes += table.grow() * size_of::<u64>();
        }
        table.place(((hash >> 32) << 32) | u64::from(cell.0));
        table.used += 1;
    }

    /// Memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + size_of::<[Slots; TABLES]>()
    }
}

impl Slots {
    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// Doubles, and returns by how many slots.
    fn grow(&mut self) -> usize {
        let before = self.slots.len();
        let larger = vec![EMPTY; (self.slots.len() * 2).max(FIRST_SLOTS)];
        let old = std::mem::replace(&mut self.slots, larger);
        for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
            self.place(slot);
        }
        self.slots.len() - before
    }
}
