//! The shard driven by hand: a test decides when a log write, a read or a job is done.

mod crashes;
mod model;
mod order;
mod space;

use super::options::{Durability, Now, ShardOptions};
use super::owned::OwnedOp;
use super::request::{Answer, Answers, Condition, Op, PutExpiry, Refusal, Request, Ticket, Update};
use super::{JobId, Shard};
use crate::aligned::AlignedBuf;
use crate::dir::Dir;
use crate::drive::OsDir;
use crate::io::{IoCompletion, IoOutput, IoRequest};
use crate::job::{Job, JobStep};
use crate::key::{Keyspace, Partition};
use std::collections::BTreeMap;
use std::path::Path;

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
    Refused(String),
    Unknown,
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
            Answer::Refused(Refusal::Damaged(text) | Refusal::Limit(text) | Refusal::ReadOnly(text)) => {
                Seen::Refused(text.to_string())
            }
            Answer::Refused(refusal) => Seen::Refused(format!("{refusal:?}")),
            Answer::Unknown(_) => Seen::Unknown,
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

/// A shard over a real directory, driven by hand.
struct Hand {
    shard: Shard,
    dir: OsDir,
    /// Requests that the shard made and nobody has performed.
    held: Vec<IoRequest>,
    jobs: Vec<(JobId, Box<dyn Job>)>,
    answered: Answered,
    next: u64,
    now: Now,
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
    }
}

impl Hand {
    fn open(path: &Path, options: ShardOptions) -> Hand {
        Hand::open_at(path, options, Now { unix_us: START_US, mono_us: 0 })
    }

    fn open_at(path: &Path, options: ShardOptions, now: Now) -> Hand {
        let mut dir = OsDir::create(path).unwrap();
        let shard = Shard::open(&mut dir, options, now).unwrap();
        Hand { shard, dir, held: Vec::new(), jobs: Vec::new(), answered: Answered::default(), next: 0, now }
    }

    /// Sends an operation to partition 0; returns its number.
    fn send(&mut self, op: Op<'_>) -> u64 {
        self.next += 1;
        let ticket = Ticket { owner: 1, request: self.next };
        let request = Request { keyspace: Keyspace(0), partition: Partition(0), op };
        self.shard.tick(self.now);
        self.shard.request(ticket, request, &mut self.answered);
        self.next
    }

    fn advance_ms(&mut self, ms: u64) {
        self.now.unix_us += ms * 1000;
        self.now.mono_us += ms * 1000;
    }

    /// Ends the turn; what the shard asks for is held.
    fn end_turn(&mut self) {
        self.shard.tick(self.now);
        self.shard.end_turn();
        self.held.extend(self.shard.take_requests());
        self.jobs.extend(self.shard.take_jobs());
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
    }

    /// Runs the jobs that were started, each to its end.
    fn run_jobs(&mut self) {
        for (id, mut job) in std::mem::take(&mut self.jobs) {
            let result = run_job(&mut self.dir, &mut *job);
            self.shard.job_done(id, result);
        }
    }

    fn answer(&self, number: u64) -> Option<&Seen> {
        self.answered.0.iter().find(|(request, _)| *request == number).map(|(_, seen)| seen)
    }

    /// Sends an operation and performs whatever it takes to answer it.
    fn ask(&mut self, op: Op<'_>) -> Seen {
        let number = self.send(op);
        while self.answer(number).is_none() {
            self.end_turn();
            self.perform_held();
        }
        self.answer(number).cloned().unwrap()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Seen {
        self.ask(put(key, value))
    }

    fn get(&mut self, key: &[u8]) -> Seen {
        self.ask(Op::Get { key })
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

fn perform(dir: &mut dyn Dir, request: IoRequest) -> IoCompletion {
    let (token, result) = match request {
        IoRequest::Create { token, file } => (token, dir.create(file).map(|()| IoOutput::Done)),
        IoRequest::Write { token, file, offset, data, sync } => {
            let written = dir.write(file, offset, &data);
            let synced = written.and_then(|()| if sync { dir.sync(file) } else { Ok(()) });
            (token, synced.map(|()| IoOutput::Written(data)))
        }
        IoRequest::Read { token, file, offset, len } => {
            let read = dir.read(file, offset, len);
            (token, read.map(|bytes| IoOutput::Data(AlignedBuf::from(&bytes[..]))))
        }
        IoRequest::Sync { token, file } => (token, dir.sync(file).map(|()| IoOutput::Done)),
        IoRequest::SyncDir { token } => (token, dir.sync_dir().map(|()| IoOutput::Done)),
        IoRequest::Rename { token, from, to } => (token, dir.rename(from, to).map(|()| IoOutput::Done)),
        IoRequest::Unlink { token, file } => (token, dir.unlink(file).map(|()| IoOutput::Done)),
        IoRequest::Map { token, file } => (token, dir.map(file, true).map(IoOutput::Mapped)),
    };
    IoCompletion { token, result }
}

fn run_job(dir: &mut dyn Dir, job: &mut dyn Job) -> Result<crate::job::JobOutput, crate::Error> {
    let (mut completions, mut requests) = (Vec::new(), Vec::new());
    loop {
        let step = job.step(&mut completions, &mut requests, 1 << 20);
        completions.extend(requests.drain(..).map(|request| perform(dir, request)));
        if let JobStep::Done(result) = step {
            return result;
        }
    }
}

/// What a key-value store with expiry should do, in the simplest way.
#[derive(Clone, Debug, Default)]
struct Model {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
}

impl Model {
    fn live(&self, key: &[u8], now_ms: u64) -> Option<&Vec<u8>> {
        self.values.get(key).filter(|(_, expiry)| *expiry == 0 || *expiry > now_ms).map(|(value, _)| value)
    }

    fn items(&self, now_ms: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
        let live = self.values.iter().filter(|(_, (_, expiry))| *expiry == 0 || *expiry > now_ms);
        live.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }
}

/// A copy of an operation that a test keeps.
fn keep(op: &Op<'_>) -> OwnedOp {
    OwnedOp::new(op)
}
