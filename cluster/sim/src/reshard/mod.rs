//! Another number of shards, between two lives of the node: what `kvtool reshard` runs ([`pinion_engine::offline`]), over
//! simulated disks. It may be cut off by a crash at any of its changes, find no room, or meet errors; then it is tried again
//! over what it left, or not.

mod sim_store;

use crate::disk::{Crash, DiskFaults};
use crate::model::Checked;
use crate::trace::Event;
use crate::world::World;
use pinion_engine::Error;
use pinion_engine::drive::{StoreDir, StoreFile};
use pinion_engine::offline::reshard;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sim_store::SimStore;
use std::io::ErrorKind;
use std::mem::take;

/// What goes wrong in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    None,
    /// A crash, at a change.
    Crash(u64),
    /// New shards have room for so many bytes each.
    NoRoom(u64),
    /// Reads, writes and syncs fail.
    Errors,
}

/// Attempts before the operator gives up.
const ATTEMPTS: usize = 3;
/// Most of the changes that a reshard of a small store makes.
const CHANGES: u64 = 100;

impl World {
    /// Gives the store about `cores` shards, while the node is down, which came by `worst` at the most: nothing worse happens
    /// to it now. Skipped where a disk can't be read.
    pub(super) fn reshard(&mut self, cores: usize, worst: Crash) -> Checked {
        let most = self.plan.node.shards_max();
        if self.calamity.is_stormy() || !self.calamity.damage.is_empty() || most == 1 {
            return Ok(());
        }
        if !self.truth.is_one_time() {
            // The new shards will have one; the model doesn't know which.
            self.counters.count("reshards left out for times that differ");
            return Ok(());
        }
        let cores = if cores == self.plan.node.cores { cores % most + 1 } else { cores };
        for _ in 0..ATTEMPTS {
            let mishap = Mishap::draw(&mut self.streams.faults);
            let is_done = self.try_reshard(cores as u32, mishap, worst)?;
            if is_done || self.streams.faults.random_ratio(1, 2) {
                break;
            }
        }
        self.soothe();
        Ok(())
    }

    /// One attempt; whether the store has its new shards behind it.
    fn try_reshard(&mut self, shards: u32, mishap: Mishap, worst: Crash) -> Checked<bool> {
        let before = StoreDir { path: "/sim".into(), file: self.plan.node.store() };
        let faults = mishap.faults(&self.calamity.calm);
        let rng = SmallRng::seed_from_u64(self.streams.disk.random());
        let mut store = SimStore::new(&before, take(&mut self.disks), faults, rng);
        store.add_leftovers(take(&mut self.leftovers));
        match mishap {
            Mishap::Crash(change) => store.crash_at(change),
            Mishap::NoRoom(bytes) => store.limit_room(bytes),
            Mishap::None | Mishap::Errors => {}
        }
        let outcome = reshard(&mut store, &before, shards, &mut ());
        let is_excused = outcome.as_ref().is_err_and(|error| mishap.excuses(error, store.has_crashed()));
        // Under a power failure, whatever counts now has to be durable.
        store.crash(worst);
        let file = store.file().clone();
        self.count_disks(store.take_removed());
        (self.disks, self.leftovers) = store.into_shards(&before.path);
        let is_new = file.layout != before.file.layout;
        self.trace.add(Event::Resharded, u64::from(file.shards), u64::from(outcome.is_ok()));
        if let (Err(error), false) = (&outcome, is_excused) {
            let seen = error.to_string();
            return Err(self.violation("a store that is well can be resharded", "new shards", seen));
        }
        if is_new {
            self.moved_to(&file);
        }
        self.counters.count(match (&outcome, is_new) {
            (Ok(_), _) => "reshards",
            (Err(_), true) => "reshards cut off behind the switch",
            (Err(_), false) => "reshards cut off",
        });
        Ok(is_new)
    }

    fn moved_to(&mut self, file: &StoreFile) {
        let cores = file.shards as usize;
        (self.plan.node.cores, self.plan.node.layout) = (cores, file.layout);
        self.plan.node.is_made = file.is_made;
        self.history.resharded(cores);
        self.truth.resharded(cores);
    }
}

impl Mishap {
    fn draw(rng: &mut SmallRng) -> Mishap {
        match rng.random_range(0..10) {
            0..4 => Mishap::None,
            4..8 => Mishap::Crash(rng.random_range(1..CHANGES)),
            8 => Mishap::NoRoom(rng.random_range(0..64 << 10)),
            _ => Mishap::Errors,
        }
    }

    fn faults(self, calm: &DiskFaults) -> DiskFaults {
        let share = if self == Mishap::Errors { 0.03 } else { 0.0 };
        DiskFaults { eio_read: share, eio_write: share, eio_sync: share, eio_name: share, ..calm.clone() }
    }

    /// Whether an attempt may fail in this way.
    fn excuses(self, error: &Error, has_crashed: bool) -> bool {
        match (self, error) {
            (Mishap::None, _) => false,
            (Mishap::Crash(_), _) => has_crashed,
            (Mishap::NoRoom(_), Error::Io { source, .. }) => source.kind() == ErrorKind::StorageFull,
            (Mishap::NoRoom(_), _) => false,
            (Mishap::Errors, error) => matches!(error, Error::Io { .. }),
        }
    }
}
