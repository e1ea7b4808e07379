//! Operations: which requests they consist of, and what is recorded when.
//!
//! A [`Planner`] draws operations and knows, after each answer, what comes next. It does no I/O, so the same code
//! drives every store.
//! - READ, INSERT, SCAN: one request (a scan may take several pages).
//! - UPDATE: one put where the whole record is replaced; else read, merge, put, recorded as one UPDATE.
//! - READ-MODIFY-WRITE: read, merge, put, recorded as a READ, an UPDATE (merge and put) and as a whole.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::chooser::{Chooser, Inserts};
use crate::db::{Outcome, Request};
use crate::measure::{Recorder, Status};
use crate::workload::{FieldLength, Kind, Workload};
use crate::{record, values};

/// An operation on its way.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What it is.
    pub kind: Kind,
    record: u64,
    stage: Stage,
    /// Rows a scan still wants.
    rows_left: u64,
    /// When it began: when it was due in an open loop, else when it was sent.
    started: Instant,
    stage_started: Instant,
}

impl Operation {
    /// Whether its request under way writes.
    fn is_writing(&self) -> bool {
        match self.stage {
            Stage::Only => matches!(self.kind, Kind::Insert | Kind::Update),
            Stage::ReadThenWrite => false,
            Stage::Write => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first request, and the last one unless `ReadThenWrite`.
    Only,
    ReadThenWrite,
    Write,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The draft is to be sent.
    Send,
    /// The operation has ended and is recorded.
    Done,
}

/// What all workers of a run share.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workload.
    pub workload: Arc<Workload>,
    /// Whether records are loaded, or operations drawn.
    pub is_load: bool,
    /// Which records there are.
    pub inserts: Arc<Inserts>,
    /// Draws records.
    pub chooser: Chooser,
}

impl Plan {
    /// The plan of a load.
    pub fn load(workload: Arc<Workload>) -> Plan {
        Plan::new(true, workload, 0)
    }

    /// The plan of a run of about so many operations.
    pub fn run(workload: Arc<Workload>, operations: u64) -> Plan {
        Plan::new(false, workload, operations)
    }

    fn new(is_load: bool, workload: Arc<Workload>, operations: u64) -> Plan {
        let first_insert = if is_load { workload.insert_start } else { workload.record_count };
        let (start, count) = (workload.insert_start, workload.insert_count);
        // A load draws nothing: no need to sum up the distribution of its records.
        let chooser = match is_load {
            true => Chooser::new(&crate::chooser::Distribution::Uniform, start, count, 0),
            false => {
                Chooser::new(&workload.distribution, start, count, workload.expected_inserts(operations))
            }
        };
        Plan { workload, is_load, inserts: Arc::new(Inserts::new(first_insert)), chooser }
    }
}

/// A request that is being written; keep it to use its memory again.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    key: Vec<u8>,
    value: Vec<u8>,
    cursor: Vec<u8>,
    what: What,
}

#[derive(Clone, Copy, Debug, Default)]
enum What {
    #[default]
    Read,
    Write,
    Scan {
        limit: u64,
    },
}

impl Draft {
    /// The request to send.
    pub fn request(&self) -> Request<'_> {
        match self.what {
            What::Read => Request::Read { key: &self.key },
            What::Write => Request::Write { key: &self.key, value: &self.value },
            What::Scan { limit } => Request::Scan { from: &self.key, cursor: &self.cursor, limit },
        }
    }
}

/// Draws operations and writes their requests, for one worker.
#[derive(Debug)]
pub struct Planner {
    plan: Plan,
    rng: SmallRng,
    scratch: Vec<u8>,
}

impl Planner {
    /// A planner with random numbers of its own.
    pub fn new(plan: Plan, seed: u64) -> Planner {
        Planner { plan, rng: SmallRng::seed_from_u64(seed), scratch: Vec::new() }
    }

    /// Begins an operation and drafts its first request. `due` is when it should have begun.
    pub fn begin(&mut self, due: Instant, now: Instant, draft: &mut Draft) -> Operation {
        let kind = if self.plan.is_load { Kind::Insert } else { self.draw_kind() };
        let record = match kind {
            Kind::Insert => self.plan.inserts.take(),
            _ => self.plan.chooser.next(&self.plan.inserts, &mut self.rng),
        };
        let mut operation =
            Operation { kind, record, stage: Stage::Only, rows_left: 0, started: due, stage_started: now };
        let workload = &self.plan.workload;
        workload.keys.write(record, &mut draft.key);
        let updates_read = workload.updates_read();
        match kind {
            Kind::Read => draft.what = What::Read,
            Kind::Insert => self.draft_record(record, draft),
            Kind::Update if !updates_read => self.draft_record(record, draft),
            Kind::Update | Kind::ReadModifyWrite => {
                operation.stage = Stage::ReadThenWrite;
                draft.what = What::Read;
            }
            Kind::Scan => {
                operation.rows_left = workload.scan_length.draw(&mut self.rng);
                draft.cursor.clear();
                draft.what = What::Scan { limit: operation.rows_left };
            }
        }
        operation
    }

    /// Takes the answer to an operation's last request, and drafts the next one if there is to be one.
    pub fn answered(
        &mut self,
        operation: &mut Operation,
        outcome: &Outcome<'_>,
        now: Instant,
        recorder: &mut Recorder,
        draft: &mut Draft,
    ) -> Next {
        let status = self.judge(operation, outcome);
        if operation.kind == Kind::ReadModifyWrite {
            let part = if operation.stage == Stage::Write { Kind::Update } else { Kind::Read };
            recorder.part(part, now.saturating_duration_since(operation.stage_started), status);
        }
        match (operation.stage, outcome) {
            (Stage::ReadThenWrite, Outcome::Value(old)) if status == Status::Ok => {
                self.draft_merged(operation.record, old, draft);
                operation.stage = Stage::Write;
            }
            (_, Outcome::Page { rows, cursor: Some(cursor) }) if operation.rows_left > *rows as u64 => {
                operation.rows_left -= *rows as u64;
                self.plan.workload.keys.write(operation.record, &mut draft.key);
                draft.cursor.clear();
                draft.cursor.extend_from_slice(cursor);
                draft.what = What::Scan { limit: operation.rows_left };
            }
            _ => {
                self.end(operation, status, now, recorder);
                return Next::Done;
            }
        }
        operation.stage_started = now;
        Next::Send
    }

    /// Records an operation that was cut off. If its request was sent and writes, nobody knows what came of it.
    pub fn cut_off(&mut self, operation: &Operation, was_sent: bool, now: Instant, recorder: &mut Recorder) {
        let status = if was_sent && operation.is_writing() { Status::Unknown } else { Status::Error };
        self.end(operation, status, now, recorder);
    }

    fn end(&mut self, operation: &Operation, status: Status, now: Instant, recorder: &mut Recorder) {
        if operation.kind == Kind::Insert {
            self.plan.inserts.acknowledge(operation.record);
        }
        let latency = now.saturating_duration_since(operation.started);
        recorder.operation(operation.kind, latency, status, now);
    }

    fn judge(&mut self, operation: &Operation, outcome: &Outcome<'_>) -> Status {
        match outcome {
            Outcome::Done | Outcome::Page { .. } => Status::Ok,
            Outcome::Value(value) if self.plan.workload.data_integrity => self.check(operation.record, value),
            Outcome::Value(_) => Status::Ok,
            Outcome::NotFound => Status::NotFound,
            Outcome::Failed(_) => Status::Error,
            Outcome::Unknown(_) => Status::Unknown,
        }
    }

    fn draw_kind(&mut self) -> Kind {
        let proportions = &self.plan.workload.proportions;
        let mut at = self.rng.random::<f64>() * proportions.iter().sum::<f64>();
        for kind in Kind::ALL {
            let proportion = proportions[kind as usize];
            if at < proportion {
                return kind;
            }
            at -= proportion;
        }
        // Rounding may leave a hair: it belongs to the last kind that is drawn at all.
        Kind::ALL.into_iter().rev().find(|kind| proportions[*kind as usize] > 0.0).unwrap_or(Kind::Read)
    }

    /// Drafts a put of a whole new record; the key is there already.
    fn draft_record(&mut self, record: u64, draft: &mut Draft) {
        let Planner { plan, rng, .. } = self;
        draft.what = What::Write;
        draft.value.clear();
        record::encode(plan.workload.field_count, &mut draft.value, |field, out| {
            new_field(&plan.workload, record, field, rng, out);
        });
    }

    /// Drafts a put of `old` with one field replaced, or of a new record where all fields are. A value that is no
    /// record of this workload is replaced as a whole.
    fn draft_merged(&mut self, record: u64, old: &[u8], draft: &mut Draft) {
        let Planner { plan, rng, .. } = self;
        let workload = &plan.workload;
        workload.keys.write(record, &mut draft.key);
        draft.what = What::Write;
        draft.value.clear();
        let field = rng.random_range(0..workload.field_count);
        let is_merged = workload.updates_read()
            && record::merge(workload.field_count, old, field, &mut draft.value, |out| {
                new_field(workload, record, field, rng, out);
            });
        if !is_merged {
            self.draft_record(record, draft);
        }
    }

    /// Whether a value is what was written for this record.
    fn check(&mut self, record: u64, value: &[u8]) -> Status {
        let FieldLength::Constant(length) = self.plan.workload.field_lengths.0 else { return Status::Ok };
        let Some(mut fields) = record::decode(self.plan.workload.field_count, value) else {
            return Status::UnexpectedState;
        };
        let scratch = &mut self.scratch;
        let mut number = 0;
        let is_expected = fields.all(|field| {
            scratch.clear();
            values::expected(record, number, length as usize, scratch);
            number += 1;
            field == scratch.as_slice()
        });
        if is_expected { Status::Ok } else { Status::UnexpectedState }
    }
}

fn new_field(workload: &Workload, record: u64, field: usize, rng: &mut SmallRng, out: &mut Vec<u8>) {
    let length = workload.field_lengths.0.draw(rng) as usize;
    match workload.data_integrity {
        true => values::expected(record, field, length, out),
        false => values::random(length, rng, out),
    }
}

#[cfg(test)]
#[path = "operation_test.rs"]
mod tests;
