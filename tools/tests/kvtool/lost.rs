//! Files that were there and aren't: what verify says of each, and what repair makes of it.

use crate::common::{Change, TestStore, kvtool, put_of};
use pinion_engine::drive::StoreFile;
use pinion_tools::kvtool::ToolError;
use std::path::{Path, PathBuf};

const KEYS: u32 = 400;

/// Two shards with tables, and newer entries in their logs; all of it made by a node that served.
pub fn store() -> TestStore {
    let store = TestStore::new(2, 8);
    let keys =
        |from: u32| (from..from + KEYS / 2).map(|i| put_of((i % 8) as u16, &format!("key{i:04}"), "v"));
    let mut changes: Vec<Change> = keys(0).collect();
    changes.push(Change::Settle);
    store.apply(&changes);
    store.apply(&keys(KEYS / 2).collect::<Vec<_>>());
    store
}

pub fn files(store: &TestStore, shard: u32, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(store.shard(shard)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

pub fn live(store: &TestStore) -> Vec<String> {
    let (text, outcome) = store.kvtool(&["dump", "--live", "--keys-only"]);
    outcome.unwrap();
    text.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

/// Verify names it, with exit code 1.
#[track_caller]
pub fn missed(store: &TestStore, named: &str) -> String {
    let (text, outcome) = store.kvtool(&["verify"]);
    let told = format!("{text}{}", outcome.unwrap_err());
    assert!(told.contains(named), "{named:?} isn't in {told}");
    told
}

/// Repair mends it, and says so; a second look finds nothing.
#[track_caller]
pub fn repaired(store: &TestStore) -> String {
    let (text, outcome) = store.kvtool(&["repair", "--yes"]);
    outcome.unwrap();
    let (report, outcome) = store.kvtool(&["verify"]);
    assert!(outcome.is_ok(), "{report}");
    assert_eq!(store.get(0, 0, b"none"), None, "the engine agrees");
    assert_eq!(store.get(0, 1, b"none"), None, "the engine agrees");
    text
}

#[test]
fn a_missing_shard_is_named_and_made_anew_with_what_is_lost() {
    for is_emptied in [false, true] {
        let store = store();
        let before = live(&store);
        std::fs::remove_dir_all(store.shard(1)).unwrap();
        if is_emptied {
            std::fs::create_dir(store.shard(1)).unwrap();
        }
        missed(&store, "shard-001");
        let text = repaired(&store);
        assert!(text.contains("lost: every key of partitions "), "{text}");
        let after = live(&store);
        assert!(!after.is_empty() && after.len() < before.len());
        assert!(after.iter().all(|key| before.contains(key)), "the other shard is as it was");
    }
}

#[test]
fn the_newest_segment_that_is_missing_is_named_and_repair_says_from_when_on_all_is_lost() {
    let store = store();
    let (text, _) = store.kvtool(&["manifest", "--json"]);
    let manifest: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let number = manifest["log_reached"]["file"].as_u64().unwrap();
    let newest = store.shard(0).join(format!("{number:06}.log"));
    std::fs::remove_file(&newest).unwrap();
    let told = missed(&store, &format!("{number:06}.log, log segment"));
    assert!(told.contains("is missing") && told.contains("`kvtool repair"), "{told}");
    let text = repaired(&store);
    assert!(text.contains("lost: all that was only in the log"), "{text}");
    assert!(live(&store).len() as u32 >= KEYS / 2);
}

#[test]
fn all_logs_that_are_missing_are_named_and_the_tables_stay() {
    let store = store();
    files(&store, 1, "log").iter().for_each(|path| std::fs::remove_file(path).unwrap());
    missed(&store, "is missing from");
    let text = repaired(&store);
    assert!(text.contains("lost: all that was only in the log"), "{text}");
    assert!(live(&store).len() as u32 > KEYS / 2);
}

#[test]
fn a_segment_whose_header_is_damaged_loses_nothing() {
    let store = store();
    let before = live(&store);
    let mut restored = 0;
    for path in files(&store, 0, "log") {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        if store.kvtool(&["verify"]).1.is_err() {
            let text = repaired(&store);
            assert!(text.contains("its header was damaged, and is put together again"), "{text}");
            assert!(!text.contains("lost:"), "{text}");
            restored += 1;
        }
        assert_eq!(live(&store), before);
    }
    assert!(restored > 0, "one of the segments was needed");
}

#[test]
fn a_missing_manifest_is_named_and_the_shard_is_built_from_tables_and_log() {
    let store = store();
    let before = live(&store);
    std::fs::remove_file(&files(&store, 0, "manifest")[0]).unwrap();
    missed(&store, "the manifest is missing");
    assert!(repaired(&store).contains("built anew from"));
    assert_eq!(live(&store), before);
}

/// One shard with a table, and newer entries and deletions in a log that lies in two segments; the first of the two follows one
/// whose file is used again, by the second.
fn store_with_a_recycled_segment() -> TestStore {
    let store = TestStore::new(1, 8);
    let put = |i: u32| put_of((i % 8) as u16, &format!("key{i:04}"), &format!("value{i}"));
    let delete = |i: u32| {
        let (partition, key) = ((i % 8) as u16, format!("key{i:04}").into_bytes());
        Change::Delete { keyspace: 0, partition, key }
    };
    store.apply(&(0..100).map(put).collect::<Vec<_>>());
    let mut second: Vec<_> = (100..200).map(put).collect();
    second.push(Change::Settle);
    second.extend((200..250).map(put));
    store.apply(&second);
    store.apply(&(250..300).map(put).chain((0..10).map(delete)).collect::<Vec<_>>());
    let (text, _) = store.kvtool(&["log"]);
    let place = |file: &str| text.find(&format!("segment {file}: generation ")).unwrap();
    assert!(place("000002.log") < place("000001.log"), "{text}");
    store
}

/// Found by a user: the log was cut before its first segment, because that one's predecessor isn't there any more.
#[test]
fn a_log_whose_first_segment_is_used_again_is_kept_whole_without_a_manifest() {
    for damaged_record in [None, Some(0), Some(1), Some(3)] {
        let store = store_with_a_recycled_segment();
        let (before, manifest) = (live(&store), files(&store, 0, "manifest").remove(0));
        assert_eq!(before.len(), 290);
        match damaged_record {
            None => std::fs::remove_file(&manifest).unwrap(),
            Some(record) => {
                let (text, _) = store.kvtool(&["manifest", "--json"]);
                let text: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
                let offset = text["records"][record]["offset"].as_u64().unwrap() as usize;
                let mut bytes = std::fs::read(&manifest).unwrap();
                bytes[offset + 50] ^= 1;
                std::fs::write(&manifest, bytes).unwrap();
            }
        }
        missed(&store, "manifest");
        let text = repaired(&store);
        assert!(text.contains("built anew from 1 table and the log"), "{text}");
        assert!(text.contains("records stay, from 000002.log on") && !text.contains("lost"), "{text}");
        assert_eq!(live(&store), before);
        for i in [10, 150, 220, 299_u32] {
            let value = store.get(0, (i % 8) as u16, format!("key{i:04}").as_bytes());
            assert_eq!(value, Some(format!("value{i}").into_bytes()));
        }
    }
}

#[test]
fn of_a_log_without_a_manifest_and_a_segment_both_sides_stay_and_what_may_be_lost_is_told() {
    let store = TestStore::new(1, 8);
    for round in 0..3 {
        store.apply(&(0..8).map(|i| put_of(i, &format!("key{round}"), "v")).collect::<Vec<_>>());
    }
    std::fs::remove_file(files(&store, 0, "manifest").remove(0)).unwrap();
    std::fs::remove_file(store.shard(0).join("000002.log")).unwrap();
    let text = repaired(&store);
    assert!(text.contains("records stay, from 000001.log on"), "{text}");
    assert!(text.contains("    lost: whatever was logged behind 4294967296:"), "{text}");
    assert!(text.contains(" and before segment 12884901888, if no table has it"), "{text}");
    let keys = live(&store);
    assert_eq!(keys.len(), 16, "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("key1")), "{keys:?}");
}

#[test]
fn a_missing_table_is_named_with_what_it_held() {
    let store = store();
    std::fs::remove_file(&files(&store, 0, "sst")[0]).unwrap();
    let told = missed(&store, ".sst: it is missing, and the manifest names it");
    assert!(told.contains("put it back: `kvtool repair` drops it") && !told.contains("saves what"), "{told}");
    let text = repaired(&store);
    assert!(text.contains("missing, dropped from the manifest") && text.contains("of level"), "{text}");
}

#[test]
fn a_lost_or_damaged_store_file_is_made_anew_from_the_shards() {
    for flip in [None, Some(3), Some(60), Some(75), Some(200)] {
        let store = store();
        let (path, file) = (store.path().join("STORE"), StoreFile::read(store.path()).unwrap());
        let before = live(&store);
        match flip {
            None => std::fs::remove_file(&path).unwrap(),
            Some(at) => {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        missed(&store, "STORE");
        let (text, outcome) = store.kvtool(&["repair", "--dry-run"]);
        assert!(outcome.is_ok() && text.contains("shards 2, partitions 8"), "{text}");
        assert!(StoreFile::read(store.path()).map_or(true, |file| file.is_none()), "nothing was changed");
        let text = repaired(&store);
        assert!(text.contains("STORE is made anew"), "{text}");
        assert_eq!((StoreFile::read(store.path()).unwrap(), live(&store)), (file, before));
    }
}

#[test]
fn a_store_file_that_the_shards_never_heard_of_asks_for_the_partitions() {
    let store = TestStore::new(1, 8);
    store.apply(&[put_of(3, "k", "v")]);
    // As an earlier build left it: the manifest says nothing of the store.
    let manifest = files(&store, 0, "manifest").remove(0);
    let file = StoreFile::read(store.path()).unwrap().unwrap();
    std::fs::remove_file(&manifest).unwrap();
    let (_, outcome) = store.kvtool(&["repair", "--yes"]);
    outcome.unwrap();
    std::fs::remove_file(store.path().join("STORE")).unwrap();
    let (_, outcome) = store.kvtool(&["repair", "--yes"]);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, ToolError::Damage(text) if text.contains("--partitions N")), "{error}");
    let (_, outcome) = store.kvtool(&["repair", "--yes", "--partitions", "8"]);
    outcome.unwrap();
    assert_eq!(StoreFile::read(store.path()).unwrap().unwrap(), file);
    assert_eq!(store.get(0, 3, b"k"), Some(b"v".to_vec()));
}

#[test]
fn a_store_file_of_a_newer_build_is_left_alone() {
    let store = store();
    let path = store.path().join("STORE");
    let text = std::fs::read_to_string(&path).unwrap().replace("format = 3", "format = 9");
    let end = text.find("crc32c = ").unwrap();
    let crc = crc32c::crc32c(&text.as_bytes()[..end]);
    std::fs::write(&path, format!("{}crc32c = \"{crc:08x}\"\n", &text[..end])).unwrap();
    let before = std::fs::read(&path).unwrap();
    let (_, outcome) = store.kvtool(&["repair", "--yes"]);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("use a build that reads format 9") && !error.contains("kvtool repair"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// A copy of a store on a medium that can't be written to.
struct ReadOnly {
    root: tempfile::TempDir,
}

impl ReadOnly {
    /// `None`, with a line that says why, where nothing can be mounted.
    fn mount(of: &Path) -> Option<ReadOnly> {
        let root = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            let done = std::process::Command::new("mount").args(args).arg(root.path()).output();
            done.is_ok_and(|output| output.status.success())
        };
        if !run(&["--bind", of.to_str().unwrap()]) {
            println!("skipped: mounting needs root");
            return None;
        }
        let mounted = ReadOnly { root };
        let root = &mounted.root;
        let remounted = std::process::Command::new("mount")
            .args(["-o", "remount,bind,ro"])
            .arg(root.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !remounted {
            println!("skipped: a read-only mount isn't possible here");
            return None;
        }
        Some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.root.path()).status();
    }
}

#[test]
fn a_store_on_a_read_only_medium_can_be_read() {
    let store = store();
    let expected = live(&store);
    for has_lock in [true, false] {
        let lock = store.path().join("LOCK");
        if has_lock {
            drop(std::fs::write(&lock, b""))
        } else {
            drop(std::fs::remove_file(&lock))
        }
        let Some(medium) = ReadOnly::mount(store.path()) else { return };
        let path = medium.root.path();
        assert!(std::fs::write(path.join("x"), b"").is_err(), "it is read-only");
        for command in ["ls", "verify", "log", "manifest", "stats", "dump"] {
            let (text, outcome) = kvtool(&[command], &[path]);
            outcome.unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(!text.is_empty(), "{command}");
        }
        let (text, outcome) = kvtool(&["dump", "--live", "--keys-only"], &[path]);
        outcome.unwrap();
        assert_eq!(text.lines().count(), expected.len());
        let table = files(&store, 0, "sst")[0].file_name().unwrap().to_owned();
        kvtool(&["inspect"], &[&path.join("shard-000").join(table)]).1.unwrap();
        let (_, outcome) = kvtool(&["compact"], &[path]);
        assert!(outcome.unwrap_err().to_string().contains("LOCK"), "what would write is refused");
    }
}
