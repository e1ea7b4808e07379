//! What a failed log write left to be done, and when something that failed is tried again.

use crate::error::is_without_room;
use std::io;

/// After a job failed, its kind rests this long before it is tried again.
pub(super) const RETRY_US: u64 = 1_000_000;
/// The longest pause between two attempts.
const PAUSE_US_MAX: u64 = 30_000_000;

/// When something that failed is tried again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    pause_us: u64,
    /// Not before this, on the clock of [`super::Now::mono_us`].
    pub until_us: u64,
}

impl Backoff {
    /// It failed: the next pause is twice as long as the last one; if only room was wanting, as short as the
    /// first. Returns the pause in seconds.
    pub fn failed(&mut self, now_us: u64, error: &io::Error) -> u64 {
        let twice_us = if is_without_room(error) { 0 } else { self.pause_us * 2 };
        self.pause_us = twice_us.clamp(RETRY_US, PAUSE_US_MAX);
        self.until_us = now_us + self.pause_us;
        self.pause_us / 1_000_000
    }

    /// It worked: the next pause is short again.
    pub fn worked(&mut self) {
        self.pause_us = 0;
    }
}

/// What a failed log write left to be done.
#[derive(Debug)]
pub(super) struct Doubt {
    /// Why writes are refused.
    pub reason: String,
    /// Nothing but room is wanting.
    pub is_full: bool,
    /// The shard was opened with it: nothing has been written, so nothing can be lost.
    pub is_unwritten: bool,
    /// Attempts to cut the log that failed.
    pub attempts: u32,
    /// One is on its way.
    pub is_cutting: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_half_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..7)
            .map(|_| {
                let pause = backoff.failed(5, &io::Error::other("EIO"));
                assert_eq!(backoff.until_us, 5 + pause * 1_000_000);
                pause
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.failed(0, &io::ErrorKind::StorageFull.into()), 1, "room may come at any time");
        backoff.failed(0, &io::Error::other("EIO"));
        backoff.worked();
        assert_eq!(backoff.failed(0, &io::Error::other("EIO")), 1);
    }
}
