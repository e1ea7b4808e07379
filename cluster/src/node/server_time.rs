//! One time for all cores of a node, by which clients say when they first sent a request that is to be done once.
//!
//! Each core believes a wall clock that was set at a moment of its own, and knows which times its shard has forgotten; a client asks
//! one core for the time, and sends its requests to all. So each core goes by the latest time of any.

use std::sync::atomic::{AtomicU64, Ordering};

/// A core is behind the others by so much at most, microseconds: to be exact would cost each turn a write that all cores see.
const BEHIND_US: u64 = 50_000;

/// See the module's text.
#[derive(Debug, Default)]
pub struct ServerTime {
    /// The latest of any core, microseconds since the Unix epoch.
    latest_us: AtomicU64,
}

impl ServerTime {
    /// A core shows its time, and sees the latest.
    #[inline]
    pub fn meet(&self, server_us: u64) -> u64 {
        let latest_us = self.latest_us.load(Ordering::Relaxed);
        if server_us > latest_us + BEHIND_US {
            self.latest_us.fetch_max(server_us, Ordering::Relaxed);
        }
        latest_us.max(server_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_goes_by_the_latest_time_of_any() {
        let time = ServerTime::default();
        assert_eq!(time.meet(1_000_000), 1_000_000);
        assert_eq!(time.meet(400_000), 1_000_000, "one whose clock is behind");
        assert_eq!(time.meet(1_000_000 + BEHIND_US), 1_050_000);
        assert_eq!(time.meet(400_000), 1_000_000, "as good as the same");
        assert_eq!(time.meet(3_600_000_000), 3_600_000_000);
        assert_eq!(time.meet(400_000), 3_600_000_000);
    }
}
