//! Merging tables into the next level.

use super::context::JobContext;
use super::input::RunInput;
use super::merge_iter::LoserTree;
use super::retention::{RetentionRule, surviving_range_tombstones};
use super::sink::Sink;
use super::step::{Job, JobKind, JobOutput, JobStep};
use super::table_writer::{Progress, WRITER_TOKEN};
use crate::error::Error;
use crate::io::{IoCompletion, IoRequest};
use crate::key::RangeTombstone;
use crate::table::Table;
use crate::tree::plan::{MergePlan, MergeReason};
use std::sync::Arc;

/// Carries out a [`MergePlan`]. Its memory is bounded: two pieces per input run, eight writes.
pub struct MergeJob {
    output_level: usize,
    inputs: Vec<RunInput>,
    /// What all keys of the inputs begin with.
    shared: Vec<u8>,
    tree: Option<LoserTree>,
    /// The tree's winner moved on, but its next entry wasn't there yet.
    stalled: Option<usize>,
    sink: Sink,
    range_tombstones: Vec<RangeTombstone>,
    ended: bool,
}

impl MergeJob {
    /// A merge as planned. Not for plans that only move their inputs.
    pub fn new(plan: MergePlan, context: JobContext) -> MergeJob {
        let metas = || plan.inputs.iter().map(|(_, table)| table.meta());
        let carried: Vec<RangeTombstone> =
            metas().flat_map(|meta| meta.range_tombstones.iter().cloned()).collect();
        let (pins, horizons) = (&context.pins, &context.horizons);
        let range_tombstones = surviving_range_tombstones(&carried, pins, horizons, Some(&plan.outside));
        let rule = RetentionRule {
            pins: context.pins.clone(),
            horizons: context.horizons.clone(),
            below: plan.below.clone(),
            range_tombstones: plan.range_tombstones.clone(),
        };
        let entries: u64 = metas().map(|meta| meta.entries).sum();
        let per_table = entries.saturating_mul(context.table_bytes) / plan.input_bytes().max(1);
        let expected = entries.min(per_table + per_table / 8) as usize;
        let sink = Sink::new(rule, &context, expected, plan.cuts.clone());
        let inputs = match plan.reason {
            MergeReason::Covered => Vec::new(),
            _ => runs(&plan.inputs),
        };
        MergeJob {
            output_level: plan.output_level,
            inputs,
            shared: plan.shared_prefix().to_vec(),
            tree: None,
            stalled: None,
            sink,
            range_tombstones,
            ended: false,
        }
    }

    fn complete(&mut self, completion: IoCompletion, requests: &mut Vec<IoRequest>) {
        if completion.token.0 & WRITER_TOKEN != 0 {
            return self.sink.writer.complete(completion, requests);
        }
        if let Some(input) = self.inputs.get_mut(RunInput::run_of(completion.token))
            && let Err(error) = input.complete(completion)
        {
            self.sink.writer.fail(error);
        }
    }

    /// Takes entries until the budget, the writer's room or an input's blocks are used up; `true` if it
    /// could go on at once.
    fn merge(&mut self, requests: &mut Vec<IoRequest>, mut budget: usize) -> Result<bool, Error> {
        for input in self.inputs.iter_mut().filter(|input| input.is_waiting()) {
            input.go_on(requests)?;
        }
        if self.inputs.iter().any(RunInput::is_waiting) {
            return Ok(false);
        }
        let inputs = &mut self.inputs;
        let tree = self.tree.get_or_insert_with(|| LoserTree::new(inputs, &self.shared));
        if self.stalled.take().is_some() {
            tree.winner_moved(inputs);
        }
        while let Some((winner, entry)) = tree.winner(inputs) {
            if budget == 0 || !self.sink.writer.has_room() {
                return Ok(self.sink.writer.has_room());
            }
            budget = budget.saturating_sub(self.sink.take(entry, requests));
            inputs[winner].advance(requests)?;
            if inputs[winner].is_waiting() {
                self.stalled = Some(winner);
                return Ok(false);
            }
            tree.winner_moved(inputs);
        }
        self.sink.writer.end(std::mem::take(&mut self.range_tombstones), requests);
        self.ended = true;
        Ok(false)
    }
}

impl Job for MergeJob {
    fn kind(&self) -> JobKind {
        JobKind::Merge
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep {
        for completion in completions.drain(..) {
            self.complete(completion, requests);
        }
        let mut going = false;
        if !self.ended && !self.sink.writer.has_failed() {
            match self.merge(requests, budget_bytes.max(1)) {
                Ok(more) => going = more,
                Err(error) => self.sink.writer.fail(error),
            }
        }
        let reads = self.inputs.iter().map(RunInput::in_flight).sum();
        match self.sink.writer.progress(reads, requests) {
            Progress::Working if going => JobStep::More,
            Progress::Working => JobStep::Waiting,
            Progress::Done(tables) => {
                let (level, expired) = (self.output_level, self.sink.expired);
                JobStep::Done(Ok(JobOutput::Tables { tables, level, expired }))
            }
            Progress::Failed(error) => JobStep::Done(Err(error)),
        }
    }
}

/// The inputs as runs: each table of level 0 by itself, the tables of a deeper level one behind the other.
fn runs(inputs: &[(usize, Arc<Table>)]) -> Vec<RunInput> {
    let mut with_entries: Vec<&(usize, Arc<Table>)> =
        inputs.iter().filter(|(_, table)| table.meta().entries > 0).collect();
    with_entries.sort_by(|a, b| (a.0, &a.1.meta().min_key).cmp(&(b.0, &b.1.meta().min_key)));
    let runs = with_entries.chunk_by(|a, b| a.0 == b.0 && a.0 > 0);
    let tables = runs.map(|run| run.iter().map(|(_, table)| Arc::clone(table)).collect());
    tables.enumerate().map(|(run, tables)| RunInput::new(run as u32, tables)).collect()
}
