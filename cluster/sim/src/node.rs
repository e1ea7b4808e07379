//! The simulated node: as many cores as the real one, with the real mesh between them, each over a simulated disk.
//!
//! A core here is the same state machine that the reactor drives ([`CoreState`]); its turns are taken when the world says
//! so, with a random part of the events that wait for it.

use crate::clock::Clock;
use crate::counters::Counters;
use crate::disk::Disk;
use crate::net::Net;
use crate::performer::{Moment, Performing, Work};
use crate::rng::Streams;
use crate::setup::NodeOptions;
use crate::trace::{Event, Trace};
use pinion_cluster::drive::{CoreParts, CoreState, Event as NodeEvent, Events, Hold};
use pinion_cluster::mesh::mesh;
use pinion_cluster::topology::current::{Current, View};
use pinion_engine::Error;
use pinion_engine::shard::Shard;
use pinion_net::reactor::{ConnId, Next};
use rand::Rng;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

/// One core.
pub struct Core {
    /// What it decides.
    pub state: CoreState,
    /// Its sockets.
    pub net: Net,
    /// What its disk does for it.
    pub work: Work,
    /// Somebody sent it something.
    is_woken: bool,
    /// When it wants a turn although nothing happened.
    wake_at_us: Option<u64>,
}

impl Core {
    /// Whether nothing that it has taken in can still have an effect.
    pub fn has_no_write_under_way(&self) -> bool {
        let shard = self.state.shard();
        // A failed log write may still be found by a recovery until the log is cut behind it.
        let is_in_doubt = shard.failure().is_some();
        !shard.has_unapplied_writes() && !is_in_doubt && shard.stats().parked_now == 0
    }
}

/// How far a node that was told to stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    Draining { until_us: u64 },
    Settling,
}

/// See the module's text.
pub struct Node {
    /// Its cores.
    pub cores: Vec<Core>,
    inbox: Receiver<NodeEvent>,
    started_us: u64,
    drained: usize,
    stopping: Stopping,
    stop_us: u64,
    /// It ran out of time before all its cores had drained.
    was_cut_off: bool,
}

/// What a turn works with.
pub struct Stage<'a> {
    /// The clock.
    pub clock: &'a Clock,
    /// Chance.
    pub streams: &'a mut Streams,
    /// What happens is noted here.
    pub trace: &'a mut Trace,
    /// And counted here.
    pub counters: &'a mut Counters,
}

/// As long as the real node waits for what is under way.
const DRAIN_US: u64 = 10_000_000;

impl Node {
    /// Opens all shards and starts. The error of the first shard that can't be opened, with its number.
    pub fn start(
        options: &NodeOptions,
        disks: &mut [Disk],
        stage: &mut Stage<'_>,
        mut crash_after: impl FnMut(usize) -> Option<u64>,
    ) -> Result<Node, (usize, Error)> {
        let (sender, inbox) = mpsc::channel();
        let started_us = stage.clock.us();
        let now = stage.clock.now(started_us);
        let info = Arc::new(options.info(now.unix_us));
        let topology = Arc::new(Current::new(info.first_topology()));
        let mut cores = Vec::with_capacity(options.cores);
        for (me, port) in mesh(options.cores, options.mesh).into_iter().enumerate() {
            let mut dir = disks[me].dir(crash_after(me), &mut stage.streams.disk);
            let topology = View::new(Arc::clone(&topology));
            let shard_options = info.shard_options(me, topology.partitions_of(me), options.direct);
            let mut shard = Shard::open_tuned(&mut dir, shard_options, options.tuning.clone(), now)
                .map_err(|error| (me, error))?;
            shard.tick(now);
            let (node, events) = (Arc::clone(&info), Events::new(sender.clone()));
            let parts = CoreParts { me, node, topology, port, events };
            cores.push(Core {
                state: CoreState::new(parts, shard, now),
                net: Net::new(options.net),
                work: Work::starting_at(started_us),
                is_woken: true,
                wake_at_us: None,
            });
        }
        Ok(Node {
            cores,
            inbox,
            started_us,
            drained: 0,
            stopping: Stopping::No,
            stop_us: 0,
            was_cut_off: false,
        })
    }

    /// Whether a core has something to do now.
    pub fn is_runnable(&self, core: usize, disk: &Disk, now_us: u64) -> bool {
        let Core { net, work, is_woken, wake_at_us, .. } = &self.cores[core];
        !net.is_stopped
            && (*is_woken
                || work.has_events()
                || wake_at_us.is_some_and(|at| at <= now_us)
                || disk.next_due_us().is_some_and(|at| at <= now_us)
                || net.next_dial_us().is_some_and(|at| at <= now_us)
                || net.has_events())
    }

    /// When a core has something to do although nobody does anything.
    pub fn next_due_us(&self, core: usize, disk: &Disk) -> Option<u64> {
        let Core { net, wake_at_us, .. } = &self.cores[core];
        let times = [*wake_at_us, disk.next_due_us(), net.next_dial_us()];
        times.into_iter().flatten().min().filter(|_| !net.is_stopped)
    }

    /// A core takes a turn. Connections that it took are added to `accepted`.
    pub fn turn(
        &mut self,
        core: usize,
        disk: &mut Disk,
        stage: &mut Stage<'_>,
        accepted: &mut Vec<(usize, ConnId)>,
    ) {
        let now_us = stage.clock.us();
        stage.trace.add(Event::Turn, core as u64, now_us);
        stage.counters.count("turns");
        let Core { state, net, work, is_woken, wake_at_us } = &mut self.cores[core];
        net.begin_turn(now_us);
        state.begin(net, stage.clock.now(self.started_us));
        let places = net.places();
        let first = stage.streams.schedule.random_range(0..=places);
        let disk_turn = stage.streams.schedule.random_range(0..=places);
        for step in 0..=places {
            if step == disk_turn {
                take_completions(state, net, work, disk, now_us, stage);
            }
            let place = (first + step) % (places + 1);
            if place == places {
                if stage.streams.schedule.random_ratio(3, 4)
                    && let Some(connection) = net.accept(state, stage.trace)
                {
                    accepted.push(connection);
                }
            } else if stage.streams.schedule.random_ratio(3, 4) {
                net.advance(state, place, &mut stage.streams.net, stage.trace);
            }
        }
        net.end_dials(state, stage.trace);
        let mut performing = Performing { disk, work, now_us, rng: &mut stage.streams.disk };
        if std::mem::take(is_woken) || performing.work.has_events() {
            state.woken(net, &mut performing);
        }
        let mut woken = 0_u64;
        state.end_turn(net, &mut performing, |_, peer| woken |= 1 << peer);
        net.send(&mut stage.streams.net);
        work.turn_ended(state.shard());
        *wake_at_us = match state.after_turn() {
            Next::Now => Some(now_us),
            Next::Sleep(None) => None,
            Next::Sleep(Some(time)) => Some(now_us + time.as_micros() as u64),
        };
        count_holds(state, stage.counters);
        for (peer, core) in self.cores.iter_mut().enumerate() {
            core.is_woken |= woken & 1 << peer != 0;
        }
        self.hear(now_us);
    }

    /// A disk has ended something in the background.
    pub fn wake(&mut self, core: usize) {
        self.cores[core].is_woken = true;
    }

    /// Somebody asks the node to stop.
    pub fn stop(&mut self, now_us: u64, counters: &mut Counters) {
        if self.stopping != Stopping::No {
            return;
        }
        let has_output = self.cores.iter().any(|core| core.net.has_output());
        counters.add("drains with answers queued", u64::from(has_output));
        self.stop_us = now_us;
        self.stopping = Stopping::Draining { until_us: now_us + DRAIN_US };
        for core in &mut self.cores {
            core.state.drain(&mut core.net);
            core.is_woken = true;
        }
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping != Stopping::No
    }

    /// Whether it has stopped after all that it took in was answered.
    pub fn has_drained(&self) -> bool {
        self.has_stopped() && !self.was_cut_off
    }

    /// Whether it was told to stop longer than this ago.
    pub fn has_outlived(&self, now_us: u64, us: u64) -> bool {
        self.is_stopping() && now_us > self.stop_us + us
    }

    /// Whether all cores have ended.
    pub fn has_stopped(&self) -> bool {
        self.cores.iter().all(|core| core.net.is_stopped)
    }

    /// Takes in what cores say while they go down.
    fn hear(&mut self, now_us: u64) {
        while let Ok(event) = self.inbox.try_recv() {
            self.drained += usize::from(matches!(event, NodeEvent::Drained(_)));
        }
        if let Stopping::Draining { until_us } = self.stopping
            && (self.drained == self.cores.len() || now_us >= until_us)
        {
            self.stopping = Stopping::Settling;
            self.was_cut_off = self.drained < self.cores.len();
            for core in &mut self.cores {
                core.state.stop();
                core.is_woken = true;
            }
        }
    }

    /// Whether no shard has anything left to flush, merge or remove.
    pub fn is_settled(&self) -> bool {
        self.cores.iter().all(|core| core.state.shard().is_settled())
    }

    /// The first shard that takes no more writes until the node is restarted, and why.
    pub fn failure(&self) -> Option<(usize, &str)> {
        let failures = self.cores.iter().enumerate();
        failures.filter_map(|(core, c)| Some((core, c.state.shard().failure()?))).next()
    }

    /// Whether any shard says that it is in trouble, or takes no writes.
    pub fn is_troubled(&self) -> bool {
        self.cores.iter().any(|core| {
            let stats = core.state.shard().stats();
            stats.trouble.is_some() || stats.read_only.is_some()
        })
    }

    /// Whether a core is at this moment of its work.
    pub fn is_at(&self, moment: Moment) -> bool {
        self.cores.iter().any(|core| core.work.is_at(moment))
    }

    /// When it started: its monotonic clock counts from there.
    pub fn started_us(&self) -> u64 {
        self.started_us
    }

    /// Where each core stands, for reports.
    pub fn describe(&mut self) -> String {
        let mut text = String::new();
        for (index, core) in self.cores.iter_mut().enumerate() {
            let (state, wakes_at_us) = (core.state.describe(), core.wake_at_us);
            let sockets = core.net.describe();
            text += &format!("\n    core {index}: wakes at {wakes_at_us:?}, {state}, {sockets}");
        }
        text
    }

    /// Counts what its shards did, before it goes.
    pub fn count(&self, counters: &mut Counters) {
        for core in &self.cores {
            let (stats, of) = (core.state.shard().stats(), core.state.stats());
            for (name, many) in [
                ("flushes", stats.flushes),
                ("merges", stats.merges),
                ("expired keys compacted", stats.expired),
                ("parked reads", stats.parked),
                ("log writes", stats.log_writes),
                ("failed logs", stats.log_failures),
                ("background jobs that failed", stats.job_errors),
                ("damaged or failed block reads", stats.read_errors),
                ("forwarded requests", of.forwarded),
                ("held writers", u64::from(of.stall_us > 0)),
                ("connections closed for others", of.dismissed),
            ] {
                counters.add(name, many);
            }
        }
    }
}

fn take_completions(
    state: &mut CoreState,
    net: &mut Net,
    work: &mut Work,
    disk: &mut Disk,
    now_us: u64,
    stage: &mut Stage<'_>,
) {
    while stage.streams.schedule.random_ratio(7, 8) {
        let Some(completion) = disk.complete_due(now_us, &mut stage.streams.disk) else { return };
        let event = if completion.result.is_ok() { Event::Completed } else { Event::Failed };
        stage.trace.add(event, state.number() as u64, completion.token.0);
        if work.ended(&completion) {
            work.tell(completion);
        } else {
            state.completed(net, completion);
        }
    }
}

/// Counts turns at whose end somebody waits for credits of a full mesh, or is slowed down.
fn count_holds(state: &mut CoreState, counters: &mut Counters) {
    state.each_hold(|hold| match hold {
        Hold::Credit | Hold::Backlog => counters.count("full mesh queues"),
        Hold::Throttle => counters.count("held writers"),
        Hold::InFlight => counters.count("full connections"),
        Hold::Memory => counters.count("connections that wait for memory"),
        Hold::Batch => counters.count("batches that wait for others"),
        Hold::Barrier | Hold::Drain | Hold::Slice | Hold::Time => {}
    });
}
