//! When the next of many deadlines passes, without looking at all of them for each.

use crate::shard::request::NO_DEADLINE;

/// No deadline that is to be looked at is earlier; and when they may be looked at next.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    at_us: u64,
    rest_until_us: u64,
}

impl Default for Due {
    fn default() -> Due {
        Due { at_us: NO_DEADLINE, rest_until_us: 0 }
    }
}

impl Due {
    /// There is one more.
    #[inline]
    pub fn note(&mut self, deadline_us: u64) {
        self.at_us = self.at_us.min(deadline_us.max(self.rest_until_us));
    }

    /// When the next passes, or later if they were looked at just now; [`NO_DEADLINE`] if none does.
    pub fn at_us(&self) -> u64 {
        self.at_us
    }

    /// Whether one has passed that is to be looked at.
    pub fn is_over(&self, now_us: u64) -> bool {
        self.at_us < now_us
    }

    /// They were looked at: this is the earliest that is left, and they aren't looked at again for so long.
    pub fn looked(&mut self, earliest_us: u64, now_us: u64, rest_us: u64) {
        self.rest_until_us = now_us + rest_us;
        self.at_us = earliest_us.max(self.rest_until_us);
    }

    /// There are none any more.
    pub fn forget(&mut self) {
        self.at_us = NO_DEADLINE;
    }
}
