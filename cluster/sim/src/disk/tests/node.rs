//! A shard driven over the disk.

use super::super::{Crash, Disk, DiskFaults};
use super::history::{KEYS, State};
use pinion_engine::clock::{BootId, BootTime, TimeJump};
use pinion_engine::io::IoRequest;
use pinion_engine::shard::options::Tuning;
use pinion_engine::shard::request::{Answer, Answers, Op, Request, Scan, Ticket};
use pinion_engine::shard::{Durability, Now, Shard, ShardOptions};
use pinion_engine::{Error, Partition};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const START_US: u64 = 1_700_000_000_000_000;

/// What the tests see of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Value(Vec<u8>),
    NotFound,
    Written,
    Page(Vec<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>),
    Refused,
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Answered(pub BTreeMap<u64, Seen>);

impl Answers for Answered {
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) {
        let seen = match answer {
            Answer::Value(value) => Seen::Value(value.bytes.to_vec()),
            Answer::NotFound => Seen::NotFound,
            Answer::Written { .. } => Seen::Written,
            Answer::Page { page, next } => Seen::Page(
                page.iter().map(|(key, value)| (key.to_vec(), value.bytes.to_vec())).collect(),
                next.map(<[u8]>::to_vec),
            ),
            Answer::Refused(_) => Seen::Refused,
            Answer::Unknown(_) => Seen::Unknown,
            other => panic!("nobody asked for {other:?}"),
        };
        assert_eq!(self.0.insert(ticket.request, seen), None, "answered twice");
    }
}

/// A shard over a disk.
pub(super) struct Node {
    pub shard: Shard,
    pub disk: Disk,
    pub answers: Answered,
    rng: SmallRng,
    options: ShardOptions,
    tuning: Tuning,
    now_us: u64,
    next: u64,
    gets: BTreeMap<u64, Option<Vec<u8>>>,
    /// The shard took no writes for a while since reads were checked last.
    was_in_doubt: bool,
}

/// Sizes at which a few hundred writes flush, merge and recycle segments; half the time with tables that are read
/// through a cache of a few blocks.
fn tuning(is_cold: bool) -> Tuning {
    let mut tuning = Tuning::new(16 << 20);
    tuning.budgets.memtable = 24 << 10;
    tuning.budgets.memtables = 3 * (24 << 10);
    tuning.budgets.log_write = 64 << 10;
    tuning.budgets.log = 128 << 10;
    tuning.tree.memtable_bytes = tuning.budgets.memtable;
    tuning.tree.table_bytes = 16 << 10;
    tuning.tree.level_base_bytes = 48 << 10;
    tuning.tree.merge_bytes_max = 256 << 10;
    tuning.segment_bytes = 64 << 10;
    if is_cold {
        tuning.budgets.resident = 0;
        tuning.budgets.cache = 16 << 10;
    }
    tuning
}

fn now(us: u64) -> Now {
    let boot = BootTime { id: BootId([1; 16]), us };
    Now { unix_us: START_US + us, mono_us: us, boot }
}

impl Node {
    pub fn new(seed: u64, durability: Durability) -> Node {
        let mut rng = SmallRng::seed_from_u64(!seed);
        let options = ShardOptions {
            shard_id: [7; 16],
            partitions: vec![Partition(0), Partition(1)],
            durability,
            memory_bytes: 16 << 20,
            direct: rng.random(),
            value_bytes_max: 1 << 20,
            membership: None,
            is_made: false,
            time_jump: TimeJump::Refuse,
        };
        let tuning = tuning(rng.random());
        let mut disk = Disk::new("store/shard-000");
        let mut dir = disk.dir(None, &mut rng);
        let shard = Shard::open_tuned(&mut dir, options.clone(), tuning.clone(), now(0)).unwrap();
        Node {
            shard,
            disk,
            answers: Answered::default(),
            rng,
            options,
            tuning,
            now_us: 0,
            next: 0,
            gets: BTreeMap::new(),
            was_in_doubt: false,
        }
    }

    pub fn send(&mut self, partition: usize, op: Op<'_>) -> u64 {
        self.next += 1;
        let ticket = Ticket { owner: 1, request: self.next };
        let request = Request::new(Partition(partition as u16), op);
        self.shard.tick(now(self.now_us));
        self.shard.request(ticket, request, &mut self.answers);
        self.next
    }

    pub fn answer(&self, number: u64) -> Option<&Seen> {
        self.answers.0.get(&number)
    }

    /// Reads a random key that should be as in `state`.
    pub fn send_get(&mut self, partition: usize, state: &State) {
        let key = format!("k{:02}", self.rng.random_range(0..KEYS)).into_bytes();
        let number = self.send(partition, Op::Get { key: &key });
        self.gets.insert(number, state.get(&key).cloned());
    }

    /// Checks the answered reads, unless writes that they waited for may have been taken back.
    pub fn check_gets(&mut self, context: &str) {
        if std::mem::take(&mut self.was_in_doubt) || self.shard.failure().is_some() {
            self.gets.clear();
        }
        self.gets.retain(|number, expected| {
            let Some(seen) = self.answers.0.get(number) else { return true };
            let expected = expected.take().map_or(Seen::NotFound, Seen::Value);
            assert!(*seen == Seen::Refused || *seen == expected, "{context}: read {number}");
            false
        });
    }

    fn end_turn(&mut self) {
        self.shard.tick(now(self.now_us));
        self.shard.advance(&mut self.answers);
        self.shard.end_turn();
        self.was_in_doubt |= self.shard.failure().is_some();
        let requests: Vec<IoRequest> = self.shard.take_requests().collect();
        for request in requests {
            self.disk.submit(request, self.now_us, &mut self.rng);
        }
        for (id, job) in self.shard.take_jobs() {
            self.disk.start_job(id, job);
        }
    }

    /// One small thing happens.
    pub fn go_on(&mut self) {
        match self.rng.random_range(0..4) {
            0 => self.end_turn(),
            1 => {
                if let Some(completion) = self.disk.complete_due(self.now_us, &mut self.rng) {
                    self.shard.complete(completion, &mut self.answers);
                }
            }
            2 if self.disk.can_step_background() => {
                if let Some((id, result)) = self.disk.step_background(self.now_us, &mut self.rng) {
                    self.shard.job_done(id, result);
                }
            }
            2 => {}
            _ => match self.disk.next_due_us() {
                Some(due_us) if self.rng.random_ratio(4, 5) => self.now_us = self.now_us.max(due_us),
                _ => self.now_us += self.rng.random_range(0..2000),
            },
        }
    }

    /// Faults end.
    pub fn heal(&mut self) {
        *self.disk.faults() = DiskFaults::default();
        self.disk.set_space_left(None);
    }

    /// As long as background work rests after a failure.
    pub fn rest(&mut self) {
        self.now_us += 1_001_000;
    }

    /// Goes on until nothing is left to do.
    pub fn settle(&mut self, context: &str) {
        for _ in 0..200_000 {
            self.end_turn();
            (0..4).for_each(|_| self.go_on());
            let is_done = self.shard.is_settled() || self.shard.failure().is_some() && self.shard.is_idle();
            if is_done && self.disk.is_idle() {
                return;
            }
            if self.disk.is_idle()
                && let Some(deadline_us) = self.shard.next_deadline_us()
            {
                self.now_us = self.now_us.max(deadline_us);
            }
        }
        panic!(
            "{context}: it never comes to rest; in flight: {:?}",
            self.disk.in_flight().collect::<Vec<_>>()
        );
    }

    pub fn try_open(&mut self, crash_after_steps: Option<u64>) -> Result<Shard, Error> {
        let mut dir = self.disk.dir(crash_after_steps, &mut self.rng);
        Shard::open_tuned(&mut dir, self.options.clone(), self.tuning.clone(), now(self.now_us))
    }

    /// Crashes, and opens the shard again: perhaps with crashes on the way, at last with a disk without faults.
    pub fn crash_and_open(&mut self, kind: Crash, context: &str) {
        self.disk.crash(kind, &mut self.rng);
        self.gets.clear();
        for _ in 0..self.rng.random_range(0..3) {
            let steps = self.rng.random_range(0..40);
            // The shard that opened is gone with the next crash; what it made while opening must not hurt.
            let _ = self.try_open(Some(steps));
            let again = if kind == Crash::Power && self.rng.random() { Crash::Power } else { Crash::Process };
            self.disk.crash(again, &mut self.rng);
        }
        self.heal();
        self.shard = self.try_open(None).unwrap_or_else(|error| panic!("{context}: {error}"));
    }

    fn ask(&mut self, partition: usize, op: Op<'_>, context: &str) -> Seen {
        let number = self.send(partition, op);
        for _ in 0..100_000 {
            if let Some(seen) = self.answers.0.get(&number) {
                return seen.clone();
            }
            self.end_turn();
            self.go_on();
        }
        panic!("{context}: no answer");
    }

    pub fn ask_get(&mut self, partition: usize, key: &[u8], context: &str) -> Seen {
        self.ask(partition, Op::Get { key }, context)
    }

    /// Everything a partition holds.
    pub fn items(&mut self, partition: usize, context: &str) -> State {
        let (mut items, mut from) = (State::new(), Vec::new());
        loop {
            let scan = Scan { from: &from, to: b"", limit: 1000, limit_bytes: 1 << 20, keys_only: false };
            let Seen::Page(page, next) = self.ask(partition, Op::Scan(scan), context) else {
                panic!("{context}: no page");
            };
            items.extend(page);
            match next {
                Some(next) => from = next,
                None => return items,
            }
        }
    }
}
