//! The time that a node's shards show goes on by what passes.

use super::{Broken, Held, NodeCheck};
use crate::clock::Clock;
use crate::node::Node;
use crate::truth::{Look, Truth};
use pinion_engine::clock::TimeJump;

impl NodeCheck for Truth {
    fn opened(&mut self, node: &Node, clock: &Clock, jump: TimeJump) -> Held {
        for (shard, core) in node.cores.iter().enumerate() {
            let opened = Truth::opened(self, shard, core.state.shard().clocks(), clock, jump);
            opened.map_err(|seen| broken("an opening goes on by what passed", shard, &seen))?;
        }
        Ok(())
    }

    fn turned(&mut self, node: &mut Node, core: usize, clock: &Clock) -> Held {
        let shard = node.cores[core].state.shard();
        let look = Look { clocks: shard.clocks(), is_well: shard.failure().is_none() };
        let looked = self.looked(core, look, clock);
        looked.map_err(|seen| broken("a shard's time goes on by what passes", core, &seen))
    }

    fn closed(&mut self, clock: &Clock, is_power: bool) {
        Truth::closed(self, clock, is_power, false);
    }
}

fn broken(check: &'static str, shard: usize, seen: &str) -> Broken {
    Broken::new(check, "that", format!("shard {shard}: {seen}"))
}
