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
    /// By how much the latest is ahead of the monotonic clock that all cores have, microseconds.
    ahead_us: AtomicU64,
}

impl ServerTime {
    /// A core shows its time at a monotonic time of its own, and sees the latest.
    #[inline]
    pub fn meet(&self, server_us: u64, mono_us: u64) -> u64 {
        let own_us = server_us.saturating_sub(mono_us);
        let ahead_us = self.ahead_us.load(Ordering::Relaxed);
        if own_us > ahead_us + BEHIND_US {
            self.ahead_us.fetch_max(own_us, Ordering::Relaxed);
        }
        server_us.max(ahead_us + mono_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_goes_by_the_latest_time_of_any() {
        let time = ServerTime::default();
        assert_eq!(time.meet(1_000_000, 0), 1_000_000);
        assert_eq!(time.meet(400_000, 100), 1_000_100, "one whose clock is behind");
        assert_eq!(time.meet(1_000_000 + BEHIND_US, 0), 1_050_000);
        assert_eq!(time.meet(400_000, 0), 1_000_000, "as good as the same");
        assert_eq!(time.meet(3_600_000_000, 0), 3_600_000_000);
        assert_eq!(time.meet(400_000, 7), 3_600_000_007);
    }

    #[test]
    fn to_be_late_with_a_turn_moves_nothing() {
        let time = ServerTime::default();
        time.meet(1_000_000, 0);
        assert_eq!(time.meet(1_300_000, 300_000), 1_300_000);
        assert_eq!(time.meet(1_200_000, 200_000), 1_200_000, "a turn that began before");
    }
}
