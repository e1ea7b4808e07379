//! One replicated group on several machines: real shards and replicas, on disks that lose what isn't synced, over ways that lose and
//! reorder, under clients whose every answer is judged.
//!
//! What holds a run to the promises:
//! 1. what clients saw of each key is [linear](linear): nothing acknowledged is lost, nothing is done twice, no read is out of date.
//!    That is so of keys of the group, and of those of a group without replicas that each machine has beside it;
//! 2. no term has two leaders;
//! 3. when everything has healed, a write is done soon, and all replicas come to have the same, byte for byte.

mod asking;
mod clients;
mod linear;
mod machine;
mod plan;
mod strike;
mod ways;

use crate::counters::Counters;
use crate::disk::Crash;
use crate::model::{Checked, SimTime, Violation};
use crate::options::RunOptions;
use crate::rng::Streams;
use crate::trace::{Event, Trace};
use clients::{Asked, Client, Heard, Reply};
use linear::{Request, is_linearizable};
use machine::Machine;
use pinion_cluster::consensus::Replica;
use plan::Plan;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use strike::Ill;
use ways::Ways;

/// When all is well, everything comes to be the same within so long, microseconds.
const CALM_US: u64 = 20_000_000;

/// By then all has expired that ever will, microseconds.
const EXPIRED_US: u64 = 4_000_000;

/// What runs on a machine is started so long after it ended by itself, microseconds.
const AGAIN_US: u64 = 200_000;

/// See the module's text.
pub struct Replicated {
    plan: Plan,
    now_us: u64,
    /// Of requests and answers: none are at the same.
    moment: u64,
    /// Answers to nobody.
    twice: Vec<Reply>,
    /// Requests whose clients wait no longer.
    given_up: BTreeSet<u64>,
    machines: Vec<Machine>,
    ways: Ways,
    streams: Streams,
    trace: Trace,
    counters: Counters,
    clients: Vec<Client>,
    asked: BTreeMap<u64, Asked>,
    requests: u64,
    /// What clients saw, by key.
    history: BTreeMap<u64, Vec<Request>>,
    leaders: BTreeMap<u64, u64>,
    next_fault: usize,
    ills: Vec<Ill>,
    /// All is well again and shown to be; these keys are still to be read.
    is_calm: bool,
    unread: Vec<u64>,
}

impl Replicated {
    /// That of a run, before anything has happened.
    pub fn new(run: RunOptions) -> Replicated {
        let plan = Plan::draw(run);
        let machines = (1..=plan.machines as u64).map(|id| Machine::new(id, &plan.disk));
        Replicated {
            now_us: 0,
            moment: 0,
            twice: Vec::new(),
            given_up: BTreeSet::new(),
            machines: machines.collect(),
            ways: Ways::default(),
            streams: Streams::new(plan.run.seed),
            trace: Trace::default(),
            counters: Counters::default(),
            clients: (0..plan.clients).map(Client::new).collect(),
            asked: BTreeMap::new(),
            requests: 0,
            history: BTreeMap::new(),
            leaders: BTreeMap::new(),
            next_fault: 0,
            ills: Vec::new(),
            is_calm: false,
            unread: Vec::new(),
            plan,
        }
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was to happen.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Checked {
        while self.now_us < self.plan.us {
            self.strike();
            self.step()?;
        }
        self.calm_down()?;
        self.judge()
    }

    /// Some time passes, and everybody has something of a turn.
    fn step(&mut self) -> Checked {
        self.now_us += self.streams.schedule.random_range(20..1_200);
        for at in 0..self.machines.len() {
            self.machines[at].advance_to(self.now_us);
            if !self.machines[at].is_up() && self.machines[at].down_until_us <= self.now_us {
                self.start(at)?;
            }
            if self.machines[at].paused_until_us <= self.now_us && self.streams.schedule.random_ratio(3, 4) {
                self.turn(at)?;
            }
        }
        for client in 0..self.clients.len() {
            self.ask(client);
        }
        Ok(())
    }

    fn start(&mut self, at: usize) -> Checked {
        let voters = self.machines.len() as u64;
        self.counters.count("starts");
        self.trace.add(Event::Up, at as u64, self.now_us);
        let Err(error) = self.machines[at].start(voters, &mut self.streams.disk) else { return Ok(()) };
        if self.fails(at) {
            self.counters.count("starts that failed");
            self.fall(at, Crash::Process, self.now_us + AGAIN_US);
            return Ok(());
        }
        let seen = format!("machine {at}: {error}");
        Err(self.violation("a machine comes back by itself", "an open shard", seen))
    }

    fn turn(&mut self, at: usize) -> Checked {
        let waiting = std::mem::take(&mut self.machines[at].inbox);
        waiting.into_iter().for_each(|letter| self.deliver(at, letter));
        let Replicated { machines, ways, streams, now_us, .. } = self;
        let replies = machines[at].turn(ways, *now_us, &mut streams.net);
        let replies = replies.map_err(|what| {
            self.violation("a turn does what it is to do", "nothing", format!("machine {at}: {what}"))
        })?;
        replies.into_iter().for_each(|reply| self.hear(reply));
        if let Some(reply) = self.twice.pop() {
            return Err(self.violation(
                "a request is answered once",
                "no more answers",
                format!("{reply:?}"),
            ));
        }
        if self.machines[at].has_lost_its_log() {
            self.counters.count("failed logs");
            self.fall(at, Crash::Process, self.now_us + AGAIN_US);
            return Ok(());
        }
        let Some(replica) = self.machines[at].replica() else { return Ok(()) };
        let (term, leads) = (replica.term(), replica.is_leader());
        if !leads {
            return Ok(());
        }
        let counters = &mut self.counters;
        let leader = *self.leaders.entry(term).or_insert_with(|| {
            counters.count("elections");
            at as u64
        });
        if leader != at as u64 {
            return Err(self.violation(
                "a term has one leader",
                "one",
                format!("{leader} and {at} in term {term}"),
            ));
        }
        Ok(())
    }

    /// What runs on a machine ends: whoever waits for it never hears.
    fn fall(&mut self, at: usize, crash: Crash, until_us: u64) {
        self.trace.add(Event::Down, at as u64, self.now_us);
        self.machines[at].fall(crash, until_us, &mut self.streams.disk);
        let lost: Vec<u64> =
            self.asked.iter().filter(|(_, asked)| asked.machine == at).map(|(&request, _)| request).collect();
        lost.into_iter()
            .for_each(|request| self.hear(Reply { request, heard: Heard::Unknown { is_forgotten: false } }));
    }

    /// Everything heals: all machines come back, a write is done, and all replicas come to have the same.
    fn calm_down(&mut self) -> Checked {
        self.heal();
        let until_us = self.now_us + CALM_US;
        let answers = self.counters.get("answers");
        let mut has_compared = false;
        while self.now_us < until_us {
            self.step()?;
            let has_more = self.counters.get("answers") > answers + 20;
            if has_more && !self.is_calm {
                // Writes are done again: every key is read once more.
                self.is_calm = true;
                self.unread = self.history.keys().copied().collect();
            }
            let is_known = self.clients.iter().all(|client| client.errand.is_none());
            let is_over = self.is_calm && self.unread.is_empty() && self.asked.is_empty() && is_known;
            if is_over && self.are_all_as_far() {
                let compared = self.compare();
                if compared.is_ok() || has_compared {
                    return compared;
                }
                // What expires about now may be there on one machine, and gone on another.
                has_compared = true;
                self.pass(EXPIRED_US)?;
            }
        }
        let applied: Vec<u64> = self.machines.iter().map(Machine::applied).collect();
        let seen = format!("applied: {applied:?}, {} requests wait", self.asked.len());
        Err(self.violation(
            "all is well soon after everything has healed",
            "writes, and the same everywhere",
            seen,
        ))
    }

    /// So much time passes.
    fn pass(&mut self, us: u64) -> Checked {
        let until_us = self.now_us + us;
        while self.now_us < until_us {
            self.step()?;
        }
        Ok(())
    }

    /// Whether all have applied what the leader has, but for those who are behind what anybody keeps.
    fn are_all_as_far(&self) -> bool {
        let leaders =
            self.machines.iter().filter(|machine| machine.replica().is_some_and(Replica::is_leader));
        let Some(leader) = leaders.max_by_key(|machine| machine.replica().map(Replica::term)) else {
            return false;
        };
        let first = leader.replica().map_or(0, Replica::first_index);
        let mut others = self.machines.iter().filter(|machine| machine.applied() + 1 >= first);
        others.all(|machine| machine.applied() == leader.applied())
    }

    /// All replicas that have applied the same have the same.
    fn compare(&mut self) -> Checked {
        let most = self.machines.iter().map(Machine::applied).max();
        let (there, behind): (Vec<_>, Vec<_>) =
            self.machines.iter_mut().partition(|machine| Some(machine.applied()) == most);
        self.counters.add("replicas further behind than anybody keeps entries", behind.len() as u64);
        let all: Vec<_> = there.into_iter().map(Machine::contents).collect();
        match all.iter().position(|one| *one != all[0]) {
            None => Ok(()),
            Some(at) => {
                let seen = format!("one has {:?}, another {:?}", all[0], all[at]);
                Err(self.violation(
                    "replicas that have applied the same are the same",
                    "the same bytes",
                    seen,
                ))
            }
        }
    }

    /// What clients saw of each key is linear.
    fn judge(&mut self) -> Checked {
        self.counters.add("keys judged", self.history.len() as u64);
        for (&key, requests) in &self.history {
            if !is_linearizable(requests) {
                let last_ops = requests.iter().map(|request| format!("{request:?}")).collect();
                let seen = "answers that no order of the requests gives".to_owned();
                let broken = self.violation("what clients saw is linearizable", "an order", seen);
                let name = format!("key-{key}").into_bytes();
                return Err(Box::new(Violation { key: Some(name), last_ops, ..*broken }));
            }
        }
        Ok(())
    }

    fn violation(&self, check: &'static str, expected: &str, seen: String) -> Box<Violation> {
        Violation::new(check, expected, seen, SimTime::exact(self.now_us, 0))
    }
}
