//! Scans: what bounds them, and what they jump over.

use super::test_store::{PARTITIONS, TestStore, prefix, stored_key};
use super::{Lane, READ_BYTES_MAX, RangeTombstones, Scan, ScanData, ScanLimits, ScanStep, Tree};
use crate::key::{Entry, Expiry, Kind, Stamp, Version};
use crate::memtable::{Memtable, Position};
use crate::shard::request::Page;
use crate::table::BlockCache;

const WIDE: ScanLimits = ScanLimits { items: 100_000, bytes: usize::MAX, oversized: true, work: 100_000 };

fn page_of(memtable: &Memtable, at: Version, limits: ScanLimits, keys_only: bool) -> (ScanStep, Page) {
    let (tree, cleared) = (Tree::new(), RangeTombstones::default());
    let data = ScanData { memtables: &[memtable.up_to(Position::ALL)], cleared: &cleared, tree: &tree };
    let lane = Lane::new(prefix(0).to_bytes().to_vec(), prefix(0).end(), at);
    let mut scan = Scan::new(vec![lane], limits, keys_only, 0);
    let step = scan.run(&data, &mut BlockCache::new(0)).expect("memory is whole");
    (step, scan.page().clone())
}

fn insert(memtable: &mut Memtable, key: u16, version: u64, kind: Kind) {
    let key = stored_key(0, key);
    let stamp = Stamp::new(Version(version), kind);
    memtable.insert(Entry { key: &key, stamp, expiry: Expiry::NEVER, value: b"v" });
}

#[test]
fn a_page_of_tombstones_ends_early_and_goes_on() {
    let mut memtable = Memtable::new();
    (0..5000).for_each(|key| insert(&mut memtable, key, 1, Kind::Tombstone));
    insert(&mut memtable, 5000, 1, Kind::Value);
    let limits = ScanLimits { items: 10, bytes: 1000, oversized: true, work: 1000 };
    let (step, page) = page_of(&memtable, Version::MAX, limits, false);
    assert_eq!(step, ScanStep::Page { next: Some(stored_key(0, 1000)) });
    assert!(page.is_empty());
}

#[test]
fn a_key_with_many_versions_costs_no_more_than_others() {
    let mut memtable = Memtable::new();
    (1..50_000).for_each(|version| insert(&mut memtable, 1, version, Kind::Value));
    insert(&mut memtable, 2, 1, Kind::Value);
    for at in [Version(1), Version(25_000), Version::MAX] {
        let limits = ScanLimits { items: 10, bytes: 1000, oversized: true, work: 64 };
        let (step, page) = page_of(&memtable, at, limits, false);
        assert_eq!((step, page.len()), (ScanStep::Page { next: None }, 2));
    }
}

#[test]
fn a_full_page_says_where_the_next_begins() {
    let mut memtable = Memtable::new();
    (0..10).for_each(|key| insert(&mut memtable, key, 1, Kind::Value));
    let (step, _) = page_of(&memtable, Version::MAX, ScanLimits { items: 4, ..WIDE }, false);
    assert_eq!(step, ScanStep::Page { next: Some(stored_key(0, 4)) });
    let (step, page) = page_of(&memtable, Version::MAX, ScanLimits { items: 10, ..WIDE }, false);
    assert_eq!((step, page.len()), (ScanStep::Page { next: None }, 10));
}

#[test]
fn an_item_that_is_too_long_ends_the_page_before_it_or_is_one_of_its_own() {
    let mut memtable = Memtable::new();
    (0..3).for_each(|key| insert(&mut memtable, key, 1, Kind::Value));
    let item = stored_key(0, 0).len() - 8 + 1;
    let page = |bytes, oversized| {
        let (step, page) = page_of(&memtable, Version::MAX, ScanLimits { bytes, oversized, ..WIDE }, false);
        let ScanStep::Page { next } = step else { panic!("nothing is to be read") };
        (page.len(), next)
    };
    assert_eq!(page(2 * item, false), (2, Some(stored_key(0, 2))));
    assert_eq!(page(item - 1, false), (0, Some(stored_key(0, 0))));
    assert_eq!(page(item - 1, true), (1, Some(stored_key(0, 1))));
}

/// Bytes that don't compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn lanes_with_huge_values_are_read_one_after_the_other() {
    const VALUE: usize = 3 << 20;
    let mut store = TestStore::new(1);
    for partition in 0..PARTITIONS {
        for key in 0..3 {
            store.put(&stored_key(partition, 10 * key + partition), &noise(VALUE), Expiry::NEVER);
        }
    }
    store.resident = false;
    store.freeze();
    store.flush().expect("nothing fails");
    let limits = ScanLimits { bytes: 2 * VALUE + 100, oversized: false, ..WIDE };
    let lane = |p| Lane::new(prefix(p).to_bytes().to_vec(), prefix(p).end(), Version::MAX);
    let (page, next) = store.page((0..PARTITIONS).map(lane).collect(), limits);
    assert_eq!(page.len(), 2);
    assert_eq!(next.map(|key| key[8..].to_vec()), Some(b"key00010".to_vec()));
    // Of one lane the block that its bound is in and the next, and one of another lane.
    let most = (READ_BYTES_MAX + VALUE).max(3 * (VALUE + 100));
    assert!(store.held_bytes_max <= most, "{} bytes were held", store.held_bytes_max);
}

#[test]
fn what_is_read_ahead_is_bounded_however_many_tables_there_are() {
    const TABLES: u16 = 30;
    const VALUE: usize = 3000;
    let mut store = TestStore::new(1);
    store.resident = false;
    for table in 0..TABLES {
        for key in 0..100 {
            store.put(&stored_key(0, TABLES * key + table), &noise(VALUE), Expiry::NEVER);
        }
        store.freeze();
        store.flush().expect("nothing fails");
    }
    let lane = Lane::new(prefix(0).to_bytes().to_vec(), prefix(0).end(), Version::MAX);
    let (page, _) = store.page(vec![lane], WIDE);
    assert_eq!(page.len(), 100 * usize::from(TABLES));
    // What a call asks for, as often as a page may go without coming further: not a piece for each table.
    let most = 3 * READ_BYTES_MAX;
    assert!(store.held_bytes_max <= most, "{} bytes were held", store.held_bytes_max);
}

#[test]
fn keys_only_leaves_values_out() {
    let mut memtable = Memtable::new();
    insert(&mut memtable, 1, 9, Kind::Value);
    let (_, page) = page_of(&memtable, Version::MAX, WIDE, true);
    let items: Vec<_> = page.iter().map(|(key, value)| (key.to_vec(), value.bytes, value.version)).collect();
    assert_eq!(items, [(b"key00001".to_vec(), &b""[..], Version(9))]);
}

#[test]
fn tables_under_a_range_tombstone_are_jumped_over() {
    let mut store = TestStore::new(1);
    for key in 0..2000 {
        store.put(&stored_key(0, key), &[7; 200], Expiry::NEVER);
    }
    store.put(&stored_key(1, 0), b"last", Expiry::NEVER);
    store.freeze();
    store.flush().expect("nothing fails");
    store.clear(prefix(0).to_bytes().to_vec(), prefix(0).end());
    let lane = Lane::new(prefix(0).to_bytes().to_vec(), prefix(1).end(), Version::MAX);
    let (page, next) = store.page(vec![lane], ScanLimits { work: 100, ..WIDE });
    assert_eq!((page.len(), next), (1, None));
    let reads = store.reads;
    assert!(reads < 2 * store.tree.tables().count() + 20, "{reads} blocks of about 100 were read");
}
