//! Commands that only read.

use crate::common::{Change, TestStore, kvtool, put_of};
use pinion_engine::drive::StoreLock;
use pinion_tools::kvtool::ToolError;

/// Two shards, four partitions; entries in tables and, newer ones, in the logs.
fn store() -> TestStore {
    let store = TestStore::new(2, 4);
    let mut changes: Vec<Change> =
        (0..400).map(|i| put_of(i % 4, &format!("key{i:04}"), &format!("value {i}"))).collect();
    changes.push(Change::Settle);
    changes.push(put_of(1, "key0001", "newer"));
    changes.push(Change::Delete { keyspace: 0, partition: 1, key: b"key0005".to_vec() });
    let (key, value) = (b"\x00\xff".to_vec(), vec![b'x'; 100]);
    changes.push(Change::Put { keyspace: 3, partition: 1, key, value, expires_ms: Some(4_000_000_000_000) });
    store.apply(&changes);
    store
}

#[test]
fn ls_shows_shards_files_levels_and_key_ranges() {
    let store = store();
    let (text, outcome) = store.kvtool(&["ls"]);
    outcome.unwrap();
    println!("{text}");
}
