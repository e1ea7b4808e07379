//! How far the past of each partition is settled: what flushes and merges may let go of.
//!
//! 1. Retention judges a key, and a range of keys, by the horizon of its own partition, exactly: one partition that is behind keeps
//!    what it needs, and nothing of its neighbours in the same tables. Of a partition that isn't known everything is kept.
//! 2. Picking judges a table by the partitions that its range may touch, since a table doesn't say which of them its newest entry and its
//!    earliest expiry belong to. It takes the most cautious of them, so that a merge for the sake of garbage always finds some that it
//!    may drop: otherwise the same table would be picked again and again. What that puts off comes back when the horizon moves on.

use crate::key::{Partition, Prefix, Version};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How far the past of one partition is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// No write at or below it arrives any more, so nothing is left for tombstones to hide but what is there.
    pub floor: Version,
    /// Values whose expiry is at or before it are gone; partition time in milliseconds.
    pub now_ms: u64,
    /// The highest version in tables; 0 if none has any of its entries.
    pub max_version: Version,
}

/// The horizons of a shard's partitions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Horizons {
    /// Sorted by partition.
    horizons: Arc<[(Partition, Horizon)]>,
}

impl Horizons {
    /// Horizons in any order, one a partition.
    pub fn new(horizons: impl IntoIterator<Item = (Partition, Horizon)>) -> Horizons {
        let mut horizons: Vec<_> = horizons.into_iter().collect();
        horizons.sort_unstable_by_key(|&(partition, _)| partition);
        Horizons { horizons: horizons.into() }
    }

    /// The horizon of a partition. One that isn't known keeps everything.
    pub fn of(&self, partition: Partition) -> Horizon {
        let found = self.horizons.binary_search_by_key(&partition, |&(partition, _)| partition);
        found.map_or_else(|_| Horizon::default(), |at| self.horizons[at].1)
    }

    /// The floor of a range of stored keys: the lowest of all partitions in it, those included that aren't known.
    pub fn floor_within(&self, start: &[u8], end: &[u8]) -> Version {
        let partitions = partitions(start, end);
        let known = self.known(&partitions);
        if known.len() < partitions.count() {
            return Version(0);
        }
        known.iter().map(|(_, horizon)| horizon.floor).min().unwrap_or_default()
    }

    /// What a table with keys in `min..=max` is judged by when merges are picked.
    ///
    /// A partition without entries in tables has no say: it would keep its neighbours' garbage for ever. One whose floor is at its highest
    /// version, as that of a solo group is, keeps nothing; if all are like that, whichever has the table's newest entry has
    /// its floor at or above it.
    pub fn for_picking(&self, min: &[u8], max: &[u8]) -> Horizon {
        let known = self.known(&partitions(min, max)).iter().map(|(_, horizon)| horizon);
        let mut judge = Horizon::default();
        let (mut behind, mut now_ms) = (None, None);
        for horizon in known.filter(|horizon| horizon.max_version > Version(0)) {
            judge.floor = judge.floor.max(horizon.floor);
            judge.max_version = judge.max_version.max(horizon.max_version);
            now_ms = Some(now_ms.unwrap_or(u64::MAX).min(horizon.now_ms));
            if horizon.floor < horizon.max_version {
                behind = Some(behind.unwrap_or(Version::MAX).min(horizon.floor));
            }
        }
        Horizon { floor: behind.unwrap_or(judge.floor), now_ms: now_ms.unwrap_or(0), ..judge }
    }

    fn known(&self, partitions: &RangeInclusive<u16>) -> &[(Partition, Horizon)] {
        let from = self.horizons.partition_point(|(partition, _)| partition.0 < *partitions.start());
        let rest = &self.horizons[from..];
        &rest[..rest.partition_point(|(partition, _)| partition.0 <= *partitions.end())]
    }
}

/// The partitions that stored keys from `min` to `max` may be of: all of them, if those are of different keyspaces.
fn partitions(min: &[u8], max: &[u8]) -> RangeInclusive<u16> {
    match (Prefix::of(min), Prefix::of(max)) {
        (Some(min), Some(max)) if min.keyspace() == max.keyspace() => min.partition().0..=max.partition().0,
        _ => 0..=u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Incarnation, Keyspace};

    fn horizon(floor: u64, now_ms: u64, max_version: u64) -> Horizon {
        Horizon { floor: Version(floor), now_ms, max_version: Version(max_version) }
    }

    fn prefix(keyspace: u16, partition: u16) -> Prefix {
        Prefix::new(Keyspace(keyspace), Partition(partition), Incarnation(0))
    }

    fn horizons(of: &[(u16, Horizon)]) -> Horizons {
        Horizons::new(of.iter().map(|&(partition, horizon)| (Partition(partition), horizon)))
    }

    #[test]
    fn an_unknown_partition_keeps_everything() {
        let horizons = horizons(&[(7, horizon(9, 90, 9)), (3, horizon(5, 50, 6))]);
        assert_eq!(horizons.of(Partition(3)), horizon(5, 50, 6));
        assert_eq!(horizons.of(Partition(7)), horizon(9, 90, 9));
        assert_eq!(horizons.of(Partition(5)), horizon(0, 0, 0));
    }

    #[test]
    fn a_range_has_the_lowest_floor_of_its_partitions_and_none_where_one_is_unknown() {
        let horizons = horizons(&[(1, horizon(9, 0, 9)), (2, horizon(5, 0, 9)), (4, horizon(8, 0, 9))]);
        let floor = |from: Prefix, to: Prefix| horizons.floor_within(&from.to_bytes(), &to.end());
        assert_eq!(floor(prefix(0, 1), prefix(0, 1)), Version(9));
        assert_eq!(floor(prefix(0, 1), prefix(0, 2)), Version(5));
        assert_eq!(floor(prefix(0, 2), prefix(0, 4)), Version(0), "partition 3 isn't known");
        assert_eq!(floor(prefix(0, 1), prefix(1, 1)), Version(0), "nor are all of a keyspace");
    }

    #[test]
    fn a_table_is_picked_by_the_most_cautious_partition_that_has_entries() {
        let judge = |of: &[(u16, Horizon)]| {
            horizons(of).for_picking(&prefix(0, 1).to_bytes(), &prefix(0, 3).to_bytes())
        };
        let (settled, old) = (horizon(20, 70, 20), horizon(4, 70, 4));
        assert_eq!(judge(&[(1, settled), (2, old), (3, horizon(0, 0, 0))]), horizon(20, 70, 20));
        assert_eq!(judge(&[(1, settled), (2, horizon(4, 30, 9)), (3, old)]), horizon(4, 30, 20));
        assert_eq!(judge(&[(1, settled), (4, horizon(4, 30, 9))]), horizon(20, 70, 20), "4 is beyond it");
        assert_eq!(judge(&[]), horizon(0, 0, 0));
    }
}
