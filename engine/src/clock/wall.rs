//! The wall clock, filtered.
//!
//! It is kept as its difference to BOOTTIME, which changes only when somebody sets the clock. A step of over 10 s counts
//! once it has stood for 60 s, so that a clock that was wrong for a moment has no effect: for 60 s in which it was looked at,
//! because what it showed while nobody looked (the machine slept, the process was stopped) nobody knows. A clock that hasn't
//! stood for 60 s itself (the first one that was seen in a boot) has no such right: it is given up for another at once.

/// Steps up to this one count at once.
const STEP_US: u64 = 10_000_000;
/// A larger one counts when it has stood for so long, by BOOTTIME.
const STANDS_US: u64 = 60_000_000;
/// The clock is looked at this often at least, microseconds, so that a step is seen when it comes.
pub const LOOK_US: u64 = 10_000_000;
/// Two looks that are further apart aren't of one minute in which it stood: a core that runs isn't as late as that.
const UNSEEN_US: u64 = 2 * LOOK_US;
/// Two readings differ by less than this when nobody sets the clock.
const JITTER_US: u64 = 1_000;

/// See the module's text. Differences are wall clock minus BOOTTIME, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wall {
    offset_us: i64,
    /// From this BOOTTIME on the clock has stood for long enough to be believed.
    sure_us: u64,
    step: Option<Step>,
}

/// A step that doesn't count yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    offset_us: i64,
    /// BOOTTIME at which it was first seen.
    since_us: u64,
    /// BOOTTIME at which it was last seen.
    seen_us: u64,
}

impl Step {
    /// One that was seen again, not so long ago that it may have been gone meanwhile.
    fn goes_on(&self, boot_us: u64, read_us: i64) -> bool {
        read_us.abs_diff(self.offset_us) <= STEP_US && boot_us.saturating_sub(self.seen_us) <= UNSEEN_US
    }
}

impl Wall {
    /// A clock that is seen for the first time.
    pub fn unsure(boot_us: u64, offset_us: i64) -> Wall {
        Wall { offset_us, sure_us: boot_us.saturating_add(STANDS_US), step: None }
    }

    /// A clock that was believed before.
    pub fn sure(offset_us: i64) -> Wall {
        Wall { offset_us, sure_us: 0, step: None }
    }

    /// Takes a reading.
    #[inline]
    pub fn look(&mut self, boot_us: u64, read_us: i64) {
        if read_us.abs_diff(self.offset_us) <= JITTER_US {
            self.step = None;
        } else {
            self.stepped(boot_us, read_us);
        }
    }

    #[cold]
    fn stepped(&mut self, boot_us: u64, read_us: i64) {
        if read_us.abs_diff(self.offset_us) <= STEP_US {
            *self = Wall { offset_us: read_us, step: None, ..*self };
        } else if !self.is_sure(boot_us) {
            *self = Wall::unsure(boot_us, read_us);
        } else {
            match &mut self.step {
                Some(step) if step.goes_on(boot_us, read_us) => {
                    step.seen_us = boot_us;
                    if boot_us.saturating_sub(step.since_us) >= STANDS_US {
                        *self = Wall::sure(read_us);
                    }
                }
                step => *step = Some(Step { offset_us: read_us, since_us: boot_us, seen_us: boot_us }),
            }
        }
    }

    /// What counts.
    #[inline]
    pub fn offset_us(&self) -> i64 {
        self.offset_us
    }

    /// Whether who knows only what was `told` of it, an offset and whether that was sure, would go by another clock: it gives
    /// up one that isn't sure for whatever it finds, and believes one that is a small step away at once.
    pub fn is_news(&self, boot_us: u64, told: Option<(i64, bool)>) -> bool {
        let is_known =
            |(offset_us, is_sure): (i64, bool)| is_sure && offset_us.abs_diff(self.offset_us) <= STEP_US;
        self.is_sure(boot_us) && !told.is_some_and(is_known)
    }

    /// Whether it has stood for long enough.
    #[inline]
    pub fn is_sure(&self, boot_us: u64) -> bool {
        boot_us >= self.sure_us
    }
}
