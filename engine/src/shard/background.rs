//! Freezing, flushing and merging: which jobs run beside the requests, and when they start.
//!
//! What becomes of their results is in `publish`; which tables are resident, in `residency`.

use super::Shard;
use super::running::{Install, Retired, Running};
use super::sources::Frozen;
use crate::io::FileName;
use crate::job::{FlushJob, Horizons, Job, JobContext, JobId, MergeJob, UnlinkJob};
use crate::manifest::GroupState;
use crate::table::Compression;
use crate::tree::{MergePlan, Picking};

use std::sync::Arc;

/// Merges that run at once.
const MERGES_MAX: usize = 2;
/// Blocks of more than such a part of what a merge's blocks may take are long.
const LONG_BLOCK_PART: u64 = 8;
/// After so long without a write, what lies shadowed in upper levels is merged down too.
const SETTLING_US: u64 = 10_000_000;
/// Expiry makes merges due without anything else happening: it is looked for this often.
const LOOK_US: u64 = 1_000_000;

impl Shard {
    /// Freezes the memtable if it is full, or if the log that it pins is long.
    pub(super) fn freeze_if_full(&mut self) {
        let is_full = self.sources.active.bytes() >= self.budgets.memtable;
        let is_log_long = self.log.live_bytes() >= self.budgets.log && self.sources.frozen.is_empty();
        let is_due = std::mem::take(&mut self.wants_flush) || is_full || is_log_long;
        if self.sources.active.is_empty() {
            self.let_empty_log_go(is_log_long);
        } else if is_due {
            self.freeze();
        }
    }

    /// A log that holds only readings of the clock pins nothing, but it grows.
    fn let_empty_log_go(&mut self, is_log_long: bool) {
        if !is_log_long || !self.background.installs.is_empty() || self.defect.is_some() {
            return;
        }
        // All that is applied is in tables, or left nothing there.
        self.held.flushed_to = self.logged_end;
        let end = self.applied_end();
        if end > self.manifest.planned().log_start {
            let groups = self.group_news();
            let log_start = Some(end);
            let clock = Some(self.clock.stamp());
            self.publish(
                Install { removed: vec![], added: vec![], log_start, is_flush: false },
                groups,
                clock,
            );
        }
    }

    /// Freezes the memtable: everything before [`Shard::applied_end`] is in it or in older ones.
    pub(super) fn freeze(&mut self) {
        let groups = self.group_news();
        let log = (self.applied_end(), self.logged_end);
        self.sources.freeze(log, groups, Some(self.clock.stamp()));
    }

    /// What the manifest is to know, once all that is applied is in tables, of the partitions of which it doesn't yet.
    pub(super) fn group_news(&mut self) -> Vec<GroupState> {
        self.groups.news(self.clock.us())
    }

    /// Starts the jobs that are due.
    pub(super) fn schedule(&mut self) {
        // Under `none` a memtable holds writes that were never logged: before the cut its table could be mixed up with
        // what the log brings back.
        let is_log_clear = self.doubt.is_none() || self.log.is_cut();
        if self.wants_flush && self.forming.is_empty() && !self.log.is_writing() && is_log_clear {
            self.wants_flush = false;
            if !self.sources.active.is_empty() {
                self.freeze();
            }
        }
        if self.defect.is_none() {
            self.tell_manifest();
        }
        if self.mono_us >= self.background.rest_until_us && self.defect.is_none() {
            if self.manifest.is_stalled() && self.manifest_backoff.until_us <= self.mono_us {
                self.manifest.retry(&mut self.io);
            }
            self.schedule_segment();
            if self.is_long_merge_first() {
                self.background.is_merge_due = true;
                self.schedule_merges();
            }
            self.schedule_flush();
            self.schedule_merges();
            // What failed isn't wanted any more: the next to fail will say so.
            if self.background.running.is_empty() && !self.manifest.is_busy() {
                self.background.failing.forget();
                self.clear_trouble();
            }
        }
        if self.background.is_housekeeping_due {
            self.schedule_residency();
        }
        if !self.background.retired.is_empty() {
            self.schedule_unlink();
        }
        self.note_shortage();
    }

    pub(super) fn start(&mut self, running: Running, job: Box<dyn Job>) {
        self.start_claiming(running, job, 0);
    }

    /// Starts a job that takes, or gives back, so much memory for tables.
    pub(super) fn start_claiming(&mut self, running: Running, job: Box<dyn Job>, bytes: u64) {
        self.background.next_job += 1;
        let id = JobId(self.background.next_job);
        self.background.running.insert(id, running);
        self.background.claims.insert(id, bytes);
        self.jobs.push((id, job));
    }

    fn schedule_segment(&mut self) {
        let is_running = self.background.is_running(|running| matches!(running, Running::Segment)) > 0;
        if self.log.wants_segment() && !is_running {
            let job = self.log.prepare_segment();
            self.start(Running::Segment, Box::new(job));
        }
    }

    fn schedule_flush(&mut self) {
        let is_running = self.background.flushes() > 0;
        let is_installing = self.background.is_moving_log_start();
        let Some(Frozen { memtable, .. }) = self.sources.frozen.front() else { return };
        if is_running || is_installing || self.is_merging_long() || self.is_long_merge_first() {
            return;
        }
        let memtables = vec![memtable.clone()];
        let bytes = memtable.bytes();
        let numbers = JobContext::numbers_for_flush(bytes, &self.background.tree_options);
        let claim = self.claim_for_flush(bytes as u64);
        let compression = self.background.tree_options.compression_of(0, claim > 0);
        let context = self.job_context(self.horizons(), numbers, claim, compression);
        self.start_claiming(Running::Flush, Box::new(FlushJob::new(memtables, context)), claim);
    }

    fn schedule_merges(&mut self) {
        let is_time = self.mono_us >= self.background.looked_us + LOOK_US;
        let is_settling_due = self.settling_due_us().is_some_and(|due_us| due_us <= self.mono_us);
        if !self.background.is_merge_due && !is_time && !is_settling_due {
            return;
        }
        if is_settling_due {
            self.background.settled_write_us = Some(self.counters.last_write_us);
        }
        (self.background.is_merge_due, self.background.is_long_merge_next) = (false, false);
        self.background.looked_us = self.mono_us;
        let (groups, now_us) = (&self.groups, self.clock.us());
        self.kept.drop_old(|place| groups[place].time_us(now_us) / 1000);
        let horizons = self.horizons();
        while self.background.merges() < MERGES_MAX {
            let Some(plan) = self.pick(&horizons) else { break };
            let has_long = plan.longest_block() > self.long_block_bytes();
            let (merges, flushes) = (self.background.merges(), self.background.flushes());
            if !plan.moves && (self.is_merging_long() || has_long && merges + flushes > 0) {
                self.background.is_long_merge_next = has_long && merges == 0;
                break;
            }
            let inputs: Vec<u64> = plan.input_numbers().collect();
            self.background.busy.extend(&inputs);
            if plan.moves {
                self.move_tables(&plan);
                continue;
            }
            let numbers = plan.numbers_needed(&self.background.tree_options);
            let is_wanted = self.wants_resident(&plan);
            let claim = if is_wanted { self.table_room().min(plan.input_bytes()) } else { 0 };
            let compression = self.background.tree_options.compression_of(plan.output_level, is_wanted);
            let context = self.job_context(horizons.clone(), numbers, claim, compression);
            self.start_claiming(
                Running::Merge { inputs, has_long },
                Box::new(MergeJob::new(plan, context)),
                claim,
            );
        }
    }

    /// What flushes and merges take of memory is left for ordinary values. A merge of blocks longer than this runs by itself.
    fn long_block_bytes(&self) -> u64 {
        self.background.tree_options.merge_blocks_max / LONG_BLOCK_PART
    }

    /// Whether a merge of long values that waits goes before the next flush: not where writers would wait for that, unless merges are
    /// as far behind, or flushes fail.
    pub(super) fn is_long_merge_first(&self) -> bool {
        let is_pressed = self.written_bytes() > self.budgets.memtables / 2;
        let is_behind = self.background.debt_bytes > self.budgets.memtable as u64 * 8;
        let flush_waits = is_pressed && !is_behind && !self.background.failing.keeps_memory();
        self.background.is_long_merge_next && self.background.flushes() == 0 && !flush_waits
    }

    fn is_merging_long(&self) -> bool {
        self.background.is_running(|running| matches!(running, Running::Merge { has_long: true, .. })) > 0
    }

    fn pick(&self, horizons: &Horizons) -> Option<MergePlan> {
        let pins = self.pins();
        let picking = Picking {
            options: &self.background.tree_options,
            busy: &self.background.busy,
            pins: &pins,
            horizons,
        };
        let is_quiet = self.background.settled_write_us == Some(self.counters.last_write_us);
        let (strategy, levels) = (&self.background.strategy, &self.sources.tree);
        let at_rest = || is_quiet.then(|| strategy.choose_at_rest(levels, &picking)).flatten();
        strategy.choose(levels, &picking).or_else(at_rest)
    }

    /// Files that overlap nothing change their level by an edit alone.
    fn move_tables(&mut self, plan: &MergePlan) {
        let added: Vec<_> = plan.inputs.iter().map(|(_, table)| (plan.output_level, table.clone())).collect();
        self.publish(
            Install { removed: plan.input_numbers().collect(), added, log_start: None, is_flush: false },
            Vec::new(),
            None,
        );
    }

    fn job_context(
        &mut self,
        horizons: Horizons,
        numbers: u64,
        resident_bytes: u64,
        compression: Compression,
    ) -> JobContext {
        let first = self.background.next_file;
        self.background.next_file += numbers;
        JobContext {
            numbers: first..first + numbers,
            pins: self.pins(),
            horizons,
            table_bytes: self.background.tree_options.table_bytes,
            resident_bytes,
            write_bytes: self.budgets.write,
            compression,
        }
    }

    /// Lets go of tables that nobody reads any more, and removes the files of those that were replaced.
    fn schedule_unlink(&mut self) {
        let is_free = |retired: &mut Retired| Arc::strong_count(&retired.table) == 1;
        let free: Vec<Retired> = self.background.retired.extract_if(.., is_free).collect();
        if free.is_empty() {
            return;
        }
        let numbers = free.iter().filter(|gone| gone.removes_file).map(|gone| gone.table.meta().number);
        let files: Vec<FileName> = numbers.map(FileName::Table).collect();
        for file in &files {
            self.sources.cache.forget_table(file.number());
        }
        let tables: Vec<_> = free.into_iter().map(|gone| gone.table).collect();
        let bytes = tables.iter().map(|table| table.memory_bytes()).sum();
        self.start_claiming(Running::Unlink, Box::new(UnlinkJob::new(files, tables)), bytes);
    }

    /// When merges and flushes are looked at although nothing happened.
    pub(super) fn background_due_us(&self) -> Option<u64> {
        if self.defect.is_some() {
            return None;
        }
        let mut rest_us = self.background.rest_until_us;
        if self.manifest.is_stalled() {
            rest_us = rest_us.max(self.manifest_backoff.until_us);
        }
        let retry_us = (rest_us > self.mono_us).then_some(rest_us);
        let settling_us = self.settling_due_us().map(|due_us| due_us.max(rest_us));
        retry_us.into_iter().chain(settling_us).min()
    }

    /// When a shard that isn't written to is to be made smaller.
    fn settling_due_us(&self) -> Option<u64> {
        let last_us = self.counters.last_write_us;
        (self.background.settled_write_us != Some(last_us)).then_some(last_us + SETTLING_US)
    }
}
