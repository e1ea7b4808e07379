//! Faults between nodes begin and end here.
//!
//! Several may strike a way at a time, and each ends by itself: how the way is follows from those that are left.

use super::plan::{Fault, Trouble};
use super::{Cluster, Machine};
use crate::fault::next_due;
use crate::links::{Harm, Way};
use crate::model::Checked;
use crate::trace::Event;
use crate::world::Up;

/// What a fault does to a way, from one node to another, until then.
#[derive(Debug)]
pub(super) struct Ill {
    until_us: u64,
    way: (usize, usize),
    harm: Harm,
}

impl Cluster {
    /// When the next fault begins or ends.
    pub(super) fn next_fault_us(&self) -> Option<u64> {
        let begins = self.plan.faults.get(self.next_fault).map(|fault| fault.at_us);
        let ends = self.ills.iter().map(|ill| ill.until_us).min();
        [begins, ends].into_iter().flatten().min()
    }

    /// Lets faults begin and end that are due.
    pub(super) fn strike(&mut self) -> Checked {
        let now_us = self.now_us;
        let over: Vec<Ill> = self.ills.extract_if(.., |ill| ill.until_us <= now_us).collect();
        over.iter().for_each(|ill| self.derive(ill.way));
        while let Some((number, fault)) =
            next_due(&self.plan.faults, &mut self.next_fault, now_us, &self.plan.run.without)
        {
            self.trace.add(Event::Fault, number as u64, now_us);
            self.begin(&fault)?;
        }
        Ok(())
    }

    fn begin(&mut self, fault: &Fault) -> Checked {
        let until_us = self.now_us + fault.us;
        match fault.trouble {
            Trouble::Cut { from, to, is_both } => {
                self.counters.count(if is_both { "cuts" } else { "cuts of one way" });
                self.cut(from, to, until_us);
                if is_both {
                    self.cut(to, from, until_us);
                }
            }
            Trouble::Isolate { node } => {
                self.counters.count("isolated nodes");
                for other in (0..self.machines.0.len()).filter(|&other| other != node) {
                    self.cut(node, other, until_us);
                    self.cut(other, node, until_us);
                }
            }
            Trouble::Clog { from, to, byte_us } => {
                self.counters.count("clogged ways");
                self.harm((from, to), Harm::Clog(byte_us), until_us);
            }
            Trouble::Lose { from, to, lost } => {
                self.counters.count("ways that lose");
                self.harm((from, to), Harm::Lose(lost), until_us);
            }
            Trouble::Delay { from, to, most_us } => {
                self.counters.count("slow ways");
                self.harm((from, to), Harm::Delay(most_us), until_us);
            }
            Trouble::Crash { node, is_power } => self.crash(node, is_power, until_us),
            Trouble::Stop { node } => {
                self.counters.count("graceful stops");
                self.stop(node);
            }
            Trouble::Jump { node, us } => {
                self.counters.count("clock jumps");
                self.machines.0[node].clock.jump(us);
            }
        }
        Ok(())
    }

    /// Something is wrong with a way for a while.
    fn harm(&mut self, way: (usize, usize), harm: Harm, until_us: u64) {
        self.ills.push(Ill { until_us, way, harm });
        self.derive(way);
    }

    fn cut(&mut self, from: usize, to: usize, until_us: u64) {
        self.harm((from, to), Harm::Cut, until_us);
    }

    /// A way is as it is with all that is wrong with it now.
    fn derive(&mut self, way: (usize, usize)) {
        let ills = self.ills.iter().filter(|ill| ill.way == way);
        *self.links.way(way.0, way.1) = Way::with(ills.map(|ill| ill.harm));
    }

    /// A node or its machine dies, if it lives.
    fn crash(&mut self, node: usize, is_power: bool, until_us: u64) {
        if let Up::No { .. } = self.machines.0[node].up {
            return;
        }
        self.counters.count("crashes");
        self.counters.add("power failures", u64::from(is_power));
        self.fall(node, is_power, until_us);
    }

    /// Somebody stops a node, if it runs.
    pub(super) fn stop(&mut self, node: usize) {
        let Machine { up, clock, .. } = &mut self.machines.0[node];
        if let Up::Yes(node) = up {
            node.stop(clock.us(), &mut self.counters);
        }
    }

    /// A node is gone: its connections are, or nobody says so.
    pub(super) fn fall(&mut self, node: usize, is_power: bool, until_us: u64) {
        self.trace.add(Event::Down, node as u64, self.now_us);
        let half_open = self.links.down(node, is_power, self.now_us);
        self.counters.add("half-open connections", half_open);
        self.machines.0[node].fall(is_power, until_us, &mut self.streams, &mut self.counters);
    }

    /// No fault strikes any more, and every node that is down comes up.
    pub(super) fn heal(&mut self) {
        self.next_fault = self.plan.faults.len();
        self.ills.clear();
        self.links.heal();
        for machine in &mut self.machines.0 {
            if let Up::No { until_us } = &mut machine.up {
                *until_us = self.now_us;
            }
        }
    }
}
