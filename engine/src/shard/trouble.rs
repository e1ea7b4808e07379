//! What fails in the background, how often it is told, and when writes are refused because of it.
//!
//! 1. Each kind of work that failed stays noted until work of its kind succeeds, or none is wanted. Trying again goes on all
//!    the while; the log hears of it when a kind of work begins to fail, or fails in another way.
//! 2. Work that fails costs room: in the log if segments can't be made, in memory if tables can't. A shard that has too
//!    little left refuses writes at once, before it asks for the delays that hold writers.
//! 3. It takes them again when there is clearly more room than at the limit: the log has its spare segment, and memtables
//!    were written out. So it doesn't go back and forth with every try.

use super::Shard;
use crate::error::{Error, is_without_room};
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;

/// After so long without a failure the next one is news, whatever it is.
const CALM_US: u64 = 10_000_000;

/// Why writes are refused where the disk has no room for them.
const DISK_FULL: &str = "the disk is full; free some space, the shard goes on by itself";

/// The kinds of work that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Segment,
    Flush,
    Merge,
    Manifest,
}

/// What fails now, and what was told of it.
#[derive(Debug, Default)]
pub(super) struct Failing {
    kinds: HashMap<Work, ErrorKind>,
    told: HashSet<(Work, ErrorKind)>,
    last_us: u64,
}

impl Failing {
    /// Notes a failure; `true` if it is news.
    pub fn note(&mut self, work: Work, error: &Error, now_us: u64) -> bool {
        let kind = match error {
            Error::Io { source, .. } if is_without_room(source) => ErrorKind::StorageFull,
            Error::Io { source, .. } => source.kind(),
            _ => ErrorKind::Other,
        };
        if self.kinds.is_empty() && now_us >= self.last_us + CALM_US {
            self.told.clear();
        }
        self.last_us = now_us;
        self.kinds.insert(work, kind);
        self.told.insert((work, kind))
    }

    /// Forgets what fails: none of it is wanted any more.
    pub fn forget(&mut self) {
        self.kinds.clear();
    }

    /// Whether the disk, or the quota, is used up.
    fn is_disk_full(&self) -> bool {
        self.kinds.values().any(|kind| *kind == ErrorKind::StorageFull)
    }

    /// Whether what is in memtables can't come into tables.
    pub(super) fn keeps_memory(&self) -> bool {
        [Work::Flush, Work::Manifest].iter().any(|work| self.kinds.contains_key(work))
    }
}

/// What there is too little room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    /// The disk is full, and the log or memory nearly so.
    Disk,
    /// Tables can't be written, and memory is nearly full.
    Tables,
}

impl Shard {
    /// Work of a kind succeeded.
    pub(super) fn succeeded(&mut self, work: Work) {
        self.background.failing.kinds.remove(&work);
        self.clear_trouble();
    }

    /// Forgets why work failed last, if nothing fails any more.
    pub(super) fn clear_trouble(&mut self) {
        if self.background.failing.kinds.is_empty() {
            self.background.trouble = None;
        }
    }

    /// Finds out whether work that fails leaves too little room for writes, or enough again.
    pub(super) fn note_shortage(&mut self) {
        if self.background.shortage.is_none() && self.background.failing.kinds.is_empty() {
            return;
        }
        let failing = &self.background.failing;
        let (memory, memtable) = (self.sources.memtable_bytes(), self.budgets.memtable);
        let is_full = failing.is_disk_full();
        let is_log_short = is_full && self.log.room_bytes() < 2 * self.budgets.log_write as u64;
        self.background.shortage = match self.background.shortage {
            None if is_log_short || (is_full && memory > 2 * memtable) => Some(Shortage::Disk),
            None if failing.keeps_memory() && memory > self.budgets.memtables / 10 * 9 => {
                Some(Shortage::Tables)
            }
            Some(Shortage::Disk)
                if self.doubt.is_none() && !is_log_short && !self.log.lacks_spare() && memory <= memtable =>
            {
                None
            }
            Some(Shortage::Tables) if memory <= 2 * memtable => None,
            as_before => as_before,
        };
    }

    /// Why writes are refused now, and what to do, if they are.
    pub fn read_only_reason(&self) -> Option<&'static str> {
        if self.defect.is_some() {
            return Some("the shard met a defect of ours; see the server's log, then restart it");
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.is_full) {
            return Some(DISK_FULL);
        }
        if self.doubt.is_some() {
            return Some(
                "a log write failed; the shard settles what it left and goes on by itself, see the server's log",
            );
        }
        Some(match self.background.shortage? {
            Shortage::Disk => DISK_FULL,
            Shortage::Tables => {
                "tables can't be written; see the server's log, the shard goes on by itself when they can"
            }
        })
    }
}
