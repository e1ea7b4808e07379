//! Time that passed while nobody looked: the shard was closed, the machine slept, the process was stopped.
//!
//! What expired meanwhile has expired; but nobody is told so before it is written down. A power failure and a wall clock that is
//! set back would bring it back otherwise.

use super::Shard;
use super::log_writes::CLOCK_INTERVAL_US;
use crate::clock::{ClockStamp, GAP_US_MAX, GAP_US_REPORTED, MARGIN_US, Now, ShardClock, TimeJump};
use crate::dir::Dir;
use crate::error::Error;
use crate::manifest::{Edit, Manifest};

/// What manifest and log say of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    /// The clocks as of the newest record.
    pub stamp: Option<ClockStamp>,
    pub holds_expiring: bool,
}

impl Closed {
    /// What is written down of the wall clock, for an opening in this boot.
    pub fn base(self, now: &Now) -> Option<(i64, bool)> {
        self.stamp.and_then(|stamp| stamp.base(now))
    }

    /// The clock that goes on from there, and the shard time that is written down.
    pub fn resume(
        self,
        dir: &mut dyn Dir,
        manifest: &mut Manifest,
        now: &Now,
        jump: TimeJump,
    ) -> Result<(ShardClock, u64), Error> {
        let clock = ShardClock::resume(self.stamp, now, jump);
        let Some(stamp) = self.stamp else { return Ok((clock, 0)) };
        let kept_us = stamp.shard_us.min(clock.us());
        match stamp.gap_us(now) {
            Some(gap_us) => tell_gap(gap_us, self.holds_expiring, jump, &dir.path())?,
            None if clock.us() <= kept_us + MARGIN_US => return Ok((clock, kept_us)),
            None => {}
        }
        if !self.holds_expiring {
            return Ok((clock, kept_us));
        }
        // Nobody may see what has passed by a clock that the next opening doesn't find any more.
        let edit = Edit { clock: Some(clock.stamp()), ..Edit::default() };
        match manifest.append_at_once(dir, &edit) {
            Ok(()) => Ok((clock, clock.us())),
            Err(error) => {
                let dir = dir.path();
                tracing::warn!(
                    "the manifest in {dir} can't be told what time it is ({error}): {}",
                    untold(stamp, now)
                );
                // In another boot the next opening may find another wall clock, or hear another word on this one: then what had
                // expired would be there again.
                let stood = stamp.gap_us(now).map(|_| ClockStamp { wall_us: now.unix_us, ..stamp });
                let clock = stood.map_or(clock, |stood| ShardClock::resume(Some(stood), now, jump));
                Ok((clock, kept_us))
            }
        }
    }
}

/// What becomes of the time that passed where it can't be written down.
fn untold(stamp: ClockStamp, now: &Now) -> String {
    match stamp.gap_us(now) {
        Some(gap_us) if gap_us > 0 => {
            format!(
                "what expires does so later, by the {} s since it was last written to",
                gap_us / 1_000_000
            )
        }
        _ => "it goes on with what has passed since the machine was started".to_owned(),
    }
}

/// Requests wait for the log to learn the time so long at most, microseconds.
const HELD_US_MAX: u64 = 1_000_000;

impl Shard {
    /// Takes note if time went on from `before_us` by more than the log lacks of it in any case.
    #[inline]
    pub(super) fn note_leap(&mut self, before_us: u64) {
        let us = self.clock.us();
        if us > before_us + CLOCK_INTERVAL_US && us > self.kept_clock_us + MARGIN_US {
            (self.leapt_to_us, self.held_until_us) = (us, self.mono_us + HELD_US_MAX);
        }
    }

    /// Whether the log is about to learn that much time has passed. Requests wait until then, which is one log write later;
    /// but not for a log that can't be written or takes long, nor where nothing expires.
    #[inline]
    pub fn is_time_held(&self) -> bool {
        self.leapt_to_us > self.kept_clock_us && self.learns_leaps()
    }

    #[cold]
    fn learns_leaps(&self) -> bool {
        let has_cause = self.holds_expiring || self.has_unapplied_writes();
        has_cause && self.read_only_reason().is_none() && self.mono_us < self.held_until_us
    }
}

/// Says what the wall clock did while the shard was closed, where only it knows how long that was. Refuses a long time that
/// values would expire by, unless somebody said what to make of it.
fn tell_gap(gap_us: i64, holds_expiring: bool, jump: TimeJump, dir: &str) -> Result<(), Error> {
    let hours = gap_us.unsigned_abs() / GAP_US_REPORTED;
    if gap_us > GAP_US_MAX as i64 && holds_expiring && jump == TimeJump::Refuse {
        return Err(Error::TimeJump { dir: dir.to_owned(), hours });
    }
    if gap_us.unsigned_abs() <= GAP_US_REPORTED {
        return Ok(());
    }
    if gap_us < 0 {
        tracing::warn!(
            "{dir}: the wall clock shows {hours} hours less than when this was last written to, in another boot: \
             what expires does so later, by the time that the machine was down"
        );
    } else if gap_us > GAP_US_MAX as i64 && jump == TimeJump::Ignore {
        tracing::warn!("{dir}: {hours} hours that the wall clock shows more than the log are ignored");
    } else {
        tracing::warn!(
            "{dir}: {hours} hours have passed since this was last written to, by the wall clock: what would have \
             expired meanwhile has"
        );
    }
    Ok(())
}
