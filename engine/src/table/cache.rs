//! Decoded blocks of paged and compressed tables, within a budget of bytes.
//!
//! CLOCK with a small counter: a hit raises a block's counter, the hand lowers it and takes blocks at zero. A
//! block enters at zero, so what a scan reads once leaves before what point reads came back for. One
//! insertion looks at a bounded number of blocks and then takes the coldest it saw. A block that somebody
//! else holds is never evicted: that would free nothing. The newest block always stays, even over budget. A large one,
//! which would drive all others out, stays beside the budget and only until the next block comes.

use super::block::Block;
use super::found::{BlockRef, Found};
use crate::key::{Expiry, Stamp};
use hashbrown::HashTable;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Highest counter: how many rounds of the hand a hot block survives.
const HOT: u8 = 3;
/// Blocks that one eviction looks at.
const LOOKS: usize = 64;
/// Memory of a block besides its own: slot, look-up table, allocation.
const OVERHEAD: usize = 96;
/// A block of more than this part of the budget is large.
const LARGE_PART: usize = 8;
/// End of a list of slots.
const NONE: u32 = u32::MAX;

/// An entry in a cached block, by its place.
pub(crate) struct CachedEntry {
    slot: usize,
    stamp: Stamp,
    expiry: Expiry,
    value: Range<usize>,
}

impl CachedEntry {
    /// Remembers where in a block, which is in this slot, an entry was found.
    pub(super) fn new(slot: usize, block: &Block, found: Found<'_>) -> CachedEntry {
        let start = found.value.as_ptr().addr() - block.bytes().as_ptr().addr();
        let value = start..start + found.value.len();
        CachedEntry { slot, stamp: found.stamp, expiry: found.expiry, value }
    }
}

/// Blocks by table and offset.
#[derive(Debug)]
pub struct BlockCache {
    capacity: usize,
    bytes: usize,
    /// A large block that came last, and its bytes.
    large: Option<(BlockRef, usize)>,
    /// Without gaps: the last one moves into the place of one that leaves.
    slots: Vec<Slot>,
    /// Slots by table and offset.
    places: HashTable<u32>,
    /// First slot of each table's list.
    tables: HashMap<u64, u32>,
    hand: usize,
    hits: u64,
    misses: u64,
    /// Blocks kept since [`BlockCache::hold`]. Who else has a block keeps it here.
    held: Option<Vec<Arc<Block>>>,
}

#[derive(Debug)]
struct Slot {
    at: BlockRef,
    block: Arc<Block>,
    heat: u8,
    /// The table's list.
    previous: u32,
    next: u32,
}

impl BlockCache {
    /// Holds about so many bytes.
    pub fn new(capacity_bytes: usize) -> BlockCache {
        BlockCache {
            capacity: capacity_bytes,
            bytes: 0,
            large: None,
            slots: Vec::new(),
            places: HashTable::new(),
            tables: HashMap::new(),
            hand: 0,
            hits: 0,
            misses: 0,
            held: None,
        }
    }

    /// Blocks that look-ups find from now on, and that would have to be read again, stay until [`BlockCache::let_go`]: for
    /// readers that look twice.
    pub fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Ends [`BlockCache::hold`]; what is over the budget leaves.
    pub fn let_go(&mut self) {
        self.held = None;
        self.shrink(false);
    }

    /// A block, if it is there.
    pub fn get(&mut self, table: u64, offset: u64) -> Option<Arc<Block>> {
        let slot = self.find(table, offset)?;
        Some(self.slots[slot].block.clone())
    }

    /// Whether a block is there; it isn't used.
    pub fn contains(&self, at: BlockRef) -> bool {
        self.place(at.table, at.offset).is_some()
    }

    /// Puts a block in, and takes others out if the budget is exceeded.
    pub fn insert(&mut self, at: BlockRef, block: Block) -> Arc<Block> {
        let block = Arc::new(block);
        if let Some(old) = self.place(at.table, at.offset) {
            self.remove(old as usize);
        }
        self.add(at, block.clone());
        self.shrink(true);
        block
    }

    /// Drops all blocks of a table that is gone.
    pub fn forget_table(&mut self, number: u64) {
        while let Some(&slot) = self.tables.get(&number) {
            self.remove(slot as usize);
        }
    }

    /// Memory in use, blocks that others hold too included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the budget; what is over it leaves.
    pub fn set_capacity(&mut self, capacity_bytes: usize) {
        self.capacity = capacity_bytes;
        self.drop_large();
        self.shrink(false);
    }

    /// Look-ups that found their block.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Look-ups that didn't.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// The entry that a probe found a moment ago.
    pub(crate) fn resolve(&self, cached: CachedEntry) -> Found<'_> {
        let block = self.at(cached.slot).map(Block::bytes).unwrap_or_default();
        let value = block.get(cached.value).unwrap_or_default();
        Found { stamp: cached.stamp, expiry: cached.expiry, value }
    }

    /// The slot of a block; counts and remembers the hit.
    pub(super) fn find(&mut self, table: u64, offset: u64) -> Option<usize> {
        let Some(slot) = self.place(table, offset) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        let found = &mut self.slots[slot as usize];
        found.heat = (found.heat + 1).min(HOT);
        Some(slot as usize)
    }

    /// Puts a block in and says in which slot it is.
    pub(super) fn insert_at(&mut self, at: BlockRef, block: Block) -> usize {
        self.add(at, Arc::new(block));
        self.shrink(true)
    }

    /// Keeps the block in a slot, if blocks are held now.
    pub(super) fn keep(&mut self, slot: usize) {
        if let (Some(held), Some(found)) = (&mut self.held, self.slots.get(slot)) {
            held.push(found.block.clone());
        }
    }

    /// The block in a slot that [`BlockCache::find`] or [`BlockCache::insert_at`] just returned.
    pub(super) fn at(&self, slot: usize) -> Option<&Block> {
        self.slots.get(slot).map(|slot| &*slot.block)
    }

    fn place(&self, table: u64, offset: u64) -> Option<u32> {
        let is_it = |&slot: &u32| {
            let at = self.slots[slot as usize].at;
            at.table == table && at.offset == offset
        };
        self.places.find(hash(table, offset), is_it).copied()
    }

    fn add(&mut self, at: BlockRef, block: Arc<Block>) {
        self.drop_large();
        let bytes = block.memory_bytes() + OVERHEAD;
        self.bytes += bytes;
        self.large = (bytes > self.capacity / LARGE_PART).then_some((at, bytes));
        let first = self.tables.get(&at.table).copied().unwrap_or(NONE);
        let index = self.slots.len() as u32;
        self.slots.push(Slot { at, block, heat: 0, previous: NONE, next: first });
        if let Some(first) = self.slots.get_mut(first as usize) {
            first.previous = index;
        }
        self.tables.insert(at.table, index);
        let slots = &self.slots;
        self.places.insert_unique(hash(at.table, at.offset), index, |&slot| {
            let at = slots[slot as usize].at;
            hash(at.table, at.offset)
        });
    }

    /// Drops the large block that came last, if nobody else holds it; else it is one like others.
    fn drop_large(&mut self) {
        let Some((at, _)) = self.large.take() else { return };
        let place = self.place(at.table, at.offset).map(|place| place as usize);
        if let Some(place) = place.filter(|&place| Arc::strong_count(&self.slots[place].block) == 1) {
            self.remove(place);
        }
    }

    fn remove(&mut self, index: usize) {
        self.unlink(index, NONE);
        let last = self.slots.len() - 1;
        if index != last {
            self.unlink(last, index as u32);
        }
        let removed = self.slots.swap_remove(index);
        self.bytes -= removed.block.memory_bytes() + OVERHEAD;
        self.large.take_if(|(at, _)| *at == removed.at);
    }

    /// Makes everything that leads to a slot lead to `instead`, or past it if that is nothing.
    fn unlink(&mut self, index: usize, instead: u32) {
        let Slot { at, previous, next, .. } = self.slots[index];
        let (behind_previous, before_next) =
            if instead == NONE { (next, previous) } else { (instead, instead) };
        match self.slots.get_mut(previous as usize) {
            Some(previous) => previous.next = behind_previous,
            None if behind_previous == NONE => drop(self.tables.remove(&at.table)),
            None => drop(self.tables.insert(at.table, behind_previous)),
        }
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.previous = before_next;
        }
        let is_it = |&slot: &u32| slot as usize == index;
        if let Ok(mut place) = self.places.find_entry(hash(at.table, at.offset), is_it) {
            match instead {
                NONE => drop(place.remove()),
                _ => *place.get_mut() = instead,
            }
        }
    }

    /// Evicts until the budget holds, but not the newest block if it is to be kept, nor what others hold.
    /// Returns where the newest is then.
    fn shrink(&mut self, keep_newest: bool) -> usize {
        // The newest is the last slot; a removal moves the last slot into the place that became free.
        let mut newest = self.slots.len().wrapping_sub(1);
        while self.bytes - self.large.map_or(0, |(_, bytes)| bytes) > self.capacity {
            let keep = if keep_newest { newest } else { usize::MAX };
            let Some(victim) = self.coldest(keep) else { break };
            if newest == self.slots.len() - 1 {
                newest = victim;
            }
            self.remove(victim);
        }
        newest
    }

    /// Moves the hand to the first evictable block at zero, or takes the coldest of those it looked at.
    fn coldest(&mut self, keep: usize) -> Option<usize> {
        let mut best: Option<(u8, usize)> = None;
        for _ in 0..LOOKS.min(self.slots.len()) {
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[self.hand];
            if self.hand == keep || Arc::strong_count(&slot.block) > 1 {
                continue;
            }
            if slot.heat == 0 {
                return Some(self.hand);
            }
            if best.is_none_or(|(heat, _)| slot.heat < heat) {
                best = Some((slot.heat, self.hand));
            }
            slot.heat -= 1;
        }
        best.map(|(_, slot)| slot)
    }
}

fn hash(table: u64, offset: u64) -> u64 {
    let mixed = (table.rotate_left(32) ^ offset).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A raw block with one entry and a value of about 1000 bytes.
    fn block(table: u64, offset: u64) -> (BlockRef, Block) {
        let at = BlockRef { table, offset, len: 1000 };
        let mut bytes = vec![0, 0, 1, 0, 0, 0, 9, 0, 0];
        bytes.extend_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.resize(1000, 7);
        (at, Block::owned(at, bytes.into()).expect("the block is well-formed"))
    }

    fn put(cache: &mut BlockCache, table: u64, offset: u64) -> Arc<Block> {
        let (at, block) = block(table, offset);
        cache.insert(at, block)
    }

    fn has(cache: &BlockCache, table: u64, offset: u64) -> bool {
        cache.place(table, offset).is_some()
    }

    #[test]
    fn what_was_put_in_is_found_until_its_table_is_forgotten() {
        let mut cache = BlockCache::new(1 << 20);
        for i in 0..300 {
            put(&mut cache, i % 3, i);
        }
        cache.forget_table(1);
        for i in 0..300 {
            assert_eq!(cache.get(i % 3, i).map(|block| block.at().offset), (i % 3 != 1).then_some(i));
        }
        assert_eq!((cache.hits(), cache.misses()), (200, 100));
        cache.forget_table(0);
        cache.forget_table(2);
        cache.forget_table(2);
        assert_eq!((cache.bytes(), cache.slots.len(), cache.tables.len(), cache.places.len()), (0, 0, 0, 0));
    }

    #[test]
    fn it_keeps_to_its_budget_and_always_has_the_newest() {
        let mut cache = BlockCache::new(20_000);
        for i in 0..1000 {
            put(&mut cache, i % 7, i);
            assert!(cache.bytes() <= 20_000 && has(&cache, i % 7, i));
            let slot = cache.find(i % 7, i).expect("it was just put in");
            assert_eq!(cache.at(slot).map(|block| block.at().offset), Some(i));
        }
        cache.set_capacity(5000);
        assert!(cache.bytes() <= 5000);
        cache.set_capacity(0);
        assert_eq!(cache.bytes(), 0);
        let (at, block) = block(1, 1);
        let slot = cache.insert_at(at, block);
        assert!(cache.at(slot).is_some());
    }

    #[test]
    fn a_slot_that_insert_at_returns_holds_the_new_block_whatever_was_evicted() {
        let mut cache = BlockCache::new(20_000);
        for i in 0..500 {
            let (at, block) = block(i % 5, i);
            let slot = cache.insert_at(at, block);
            assert_eq!(cache.at(slot).map(|block| block.at()), Some(at));
        }
    }

    #[test]
    fn what_is_kept_while_it_holds_stays_whatever_comes() {
        let mut cache = BlockCache::new(10_000);
        put(&mut cache, 1, 0);
        cache.hold();
        let slot = cache.find(1, 0).expect("it was just put in");
        cache.keep(slot);
        for i in 1..100 {
            let (at, block) = block(2, i);
            cache.insert_at(at, block);
            assert!(has(&cache, 1, 0));
        }
        cache.let_go();
        assert!(cache.bytes() <= 10_000);
        (100..200).for_each(|i| drop(put(&mut cache, 2, i)));
        assert!(!has(&cache, 1, 0));
    }

    #[test]
    fn a_large_block_drives_no_others_out_and_goes_when_the_next_comes() {
        let mut cache = BlockCache::new(20_000);
        (0..14).for_each(|i| drop(put(&mut cache, 1, i)));
        for i in 0..100 {
            let at = BlockRef { table: 2, offset: i, len: 100_000 };
            let mut bytes = vec![0, 0, 1, 0, 0, 0, 9, 0, 0];
            bytes.extend_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0, 0]);
            bytes.resize(100_000, 7);
            let slot = cache.insert_at(at, Block::owned(at, bytes.into()).expect("the block is well-formed"));
            assert_eq!(cache.at(slot).map(Block::at), Some(at));
            assert!((0..14).all(|i| has(&cache, 1, i)) && cache.bytes() < 125_000, "{i}");
        }
        put(&mut cache, 1, 14);
        assert!((0..15).all(|i| has(&cache, 1, i)) && cache.bytes() <= 20_000);
    }

    #[test]
    fn blocks_that_are_read_again_survive_a_scan() {
        let mut cache = BlockCache::new(100_000);
        for i in 0..20 {
            put(&mut cache, 1, i);
        }
        for scanned in 0..1000 {
            (0..20).for_each(|i| drop(cache.get(1, i)));
            put(&mut cache, 2, scanned);
        }
        assert!((0..20).all(|i| has(&cache, 1, i)));
    }

    #[test]
    fn a_block_that_somebody_holds_is_not_evicted() {
        let mut cache = BlockCache::new(10_000);
        let held = put(&mut cache, 1, 0);
        for i in 0..1000 {
            put(&mut cache, 2, i);
        }
        assert!(has(&cache, 1, 0));
        drop(held);
        for i in 1000..2000 {
            put(&mut cache, 2, i);
        }
        assert!(!has(&cache, 1, 0));
    }

    #[test]
    fn putting_a_block_in_twice_keeps_one() {
        let mut cache = BlockCache::new(10_000);
        put(&mut cache, 1, 0);
        let bytes = cache.bytes();
        put(&mut cache, 1, 0);
        assert_eq!(cache.bytes(), bytes);
    }
}
