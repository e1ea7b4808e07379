//! The shard: one synchronous state machine over log, memtables and tables.
//!
//! 1. Requests arrive by [`Shard::request`]. Reads are answered at once from memory, or park until their
//!    blocks are there. Updates are evaluated on arrival against the newest pending value, and their
//!    effects join the forming [`log_write`].
//! 2. [`Shard::end_turn`] turns that into one write of the log, if none is in flight.
//! 3. When that write is durable ([`Shard::complete`]), its entries move to the memtable and its answers
//!    leave, in order. So nobody sees what a crash could take back.
//! 4. A full memtable is frozen, flushed by a job, and installed once the manifest says so; merges go the
//!    same way ([`background`]). The log is released only then.
//!
//! Invariants: at most one log write is in flight; requests on one key take effect in arrival order
//! ([`queue`]); memory is bounded by [`options::Budgets`], beyond which requests are refused as busy.
//! After a failed write it goes on by itself ([`doubt`]). The shard never does I/O, never asks for the time, and never blocks.

mod admission;
mod answer;
mod background;
mod clears;
mod copies;
mod doubt;
pub mod encoding;
mod evaluate;
mod expiry;
mod failing;
mod flow;
mod held;
mod horizons;
mod inspect;
mod keeping;
mod kept;
mod log_write;
mod log_writes;
mod once;
mod open;
pub mod options;
mod overdue;
pub mod owned;
mod page;
mod parked;
mod parked_scan;
mod parking;
mod pending;
mod publish;
mod queue;
mod random;
mod read_errors;
mod reads;
mod reads_led;
mod replicated;
mod report;
pub mod request;
mod residency;
mod resume;
mod rounds;
mod running;
mod scans;
mod shard_dir;
mod sources;
mod stats;
mod trouble;
mod uncommitted;
mod unsettled;
mod view;
mod writes;

#[cfg(test)]
mod tests;

use crate::clock::ShardClock;
use crate::error::Error;
use crate::group::Order;
use crate::group::groups::{Groups, Place};
use crate::io::{IoCompletion, IoRequest};
use crate::job::{Job, JobId, JobOutput};
use crate::key::Prefix;
use crate::log::{Log, LogPosition};
use crate::manifest::Manifest;
use flow::{Flow, Target, Why};
use held::Held;
use kept::KeptReads;
use log_write::LogWrite;
use once::OnceState;
use parked::ParkedRequests;
use parked_scan::LargeScans;
use pending::PendingAnswer;
use queue::KeyLines;
use read_errors::ReadErrors;
use replicated::Replicated;
use request::{Answer, Answers, Once, Op, Refusal, Request, Ticket};
use running::Background;
use shard_dir::ShardDir;
use sources::Sources;
use stats::Counters;
use unsettled::{Backoff, Doubt};
use view::{Moment, Reader, View};

pub use crate::clock::{Clocks, Now, TimeJump};
pub use inspect::check_files;
pub use options::{Budgets, Durability, ShardOptions, Tuning};
pub use replicated::GroupLog;
pub use stats::ShardStats;

/// One shard. See the module's text.
pub struct Shard {
    options: ShardOptions,
    dir: ShardDir,
    budgets: Budgets,
    groups: Groups<PendingAnswer>,
    /// Of these, those whose entries wait to be applied.
    held: Held,
    /// Of those with replicas, what isn't their groups'.
    replicated: Replicated,
    sources: Sources,
    /// Takes what arrives.
    forming: LogWrite,
    /// Is in the log write in flight.
    writing: LogWrite,
    log: Log,
    manifest: Manifest,
    parked: ParkedRequests,
    kept: KeptReads,
    large_scans: LargeScans,
    lines: KeyLines,
    background: Background,
    io: Vec<IoRequest>,
    jobs: Vec<(JobId, Box<dyn Job>)>,
    clock: ShardClock,
    /// Where shard time went when it last leapt, and until when requests wait for that at most, microseconds: see [`resume`].
    leapt_to_us: u64,
    held_until_us: u64,
    /// Shard time in the newest log record, microseconds.
    logged_clock_us: u64,
    /// What the newest clock record said that entries don't carry on; `None` before the first of this opening.
    logged_base: Option<(i64, bool)>,
    /// What was written down of that before this opening, if in this boot.
    known_base: Option<(i64, bool)>,
    /// Shard time in the newest log record whose write is done: no restart goes back behind it.
    kept_clock_us: u64,
    mono_us: u64,
    /// Of requests that are to be done once, what isn't their groups'.
    once: OnceState,
    /// Whether any entry has an expiry: then the log must know the time.
    holds_expiring: bool,
    /// The log up to here is written: what of it isn't applied is held.
    logged_end: LogPosition,
    /// When the log was last synced by itself, and the strictest durability of what was written without a sync since.
    synced_mono_us: u64,
    unsynced: Option<Durability>,
    /// Whether the log write in flight is synced.
    is_write_synced: bool,
    /// Whether the memtable is to be frozen at the next chance.
    wants_flush: bool,
    /// Whether unsynced writes are to be synced without waiting for their interval.
    is_closing: bool,
    /// When a forming log write that nobody waits for was first put off, by the monotonic clock.
    forming_since_us: Option<u64>,
    /// Bytes of values that this turn's updates have read or copied which had waited for a block, or for their turn on a key.
    resumed_bytes: usize,
    /// Bytes of writes that this turn has taken in or applied, and of values that updates read; and whether the forming log write
    /// was put off for that.
    copied_bytes: usize,
    is_put_off: bool,
    /// A log write failed, and what it left isn't settled.
    doubt: Option<Doubt>,
    log_backoff: Backoff,
    manifest_backoff: Backoff,
    /// Why writes are refused until the shard is opened again: a defect.
    defect: Option<String>,
    counters: Counters,
    read_errors: ReadErrors,
    /// Reused buffers: a stored key, a value that an update makes.
    key_scratch: Vec<u8>,
    value_scratch: Vec<u8>,
}

impl Shard {
    /// Takes the time. Called at the start of every turn.
    pub fn tick(&mut self, now: Now) {
        self.mono_us = self.mono_us.max(now.mono_us);
        let before_us = self.clock.us();
        self.clock.tick(&now);
        self.note_leap(before_us);
        self.read_errors.tick(self.mono_us);
        (self.copied_bytes, self.resumed_bytes) = (0, 0);
    }

    /// Takes a request. Its answer goes to `out`, in this call or a later one.
    pub fn request(&mut self, ticket: Ticket, request: Request<'_>, out: &mut impl Answers) {
        let Some(place) = self.groups.place(request.partition) else {
            return out.answer(ticket, Answer::Refused(Refusal::WrongShard));
        };
        if request.deadline_us < self.mono_us {
            self.counters.timed_out += 1;
            if let Op::GoOn { read } = request.op {
                self.forget(read);
            }
            return out.answer(ticket, Answer::Refused(Refusal::TimedOut));
        }
        let group = &self.groups[place];
        let target = Target {
            ticket,
            deadline_us: request.deadline_us,
            place,
            prefix: group.prefix(request.keyspace),
        };
        if group.order() != Order::Solo {
            return self.request_replicated(target, &request, out);
        }
        self.take_in(target, &request, out);
    }

    /// Takes a request that is for this shard to answer.
    #[inline(always)]
    fn take_in(&mut self, target: Target, request: &Request<'_>, out: &mut impl Answers) {
        if let Some(once) = request.once
            && !self.is_to_be_done(target, once, out)
        {
            return;
        }
        if !self.lines.is_empty() && self.stands_in_line(target.prefix, &request.op) {
            return self.park(target, (&request.op, request.once), Why::Turn, out);
        }
        match self.dispatch(&target, &request.op, request.once, Reader::Newest, out) {
            Flow::Done | Flow::Ticks => {}
            Flow::Cold(blocks) => self.park(target, (&request.op, request.once), Why::Blocks(&blocks), out),
            Flow::Stopped(stopped) => self.stop(target, &request.op, *stopped, out),
        }
    }

    fn dispatch(
        &mut self,
        target: &Target,
        op: &Op<'_>,
        once: Option<&Once>,
        reader: Reader,
        out: &mut impl Answers,
    ) -> Flow {
        let target = *target;
        match op {
            Op::Get { key } => self.get(target, key, reader, out),
            Op::GetMany { keys, values } => self.get_many(target, (keys, *values), reader, out),
            Op::Update { key, update } => self.update(target, once, (key, update), out),
            Op::UpdateMany { updates } => self.update_many(target, once, updates, out),
            Op::Scan(_) | Op::ScanMany { .. } | Op::Count(_) if reader.is_unsure() => Flow::Ticks,
            Op::Scan(scan) => {
                let partition = self.groups[target.place].id;
                self.scan(target, &[partition], (scan, true), reader, out);
                Flow::Done
            }
            Op::ScanMany { partitions, scan, oversized } => {
                self.scan(target, partitions, (scan, *oversized), reader, out);
                Flow::Done
            }
            Op::Count(count) => self.count(target, count, reader, out),
            Op::Clear => self.clear(target, once, out),
            Op::GoOn { read } => {
                self.go_on(target, *read, out);
                Flow::Done
            }
        }
    }

    /// Takes a completion of a request that [`Shard::take_requests`] handed out.
    pub fn complete(&mut self, completion: IoCompletion, out: &mut impl Answers) {
        if self.log.owns(completion.token) {
            self.log_done(completion, out);
        } else if self.manifest.owns(completion.token) {
            self.manifest_done(completion);
        } else {
            self.blocks_done(completion, out);
        }
    }

    /// Takes the end of a job that [`Shard::take_jobs`] handed out.
    pub fn job_done(&mut self, id: JobId, result: Result<JobOutput, Error>) {
        self.background_done(id, result);
    }

    /// Ends a turn: what arrived becomes one log write (if none is in flight), and due jobs start.
    pub fn end_turn(&mut self) {
        self.settle_doubt();
        self.start_log_write();
        self.schedule();
    }

    /// I/O to perform: reads, writes and syncs at once, the rare rest by the background driver.
    pub fn take_requests(&mut self) -> std::vec::Drain<'_, IoRequest> {
        self.io.drain(..)
    }

    /// Jobs to start.
    pub fn take_jobs(&mut self) -> std::vec::Drain<'_, (JobId, Box<dyn Job>)> {
        self.jobs.drain(..)
    }

    /// Whether nothing is in flight and nothing waits: everything accepted is durable or answered.
    pub fn is_idle(&self) -> bool {
        self.forming.is_empty()
            && !self.log.is_writing()
            && self.parked.is_empty()
            && (!self.manifest.is_busy() || self.manifest.is_stalled())
            && self.unsynced.is_none()
            && !self.log.is_syncing()
            && !self.is_saving()
            && !self.replicated.has_more()
            && self.io.is_empty()
    }

    /// Why the shard takes no writes: a log write failed and what it left isn't settled yet, or (until the
    /// shard is opened again) a defect. `None` while all is well, also while the disk is full.
    pub fn failure(&self) -> Option<&str> {
        self.defect.as_deref().or(self.doubt.as_ref().map(|doubt| doubt.reason.as_str()))
    }

    /// The shard's time, which expiry goes by.
    pub fn clocks(&self) -> Clocks {
        self.clock.clocks(self.kept_clock_us)
    }

    /// Bytes of writes that wait for the next log write.
    pub fn forming_bytes(&self) -> usize {
        self.forming.bytes()
    }

    /// How many writes wait for the next log write: all of them are applied at once when it is done.
    pub fn forming_ops(&self) -> usize {
        self.forming.ops()
    }

    /// How many requests wait for the next log write with their answer.
    pub fn forming_requests(&self) -> usize {
        self.forming.requests()
    }

    /// Whether requests that could go on were left over for the next turn.
    pub fn has_left_over(&self) -> bool {
        self.parked.has_left_over()
    }

    /// Whether a log write is under way.
    pub fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Whether writes wait for the next log write, or for the end of the one that is under way.
    pub fn has_unapplied_writes(&self) -> bool {
        !self.forming.is_empty() || self.is_writing()
    }

    /// Freezes the memtable, so that it is flushed, once what is in flight is applied.
    pub fn flush(&mut self) {
        self.wants_flush = true;
    }

    /// Syncs at the next turn what is written but not synced: [`Shard::is_idle`] then means durable.
    pub fn begin_shutdown(&mut self) {
        self.is_closing = true;
        self.try_before_closing();
    }

    /// Whether background work is running or about to start.
    pub fn is_settled(&self) -> bool {
        self.is_idle()
            && self.doubt.is_none()
            && !self.wants_flush
            && self.held.apply_at.is_empty()
            && self.sources.frozen.is_empty()
            && self.background.is_settled()
            && self.jobs.is_empty()
    }

    /// What a read of a partition sees that arrives now, if nothing of what it reads is pending.
    fn moment(&self, place: Place) -> Moment {
        let view = View { version: self.groups[place].assigned, mark: self.sources.mark() };
        let now_ms = self.now_ms(place);
        Moment { view, now_ms, sure_ms: now_ms }
    }

    /// Whether somebody waits whom this request must not overtake.
    fn stands_in_line(&mut self, prefix: Prefix, op: &Op<'_>) -> bool {
        let mut has = |key: &[u8]| {
            prefix.stored_key(key, &mut self.key_scratch);
            self.lines.has(&self.key_scratch)
        };
        let is_behind_a_clear = has(&[]);
        match op {
            Op::Get { key } | Op::Update { key, .. } => is_behind_a_clear || has(key),
            Op::GetMany { keys, .. } => is_behind_a_clear || keys.iter().any(|key| has(key)),
            Op::UpdateMany { updates } => is_behind_a_clear || updates.iter().any(|(key, _)| has(key)),
            Op::Clear => !self.lines.keys_of(&prefix.to_bytes()).is_empty(),
            // Ordered reads see applied data only: they have no place in the order of pending requests.
            Op::Scan(_) | Op::ScanMany { .. } | Op::Count(_) | Op::GoOn { .. } => false,
        }
    }
}
