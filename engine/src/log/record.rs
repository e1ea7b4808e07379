//! Records: what a log is made of.

use crate::key::Partition;

/// What a record is. The last two are reserved for consensus; a solo group doesn't write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A write batch at its term and index: the payload is a [`Batch`](super::Batch).
    Entry = 1,
    /// A reading of the proposer's clocks, so that time goes on while nothing is written: [`clock_payload`](super::clock_payload).
    Clock = 2,
    /// A group's term, vote and commit index.
    HardState = 3,
    /// An entry copied to the head of the log so that its segment can go; it deletes nothing.
    Copy = 4,
}

impl RecordKind {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Entry => "entry",
            RecordKind::Clock => "clock",
            RecordKind::HardState => "hard_state",
            RecordKind::Copy => "copy",
        }
    }

    /// The kind a stored byte stands for.
    pub fn from_byte(byte: u8) -> Option<RecordKind> {
        match byte {
            1 => Some(RecordKind::Entry),
            2 => Some(RecordKind::Clock),
            3 => Some(RecordKind::HardState),
            4 => Some(RecordKind::Copy),
            _ => None,
        }
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
    /// Its content, at most 1 GiB.
    pub payload: &'a [u8],
}

impl Record<'_> {
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
