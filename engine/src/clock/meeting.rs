//! Shards whose times differ become one another's: what expires in one time is told in another.

use super::{ClockStamp, ShardClock, TimeJump, shifted};
use crate::key::Expiry;

/// The times of several shards at one moment, which are to be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meeting {
    /// The clocks at that moment; `None` if no shard knows any.
    pub clock: Option<ClockStamp>,
    /// How much later each shard's expiries are by them, milliseconds.
    later_ms: Vec<i64>,
}

impl Meeting {
    /// The moment is the latest that any of the shards knows, the time the furthest: no shard's goes back.
    pub fn of(stamps: &[Option<ClockStamp>]) -> Meeting {
        let known = || stamps.iter().flatten();
        let newest = known().max_by_key(|stamp| stamp.wall_us);
        let newest = newest.and_then(|newest| {
            let same_boot = known().filter(|stamp| stamp.boot.id == newest.boot.id);
            same_boot.max_by_key(|stamp| (stamp.boot.us, stamp.wall_us))
        });
        let Some(newest) = newest else { return Meeting { clock: None, later_ms: vec![0; stamps.len()] } };
        let now = newest.now();
        let us_of = |stamp: &Option<ClockStamp>| {
            stamp.map_or(0, |stamp| ShardClock::resume(Some(stamp), &now, TimeJump::Follow).us())
        };
        let times_us: Vec<u64> = stamps.iter().map(us_of).collect();
        let latest_us = times_us.iter().max().copied().unwrap_or(0);
        let later_ms = |(us, stamp): (&u64, &Option<ClockStamp>)| match stamp {
            Some(_) => ((latest_us - us) / 1000) as i64,
            None => 0,
        };
        let later_ms = times_us.iter().zip(stamps).map(later_ms).collect();
        Meeting { clock: Some(ClockStamp { shard_us: latest_us, ..*newest }), later_ms }
    }

    /// An expiry of the shard at this place among them, in the time that is to be theirs.
    pub fn moved(&self, place: usize, expiry: Expiry) -> Expiry {
        match self.later_ms.get(place) {
            Some(&later_ms) if expiry != Expiry::NEVER => shifted(expiry.0, later_ms),
            _ => expiry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BootId, BootTime, MARGIN_US};
    use super::*;

    fn stamp(shard_ms: u64, wall_ms: u64, boot: u8, boot_ms: u64) -> Option<ClockStamp> {
        let boot = BootTime { id: BootId([boot; 16]), us: boot_ms * 1000 };
        Some(ClockStamp { shard_us: shard_ms * 1000, wall_us: wall_ms * 1000, is_sure: true, boot })
    }

    #[test]
    fn what_is_left_of_an_expiry_stays_when_shards_with_different_times_meet() {
        // The second one was written to a second later, and its time is a minute behind.
        let stamps = [stamp(100_000, 500_000, 1, 7_000), stamp(41_000, 501_000, 1, 8_000), None];
        let meeting = Meeting::of(&stamps);
        let clock = meeting.clock.unwrap();
        assert_eq!((clock.shard_us, clock.wall_us, clock.boot.us), (101_000_000, 501_000_000, 8_000_000));
        assert_eq!(meeting.moved(0, Expiry(105_000)), Expiry(105_000));
        assert_eq!(meeting.moved(1, Expiry(46_000)), Expiry(106_000), "five seconds are left");
        assert_eq!(meeting.moved(1, Expiry::NEVER), Expiry::NEVER);
        assert_eq!(meeting.moved(2, Expiry(7)), Expiry(7));
    }

    #[test]
    fn a_shard_that_was_last_written_to_in_another_boot_comes_by_the_wall_clock() {
        let stamps = [stamp(100_000, 100_000, 1, 9_000), stamp(160_000, 160_000, 2, 1_000)];
        let meeting = Meeting::of(&stamps);
        assert_eq!(meeting.clock, stamps[1]);
        assert_eq!(meeting.moved(0, Expiry(170_000)), Expiry(170_000));
        let stopped = [stamp(159_000, 159_000, 1, 9_000), stamp(160_000, 160_000, 2, 1_000)];
        let meeting = Meeting::of(&stopped);
        assert_eq!(meeting.clock.unwrap().shard_us, 159_000_000 + MARGIN_US, "no time goes back");
        assert_eq!(meeting.moved(1, Expiry(170_000)), Expiry(171_000));
    }

    #[test]
    fn without_a_clock_nothing_moves() {
        let meeting = Meeting::of(&[None, None]);
        assert_eq!((meeting.clock, meeting.moved(1, Expiry(7))), (None, Expiry(7)));
    }
}
