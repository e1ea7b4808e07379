//! Writes that are logged together, and the answers that wait for them.
//!
//! A shard has two generations: the *forming* one takes what arrives, the *writing* one is in the log
//! write that is in flight. Each is also an overlay: the newest pending value of a key is found here,
//! so that conditional updates see it and plain reads know to wait. Nothing is copied for that: an
//! overlay slot points into the encoded batch.

use super::Moment;
use super::partition::Place;
use super::request::{Answer, Answers, Refusal, Ticket, Value};
use crate::key::{Expiry, Keyspace, Kind, Version, user_key};
use crate::log::batch::{BatchBuilder, BatchOp};
use hashbrown::HashTable;

/// Places for keys, and for answers, that it keeps.
const KEPT_SLOTS: usize = 4096;

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

/// What a generation knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending<'a> {
    /// Nothing.
    Unknown,
    /// Deleted, by itself or by a clear.
    Deleted,
    /// Set.
    Value(Value<'a>),
}

/// An answer that waits for a generation to be durable and applied.
#[derive(Debug)]
pub(super) enum PendingAnswer {
    Written {
        ticket: Ticket,
        version: Version,
        existed: u32,
        old: Option<Box<OwnedValue>>,
    },
    NotMet {
        ticket: Ticket,
        current: Option<Box<OwnedValue>>,
    },
    Integer {
        ticket: Ticket,
        number: i64,
    },
    Refused {
        ticket: Ticket,
        refusal: Refusal<'static>,
    },
    /// A read of keys that have a write in this generation.
    Read {
        ticket: Ticket,
        place: Place,
        keys: Box<[Box<[u8]>]>,
        at: Moment,
        /// Of several keys: whether their values are wanted.
        many: Option<bool>,
    },
}

impl PendingAnswer {
    pub fn ticket(&self) -> Ticket {
        match self {
            PendingAnswer::Written { ticket, .. }
            | PendingAnswer::NotMet { ticket, .. }
            | PendingAnswer::Integer { ticket, .. }
            | PendingAnswer::Refused { ticket, .. }
            | PendingAnswer::Read { ticket, .. } => *ticket,
        }
    }

    /// What it says.
    pub fn kind(&self) -> AnswerKind {
        match self {
            PendingAnswer::Written { .. } | PendingAnswer::Integer { .. } => AnswerKind::Write,
            PendingAnswer::NotMet { .. } | PendingAnswer::Refused { .. } => AnswerKind::Verdict,
            PendingAnswer::Read { .. } => AnswerKind::Read,
        }
    }

    /// Memory it takes, about, bytes.
    fn bytes(&self) -> usize {
        let value =
            |value: &Option<Box<OwnedValue>>| value.as_ref().map_or(0, |value| value.bytes.len() + 64);
        let payload = match self {
            PendingAnswer::Written { old, .. } => value(old),
            PendingAnswer::NotMet { current, .. } => value(current),
            PendingAnswer::Read { keys, .. } => keys.iter().map(|key| key.len() + 48).sum(),
            PendingAnswer::Integer { .. } | PendingAnswer::Refused { .. } => 0,
        };
        size_of::<PendingAnswer>() + payload
    }

    /// Sends anything but a read.
    pub fn send(self, out: &mut impl Answers) {
        match self {
            PendingAnswer::Written { ticket, version, existed, old } => {
                let old = old.as_deref().map(OwnedValue::borrow);
                out.answer(ticket, Answer::Written { version, existed, old });
            }
            PendingAnswer::NotMet { ticket, current } => {
                out.answer(ticket, Answer::NotMet { current: current.as_deref().map(OwnedValue::borrow) });
            }
            PendingAnswer::Integer { ticket, number } => out.answer(ticket, Answer::Integer(number)),
            PendingAnswer::Refused { ticket, refusal } => out.answer(ticket, Answer::Refused(refusal)),
            PendingAnswer::Read { .. } => unreachable!("reads are resolved against the shard's sources"),
        }
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A write was done that is part of the generation's log write, or the state was already so.
    Write,
    /// Nothing was done, because of a state that the generation may hold.
    Verdict,
    /// What keys hold.
    Read,
}

/// A value copied out of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedValue {
    bytes: Box<[u8]>,
    version: Version,
    expiry: Expiry,
}

impl OwnedValue {
    pub fn new(value: Value<'_>) -> OwnedValue {
        OwnedValue { bytes: value.bytes.into(), version: value.version, expiry: value.expiry }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn borrow(&self) -> Value<'_> {
        Value { bytes: &self.bytes, version: self.version, expiry: self.expiry }
    }
}

/// Writes that share a log write. See the module's text.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// One batch per place; those of `touched` are not empty.
    batches: Vec<BatchBuilder>,
    touched: Vec<Place>,
    overlay: HashTable<Slot>,
    clears: Vec<PendingClear>,
    answers: Vec<PendingAnswer>,
    answer_bytes: usize,
    bytes: usize,
    ops: usize,
    /// Memory of empty batches, and the most that there is to be, bytes.
    kept: usize,
    kept_max: usize,
}

impl Generation {
    /// One for so many places, which keeps so many bytes of memory where it is empty.
    pub fn new(places: usize, kept_max: usize) -> Generation {
        let batches: Vec<_> = (0..places).map(|_| BatchBuilder::new(0)).collect();
        let kept = batches.iter().map(BatchBuilder::memory_bytes).sum();
        Generation { batches, kept, kept_max, ..Generation::default() }
    }

    /// Whether nothing is to be logged.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
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

    /// Keeps an answer until the generation is applied.
    pub fn push_answer(&mut self, answer: PendingAnswer) {
        self.answer_bytes += answer.bytes();
        self.answers.push(answer);
    }

    /// Takes the answers out, in their order.
    pub fn take_answers(&mut self) -> Vec<PendingAnswer> {
        self.answer_bytes = 0;
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

    /// Adds a value. `key` is the stored key, `hash` its hash; `overlay` makes it visible to [`Generation::pending`].
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

    /// Says in every batch when it is logged, by shard time.
    pub fn stamp(&mut self, clock_us: u64) {
        for &place in &self.touched {
            self.batches[place].set_clock(clock_us);
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
            offset: u32::try_from(offset).expect("a commit gathers at most 24 MiB beside one value"),
        };
        let Generation { overlay, batches, .. } = self;
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
    pub fn pending(&self, place: Place, keyspace: Keyspace, key: &[u8], hash: u64) -> Pending<'_> {
        if self.touched.is_empty() {
            return Pending::Unknown;
        }
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

    /// Empties it, and keeps as much memory as usual commits need.
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
        self.overlay.clear();
        self.overlay.shrink_to(KEPT_SLOTS, |slot| slot.hash);
        self.clears.clear();
        (self.bytes, self.ops) = (0, 0);
        debug_assert!(self.answers.is_empty(), "answers leave before a generation is used again");
    }
}

/// What a write to a generation is about.
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
