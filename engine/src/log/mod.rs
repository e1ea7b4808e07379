//! The log of a shard: one stream of commits, shared by all its groups, in recycled zero-filled segments.
//!
//! 1. [`Log::append`] copies a record into the forming commit. [`Log::write`] closes the forming commit
//!    into one write; at most one commit is in flight, what arrives meanwhile forms the next.
//! 2. A segment is one life of a file, numbered by its *generation*, which only rises. Every checksum
//!    starts from shard, file, generation and offset, so nothing that an earlier life left in the file is
//!    ever taken for log. Opening the log always starts a new generation, whose header says where its
//!    predecessor ended: what lies beyond is never read again.
//! 3. Every commit says up to where the log was durable when it was written. A bad commit below such a
//!    position is damage: [`recover`] refuses. A bad commit above all of them is the torn tail: it is cut.
//! 4. Every segment names its predecessor, and the manifest the newest segment that it heard of: one that was there
//!    and isn't is missed, whichever it is ([`Extent`]).
//! 5. The writer does no I/O: it hands out [`crate::io::IoRequest`]s and takes completions. After a failed
//!    write or sync it takes nothing until the log is cut behind its last whole commit ([`Log::cut`]), as
//!    recovery does it too; a failed sync is never retried.
//!
//! `docs/formats/log.md` draws the format byte by byte.

pub mod batch;
mod begin;
mod clock;
mod cut;
mod dump;
mod flight;
mod format;
mod headers;
mod inventory;
mod part;
mod reader;
mod recovery;
mod remains;
mod repair;
mod replay;
mod segment_job;
mod segments;
mod writer;

pub use batch::{Batch, BatchBuilder, BatchOp, BatchOps};
pub use clock::{clock_behind, clock_payload};
pub use dump::{DumpItem, dump};
pub use flight::{CommitId, LogEvent};
pub use recovery::recover;
pub use remains::{Hole, Remains, read_remains};
pub use repair::{Dropped, RepairReport, repair};
pub use replay::{Replayed, check_segments, replay};
pub use segment_job::SegmentJob;
pub use writer::Log;

use crate::Error;
use crate::aligned::ALIGN;
use crate::key::Partition;

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogPosition {
    /// Generation of the segment. The default, 0, is before every segment.
    pub segment: u64,
    /// Offset in the segment's file, in bytes.
    pub offset: u32,
}

/// A segment that the log has begun for good: its header was durable, so it, or a newer one, is there ever after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Its generation. The default, 0, is before every segment.
    pub generation: u64,
    /// The number of its file.
    pub file: u64,
}

/// What the durable manifest knows of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts: segments before are reused or removed. The default is its beginning.
    pub start: LogPosition,
    /// The newest segment that the manifest heard of. The log may have gone on since.
    pub reached: Reached,
}

impl From<LogPosition> for Extent {
    fn from(start: LogPosition) -> Extent {
        Extent { start, ..Extent::default() }
    }
}

/// What a record is. The last two are reserved for consensus; a solo group doesn't write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A write batch at its term and index: the payload is a [`Batch`].
    Entry = 1,
    /// A reading of the proposer's clocks, so that time goes on while nothing is written: [`clock_payload`].
    Clock = 2,
    /// A group's term, vote and commit index.
    HardState = 3,
    /// An entry copied to the head of the log so that its segment can go; it deletes nothing.
    Copy = 4,
}

impl RecordKind {
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

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Identifies the shard's directory; a file of another shard is refused.
    pub shard_id: [u8; 16],
    /// Writes start and end at multiples of 4096 bytes (O_DIRECT); otherwise of 8.
    pub direct: bool,
    /// Size of a segment in bytes, a multiple of 4096; at least twice the largest record, or large records
    /// get segments of their own size that aren't recycled.
    pub segment_bytes: u32,
    /// Buffers up to this size are kept for reuse, bytes.
    pub kept_bytes: usize,
}

impl LogOptions {
    /// Segments of 32 MiB.
    pub const SEGMENT_BYTES: u32 = 32 << 20;

    /// The defaults.
    pub fn new(shard_id: [u8; 16], direct: bool) -> LogOptions {
        let segment_bytes = LogOptions::SEGMENT_BYTES;
        LogOptions { shard_id, direct, segment_bytes, kept_bytes: 4 << 20 }
    }

    /// Refuses sizes that can't work.
    fn check(&self) -> Result<(), Error> {
        let bytes = self.segment_bytes;
        if !bytes.is_multiple_of(ALIGN as u32) || !(4 * ALIGN as u32..=1 << 31).contains(&bytes) {
            return Err(Error::Limit(format!(
                "a log segment of {bytes} bytes isn't possible; choose a multiple of 4096 from 16 KiB to 2 GiB"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
