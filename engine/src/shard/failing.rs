//! What fails in the background now, and what was told of it: the log hears of a kind of work when it begins to fail, or fails in
//! another way.

use crate::error::{Error, is_without_room};
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;

/// After so long without a failure the next one is news, whatever it is.
const CALM_US: u64 = 10_000_000;

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
    pub kinds: HashMap<Work, ErrorKind>,
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
    pub fn is_disk_full(&self) -> bool {
        self.kinds.values().any(|kind| *kind == ErrorKind::StorageFull)
    }

    /// Whether what is in memtables can't come into tables.
    pub fn keeps_memory(&self) -> bool {
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
