//! The shard driven by hand over a directory in memory: a test decides when a log write, a read or a step of a job
//! is done, when the disk fails or fills up, and when the power goes.

mod background;
mod consent;
mod crashes;
mod damage;
mod durabilities;
mod faults;
mod fixtures;
mod held;
mod jobs;
mod kept;
mod late;
mod long;
mod lost;
mod model;
mod once;
mod once_memory;
mod order;
mod ordered;
mod overdue;
mod pipelining;
mod replicas;
mod residency;
mod rounds;
mod settling;
mod space;
mod ticks;
mod time;
mod time_unwritten;
mod views;

use super::options::{Durability, ShardOptions, Tuning};
use super::request::{
    Answer, Answers, Condition, Level, NO_DEADLINE, Op, PutExpiry, Refusal, Request, Scan, Ticket, Update,
};
use super::{Now, Shard};
use crate::clock::{BootId, BootTime, TimeJump};
use crate::dir::testing::MemoryDir;
use crate::drive::blocking::perform;
use crate::group::groups::Place;
use crate::io::{IoCompletion, IoRequest};
use crate::key::Partition;
use jobs::Running;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;

/// What tests see of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Value(Vec<u8>),
    NotFound,
    Item(usize, Option<Vec<u8>>),
    Written { existed: u32, old: Option<Vec<u8>> },
    NotMet,
    Integer(i64),
    Page(Vec<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>),
    Counted(u64, Option<(Partition, Vec<u8>)>),
    Refused(String),
    Unknown,
    Waits { read: u64, bytes: usize },
}

impl Seen {
    fn new(answer: Answer<'_>) -> Seen {
        match answer {
            Answer::Value(value) => Seen::Value(value.bytes.to_vec()),
            Answer::NotFound => Seen::NotFound,
            Answer::Item { index, value } => Seen::Item(index, value.map(|value| value.bytes.to_vec())),
            Answer::Written { existed, old, .. } => {
                Seen::Written { existed, old: old.map(|value| value.bytes.to_vec()) }
            }
            Answer::NotMet { .. } => Seen::NotMet,
            Answer::Integer(number) => Seen::Integer(number),
            Answer::Page { page, next } => Seen::Page(
                page.iter().map(|(key, value)| (key.to_vec(), value.bytes.to_vec())).collect(),
                next.map(<[u8]>::to_vec),
            ),
            Answer::Counted { keys, next, .. } => {
                Seen::Counted(keys, next.map(|(partition, key)| (partition, key.to_vec())))
            }
            Answer::Refused(Refusal::Damaged(text) | Refusal::Limit(text) | Refusal::ReadOnly(text)) => {
                Seen::Refused(text.to_string())
            }
            Answer::Refused(refusal) => Seen::Refused(format!("{refusal:?}")),
            Answer::Unknown(_) => Seen::Unknown,
            Answer::Waits { read, bytes, .. } => Seen::Waits { read, bytes },
        }
    }
}

/// Answers in the order they came.
#[derive(Debug, Default)]
struct Answered(Vec<(u64, Seen)>);

impl Answers for Answered {
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) {
        self.0.push((ticket.request, Seen::new(answer)));
    }
}

/// A shard driven by hand.
struct Hand {
    shard: Shard,
    dir: MemoryDir,
    options: ShardOptions,
    tuning: Tuning,
    /// Requests that the shard made and nobody has performed.
    held: Vec<IoRequest>,
    jobs: Vec<Running>,
    answered: Answered,
    next: u64,
    now: Now,
    /// Requests that are sent wait so long, microseconds.
    patience_us: u64,
    /// Up to where the entries of groups with replicas are persisted.
    persisted: BTreeMap<Place, u64>,
    /// Rounds of reads that were begun, and whether the others confirm them at once.
    rounds: u64,
    confirms: bool,
}

const START_US: u64 = 1_700_000_000_000_000;

fn options(durability: Durability, memory_mib: usize) -> ShardOptions {
    ShardOptions {
        shard_id: [7; 16],
        partitions: vec![Partition(0), Partition(1)],
        durability,
        memory_bytes: memory_mib << 20,
        direct: false,
        value_bytes_max: 1 << 20,
        membership: None,
        is_made: false,
        time_jump: TimeJump::Refuse,
    }
}

/// Sizes at which a few hundred writes flush, merge and recycle segments.
fn small() -> Tuning {
    let mut tuning = Tuning::new(16 << 20);
    tuning.budgets.memtable = 48 << 10;
    tuning.budgets.memtables = 3 * (48 << 10);
    tuning.budgets.log_write = 64 << 10;
    tuning.budgets.log = 256 << 10;
    tuning.tree.memtable_bytes = tuning.budgets.memtable;
    tuning.tree.table_bytes = 16 << 10;
    tuning.tree.level_base_bytes = 64 << 10;
    tuning.tree.merge_bytes_max = 256 << 10;
    tuning.segment_bytes = 64 << 10;
    tuning
}

/// As [`small`], with tables that are read from disk through a cache of a few blocks.
fn cold() -> Tuning {
    let mut tuning = small();
    tuning.budgets.resident = 0;
    tuning.budgets.cache = 16 << 10;
    tuning
}

/// The sizes of real shards, but for the log's segments: filling them takes most of a test's time.
fn usual() -> Tuning {
    Tuning { segment_bytes: 1 << 20, ..Tuning::new(16 << 20) }
}

impl Hand {
    fn new(durability: Durability, tuning: Tuning) -> Hand {
        let boot = BootTime { id: BootId([1; 16]), us: 0 };
        let now = Now { unix_us: START_US, mono_us: 0, boot };
        Hand::open(MemoryDir::new(), options(durability, 16), tuning, now)
    }

    fn open(mut dir: MemoryDir, options: ShardOptions, tuning: Tuning, now: Now) -> Hand {
        let shard = Shard::open_tuned(&mut dir, options.clone(), tuning.clone(), now).unwrap();
        let appended = |(place, _)| (place, shard.groups[place].appended_index());
        let persisted = shard.replicated().into_iter().map(appended).collect();
        Hand {
            shard,
            dir,
            options,
            tuning,
            held: Vec::new(),
            jobs: Vec::new(),
            answered: Answered::default(),
            next: 0,
            now,
            patience_us: NO_DEADLINE,
            persisted,
            rounds: 0,
            confirms: true,
        }
    }

    /// The process ends and starts again; what it wrote is there.
    fn reopen(self) -> Hand {
        Hand::open(self.dir, self.options, self.tuning, self.now)
    }

    /// The power goes; what wasn't synced is there in part.
    fn crash(mut self, random: &mut SmallRng) -> Hand {
        self.dir.crash(random);
        self.reopen()
    }

    /// Sends an operation to partition 0; returns its number.
    fn send(&mut self, op: Op<'_>) -> u64 {
        self.send_to(0, op)
    }

    fn send_to(&mut self, partition: u16, op: Op<'_>) -> u64 {
        self.send_at(Level::Default, partition, op)
    }

    fn send_at(&mut self, level: Level, partition: u16, op: Op<'_>) -> u64 {
        self.next += 1;
        let ticket = Ticket { owner: 1, request: self.next };
        let deadline_us = self.now.mono_us.saturating_add(self.patience_us);
        let request = Request::new(Partition(partition), op).until(deadline_us).at(level);
        self.shard.tick(self.now);
        self.shard.request(ticket, request, &mut self.answered);
        self.next
    }

    fn advance_ms(&mut self, ms: u64) {
        self.now.unix_us += ms * 1000;
        self.now.mono_us += ms * 1000;
        self.now.boot.us += ms * 1000;
    }

    /// Ends the turn; what the shard asks for is held.
    fn end_turn(&mut self) {
        self.shard.tick(self.now);
        self.shard.advance(&mut self.answered);
        self.propose();
        self.shard.end_turn();
        self.held.extend(self.shard.take_requests());
        let jobs = self.shard.take_jobs();
        self.jobs.extend(jobs.map(|(id, job)| Running {
            id,
            job,
            requests: vec![],
            completions: vec![],
            is_waiting: false,
        }));
    }

    /// Ends turns until what nobody waits for is being written too.
    fn end_turn_late(&mut self) {
        self.end_turn();
        self.advance_ms(2);
        self.end_turn();
    }

    /// Performs everything until nothing is left to do.
    fn settle(&mut self) {
        loop {
            self.end_turn();
            if self.held.is_empty() && self.jobs.is_empty() {
                return;
            }
            self.perform_held();
            self.run_jobs();
        }
    }

    /// Performs the requests held so far.
    fn perform_held(&mut self) {
        for request in std::mem::take(&mut self.held) {
            let completion = perform(&mut self.dir, request);
            self.shard.complete(completion, &mut self.answered);
        }
        for (place, number) in self.shard.take_persisted() {
            let persisted = self.persisted.entry(place).or_default();
            *persisted = number.max(*persisted);
        }
    }

    /// One small thing happens: a turn ends, a request completes (in any order), or a job takes a step.
    fn go_on(&mut self, random: &mut SmallRng) {
        match random.random_range(0..4) {
            0 => self.end_turn(),
            1 if !self.held.is_empty() => {
                let request = self.held.swap_remove(random.random_range(0..self.held.len()));
                let completion = perform(&mut self.dir, request);
                self.shard.complete(completion, &mut self.answered);
            }
            _ if !self.jobs.is_empty() => self.step_job(random.random_range(0..self.jobs.len()), random),
            _ => {}
        }
    }

    fn answer(&self, number: u64) -> Option<&Seen> {
        self.answered.0.iter().find(|(request, _)| *request == number).map(|(_, seen)| seen)
    }

    /// Sends an operation and performs whatever it takes to answer it.
    fn ask(&mut self, op: Op<'_>) -> Seen {
        self.ask_of(0, op)
    }

    fn ask_of(&mut self, partition: u16, op: Op<'_>) -> Seen {
        self.ask_at(Level::Default, partition, op)
    }

    fn ask_at(&mut self, level: Level, partition: u16, op: Op<'_>) -> Seen {
        let before = self.answered.0.len();
        let number = self.send_at(level, partition, op);
        loop {
            let answered = self.answered.0[before..].iter().find(|(request, _)| *request == number);
            if let Some((_, seen)) = answered {
                return seen.clone();
            }
            self.end_turn();
            self.perform_held();
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Seen {
        self.ask(put(key, value))
    }

    fn get(&mut self, key: &[u8]) -> Seen {
        self.ask(Op::Get { key })
    }

    /// Everything of a partition that is applied, page by page.
    fn items(&mut self, partition: u16) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let (mut items, mut from) = (BTreeMap::new(), Vec::new());
        loop {
            let scan = Scan { from: &from, to: b"", limit: 1000, limit_bytes: 1 << 20, keys_only: false };
            let Seen::Page(page, next) = self.ask_at(Level::Eventual, partition, Op::Scan(scan)) else {
                panic!("no page")
            };
            items.extend(page);
            match next {
                Some(next) => from = next,
                None => return items,
            }
        }
    }

    fn table_bytes(&self) -> u64 {
        self.shard.stats().levels.iter().map(|level| level.bytes).sum()
    }
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Op<'a> {
    put_expiring(key, value, PutExpiry::Never)
}

fn put_expiring<'a>(key: &'a [u8], value: &'a [u8], expiry: PutExpiry) -> Op<'a> {
    Op::Update { key, update: Update::Put { value, expiry, condition: Condition::None, want_old: false } }
}

fn delete(key: &[u8]) -> Op<'_> {
    Op::Update {
        key,
        update: Update::Delete { condition: Condition::None, want_old: false, want_existed: true },
    }
}

fn increment(key: &[u8]) -> Op<'_> {
    Op::Update { key, update: Update::Increment { by: 1 } }
}
