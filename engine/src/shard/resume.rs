//! The time of a shard that is opened: what has passed since it was last written to, and who must say so.

use crate::clock::{ClockStamp, GAP_US_MAX, GAP_US_REPORTED, Now, ShardClock, TimeJump};
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
        let Some(gap_us) = stamp.gap_us(now) else { return Ok((clock, kept_us)) };
        tell_gap(gap_us, self.holds_expiring, jump, &dir.path())?;
        if !self.holds_expiring {
            return Ok((clock, kept_us));
        }
        // Nobody may see what has passed by a wall clock that the next opening doesn't find any more.
        let edit = Edit { clock: Some(clock.stamp()), ..Edit::default() };
        match manifest.append_at_once(dir, &edit) {
            Ok(()) => Ok((clock, clock.us())),
            Err(error) => {
                tracing::warn!("the manifest in {} isn't told what time it is: {error}", dir.path());
                Ok((clock, kept_us))
            }
        }
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
