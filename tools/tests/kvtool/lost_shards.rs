//! Shards that are lost, or seem to be: what tells the one from the other.

use crate::common::TestStore;
use crate::lost::{files, live, missed, repaired, store};
use pinion_engine::drive::{StoreFile, shard_words};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// As an earlier build left it, or a first start that was cut off.
fn forget_made(store: &TestStore) {
    let file = StoreFile::read(store.path()).unwrap().unwrap();
    StoreFile { is_made: false, ..file }.write(store.path()).unwrap();
}

#[test]
fn a_shard_is_missed_though_the_store_file_doesnt_say_that_it_was_made_if_another_holds_anything() {
    for is_emptied in [false, true] {
        let store = store();
        forget_made(&store);
        std::fs::remove_dir_all(store.shard(1)).unwrap();
        if is_emptied {
            std::fs::create_dir(store.shard(1)).unwrap();
        }
        let told = missed(&store, "shard-001");
        assert!(!told.contains("first start was cut off"), "{told}");
        assert!(repaired(&store).contains("lost: every key of partitions "));
    }
    let store = TestStore::new(2, 8);
    store.apply(&[]);
    forget_made(&store);
    std::fs::remove_dir_all(store.shard(1)).unwrap();
    missed(&store, "first start was cut off");
    let (text, outcome) = store.kvtool(&["repair", "--yes"]);
    assert!(outcome.is_ok() && text.contains("nothing is damaged"), "{text}");
    assert!(!store.shard(1).exists(), "the server makes it");
}

#[test]
fn a_shard_without_a_file_isnt_resharded_away() {
    for says_made in [true, false] {
        let store = store();
        let before: BTreeSet<String> = live(&store).into_iter().collect();
        let aside = store.path().join("aside");
        std::fs::rename(store.shard(1), &aside).unwrap();
        std::fs::create_dir(store.shard(1)).unwrap();
        if !says_made {
            forget_made(&store);
        }
        let (_, outcome) = store.kvtool(&["reshard", "--shards", "3"]);
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("shard-001: all files of the shard are missing"), "{error}");
        std::fs::remove_dir(store.shard(1)).unwrap();
        std::fs::rename(&aside, store.shard(1)).unwrap();
        store.kvtool(&["reshard", "--shards", "3"]).1.unwrap();
        assert_eq!(live(&store).into_iter().collect::<BTreeSet<_>>(), before);
    }
}

#[test]
fn a_repair_that_was_cut_off_between_its_renames_is_completed_and_not_taken_for_a_loss() {
    let store = store();
    let before = live(&store);
    std::fs::remove_file(&files(&store, 0, "manifest")[0]).unwrap();
    repaired(&store);
    // The rebuilt shard isn't in its place yet.
    let names = std::fs::read_dir(store.path()).unwrap().map(|entry| entry.unwrap().path());
    let repairs = names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("repair-"));
    let parts: Vec<PathBuf> = repairs.map(|path| path.join("shard-000")).collect();
    let rebuilt = parts.iter().find(|part| part.join("before").is_dir()).unwrap().join("rebuilt");
    std::fs::rename(store.shard(0), &rebuilt).unwrap();
    let (_, outcome) = store.kvtool(&["repair", "--yes"]);
    let error = outcome.unwrap_err().to_string();
    let command = format!("`mv {} {}`", rebuilt.display(), store.path().join("shard-000").display());
    assert!(error.contains(&command) && error.contains("before"), "{error}");
    std::fs::rename(&rebuilt, store.shard(0)).unwrap();
    assert_eq!(live(&store), before);
    // It was put in place: what is lost afterwards is lost.
    std::fs::remove_dir_all(store.shard(0)).unwrap();
    assert!(repaired(&store).contains("lost: every key of partitions "));
}

#[test]
fn a_rebuilt_shard_knows_its_store_if_its_manifest_said_it_and_otherwise_takes_the_others_word() {
    for is_gone in [false, true] {
        let store = store();
        let path = files(&store, 0, "manifest").remove(0);
        if is_gone {
            std::fs::remove_file(&path).unwrap();
        } else {
            let (text, _) = store.kvtool(&["manifest", "--json"]);
            let manifest: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let records = manifest["records"].as_array().unwrap();
            let offset = records[records.len() - 2]["offset"].as_u64().unwrap() as usize;
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[offset + 50] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        let (text, outcome) = store.kvtool(&["repair", "--yes"]);
        assert!(outcome.is_ok() && text.contains("built anew from"), "{text}");
        let file = StoreFile::read(store.path()).unwrap().unwrap();
        let words = shard_words(store.path()).unwrap();
        assert_eq!(words[0].membership, (!is_gone).then_some(file.membership(0)));
        std::fs::remove_file(store.path().join("STORE")).unwrap();
        let (_, outcome) = store.kvtool(&["repair", "--yes"]);
        outcome.unwrap();
        assert_eq!(StoreFile::read(store.path()).unwrap().unwrap(), file);
    }
}
