//! The end of a run of several nodes: all heals, and peers find each other; then all nodes are stopped.

use super::{Cluster, Machine};
use crate::checks::Broken;
use crate::model::Checked;
use crate::setup::store_id;
use crate::world::Up;
use pinion_cluster::peers::Id;

/// When everything has healed, all peers are connected within so long, microseconds: a dead connection is noticed in one
/// second, and the longest pause are two.
const WHOLE_US: u64 = 15_000_000;
/// A node that stops has ended by then, microseconds.
const STOP_US: u64 = 30_000_000;
/// A core and a peer: the connection that it has, and the newest ping of that which was answered.
type Answered = ((usize, usize), Id, Option<u64>, u64);

impl Cluster {
    /// Everything heals, and all peers find each other soon.
    pub(super) fn make_whole(&mut self) -> Checked {
        self.heal();
        let (before, until_us) = (self.answered(), self.now_us + WHOLE_US);
        while !self.is_whole(&before) {
            if self.now_us > until_us {
                let seen = self.describe();
                let broken = Broken::new("peers find each other when all has healed", "connections", seen);
                return Err(self.violation(broken));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Whether all nodes that are of one cluster have answers of each other that they hadn't before.
    fn is_whole(&self, before: &[Answered]) -> bool {
        let are_up = self.machines.0.iter().all(|machine| matches!(machine.up, Up::Yes(_)));
        let answered = self.answered();
        are_up && answered.iter().all(|one| one.3 > 0 && !before.contains(one))
    }

    /// How far each core of a node has come with each peer that it is to have.
    fn answered(&self) -> Vec<Answered> {
        let is_far = |id| self.plan.stranger.is_some_and(|far| store_id(far) == id);
        let mut answered = Vec::new();
        for (number, machine) in self.machines.0.iter().enumerate() {
            let Up::Yes(node) = &machine.up else { continue };
            for (core, of_core) in node.cores.iter().enumerate() {
                let peers = of_core.state.peers().status();
                let peers = peers.filter(|peer| self.plan.stranger != Some(number) && !is_far(peer.node));
                answered
                    .extend(peers.map(|peer| ((number, core), peer.node, peer.connection, peer.answered)));
            }
        }
        answered
    }

    /// All nodes are stopped, and end.
    pub(super) fn stop_all(&mut self) -> Checked {
        let until_us = self.now_us + STOP_US;
        self.is_ending = true;
        for number in 0..self.machines.0.len() {
            self.count_peers(number);
            self.stop(number);
        }
        let is_up = |machine: &Machine| matches!(&machine.up, Up::Yes(node) if !node.has_stopped());
        while self.machines.0.iter().any(is_up) {
            if self.now_us > until_us {
                let seen = self.describe();
                return Err(self.violation(Broken::new("a node that is stopped ends", "its end", seen)));
            }
            self.step()?;
        }
        (0..self.machines.0.len()).for_each(|number| self.fall(number, false, u64::MAX));
        self.counters.add("connections broken", self.links.broken);
        self.counters.add("messages that came again", self.links.echoed());
        Ok(())
    }

    fn count_peers(&mut self, number: usize) {
        let Up::Yes(node) = &self.machines.0[number].up else { return };
        for peer in node.cores.iter().flat_map(|core| core.state.peers().status()) {
            self.counters.add("rounds", peer.answered);
            self.counters.add("attempts to connect", peer.attempts);
            self.counters.add("messages of other connections", peer.strays);
            self.counters.add("refused peers", u64::from(peer.refused.is_some()));
        }
    }

    /// How each core stands to its peers, for reports.
    fn describe(&self) -> String {
        let mut text = String::new();
        for (number, machine) in self.machines.0.iter().enumerate() {
            let Up::Yes(node) = &machine.up else {
                text += &format!("\n    node {number} is down");
                continue;
            };
            for (core, of_core) in node.cores.iter().enumerate() {
                let peers = of_core.state.peers();
                let (guests, status) = (peers.guests().0, peers.status().collect::<Vec<_>>());
                text += &format!("\n    node {number}, core {core}: {guests} guests, {status:?}");
            }
        }
        text
    }
}
