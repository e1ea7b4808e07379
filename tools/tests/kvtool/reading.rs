//! Commands that only read: what they print of a store whose contents are known.

use crate::common::{Change, TestStore, kvtool, once, put_of};
use pinion_engine::drive::StoreLock;
use pinion_tools::kvtool::ToolError;
use std::process::{Command, Output};

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
    changes.push(Change::Clear { keyspace: 0, partition: 0 });
    store.apply(&changes);
    store
}

#[track_caller]
fn printed(store: &TestStore, args: &[&str]) -> String {
    let (text, outcome) = store.kvtool(args);
    outcome.unwrap();
    text
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// The text with every run of digits that follows `word` replaced: versions follow the clock.
fn without_number_after(word: &str, text: &str) -> String {
    let mut parts = text.split(word);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str(word);
        result.push('N');
        result.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    result
}

#[test]
fn ls_shows_shards_files_levels_and_key_ranges() {
    let store = store();
    let text = printed(&store, &["ls"]);
    let expected = "\
store 07070707070707070707070707070707: shards 2, partitions 4, layout 0
shard-000
  file             state  level      size  entries  deleted  keys
  000001.manifest  live          20.0 KiB
  000001.log       log           32.0 MiB
  000001.sst       live       6   8.0 KiB      200        0  0/0/key0000 .. 0/3/key0399
shard-001
  file             state  level      size  entries  deleted  keys
  000001.manifest  live          20.0 KiB
  000001.log       log           32.0 MiB
  000001.sst       live       6   8.0 KiB      200        0  0/1/key0001 .. 0/2/key0398
";
    assert_eq!(text, expected);
    let listing = json(&printed(&store, &["ls", "--json"]));
    assert_eq!(listing["store"]["partitions"], 4);
    assert_eq!(listing["shards"][1]["files"][2]["first"]["key"]["text"], "key0001");
}

#[test]
fn dump_shows_every_version_in_order_and_escapes_keys() {
    let store = store();
    let text = printed(&store, &["dump", "--partition", "1"]);
    let lines: Vec<String> = text.lines().map(|line| without_number_after("version ", line)).collect();
    assert_eq!(
        lines[..5],
        [
            "0/1/key0001  version N  value  newer",
            "0/1/key0001  version N  value  value 1",
            "0/1/key0005  version N  tombstone",
            "0/1/key0005  version N  value  value 5",
            "0/1/key0009  version N  value  value 9",
        ]
    );
    let cut = format!("{}... (100 bytes)", "x".repeat(48));
    let last = format!("3/1/\\x00\\xff  version N  value  expires 2096-10-02T07:06:40.000Z  {cut}");
    assert_eq!(lines.last().unwrap(), &last);
    assert_eq!(lines.len(), 103);
}

#[test]
fn dump_of_live_entries_leaves_out_what_readers_do_not_see() {
    let store = store();
    let live = printed(&store, &["dump", "--live", "--keys-only"]);
    // 400 keys, less 100 cleared and one deleted, and one in another keyspace.
    assert_eq!(live.lines().count(), 300);
    assert!(!live.contains("key0005") && !live.contains("0/0/"), "{live}");
    let cleared = printed(&store, &["dump", "--partition", "0", "--limit", "1"]);
    assert!(cleared.starts_with("0/0/ .. 0/0#1/  version "), "{cleared}");
    assert!(cleared.lines().next().is_some_and(|line| line.ends_with("  range_tombstone")), "{cleared}");
}

#[test]
fn dump_as_json_is_one_line_an_entry() {
    let store = store();
    let text = printed(&store, &["dump", "--json", "--keyspace", "3"]);
    let item = json(text.trim_end());
    assert_eq!(item["key"]["hex"], "00ff");
    assert_eq!(
        (item["value_bytes"].as_u64(), item["expires_ms"].as_u64()),
        (Some(100), Some(4_000_000_000_000))
    );
    assert_eq!(item["value"]["text"].as_str().map(str::len), Some(100));
}

#[test]
fn dump_picks_keys_by_prefix_and_ends_at_the_limit() {
    let store = store();
    let text = printed(&store, &["dump", "--prefix", "key039", "--keys-only", "--live"]);
    let keys: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let expected = [
        "0/3/key0391",
        "0/3/key0395",
        "0/3/key0399",
        "0/1/key0393",
        "0/1/key0397",
        "0/2/key0390",
        "0/2/key0394",
        "0/2/key0398",
    ];
    assert_eq!(keys, expected);
    assert_eq!(printed(&store, &["dump", "--limit", "7", "--live"]).lines().count(), 7);
}

#[test]
fn range_tombstones_dont_use_the_limit_up() {
    let store = store();
    store.apply(&(0..4).map(|partition| Change::Clear { keyspace: 0, partition }).collect::<Vec<_>>());
    let text = printed(&store, &["dump", "--prefix", "key0390", "--limit", "1"]);
    let (ranges, entries): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.ends_with("range_tombstone"));
    assert!(ranges.len() >= 4, "a whole partition's deletion touches every prefix: {text}");
    assert!(entries.len() == 1 && entries[0].starts_with("0/2/key0390  "), "{text}");
    let text = printed(&store, &["dump", "--keyspace", "3", "--limit", "1"]);
    assert!(text.lines().count() == 1 && text.starts_with("3/1/"), "{text}");
}

#[test]
fn inspect_shows_the_parts_of_a_table() {
    let store = store();
    let table = store.shard(0).join("000001.sst");
    let (text, outcome) = kvtool(&["inspect", "--blocks"], &[&table]);
    outcome.unwrap();
    for part in ["blocks", "index", "filter", "properties", "footer"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(part)), "{part}: {text}");
    }
    assert!(text.contains("entries 200 in 2 blocks, 0 of them tombstones"), "{text}");
    assert!(text.contains("first key") && text.contains("0/0/key0000"), "{text}");
    let (_, outcome) = kvtool(&["inspect"], &[store.path()]);
    assert!(matches!(outcome, Err(ToolError::Usage(_))), "{outcome:?}");
}

#[test]
fn log_shows_parts_records_and_operations() {
    let store = store();
    let text = printed(&store, &["log", "--ops"]);
    for part in [
        "segment 000001.log: generation",
        "    part ",
        "entry partition 1 term 1 index",
        "tombstone 0/key0005 version",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let items = printed(&store, &["log", "--json"]);
    let records = items.lines().filter(|line| json(line)["item"] == "record").count();
    assert!(records >= 404, "{records}");
}

#[test]
fn log_and_manifest_show_which_requests_are_done_once() {
    let store = store();
    let request = once(1);
    assert_eq!(store.add_once(1, b"counter", &request).number, Some(1));
    let text = printed(&store, &["log"]);
    let says: Vec<&str> = text.lines().filter(|line| line.contains("done once")).collect();
    assert!(says.len() == 1 && says[0].ends_with(", 1 request done once"), "{text}");
    let client: String = request.client.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let named = format!("once client {client} number {}, first sent", request.number);
    assert!(text.contains(&named), "{named}: {text}");
    let lines = printed(&store, &["log", "--json"]);
    let numbers =
        lines.lines().flat_map(|line| json(line)["once"]["requests"].as_array().cloned().unwrap_or_default());
    let numbers: Vec<_> = numbers.filter_map(|request| request["number"].as_u64()).collect();
    assert_eq!(numbers, [request.number]);
    store.apply(&[Change::Settle]);
    assert!(printed(&store, &["manifest"]).contains("  once  clock"));
    let manifests = printed(&store, &["manifest", "--json"]);
    let groups = manifests.lines().flat_map(|line| json(line)["groups"].as_array().unwrap().clone());
    let remembered =
        groups.filter_map(|group| Some((group["partition"].as_u64()?, group["requests"].as_u64()?)));
    assert_eq!(remembered.collect::<Vec<_>>(), [(1, 1)]);
}

#[test]
fn manifest_shows_edits_and_the_state_they_come_to() {
    let store = store();
    let text = printed(&store, &["manifest"]);
    assert!(text.contains("+000001 level"), "{text}");
    assert!(text.contains("partition"), "{text}");
    let file = store.shard(1).join("000001.manifest");
    let (text, outcome) = kvtool(&["manifest", "--json"], &[&file]);
    outcome.unwrap();
    assert_eq!(json(&text)["tables"][0]["table"], 1);
}

#[test]
fn stats_sum_up_tables_and_what_the_logs_hold_beyond_them() {
    let store = store();
    let stats = json(&printed(&store, &["stats", "--json"]));
    let total = &stats["total"];
    assert_eq!((total["entries"].as_u64(), total["unflushed_entries"].as_u64()), (Some(400), Some(3)));
    assert_eq!((total["tables"].as_u64(), total["range_tombstones"].as_u64()), (Some(2), Some(1)));
    assert!(printed(&store, &["stats"]).contains("partitions written 4"));
}

#[test]
fn compact_merges_what_the_logs_held_into_the_tables() {
    let store = store();
    let text = printed(&store, &["compact"]);
    assert!(text.starts_with("shard"), "{text}");
    let stats = json(&printed(&store, &["stats", "--json"]));
    assert_eq!(stats["total"]["unflushed_entries"], 0);
    let live = printed(&store, &["dump", "--live", "--keys-only"]);
    assert_eq!(live.lines().count(), 300);
}

#[test]
fn a_store_in_use_is_refused() {
    let store = store();
    let _lock = StoreLock::acquire(store.path()).unwrap();
    for command in ["ls", "dump", "verify", "stats", "compact"] {
        let (_, outcome) = store.kvtool(&[command]);
        assert!(outcome.unwrap_err().to_string().contains("in use by process"), "{command}");
    }
    // So is a shard of it, and a file of that.
    let (_, outcome) = kvtool(&["ls"], &[&store.shard(0)]);
    outcome.unwrap_err();
    let (_, outcome) = kvtool(&["inspect"], &[&store.shard(0).join("000001.sst")]);
    outcome.unwrap_err();
}

#[test]
fn a_shard_copied_out_of_its_store_can_be_read() {
    let store = store();
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(store.shard(1)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let (text, outcome) = kvtool(&["verify"], &[copy.path()]);
    assert!(outcome.is_ok(), "{text}");
    let (text, outcome) = kvtool(&["dump", "--live"], &[copy.path()]);
    outcome.unwrap();
    assert!(text.contains("0/1/key0001") && !text.contains("0/0/"));
}

fn process(store: &TestStore, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kvtool")).args(args).arg(store.path()).output().unwrap()
}

#[test]
fn exit_codes_tell_success_damage_and_wrong_usage() {
    let store = store();
    assert_eq!(process(&store, &["verify"]).status.code(), Some(0));
    assert_eq!(process(&store, &["verify", "--nonsense"]).status.code(), Some(2));
    assert_eq!(process(&store, &["inspect"]).status.code(), Some(2));
    assert_eq!(process(&store, &["reshard", "--shards", "9"]).status.code(), Some(2));
    assert_eq!(process(&store, &["ls", "/nonexistent"]).status.code(), Some(2));
    let table = store.shard(0).join("000001.sst");
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let verified = process(&store, &["verify"]);
    assert_eq!(verified.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&verified.stderr), "kvtool: 1 damage was found\n");
    let repair = process(&store, &["repair"]);
    assert_eq!(repair.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&repair.stderr).contains("add --yes"));
}

#[test]
fn help_has_examples() {
    let help = Command::new(env!("CARGO_BIN_EXE_kvtool")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("kvtool verify pinion-data"), "{help}");
}
