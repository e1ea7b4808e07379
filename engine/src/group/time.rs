//! Partition time: what the expiry of a group goes by.
//!
//! A group that orders itself has its shard's. One with replicas has a time of its own, which all of them share: entries and messages
//! carry their sender's, and every replica goes on from the largest that it has heard of, with its shard. So it never goes back, and
//! whoever leads next goes on from there. How far it is ahead of the shard's follows from the log: an entry lies there before a later
//! time of the shard. So it goes on over restarts. Over a boot it stands: the wall clock of one machine is no reason for all of them to
//! take anything for expired, and those that were up know.

use super::{Group, Order};
use crate::clock::CLOCK_US_MAX;
use crate::key::Expiry;

impl<W> Group<W> {
    /// Its time at this shard time, microseconds.
    #[inline]
    pub fn time_us(&self, shard_us: u64) -> u64 {
        match self.order {
            Order::Solo => shard_us,
            Order::Led { .. } | Order::Following { .. } => {
                let us = shard_us.saturating_add_signed(self.ahead_us);
                us.max(self.clock_us).max(self.heard_us).min(CLOCK_US_MAX)
            }
        }
    }

    /// The time of its newest entry that is applied, microseconds: what has expired by then has done so for good, whoever leads.
    pub fn logged_us(&self) -> u64 {
        self.clock_us
    }

    /// It was this time in the group at this shard time, as its leader says.
    pub fn hear_time(&mut self, time_us: u64, shard_us: u64) {
        self.heard_us = self.heard_us.max(time_us);
        let ahead_us = (time_us as i64).saturating_sub(shard_us as i64);
        // In whole milliseconds, so that expiries are translated alike whenever that is.
        self.ahead_us = self.ahead_us.max(ahead_us.div_euclid(1000) * 1000);
    }

    /// The shard's time leapt between these two, by the word of the wall clock: the group's stood.
    pub fn stand_still(&mut self, before_us: u64, after_us: u64) {
        let time_us = self.time_us(before_us);
        self.ahead_us = i64::MIN;
        self.hear_time(time_us, after_us);
    }

    /// An expiry of the group in the time of its shard.
    #[inline]
    pub fn in_shard_time(&self, expiry: Expiry) -> Expiry {
        if self.order == Order::Solo || expiry == Expiry::NEVER {
            return expiry;
        }
        Expiry(expiry.0.saturating_add_signed(-self.ahead_us.div_euclid(1000)).clamp(1, Expiry::MAX.0))
    }

    /// An entry with this time is applied, microseconds.
    pub(super) fn pass(&mut self, clock_us: u64) {
        self.clock_us = self.clock_us.max(clock_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Partition;

    #[test]
    fn a_group_with_replicas_goes_on_from_the_largest_time_that_it_heard_of() {
        let mut group = Group::<()>::new(Partition(0));
        assert_eq!(group.time_us(7), 7, "alone, its time is the shard's");
        group.follow(2);
        group.pass(5_000);
        group.hear_time(5_000, 9_000_000);
        assert_eq!(group.time_us(9_000_000), 5_000, "its shard may be far ahead");
        assert_eq!(group.time_us(9_500_000), 505_000);
        // Heard late, or of one that is behind: it doesn't go back.
        group.hear_time(400_000, 9_500_000);
        assert_eq!(group.time_us(9_500_000), 505_000);
        group.hear_time(800_700, 9_500_000);
        assert_eq!([9_500_000, 9_501_000].map(|us| group.time_us(us)), [800_700, 801_000]);
        group.pass(900_000);
        assert_eq!((group.time_us(9_501_000), group.logged_us()), (900_000, 900_000));
        group.stand_still(9_600_000, 20_000_000);
        assert_eq!(group.time_us(20_000_000), 900_000);
        group.stand_still(20_000_000, 9_501_000);
        let told = group.in_shard_time(Expiry(1_801));
        assert_eq!(told, Expiry(10_402), "a second is left by either time");
        assert_eq!(group.in_shard_time(Expiry::NEVER), Expiry::NEVER);
    }
}
