//! The log of a shard: one stream of log writes, shared by all its groups, in recycled zero-filled segments.
//!
//! 1. [`Log::append`] copies a record into the forming log write. [`Log::write`] closes the forming log write
//!    into one request; at most one log write is in flight, what arrives meanwhile forms the next.
//! 2. A segment is one life of a file, numbered by its *generation*, which only rises. Every checksum
//!    starts from shard, file, generation and offset, so nothing that an earlier life left in the file is
//!    ever taken for log. Opening the log always starts a new generation, whose header says where its
//!    predecessor ended: what lies beyond is never read again.
//! 3. Every part of one says up to where the log was durable when it was written. A bad part below such a
//!    position is damage: [`recover`] refuses. A bad part above all of them is the torn tail: it is cut.
//! 4. Every segment names its predecessor, and the manifest the newest segment that it heard of: one that was there
//!    and isn't is missed, whichever it is ([`Extent`]).
//! 5. The writer does no I/O: it hands out [`crate::io::IoRequest`]s and takes completions. After a failed
//!    write or sync it takes nothing until the log is cut behind its last whole log write ([`Log::cut`]), as
//!    recovery does it too; a failed sync is never retried.
//!
//! `docs/formats/log.md` draws the format byte by byte.

pub mod batch;
mod begin;
mod clock;
mod cut;
mod dump;
pub mod entry;
mod flight;
mod format;
mod headers;
mod inventory;
mod options;
mod part;
pub(crate) mod position;
mod read_back;
mod reader;
pub(crate) mod record;
mod recovery;
mod remains;
mod repair;
mod replay;
mod segment_job;
mod segments;
mod taken;
mod writer;

pub use batch::{Batch, BatchBuilder, BatchOp, BatchOps};
pub use clock::{clock_behind, clock_payload};
pub use dump::{DumpItem, dump};
pub use entry::Entry;
pub use flight::{LogEvent, LogWriteId};
pub use options::LogOptions;
pub use position::{Extent, LogPosition, Reached};
pub use read_back::ReadBackJob;
pub use record::{EntryType, HardState, Record, RecordKind};
pub use recovery::recover;
pub use remains::{Hole, Remains, read_remains};
pub use repair::{Dropped, RepairReport, repair};
pub use replay::{Replayed, check_segments, replay};
pub use segment_job::SegmentJob;
pub use taken::Taken;
pub use writer::Log;

#[cfg(test)]
mod tests;
