//! What jobs are to those that drive them: steps, and what they made.

use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoRequest};
use crate::log::record::EntryType;
use crate::table::Table;
use std::sync::Arc;

/// Kinds of work, in order of urgency; each has its share of the background thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// Preparing (zero-filling) the next log segment.
    Segment,
    /// Writing a frozen memtable as tables.
    Flush,
    /// Merging tables into the next level.
    Merge,
    /// Making tables resident or not, removing files.
    Housekeeping,
    /// Reading everything back against its checksums.
    Verify,
}

/// Identifies a job of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What a step of a job came to.
#[derive(Debug)]
pub enum JobStep {
    /// The budget is used up; step again when others had their turn.
    More,
    /// Nothing to do until at least one completion arrives.
    Waiting,
    /// The end. No request is in flight any more.
    Done(Result<JobOutput, Error>),
}

/// What a job made.
#[derive(Debug)]
pub enum JobOutput {
    /// New tables (synced, with the directory; ready to read), in key order, for level `level`.
    Tables {
        /// The tables.
        tables: Vec<Arc<Table>>,
        /// Their level.
        level: usize,
        /// Expired values that were left out, or became tombstones.
        expired: u64,
    },
    /// A prepared log segment file.
    Segment(FileName),
    /// Entries of a log, in the order of their indexes.
    Entries(Vec<LoggedEntry>),
    /// Tables reopened with another residency: same numbers, same contents.
    Reopened(Vec<Arc<Table>>),
    /// Nothing to install.
    Nothing,
}

/// An entry as a log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEntry {
    /// The term in which it was proposed.
    pub term: u64,
    /// Its place in its group's order.
    pub index: u64,
    /// What it is.
    pub entry: EntryType,
    /// Its content.
    pub payload: Box<[u8]>,
}

/// A piece of background work.
pub trait Job: Send {
    /// Its kind, which decides its share.
    fn kind(&self) -> JobKind;

    /// Goes on: consumes `completions` (drains them), appends to `requests`, and works on about
    /// `budget_bytes` of data before returning [`JobStep::More`].
    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep;
}
