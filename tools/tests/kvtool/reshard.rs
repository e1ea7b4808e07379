//! Resharding: nothing is lost or changed, whenever it is cut off.

use crate::common::{Change, TestStore, kvtool, put_of};
use crate::crash::CrashDisk;
use pinion_engine::Partition;
use pinion_engine::drive::{OsDir, StoreDir, StoreFile};
use pinion_engine::manifest::GroupState;
use pinion_engine::offline::{Contents, OsDisk, reshard};
use pinion_tools::kvtool::ToolError;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Entries = BTreeMap<(Vec<u8>, u64), (u64, Vec<u8>)>;

/// All that a store holds: entries of every version and kind, range tombstones, the groups' states.
#[derive(Clone, Debug, PartialEq)]
struct Snapshot {
    entries: Entries,
    ranges: BTreeSet<(Vec<u8>, Vec<u8>, u64)>,
    groups: BTreeMap<Partition, GroupState>,
}

fn store_dir(store: &TestStore) -> StoreDir {
    let file = StoreFile::read(store.path()).unwrap().unwrap();
    StoreDir { path: store.path().to_owned(), file }
}

fn snapshot(store: &TestStore) -> Snapshot {
    let StoreDir { path, file } = store_dir(store);
    let mut all = Snapshot { entries: Entries::new(), ranges: BTreeSet::new(), groups: BTreeMap::new() };
    for shard in 0..file.shards {
        let dir = OsDir::open(file.shard_dir(&path, shard)).unwrap();
        let contents = Contents::read(&dir, file.shard_id(shard)).unwrap();
        let mut merge = contents.merge(&dir);
        merge.seek(b"").unwrap();
        while let Some(entry) = merge.entry() {
            let at = (entry.key.to_vec(), entry.stamp.0);
            // The shards were made one after the other, with times of their own; the new ones have one.
            let told_s = contents
                .unflushed
                .clock()
                .map_or(0, |clock| clock.clocks().told_ms(entry.expiry).saturating_add(500) / 1000);
            let before = all.entries.insert(at, (told_s, entry.value.to_vec()));
            assert_eq!(before, None, "an entry is there twice");
            merge.advance().unwrap();
        }
        let ranges = contents.range_tombstones();
        all.ranges.extend(ranges.map(|range| (range.start.clone(), range.end.clone(), range.version.0)));
        for (partition, group) in contents.unflushed.groups() {
            let group = GroupState { clock_us: 0, ..group };
            assert_eq!(all.groups.insert(partition, group), None, "two shards hold {partition:?}");
        }
    }
    all
}

/// Reshards, cut off at one change after the other until it comes to its end.
fn reshard_through_crashes(store: &TestStore, shards: u32, before: &Snapshot) -> u64 {
    for changes in 0.. {
        let mut disk = CrashDisk::new(changes);
        let outcome = reshard(&mut disk, &store_dir(store), shards, &mut ());
        disk.crash();
        assert_eq!(&snapshot(store), before, "cut off after {changes} changes");
        if outcome.is_ok() {
            return changes;
        }
    }
    unreachable!("the number of changes is finite")
}

/// What readers see, without versions: those follow the clock.
fn live(store: &TestStore) -> BTreeSet<String> {
    let (text, outcome) = store.kvtool(&["dump", "--live", "--json"]);
    outcome.unwrap();
    let without_version = |line: &str| {
        let mut item: serde_json::Value = serde_json::from_str(line).unwrap();
        item["version"].take();
        item.to_string()
    };
    text.lines().map(without_version).collect()
}

fn change() -> impl Strategy<Value = Change> {
    let place = (0..2_u16, 0..8_u16, 0..20_u8);
    let put = (place.clone(), 0..2000_usize, prop::option::of(4_000_000_000_000..4_100_000_000_000_u64));
    prop_oneof![
        12 => put.prop_map(|((keyspace, partition, key), len, expires_ms)| Change::Put {
            keyspace, partition, key: vec![key; 3], value: vec![key; len], expires_ms,
        }),
        4 => place.clone().prop_map(|(keyspace, partition, key)| {
            Change::Delete { keyspace, partition, key: vec![key; 3] }
        }),
        1 => place.prop_map(|(keyspace, partition, _)| Change::Clear { keyspace, partition }),
        1 => Just(Change::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_whenever_a_reshard_is_cut_off(changes in prop::collection::vec(change(), 1..120)) {
        let store = TestStore::new(1, 8);
        store.apply(&changes);
        let before = snapshot(&store);
        for shards in [2, 3, 2] {
            reshard_through_crashes(&store, shards, &before);
            let file = StoreFile::read(store.path()).unwrap().unwrap();
            prop_assert_eq!(file.shards, shards);
            prop_assert_eq!(file.other_layouts(store.path()).unwrap().len(), 0);
        }
        // The engine opens what was made, and agrees on every key.
        store.apply(&[Change::Settle]);
        let again = TestStore::new(1, 8);
        again.apply(&changes);
        prop_assert_eq!(live(&store), live(&again));
    }
}

#[test]
fn a_resharded_store_serves_and_takes_writes() {
    let store = TestStore::new(1, 4);
    let changes: Vec<_> = (0..40).map(|i| put_of(i % 4, &format!("k{i:02}"), &format!("v{i}"))).collect();
    store.apply(&changes);
    let (text, outcome) = store.kvtool(&["reshard", "--shards", "3"]);
    outcome.unwrap();
    assert!(text.contains("1 shard is 3 now") && text.contains("moved 40 entries"), "{text}");
    store.apply(&[put_of(2, "k02", "newer"), Change::Settle]);
    for i in 0..40_u16 {
        let expected = if i == 2 { "newer".to_owned() } else { format!("v{i}") };
        assert_eq!(store.get(0, i % 4, format!("k{i:02}").as_bytes()), Some(expected.into_bytes()));
    }
    let (_, outcome) = store.kvtool(&["verify"]);
    outcome.unwrap();
    assert!(!store.path().join("shard-000").exists());
    assert!(store.path().join("shard-002.layout-1").is_dir());
}

/// Moves a shard to a directory beside the store and links it.
fn put_elsewhere(store: &TestStore, number: u32) -> tempfile::TempDir {
    let disk = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(store.shard(number)).unwrap() {
        let file = entry.unwrap();
        std::fs::copy(file.path(), disk.path().join(file.file_name())).unwrap();
    }
    std::fs::remove_dir_all(store.shard(number)).unwrap();
    std::os::unix::fs::symlink(disk.path(), store.shard(number)).unwrap();
    disk
}

/// Names in a directory that belong to shards.
fn shard_files(dir: &std::path::Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_shard_on_another_disk_stays_there() {
    let store = TestStore::new(1, 4);
    let changes: Vec<_> = (0..40).map(|i| put_of(i % 4, &format!("k{i:02}"), "v")).collect();
    store.apply(&changes);
    let disk = put_elsewhere(&store, 0);
    let before = snapshot(&store);
    for shards in [3, 2] {
        let (_, outcome) = store.kvtool(&["reshard", "--shards", &shards.to_string()]);
        outcome.unwrap();
        assert_eq!(snapshot(&store), before);
        let file = store_dir(&store).file;
        let dirs: Vec<_> = (0..shards).map(|shard| file.shard_dir(store.path(), shard)).collect();
        assert!(dirs.iter().all(|dir| dir.is_symlink()), "{dirs:?}");
        let names = dirs.iter().map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(shard_files(disk.path()), names.collect(), "what doesn't count is gone");
    }
}

#[test]
fn a_shard_on_another_disk_survives_a_reshard_that_is_cut_off_anywhere() {
    let store = TestStore::new(2, 4);
    store.apply(&[put_of(0, "a", "1"), put_of(1, "b", "2"), put_of(3, "c", "3")]);
    let disk = put_elsewhere(&store, 1);
    let before = snapshot(&store);
    reshard_through_crashes(&store, 3, &before);
    assert_eq!(shard_files(disk.path()), ["shard-001.layout-1".to_owned()].into());
    assert!(!store_dir(&store).file.shard_dir(store.path(), 0).is_symlink());
}

#[test]
fn a_reshard_to_the_number_that_is_there_changes_nothing() {
    let store = TestStore::new(2, 4);
    store.apply(&[put_of(0, "k", "v")]);
    let before = snapshot(&store);
    let (text, outcome) = store.kvtool(&["reshard", "--shards", "2"]);
    outcome.unwrap();
    assert!(text.contains("2 shards already"), "{text}");
    assert_eq!(snapshot(&store), before);
}

#[test]
fn a_store_that_was_never_opened_can_be_resharded() {
    let store = TestStore::new(2, 4);
    reshard(&mut OsDisk, &store_dir(&store), 4, &mut ()).unwrap();
    store.apply(&[put_of(3, "k", "v")]);
    assert_eq!(store.get(0, 3, b"k"), Some(b"v".to_vec()));
}

#[test]
fn a_missing_shard_is_not_taken_for_an_empty_one() {
    let store = TestStore::new(2, 4);
    store.apply(&[put_of(0, "k", "v")]);
    std::fs::rename(store.shard(1), store.path().join("elsewhere")).unwrap();
    let (_, outcome) = store.kvtool(&["reshard", "--shards", "1"]);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("shard-001") && error.contains("put it back"), "{error}");
}

#[test]
fn a_damaged_store_is_not_resharded_and_stays_as_it_is() {
    let store = TestStore::new(1, 4);
    store.apply(&[put_of(0, "k", &"v".repeat(100)), Change::Settle]);
    let table = store.shard(0).join("000001.sst");
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&table, &bytes).unwrap();
    let (_, outcome) = store.kvtool(&["reshard", "--shards", "2"]);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("000001.sst is damaged at offset 0"), "{error}");
    assert_eq!(store_dir(&store).file.shards, 1);
    assert_eq!(store_dir(&store).file.other_layouts(store.path()).unwrap().len(), 0);
}

#[test]
fn more_shards_than_partitions_are_refused() {
    let store = TestStore::new(1, 4);
    let (_, outcome) = store.kvtool(&["reshard", "--shards", "5"]);
    assert!(matches!(outcome, Err(ToolError::Usage(text)) if text.contains("4 partitions")));
    let (_, outcome) = kvtool(&["reshard", "--shards", "1"], &[&store.path().join("nowhere")]);
    assert!(matches!(outcome, Err(ToolError::Engine(_))));
}
