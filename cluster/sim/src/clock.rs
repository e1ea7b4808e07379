//! Virtual time: true time, which only goes forward, and the clocks of the machine.
//!
//! CLOCK_BOOTTIME goes with true time and begins anew with each boot. The wall clock goes with it too, but is set now and
//! then, also for a moment, and shows what it likes after a boot.

use pinion_engine::clock::{BootId, BootTime};
use pinion_engine::shard::Now;

/// What the wall clock shows when a run begins, microseconds since the Unix epoch.
pub const START_UNIX_US: u64 = 1_700_000_000_000_000;

/// So long after a boot a node is started at the soonest, microseconds.
const BOOT_US: u64 = 3_000_000;

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Clock {
    us: u64,
    boot: u64,
    booted_us: u64,
    /// How far the wall clock is ahead of the right time, and since when; the newest last.
    settings: Vec<(u64, i64)>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { us: 0, boot: 1, booted_us: 0, settings: vec![(0, 0)] }
    }
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
        self.settings.push((self.us, self.ahead_us() + us));
    }

    /// How far the wall clock is ahead of the right time.
    pub fn ahead_us(&self) -> i64 {
        self.settings.last().map_or(0, |setting| setting.1)
    }

    /// Whether the wall clock was set within so many microseconds.
    pub fn was_set_within(&self, us: u64) -> bool {
        self.settings.len() > 1 && self.settings.last().is_some_and(|setting| setting.0 + us > self.us)
    }

    /// Whether all that the wall clock has shown for so many microseconds is about so far ahead of the right time.
    pub fn has_stood(&self, ahead_us: i64, us: u64, about_us: u64) -> bool {
        let since_us = self.us.saturating_sub(us);
        let ends = self.settings.iter().skip(1).map(|setting| setting.0).chain([u64::MAX]);
        let shown = self.settings.iter().zip(ends).filter(|(_, end_us)| *end_us > since_us);
        shown.into_iter().all(|((_, other_us), _)| other_us.abs_diff(ahead_us) <= about_us)
    }

    /// The machine starts again.
    pub fn reboot(&mut self) {
        (self.boot, self.booted_us) = (self.boot + 1, self.us);
    }

    /// CLOCK_BOOTTIME.
    pub fn boot(&self) -> BootTime {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.boot.to_le_bytes());
        BootTime { id: BootId(id), us: BOOT_US + self.us - self.booted_us }
    }

    /// The right time, microseconds since the Unix epoch, when CLOCK_BOOTTIME was 0.
    pub fn booted_unix_us(&self) -> u64 {
        START_UNIX_US + self.booted_us - BOOT_US
    }

    /// The wall clock, microseconds since the Unix epoch.
    pub fn unix_us(&self) -> u64 {
        (START_UNIX_US + self.us).saturating_add_signed(self.ahead_us())
    }

    /// What a core that started at `since_us` reads.
    pub fn now(&self, since_us: u64) -> Now {
        Now { unix_us: self.unix_us(), mono_us: self.us - since_us + 1, boot: self.boot() }
    }
}
