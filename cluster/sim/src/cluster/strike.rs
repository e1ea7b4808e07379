//! Faults between nodes begin and end here.

use super::plan::{Fault, Trouble};
use super::{Cluster, Machine};
use crate::links::Way;
use crate::model::Checked;
use crate::trace::Event;
use crate::world::Up;

impl Cluster {
    /// When the next fault begins or ends.
    pub(super) fn next_fault_us(&self) -> Option<u64> {
        let begins = self.plan.faults.get(self.next_fault).map(|fault| fault.at_us);
        let ends = self.cured.iter().map(|(us, _)| *us).min();
        [begins, ends].into_iter().flatten().min()
    }

    /// Lets faults begin and end that are due.
    pub(super) fn strike(&mut self) -> Checked {
        let now_us = self.now_us;
        let is_due = |cured: &mut (u64, (usize, usize))| cured.0 <= now_us;
        for (_, (from, to)) in self.cured.extract_if(.., is_due) {
            *self.links.way(from, to) = Way::default();
        }
        while let Some(fault) = self.plan.faults.get(self.next_fault).filter(|fault| fault.at_us <= now_us) {
            let fault = fault.clone();
            self.next_fault += 1;
            if !self.plan.run.without.contains(&(self.next_fault - 1)) {
                self.trace.add(Event::Fault, self.next_fault as u64 - 1, now_us);
                self.begin(&fault)?;
            }
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
                self.change(from, to, until_us).byte_us = byte_us;
            }
            Trouble::Lose { from, to, lost } => {
                self.counters.count("ways that lose");
                self.change(from, to, until_us).lost = lost;
            }
            Trouble::Delay { from, to, most_us } => {
                self.counters.count("slow ways");
                self.change(from, to, until_us).delay = most_us / 2..most_us;
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

    /// A way that is to be changed for a while.
    fn change(&mut self, from: usize, to: usize, until_us: u64) -> &mut Way {
        self.cured.push((until_us, (from, to)));
        self.links.way(from, to)
    }

    fn cut(&mut self, from: usize, to: usize, until_us: u64) {
        self.change(from, to, until_us).is_cut = true;
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
        self.cured.clear();
        self.links.heal();
        for machine in &mut self.machines.0 {
            if let Up::No { until_us } = &mut machine.up {
                *until_us = self.now_us;
            }
        }
    }
}
