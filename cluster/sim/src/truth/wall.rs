//! The wall clock that a shard goes by, held against the one that the machine has shown.
//!
//! 1. It becomes only what the machine's is.
//! 2. One that had stood for a minute follows a step of over 10 s when that has stood for a minute: not sooner, and not much
//!    later. What the machine showed between two looks of one minute, which nobody saw, doesn't count.
//! 3. It is written down soon behind its first minute, whatever else is written. An opening in the same boot then goes on
//!    with it, and believes it.

use super::{Bounds, SLACK_US, hull};
use crate::clock::Clock;
use pinion_engine::clock::{Clocks, LOOK_US};

/// Steps of the wall clock up to this one count at once; larger ones when they have stood for so long, microseconds.
const STEP_US: u64 = 10_000_000;
const STANDS_US: u64 = 60_000_000;
/// A core has looked at the clock within this, and its log has learned of it.
const LATE_US: u64 = 4 * LOOK_US;
/// A wall clock that has stood for so long counts: it was looked at, and then for a minute.
const COUNTS_US: u64 = STANDS_US + LATE_US;

/// See the module's text. It is told as how far it is ahead of the right time.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    ahead_us: i64,
    /// What it was ever, in this boot as far as that is known.
    ever: Bounds,
    /// The shard was opened then.
    since_us: u64,
    /// Until when it may change at once.
    unsure_until_us: u64,
    /// What the machine showed at the last look, since when about that at each, and when that was.
    seen: Seen,
    /// When the log couldn't be written last.
    unwell_us: u64,
    /// Whether it is written down that it has stood for a minute: for sure, and perhaps.
    is_written: bool,
    may_be_written: bool,
}

/// A wall clock that was looked at again and again.
#[derive(Clone, Copy, Debug)]
struct Seen {
    ahead_us: i64,
    since_us: u64,
    at_us: u64,
}

impl Seen {
    fn begin(clock: &Clock) -> Seen {
        Seen { ahead_us: clock.ahead_us(), since_us: clock.us(), at_us: clock.us() }
    }

    fn look(&mut self, clock: &Clock) {
        let is_same = self.ahead_us.abs_diff(clock.ahead_us()) <= STEP_US + SLACK_US;
        if is_same && clock.us() <= self.at_us + 2 * LOOK_US + SLACK_US {
            (self.ahead_us, self.at_us) = (clock.ahead_us(), clock.us());
        } else {
            *self = Seen::begin(clock);
        }
    }

    fn has_stood(&self, ahead_us: i64) -> bool {
        let stands_us = self.at_us - self.since_us;
        self.ahead_us.abs_diff(ahead_us) <= STEP_US + SLACK_US && stands_us + SLACK_US >= STANDS_US
    }
}

/// What a core shows behind its turn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Its clocks.
    pub clocks: Clocks,
    /// Whether its log can be written.
    pub is_well: bool,
}

impl Wall {
    /// A shard was opened in a boot in which it had been open before with these, if that is known.
    pub fn opened(clocks: &Clocks, clock: &Clock, before: Option<&Wall>) -> Result<Wall, String> {
        let (since_us, ahead_us) = (clock.us(), ahead_us(clocks, clock));
        let is_written = before.is_some_and(|wall| wall.is_written);
        let ever = before.map_or((ahead_us, ahead_us), |wall| wall.ever);
        let about_us = (STEP_US + SLACK_US) as i64;
        if is_written && !(ever.0 - about_us..=ever.1 + about_us).contains(&ahead_us) {
            return Err(format!(
                "its wall clock is {ahead_us} us ahead, but the one that it had believed in this boot, {ever:?}"
            ));
        }
        Ok(Wall {
            ahead_us,
            ever: hull(ever, (ahead_us, ahead_us)),
            since_us,
            unsure_until_us: if is_written { 0 } else { since_us + STANDS_US },
            seen: Seen::begin(clock),
            unwell_us: since_us,
            is_written,
            may_be_written: is_written,
        })
    }

    /// Nothing that openings before this one have left counts: it must be the machine's.
    pub fn check_fresh(&self, clock: &Clock) -> Result<(), String> {
        let right_us = clock.ahead_us();
        match self.is_written || self.ahead_us.abs_diff(right_us) <= SLACK_US {
            true => Ok(()),
            false => {
                Err(format!("its wall clock is {} us ahead, the machine's is {right_us}", self.ahead_us))
            }
        }
    }

    /// Nobody knows what openings before this one have left.
    pub fn note_uncertain(&mut self) {
        self.may_be_written = true;
    }

    /// A core has had its turn; `kept_us`: as of when its log is known to know the time.
    pub fn looked(&mut self, look: Look, kept_us: u64, clock: &Clock, slept_us: u64) -> Result<(), String> {
        let (now_us, right_us) = (clock.us(), clock.ahead_us());
        self.seen.look(clock);
        self.follow(ahead_us(&look.clocks, clock), clock)?;
        if self.since_us.max(slept_us) + COUNTS_US <= now_us
            && !clock.was_set_within(COUNTS_US)
            && self.ahead_us.abs_diff(right_us) > SLACK_US
        {
            let ahead_us = self.ahead_us;
            return Err(format!(
                "its wall clock is {ahead_us} us ahead, the machine's has long been {right_us}"
            ));
        }
        self.unwell_us = if look.is_well { self.unwell_us } else { now_us };
        self.is_written |= kept_us > self.unsure_until_us;
        let due_us = self.unsure_until_us.max(self.unwell_us).max(slept_us) + LATE_US;
        if !self.is_written && !self.may_be_written && due_us < now_us {
            return Err(format!(
                "its log doesn't know that its wall clock has stood since {}",
                self.since_us
            ));
        }
        Ok(())
    }

    fn follow(&mut self, ahead_us: i64, clock: &Clock) -> Result<(), String> {
        let step_us = ahead_us.abs_diff(self.ahead_us);
        if step_us > SLACK_US && ahead_us.abs_diff(clock.ahead_us()) > SLACK_US {
            let right_us = clock.ahead_us();
            return Err(format!(
                "its wall clock went to {ahead_us} us ahead, but the machine's is {right_us}"
            ));
        }
        if step_us > STEP_US + SLACK_US {
            let is_unsure = clock.us() <= self.unsure_until_us;
            let has_stood =
                clock.has_stood(ahead_us, STANDS_US, STEP_US + SLACK_US) || self.seen.has_stood(ahead_us);
            if !is_unsure && !has_stood {
                return Err(format!(
                    "its wall clock went {step_us} us, by one that hasn't stood for a minute"
                ));
            }
            self.unsure_until_us = if is_unsure { clock.us() + STANDS_US } else { self.unsure_until_us };
        }
        (self.ahead_us, self.ever) = (ahead_us, hull(self.ever, (ahead_us, ahead_us)));
        Ok(())
    }

    /// The node is gone.
    pub fn closed(&mut self, clock: &Clock) {
        self.may_be_written |= clock.us() > self.unsure_until_us;
    }

    /// Whether the next opening in this boot may believe it.
    pub fn may_be_written(&self) -> bool {
        self.may_be_written
    }
}

/// How far the wall clock that a shard goes by is ahead of the right time.
fn ahead_us(clocks: &Clocks, clock: &Clock) -> i64 {
    clocks.wall_us as i64 - clocks.boot_us as i64 - clock.booted_unix_us() as i64
}
