//! Random writes, flushes and merges against a model.

use super::test_store::{PARTITIONS, TestStore, prefix, stored_key};
use super::{Lane, MergeReason, ScanLimits};
use crate::key::{Expiry, Version};
use crate::table::BlockCache;
use proptest::prelude::*;

const KEYS: u16 = 120;

#[derive(Clone, Debug)]
enum Op {
    Put { partition: u16, key: u16, len: usize, ttl: Option<u64> },
    PutMany { partition: u16, from: u16, count: u16, len: usize },
    Delete { partition: u16, key: u16 },
    DeleteMany { partition: u16, from: u16, count: u16 },
    ClearPartition(u16),
    ClearRange { partition: u16, from: u16, count: u16 },
    Freeze,
    Flush,
    StartMerge,
    StartSettling,
    FinishMerge(usize),
    Pin,
    Unpin(usize),
    Pass(u64),
    Residency(bool),
    Scan { from: u16, count: u16, items: usize, work: usize, pin: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let (partition, key) = (0..PARTITIONS, 0..KEYS);
    let count = 1..KEYS;
    let ttl = prop::option::of(1_u64..60);
    let at = (partition.clone(), key.clone());
    prop_oneof![
        4 => (at.clone(), 0_usize..3000, ttl)
            .prop_map(|((partition, key), len, ttl)| Op::Put { partition, key, len, ttl }),
        4 => (at.clone(), count.clone(), 0_usize..400)
            .prop_map(|((partition, from), count, len)| Op::PutMany { partition, from, count, len }),
        2 => at.clone().prop_map(|(partition, key)| Op::Delete { partition, key }),
        2 => (at.clone(), count.clone())
            .prop_map(|((partition, from), count)| Op::DeleteMany { partition, from, count }),
        1 => partition.prop_map(Op::ClearPartition),
        1 => (at, count.clone())
            .prop_map(|((partition, from), count)| Op::ClearRange { partition, from, count }),
        2 => Just(Op::Freeze),
        4 => Just(Op::Flush),
        5 => Just(Op::StartMerge),
        1 => Just(Op::StartSettling),
        5 => (0_usize..4).prop_map(Op::FinishMerge),
        1 => Just(Op::Pin),
        1 => (0_usize..4).prop_map(Op::Unpin),
        1 => (1_u64..40).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Residency),
        2 => (key, count, 1_usize..40, 1_usize..200, 0_usize..4)
            .prop_map(|(from, count, items, work, pin)| Op::Scan { from, count, items, work, pin }),
    ]
}

fn value(version: u64, len: usize) -> Vec<u8> {
    version.to_le_bytes().into_iter().cycle().take(len + 8).collect()
}

fn apply(store: &mut TestStore, op: Op) {
    match op {
        Op::Put { partition, key, len, ttl } => {
            let expiry = ttl.map_or(Expiry::NEVER, |ttl| Expiry(store.now_ms + ttl));
            store.put(&stored_key(partition, key), &value(store.version, len), expiry);
        }
        Op::PutMany { partition, from, count, len } => {
            for key in from..from + count {
                store.put(&stored_key(partition, key), &value(store.version, len), Expiry::NEVER);
            }
        }
        Op::Delete { partition, key } => store.delete(&stored_key(partition, key)),
        Op::DeleteMany { partition, from, count } => {
            (from..from + count).for_each(|key| store.delete(&stored_key(partition, key)));
        }
        Op::ClearPartition(partition) => {
            store.clear(prefix(partition).to_bytes().to_vec(), prefix(partition).end());
        }
        Op::ClearRange { partition, from, count } => {
            store.clear(stored_key(partition, from), stored_key(partition, from + count));
        }
        Op::Freeze => store.freeze(),
        Op::Flush => {
            store.freeze();
            store.flush().expect("nothing fails");
        }
        Op::StartMerge => drop(store.start_merge(false).expect("nothing fails")),
        Op::StartSettling => drop(store.start_merge(true).expect("nothing fails")),
        Op::FinishMerge(which) => store.finish_merge(which),
        Op::Pin => store.pinned.push(Version(store.version)),
        Op::Unpin(which) => {
            if !store.pinned.is_empty() {
                store.pinned.swap_remove(which % store.pinned.len());
            }
        }
        Op::Pass(ms) => store.now_ms += ms,
        Op::Residency(resident) => store.resident = resident,
        Op::Scan { from, count, items, work, pin } => {
            let at = store.pinned.get(pin).copied().unwrap_or(Version(store.version));
            let (from, to) = (stored_key(0, from), stored_key(1, (from + count) % KEYS));
            let limits = ScanLimits { items, bytes: items * 300, oversized: true, work };
            let expected = store.expected_items(&from, &to, at);
            assert_eq!(store.count(&from, &to, at, work), expected.len() as u64);
            assert_eq!(store.scan(&from, &to, at, limits), expected);
            check_merged(store, at, items, work);
        }
    }
}

/// All partitions in one order, page by page.
fn check_merged(store: &mut TestStore, at: Version, items: usize, work: usize) {
    let limits = ScanLimits { items, bytes: usize::MAX, oversized: false, work };
    let (mut seen, mut from) = (Vec::new(), Vec::new());
    loop {
        let lane = |p| Lane::new([&prefix(p).to_bytes(), from.as_slice()].concat(), prefix(p).end(), at);
        let (page, next) = store.page((0..PARTITIONS).map(lane).collect(), limits);
        assert!(page.len() <= limits.items && page.is_sorted_by_key(|(key, _)| key));
        assert!(page.iter().all(|(key, _)| *key >= from));
        seen.extend(page);
        let Some(next) = next else { break };
        assert!(next[8..] > *from, "a scan goes on");
        from = next[8..].to_vec();
    }
    let of = |p| store.expected_items(&prefix(p).to_bytes(), &prefix(p).end(), at);
    let mut expected: Vec<_> = (0..PARTITIONS).flat_map(of).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

fn check_everything(store: &mut TestStore) {
    let mut readers = store.pinned.clone();
    readers.extend([Version(store.version), Version::MAX]);
    for at in readers {
        for partition in 0..PARTITIONS {
            for key in 0..KEYS {
                let key = stored_key(partition, key);
                assert_eq!(store.get(&key, at), store.expected(&key, at), "{key:?} at {at:?}");
            }
        }
        let (from, to) = (prefix(0).to_bytes().to_vec(), prefix(PARTITIONS).end());
        let limits = ScanLimits { items: 1000, bytes: usize::MAX, oversized: true, work: usize::MAX };
        assert_eq!(store.scan(&from, &to, at, limits), store.expected_items(&from, &to, at));
    }
}

#[test]
fn a_reader_of_an_old_version_gets_past_more_tables_than_the_cache_has_room_for() {
    let mut store = TestStore::new(0);
    store.cache = BlockCache::new(8 << 10);
    let key = stored_key(0, 0);
    for _ in 0..20 {
        store.put(&key, &value(store.version, 2000), Expiry::NEVER);
        store.freeze();
        store.flush().expect("nothing fails");
    }
    assert_eq!(store.tree.tables().count(), 20);
    for at in [Version(1), Version(store.version)] {
        let found = store.get(&key, at);
        assert!(found.is_some() && found == store.expected(&key, at), "{found:?} at {at:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn readers_see_what_was_written_whatever_is_flushed_and_merged_meanwhile(
        ops in prop::collection::vec(op(), 1..120),
        seed in any::<u64>(),
    ) {
        let mut store = TestStore::new(seed);
        for op in ops {
            apply(&mut store, op);
        }
        check_everything(&mut store);
        store.settle();
        check_everything(&mut store);
        store.pinned.clear();
        store.settle();
        check_everything(&mut store);
    }

    #[test]
    fn a_settled_store_takes_little_more_than_what_lives_in_it(
        ops in prop::collection::vec(op(), 1..120),
        seed in any::<u64>(),
    ) {
        let mut store = TestStore::new(seed);
        for op in ops.into_iter().filter(|op| !matches!(op, Op::Pin)) {
            apply(&mut store, op);
        }
        store.settle();
        let live = store.expected_items(&[], &[0xff; 20], Version::MAX);
        let live_bytes: usize = live.iter().map(|(key, value)| key.len() + value.len() + 40).sum();
        let tables = store.tree.tables().count();
        // A table of these sizes takes a block for its properties besides its data.
        prop_assert!(
            store.file_bytes() <= live_bytes * 3 / 2 + tables * 8192,
            "{} bytes in {} files for {} live bytes", store.file_bytes(), tables, live_bytes
        );
    }

    #[test]
    fn deleting_everything_gives_everything_back(
        ops in prop::collection::vec(op(), 1..60),
        clear in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut store = TestStore::new(seed);
        for op in ops {
            apply(&mut store, op);
        }
        store.pinned.clear();
        if clear {
            (0..PARTITIONS).for_each(|partition| apply(&mut store, Op::ClearPartition(partition)));
        } else {
            let keys: Vec<_> = store.model.keys().cloned().collect();
            keys.iter().for_each(|key| store.delete(key));
        }
        store.settle();
        prop_assert_eq!(store.tree.tables().count(), 0);
        prop_assert_eq!(store.file_bytes(), 0);
    }

    #[test]
    fn a_merge_that_fails_leaves_its_inputs_and_nothing_else(
        ops in prop::collection::vec(op(), 20..80),
        place in 0.0..1.0_f64,
        full in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut store = TestStore::new(seed);
        for op in ops {
            apply(&mut store, op);
        }
        while !store.running.is_empty() {
            store.finish_merge(0);
        }
        store.freeze();
        store.flush().expect("nothing fails");
        let plan = store.pick(false).or_else(|| store.pick(true)).filter(|plan| !plan.moves);
        let Some(plan) = plan else { return Ok(()) };
        let settling = plan.reason == MergeReason::Settling;
        let files = store.driver.files.clone();
        if full {
            store.driver.capacity = store.file_bytes() + (store.file_bytes() as f64 * place) as usize;
        } else {
            store.driver.fails_at = Some(store.driver.performed + (place * 30.0) as usize);
        }
        let outcome = store.start_merge(settling);
        store.driver.capacity = usize::MAX;
        store.driver.fails_at = None;
        match outcome {
            Err(_) => prop_assert!(store.driver.files == files),
            Ok(_) => prop_assert_eq!(store.running.len(), 1),
        }
        check_everything(&mut store);
    }
}
