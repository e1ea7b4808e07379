//! Virtual time: a clock that only goes forward, and a wall clock that jumps.

use pinion_engine::shard::Now;

/// What the wall clock shows when a run begins, microseconds since the Unix epoch.
pub const START_UNIX_US: u64 = 1_700_000_000_000_000;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    us: u64,
    wall_us: i64,
}

impl Clock {
    /// Microseconds since the run began.
    pub fn us(&self) -> u64 {
        self.us
    }

    /// Time passes.
    pub fn advance(&mut self, us: u64) {
        self.us += us;
    }

    /// Time passes until then, if that isn't over.
    pub fn advance_to(&mut self, us: u64) {
        self.us = self.us.max(us);
    }

    /// Somebody sets the wall clock.
    pub fn jump(&mut self, us: i64) {
        self.wall_us += us;
    }

    /// The wall clock, microseconds since the Unix epoch.
    pub fn unix_us(&self) -> u64 {
        (START_UNIX_US + self.us).saturating_add_signed(self.wall_us)
    }

    /// What a core that started at `since_us` reads.
    pub fn now(&self, since_us: u64) -> Now {
        Now { unix_us: self.unix_us(), mono_us: self.us - since_us + 1 }
    }
}
