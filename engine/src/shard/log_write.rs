//! Writes that are logged together, and the answers that wait for them.
//!
//! A shard has two: the *forming* one takes what arrives, the *writing* one is in flight. Each is also an overlay: the newest pending value of a key is found here,
//! so that conditional updates see it and plain reads know to wait. Nothing is copied for that: an
//! overlay slot points into the encoded batch.

use super::pending::{PendingAnswer, end_overdue};
use super::request::{Answers, Value};
use crate::due::Due;
use crate::group::groups::Place;
use crate::key::{Expiry, Keyspace, Kind, Version, user_key};
use crate::log::batch::{BatchBuilder, BatchOp};
use crate::once::Once;
use bytes::Bytes;
use hashbrown::HashTable;
use std::collections::HashSet;

/// Places for keys, and for answers, that it keeps.
const KEPT_SLOTS: usize = 4096;

/// What the name of a request takes that is to be done once, about, bytes.
const ONCE_BYTES: usize = 64;

/// Deadlines of its answers are looked at so often at most, and less often where there are many, microseconds.
const LOOK_US: u64 = 1_000;
const ANSWERS_PER_US: u64 = 4;

/// Where a pending write of a key stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    place: u32,
    offset: u32,
}

/// A pending `clear` of one keyspace of a partition.
#[derive(Clone, Copy, Debug)]
struct PendingClear {
    place: Place,
    keyspace: Keyspace,
    version: Version,
}

/// What a log write knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending<'a> {
    /// Nothing.
    Unknown,
    /// Deleted, by itself or by a clear.
    Deleted,
    /// Set.
    Value(Value<'a>),
}

/// Writes that share a log write. See the module's text.
#[derive(Debug, Default)]
pub(super) struct LogWrite {
    /// One batch per place; those of `touched` are not empty.
    batches: Vec<BatchBuilder>,
    touched: Vec<Place>,
    /// Term and index of each of those, once it is appended.
    positions: Vec<(u64, u64)>,
    overlay: HashTable<Slot>,
    clears: Vec<PendingClear>,
    /// Of the requests that are to be done once: place, client and number.
    once: HashSet<(Place, u128, u64)>,
    answers: Vec<PendingAnswer>,
    answer_bytes: usize,
    /// Of the answers.
    due: Due,
    bytes: usize,
    ops: usize,
    /// Memory of empty batches, and the most that there is to be, bytes.
    kept: usize,
    kept_max: usize,
}

impl LogWrite {
    /// One for so many places, which keeps so many bytes of memory where it is empty.
    pub fn new(places: usize, kept_max: usize) -> LogWrite {
        let batches: Vec<_> = (0..places).map(|_| BatchBuilder::new(0)).collect();
        let kept = batches.iter().map(BatchBuilder::memory_bytes).sum();
        LogWrite { batches, kept, kept_max, ..LogWrite::default() }
    }

    /// Whether nothing is to be logged.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// The groups that have something in it.
    pub fn places(&self) -> &[Place] {
        &self.touched
    }

    /// Bytes of the batches.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many writes it has.
    pub fn ops(&self) -> usize {
        self.ops
    }

    /// How many answers wait for it.
    pub fn requests(&self) -> usize {
        self.answers.len()
    }

    /// Memory of the answers that wait, bytes.
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Keeps an answer until the log write is applied.
    pub fn push_answer(&mut self, answer: PendingAnswer) {
        self.answer_bytes += answer.bytes();
        self.due.note(answer.deadline_us);
        self.answers.push(answer);
    }

    /// As [`Due::at_us`], of the answers.
    pub fn due_us(&self) -> u64 {
        self.due.at_us()
    }

    /// Ends the requests whose deadline has passed; how many.
    pub fn end_overdue(&mut self, now_us: u64, out: &mut impl Answers) -> u64 {
        if !self.due.is_over(now_us) {
            return 0;
        }
        let (mut ended, mut bytes) = (0, 0);
        let next_us = end_overdue(&mut self.answers, now_us, out, |answer| {
            ended += 1;
            bytes += answer.bytes();
        });
        self.answer_bytes -= bytes;
        // Where many wait, each for its own deadline, they aren't looked at for each.
        let rest_us = LOOK_US + self.answers.len() as u64 / ANSWERS_PER_US;
        self.due.looked(next_us, now_us, rest_us);
        ended
    }

    /// Takes the answers out, in their order.
    pub fn take_answers(&mut self) -> Vec<PendingAnswer> {
        self.answer_bytes = 0;
        self.due.forget();
        std::mem::take(&mut self.answers)
    }

    /// Takes the emptied list back, to be filled again.
    pub fn reuse_answers(&mut self, mut answers: Vec<PendingAnswer>) {
        debug_assert!(answers.is_empty() && self.answers.is_empty());
        answers.shrink_to(KEPT_SLOTS);
        self.answers = answers;
    }

    /// The batches that aren't empty, in the order of their first write.
    pub fn batches(&self) -> impl Iterator<Item = (Place, &[u8])> {
        self.touched.iter().map(|&place| (place, self.batches[place].bytes()))
    }

    /// As [`LogWrite::batches`], with the terms and indexes that they were given as entries.
    pub fn entries(&self) -> impl Iterator<Item = (Place, (u64, u64), &[u8])> {
        let batches = self.batches();
        batches.zip(&self.positions).map(|((place, payload), &position)| (place, position, payload))
    }

    /// Each batch that isn't empty becomes an entry: `append` says at which term and index.
    pub fn append(&mut self, mut append: impl FnMut(Place, &[u8]) -> (u64, u64)) {
        self.positions.clear();
        for &place in &self.touched {
            self.positions.push(append(place, self.batches[place].bytes()));
        }
    }

    /// Takes out what it has of some groups, whose time this is: their batches, complete, and the answers that wait for these, in
    /// their order.
    pub fn take_out(
        &mut self,
        time_us: impl Fn(Place) -> u64,
        is_taken: impl Fn(Place) -> bool,
    ) -> Vec<TakenOut> {
        let mut out: Vec<_> =
            self.touched.extract_if(.., |place| is_taken(*place)).map(TakenOut::of).collect();
        if out.is_empty() {
            return out;
        }
        for taken in &mut out {
            let batch = &mut self.batches[taken.place];
            batch.seal(time_us(taken.place));
            self.ops = self.ops.saturating_sub(batch.len());
            self.bytes -= batch.bytes().len() - BatchBuilder::HEADER_BYTES;
            taken.payload = batch.take().into();
            self.kept += batch.memory_bytes();
        }
        self.overlay.retain(|slot| !is_taken(slot.place as Place));
        self.clears.retain(|clear| !is_taken(clear.place));
        let known = self.once.len();
        self.once.retain(|(place, ..)| !is_taken(*place));
        self.bytes -= ONCE_BYTES * (known - self.once.len());
        for answer in self.answers.extract_if(.., |answer| is_taken(answer.place)) {
            self.answer_bytes -= answer.bytes();
            if let Some(taken) = out.iter_mut().find(|taken| taken.place == answer.place) {
                taken.answers.push(answer);
            }
        }
        out
    }

    /// Adds a value. `key` is the stored key, `hash` its hash; `overlay` makes it visible to [`LogWrite::pending`].
    pub fn put(&mut self, write: Write<'_>, version: Version, expiry: Expiry, value: &[u8]) {
        let offset = self.begin(&write);
        let keyspace = write.keyspace();
        self.batches[write.place].put(keyspace, user_key(write.key), version, expiry, value);
        self.finish(write, offset);
    }

    /// Adds a delete.
    pub fn delete(&mut self, write: Write<'_>, version: Version) {
        let offset = self.begin(&write);
        let keyspace = write.keyspace();
        self.batches[write.place].delete(keyspace, user_key(write.key), version);
        self.finish(write, offset);
    }

    /// Adds a delete of every key of a keyspace.
    pub fn clear_keyspace(&mut self, place: Place, keyspace: Keyspace, version: Version, visible: bool) {
        let start = self.touch(place);
        self.batches[place].delete_range(keyspace, &[], &[], version);
        self.bytes += self.batches[place].bytes().len() - start;
        if visible {
            self.clears.push(PendingClear { place, keyspace, version });
        }
    }

    /// A request is to be done once, and came to this.
    pub fn remember(&mut self, place: Place, once: &Once, answer: &[u8]) {
        self.touch(place);
        let before = self.batches[place].sealed_bytes();
        self.batches[place].remember(once, answer);
        self.bytes += self.batches[place].sealed_bytes() - before + ONCE_BYTES;
        self.once.insert((place, once.client, once.number));
    }

    /// Whether it has a request that is to be done once.
    pub fn has(&self, place: Place, once: &Once) -> bool {
        self.once.contains(&(place, once.client, once.number))
    }

    /// Has a group forget what was first sent at or before this time.
    pub fn raise_floor(&mut self, place: Place, floor_us: u64) {
        self.touch(place);
        let before = self.batches[place].sealed_bytes();
        self.batches[place].raise_floor(floor_us);
        self.bytes += self.batches[place].sealed_bytes() - before;
    }

    /// Whether it has a group forget something.
    pub fn raises_floor(&self, place: Place) -> bool {
        self.batches[place].raises_floor()
    }

    /// Completes every batch, which says when it is logged, by shard time.
    pub fn seal(&mut self, clock_us: u64) {
        for &place in &self.touched {
            self.batches[place].seal(clock_us);
        }
    }

    fn touch(&mut self, place: Place) -> usize {
        if self.batches[place].is_empty() {
            self.kept -= self.batches[place].memory_bytes();
            self.batches[place].clear(0);
            self.touched.push(place);
        }
        self.batches[place].bytes().len()
    }

    fn begin(&mut self, write: &Write<'_>) -> usize {
        self.ops += 1;
        self.touch(write.place)
    }

    fn finish(&mut self, write: Write<'_>, offset: usize) {
        self.bytes += self.batches[write.place].bytes().len() - offset;
        if !write.visible {
            return;
        }
        let slot = Slot {
            hash: write.hash,
            place: write.place as u32,
            offset: u32::try_from(offset).expect("a log write gathers at most 24 MiB beside one value"),
        };
        let LogWrite { overlay, batches, .. } = self;
        let entry = overlay.entry(
            write.hash,
            |other| is_key(batches, other, write.place, write.hash, write.key),
            |other| other.hash,
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(mut old) => *old.get_mut() = slot,
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(slot);
            }
        }
    }

    /// The newest pending state of a stored key.
    #[inline(always)]
    pub fn pending(&self, place: Place, keyspace: Keyspace, key: &[u8], hash: u64) -> Pending<'_> {
        // Nearly every read meets a log write that is empty.
        if self.touched.is_empty() { Pending::Unknown } else { self.newest(place, keyspace, key, hash) }
    }

    #[inline(never)]
    fn newest(&self, place: Place, keyspace: Keyspace, key: &[u8], hash: u64) -> Pending<'_> {
        let slot = self.overlay.find(hash, |slot| is_key(&self.batches, slot, place, hash, key));
        let clear = self.clears.iter().rfind(|clear| clear.place == place && clear.keyspace == keyspace);
        let Some(slot) = slot else {
            return if clear.is_some() { Pending::Deleted } else { Pending::Unknown };
        };
        let op = op_at(&self.batches, slot);
        if op.kind == Kind::Tombstone || clear.is_some_and(|clear| clear.version > op.version) {
            return Pending::Deleted;
        }
        Pending::Value(Value { bytes: op.value, version: op.version, expiry: op.expiry })
    }

    /// Empties it, and keeps as much memory as usual log writes need.
    pub fn reset(&mut self) {
        for &place in &self.touched {
            let batch = &mut self.batches[place];
            batch.clear(0);
            if self.kept + batch.memory_bytes() > self.kept_max {
                batch.shrink();
            }
            self.kept += batch.memory_bytes();
        }
        self.touched.clear();
        self.positions.clear();
        self.overlay.clear();
        self.overlay.shrink_to(KEPT_SLOTS, |slot| slot.hash);
        self.clears.clear();
        if !self.once.is_empty() {
            self.once.clear();
            self.once.shrink_to(KEPT_SLOTS);
        }
        (self.bytes, self.ops) = (0, 0);
        debug_assert!(self.answers.is_empty(), "answers leave before a log write is used again");
    }
}

/// What a log write had of a group.
#[derive(Debug)]
pub(super) struct TakenOut {
    pub place: Place,
    /// The batch.
    pub payload: Bytes,
    /// Those who wait for it.
    pub answers: Vec<PendingAnswer>,
}

impl TakenOut {
    fn of(place: Place) -> TakenOut {
        TakenOut { place, payload: Bytes::new(), answers: Vec::new() }
    }
}

/// What a write is about that joins a log write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    pub place: Place,
    pub key: &'a [u8],
    pub hash: u64,
    /// Whether it goes into the overlay (not where writes are applied at once).
    pub visible: bool,
}

impl Write<'_> {
    fn keyspace(&self) -> Keyspace {
        crate::key::Prefix::of(self.key).expect("stored keys begin with a prefix").keyspace()
    }
}

fn op_at<'a>(batches: &'a [BatchBuilder], slot: &Slot) -> BatchOp<'a> {
    batches[slot.place as usize].op_at(slot.offset as usize)
}

fn is_key(batches: &[BatchBuilder], slot: &Slot, place: Place, hash: u64, key: &[u8]) -> bool {
    if slot.hash != hash || slot.place as usize != place {
        return false;
    }
    let op = op_at(batches, slot);
    op.key == user_key(key) && key.starts_with(&op.keyspace.0.to_be_bytes())
}
