//! The background work of a shard as it stands: which jobs run, which edits are on their way, what rests.

use super::failing::{Failing, Shortage};
use crate::job::JobId;
use crate::log::LogPosition;
use crate::table::Table;
use crate::tree::{Leveled, Strategy, TreeOptions};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A job that was handed out.
pub(super) enum Running {
    Flush,
    Merge { inputs: Vec<u64>, has_long: bool },
    Segment,
    Residency { tables: Vec<u64> },
    Unlink,
}

/// A manifest edit that was asked for, and what to do when it is durable.
#[derive(Default)]
pub(super) struct Install {
    pub removed: Vec<u64>,
    pub added: Vec<(usize, Arc<Table>)>,
    /// The log before this isn't needed any more.
    pub log_start: Option<LogPosition>,
    /// A flush made it: the oldest frozen memtable goes.
    pub is_flush: bool,
}

/// A table that no tree names any more, until its last reader is done.
pub(super) struct Retired {
    pub table: Arc<Table>,
    /// Whether its file goes with it; the file of a table that only changed its residency stays.
    pub removes_file: bool,
}

/// The background work of a shard.
pub(super) struct Background {
    pub tree_options: TreeOptions,
    /// What is merged next.
    pub strategy: Box<dyn Strategy>,
    pub running: HashMap<JobId, Running>,
    /// Memory for tables that running jobs may take, or are about to give back, in bytes.
    pub claims: HashMap<JobId, u64>,
    /// Tables that are inputs of a job or of an edit that isn't durable yet.
    pub busy: HashSet<u64>,
    pub installs: VecDeque<Install>,
    pub retired: Vec<Retired>,
    pub next_file: u64,
    pub next_job: u64,
    /// No flush or merge before this, after one failed.
    pub rest_until_us: u64,
    /// What fails now.
    pub failing: Failing,
    /// Why work failed last, until all that failed succeeds.
    pub trouble: Option<String>,
    /// Why writes are refused, if background work that fails leaves no room for them.
    pub shortage: Option<Shortage>,
    pub is_housekeeping_due: bool,
    /// Whether something changed since merges were last looked for.
    pub is_merge_due: bool,
    /// Whether a merge of long values waits for the flush that runs, and goes before the next.
    pub is_long_merge_next: bool,
    pub looked_us: u64,
    /// The last write after which merges of a shard at rest were looked for.
    pub settled_write_us: Option<u64>,
    /// Bytes that merges are behind.
    pub debt_bytes: u64,
}

impl Background {
    pub fn new(tree_options: TreeOptions, next_file: u64) -> Background {
        Background {
            tree_options,
            strategy: Box::new(Leveled),
            running: HashMap::new(),
            claims: HashMap::new(),
            busy: HashSet::new(),
            installs: VecDeque::new(),
            retired: Vec::new(),
            next_file,
            next_job: 0,
            rest_until_us: 0,
            failing: Failing::default(),
            trouble: None,
            shortage: None,
            is_housekeeping_due: true,
            is_merge_due: true,
            is_long_merge_next: false,
            looked_us: 0,
            settled_write_us: None,
            debt_bytes: 0,
        }
    }

    /// Whether nothing runs and no edit is on its way.
    pub fn is_settled(&self) -> bool {
        self.running.is_empty() && self.installs.is_empty() && self.retired.is_empty()
    }

    /// Whether an edit that moves the log's start is on its way.
    pub fn is_moving_log_start(&self) -> bool {
        self.installs.iter().any(|install| install.log_start.is_some())
    }

    pub fn is_running(&self, is_kind: impl Fn(&Running) -> bool) -> usize {
        self.running.values().filter(|running| is_kind(running)).count()
    }

    pub fn flushes(&self) -> usize {
        self.is_running(|running| matches!(running, Running::Flush))
    }

    pub fn merges(&self) -> usize {
        self.is_running(|running| matches!(running, Running::Merge { .. }))
    }
}
