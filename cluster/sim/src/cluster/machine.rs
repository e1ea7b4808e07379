//! A machine: its clocks, its disks, and the node that runs on it, or will.

use crate::checks::{Accounts, Held, NodeCheck};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::disk::{Crash, Disk, DiskFaults};
use crate::links::Presence;
use crate::node::{Node, Stage};
use crate::rng::Streams;
use crate::setup::NodeOptions;
use crate::truth::Truth;
use crate::world::Up;
use pinion_engine::Error;
use pinion_engine::clock::TimeJump;

/// How much faster than true time the clocks of a machine go, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift(pub i64);

impl Drift {
    const MILLION: i128 = 1_000_000;

    /// What its clock has counted then, microseconds.
    pub fn local(self, true_us: u64) -> u64 {
        (i128::from(true_us) * (Drift::MILLION + i128::from(self.0)) / Drift::MILLION) as u64
    }

    /// When its clock has counted so much, microseconds.
    pub fn truly(self, local_us: u64) -> u64 {
        let rate = Drift::MILLION + i128::from(self.0);
        let us = (i128::from(local_us) * Drift::MILLION + rate - 1).div_euclid(rate);
        us as u64
    }
}

/// See the module's text.
pub struct Machine {
    /// What its node is started with.
    pub options: NodeOptions,
    /// Its clocks.
    pub clock: Clock,
    drift: Drift,
    /// A disk for each shard.
    pub disks: Vec<Disk>,
    /// The node; or when it will be started, in true time.
    pub up: Up,
    /// How often it was started.
    pub life: u64,
    /// It has no power.
    pub is_dark: bool,
    /// What holds the node to its promises.
    pub checks: Vec<Box<dyn NodeCheck>>,
}

impl Machine {
    /// One whose node is started at once, with clocks that are so wrong.
    pub fn new(options: NodeOptions, drift: Drift, ahead_us: i64, disk: &DiskFaults) -> Machine {
        let mut clock = Clock::default();
        clock.jump(ahead_us);
        let new_disk = |shard| {
            let mut of_shard = Disk::new(&format!("/sim/node-{}/shard-{shard:03}", options.number));
            *of_shard.faults() = disk.clone();
            of_shard
        };
        let disks = (0..options.cores).map(new_disk).collect();
        let checks: Vec<Box<dyn NodeCheck>> = vec![Box::new(Truth::new(options.cores)), Box::new(Accounts)];
        Machine { options, clock, drift, disks, up: Up::No { until_us: 0 }, life: 0, is_dark: false, checks }
    }

    /// True time has come to this.
    pub fn advance_to(&mut self, true_us: u64) {
        self.clock.advance_to(self.drift.local(true_us));
    }

    /// Starts the node.
    pub fn start(
        &mut self,
        (streams, trace): (&mut Streams, &mut crate::trace::Trace),
        counters: &mut Counters,
    ) -> Result<Held, (usize, Error)> {
        let mut stage = Stage { clock: &self.clock, streams, trace, counters };
        let node = Node::start(&self.options, &mut self.disks, &mut stage, |_| None)?;
        (self.options.is_made, self.is_dark) = (true, false);
        self.life += 1;
        let mut checks = self.checks.iter_mut();
        let held = checks.try_for_each(|check| check.opened(&node, &self.clock, TimeJump::Refuse));
        self.up = Up::Yes(Box::new(node));
        Ok(held)
    }

    /// The node is gone, and with it the power of the machine, or not. It will be started at this true time.
    pub fn fall(&mut self, is_power: bool, until_us: u64, streams: &mut Streams, counters: &mut Counters) {
        if let Up::Yes(node) = std::mem::replace(&mut self.up, Up::No { until_us }) {
            node.count(counters);
        }
        self.is_dark = is_power;
        let crash = if is_power { Crash::Power } else { Crash::Process };
        self.disks.iter_mut().for_each(|disk| disk.crash(crash, &mut streams.disk));
        self.checks.iter_mut().for_each(|check| check.closed(&self.clock, is_power));
        if is_power {
            self.clock.reboot();
        }
    }

    /// How it is, for others who try to reach it.
    pub fn presence(&self) -> Presence {
        match self.up {
            Up::Yes(_) => Presence::Serves,
            Up::No { .. } if self.is_dark => Presence::Absent,
            Up::No { .. } => Presence::Refuses,
        }
    }

    /// The cores that have something to do.
    pub fn runnable(&self) -> impl Iterator<Item = usize> {
        let now_us = self.clock.us();
        let node = if let Up::Yes(node) = &self.up { Some(node) } else { None };
        let disks = self.disks.iter().enumerate();
        disks
            .filter(move |(core, disk)| node.is_some_and(|node| node.is_runnable(*core, disk, now_us)))
            .map(|(core, _)| core)
    }

    /// When something happens on it although nobody does anything, in true time.
    pub fn next_due_us(&self) -> Option<u64> {
        match &self.up {
            Up::No { until_us } => Some(*until_us),
            Up::Yes(node) => {
                let disks = self.disks.iter().enumerate();
                let due = disks.filter_map(|(core, disk)| node.next_due_us(core, disk)).min();
                due.map(|local_us| self.drift.truly(local_us))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_is_found_again_in_true_time() {
        for drift in [-300, 0, 7, 300].map(Drift) {
            for local_us in [0, 1, 999_999, 1_000_001, 52_000_000] {
                let true_us = drift.truly(local_us);
                assert!(drift.local(true_us) >= local_us, "{drift:?}");
                assert!(true_us == 0 || drift.local(true_us - 1) < local_us, "{drift:?}");
            }
        }
    }
}
