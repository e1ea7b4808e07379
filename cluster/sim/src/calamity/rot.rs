//! Data at rest rots, and the operator puts back what is found.

use crate::disk::RotMix;
use crate::world::World;
use pinion_engine::io::FileName;
use rand::Rng;

/// A job whose output rots has written it again within so long.
const WRITTEN_AGAIN_US: u64 = 5_000_000;

impl World {
    /// Tables rot at any time; logs and manifests while they are at rest, behind an orderly stop: damage to the newest
    /// commit or edit can't be told from a tear, and only there it is known which one that is.
    pub(super) fn rot(&mut self, is_at_rest: bool) {
        let shard = self.streams.faults.random_range(0..self.disks.len());
        let disk = &mut self.disks[shard];
        let (logs, manifests) = if is_at_rest { (2, 1) } else { (0, 0) };
        // Where blocks fit in each other's places, most of them go astray.
        let misdirected = if self.plan.clients.iter().any(|(_, shape)| shape.is_alike) { 6 } else { 1 };
        disk.faults().rot = RotMix { misdirected, logs, manifests, ..RotMix::default() };
        let Some(damage) = disk.rot(&mut self.streams.faults) else { return };
        if damage.is_newest && !matches!(damage.file, FileName::Table(_)) {
            return disk.mend(|file| file == damage.file);
        }
        self.counters.count("damage done");
        self.calamity.damage.push((shard, damage));
        self.permits.damaged = true;
        if disk.running_jobs().next().is_some() {
            // It may be what a job just wrote, which then tries again; until then memtables may fill up.
            self.permits.read_only = true;
            self.calamity.troubled_until_us = self.clock.us() + WRITTEN_AGAIN_US;
        }
        self.history.permit(self.permits);
    }

    /// The operator puts back what was damaged.
    pub(super) fn restore(&mut self, shard: usize) {
        self.disks[shard].mend(|_| true);
        self.calamity.damage.retain(|(other, _)| *other != shard);
    }

    /// The node is open: damage to its logs and manifests was where it needs nothing. Tables are read later.
    pub(super) fn accept_damage(&mut self) {
        let is_table = |file| matches!(file, FileName::Table(_));
        self.disks.iter_mut().for_each(|disk| disk.accept(|file| !is_table(file)));
        self.calamity.damage.retain(|(_, damage)| is_table(damage.file));
    }
}
