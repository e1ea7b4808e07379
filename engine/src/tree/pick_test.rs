//! What is picked, and when a store's space comes back.

use super::test_store::{TestStore, prefix, stored_key};
use super::{LEVELS, MergeReason, ScanLimits};
use crate::job::Horizon;
use crate::key::{Expiry, Version};

fn fill(store: &mut TestStore, partition: u16, keys: std::ops::Range<u16>, expiry: Expiry) {
    for key in keys {
        store.put(&stored_key(partition, key), &[7; 200], expiry);
    }
    store.freeze();
    store.flush().expect("nothing fails");
}

#[test]
fn keys_in_order_are_moved_and_never_written_again() {
    let mut store = TestStore::new(1);
    for round in 0..20 {
        fill(&mut store, 0, round * 100..round * 100 + 100, Expiry::NEVER);
        while let Some(reason) = store.start_merge(false).expect("nothing fails") {
            assert!(store.running.is_empty(), "{reason:?} copies tables that overlap nothing");
        }
    }
    let deepest: usize = store.tree.levels()[1..].iter().map(|level| level.tables().len()).sum();
    assert!(deepest > 20, "{deepest} tables were moved");
}

#[test]
fn a_cleared_partition_goes_without_being_read() {
    let mut store = TestStore::new(1);
    for partition in 0..2 {
        for round in 0..6 {
            fill(&mut store, partition, round * 50..round * 50 + 200, Expiry::NEVER);
        }
    }
    store.settle();
    let before = store.file_bytes();
    store.clear(prefix(0).to_bytes().to_vec(), prefix(0).end());
    store.freeze();
    store.flush().expect("nothing fails");
    let performed = store.driver.performed;
    assert_eq!(store.start_merge(false).expect("nothing fails"), Some(MergeReason::Covered));
    store.finish_merge(0);
    assert_eq!(store.driver.performed, performed, "nothing is read or written");
    assert!(store.file_bytes() < before * 2 / 3);
    store.settle();
    assert!(store.tree.range_tombstones().is_empty(), "it has nothing left to hide");
}

#[test]
fn a_snapshot_keeps_a_cleared_partition_until_it_is_closed() {
    let mut store = TestStore::new(1);
    fill(&mut store, 0, 0..300, Expiry::NEVER);
    store.settle();
    store.pinned.push(Version(store.version));
    store.clear(prefix(0).to_bytes().to_vec(), prefix(0).end());
    store.settle();
    assert_eq!(store.get(&stored_key(0, 7), store.pinned[0]), Some(vec![7; 200]));
    store.pinned.clear();
    store.settle();
    assert_eq!(store.tree.tables().count(), 0);
}

#[test]
fn expired_values_give_their_space_back_by_themselves() {
    let mut store = TestStore::new(1);
    fill(&mut store, 0, 0..300, Expiry(5000));
    fill(&mut store, 1, 0..10, Expiry::NEVER);
    store.settle();
    let before = store.file_bytes();
    store.now_ms = 4999;
    store.settle();
    assert_eq!(store.file_bytes(), before);
    store.now_ms = 5000;
    store.settle();
    assert!(store.file_bytes() <= 16 << 10, "{} bytes are left", store.file_bytes());
}

#[test]
fn deletes_give_their_space_back_by_themselves() {
    let mut store = TestStore::new(1);
    for round in 0..5 {
        fill(&mut store, 0, round * 100..round * 100 + 100, Expiry::NEVER);
    }
    store.settle();
    (0..500).for_each(|key| store.delete(&stored_key(0, key)));
    store.freeze();
    store.flush().expect("nothing fails");
    while store.start_merge(false).expect("nothing fails").is_some() {
        store.finish_merge(0);
    }
    assert_eq!(store.tree.tables().count(), 0);
}

#[test]
fn levels_fill_from_the_bottom_and_stay_near_their_targets() {
    let mut store = TestStore::new(1);
    for round in 0..60_u16 {
        for key in 0..60_u16 {
            store.put(
                &stored_key(0, key.wrapping_mul(7919).wrapping_add(round * 31) % 3000),
                &[7; 200],
                Expiry::NEVER,
            );
        }
        store.freeze();
        store.flush().expect("nothing fails");
        while store.start_merge(false).expect("nothing fails").is_some() {
            store.finish_merge(0);
        }
    }
    let levels = store.tree.levels();
    let bottom = levels[LEVELS - 1].bytes();
    let upper: u64 = levels[1..LEVELS - 1].iter().map(|level| level.bytes()).sum();
    assert!(bottom > upper, "{bottom} bytes at the bottom, {upper} above");
    assert_eq!(store.tree.debt_bytes(&store.options), 0);
}

#[test]
fn disjoint_merges_run_at_once_and_never_share_a_table() {
    let mut store = TestStore::new(1);
    for round in 0..40_u16 {
        fill(&mut store, round % 2, round * 10..round * 10 + 150, Expiry::NEVER);
        if round % 4 == 0 {
            store.start_merge(false).expect("nothing fails");
        }
    }
    while store.start_merge(false).expect("nothing fails").is_some() {}
    while !store.running.is_empty() {
        store.finish_merge(1);
        let limits = ScanLimits { items: 10_000, bytes: usize::MAX, oversized: true, work: usize::MAX };
        let (from, to) = (prefix(0).to_bytes().to_vec(), prefix(2).end());
        let expected = store.expected_items(&from, &to, Version::MAX);
        assert_eq!(store.scan(&from, &to, Version::MAX, limits), expected);
    }
}

/// A partition whose floor stays behind what is written to it, and time with it.
fn behind(floor: u64, now_ms: u64) -> Option<(u16, Horizon)> {
    Some((1, Horizon { floor: Version(floor), now_ms, max_version: Version::MAX }))
}

#[test]
fn garbage_that_a_floor_keeps_is_not_merged_again_and_again() {
    let mut store = TestStore::new(1);
    // Both lie in one table. Nothing older is there, but might still come.
    (0..50).for_each(|key| store.put(&stored_key(0, key), b"v", Expiry::NEVER));
    (0..50).for_each(|key| store.delete(&stored_key(1, key)));
    store.behind = behind(50, store.now_ms);
    store.settle();
    let left = |store: &TestStore| -> Vec<_> {
        store.tree.tables().map(|(_, table)| (table.meta().entries, table.meta().tombstones)).collect()
    };
    assert_eq!(left(&store), [(100, 50)]);
    store.behind = behind(100, store.now_ms);
    store.settle();
    assert_eq!(left(&store), [(50, 0)], "the floor has passed them");
}

#[test]
fn values_that_are_not_expired_by_their_own_time_are_not_merged_again_and_again() {
    let mut store = TestStore::new(1);
    (0..50).for_each(|key| store.put(&stored_key(0, key), b"v", Expiry::NEVER));
    (0..50).for_each(|key| store.put(&stored_key(1, key), b"v", Expiry(5000)));
    store.now_ms = 9000;
    store.behind = behind(Version::MAX.0, 4999);
    store.settle();
    let expiring = |store: &TestStore| store.tree.tables().map(|(_, t)| t.meta().expiring).sum::<u64>();
    assert_eq!((expiring(&store), store.tree.tables().count()), (50, 1));
    store.behind = behind(Version::MAX.0, 5000);
    store.settle();
    assert_eq!(expiring(&store), 0);
}

#[test]
fn a_partition_that_was_never_written_keeps_no_garbage_alive() {
    let mut store = TestStore::new(1);
    store.behind = Some((1, Horizon::default()));
    for partition in [0, 2] {
        (0..50).for_each(|key| store.put(&stored_key(partition, key), b"v", Expiry(5000)));
    }
    store.freeze();
    store.flush().expect("nothing fails");
    store.now_ms = 5000;
    while store.start_merge(false).expect("nothing fails").is_some() {
        store.finish_merge(0);
    }
    assert_eq!(store.tree.tables().count(), 0);
}
