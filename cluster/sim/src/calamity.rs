//! Faults strike here: crashes, stops and restarts, failing, full, slow and rotting disks, jumps of the wall clock.
//!
//! One fault is under way at a time, but storms (failing, full or slow disks) last while others strike. A node whose
//! shard takes no more writes until it is restarted is restarted, as its operator would.

mod clocks;
mod rot;

use crate::disk::{Crash, Damage, DiskFaults};
use crate::lost::Vanished;
use crate::model::{Checked, Loss, Permits, SimTime};
use crate::node::{Node, Stage};
use crate::options::Plan;
use crate::performer::Moment;
use crate::schedule::Trouble;
use crate::trace::Event;
use crate::world::{Link, Up, World};
use pinion_cluster::config::Durability;
use pinion_engine::Error;
use pinion_engine::io::FileName;
use rand::Rng;
use rand::rngs::SmallRng;

/// A crash that waits for its moment.
#[derive(Clone, Debug)]
struct Armed {
    crash: Crash,
    moment: Moment,
    again: Option<u64>,
    down_us: u64,
    /// It strikes at the latest when so many steps were made.
    latest_step: u64,
    /// Steps into the moment.
    delay: u32,
}

/// What comes when the node has stopped.
#[derive(Clone, Copy, Debug)]
struct Stopped {
    is_power: bool,
    cores: Option<usize>,
    down_us: u64,
}

/// Where the schedule of faults stands.
pub(super) struct Calamity {
    next: usize,
    armed: Option<Armed>,
    stopped: Option<Stopped>,
    /// A crash during the next recovery: of which kind, and after so many changes.
    again: Option<(Crash, u64)>,
    /// Until when disks fail, are full, are slow.
    storm_until_us: Option<u64>,
    flood_until_us: Option<u64>,
    slow_until_us: Option<u64>,
    /// When the operator restarts a node that failed.
    restart_us: Option<u64>,
    /// Since when a shard takes no writes although its disk works.
    failed_us: Option<u64>,
    /// What disks do when nothing is wrong with them.
    pub(super) calm: DiskFaults,
    /// Damage done to each shard's disk.
    pub damage: Vec<(usize, Damage)>,
    /// What vanished while the node is down.
    pub(super) vanished: Option<Vanished>,
    /// By how much the wall clock is set back, and when.
    set_back: Vec<(u64, i64)>,
    /// Nobody asks for anything until then; 0: they do.
    pub quiet_until_us: u64,
    /// Requests sent before this may be refused for trouble that is over.
    pub troubled_until_us: u64,
    /// When the machine woke up.
    pub awake_since_us: u64,
}

/// A crash waits for its moment for so many steps at most.
const PATIENCE_STEPS: u64 = 4_000;
/// A shard whose disk works again takes writes within so long.
const COME_BACK_US: u64 = 60_000_000;
/// A node that stops is killed if it isn't done by then, as the real one gives up.
pub(super) const STOP_US: u64 = 60_000_000;

impl Calamity {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan, rng: &mut SmallRng) -> Calamity {
        Calamity {
            next: 0,
            armed: None,
            stopped: None,
            again: None,
            storm_until_us: None,
            flood_until_us: None,
            slow_until_us: None,
            restart_us: None,
            failed_us: None,
            calm: plan.disk_faults(rng),
            damage: Vec::new(),
            vanished: None,
            set_back: Vec::new(),
            quiet_until_us: 0,
            troubled_until_us: 0,
            awake_since_us: 0,
        }
    }

    /// When it has something to do although nothing happens.
    pub fn next_due_us(&self) -> Option<u64> {
        let times = [self.storm_until_us, self.flood_until_us, self.slow_until_us, self.restart_us];
        let set_back = self.set_back.iter().map(|(us, _)| *us);
        let quiet = Some(self.quiet_until_us).filter(|&us| us > 0);
        times.into_iter().flatten().chain(set_back).chain(quiet).min()
    }

    /// Whether nobody asks for anything now.
    pub fn is_quiet(&self, now_us: u64) -> bool {
        now_us < self.quiet_until_us
    }

    /// Whether the disks are in trouble now.
    pub fn is_stormy(&self) -> bool {
        self.storm_until_us.is_some() || self.flood_until_us.is_some()
    }

    /// Whether every fault of the schedule has struck.
    pub fn is_over(&self, plan: &Plan) -> bool {
        self.next >= plan.faults.len() && self.armed.is_none() && self.stopped.is_none()
    }
}

impl World {
    /// Lets faults begin and end that are due.
    pub(super) fn strike(&mut self) -> Checked {
        self.end_storms();
        self.set_clocks_back();
        self.operate()?;
        if let Some(armed) = &self.calamity.armed {
            let is_due = armed.latest_step <= self.steps;
            let Up::Yes(node) = &self.up else { return Ok(()) };
            if !node.is_at(armed.moment) && !is_due {
                return Ok(());
            }
            if armed.delay > 0 && !is_due {
                if let Some(armed) = &mut self.calamity.armed {
                    armed.delay -= 1;
                }
                return Ok(());
            }
            if let Some(Armed { crash, again, down_us, .. }) = self.calamity.armed.take() {
                self.calamity.again = again.map(|changes| (crash, changes));
                return self.crash(crash, down_us);
            }
        }
        let Some(fault) = self.plan.faults.get(self.calamity.next) else { return Ok(()) };
        let is_busy = self.calamity.stopped.is_some() || matches!(self.up, Up::No { .. });
        if is_busy || (fault.at > self.issued() && !self.clients_are_done()) {
            return Ok(());
        }
        let index = self.calamity.next;
        self.calamity.next += 1;
        if self.plan.run.without.contains(&index) {
            return Ok(());
        }
        let trouble = fault.trouble.clone();
        self.trace.add(Event::Fault, index as u64, self.clock.us());
        self.begin(trouble)
    }

    fn begin(&mut self, trouble: Trouble) -> Checked {
        let now_us = self.clock.us();
        match trouble {
            Trouble::Crash { is_power, moment, again, down_us } => {
                self.calamity.armed = Some(Armed {
                    crash: if is_power { Crash::Power } else { Crash::Process },
                    moment,
                    again,
                    down_us,
                    latest_step: self.steps + PATIENCE_STEPS,
                    delay: self.streams.faults.random_range(0..40),
                });
            }
            Trouble::Stop { is_power, cores, down_us } => {
                self.calamity.stopped = Some(Stopped { is_power, cores, down_us });
                if let Up::Yes(node) = &mut self.up {
                    node.stop(now_us, &mut self.counters);
                }
            }
            Trouble::Storm { read, write, sync, us } => {
                self.calamity.storm_until_us = Some(now_us + us);
                self.counters.count("storms");
                for disk in &mut self.disks {
                    let faults = disk.faults();
                    (faults.eio_read, faults.eio_write, faults.eio_sync) = (read, write, sync);
                    faults.eio_name = write;
                }
                self.trouble_begins();
            }
            Trouble::Flood { left, us } => {
                self.calamity.flood_until_us = Some(now_us + us);
                self.counters.count("floods");
                self.disks.iter_mut().for_each(|disk| disk.set_space_left(Some(left)));
                self.trouble_begins();
            }
            Trouble::Slow { share, us } => {
                self.calamity.slow_until_us = Some(now_us + us);
                for disk in &mut self.disks {
                    let speed = &mut disk.faults().speed;
                    (speed.stalls_ppm, speed.stall_us) = ((share * 1e6) as u32, 1_000..200_000);
                }
            }
            Trouble::Hang { us } => {
                self.counters.count("hanging disks");
                self.calamity.slow_until_us = Some(now_us + us);
                for disk in &mut self.disks {
                    let speed = &mut disk.faults().speed;
                    (speed.stalls_ppm, speed.stall_us) = (1_000_000, us / 2..us + 1);
                }
            }
            Trouble::Rot => self.rot(false),
            Trouble::Jump { us, stands_us } => {
                self.counters.count("clock jumps");
                self.clock.jump(us);
                self.calamity.set_back.extend(stands_us.map(|stands_us| (now_us + stands_us, -us)));
            }
            Trouble::Quiet { us } => {
                self.counters.count("quiet times");
                self.calamity.quiet_until_us = now_us + us;
            }
            Trouble::Sleep { us } => self.sleep(us),
        }
        Ok(())
    }

    fn trouble_begins(&mut self) {
        self.permits = Permits { read_only: true, damaged: true, ..Permits::default() };
        self.history.permit(self.permits);
    }

    fn end_storms(&mut self) {
        let now_us = self.clock.us();
        let ends = |until: &mut Option<u64>| until.take_if(|until_us| *until_us <= now_us).is_some();
        let (storm, slow) = (ends(&mut self.calamity.storm_until_us), ends(&mut self.calamity.slow_until_us));
        let flood = ends(&mut self.calamity.flood_until_us);
        if storm || flood {
            // Whether anybody has looked at it or not.
            self.calamity.troubled_until_us = now_us;
        }
        if (storm || slow) && self.calamity.storm_until_us.is_none() {
            self.soothe();
        }
        if flood {
            self.disks.iter_mut().for_each(|disk| disk.set_space_left(None));
        }
    }

    /// Disks work as they should.
    pub(super) fn soothe(&mut self) {
        for disk in &mut self.disks {
            *disk.faults() = self.calamity.calm.clone();
        }
    }

    /// Ends everything that is wrong with the disks.
    pub(super) fn calm_down(&mut self) {
        let calamity = &mut self.calamity;
        (calamity.storm_until_us, calamity.flood_until_us, calamity.slow_until_us) = (None, None, None);
        (calamity.armed, calamity.again) = (None, None);
        calamity.quiet_until_us = 0;
        calamity.set_back.clear();
        calamity.next = self.plan.faults.len();
        self.soothe();
        self.disks.iter_mut().for_each(|disk| disk.set_space_left(None));
    }

    /// What an operator does: restarts a node that failed or has stopped.
    pub(super) fn operate(&mut self) -> Checked {
        let now_us = self.clock.us();
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        if node.has_stopped() {
            return self.stopped();
        }
        if node.has_outlived(now_us, STOP_US) {
            let seen = format!("{} seconds without an end", STOP_US / 1_000_000);
            return Err(self.violation("a node that is stopped ends", "its end", seen));
        }
        if node.is_stopping() {
            return Ok(());
        }
        let Some((shard, reason)) = node.failure() else {
            (self.calamity.restart_us, self.calamity.failed_us) = (None, None);
            return Ok(());
        };
        let seen = format!("shard {shard}: {reason}");
        if !self.permits.read_only {
            return Err(self.violation("a shard fails only if its disk does", "no failure", seen));
        }
        let Some(failed_us) = self.calamity.failed_us else {
            self.calamity.failed_us = Some(now_us);
            let wait_us = self.streams.faults.random_range(0..2_000_000);
            // Mostly nobody does anything, and the shard comes back by itself.
            let is_impatient = self.streams.faults.random_ratio(1, 4);
            self.calamity.restart_us = is_impatient.then_some(now_us + wait_us);
            return Ok(());
        };
        if self.calamity.is_stormy() {
            self.calamity.failed_us = Some(now_us);
        } else if now_us > failed_us + COME_BACK_US {
            return Err(self.violation("a shard comes back when its disk does", "no failure", seen));
        }
        if self.calamity.restart_us.is_none_or(|at_us| at_us > now_us) {
            return Ok(());
        }
        self.calamity.restart_us = None;
        self.counters.count("restarts after a failure");
        let down_us = self.streams.faults.random_range(1_000..1_000_000);
        if self.streams.faults.random_ratio(1, 2) {
            return self.crash(Crash::Process, down_us);
        }
        if self.calamity.stopped.is_none() {
            self.calamity.stopped = Some(Stopped { is_power: false, cores: None, down_us });
        }
        node.stop(now_us, &mut self.counters);
        Ok(())
    }

    /// The process or the machine dies now.
    pub(super) fn crash(&mut self, crash: Crash, down_us: u64) -> Checked {
        self.counters.count("crashes");
        self.counters.add("power failures", u64::from(crash == Crash::Power));
        let loss = self.loss(crash);
        if let Up::Yes(node) = &self.up {
            for moment in &Moment::ALL[1..] {
                self.counters.add(moment.crashes(), u64::from(node.is_at(*moment)));
            }
        }
        self.go_down(crash, loss, down_us)?;
        if self.plan.reshards && self.streams.faults.random_ratio(1, 4) {
            let cores = self.streams.faults.random_range(1..=self.plan.node.shards_max());
            return self.reshard(cores, crash);
        }
        self.lose()
    }

    /// The node is gone: its clients notice, its disks keep what they keep.
    fn go_down(&mut self, crash: Crash, loss: Loss, down_us: u64) -> Checked {
        self.trace.add(Event::Down, self.clock.us(), down_us);
        self.look_at_clocks();
        let loses = crash == Crash::Power && self.plan.node.durability != Durability::Sync;
        self.truth.closed(&self.clock, crash == Crash::Power, loses);
        self.reboot(crash);
        (self.calamity.restart_us, self.calamity.failed_us) = (None, None);
        self.calamity.stopped = None;
        let until_us = self.clock.us() + down_us;
        let up = std::mem::replace(&mut self.up, Up::No { until_us });
        let mut remains = Vec::new();
        let (mut is_logging, mut has_drained) = (false, false);
        if let Up::Yes(mut node) = up {
            has_drained = node.has_drained();
            is_logging = node.is_at(Moment::LogWrite);
            node.count(&mut self.counters);
            if !self.calamity.damage.is_empty() {
                let errors = node.cores.iter().map(|core| core.state.shard().stats().read_errors);
                self.counters.add("damage reported", errors.sum());
            }
            for core in &mut node.cores {
                remains.extend(match has_drained {
                    true => core.net.exit(),
                    false => core.net.crash(&mut self.streams.net),
                });
            }
        }
        let mut is_torn = false;
        for disk in &mut self.disks {
            let before = disk.counters().torn_writes;
            disk.crash(crash, &mut self.streams.disk);
            is_torn |= disk.counters().torn_writes > before;
        }
        self.counters.add("torn tails cut", u64::from(is_torn && is_logging));
        for remains in remains {
            let seat = &mut self.seats[remains.client];
            if matches!(seat.link, Link::Open { .. }) {
                let drained = has_drained.then_some(remains.taken);
                seat.link =
                    Link::Closed { bytes: remains.bytes.into(), is_orderly: remains.is_orderly, drained };
            }
        }
        let now = self.now();
        for index in 0..self.seats.len() {
            let seat = &mut self.seats[index];
            if let Link::Closed { bytes, .. } = &mut seat.link {
                let bytes: Vec<u8> = bytes.drain(..).collect();
                self.trace.add_bytes(Event::Received, index as u64, &bytes);
                seat.client.received(&bytes, now, &mut self.history)?;
            }
            self.look_for_owed(index)?;
            self.disconnect(index)?;
        }
        // What no opening goes back behind.
        let (least_us, _) = self.truth.bounds_us(&self.clock);
        self.history.crashed(loss, SimTime { clock_ms_min: least_us / 1000, ..now });
        self.history.settled(now);
        self.orphaned_step = None;
        self.done_steps.clear();
        Ok(())
    }

    /// The node has stopped, as it was asked to.
    fn stopped(&mut self) -> Checked {
        let Up::Yes(node) = &self.up else { return Ok(()) };
        let has_failed = node.failure().is_some();
        let Stopped { is_power, cores, down_us } =
            self.calamity.stopped.take().unwrap_or(Stopped { is_power: false, cores: None, down_us: 1_000 });
        let crash = if is_power { Crash::Power } else { Crash::Process };
        // What it acknowledged is durable when it has stopped, whatever it promised while it ran.
        let loss = if has_failed { self.loss(crash) } else { Loss::Nothing };
        self.counters.count(if has_failed { "stops after a failure" } else { "graceful stops" });
        self.go_down(crash, loss, down_us)?;
        let is_sync = self.plan.node.durability == Durability::Sync;
        if self.plan.rots && is_sync && !has_failed && self.streams.faults.random_ratio(2, 3) {
            self.rot(true);
        }
        match cores {
            Some(cores) if !has_failed => self.reshard(cores, Crash::Power),
            _ => self.lose(),
        }
    }

    fn has_log(&self, shard: usize) -> bool {
        self.plan.node.is_made && self.disks[shard].files().any(|(file, _)| matches!(file, FileName::Log(_)))
    }

    /// Starts the node, or finds out why it can't be started.
    pub(super) fn start(&mut self) -> Checked {
        let again = self.calamity.again.take();
        let leftovers = std::mem::take(&mut self.leftovers);
        self.count_disks(leftovers.into_iter().map(|(_, disk)| disk));
        let victim = self.streams.faults.random_range(0..self.disks.len());
        let World { clock, streams, trace, counters, plan, disks, .. } = self;
        let mut stage = Stage { clock, streams, trace, counters };
        let crash_after = |shard| again.filter(|_| shard == victim).map(|(_, changes)| changes);
        match Node::start(&plan.node, disks, &mut stage, crash_after) {
            Ok(node) => {
                self.counters.count("starts");
                self.plan.node.is_made = true;
                self.trace.add(Event::Up, self.clock.us(), 0);
                self.up = Up::Yes(Box::new(node));
                self.accept_damage();
                self.check_opened()?;
                self.found_complete()
            }
            Err((shard, error)) => {
                self.trace.add(Event::Refused, shard as u64, self.clock.us());
                let crash = again.map_or(Crash::Process, |(crash, _)| crash);
                for disk in &mut self.disks {
                    disk.crash(crash, &mut self.streams.disk);
                }
                self.truth.start_failed();
                if crash == Crash::Power {
                    self.clock.reboot();
                }
                self.up = Up::No { until_us: self.clock.us() + 1_000_000 };
                if again.is_some() && shard == victim {
                    self.counters.count("crashes inside recovery");
                    return Ok(());
                }
                self.refused(shard, &error)
            }
        }
    }

    /// Whether there is a reason that a shard can't be opened.
    fn refused(&mut self, shard: usize, error: &Error) -> Checked {
        let damaged =
            |file| self.calamity.damage.iter().any(|(other, damage)| *other == shard && damage.file == file);
        let is_damaged = self.calamity.damage.iter().any(|(other, _)| *other == shard);
        match error {
            Error::Damaged { file, .. } if damaged(*file) => {}
            Error::Io { .. } if self.calamity.storm_until_us.is_some() => return Ok(()),
            Error::TimeJump { .. } if self.plan.jumps_while_down => return self.explain_time(),
            // Only what isn't there yet has to be made: a new log.
            Error::Io { .. } if self.calamity.flood_until_us.is_some() && !self.has_log(shard) => {
                return Ok(());
            }
            _ if self.has_missed(shard, error)? => return Ok(()),
            // Damage to a header can look like another version, or another shard's file.
            Error::Format { .. } | Error::Unusable(_) if is_damaged => {}
            _ => {
                let seen = format!("shard {shard}: {error}");
                return Err(self.violation("the node comes back by itself", "an open shard", seen));
            }
        }
        self.counters.count("damage reported");
        self.counters.count("opens refused for damage");
        self.restore(shard);
        Ok(())
    }
}
