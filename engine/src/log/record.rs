//! Records: what a log is made of.

use super::batch::Batch;
use super::taken::Taken;
use crate::Error;
use crate::io::FileName;
use crate::key::Partition;
use std::fmt;

/// What an entry is, one place in its group's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryType {
    /// Writes: the payload is a [`Batch`](super::Batch).
    Normal = 1,
    /// Nothing, as a new leader's first one: it only takes its place.
    NoOp = 2,
    /// Other replicas hold the group from here on: the payload is a [`ConfState`](crate::manifest::ConfState).
    ConfChange = 3,
    /// Time passes: the payload is a [`Batch`](super::Batch) without operations.
    Tick = 4,
    /// No older writes are still to come: the payload is a version, 8 bytes.
    Floor = 5,
}

impl EntryType {
    /// The type that a byte stands for.
    pub fn from_byte(byte: u8) -> Option<EntryType> {
        Some(match byte {
            1 => EntryType::Normal,
            2 => EntryType::NoOp,
            3 => EntryType::ConfChange,
            4 => EntryType::Tick,
            5 => EntryType::Floor,
            _ => return None,
        })
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// An entry at its term and index. It deletes its group's entries at and behind that index.
    Entry(EntryType),
    /// A reading of the proposer's clocks, so that time goes on while nothing is written: [`clock_payload`](super::clock_payload).
    Clock,
    /// How far a replica has come beside its entries, for its group to go on from: a [`HardState`].
    HardState,
}

impl RecordKind {
    const CLOCK: u8 = 2;
    const ENTRY: u8 = 1;
    const HARD_STATE: u8 = 3;

    /// An entry of writes.
    pub const WRITES: RecordKind = RecordKind::Entry(EntryType::Normal);

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Entry(EntryType::Normal) => "entry",
            RecordKind::Entry(EntryType::NoOp) => "no_op",
            RecordKind::Entry(EntryType::ConfChange) => "conf_change",
            RecordKind::Entry(EntryType::Tick) => "tick",
            RecordKind::Entry(EntryType::Floor) => "floor",
            RecordKind::Clock => "clock",
            RecordKind::HardState => "hard_state",
        }
    }

    /// Whether it has a place in its group's order.
    pub fn is_entry(self) -> bool {
        matches!(self, RecordKind::Entry(_))
    }

    /// The bytes that stand for it: kind, and type of an entry.
    pub(super) fn to_bytes(self) -> (u8, u8) {
        match self {
            RecordKind::Entry(entry) => (RecordKind::ENTRY, entry as u8),
            RecordKind::Clock => (RecordKind::CLOCK, 0),
            RecordKind::HardState => (RecordKind::HARD_STATE, 0),
        }
    }

    /// What stored bytes stand for.
    pub(super) fn from_bytes(kind: u8, entry: u8) -> Option<RecordKind> {
        match (kind, entry) {
            (RecordKind::ENTRY, byte) => EntryType::from_byte(byte).map(RecordKind::Entry),
            (RecordKind::CLOCK, 0) => Some(RecordKind::Clock),
            (RecordKind::HARD_STATE, 0) => Some(RecordKind::HardState),
            _ => None,
        }
    }
}

/// What a record says that this build can't read, and may not skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownRecord {
    /// Its kind's byte.
    pub kind: u8,
    /// An entry's type.
    pub entry: u8,
    /// Its flags.
    pub flags: u8,
    /// Where it lies within its part.
    pub at: u64,
}

impl UnknownRecord {
    /// The error of whoever meets it in a part that lies at `part` of a file.
    pub fn error(self, file: FileName, dir: impl Into<String>, part: u64) -> Error {
        Error::Newer { file, dir: dir.into(), offset: part + self.at, what: format!("a record of {self}") }
    }
}

impl fmt::Display for UnknownRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownRecord { kind, entry, flags, .. } = *self;
        let name = match (kind, entry) {
            (RecordKind::ENTRY, 6) => "prepare",
            (RecordKind::ENTRY, 7) => "commit",
            (RecordKind::ENTRY, 8) => "abort",
            (4, _) => "outbox",
            _ => return write!(f, "kind {kind}, type {entry}, flags {flags:#04x}"),
        };
        write!(f, "kind {kind}, type {entry} ({name}), flags {flags:#04x}")
    }
}

/// One record of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The group: its partition.
    pub group: Partition,
    /// What it is.
    pub kind: RecordKind,
    /// The term it was proposed in; 1 in a solo group.
    pub term: u64,
    /// Its place in the group's order.
    pub index: u64,
    /// Where its writes were taken in before they were ordered; 0: where they were ordered.
    pub origin: u16,
    /// Whether it was copied to the head of the log so that the segment of the first one can go. A copy of an entry deletes nothing,
    /// and never takes the place of an entry of a higher term.
    pub is_copy: bool,
    /// Its content, at most 1 GiB.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// No group's indexes and terms get further: they are counted up one by one.
    pub(crate) const NUMBER_MAX: u64 = 1 << 62;

    /// An entry of writes, taken in where it is ordered.
    pub fn writes(group: Partition, term: u64, index: u64, payload: &'a [u8]) -> Record<'a> {
        Record { group, kind: RecordKind::WRITES, term, index, origin: 0, is_copy: false, payload }
    }

    /// The batch of an entry that has one.
    pub fn batch(&self) -> Result<Batch<'a>, String> {
        match self.origin {
            0 => Batch::parse(self.payload),
            _ => Batch::parse(Taken::split(self.payload)?.1),
        }
    }

    /// Whether it is what its group goes on with behind entry `applied_index`; the error says what is.
    pub(crate) fn check_follows(&self, applied_index: u64) -> Result<(), String> {
        let next = applied_index + 1;
        if self.index == next {
            return Ok(());
        }
        let (partition, index) = (self.group.0, self.index);
        Err(format!("partition {partition} goes on with entry {index}, but {next} is next"))
    }
}

/// The payload of a hard state; its term is the record's. 16 bytes: vote, commit. It comes behind the entries that it says are
/// committed: what a crash leaves of a log write may end between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The replica that it voted for in the term; 0 if for none.
    pub vote: u64,
    /// Up to which index it knew entries to be committed.
    pub commit: u64,
}

impl HardState {
    /// How it is stored.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.vote.to_le_bytes());
        bytes[8..].copy_from_slice(&self.commit.to_le_bytes());
        bytes
    }

    /// Reads it; the error says what is wrong.
    pub fn parse(payload: &[u8]) -> Result<HardState, String> {
        let bytes = <&[u8; 16]>::try_from(payload);
        let bytes = bytes.map_err(|_| format!("a hard state has {} bytes, not 16", payload.len()))?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("there are eight"));
        Ok(HardState { vote: number(0), commit: number(8) })
    }
}
