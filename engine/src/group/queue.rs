//! Entries of one group that are persisted and not applied: by index, with what waits for them.
//!
//! The queue is also an overlay: the newest pending state of a key is found in it, so that conditional updates see it and
//! reads know to wait. Nothing is copied for that: a slot points into an entry's encoded batch.

use super::target::Applicable;
use crate::key::{Incarnation, Kind, Partition, Prefix, user_key};
use crate::log::EntryType;
use crate::log::batch::{Batch, BatchOp, op_at};
use crate::log::entry::Entry;
use crate::once::Once;
use crate::table::key_hash;
use hashbrown::HashTable;
use std::collections::{HashSet, VecDeque};

/// An entry that waits.
#[derive(Clone, Debug)]
pub struct Queued<W> {
    /// The entry.
    pub entry: Entry,
    /// Who waits for it to be applied.
    pub waiting: Vec<W>,
    /// Memory of those, bytes.
    waiting_bytes: usize,
}

/// Where a pending write of a key stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    index: u64,
    offset: usize,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Queue<W> {
    partition: Partition,
    incarnation: Incarnation,
    entries: VecDeque<Queued<W>>,
    bytes: usize,
    /// Memory of those who wait, of all entries.
    waiting_bytes: usize,
    overlay: HashTable<Slot>,
    /// Deletions of ranges: usually none.
    ranges: Vec<Slot>,
    /// Client and number of those requests that are to be done once.
    once: HashSet<(u128, u64)>,
}

impl<W> Queued<W> {
    /// One that nobody waits for yet.
    pub fn new(entry: Entry) -> Queued<W> {
        Queued { entry, waiting: Vec::new(), waiting_bytes: 0 }
    }

    /// As it is to be applied.
    pub fn applicable(&self) -> Applicable<'_> {
        let Entry { index, entry, origin, ref payload, .. } = self.entry;
        Applicable { index, entry, origin, payload }
    }
}

impl<W> Queue<W> {
    /// One without entries, of a group whose keys have this partition and incarnation.
    pub(super) fn new(partition: Partition, incarnation: Incarnation) -> Queue<W> {
        Queue {
            partition,
            incarnation,
            entries: VecDeque::new(),
            bytes: 0,
            waiting_bytes: 0,
            overlay: HashTable::new(),
            ranges: Vec::new(),
            once: HashSet::new(),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at an index, if it waits.
    pub fn get(&self, index: u64) -> Option<&Queued<W>> {
        let first = self.entries.front()?.entry.index;
        self.entries.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// The index of the first entry that waits.
    pub fn first(&self) -> Option<u64> {
        self.entries.front().map(|first| first.entry.index)
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the entries' batches.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Has somebody wait until all is applied that is here now, who takes so much memory.
    pub fn wait(&mut self, who: W, bytes: usize) {
        if let Some(newest) = self.entries.back_mut() {
            newest.waiting.push(who);
            newest.waiting_bytes += bytes;
            self.waiting_bytes += bytes;
        }
    }

    /// Has somebody wait until all up to an index is applied, who takes so much memory; hands back who asks for one that doesn't wait.
    pub fn wait_for(&mut self, index: u64, who: W, bytes: usize) -> Result<(), W> {
        let first = self.first().unwrap_or(u64::MAX);
        let place = index.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let Some(queued) = place.and_then(|place| self.entries.get_mut(place)) else { return Err(who) };
        queued.waiting.push(who);
        queued.waiting_bytes += bytes;
        self.waiting_bytes += bytes;
        Ok(())
    }

    /// The entries, in their order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|queued| &queued.entry)
    }

    /// Memory of those who wait, bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Those who wait.
    pub fn all_waiting(&self) -> impl Iterator<Item = &W> {
        self.entries.iter().flat_map(|queued| &queued.waiting)
    }

    /// Takes out some of those who wait: `take` does so for each entry, and says how much memory they took.
    pub fn take_waiting(&mut self, mut take: impl FnMut(&mut Vec<W>) -> usize) {
        for queued in &mut self.entries {
            let bytes = take(&mut queued.waiting);
            queued.waiting_bytes -= bytes;
            self.waiting_bytes -= bytes;
        }
    }

    /// The newest pending operation that is about a stored key, a deletion of a range around it too; `None` if there is none.
    pub fn newest(&self, key: &[u8], hash: u64) -> Option<BatchOp<'_>> {
        let own = self.overlay.find(hash, |slot| self.is_of(slot, hash, key)).map(|slot| self.op(slot));
        let ranges = self.ranges.iter().map(|slot| self.op(slot)).filter(|op| self.covers(op, key));
        ranges.chain(own).max_by_key(|op| op.version)
    }

    /// Adds an entry behind those that wait.
    pub(super) fn push(&mut self, queued: Queued<W>) {
        debug_assert!(self.entries.back().is_none_or(|last| last.entry.index < queued.entry.index));
        self.bytes += queued.entry.payload.len();
        self.waiting_bytes += queued.waiting_bytes;
        self.entries.push_back(queued);
        self.note(self.entries.len() - 1);
    }

    /// Puts the entry back that was taken first: one that nobody sees before it is applied.
    pub(super) fn put_back(&mut self, queued: Queued<W>) {
        let entry = &queued.entry;
        debug_assert!(
            entry.origin != 0 && self.entries.front().is_none_or(|next| entry.index < next.entry.index)
        );
        self.bytes += entry.payload.len();
        self.waiting_bytes += queued.waiting_bytes;
        self.entries.push_front(queued);
    }

    /// Takes the first entry, if it is at or before an index.
    pub(super) fn pop_up_to(&mut self, index: u64) -> Option<Queued<W>> {
        if self.entries.front()?.entry.index > index {
            return None;
        }
        for slot in self.slots(0) {
            let is_it = |other: &Slot| other.index == slot.index && other.offset == slot.offset;
            if let Ok(found) = self.overlay.find_entry(slot.hash, is_it) {
                found.remove();
            }
        }
        if !self.once.is_empty() {
            self.requests(0).iter().for_each(|once| {
                self.once.remove(once);
            });
        }
        let first = self.entries.pop_front()?;
        self.ranges.retain(|slot| slot.index != first.entry.index);
        self.bytes -= first.entry.payload.len();
        self.waiting_bytes -= first.waiting_bytes;
        Some(first)
    }

    /// Takes the entries behind an index.
    pub(super) fn cut_behind(&mut self, index: u64) -> Vec<Queued<W>> {
        let from = self.entries.partition_point(|queued| queued.entry.index <= index);
        let cut: Vec<_> = self.entries.drain(from..).collect();
        if !cut.is_empty() {
            self.bytes -= cut.iter().map(|queued| queued.entry.payload.len()).sum::<usize>();
            self.waiting_bytes -= cut.iter().map(|queued| queued.waiting_bytes).sum::<usize>();
            // What they hid is the newest again.
            self.overlay.clear();
            self.ranges.clear();
            self.once.clear();
            (0..self.entries.len()).for_each(|at| self.note(at));
        }
        cut
    }

    /// Whether a request waits that is to be done once.
    pub fn has(&self, once: &Once) -> bool {
        self.once.contains(&(once.client, once.number))
    }

    /// The requests of an entry that are to be done once.
    fn requests(&self, at: usize) -> Vec<(u128, u64)> {
        let entry = &self.entries[at].entry;
        if entry.entry != EntryType::Normal || entry.origin != 0 {
            return Vec::new();
        }
        let batch = Batch::parse(&entry.payload).expect("a batch that was encoded here decodes");
        let section = batch.section().expect("a batch that was encoded here decodes");
        let rows =
            section.into_iter().flatten().map(|row| row.expect("a batch that was encoded here decodes"));
        rows.map(|row| (row.once.client, row.once.number)).collect()
    }

    /// Makes an entry's operations and requests findable.
    fn note(&mut self, at: usize) {
        self.once.extend(self.requests(at));
        for slot in self.slots(at) {
            let op = self.op(&slot);
            if op.kind == Kind::RangeTombstone {
                self.ranges.push(slot);
                continue;
            }
            let mut key = Vec::with_capacity(Prefix::LEN + op.key.len());
            self.prefix(&op).stored_key(op.key, &mut key);
            match self.overlay.find(slot.hash, |other| self.is_of(other, slot.hash, &key)).copied() {
                Some(older) => {
                    let is_older = |other: &Slot| (other.index, other.offset) == (older.index, older.offset);
                    if let Some(found) = self.overlay.find_mut(slot.hash, is_older) {
                        *found = slot;
                    }
                }
                None => {
                    self.overlay.insert_unique(slot.hash, slot, |slot| slot.hash);
                }
            }
        }
    }

    /// Where an entry's operations stand.
    fn slots(&self, at: usize) -> Vec<Slot> {
        let entry = &self.entries[at].entry;
        if entry.entry != EntryType::Normal || entry.origin != 0 {
            return Vec::new();
        }
        let mut ops = Batch::parse(&entry.payload).expect("a batch that was encoded here decodes").ops();
        let (mut slots, mut key) = (Vec::new(), Vec::new());
        loop {
            let offset = entry.payload.len() - ops.bytes_left();
            let Some(Ok(op)) = ops.next() else { return slots };
            self.prefix(&op).stored_key(op.key, &mut key);
            slots.push(Slot { hash: key_hash(&key), index: entry.index, offset });
        }
    }

    fn op(&self, slot: &Slot) -> BatchOp<'_> {
        let first = self.entries.front().map_or(0, |queued| queued.entry.index);
        let entry = &self.entries[(slot.index - first) as usize].entry;
        op_at(&entry.payload, slot.offset)
    }

    fn prefix(&self, op: &BatchOp<'_>) -> Prefix {
        Prefix::new(op.keyspace, self.partition, self.incarnation)
    }

    fn is_of(&self, slot: &Slot, hash: u64, key: &[u8]) -> bool {
        slot.hash == hash && {
            let op = self.op(slot);
            op.key == user_key(key) && Prefix::of(key) == Some(self.prefix(&op))
        }
    }

    /// Whether a deletion of a range is about a stored key.
    fn covers(&self, range: &BatchOp<'_>, key: &[u8]) -> bool {
        let user = user_key(key);
        Prefix::of(key) == Some(self.prefix(range))
            && range.key <= user
            && (range.value.is_empty() || user < range.value)
    }
}
