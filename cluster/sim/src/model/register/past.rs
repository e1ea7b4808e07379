//! What a crash does to a register, and what of its past is remembered for that.

use super::{CONFIGS_LIMIT, Note, Register};
use crate::model::config::{Config, Configs, Mark, Node};
use crate::model::time::SimTime;
use crate::model::value::{OpId, Slots};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::rc::Rc;

impl Register {
    /// The node crashed; nothing is open any more. `losable_us`: what was acknowledged from then on may be lost.
    pub fn crashed(&mut self, losable_us: Option<u64>, now: SimTime) {
        self.note(now.us, Note::Crashed);
        self.left.clear();
        self.settled(now);
        for config in &mut self.configs {
            (config.kept, config.lost) = (0, u64::MAX);
        }
        let turned_back: Vec<_> =
            self.configs.iter_mut().filter_map(|config| config.turned_back(now.clock_ms_min)).collect();
        self.configs.extend(turned_back);
        if let Some(from_us) = losable_us {
            self.roll_back(from_us);
        }
        self.merge();
        if self.configs.len() > CONFIGS_LIMIT {
            self.give_up();
        }
    }

    /// Adds the states that a crash may have gone back to.
    fn roll_back(&mut self, from_us: u64) {
        let mut more = Configs::default();
        for config in &mut self.configs {
            let mut stack: Vec<_> = config.tails.iter().cloned().collect();
            config.kept = stack.iter().map(|tail| tail.version.from).min().unwrap_or(0);
            config.floors.clear();
            config.is_at_cut = true;
            let mut seen: HashSet<*const Node> = HashSet::new();
            while let Some(node) = stack.pop() {
                if node.is_root() || node.acked_us.get() < from_us || !seen.insert(Rc::as_ptr(&node)) {
                    continue;
                }
                let lost = node.version.to;
                let start = Slots::default();
                let earlier = node.before.borrow();
                let before: Vec<_> = match earlier.is_empty() {
                    true => vec![(&start, SmallVec::new(), 0)],
                    false => earlier
                        .iter()
                        .map(|tail| (&tail.slots, SmallVec::from_elem(Rc::clone(tail), 1), tail.version.from))
                        .collect(),
                };
                for (slots, tails, kept) in before {
                    let mut back = Config { slots: slots.clone(), tails, kept, lost, ..Config::new() };
                    (back.epoch, back.is_at_cut) = (config.epoch, true);
                    for ghost in &self.pending {
                        back.set_mark(ghost.op.id, Mark::Skipped);
                    }
                    more.add(back);
                }
                stack.extend(earlier.iter().cloned());
            }
        }
        self.configs.extend(more.into_list());
        self.merge();
        self.tidy();
    }

    /// Between which versions the order of the partition was cut, as far as this register tells.
    pub fn cut(&self) -> (u64, u64) {
        let kept = self.configs.iter().map(|config| config.kept).min().unwrap_or(0);
        let lost = self.configs.iter().map(|config| config.lost).max().unwrap_or(u64::MAX);
        (kept, lost)
    }

    /// Forgets the past that no crash can bring back: what lies before what was acknowledged before this time.
    pub fn forget_before(&mut self, us: u64) {
        let mut stack: Vec<_> = self.configs.iter().flat_map(|config| config.tails.iter().cloned()).collect();
        let mut seen: HashSet<*const Node> = HashSet::new();
        while let Some(node) = stack.pop() {
            if !seen.insert(Rc::as_ptr(&node)) {
                continue;
            }
            let mut before = node.before.borrow_mut();
            if node.acked_us.get() < us {
                before.clear();
            } else {
                stack.extend(before.iter().cloned());
            }
        }
    }
}

/// A write was acknowledged: notes it in the pasts.
pub(super) fn acknowledge(configs: &[Config], id: OpId, us: u64) {
    let mut stack: Vec<_> = configs.iter().flat_map(|config| config.tails.iter().cloned()).collect();
    let mut steps = 0;
    while let Some(node) = stack.pop() {
        if node.op == id {
            node.acked_us.set(us);
        }
        // It lies behind the newest states: what was open when it was answered.
        steps += 1;
        if node.acked_us.get() == u64::MAX && steps < 1000 {
            stack.extend(node.before.borrow().iter().cloned());
        }
    }
}
