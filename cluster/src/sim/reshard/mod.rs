//! Another number of shards, between two lives of the node: what `kvtool reshard` runs ([`pinion_engine::offline`]), over
//! simulated disks. It may be cut off by a crash at any of its changes, or find no room; then it is tried again, or not.

mod shelf;

use crate::sim::disk::Crash;
use crate::sim::model::Checked;
use crate::sim::world::World;
use pinion_engine::drive::{StoreDir, StoreFile};
use pinion_engine::offline::reshard;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use shelf::Shelf;
use std::mem::take;

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Done,
    /// A crash, at a change.
    Crash(Crash, u64),
    /// New shards have room for so many bytes each.
    NoRoom(u64),
}

/// Attempts to reshard before the operator gives up.
const ATTEMPTS: usize = 3;

impl World {
    /// Gives the store `cores` shards, while the node is down. Skipped where a disk can't be read.
    pub(super) fn reshard(&mut self, cores: usize) -> Checked {
        if self.calamity.is_stormy() || !self.calamity.damage.is_empty() {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let fate = fate(&mut self.streams.faults);
            let is_done = self.try_reshard(cores as u32, fate)?;
            if is_done || self.streams.faults.random_ratio(1, 2) {
                break;
            }
        }
        self.soothe();
        Ok(())
    }

    /// One attempt; whether the store has its new shards behind it.
    fn try_reshard(&mut self, shards: u32, fate: Fate) -> Checked<bool> {
        let before = StoreDir { path: "/sim".into(), file: self.plan.node.store() };
        let rng = SmallRng::seed_from_u64(self.streams.disk.random());
        let mut shelf = Shelf::new(&before, take(&mut self.disks), fate, self.calamity.calm.clone(), rng);
        let outcome = reshard(&mut shelf, &before, shards, &mut ());
        let had_trouble = shelf.had_trouble();
        // What was made is durable before it counts.
        shelf.crash(if let Fate::Crash(crash, _) = fate { crash } else { Crash::Power });
        let (file, disks, others) = shelf.into_disks(&before.path);
        self.disks = others;
        self.count_disks();
        self.disks = disks;
        if let (Err(error), false) = (&outcome, had_trouble) {
            let seen = error.to_string();
            return Err(self.violation("a store that is well can be resharded", "new shards", seen));
        }
        let is_new = file.layout != before.file.layout;
        if is_new {
            self.moved_to(&file);
        }
        self.counters.count(match (&outcome, is_new) {
            (Ok(_), _) => "reshards",
            (Err(_), true) => "reshards cut off behind the switch",
            (Err(_), false) => "reshards cut off",
        });
        Ok(outcome.is_ok() || is_new)
    }

    fn moved_to(&mut self, file: &StoreFile) {
        let cores = file.shards as usize;
        (self.plan.node.cores, self.plan.node.layout) = (cores, file.layout);
        self.history.resharded(cores);
    }
}

/// Most of the changes that a reshard of a small store makes lie below the last number.
fn fate(rng: &mut SmallRng) -> Fate {
    match rng.random_range(0..10) {
        0..5 => Fate::Done,
        5..9 => {
            let crash = if rng.random() { Crash::Power } else { Crash::Process };
            Fate::Crash(crash, rng.random_range(1..60))
        }
        _ => Fate::NoRoom(rng.random_range(0..64 << 10)),
    }
}
