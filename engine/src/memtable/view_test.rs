//! A memtable that goes on beneath its views, against views that are copies.

use super::{Memtable, MemtableView, Position};
use crate::key::{Entry, Expiry, Kind, RangeTombstone, Stamp, Version};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

type Model = BTreeMap<(Vec<u8>, Reverse<u64>), Vec<u8>>;

fn entry<'a>(key: &'a [u8], version: u64, value: &'a [u8]) -> Entry<'a> {
    Entry { key, stamp: Stamp::new(Version(version), Kind::Value), expiry: Expiry::NEVER, value }
}

fn all<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
    entries.map(|entry| (entry.key.to_vec(), entry.stamp.version().0, entry.value.to_vec())).collect()
}

#[test]
fn what_is_inserted_behind_a_view_is_invisible_to_it_whatever_its_version() {
    let mut memtable = Memtable::new();
    memtable.insert(entry(b"a", 3, b"old"));
    memtable.insert(entry(b"c", 9, b"there"));
    let position = memtable.position();
    // Late: above what there is of its key, below what the view sees. And a key that the view doesn't know.
    memtable.insert(entry(b"a", 5, b"late"));
    memtable.insert(entry(b"b", 4, b"late"));
    memtable.insert(entry(b"c", 10, b"newer"));
    let (view, now) = (memtable.up_to(position), memtable.up_to(Position::ALL));
    assert_eq!(view.get(b"a", Version(9)), Some(entry(b"a", 3, b"old")));
    assert_eq!(view.get(b"b", Version(9)), None);
    assert_eq!(view.get(b"c", Version::MAX), Some(entry(b"c", 9, b"there")));
    assert_eq!(now.get(b"a", Version(9)), Some(entry(b"a", 5, b"late")));
    assert_eq!(now.get(b"b", Version(9)), Some(entry(b"b", 4, b"late")));
    let seen = [entry(b"a", 3, b"old"), entry(b"c", 9, b"there")];
    assert_eq!(view.iter().collect::<Vec<_>>(), seen);
    assert_eq!(view.seek(b"b").collect::<Vec<_>>(), seen[1..]);
    assert_eq!(memtable.up_to(memtable.position()).iter().count(), 5);
}

#[test]
fn a_view_keeps_an_entry_that_another_of_its_version_hides_later() {
    let mut memtable = Memtable::new();
    memtable.insert(entry(b"key", 5, b"first"));
    let position = memtable.position();
    memtable.insert(entry(b"key", 5, b"second"));
    assert_eq!(all(memtable.up_to(position).iter()), [(b"key".to_vec(), 5, b"first".to_vec())]);
    assert_eq!(all(memtable.iter()), [(b"key".to_vec(), 5, b"second".to_vec())]);
}

#[test]
fn a_view_of_an_empty_memtable_stays_empty() {
    let mut memtable = Memtable::new();
    let position = memtable.position();
    memtable.insert(entry(b"key", 5, b""));
    let range = RangeTombstone { start: vec![1], end: vec![2], version: Version(1) };
    memtable.insert_range_tombstone(range.clone());
    let view = memtable.up_to(position);
    assert_eq!((view.get(b"key", Version::MAX), view.iter().next()), (None, None));
    assert_eq!(view.range_tombstones(), []);
    assert_eq!(memtable.up_to(memtable.position()).range_tombstones(), [range]);
}

fn assert_same(view: MemtableView<'_>, model: &Model) {
    let expected: Vec<_> =
        model.iter().map(|((key, version), value)| (key.clone(), version.0, value.clone())).collect();
    assert_eq!(all(view.iter()), expected);
    for key in 0..6_u8 {
        for at in (0..20).chain([Version::MAX.0]) {
            let newest =
                model.range((vec![key], Reverse(at))..).next().filter(|((found, _), _)| *found == [key]);
            let newest = newest.map(|((_, version), value)| (version.0, value.clone()));
            let found = view.get(&[key], Version(at)).map(|e| (e.stamp.version().0, e.value.to_vec()));
            assert_eq!(found, newest, "key {key} at {at}");
        }
        let from: Vec<_> = expected.iter().filter(|(found, ..)| *found >= vec![key]).cloned().collect();
        assert_eq!(all(view.seek(&[key])), from);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_view_reads_as_a_copy_of_that_moment_does(
        // Long values have chunks of their own in the arena.
        ops in prop::collection::vec(
            (0_u8..6, 1_u64..20, prop_oneof![9 => 0_usize..50, 1 => 60_000_usize..70_000], any::<bool>()),
            1..120,
        ),
    ) {
        let (mut memtable, mut model) = (Memtable::new(), Model::new());
        let mut views = vec![(memtable.position(), model.clone())];
        for (number, (key, version, len, is_viewed)) in ops.into_iter().enumerate() {
            let value = [number.to_le_bytes().to_vec(), vec![key; len]].concat();
            memtable.insert(entry(&[key], version, &value));
            model.insert((vec![key], Reverse(version)), value);
            if is_viewed {
                views.push((memtable.position(), model.clone()));
            }
        }
        for (position, model) in views {
            assert_same(memtable.up_to(position), &model);
        }
    }
}
