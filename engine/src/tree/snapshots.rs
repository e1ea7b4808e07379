//! The moments that open readers look at, which merges must keep history for.

use crate::key::{Partition, Prefix, Version};
use std::ops::Range;

/// Snapshots of partitions, each a version: its reader sees entries at or below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// Sorted, without duplicates.
    pinned: Vec<(Partition, Version)>,
}

impl Snapshots {
    /// No snapshot: only the newest version of a key counts.
    pub fn none() -> Snapshots {
        Snapshots::default()
    }

    /// A set of snapshots, in any order.
    pub fn new(mut pinned: Vec<(Partition, Version)>) -> Snapshots {
        pinned.sort_unstable();
        pinned.dedup();
        Snapshots { pinned }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pinned.is_empty()
    }

    /// Whether some snapshot of the partition sees `older` but not `newer`.
    pub fn keeps(&self, partition: Partition, older: Version, newer: Version) -> bool {
        self.of(partition).iter().any(|&(_, at)| older <= at && at < newer)
    }

    /// Whether some snapshot of the partition doesn't see `version`.
    pub fn any_below(&self, partition: Partition, version: Version) -> bool {
        self.of(partition).first().is_some_and(|&(_, oldest)| oldest < version)
    }

    /// Whether a snapshot of any partition lies in `versions`.
    pub fn any_within(&self, versions: Range<Version>) -> bool {
        self.pinned.iter().any(|(_, at)| versions.contains(at))
    }

    /// The snapshots that can look into `start..end`: those of its partition where it lies within one
    /// prefix, else all of them.
    fn of_range(&self, start: &[u8], end: &[u8]) -> &[(Partition, Version)] {
        match Prefix::of(start) {
            Some(prefix) if end <= prefix.end().as_slice() => self.of(prefix.partition()),
            _ => &self.pinned,
        }
    }

    /// As [`Snapshots::keeps`], for a range of stored keys.
    pub fn range_keeps(&self, start: &[u8], end: &[u8], older: Version, newer: Version) -> bool {
        self.of_range(start, end).iter().any(|&(_, at)| older <= at && at < newer)
    }

    /// As [`Snapshots::any_below`], for a range of stored keys.
    pub fn range_any_below(&self, start: &[u8], end: &[u8], version: Version) -> bool {
        self.of_range(start, end).iter().any(|&(_, at)| at < version)
    }

    fn of(&self, partition: Partition) -> &[(Partition, Version)] {
        let from = self.pinned.partition_point(|&(p, _)| p < partition);
        let rest = &self.pinned[from..];
        &rest[..rest.partition_point(|&(p, _)| p == partition)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Incarnation, Keyspace};

    #[test]
    fn a_snapshot_keeps_what_it_sees_and_only_in_its_partition() {
        let snapshots = Snapshots::new(vec![(Partition(1), Version(10)), (Partition(3), Version(5))]);
        assert!(snapshots.keeps(Partition(1), Version(10), Version(11)));
        assert!(!snapshots.keeps(Partition(1), Version(10), Version(10)));
        assert!(!snapshots.keeps(Partition(1), Version(11), Version(12)));
        assert!(!snapshots.keeps(Partition(2), Version(1), Version(20)));
        assert!(snapshots.any_below(Partition(3), Version(6)));
        assert!(!snapshots.any_below(Partition(3), Version(5)));
    }

    #[test]
    fn a_range_beyond_one_prefix_answers_to_every_snapshot() {
        let snapshots = Snapshots::new(vec![(Partition(2), Version(10))]);
        let one = Prefix::new(Keyspace(0), Partition(1), Incarnation(0));
        let start = one.to_bytes();
        assert!(!snapshots.range_any_below(&start, &one.end(), Version(11)));
        let two = Prefix::new(Keyspace(0), Partition(2), Incarnation(0));
        assert!(snapshots.range_any_below(&start, &two.end(), Version(11)));
    }
}
