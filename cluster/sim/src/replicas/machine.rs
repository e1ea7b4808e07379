//! A machine with one replica: its clock, its disk, and the shard and its replica that run on it, or will.

use super::clients::{Gathered, Letter, Reply};
use super::ways::Ways;
use crate::clock::Clock;
use crate::disk::{Crash, Disk, DiskFaults};
use pinion_cluster::consensus::message::Message;
use pinion_cluster::consensus::{Replica, Replicas, Settings};
use pinion_engine::Error;
use pinion_engine::clock::{ClockStamp, TimeJump};
use pinion_engine::drive::blocking::publish;
use pinion_engine::key::Partition;
use pinion_engine::manifest::{ConfState, Edit, GroupState, Manifest};
use pinion_engine::shard::request::{Answer, Answers, Level, Op, Request, Scan, Ticket};
use pinion_engine::shard::{Durability, Shard, ShardOptions, Tuning};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The group that is replicated, and one that its shard has beside it.
pub const REPLICATED: Partition = Partition(0);
pub const BESIDE: Partition = Partition(1);

/// The times of two shards differ by so much, microseconds.
const SHARDS_APART_US: u64 = 5 * 3_600_000_000;

/// What runs on a machine.
struct Running {
    shard: Shard,
    replicas: Replicas,
    since_us: u64,
    answers: Gathered,
}

/// Pages of a scan.
#[derive(Default)]
struct Contents {
    items: Vec<(Vec<u8>, Vec<u8>, u64)>,
    next: Option<Vec<u8>>,
    pages: usize,
}

impl Answers for Contents {
    fn answer(&mut self, _: Ticket, answer: Answer<'_>) {
        if let Answer::Page { page, next } = answer {
            let items = page.iter().map(|(key, value)| (key.to_vec(), value.bytes.to_vec(), value.version.0));
            self.items.extend(items);
            (self.next, self.pages) = (next.map(<[u8]>::to_vec), self.pages + 1);
        }
    }
}

/// See the module's text.
pub struct Machine {
    /// Its replica's number, from 1.
    id: u64,
    pub disk: Disk,
    clock: Clock,
    running: Option<Running>,
    is_made: bool,
    /// When what runs here is started.
    pub down_until_us: u64,
    /// It does nothing before that.
    pub paused_until_us: u64,
    /// Requests that came meanwhile, which it takes first.
    pub inbox: Vec<Letter>,
}

/// Sizes at which some hundred writes flush, merge and recycle segments.
fn tuning() -> Tuning {
    let mut tuning = Tuning::new(ShardOptions::MEMORY_BYTES_MIN);
    tuning.budgets.memtable = 24 << 10;
    tuning.budgets.memtables = 6 * (24 << 10);
    tuning.budgets.log = 96 << 10;
    tuning.tree.memtable_bytes = tuning.budgets.memtable;
    tuning.tree.table_bytes = 16 << 10;
    tuning.tree.level_base_bytes = 64 << 10;
    tuning.segment_bytes = 64 << 10;
    tuning
}

impl Machine {
    pub fn new(id: u64, faults: &DiskFaults) -> Machine {
        let mut disk = Disk::new(&format!("/sim/machine-{id}"));
        *disk.faults() = faults.clone();
        let clock = Clock::default();
        Machine {
            id,
            disk,
            clock,
            running: None,
            is_made: false,
            down_until_us: 0,
            paused_until_us: 0,
            inbox: Vec::new(),
        }
    }

    fn options(&self) -> ShardOptions {
        ShardOptions {
            shard_id: [self.id as u8; 16],
            partitions: vec![REPLICATED, BESIDE],
            durability: Durability::Sync,
            memory_bytes: ShardOptions::MEMORY_BYTES_MIN,
            direct: false,
            value_bytes_max: 1 << 20,
            membership: None,
            is_made: false,
            time_jump: TimeJump::Refuse,
        }
    }

    /// Time has come to this.
    pub fn advance_to(&mut self, now_us: u64) {
        self.clock.advance_to(now_us);
    }

    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Starts what runs here. The first time, its group is told who its replicas are.
    pub fn start(&mut self, voters: u64, rng: &mut SmallRng) -> Result<(), Error> {
        let (options, settings) = (self.options(), self.settings(rng));
        let mut inner = SmallRng::seed_from_u64(rng.random());
        let mut dir = self.disk.dir(None, &mut inner);
        if !self.is_made {
            let conf = ConfState { voters: (1..=voters).collect(), ..ConfState::default() };
            let group =
                GroupState { partition: REPLICATED, conf: Some(Box::new(conf)), ..GroupState::default() };
            let (mut manifest, _) = Manifest::recover(&mut dir, options.shard_id)?;
            // The time of each shard is another one, as if they had been made at other times.
            let now = self.clock.now(self.clock.us());
            let stamp = ClockStamp {
                shard_us: now.unix_us + self.id * SHARDS_APART_US,
                wall_us: now.unix_us,
                is_sure: true,
                boot: now.boot,
            };
            let edit = Edit { groups: vec![group], clock: Some(stamp), ..Edit::default() };
            publish(&mut dir, &mut manifest, edit)?;
        }
        let since_us = self.clock.us();
        let now = self.clock.now(since_us);
        let mut shard = Shard::open_tuned(&mut dir, options, tuning(), now)?;
        let replicas = Replicas::open(&mut shard, &settings, now.mono_us)?;
        self.is_made = true;
        self.running = Some(Running { shard, replicas, since_us, answers: Gathered::default() });
        Ok(())
    }

    fn settings(&self, rng: &mut SmallRng) -> Settings {
        Settings { id: self.id, uncommitted_bytes_max: 1 << 20, seed: rng.random() }
    }

    /// What runs here is gone, and the power of the machine or not. It will be started then.
    pub fn fall(&mut self, crash: Crash, until_us: u64, rng: &mut SmallRng) {
        self.running = None;
        self.inbox.clear();
        self.disk.crash(crash, rng);
        self.down_until_us = until_us;
        if crash == Crash::Power {
            self.clock.reboot();
        }
    }

    /// Takes a request, unless nothing runs here.
    pub fn request(&mut self, ticket: Ticket, request: Request<'_>, patience_us: u64) -> bool {
        let Some(Running { shard, answers, since_us, .. }) = &mut self.running else { return false };
        let now = self.clock.now(*since_us);
        shard.tick(now);
        shard.request(ticket, request.until(now.mono_us + patience_us), answers);
        true
    }

    /// A turn; what was answered in it and before. The error says what no turn may come to.
    pub fn turn(&mut self, ways: &mut Ways, now_us: u64, rng: &mut SmallRng) -> Result<Vec<Reply>, String> {
        let Some(Running { shard, replicas, since_us, answers }) = &mut self.running else {
            return Ok(Vec::new());
        };
        let now = self.clock.now(*since_us);
        shard.tick(now);
        let at = self.id as usize - 1;
        while let Some(parcel) = ways.next_arrived(at, now_us) {
            let message = Message::read(&parcel.bytes.into()).map_err(|error| error.to_string())?;
            match replicas.step(shard, REPLICATED, message, now.mono_us) {
                Err(rejected) if rejected.is_alarm() => {
                    return Err(format!("a message of replica {} isn't taken: {rejected}", parcel.from + 1));
                }
                _ => {}
            }
        }
        while let Some(completion) = self.disk.complete_due(self.clock.us(), rng) {
            shard.complete(completion, answers);
        }
        while self.disk.can_step_background() && rng.random_ratio(2, 3) {
            if let Some((id, result)) = self.disk.step_background(self.clock.us(), rng) {
                shard.job_done(id, result);
            }
        }
        shard.advance(answers);
        replicas.turn(shard, now.mono_us, answers).map_err(|error| error.to_string())?;
        shard.end_turn();
        for request in shard.take_requests() {
            self.disk.submit(request, self.clock.us(), rng);
        }
        for (id, job) in shard.take_jobs() {
            self.disk.start_job(id, job);
        }
        for (_, message) in replicas.take_messages(shard) {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            ways.send(at, message.to as usize - 1, bytes, now_us, rng);
        }
        Ok(answers.take())
    }

    /// Whether a log write failed, so that it must start again.
    pub fn has_lost_its_log(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.shard.knows_its_log())
    }

    /// Its replica, while that runs.
    pub fn replica(&self) -> Option<&Replica> {
        self.running.as_ref()?.replicas.replica(REPLICATED)
    }

    /// Hands its leadership over, if it has it.
    pub fn hand_over(&mut self, to: u64) {
        let replica = self.running.as_mut().and_then(|running| running.replicas.replica_mut(REPLICATED));
        if let Some(replica) = replica {
            replica.hand_over(to);
        }
    }

    /// All that is applied of the group: keys, values and versions.
    pub fn contents(&mut self) -> Vec<(Vec<u8>, Vec<u8>, u64)> {
        let Some(Running { shard, .. }) = &mut self.running else { return Vec::new() };
        let (mut all, mut from) = (Contents::default(), Some(Vec::new()));
        while let Some(start) = from.take() {
            let scan = Scan { from: &start, to: b"", limit: 1000, limit_bytes: 1 << 20, keys_only: false };
            let request = Request::new(REPLICATED, Op::Scan(scan)).at(Level::Eventual);
            let before = all.pages;
            shard.request(Ticket::default(), request, &mut all);
            while all.pages == before {
                // What isn't in memory is read at once.
                let requests: Vec<_> = shard.take_requests().collect();
                let mut rng = SmallRng::seed_from_u64(0);
                for request in requests {
                    self.disk.submit(request, self.clock.us(), &mut rng);
                }
                while let Some(completion) = self.disk.complete_due(u64::MAX, &mut rng) {
                    shard.complete(completion, &mut all);
                }
            }
            from = all.next.take();
        }
        all.items
    }

    /// Up to where entries are applied.
    pub fn applied(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.shard.progress(0).1)
    }
}
