//! Deletions of whole keyspaces of partitions that lie in memtables, found by a key's prefix.

use crate::key::{Prefix, RangeTombstone, Version};

/// Versions at which prefixes were cleared.
#[derive(Debug, Default)]
pub(super) struct Clears {
    /// Sorted by prefix; the versions of each rise.
    prefixes: Vec<(Prefix, Vec<Version>)>,
}

impl Clears {
    /// Notes a tombstone over all keys of a prefix.
    pub fn insert(&mut self, range: &RangeTombstone) {
        let prefix = Prefix::of(&range.start).expect("a clear starts at a prefix");
        let at = self.prefixes.binary_search_by_key(&prefix, |(prefix, _)| *prefix);
        let at = at.unwrap_or_else(|free| {
            self.prefixes.insert(free, (prefix, Vec::new()));
            free
        });
        let versions = &mut self.prefixes[at].1;
        let place = versions.partition_point(|&version| version < range.version);
        versions.insert(place, range.version);
    }

    pub fn forget_all(&mut self) {
        self.prefixes.clear();
    }

    /// Whether an entry of `key` at `version` is deleted for a reader at `at`.
    pub fn covers(&self, key: &[u8], version: Version, at: Version) -> bool {
        if self.prefixes.is_empty() {
            return false;
        }
        let Some(prefix) = Prefix::of(key) else { return false };
        let Ok(found) = self.prefixes.binary_search_by_key(&prefix, |(prefix, _)| *prefix) else {
            return false;
        };
        let versions = &self.prefixes[found].1;
        let seen = versions.partition_point(|&clear| clear <= at);
        versions[..seen].last().is_some_and(|&newest| newest > version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Incarnation, Keyspace, Partition};

    #[test]
    fn a_reader_sees_the_clears_up_to_its_version_in_its_keyspace() {
        let prefix = |keyspace| Prefix::new(Keyspace(keyspace), Partition(1), Incarnation(0));
        let mut clears = Clears::default();
        for (keyspace, version) in [(2, 10), (1, 20), (2, 30)] {
            let start = prefix(keyspace).to_bytes().to_vec();
            clears.insert(&RangeTombstone { start, end: prefix(keyspace).end(), version: Version(version) });
        }
        let covers = |keyspace, version, at| {
            let mut key = Vec::new();
            prefix(keyspace).stored_key(b"k", &mut key);
            clears.covers(&key, Version(version), Version(at))
        };
        assert!(covers(2, 9, 10) && covers(2, 15, 30) && covers(1, 19, 99));
        assert!(!covers(2, 9, 9) && !covers(2, 15, 29) && !covers(1, 20, 99) && !covers(3, 1, 99));
    }
}
