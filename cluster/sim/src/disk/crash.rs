//! The end of a process, or of the power.

use super::perform::perform_part;
use super::{Crash, Disk};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// See [`Disk::crash`].
pub(super) fn crash(disk: &mut Disk, kind: Crash, rng: &mut SmallRng) {
    let mut in_flight = disk.queue.take_all();
    in_flight.shuffle(rng);
    disk.media.counters.crashes += 1;
    disk.media.counters.caught_requests += in_flight.len() as u64;
    disk.media.counters.caught_jobs += disk.jobs.len() as u64;
    for request in in_flight {
        perform_part(&mut disk.media, request, rng);
    }
    disk.forget_requests();
    if kind == Crash::Power {
        disk.media.lose_power(rng);
    }
}
