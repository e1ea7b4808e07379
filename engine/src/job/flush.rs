//! Writing frozen memtables as tables of level 0.

use super::context::JobContext;
use super::merge_iter::{Cursor, LoserTree};
use super::retention::{RetentionRule, surviving_range_tombstones};
use super::sink::Sink;
use super::step::{Job, JobKind, JobOutput, JobStep};
use super::table_writer::Progress;
use crate::io::{IoCompletion, IoRequest};
use crate::key::{Entry, RangeTombstone, Version};
use crate::memtable::{Memtable, MemtableIter};
use crate::tree::key_ranges::KeyRanges;
use crate::tree::range_tombstones::RangeTombstones;
use std::sync::Arc;

/// Writes memtables, merged, as tables of level 0 in key order. Superseded entries that no pin needs are left out;
/// tombstones stay, since nothing is known of the tables below. Range tombstones go to a table of their own.
pub struct FlushJob {
    memtables: Vec<Arc<Memtable>>,
    range_tombstones: Vec<RangeTombstone>,
    sink: Sink,
    /// The last entry that was taken.
    last: Option<(Vec<u8>, Version)>,
    ended: bool,
}

impl FlushJob {
    /// A flush of memtables that are next to each other in age.
    pub fn new(memtables: Vec<Arc<Memtable>>, context: JobContext) -> FlushJob {
        let all: Vec<RangeTombstone> =
            memtables.iter().flat_map(|memtable| memtable.range_tombstones()).cloned().collect();
        let rule = RetentionRule {
            pins: context.pins.clone(),
            horizons: context.horizons.clone(),
            below: KeyRanges::All,
            range_tombstones: RangeTombstones::new(&all),
        };
        let range_tombstones = surviving_range_tombstones(&all, &context.pins, &context.horizons, None);
        let entries = memtables.iter().map(|memtable| memtable.len()).sum();
        let sink = Sink::new(rule, &context, entries, Vec::new());
        FlushJob { memtables, range_tombstones, sink, last: None, ended: false }
    }

    /// Takes entries until the budget or the writer's room is used up; `true` if it could go on at once.
    fn write(&mut self, requests: &mut Vec<IoRequest>, mut budget: usize) -> bool {
        let mut sources: Vec<Source<'_>> =
            self.memtables.iter().map(|memtable| Source::after(memtable, self.last.as_ref())).collect();
        let mut tree = LoserTree::new(&sources, &[]);
        while let Some(winner) = tree.winner(&sources).map(|(winner, _)| winner) {
            let Some(entry) = sources[winner].current else { break };
            if budget == 0 || !self.sink.writer.has_room() {
                return self.sink.writer.has_room();
            }
            budget = budget.saturating_sub(self.sink.take(entry, requests));
            sources[winner].current = sources[winner].rest.next();
            tree.winner_moved(&sources);
            if budget == 0 || !self.sink.writer.has_room() {
                self.last = Some((entry.key.to_vec(), entry.stamp.version()));
            }
        }
        self.sink.writer.end(std::mem::take(&mut self.range_tombstones), requests);
        self.ended = true;
        false
    }
}

impl Job for FlushJob {
    fn kind(&self) -> JobKind {
        JobKind::Flush
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep {
        for completion in completions.drain(..) {
            self.sink.writer.complete(completion, requests);
        }
        let going =
            !self.ended && !self.sink.writer.has_failed() && self.write(requests, budget_bytes.max(1));
        match self.sink.writer.progress(0, requests) {
            Progress::Working if going => JobStep::More,
            Progress::Working => JobStep::Waiting,
            Progress::Done(tables) => {
                JobStep::Done(Ok(JobOutput::Tables { tables, level: 0, expired: self.sink.expired }))
            }
            Progress::Failed(error) => JobStep::Done(Err(error)),
        }
    }
}

/// A position in a memtable. It lives within one step, so that the job can own the memtables.
struct Source<'a> {
    current: Option<Entry<'a>>,
    rest: MemtableIter<'a>,
}

impl<'a> Source<'a> {
    /// Behind the entry that was taken last.
    fn after(memtable: &'a Memtable, last: Option<&(Vec<u8>, Version)>) -> Source<'a> {
        let Some((key, version)) = last else {
            let mut rest = memtable.iter();
            return Source { current: rest.next(), rest };
        };
        let mut rest = memtable.seek(key);
        let is_taken = |entry: &Entry<'_>| entry.key == key.as_slice() && entry.stamp.version() >= *version;
        let current = rest.by_ref().find(|entry| !is_taken(entry));
        Source { current, rest }
    }
}

impl Cursor for Source<'_> {
    fn entry(&self) -> Option<Entry<'_>> {
        self.current
    }
}
