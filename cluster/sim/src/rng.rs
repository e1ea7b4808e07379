//! Random numbers: everything that is left to chance follows from the seed.
//!
//! Each purpose has a stream of its own, so that leaving out a fault doesn't change what the clients draw.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The stream of a purpose.
pub fn stream(seed: u64, purpose: &str) -> SmallRng {
    SmallRng::seed_from_u64(xxh3_64_with_seed(purpose.as_bytes(), seed))
}

/// The streams of a run.
#[derive(Debug)]
pub struct Streams {
    /// Who comes next, and how much time passes.
    pub schedule: SmallRng,
    /// How bytes travel.
    pub net: SmallRng,
    /// What disks do.
    pub disk: SmallRng,
    /// What clients ask.
    pub clients: SmallRng,
    /// How faults strike.
    pub faults: SmallRng,
}

impl Streams {
    /// All streams of a seed.
    pub fn new(seed: u64) -> Streams {
        Streams {
            schedule: stream(seed, "schedule"),
            net: stream(seed, "net"),
            disk: stream(seed, "disk"),
            clients: stream(seed, "clients"),
            faults: stream(seed, "faults"),
        }
    }
}
