//! A cluster: several nodes, each on a machine of its own, with links between them, stepped in an order that the seed decides.
//!
//! 1. A [`Machine`] has its own clocks, which drift and are wrong, its own disks, and a node with a store of its own.
//! 2. A step is one thing that could happen next: a core's turn, a piece of background work, something on a connection
//!    ([`Links`]). Nothing to do: true time passes until there is.
//! 3. Faults strike at their time ([`strike`]), and end. Then everything heals, and all peers must be connected soon.
//! 4. Checkers look at each node after its turns, and at what nodes say to each other ([`crate::checks`]).

mod ending;
mod machine;
mod plan;
mod strike;
#[cfg(test)]
mod tests;

use machine::Machine;
pub use plan::ClusterPlan;

use crate::checks::{Broken, ClusterCheck, Held, Pings};
use crate::counters::Counters;
use crate::links::{End, Links, Presence, Sites};
use crate::model::{Checked, SimTime, Violation};
use crate::net::Net;
use crate::node::Stage;
use crate::options::RunOptions;
use crate::rng::Streams;
use crate::setup::core_at;
use crate::trace::{Event, Trace};
use crate::world::Up;
use pinion_engine::drive::BackgroundEvent;
use rand::Rng;
use strike::Ill;

/// How long a node is down that was stopped, microseconds.
const STOPPED_US: u64 = 1_000_000;
/// A run that takes more steps than this doesn't end.
const STEPS_MAX: u64 = 20_000_000;

/// All machines.
struct Machines(Vec<Machine>);

impl Sites for Machines {
    fn presence(&self, node: usize) -> Presence {
        self.0[node].presence()
    }

    fn net(&mut self, end: &End) -> Option<&mut Net> {
        let machine = self.0.get_mut(end.node).filter(|machine| machine.life == end.life)?;
        let Up::Yes(node) = &mut machine.up else { return None };
        node.cores.get_mut(end.core).map(|core| &mut core.net)
    }
}

/// Somebody who could do something now.
#[derive(Clone, Copy, Debug)]
enum Actor {
    Core(usize, usize),
    Background(usize, usize),
    Link((usize, usize)),
}

/// See the module's text.
pub struct Cluster {
    plan: ClusterPlan,
    /// True time, microseconds.
    now_us: u64,
    machines: Machines,
    links: Links,
    streams: Streams,
    trace: Trace,
    counters: Counters,
    checks: Vec<Box<dyn ClusterCheck>>,
    next_fault: usize,
    /// What is wrong with ways.
    ills: Vec<Ill>,
    /// The run is over, and whoever stops stays so.
    is_ending: bool,
    steps: u64,
}

impl Cluster {
    /// That of a run, before anything has happened.
    pub fn new(run: RunOptions) -> Cluster {
        let plan = ClusterPlan::draw(run);
        let nodes = plan.nodes.iter().cloned();
        let machines = nodes.map(|(node, drift, ahead)| Machine::new(node, drift, ahead, &plan.disk));
        Cluster {
            now_us: 0,
            machines: Machines(machines.collect()),
            links: Links::new(plan.nodes.len(), plan.run.seed, plan.echoes),
            streams: Streams::new(plan.run.seed),
            trace: Trace::default(),
            counters: Counters::default(),
            checks: vec![Box::new(Pings::new(plan.stranger))],
            next_fault: 0,
            ills: Vec::new(),
            is_ending: false,
            steps: 0,
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
    pub fn plan(&self) -> &ClusterPlan {
        &self.plan
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Checked {
        while self.now_us < self.plan.us {
            self.strike()?;
            self.step()?;
        }
        self.make_whole()?;
        self.stop_all()
    }

    /// One thing happens.
    fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            let seen = format!("{STEPS_MAX} steps without one");
            return Err(self.violation(Broken::new("the run ends", "an end", seen)));
        }
        for number in 0..self.machines.0.len() {
            match &self.machines.0[number].up {
                Up::No { until_us } if *until_us <= self.now_us => return self.start(number),
                Up::Yes(node) if node.has_stopped() && !self.is_ending => {
                    self.fall(number, false, self.now_us + STOPPED_US);
                    return Ok(());
                }
                _ => {}
            }
        }
        let Some(actor) = self.choose() else { return self.wait() };
        let spent_us = self.streams.schedule.random_range(0..=self.plan.pace.step_us_max);
        self.advance_to(self.now_us + spent_us);
        match actor {
            Actor::Core(number, core) => self.turn(number, core),
            Actor::Background(number, core) => {
                self.work(number, core);
                Ok(())
            }
            Actor::Link(which) => self.carry(which),
        }
    }

    fn advance_to(&mut self, us: u64) {
        self.now_us = us;
        self.machines.0.iter_mut().for_each(|machine| machine.advance_to(us));
    }

    /// Draws who comes next.
    fn choose(&mut self) -> Option<Actor> {
        let pace = self.plan.pace;
        let ready = self.links.ready(&mut self.machines, self.now_us);
        let (rng, mut total, mut chosen) = (&mut self.streams.schedule, 0, None);
        let mut offer = |actor, weight: u32| {
            total += weight;
            if rng.random_ratio(weight, total) {
                chosen = Some(actor);
            }
        };
        for (number, machine) in self.machines.0.iter().enumerate() {
            machine.runnable().for_each(|core| offer(Actor::Core(number, core), pace.core));
            let disks = machine.disks.iter().enumerate().filter(|(_, disk)| disk.can_step_background());
            disks.for_each(|(core, _)| offer(Actor::Background(number, core), pace.background));
        }
        ready.into_iter().for_each(|which| offer(Actor::Link(which), pace.client));
        chosen
    }

    /// Nobody has anything to do: time passes until somebody has.
    fn wait(&mut self) -> Checked {
        let machines = self.machines.0.iter().filter_map(Machine::next_due_us);
        let due = machines.chain(self.links.next_due_us(self.now_us)).chain(self.next_fault_us()).min();
        let Some(due_us) = due else {
            let seen = "nothing at all";
            return Err(self.violation(Broken::new("something can happen", "a timer or an event", seen)));
        };
        // Timers are seldom served to the microsecond.
        let late_us = self.streams.schedule.random_range(1..=self.plan.pace.step_us_max);
        self.advance_to(due_us.max(self.now_us) + late_us);
        self.trace.add(Event::Time, self.now_us, 0);
        Ok(())
    }

    fn start(&mut self, number: usize) -> Checked {
        let Cluster { machines, streams, trace, counters, .. } = self;
        let started = machines.0[number].start((streams, trace), counters);
        self.trace.add(Event::Up, number as u64, self.now_us);
        self.counters.count("starts");
        match started {
            Ok(held) => self.hold(held),
            Err((shard, error)) => {
                let seen = format!("node {number}, shard {shard}: {error}");
                Err(self.violation(Broken::new("a node comes back by itself", "an open shard", seen)))
            }
        }
    }

    /// A core takes its turn.
    fn turn(&mut self, number: usize, core: usize) -> Checked {
        let lives: Vec<_> = self.machines.0.iter().map(|other| (other.presence(), other.life)).collect();
        let Cluster { machines, links, streams, trace, counters, now_us, checks, .. } = self;
        let Machine { up, clock, disks, checks: own, life, .. } = &mut machines.0[number];
        let Up::Yes(node) = up else { return Ok(()) };
        trace.add(Event::Time, *now_us, number as u64);
        let mut accepted = Vec::new();
        node.turn(core, &mut disks[core], &mut Stage { clock, streams, trace, counters }, &mut accepted);
        accepted.into_iter().for_each(|(connection, conn)| links.accepted(connection, conn));
        let net = &mut node.cores[core].net;
        let (remains, parted) = (std::mem::take(&mut net.remains), std::mem::take(&mut net.parted));
        links.closed((number, core), remains, parted, *now_us);
        net.decide_dials(|conn, address, patience_us| {
            let (to, core_of) = core_at(address)?;
            let (presence, life_of) = *lives.get(to)?;
            let from = End { node: number, core, life: *life, conn: Some(conn), is_gone: false };
            let to = End { node: to, core: core_of, life: life_of, conn: None, is_gone: false };
            links.answer([from, to], presence, patience_us)
        });
        let held = own.iter_mut().try_for_each(|check| check.turned(node, core, clock));
        let held =
            held.and_then(|()| checks.iter_mut().try_for_each(|check| check.turned(number, node, core)));
        self.hold(held)
    }

    /// A disk goes on with the work in the background.
    fn work(&mut self, number: usize, core: usize) {
        let Machine { up, clock, disks, .. } = &mut self.machines.0[number];
        let Up::Yes(node) = up else { return };
        let Some((id, result)) = disks[core].step_background(clock.us(), &mut self.streams.disk) else {
            return;
        };
        let event = if result.is_ok() { Event::JobDone } else { Event::JobFailed };
        self.trace.add(event, core as u64, id.0);
        node.cores[core].work.job_ended(BackgroundEvent::JobDone(id, result));
        node.wake(core);
    }

    /// Something happens on a connection between nodes.
    fn carry(&mut self, which: (usize, usize)) -> Checked {
        self.trace.add(Event::Carried, which.0 as u64, which.1 as u64);
        self.links.carry(which, &mut self.machines, self.now_us);
        let heard = std::mem::take(&mut self.links.heard);
        let mut checks = self.checks.iter_mut();
        let held = checks.try_for_each(|check| heard.iter().try_for_each(|heard| check.heard(heard)));
        self.hold(held)
    }

    fn hold(&self, held: Held) -> Checked {
        held.map_err(|broken| self.violation(broken))
    }

    fn violation(&self, broken: Broken) -> Box<Violation> {
        let Broken { check, expected, seen } = broken;
        Violation::new(check, &expected, seen, SimTime::exact(self.now_us, 0))
    }
}
