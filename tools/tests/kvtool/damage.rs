//! Damage: what verify says of it, and what repair saves.

use crate::common::{Change, TestStore, now_us, once, put_of};
use pinion_engine::drive::OsDir;
use pinion_engine::shard::request::Once;
use pinion_engine::table::Table;
use pinion_tools::kvtool::ToolError;
use std::path::{Path, PathBuf};

/// One shard with one table of 3000 entries, and ten newer entries in the log.
fn store() -> TestStore {
    let store = TestStore::new(1, 4);
    let mut changes: Vec<Change> =
        (0..3000).map(|i| put_of(1, &format!("key{i:04}"), &"v".repeat(50))).collect();
    changes.push(Change::Settle);
    store.apply(&changes);
    store.apply(&(0..10).map(|i| put_of(2, &format!("logged{i}"), "v")).collect::<Vec<_>>());
    store
}

fn table_of(store: &TestStore) -> PathBuf {
    let mut names: Vec<_> = std::fs::read_dir(store.shard(0)).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "sst"));
    assert_eq!(names.len(), 1);
    names.remove(0)
}

fn tamper(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn live(store: &TestStore) -> Vec<String> {
    let (text, outcome) = store.kvtool(&["dump", "--live", "--keys-only"]);
    outcome.unwrap();
    text.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect()
}

#[track_caller]
fn repaired(store: &TestStore) -> String {
    let (text, outcome) = store.kvtool(&["repair", "--yes"]);
    outcome.unwrap();
    let (report, outcome) = store.kvtool(&["verify"]);
    assert!(outcome.is_ok(), "{report}");
    // The engine agrees.
    assert_eq!(store.get(0, 0, b"none"), None);
    text
}

fn kept(store: &TestStore, file: &str) -> PathBuf {
    let asides = std::fs::read_dir(store.path()).unwrap().map(|entry| entry.unwrap().path());
    let aside = asides.into_iter().find(|path| path.to_string_lossy().contains("/repair-")).unwrap();
    aside.join("shard-000").join(file)
}

#[test]
fn a_sound_store_is_verified_and_left_alone_by_repair() {
    let store = store();
    let (text, outcome) = store.kvtool(&["verify"]);
    outcome.unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.trim_start().starts_with("1 ") && last.ends_with(" 0"), "{text}");
    let (text, outcome) = store.kvtool(&["repair"]);
    outcome.unwrap();
    assert_eq!(text, "nothing is damaged; nothing was changed\n");
}

#[test]
fn verify_names_every_damaged_block_and_what_it_holds() {
    let store = store();
    let path = table_of(&store);
    let number = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let table = Table::open(&OsDir::open(store.shard(0)).unwrap(), number, false).unwrap();
    let (first, second) = (table.block_ref(2), table.block_ref(7));
    tamper(&path, |bytes| {
        bytes[first.offset as usize + 20] ^= 1;
        bytes[second.offset as usize + 30] ^= 4;
    });
    let (text, outcome) = store.kvtool(&["verify", "--json"]);
    assert!(matches!(outcome, Err(ToolError::Damage(text)) if text.contains('2')));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let damage = report["damage"].as_array().unwrap();
    let offsets: Vec<_> = damage.iter().map(|finding| finding["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [first.offset, second.offset]);
    let means = damage[0]["means"].as_str().unwrap();
    assert!(means.contains("0/1/key0") && means.contains("can't be read"), "{means}");
}

#[test]
fn repair_keeps_all_but_the_damaged_block() {
    let store = store();
    let (path, before) = (table_of(&store), live(&store));
    let original = std::fs::read(&path).unwrap();
    tamper(&path, |bytes| bytes[10_000] ^= 1);
    let damaged = std::fs::read(&path).unwrap();
    assert_ne!(original, damaged);
    let text = repaired(&store);
    let after = live(&store);
    assert!(text.contains("entries stay") && text.contains("lost: entries between 0/1/key"), "{text}");
    assert!(after.len() > before.len() - 100 && after.len() < before.len(), "{}", after.len());
    assert!(after.iter().all(|key| before.contains(key)));
    assert_eq!(std::fs::read(kept(&store, path.file_name().unwrap().to_str().unwrap())).unwrap(), damaged);
}

#[test]
fn a_table_without_a_footer_is_rebuilt_from_its_blocks() {
    let store = store();
    let before = live(&store);
    tamper(&table_of(&store), |bytes| {
        let end = bytes.len();
        bytes[end - 96..].fill(0);
    });
    let (text, outcome) = store.kvtool(&["verify"]);
    outcome.unwrap_err();
    assert!(text.contains("can't be opened"), "{text}");
    let text = repaired(&store);
    assert!(text.contains("3000 entries stay") && text.contains("range deletions"), "{text}");
    assert_eq!(live(&store), before);
}

#[test]
fn a_missing_table_is_reported_and_forgotten() {
    let store = store();
    std::fs::remove_file(table_of(&store)).unwrap();
    let (text, outcome) = store.kvtool(&["verify"]);
    outcome.unwrap_err();
    assert!(text.contains(".sst: it is missing"), "{text}");
    let text = repaired(&store);
    assert!(text.contains("missing, dropped from the manifest"), "{text}");
    assert_eq!(live(&store).len(), 10);
}

#[test]
fn a_table_of_which_nothing_is_left_is_moved_aside() {
    let store = store();
    tamper(&table_of(&store), |bytes| bytes.fill(0xa5));
    let text = repaired(&store);
    assert!(text.contains("nothing of it can be read"), "{text}");
    assert_eq!(live(&store).len(), 10);
}

#[test]
fn a_damaged_log_is_cut_and_what_went_is_counted() {
    let store = store();
    let (log, start) = last_log(&store);
    tamper(&log, |bytes| bytes[start + 100] ^= 1);
    let (text, outcome) = store.kvtool(&["verify"]);
    outcome.unwrap_err();
    assert!(text.contains(".log at offset") && text.contains("can't be replayed"), "{text}");
    let text = repaired(&store);
    assert!(text.contains("lost:") && text.contains("records in"), "{text}");
    assert!(live(&store).len() >= 3000);
}

/// The log file with the newest parts, and where its first one begins.
fn last_log(store: &TestStore) -> (PathBuf, usize) {
    let (text, outcome) = store.kvtool(&["log", "--json"]);
    outcome.unwrap();
    let (mut file, mut found) = (String::new(), None);
    for line in text.lines() {
        let item: serde_json::Value = serde_json::from_str(line).unwrap();
        match item["item"].as_str().unwrap() {
            "segment" => file = item["file"].as_str().unwrap().to_owned(),
            "part" if found.as_ref().is_none_or(|(known, _)| *known != file) => {
                found = Some((file.clone(), item["at"]["offset"].as_u64().unwrap() as usize));
            }
            _ => {}
        }
    }
    let (file, start) = found.unwrap();
    (store.shard(0).join(file), start)
}

fn manifest_of(store: &TestStore) -> PathBuf {
    let paths = std::fs::read_dir(store.shard(0)).unwrap().map(|entry| entry.unwrap().path());
    paths.into_iter().find(|path| path.extension().is_some_and(|e| e == "manifest")).unwrap()
}

#[test]
fn a_shard_with_a_damaged_manifest_is_rebuilt_from_tables_and_log() {
    let store = store();
    let before = live(&store);
    let (text, outcome) = store.kvtool(&["manifest", "--json"]);
    outcome.unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let records = manifest["records"].as_array().unwrap();
    assert!(records.len() >= 3, "{text}");
    let offset = records[1]["offset"].as_u64().unwrap() as usize;
    tamper(&manifest_of(&store), |bytes| bytes[offset + 50] ^= 1);
    let (text, outcome) = store.kvtool(&["verify"]);
    outcome.unwrap_err();
    assert!(text.contains(".manifest at offset"), "{text}");
    let text = repaired(&store);
    assert!(text.contains("built anew from 1 table and the log: 3010 entries"), "{text}");
    assert_eq!(live(&store), before);
    assert!(kept(&store, "before").join("000001.manifest").is_file());
}

#[test]
fn a_shard_whose_manifest_is_gone_is_rebuilt_though_a_table_is_damaged_too() {
    let store = store();
    let before = live(&store);
    std::fs::remove_file(manifest_of(&store)).unwrap();
    tamper(&table_of(&store), |bytes| bytes[10_000] ^= 1);
    let text = repaired(&store);
    assert!(text.contains("built anew") && text.contains("entries stay"), "{text}");
    // What the log still has makes up for the block.
    assert!(live(&store).len() > before.len() - 100);
}

#[test]
fn a_rebuilt_shard_hands_out_versions_above_all_that_it_holds() {
    let store = store();
    tamper(&manifest_of(&store), |bytes| bytes[4100] ^= 1);
    repaired(&store);
    store.apply(&[put_of(1, "key0000", "newest")]);
    assert_eq!(store.get(0, 1, b"key0000"), Some(b"newest".to_vec()));
    store.apply(&[Change::Delete { keyspace: 0, partition: 1, key: b"key0001".to_vec() }, Change::Settle]);
    assert_eq!(store.get(0, 1, b"key0001"), None);
}

#[test]
fn what_a_rebuilt_shard_may_have_done_before_is_never_done_again() {
    let store = store();
    let (first, second) = (once(1), once(2));
    assert_eq!(store.add_once(1, b"counter", &first).number, Some(1));
    store.apply(&[Change::Settle]);
    // In tables is what it did, and nowhere that it was done.
    for file in std::fs::read_dir(store.shard(0)).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "log" || extension == "manifest") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let begun_us = now_us();
    repaired(&store);
    let again = |request| Once { is_again: true, ..request };
    for (partition, request) in [(1, first), (1, second), (3, second)] {
        let answer = store.add_once(partition, b"counter", &again(request));
        assert!(answer.refused.is_some_and(|why| why.contains("Forgotten")), "{:?}", answer.number);
    }
    let refused = store.add_once(1, b"counter", &second).refused.expect("it is older than the repair");
    assert!(refused.contains("WrongTime"), "{refused}");
    let (text, outcome) = store.kvtool(&["manifest", "--json"]);
    outcome.unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    for group in manifest["groups"].as_array().unwrap() {
        let floor_us = group["requests_floor_us"].as_u64().unwrap();
        assert!(
            (begun_us..=now_us() + 1_000_000).contains(&floor_us),
            "what comes from now on is done: {group}"
        );
    }
}

#[test]
fn what_a_rebuilt_shard_finds_in_its_log_is_answered_again() {
    let store = store();
    let request = once(1);
    assert_eq!(store.add_once(1, b"counter", &request).number, Some(1));
    std::fs::remove_file(manifest_of(&store)).unwrap();
    repaired(&store);
    assert_eq!(store.add_once(1, b"counter", &request).number, Some(1));
    assert_eq!(store.get(0, 1, b"counter"), Some(b"1".to_vec()));
}

#[test]
fn a_dry_run_changes_nothing() {
    let store = store();
    let path = table_of(&store);
    tamper(&path, |bytes| bytes[10_000] ^= 1);
    let damaged = std::fs::read(&path).unwrap();
    let (text, outcome) = store.kvtool(&["repair", "--dry-run"]);
    outcome.unwrap();
    assert!(text.contains("the checksum of a block is wrong"), "{text}");
    assert!(text.contains("can't be read; `kvtool repair` keeps the others"), "what that costs: {text}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}

#[test]
fn verify_of_one_file_finds_its_damage_alone() {
    let store = store();
    let path = table_of(&store);
    tamper(&path, |bytes| bytes[10_000] ^= 1);
    let (_, outcome) = crate::common::kvtool(&["verify"], &[&path]);
    outcome.unwrap_err();
    let log = last_log(&store).0;
    let (text, outcome) = crate::common::kvtool(&["verify"], &[&log]);
    assert!(outcome.is_ok(), "{text}");
}
