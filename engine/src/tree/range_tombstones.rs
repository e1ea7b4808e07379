//! Range tombstones, cut into disjoint fragments so that a look-up is one binary search.
//!
//! Overlapping tombstones are split at each other's ends. A fragment lists the versions of all
//! tombstones that cover it, newest first; neighbours with equal versions are joined. Where in the tree
//! a tombstone is kept doesn't matter to readers: it deletes by version, so the fragments of all tables
//! of a tree form one list.

use crate::key::{RangeTombstone, Version};
use smallvec::SmallVec;

/// A range of stored keys and the versions of the tombstones that cover all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// First stored key that is covered.
    pub start: Vec<u8>,
    /// First stored key that isn't covered any more.
    pub end: Vec<u8>,
    /// Versions of the tombstones, newest first; never empty.
    pub versions: SmallVec<[Version; 1]>,
}

impl Fragment {
    /// The newest version that a reader at `at` sees.
    pub fn newest(&self, at: Version) -> Option<Version> {
        self.versions.iter().copied().find(|&v| v <= at)
    }

    /// The oldest version above `version`: the one that hid an entry of that version first.
    pub fn oldest_above(&self, version: Version) -> Option<Version> {
        self.versions.iter().rev().copied().find(|&v| v > version)
    }

    /// Whether the fragment covers a key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }

    /// The fragment as tombstones, newest first.
    pub fn tombstones(&self) -> impl Iterator<Item = RangeTombstone> {
        self.versions.iter().map(|&version| RangeTombstone {
            start: self.start.clone(),
            end: self.end.clone(),
            version,
        })
    }
}

/// A set of range tombstones as disjoint fragments in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeTombstones {
    fragments: Vec<Fragment>,
}

impl RangeTombstones {
    /// Cuts tombstones into fragments. Empty and inverted ranges cover nothing and vanish.
    pub fn new<'a>(tombstones: impl IntoIterator<Item = &'a RangeTombstone>) -> RangeTombstones {
        let mut events: Vec<(&[u8], bool, Version)> = Vec::new();
        for tombstone in tombstones {
            if tombstone.start < tombstone.end {
                events.push((&tombstone.start, true, tombstone.version));
                events.push((&tombstone.end, false, tombstone.version));
            }
        }
        events.sort_unstable();
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut active: Vec<Version> = Vec::new();
        let mut rest = events.as_slice();
        while let Some(&(start, ..)) = rest.first() {
            let here = rest.iter().take_while(|event| event.0 == start).count();
            for &(_, opens, version) in &rest[..here] {
                if opens {
                    active.push(version);
                } else if let Some(at) = active.iter().position(|&v| v == version) {
                    active.swap_remove(at);
                }
            }
            rest = &rest[here..];
            if let Some(&(end, ..)) = rest.first()
                && !active.is_empty()
            {
                push_fragment(&mut fragments, start, end, &active);
            }
        }
        RangeTombstones { fragments }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// The fragments, disjoint and in key order.
    pub fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// The version of the newest tombstone over `key` that a reader at `at` sees. Entries with lower
    /// versions are deleted for that reader.
    #[inline]
    pub fn covering(&self, key: &[u8], at: Version) -> Option<Version> {
        if self.fragments.is_empty() { None } else { self.fragment_at(key)?.newest(at) }
    }

    /// The fragment that covers `key`.
    pub fn fragment_at(&self, key: &[u8]) -> Option<&Fragment> {
        let fragment = self.fragments.get(self.first_ending_after(key))?;
        fragment.contains(key).then_some(fragment)
    }

    /// Index of the first fragment that ends beyond `key`; all before it lie wholly below the key.
    pub fn first_ending_after(&self, key: &[u8]) -> usize {
        self.fragments.partition_point(|fragment| fragment.end.as_slice() <= key)
    }

    /// The fragments that cover some key of `min..=max`.
    pub fn overlapping(&self, min: &[u8], max: &[u8]) -> &[Fragment] {
        let from = self.first_ending_after(min);
        let rest = &self.fragments[from..];
        &rest[..rest.partition_point(|fragment| fragment.start.as_slice() <= max)]
    }

    /// The part of the set that can delete entries in `min..=max`.
    pub fn within(&self, min: &[u8], max: &[u8]) -> RangeTombstones {
        RangeTombstones { fragments: self.overlapping(min, max).to_vec() }
    }

    /// The fragments that together cover all of `min..=max` without a gap; `None` if they don't.
    pub fn covering_all(&self, min: &[u8], max: &[u8]) -> Option<&[Fragment]> {
        let fragments = self.overlapping(min, max);
        let (first, last) = (fragments.first()?, fragments.last()?);
        let gapless = fragments.windows(2).all(|pair| pair[0].end == pair[1].start);
        (gapless && first.start.as_slice() <= min && max < last.end.as_slice()).then_some(fragments)
    }
}

fn push_fragment(fragments: &mut Vec<Fragment>, start: &[u8], end: &[u8], active: &[Version]) {
    let mut versions: SmallVec<[Version; 1]> = active.iter().copied().collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.dedup();
    match fragments.last_mut() {
        Some(last) if last.end == start && last.versions == versions => last.end = end.to_vec(),
        _ => fragments.push(Fragment { start: start.to_vec(), end: end.to_vec(), versions }),
    }
}

/// The version of the newest of `tombstones` over `key` that a reader at `at` sees; for short lists.
pub fn covering(tombstones: &[RangeTombstone], key: &[u8], at: Version) -> Option<Version> {
    tombstones
        .iter()
        .filter(|t| t.version <= at && t.start.as_slice() <= key && key < t.end.as_slice())
        .map(|t| t.version)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tombstone(start: u8, end: u8, version: u64) -> RangeTombstone {
        RangeTombstone { start: vec![start], end: vec![end], version: Version(version) }
    }

    #[test]
    fn crossing_tombstones_are_cut_at_each_others_ends() {
        let set = RangeTombstones::new(&[tombstone(2, 6, 5), tombstone(4, 9, 7)]);
        let parts: Vec<_> =
            set.fragments().iter().map(|f| (f.start[0], f.end[0], f.versions.to_vec())).collect();
        let expected =
            [(2, 4, vec![Version(5)]), (4, 6, vec![Version(7), Version(5)]), (6, 9, vec![Version(7)])];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_gap_keeps_a_range_from_being_covered() {
        let set = RangeTombstones::new(&[tombstone(1, 3, 5), tombstone(3, 5, 7), tombstone(6, 9, 7)]);
        assert_eq!(set.covering_all(&[1], &[4]).map(<[_]>::len), Some(2));
        assert!(set.covering_all(&[1], &[5]).is_none());
        assert!(set.covering_all(&[2], &[7]).is_none());
        assert!(set.covering_all(&[0], &[2]).is_none());
    }

    proptest! {
        #[test]
        fn fragments_answer_as_the_plain_list_does(
            list in prop::collection::vec((0_u8..20, 0_u8..20, 1_u64..12), 0..12),
            key in 0_u8..20,
            at in 0_u64..14,
            version in 0_u64..14,
        ) {
            let list: Vec<_> = list.into_iter().map(|(s, e, v)| tombstone(s, e, v)).collect();
            let set = RangeTombstones::new(&list);
            prop_assert_eq!(set.covering(&[key], Version(at)), covering(&list, &[key], Version(at)));
            let hidden_first = list
                .iter()
                .filter(|t| t.covers(&[key], Version(version), Version::MAX))
                .map(|t| t.version)
                .min();
            let found = set.fragment_at(&[key]).and_then(|f| f.oldest_above(Version(version)));
            prop_assert_eq!(found, hidden_first);
        }
    }
}
