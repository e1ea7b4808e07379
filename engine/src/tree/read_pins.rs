//! The moments that open readers look at, which merges must keep history for.

use crate::key::{Partition, Prefix, Version};
use std::ops::Range;

/// ReadPins of partitions, each a version: its reader sees entries at or below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPins {
    /// Sorted, without duplicates.
    pinned: Vec<(Partition, Version)>,
}

impl ReadPins {
    /// No pin: only the newest version of a key counts.
    pub fn none() -> ReadPins {
        ReadPins::default()
    }

    /// A set of pins, in any order.
    pub fn new(mut pinned: Vec<(Partition, Version)>) -> ReadPins {
        pinned.sort_unstable();
        pinned.dedup();
        ReadPins { pinned }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pinned.is_empty()
    }

    /// Whether some pin of the partition sees `older` but not `newer`.
    pub fn keeps(&self, partition: Partition, older: Version, newer: Version) -> bool {
        let oldest = self.pinned.partition_point(|&at| at < (partition, older));
        self.pinned.get(oldest).is_some_and(|&at| at < (partition, newer))
    }

    /// Whether some pin of the partition doesn't see `version`.
    pub fn any_below(&self, partition: Partition, version: Version) -> bool {
        self.keeps(partition, Version(0), version)
    }

    /// Whether a pin of any partition lies in `versions`.
    pub fn any_within(&self, versions: Range<Version>) -> bool {
        self.pinned.iter().any(|(_, at)| versions.contains(at))
    }

    /// As [`ReadPins::keeps`], for a range of stored keys.
    pub fn range_keeps(&self, start: &[u8], end: &[u8], older: Version, newer: Version) -> bool {
        match one_partition(start, end) {
            Some(partition) => self.keeps(partition, older, newer),
            None => self.any_within(older..newer),
        }
    }

    /// As [`ReadPins::any_below`], for a range of stored keys.
    pub fn range_any_below(&self, start: &[u8], end: &[u8], version: Version) -> bool {
        match one_partition(start, end) {
            Some(partition) => self.any_below(partition, version),
            None => self.pinned.iter().any(|&(_, at)| at < version),
        }
    }
}

/// The partition whose pins alone can look into `start..end`: it lies within one prefix.
fn one_partition(start: &[u8], end: &[u8]) -> Option<Partition> {
    Prefix::of(start).filter(|prefix| end <= prefix.end().as_slice()).map(Prefix::partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Incarnation, Keyspace};

    #[test]
    fn a_snapshot_keeps_what_it_sees_and_only_in_its_partition() {
        let pins = ReadPins::new(vec![(Partition(1), Version(10)), (Partition(3), Version(5))]);
        assert!(pins.keeps(Partition(1), Version(10), Version(11)));
        assert!(!pins.keeps(Partition(1), Version(10), Version(10)));
        assert!(!pins.keeps(Partition(1), Version(11), Version(12)));
        assert!(!pins.keeps(Partition(2), Version(1), Version(20)));
        assert!(pins.any_below(Partition(3), Version(6)));
        assert!(!pins.any_below(Partition(3), Version(5)));
        assert!(!pins.any_below(Partition(2), Version(20)));
    }

    #[test]
    fn what_is_kept_is_what_looking_at_every_snapshot_would_say() {
        let pinned = [(1, 3), (4, 9), (1, 7), (2, 5), (1, 7)].map(|(p, v)| (Partition(p), Version(v)));
        let pins = ReadPins::new(pinned.to_vec());
        for (partition, older, newer) in (0..6 * 11 * 11).map(|n| (n / 121, n / 11 % 11, n % 11)) {
            let (partition, older, newer) =
                (Partition(partition), Version(older.into()), Version(newer.into()));
            let of = || pinned.iter().filter(|(p, _)| *p == partition);
            assert_eq!(pins.keeps(partition, older, newer), of().any(|(_, at)| (older..newer).contains(at)));
            assert_eq!(pins.any_below(partition, newer), of().any(|(_, at)| *at < newer));
        }
    }

    #[test]
    fn a_range_beyond_one_prefix_answers_to_every_snapshot() {
        let pins = ReadPins::new(vec![(Partition(2), Version(10))]);
        let one = Prefix::new(Keyspace(0), Partition(1), Incarnation(0));
        let start = one.to_bytes();
        assert!(!pins.range_any_below(&start, &one.end(), Version(11)));
        let two = Prefix::new(Keyspace(0), Partition(2), Incarnation(0));
        assert!(pins.range_any_below(&start, &two.end(), Version(11)));
    }
}
