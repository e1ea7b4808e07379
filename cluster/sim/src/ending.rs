//! The end of a run: the world heals, and everything is read once more.

use crate::client::{Client, Dialect};
use crate::model::{Checked, Permits};
use crate::world::{Link, Seat, Up, World};
use rand::Rng;

impl World {
    /// No fault strikes any more; a shard that failed comes back, a node that is down comes up.
    pub(super) fn heal(&mut self) -> Checked {
        self.calm_down();
        self.send_away()?;
        loop {
            self.operate()?;
            let Up::Yes(node) = &self.up else {
                self.step()?;
                continue;
            };
            if node.is_stopping() || node.failure().is_some() {
                self.step()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Whoever means harm goes.
    fn send_away(&mut self) -> Checked {
        for index in 0..self.seats.len() {
            if !self.seats[index].client.is_hostile() {
                continue;
            }
            self.seats[index].is_retired = true;
            if let (Link::Open { core, conn, .. }, Up::Yes(node)) = (&self.seats[index].link, &mut self.up) {
                node.cores[*core].net.reset(*conn, &mut self.streams.net);
                self.disconnect(index)?;
            }
        }
        Ok(())
    }

    /// A client reads everything that the history knows of.
    pub(super) fn audit(&mut self) -> Checked {
        let dialects = [Dialect::Resp2, Dialect::Resp3, Dialect::Wire, Dialect::WireChecked];
        let dialect = dialects[self.streams.faults.random_range(0..dialects.len())];
        let id = self.seats.len();
        let (client, link) = (Client::auditor(id, dialect), Link::None { retry_us: 0 });
        self.seats.push(Seat { client, link, is_retired: false });
        while !self.seats[id].client.is_finished() {
            self.step()?;
            self.operate()?;
        }
        self.seats[id].is_retired = true;
        self.counters.count("audits");
        Ok(())
    }

    /// Jobs come to their end, then the node is stopped, and its disks hold what they should and nothing else.
    pub(super) fn stop_for_good(&mut self) -> Checked {
        let until_us = self.clock.us() + SETTLE_US;
        while let Up::Yes(node) = &self.up {
            if node.is_settled() || self.clock.us() > until_us {
                break;
            }
            self.step()?;
        }
        self.tidy()?;
        if let Up::Yes(node) = &mut self.up {
            node.stop(self.clock.us(), &mut self.counters);
        }
        while let Up::Yes(_) = &self.up {
            self.step()?;
            self.operate()?;
        }
        Ok(())
    }

    /// A node at rest has no trouble, and no file that nothing needs.
    fn tidy(&mut self) -> Checked {
        let Up::Yes(node) = &self.up else { return Ok(()) };
        if self.permits != Permits::default() {
            return Ok(());
        }
        for (index, core) in node.cores.iter().enumerate() {
            let stats = core.state.shard().stats();
            if let Some(trouble) = stats.trouble.or(stats.read_only) {
                let seen = format!("shard {index}: {trouble}");
                return Err(self.violation("a node at rest is well", "no trouble", seen));
            }
        }
        Ok(())
    }
}

/// How long a node is given to settle.
const SETTLE_US: u64 = 60_000_000;
