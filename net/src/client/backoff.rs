//! Pauses between attempts to connect.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Doubles its pauses up to a longest one. Each is shortened by chance by up to a half, so that
/// clients that lost a server at one moment don't come back at one moment.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    chance: u64,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Backoff {
        let chance = RandomState::new().hash_one("backoff") | 1;
        Backoff { min, max, next: min, chance }
    }

    /// Begins with the shortest pause again.
    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        // xorshift64
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let part = 512 + self.chance % 513;
        let pause = self.next.mul_f64(part as f64 / 1024.0);
        self.next = (self.next * 2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_are_shortened_by_no_more_than_half() {
        let (min, max) = (Duration::from_millis(10), Duration::from_millis(300));
        let mut backoff = Backoff::new(min, max);
        for power in 0..10 {
            let full = (min * (1 << power)).min(max);
            let pause = backoff.next();
            assert!(full / 2 <= pause && pause <= full, "{pause:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= min);
    }
}
