//! What becomes of finished jobs: published by the manifest, installed in the tree, or tried again.
//!
//! Order of publication: a job ends with its tables synced (and their names); then the manifest edit is
//! made durable; then the tree is replaced; and only then log segments are released and old files removed.

use super::Shard;
use super::failing::Work;
use super::running::{Install, Retired, Running};
use super::sources::Frozen;
use super::unsettled::RETRY_US;
use crate::clock::ClockStamp;
use crate::error::Error;
use crate::io::FileName;
use crate::job::{JobId, JobOutput, UnlinkJob};
use crate::manifest::{Edit, GroupState, TableEntry};
use crate::table::Table;
use std::collections::HashSet;
use std::sync::Arc;

impl Shard {
    /// Takes the end of a job.
    pub(super) fn background_done(&mut self, id: JobId, result: Result<JobOutput, Error>) {
        let Some(running) = self.background.running.remove(&id) else { return };
        let claim = self.background.claims.remove(&id).unwrap_or_default();
        // What a job gave back, or didn't use after all, may be room for a table.
        self.background.is_housekeeping_due |= claim > 0 && !matches!(running, Running::Residency { .. });
        match (running, result) {
            (Running::Flush, Ok(JobOutput::Tables { tables, level, expired })) => {
                self.counters.expired += expired;
                self.flushed(tables, level);
            }
            (Running::Merge { inputs, .. }, Ok(JobOutput::Tables { tables, level, expired })) => {
                self.counters.expired += expired;
                self.counters.merges += 1;
                self.succeeded(Work::Merge);
                let added = tables.into_iter().map(|table| (level, table)).collect();
                self.publish(
                    Install { removed: inputs, added, log_start: None, is_flush: false },
                    Vec::new(),
                    None,
                );
            }
            (Running::Segment, Ok(JobOutput::Segment(file))) => {
                self.succeeded(Work::Segment);
                self.log.segment_ready(file);
            }
            (Running::Residency { tables }, result) => {
                for number in tables {
                    self.background.busy.remove(&number);
                }
                self.background.is_merge_due = true;
                match result {
                    Ok(JobOutput::Reopened(reopened)) => {
                        self.replace_tables(reopened);
                        self.background.is_housekeeping_due = true;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let text = self.dir.tell(&error);
                        tracing::error!("tables stay as they are: {text}");
                    }
                }
            }
            (Running::Unlink, Ok(_)) => {}
            (Running::Unlink, Err(error)) => {
                let text = self.dir.tell(&error);
                tracing::error!("a file that nothing needs stays until the shard is opened again: {text}");
            }
            (running, Err(error)) => self.job_failed(running, &error),
            (running, Ok(_)) => {
                self.job_failed(running, &Error::Unusable("a job ended with another kind's output".into()));
            }
        }
    }

    fn replace_tables(&mut self, reopened: Vec<Arc<Table>>) {
        let level_of = |number| self.sources.tree.tables().find(|(_, table)| table.meta().number == number);
        let added: Vec<_> = reopened
            .into_iter()
            .filter_map(|table| level_of(table.meta().number).map(|(level, _)| (level, table)))
            .collect();
        let old = added.iter().filter_map(|(_, table)| self.sources.table(table.meta().number).cloned());
        let old = old.map(|table| Retired { table, removes_file: false });
        self.background.retired.extend(old);
        self.sources.install(self.sources.tree.with(&[], &added));
    }

    fn flushed(&mut self, tables: Vec<Arc<Table>>, level: usize) {
        self.counters.flushes += 1;
        self.succeeded(Work::Flush);
        let Some(Frozen { log_start, groups, clock, .. }) = self.sources.frozen.front() else { return };
        let (log_start, groups, clock) = (*log_start, groups.clone(), *clock);
        let added = tables.into_iter().map(|table| (level, table)).collect();
        self.publish(
            Install { removed: Vec::new(), added, log_start: Some(log_start), is_flush: true },
            groups,
            clock,
        );
    }

    fn job_failed(&mut self, running: Running, error: &Error) {
        self.counters.job_errors += 1;
        self.background.is_merge_due = true;
        let damaged = self.damaged_table(error);
        let trouble = match (damaged, error) {
            // What the job itself wrote counts for nothing yet, and is written again.
            (None, Error::Damaged { .. }) => self.dir.tell_unread(error),
            _ => self.dir.tell(error),
        };
        if let Running::Merge { inputs, .. } = &running {
            // A damaged table stays busy: no merge takes it in until a repair. All else goes on.
            for number in inputs.iter().filter(|&&number| Some(number) != damaged) {
                self.background.busy.remove(number);
            }
            if damaged.is_some() {
                tracing::error!("a merge met damage and is given up: {trouble}");
                return;
            }
        }
        let work = match &running {
            Running::Segment => Work::Segment,
            Running::Flush => Work::Flush,
            Running::Merge { .. } | Running::Residency { .. } | Running::Unlink => Work::Merge,
        };
        if self.background.failing.note(work, error, self.mono_us) {
            tracing::error!("background work failed, it is tried again every second: {trouble}");
        }
        self.background.trouble = Some(trouble);
        self.background.rest_until_us = self.mono_us + RETRY_US;
        if work == Work::Segment {
            self.log.segment_failed();
        }
    }

    /// The table of this shard that an error calls damaged.
    fn damaged_table(&self, error: &Error) -> Option<u64> {
        match error {
            Error::Damaged { file: FileName::Table(number), .. } => {
                self.sources.table(*number).map(|table| table.meta().number)
            }
            _ => None,
        }
    }

    /// The manifest couldn't be written; it waits to be told to try again. Room is looked for every second, a
    /// broken disk less and less often.
    pub(super) fn manifest_stalled(&mut self, error: std::io::Error) {
        let seconds = self.manifest_backoff.failed(self.mono_us, &error);
        let error = Error::io("write", self.manifest.file(), "", error);
        let trouble = self.dir.tell(&error);
        if self.background.failing.note(Work::Manifest, &error, self.mono_us) {
            tracing::error!(
                "the manifest waits, trying again in {seconds} s, later if it goes on: {trouble}"
            );
        }
        self.background.trouble = Some(trouble);
        self.background.rest_until_us = self.mono_us + RETRY_US;
    }

    /// Asks the manifest for an edit; [`Shard::install_next`] follows when it is durable.
    pub(super) fn publish(&mut self, install: Install, groups: Vec<GroupState>, clock: Option<ClockStamp>) {
        let added = install.added.iter().map(|(level, table)| TableEntry {
            number: table.meta().number,
            level: u8::try_from(*level).expect("there are seven levels"),
            file_bytes: table.meta().file_bytes,
        });
        let known = self.manifest.planned();
        let reached = self.log.reached();
        let edit = Edit {
            added: added.collect(),
            removed: install.removed.clone(),
            groups,
            log_start: install.log_start,
            log_reached: (reached.generation > known.log_reached.generation).then_some(reached),
            next_file: Some(self.background.next_file),
            membership: self.options.membership.filter(|_| known.membership != self.options.membership),
            clock,
        };
        if let Err(what) = self.manifest.check(&edit) {
            let reason = format!("{what}: this is a defect, please report it; the shard takes no writes");
            tracing::error!("{reason}");
            self.defect.get_or_insert(reason);
        }
        if self.defect.is_some() {
            return;
        }
        self.background.installs.push_back(install);
        self.manifest.append(edit, &mut self.io);
    }

    /// Has the manifest hear of a segment that the log has begun, and of the store that the shard belongs to: so that
    /// they are missed if they are lost.
    pub(super) fn tell_manifest(&mut self) {
        let known = self.manifest.planned();
        let is_known = known.log_reached.generation >= self.log.end().segment;
        if is_known && (self.options.membership.is_none() || known.membership == self.options.membership) {
            return;
        }
        self.publish(Install::default(), Vec::new(), None);
    }

    /// Installs the oldest edit, which is durable now.
    pub(super) fn install_next(&mut self) {
        let Some(install) = self.background.installs.pop_front() else { return };
        let moved: HashSet<u64> = install.added.iter().map(|(_, table)| table.meta().number).collect();
        let is_gone = |number: &&u64| !moved.contains(number);
        let gone =
            install.removed.iter().filter(is_gone).filter_map(|&number| self.sources.table(number).cloned());
        let gone: Vec<_> = gone.map(|table| Retired { table, removes_file: true }).collect();
        let tree = self.sources.tree.with(&install.removed, &install.added);
        if let Some(log_start) = install.log_start {
            self.log.release(log_start, &mut self.io);
        }
        let flushed = if install.is_flush { self.sources.frozen.pop_front() } else { None };
        self.sources.install(tree);
        if let Some(Frozen { memtable, log_end, .. }) = flushed {
            self.held.flushed_to = log_end;
            // In the background: giving large memory back takes long.
            self.start(Running::Unlink, Box::new(UnlinkJob::letting_go(vec![Box::new(memtable)])));
        }
        self.succeeded(Work::Manifest);
        let is_all_in_tables = self.sources.frozen.is_empty() && self.sources.active.is_empty();
        if is_all_in_tables && self.forming.is_empty() && self.writing.is_empty() {
            self.holds_expiring = self.sources.tree.tables().any(|(_, table)| table.meta().expiring > 0);
        }
        for number in install.removed.iter().chain(&moved) {
            self.background.busy.remove(number);
        }
        self.background.retired.extend(gone);
        self.background.is_housekeeping_due = true;
        self.background.is_merge_due = true;
        self.background.debt_bytes = self.sources.tree.debt_bytes(&self.background.tree_options);
    }

    /// Files that no manifest names, found at open.
    pub(super) fn is_orphan(file: FileName, tables: impl Fn(u64) -> bool) -> bool {
        match file {
            FileName::Table(number) => !tables(number),
            FileName::ManifestTemp(_) => true,
            FileName::Log(_) | FileName::Manifest(_) => false,
        }
    }
}
