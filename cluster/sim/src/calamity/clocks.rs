//! What befalls the clocks: boots, sleeps, and somebody who sets the wall clock.

use super::{Crash, Up, World};
use crate::checks::NodeCheck;
use crate::model::Checked;
use crate::schedule::jump_us;
use pinion_engine::clock::TimeJump;
use rand::Rng;

impl World {
    /// Ends the moments at which wall clocks are wrong, and quiet times.
    pub(super) fn set_clocks_back(&mut self) {
        let now_us = self.clock.us();
        if !self.calamity.is_quiet(now_us) {
            self.calamity.quiet_until_us = 0;
        }
        let (due, rest) = self.calamity.set_back.iter().partition(|(at_us, _)| *at_us <= now_us);
        self.calamity.set_back = rest;
        for (_, us) in Vec::<(u64, i64)>::from_iter(due) {
            self.counters.count("clocks set back");
            self.clock.jump(us);
        }
    }

    /// The machine starts again, if it went down with the node. Its wall clock may be set meanwhile.
    pub(super) fn reboot(&mut self, crash: Crash) {
        if crash == Crash::Power {
            self.counters.count("boots");
            self.clock.reboot();
        }
        if self.plan.jumps_while_down && self.streams.faults.random_ratio(1, 3) {
            self.counters.count("clock jumps while down");
            self.clock.jump(jump_us(self.plan.goes_back, &mut self.streams.faults));
        }
    }

    /// The node is open: do its shards' clocks show what they should?
    pub(super) fn check_opened(&mut self) -> Checked {
        let jump = std::mem::take(&mut self.plan.node.time_jump);
        let Up::Yes(node) = &self.up else { return Ok(()) };
        let held = NodeCheck::opened(&mut self.truth, node, &self.clock, jump);
        self.hold(held)?;
        self.look_at_clocks();
        Ok(())
    }

    /// What an operator makes of a wall clock that shows much more than the store.
    pub(super) fn explain_time(&mut self) -> Checked {
        self.counters.count("starts refused for a time jump");
        match self.streams.faults.random_range(0..3) {
            0 => self.plan.node.time_jump = TimeJump::Follow,
            1 => self.plan.node.time_jump = TimeJump::Ignore,
            _ => self.clock.jump(-self.clock.ahead_us()),
        }
        Ok(())
    }

    /// The machine sleeps. Its wall clock may be another for a part of that, which nobody sees.
    pub(super) fn sleep(&mut self, us: u64) {
        self.counters.count("sleeps of the machine");
        if self.plan.jumps_while_down && self.streams.faults.random_ratio(1, 2) {
            self.counters.count("clock jumps while asleep");
            let jump_us = jump_us(self.plan.goes_back, &mut self.streams.faults);
            let away_us = us / 2;
            let back_us = self.streams.faults.random_range(0..=(us - away_us).min(1_000_000));
            self.clock.advance(away_us);
            self.clock.jump(jump_us);
            self.clock.advance(us - away_us - back_us);
            self.clock.jump(-jump_us);
            self.clock.advance(back_us);
        } else {
            self.clock.advance(us);
        }
        self.truth.slept(&self.clock);
        self.look_at_clocks();
        // Nobody had a chance to answer, or to come back.
        (self.calamity.troubled_until_us, self.calamity.awake_since_us) = (self.clock.us(), self.clock.us());
        self.calamity.failed_us = self.calamity.failed_us.map(|_| self.clock.us());
    }
}
