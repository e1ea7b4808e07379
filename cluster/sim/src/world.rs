//! The world: one node, its disks, its clients and its clocks, stepped in an order that the seed decides.
//!
//! 1. A step is one thing that could happen next: a core's turn, a piece of background work, a client that sends or
//!    receives. Nothing to do: time passes until there is.
//! 2. Faults strike when clients have begun as many operations as the schedule says ([`super::calamity`]).
//! 3. Every answer is checked as it arrives ([`History`]); what no client can see (memory, space, requests that nobody
//!    answers) is checked every so often ([`super::watch`]).
//! 4. When all clients are done, the world heals; everything is read once more, before and after a last restart.

mod acts;
mod seats;

use crate::calamity::Calamity;
use crate::checks::NodeCheck;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::disk::{Crash, Disk};
use crate::model::{Checked, History, HistoryOptions, Lead, Loss, Permits, SimTime};
use crate::node::{Node, Stage};
use crate::options::{Plan, RunOptions};
use crate::rng::Streams;
use crate::trace::{Event, Trace};
use crate::truth::Truth;
use pinion_cluster::config::Durability;
use pinion_engine::drive::BackgroundEvent;
use pinion_engine::job::JobOutput;
use rand::Rng;
use std::path::PathBuf;

pub(super) use seats::{Link, Seat};

/// Whether the node runs.
pub(super) enum Up {
    /// It does.
    Yes(Box<Node>),
    /// It will be started then.
    No { until_us: u64 },
}

/// See the module's text.
pub struct World {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    pub(super) streams: Streams,
    pub(super) trace: Trace,
    pub(super) counters: Counters,
    pub(super) disks: Vec<Disk>,
    /// Directories that reshards left, with their paths: removed when the node starts.
    pub(super) leftovers: Vec<(PathBuf, Disk)>,
    pub(super) up: Up,
    pub(super) seats: Vec<Seat>,
    pub(super) history: History,
    pub(super) permits: Permits,
    pub(super) calamity: Calamity,
    /// What the shards' clocks may show, and how the wall clocks that count differ from them, with how often that changed.
    pub(super) truth: Truth,
    pub(super) bounds_ms: (u64, u64),
    pub(super) lead: Lead,
    pub(super) lead_changes: u64,
    pub(super) steps: u64,
    /// The last step at which a connection of a vanished client was there, or something had an unknown outcome, unless all
    /// of that is settled.
    pub(super) orphaned_step: Option<u64>,
    /// How many outcomes were unknown then.
    pub(super) ghosts: u64,
    /// The last step at which each core had nothing under way that could have an effect.
    pub(super) done_steps: Vec<u64>,
}

/// Somebody who could do something now.
#[derive(Clone, Copy, Debug)]
enum Actor {
    Core(usize),
    Background(usize),
    Client(usize),
}

/// A run that takes more steps than this doesn't end.
const STEPS_MAX: u64 = 20_000_000;
/// How long clients wait before they connect again, microseconds.
const RETRY_US: u64 = 50_000;

impl World {
    /// The world of a run, before anything has happened.
    pub fn new(run: RunOptions) -> World {
        let plan = Plan::draw(run);
        let mut streams = Streams::new(plan.run.seed);
        let options = HistoryOptions {
            partitions: plan.node.partitions,
            cores: plan.node.cores,
            may_lose: plan.node.durability != Durability::Sync,
            may_time_out: plan.may_time_out(),
            loss_us_max: u64::MAX,
        };
        let disks = (0..plan.node.cores).map(|shard| Disk::new(&format!("/sim/shard-{shard:03}"))).collect();
        let calamity = Calamity::new(&plan, &mut streams.faults);
        World {
            clock: Clock::default(),
            trace: Trace::default(),
            counters: Counters::default(),
            disks,
            leftovers: Vec::new(),
            up: Up::No { until_us: 0 },
            seats: Seat::all(&plan),
            history: History::new(options),
            permits: Permits::default(),
            calamity,
            truth: Truth::new(plan.node.cores),
            bounds_ms: (0, 0),
            lead: Lead::default(),
            lead_changes: 0,
            steps: 0,
            orphaned_step: None,
            ghosts: 0,
            done_steps: Vec::new(),
            streams,
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
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Checked {
        self.soothe();
        while !(self.clients_are_done() && self.calamity.is_over(&self.plan)) {
            self.strike()?;
            self.step()?;
        }
        self.heal()?;
        self.audit()?;
        let is_power = self.streams.faults.random_ratio(1, 2);
        self.crash(if is_power { Crash::Power } else { Crash::Process }, 1_000)?;
        self.audit()?;
        self.stop_for_good()?;
        let now = self.now();
        self.history.finish(now)?;
        self.count();
        Ok(())
    }

    /// The moment, as the model needs it.
    pub(super) fn now(&self) -> SimTime {
        let (clock_ms_min, clock_ms_max) = self.bounds_ms;
        let (lead, lead_changes) = (self.lead, self.lead_changes);
        SimTime { us: self.clock.us(), clock_ms_min, clock_ms_max, lead, lead_changes }
    }

    /// Operations that clients have begun.
    pub(super) fn issued(&self) -> u64 {
        self.seats.iter().map(|seat| seat.client.issued()).sum()
    }

    pub(super) fn clients_are_done(&self) -> bool {
        self.seats.iter().all(|seat| seat.client.is_finished())
    }

    /// One thing happens.
    pub(super) fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(self.violation("the run ends", "an end", format!("{STEPS_MAX} steps without one")));
        }
        if let Up::No { until_us } = self.up
            && until_us <= self.clock.us()
        {
            return self.start();
        }
        let Some(actor) = self.choose() else { return self.wait() };
        let spent = self.streams.schedule.random_range(0..=self.plan.pace.step_us_max);
        self.clock.advance(spent);
        match actor {
            Actor::Core(core) => self.turn(core)?,
            Actor::Background(core) => self.work(core),
            Actor::Client(seat) => self.act(seat)?,
        }
        self.watch()
    }

    /// Draws who comes next.
    fn choose(&mut self) -> Option<Actor> {
        let (now_us, pace) = (self.clock.us(), self.plan.pace);
        let mut total = 0;
        let mut chosen = None;
        let mut offer = |actor, weight: u32, rng: &mut rand::rngs::SmallRng| {
            total += weight;
            if rng.random_ratio(weight, total) {
                chosen = Some(actor);
            }
        };
        let rng = &mut self.streams.schedule;
        if let Up::Yes(node) = &self.up {
            for (core, disk) in self.disks.iter().enumerate() {
                if node.is_runnable(core, disk, now_us) {
                    offer(Actor::Core(core), pace.core, rng);
                }
                if disk.can_step_background() {
                    offer(Actor::Background(core), pace.background, rng);
                }
            }
        }
        for index in 0..self.seats.len() {
            if self.can_act(index) {
                offer(Actor::Client(index), pace.client, &mut self.streams.schedule);
            }
        }
        chosen
    }

    fn can_act(&self, index: usize) -> bool {
        let is_quiet = self.calamity.is_quiet(self.clock.us());
        let seat = &self.seats[index];
        let Up::Yes(node) = &self.up else { return matches!(seat.link, Link::Closed { .. }) };
        match &seat.link {
            Link::None { retry_us } => {
                !is_quiet && *retry_us <= self.clock.us() && seat.wants_connection() && !node.is_stopping()
            }
            Link::Knocking { .. } => false,
            Link::Open { core, conn, is_finishing } => {
                let net = &node.cores[*core].net;
                net.to_client(*conn) > 0 && seat.client.reads()
                    || !is_quiet && !is_finishing && net.room(*conn) > 0 && seat.client.wants_to_send()
            }
            Link::Closed { .. } => true,
        }
    }

    /// Nobody has anything to do: time passes until somebody has.
    fn wait(&mut self) -> Checked {
        let now_us = self.clock.us();
        let node = match &self.up {
            Up::Yes(node) => Some(node),
            Up::No { .. } => None,
        };
        let cores = node.iter().flat_map(|node| {
            let disks = self.disks.iter().enumerate();
            disks.filter_map(|(core, disk)| node.next_due_us(core, disk))
        });
        let start = if let Up::No { until_us } = self.up { Some(until_us) } else { None };
        let retries = self.seats.iter().filter_map(|seat| match seat.link {
            Link::None { retry_us } if node.is_some() && seat.wants_connection() => {
                Some(retry_us.max(self.calamity.quiet_until_us))
            }
            _ => None,
        });
        let due = cores.chain(start).chain(retries).chain(self.calamity.next_due_us()).min();
        let has_faults_left = !self.calamity.is_over(&self.plan);
        let Some(due_us) = due.or(has_faults_left.then_some(now_us)) else {
            return Err(self.violation(
                "something can happen",
                "a timer or an event",
                "nothing at all".into(),
            ));
        };
        // Timers are seldom served to the microsecond.
        let late_us = self.streams.schedule.random_range(1..=self.plan.pace.step_us_max);
        self.clock.advance_to(due_us.max(now_us) + late_us);
        self.trace.add(Event::Time, self.clock.us(), 0);
        self.watch()
    }

    /// A core takes its turn.
    fn turn(&mut self, core: usize) -> Checked {
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        let World { clock, streams, trace, counters, .. } = self;
        let mut accepted = Vec::new();
        node.turn(core, &mut self.disks[core], &mut Stage { clock, streams, trace, counters }, &mut accepted);
        let remains = std::mem::take(&mut node.cores[core].net.remains);
        let is_stopping = node.is_stopping();
        let held = NodeCheck::turned(&mut self.truth, node, core, &self.clock);
        self.hold(held)?;
        self.look_at_clocks();
        let now = self.now();
        for (client, conn) in accepted {
            let seat = &mut self.seats[client];
            if let Link::Knocking { port } = seat.link {
                seat.client.connected(port, now, &mut self.streams.clients);
                seat.link = Link::Open { core, conn, is_finishing: false };
            }
        }
        for remains in remains {
            let seat = &mut self.seats[remains.client];
            match seat.link {
                // It wasn't taken.
                Link::Knocking { .. } => seat.link = Link::None { retry_us: self.clock.us() + RETRY_US },
                Link::Open { .. } => {
                    let is_orderly = remains.is_orderly && !is_stopping;
                    let drained = (remains.is_orderly && is_stopping).then_some(remains.taken);
                    seat.link = Link::Closed { bytes: remains.bytes.into(), is_orderly, drained };
                }
                Link::None { .. } | Link::Closed { .. } => {}
            }
        }
        self.settle(core);
        self.watch_account(core)
    }

    /// A disk goes on with the work in the background.
    fn work(&mut self, core: usize) {
        let Up::Yes(node) = &mut self.up else { return };
        let now_us = self.clock.us();
        let Some((id, result)) = self.disks[core].step_background(now_us, &mut self.streams.disk) else {
            return;
        };
        let event = if result.is_ok() { Event::JobDone } else { Event::JobFailed };
        self.trace.add(event, core as u64, id.0);
        if let Ok(JobOutput::Tables { tables, .. }) = &result {
            let ranges: usize = tables.iter().map(|table| table.meta().range_tombstones.len()).sum();
            self.counters.add("range tombstones", ranges as u64);
        }
        node.cores[core].work.job_ended(BackgroundEvent::JobDone(id, result));
        node.wake(core);
    }

    /// What the shards' clocks may show now.
    pub(super) fn look_at_clocks(&mut self) {
        // Whatever is evaluated from now on reads the clocks first.
        let (least_us, most_us) = self.truth.bounds_us(&self.clock);
        self.bounds_ms = (least_us / 1000, most_us / 1000);
        let Up::Yes(node) = &self.up else { return };
        let lead = Truth::lead(node.cores.iter().map(|core| core.state.shard().clocks()));
        self.lead_changes += u64::from(lead != self.lead);
        self.lead = lead;
    }

    /// What a crash now may take back, of which kind it is.
    pub(super) fn loss(&self, crash: Crash) -> Loss {
        let Up::Yes(node) = &self.up else { return Loss::Nothing };
        let cores = node.cores.iter().map(|core| match crash {
            Crash::Process => core.work.kernel_has_before_us(),
            Crash::Power => core.work.device_has_before_us(),
        });
        match (self.plan.node.durability, crash) {
            (Durability::Sync, _) | (Durability::IntervalMs(_), Crash::Process) => Loss::Nothing,
            _ => Loss::Suffix { acknowledged_before_us: cores.min().unwrap_or_default() },
        }
    }

    /// Adds what the parts have counted.
    fn count(&mut self) {
        for (name, many) in self.history.counters() {
            // The world counts its own crashes.
            if name != "crashes" {
                self.counters.add(name, many);
            }
        }
        let disks = std::mem::take(&mut self.disks);
        self.count_disks(disks);
    }

    /// Adds what disks have counted that go.
    pub(super) fn count_disks(&mut self, disks: impl IntoIterator<Item = Disk>) {
        for disk in disks {
            let of = disk.counters();
            for (name, many) in [
                ("failed reads", of.read_errors),
                ("failed writes", of.write_errors),
                ("failed syncs", of.sync_errors),
                ("failed changes of names", of.name_errors),
                ("full disks", of.full_errors),
                ("stalled requests", of.stalls),
                ("requests caught by a crash", of.caught_requests),
                ("jobs caught by a crash", of.caught_jobs),
                ("writes kept by a power failure", of.kept_writes),
                ("writes torn by a power failure", of.torn_writes),
                ("writes lost by a power failure", of.lost_writes),
                ("names lost by a power failure", of.lost_names),
            ] {
                self.counters.add(name, many);
            }
        }
    }
}
