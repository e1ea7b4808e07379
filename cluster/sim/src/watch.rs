//! What is checked all along and no client can see: that requests are answered, and that memory and space stay bounded.

use crate::checks::{Accounts, Held, NodeCheck};
use crate::model::{Checked, Permits, Violation};
use crate::world::{Up, World};
use pinion_engine::tree::READ_BYTES_MAX;

/// Checks that cost something are made once in so many steps.
const PERIOD_STEPS: u64 = 512;
/// A healthy node answers a request within so long: longer than it may hold writes back.
const ANSWER_US: u64 = 120_000_000;
/// What a core may take, beyond the time for a request, until it has ended it: a stuck core's requests have a second more.
const END_US: u64 = 3_000_000;
/// The longest answer that is given without asking for room: COMMAND.
const ANSWER_BYTES: usize = 128 << 10;
/// How long after trouble refusals may still speak of it.
const GRACE_US: u64 = 3_000_000;

impl World {
    /// A broken promise that is about no key.
    pub(super) fn violation(&self, check: &'static str, expected: &str, seen: String) -> Box<Violation> {
        Violation::new(check, expected, seen, self.now())
    }

    /// A promise of a node that was broken, or not.
    pub(super) fn hold(&self, held: Held) -> Checked {
        held.map_err(|broken| self.violation(broken.check, &broken.expected, broken.seen))
    }

    /// Looks at everything every so often.
    pub(super) fn watch(&mut self) -> Checked {
        if !self.steps.is_multiple_of(PERIOD_STEPS) {
            return Ok(());
        }
        self.forgive();
        self.watch_answers()?;
        self.watch_deadlines()?;
        self.watch_memory()?;
        self.watch_space()
    }

    /// Trouble that is over is no excuse any more, once its last victims have their answers.
    fn forgive(&mut self) {
        let Up::Yes(node) = &self.up else { return };
        let now_us = self.clock.us();
        if self.calamity.is_stormy() || node.failure().is_some() || node.is_troubled() {
            self.calamity.troubled_until_us = now_us;
            return;
        }
        let since_us = self.calamity.troubled_until_us + GRACE_US;
        let is_clear = self
            .seats
            .iter()
            .all(|seat| seat.client.waits_since_us().is_none_or(|sent_us| sent_us > since_us));
        if self.permits != Permits::default() && now_us > since_us && is_clear {
            self.permits = Permits { damaged: !self.calamity.damage.is_empty(), ..Permits::default() };
            self.history.permit(self.permits);
        }
    }

    fn watch_answers(&mut self) -> Checked {
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        if self.calamity.is_stormy() || node.is_stopping() || node.failure().is_some() {
            return Ok(());
        }
        let now_us = self.clock.us();
        let since_us = self.calamity.troubled_until_us;
        for seat in &self.seats {
            let Some(sent_us) = seat.client.waits_since_us() else { continue };
            if now_us > sent_us.max(since_us) + ANSWER_US {
                let seen = format!(
                    "client {} waits since {sent_us} us for {} answers, the oldest of {} ({:?}){}",
                    seat.client.id(),
                    seat.client.unanswered(),
                    seat.client.waits_for().unwrap_or_default(),
                    seat.link,
                    node.describe()
                );
                return Err(self.violation("every request is answered", "an answer", seen));
            }
        }
        Ok(())
    }

    /// Whatever disks do: a node answers what it has taken in before the time for it is over, or says that it is.
    fn watch_deadlines(&mut self) -> Checked {
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        if node.is_stopping() {
            return Ok(());
        }
        // Since the node started, as its own clock goes; a machine that slept had no chance.
        let (now_us, begun_us) = (self.clock.us(), node.started_us());
        let awake_us = self.calamity.awake_since_us;
        let bound_us = self.plan.node.request_timeout_us + END_US;
        for core in &mut node.cores {
            let oldest_us = core.state.waits_since_us();
            let Some(since_us) = oldest_us.map(|us| (begun_us + us).max(awake_us)) else { continue };
            if now_us > since_us + bound_us {
                let seen = format!("one waits since {since_us} us{}", node.describe());
                return Err(self.violation("every request ends in its time", "its end", seen));
            }
        }
        Ok(())
    }

    fn watch_memory(&mut self) -> Checked {
        let Up::Yes(node) = &self.up else { return Ok(()) };
        let budgets = self.plan.node.tuning.budgets;
        // What is taken in before a limit is noticed: a commit, and the largest value.
        let value = self.plan.node.value_bytes_max;
        let slack = budgets.log_write + 2 * value;
        // Or the blocks of a page, which nobody lets go before it has all that it asked for.
        let page = value.max(READ_BYTES_MAX);
        for (index, core) in node.cores.iter().enumerate() {
            let stats = core.state.shard().stats();
            let held = core.net.real_bytes();
            let connections = self.seats.len() * (self.plan.node.net.budget_bytes + (4 << 20));
            for (what, bytes, most) in [
                ("memtables", stats.memtable_bytes, budgets.memtables + slack),
                ("cached blocks", stats.cache_bytes, budgets.cache + budgets.parked + page + (64 << 10)),
                ("buffers of connections", held, connections),
            ] {
                if bytes > most {
                    let seen = format!("core {index}: {what} take {bytes} bytes");
                    return Err(self.violation("memory stays bounded", &format!("{most} bytes"), seen));
                }
            }
        }
        Ok(())
    }

    /// After each turn of a core: all that its connections hold is in its account, and within what they may.
    pub(super) fn watch_account(&mut self, core: usize) -> Checked {
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        let held = Accounts.turned(node, core, &self.clock);
        let (sessions, _) = node.cores[core].state.session_bytes();
        self.hold(held)?;
        if self.plan.hostile.is_empty() {
            return Ok(());
        }
        let Up::Yes(node) = &self.up else { return Ok(()) };
        let split = self.plan.node.split();
        // One long command may go alone where any room is left, an answer is given before it is known to be too much,
        // and every connection may bring what was on its way.
        let slack = split.connections / 2 + ANSWER_BYTES;
        let each = self.plan.node.net.in_transit_bytes + self.plan.node.net.budget_bytes;
        let most = split.connections + slack + self.seats.len() * each;
        let bytes = sessions + node.cores[core].net.real_bytes();
        if bytes > most {
            let seen = format!("core {core}: connections hold {bytes} bytes");
            return Err(self.violation(
                "connections stay within their memory",
                &format!("{most} bytes"),
                seen,
            ));
        }
        Ok(())
    }

    /// Beside tables of the tree there are only the log, the manifest, and what jobs are making or removing.
    fn watch_space(&mut self) -> Checked {
        let Up::Yes(node) = &self.up else { return Ok(()) };
        let tuning = &self.plan.node.tuning;
        for (index, core) in node.cores.iter().enumerate() {
            let stats = core.state.shard().stats();
            let tables: u64 = stats.levels.iter().map(|level| level.bytes).sum();
            let segments = 8 * u64::from(tuning.segment_bytes);
            let jobs = 4 * tuning.tree.merge_bytes_max + 4 * stats.memtable_bytes as u64;
            let most = 3 * tables + stats.log_bytes + segments + jobs + (8 << 20);
            let bytes = self.disks[index].bytes();
            if bytes > most {
                let seen = format!("shard {index}: {bytes} bytes, of which {tables} in tables: {stats:?}");
                return Err(self.violation("space stays bounded", &format!("{most} bytes"), seen));
            }
        }
        Ok(())
    }

    /// When nothing is under way any more whose outcome nobody will learn, what had no effect will have none.
    pub(super) fn settle(&mut self, core: usize) {
        let Up::Yes(node) = &mut self.up else { return };
        let ghosts = self.history.ghosts();
        if ghosts > self.ghosts || node.cores.iter().any(|core| core.net.orphans > 0) {
            self.ghosts = ghosts;
            self.orphaned_step = Some(self.steps);
        }
        let Some(orphaned_step) = self.orphaned_step else { return };
        let core_of = &mut node.cores[core];
        self.done_steps.resize(self.disks.len(), 0);
        // What it sent to other shards is answered, and what its own had taken in is written and applied.
        if core_of.state.is_answered() && core_of.has_no_write_under_way() {
            self.done_steps[core] = self.steps;
        }
        // A write of a client that is still there has an unknown outcome, too, while its shard is in doubt.
        let is_in_doubt = node.failure().is_some();
        if !is_in_doubt && self.done_steps.iter().all(|&step| step > orphaned_step) {
            self.orphaned_step = None;
            let now = self.now();
            self.history.settled(now);
        }
    }
}
