//! Faults begin and end here. Several may strike at a time; each ends by itself.

use super::Replicated;
use super::machine::Machine;
use super::plan::{Fault, Trouble};
use crate::disk::Crash;
use crate::fault::next_due;
use crate::trace::Event;

/// A fault that is under way.
#[derive(Clone, Debug)]
pub(super) struct Ill {
    until_us: u64,
    trouble: Trouble,
}

impl Replicated {
    /// Lets faults begin and end that are due.
    pub(super) fn strike(&mut self) {
        let now_us = self.now_us;
        self.ills.retain(|ill| ill.until_us > now_us);
        for (at, machine) in self.machines.iter_mut().enumerate() {
            let is_full = |ill: &Ill| matches!(ill.trouble, Trouble::Fill { which, .. } if which == at);
            if !self.ills.iter().any(is_full) {
                machine.disk.set_space_left(None);
            }
        }
        while let Some((number, fault)) =
            next_due(&self.plan.faults, &mut self.next_fault, now_us, &self.plan.run.without)
        {
            self.trace.add(Event::Fault, number as u64, now_us);
            self.begin(fault);
        }
        self.derive();
    }

    fn begin(&mut self, Fault { us, trouble, .. }: Fault) {
        let until_us = self.now_us + us;
        match &trouble {
            Trouble::Crash { which, is_power } => {
                self.counters.count(match (is_power, which.len()) {
                    (_, 2..) => "crashes of a majority",
                    (true, _) => "power failures",
                    (false, _) => "crashes",
                });
                let crash = if *is_power { Crash::Power } else { Crash::Process };
                which.iter().for_each(|&at| self.fall(at, crash, until_us));
            }
            Trouble::Pause { which } => {
                self.counters.count("pauses");
                self.machines[*which].paused_until_us = until_us;
            }
            Trouble::HandOver { to } => {
                self.counters.count("leaderships handed over");
                self.machines.iter_mut().for_each(|machine| machine.hand_over(*to));
            }
            Trouble::Cut { .. } => self.counters.count("cuts"),
            Trouble::Lose { .. } => self.counters.count("ways that lose"),
            Trouble::Delay { .. } => self.counters.count("slow ways"),
            Trouble::Slow { .. } => self.counters.count("slow disks"),
            Trouble::Fail { .. } => self.counters.count("failing disks"),
            Trouble::Fill { which, left } => {
                self.counters.count("full disks");
                self.machines[*which].disk.set_space_left(Some(*left));
            }
        }
        self.ills.push(Ill { until_us, trouble });
    }

    /// How ways and disks are follows from the faults that are under way.
    fn derive(&mut self) {
        self.ways.heal();
        let healthy = &self.plan.disk;
        self.machines.iter_mut().for_each(|machine: &mut Machine| machine.disk.faults().clone_from(healthy));
        for ill in &self.ills {
            match &ill.trouble {
                Trouble::Cut { ways } => self.ways.cut.extend(ways),
                Trouble::Lose { percent } => self.ways.lost_percent = *percent,
                Trouble::Delay { us } => self.ways.delay_us = *us,
                Trouble::Slow { which, us } => {
                    self.machines[*which].disk.faults().speed.sync_us = *us / 2..*us;
                }
                Trouble::Fail { which } => {
                    let faults = self.machines[*which].disk.faults();
                    (faults.eio_write, faults.eio_sync) = (0.05, 0.05);
                }
                Trouble::Crash { .. }
                | Trouble::Pause { .. }
                | Trouble::HandOver { .. }
                | Trouble::Fill { .. } => {}
            }
        }
    }

    /// Whether the disk of a machine fails now, or is full.
    pub(super) fn fails(&self, at: usize) -> bool {
        let is_of = |ill: &Ill| matches!(ill.trouble, Trouble::Fail { which } | Trouble::Fill { which, .. } if which == at);
        self.ills.iter().any(is_of)
    }

    /// Everything that is wrong ends now.
    pub(super) fn heal(&mut self) {
        self.ills.clear();
        self.derive();
        for machine in &mut self.machines {
            machine.paused_until_us = 0;
            machine.down_until_us = 0;
            machine.disk.set_space_left(None);
        }
    }
}
