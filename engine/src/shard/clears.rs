//! Deletions of ranges that lie in memtables. Nearly all are of whole keyspaces of partitions, and found by a key's prefix.

use super::view::View;
use crate::key::{Prefix, RangeTombstone, Version};

/// What was deleted, and at which versions.
#[derive(Debug, Default)]
pub(super) struct Clears {
    /// Of whole prefixes: sorted by prefix; the versions of each rise.
    prefixes: Vec<(Prefix, Vec<(Version, Arrival)>)>,
    /// Of parts of a prefix: few.
    parts: Vec<(RangeTombstone, Arrival)>,
}

/// The number of a memtable, and of a range tombstone among those that came into it.
type Arrival = (u64, usize);

impl Clears {
    /// Notes a tombstone.
    pub fn insert(&mut self, range: &RangeTombstone, arrival: Arrival) {
        let whole = Prefix::of(&range.start)
            .filter(|prefix| range.start.len() == Prefix::LEN && range.end == prefix.end());
        let Some(prefix) = whole else { return self.parts.push((range.clone(), arrival)) };
        let at = self.prefixes.binary_search_by_key(&prefix, |(prefix, _)| *prefix);
        let at = at.unwrap_or_else(|free| {
            self.prefixes.insert(free, (prefix, Vec::new()));
            free
        });
        let versions = &mut self.prefixes[at].1;
        let place = versions.partition_point(|&(version, _)| version < range.version);
        versions.insert(place, (range.version, arrival));
    }

    pub fn forget_all(&mut self) {
        self.prefixes.clear();
        self.parts.clear();
    }

    /// Whether an entry of `key` at `version` is deleted for a reader.
    #[inline]
    pub fn covers(&self, key: &[u8], version: Version, view: &View) -> bool {
        let is_empty = self.prefixes.is_empty() && self.parts.is_empty();
        !is_empty && self.any_covers(key, version, view)
    }

    #[inline(never)]
    fn any_covers(&self, key: &[u8], version: Version, view: &View) -> bool {
        let mut parts = self.parts.iter();
        if parts
            .any(|(part, arrival)| part.covers(key, version, view.version) && view.mark.has_range(*arrival))
        {
            return true;
        }
        let Some(prefix) = Prefix::of(key) else { return false };
        let Ok(found) = self.prefixes.binary_search_by_key(&prefix, |(prefix, _)| *prefix) else {
            return false;
        };
        let versions = &self.prefixes[found].1;
        let seen = versions.partition_point(|&(clear, _)| clear <= view.version);
        let newest = versions[..seen].iter().rev().find(|(_, arrival)| view.mark.has_range(*arrival));
        newest.is_some_and(|&(newest, _)| newest > version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Incarnation, Keyspace, Partition};

    fn at_version(version: u64) -> View {
        View { version: Version(version), ..View::NEWEST }
    }

    #[test]
    fn a_reader_sees_the_clears_up_to_its_version_in_its_keyspace() {
        let prefix = |keyspace| Prefix::new(Keyspace(keyspace), Partition(1), Incarnation(0));
        let mut clears = Clears::default();
        for (keyspace, version) in [(2, 10), (1, 20), (2, 30)] {
            let start = prefix(keyspace).to_bytes().to_vec();
            let range = RangeTombstone { start, end: prefix(keyspace).end(), version: Version(version) };
            clears.insert(&range, (0, 0));
        }
        let covers = |keyspace, version, at| {
            let mut key = Vec::new();
            prefix(keyspace).stored_key(b"k", &mut key);
            clears.covers(&key, Version(version), &at_version(at))
        };
        assert!(covers(2, 9, 10) && covers(2, 15, 30) && covers(1, 19, 99));
        assert!(!covers(2, 9, 9) && !covers(2, 15, 29) && !covers(1, 20, 99) && !covers(3, 1, 99));
    }

    #[test]
    fn a_part_of_a_keyspace_is_deleted_within_its_bounds() {
        let prefix = Prefix::new(Keyspace(0), Partition(1), Incarnation(0));
        let stored = |key: &[u8]| [&prefix.to_bytes(), key].concat();
        let mut clears = Clears::default();
        let part = |start, end, version| RangeTombstone {
            start: stored(start),
            end: stored(end),
            version: Version(version),
        };
        clears.insert(&part(b"b", b"d", 10), (0, 0));
        clears.insert(&part(b"", b"a", 20), (0, 1));
        let covers = |key: &[u8], version, at| clears.covers(&stored(key), Version(version), &at_version(at));
        assert!(covers(b"b", 9, 10) && covers(b"c", 9, 99) && covers(b"0", 19, 20));
        assert!(!covers(b"a", 9, 99) && !covers(b"d", 9, 99) && !covers(b"c", 10, 99) && !covers(b"c", 9, 9));
    }
}
