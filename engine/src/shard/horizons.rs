//! What flushes and merges must keep: what open readers see, and what isn't settled yet.
//!
//! They judge by the durable manifest and never by what was applied later: a replay of the log after a crash must find what they
//! judged by.

use super::Shard;
use super::pending::PendingRead;
use crate::group::groups::Place;
use crate::group::{Group, Order};
use crate::job::{Horizon, Horizons};
use crate::tree::ReadPins;

impl Shard {
    /// The versions that open readers see.
    pub(super) fn pins(&self) -> ReadPins {
        let later = self.reads_later().map(|(place, read)| (place, read.version));
        let waiting = self.parked.pins().chain(self.kept.pins()).chain(later);
        ReadPins::new(waiting.map(|(place, at)| (self.groups[place].id, at)).collect())
    }

    /// How far the past of each partition is settled, and no reader that waits hasn't come to it.
    pub(super) fn horizons(&self) -> Horizons {
        let later = self.reads_later().map(|(_, read)| read.now_ms);
        let waiting = self.parked.oldest_ms().into_iter().chain(self.kept.oldest_ms()).chain(later);
        let waiting_ms = waiting.min().unwrap_or(u64::MAX);
        Horizons::new(self.groups.iter().map(|group| (group.id, self.horizon(group, waiting_ms))))
    }

    /// The reads that wait until it is known who leads, or for what isn't committed. By the time that they are answered, more may be
    /// applied than they see.
    fn reads_later(&self) -> impl Iterator<Item = (Place, &PendingRead)> {
        let queues = self.held.places().filter_map(|place| self.groups[place].queue());
        let queued = queues.flat_map(|queue| queue.all_waiting());
        let answers = queued.chain(self.replicated.rounds.answers()).chain(&self.replicated.ticks);
        answers.filter_map(|answer| Some((answer.place, answer.read()?)))
    }

    /// A group that orders itself has nothing older on its way; and its time is the shard's, as far as no crash could take
    /// it back. The others are as far as their log says.
    fn horizon<W>(&self, group: &Group<W>, waiting_ms: u64) -> Horizon {
        let durable = self.manifest.state().groups.get(&group.id);
        let (max_version, floor, us) =
            durable.map_or_else(Default::default, |state| (state.max_version, state.floor, state.clock_us));
        let (floor, us) = match group.order() {
            Order::Solo => (max_version, self.kept_clock_us),
            Order::Led { .. } | Order::Following { .. } => (floor, us),
        };
        Horizon { floor, now_ms: waiting_ms.min(us / 1000), max_version }
    }
}
