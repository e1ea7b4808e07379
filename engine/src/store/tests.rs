//! Both faces over real files.

use super::*;
use crate::clock::{BootId, BootTime, ClockStamp, GAP_US_MAX};
use crate::drive::blocking::publish;
use crate::drive::{OsDir, StoreFile};
use crate::error::Error;
use crate::manifest::{Edit, Manifest};
use crate::offline::ShardTime;
use crate::shard::Durability;
use crate::shard::request::PutExpiry;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

fn small(durability: Durability) -> StoreOptions {
    StoreOptions { durability, memory_bytes: 16 << 20, ..StoreOptions::default() }
}

#[test]
fn a_local_store_keeps_everything_over_reopening() {
    for durability in [Durability::Sync, Durability::IntervalMs(100), Durability::None] {
        let dir = tempfile::tempdir().unwrap();
        let mut model = BTreeMap::new();
        for life in 0..3_u32 {
            let mut store = LocalStore::open(dir.path(), small(durability)).unwrap();
            for number in 0..2000_u32 {
                let key = (number * 7919 % 5000).to_be_bytes();
                let value = vec![life as u8; 500 + number as usize % 700];
                // A commit of its own for each put would make this test wait for the disk.
                let updates: Vec<_> = [(&key[..], put(&value, PutExpiry::Never))].into();
                if durability != Durability::Sync || number % 100 == 0 {
                    store.write(&updates).unwrap();
                    model.insert(key.to_vec(), value);
                }
            }
            store.settle().unwrap();
            let found = store.scan(b"", b"", usize::MAX).unwrap();
            let found: BTreeMap<_, _> = found.into_iter().map(|item| (item.key, item.value)).collect();
            assert_eq!(found, model);
            store.close().unwrap();
        }
    }
}

#[test]
fn many_threads_count_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small(Durability::Sync)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let mut store = store.clone();
            scope.spawn(move || (0..50).for_each(|_| assert!(store.increment(b"n", 1).unwrap() > 0)));
        }
    });
    assert_eq!(store.clone().increment(b"n", 0).unwrap(), 800);
    let stats = store.stats().unwrap();
    assert!(stats.log_writes < 800, "{} commits: writers share them", stats.log_writes);
    store.close().unwrap();
    let mut again = LocalStore::open(dir.path(), small(Durability::Sync)).unwrap();
    assert_eq!(again.increment(b"n", 0).unwrap(), 800);
}

#[test]
fn a_second_opener_is_refused_until_the_first_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let first = LocalStore::open(dir.path(), small(Durability::Sync)).unwrap();
    let refused = LocalStore::open(dir.path(), small(Durability::Sync)).err().unwrap().to_string();
    assert!(refused.contains("in use"), "{refused}");
    drop(first);
    LocalStore::open(dir.path(), small(Durability::Sync)).unwrap();
}

#[test]
fn refusals_come_as_errors_that_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LocalStore::open(dir.path(), small(Durability::None)).unwrap();
    store.put(b"word", b"abc").unwrap();
    let refused = store.increment(b"word", 1).unwrap_err().to_string();
    assert!(refused.contains("not an integer"), "{refused}");
    let refused = store.put(b"", b"x").unwrap_err().to_string();
    assert!(refused.contains("65,535"), "{refused}");
    let refused = store.put(b"k", &vec![0; (16 << 20) + 1]).unwrap_err().to_string();
    assert!(refused.contains("16,777,216 bytes"), "{refused}");
}

#[test]
fn a_scan_gives_no_more_items_than_asked_for_and_none_for_a_limit_of_0() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LocalStore::open(dir.path(), small(Durability::None)).unwrap();
    for key in [b"a", b"b", b"c"] {
        store.put(key, b"x").unwrap();
    }
    let counts = [0, 1, 2, 5].map(|limit| store.scan(b"", b"", limit).unwrap().len());
    assert_eq!(counts, [0, 1, 2, 3]);
}

#[test]
fn too_little_memory_is_refused_with_what_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    for memory_bytes in [0, (16 << 20) - 1] {
        let options = StoreOptions { memory_bytes, ..small(Durability::None) };
        let refused = LocalStore::open(dir.path(), options).err().unwrap().to_string();
        assert!(refused.contains("16 MiB") && refused.contains("memory_bytes"), "{refused}");
    }
}

#[test]
fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small(Durability::None)).unwrap();
    let mut other = store.clone();
    store.close().unwrap();
    assert!(matches!(other.get(b"k"), Err(Error::Closed)));
}

#[test]
fn what_a_store_consists_of_is_for_its_owner_only() {
    use std::os::unix::fs::MetadataExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("store");
    let mut store = LocalStore::open(&dir, small(Durability::Sync)).unwrap();
    store.put(b"k", b"v").unwrap();
    let mut left = vec![dir];
    let mut files = 0;
    while let Some(path) = left.pop() {
        let meta = std::fs::metadata(&path).unwrap();
        let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.mode() & 0o777, wanted, "{}", path.display());
        files += usize::from(meta.is_file());
        if meta.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(files >= 4, "STORE, LOCK, a log and a manifest: {files}");
}

/// As a device does that rots, and a kernel that reads what it had dropped from its cache once more.
#[test]
fn bits_that_flip_behind_a_table_in_memory_are_never_read_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LocalStore::open(dir.path(), small(Durability::None)).unwrap();
    let value = |number: u32| number.to_be_bytes().repeat(100);
    for number in 0..2000_u32 {
        store.put(&number.to_be_bytes(), &value(number)).unwrap();
    }
    store.settle().unwrap();
    let stats = store.stats();
    assert!(stats.resident_bytes > 2000 * 400 && stats.memtable_bytes < 4000, "{stats:?}");
    let shard = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let shard = shard.into_iter().find(|path| path.is_dir()).unwrap();
    let files = std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
    let tables: Vec<_> = files.filter(|path| path.extension().is_some_and(|is| is == "sst")).collect();
    assert!(!tables.is_empty());
    for path in tables {
        let bytes: Vec<u8> = std::fs::read(&path).unwrap().iter().map(|byte| byte ^ 4).collect();
        let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
    }
    for number in 0..2000_u32 {
        match store.get(&number.to_be_bytes()) {
            Ok(read) => assert_eq!(read, Some(value(number)), "{number}"),
            Err(error) => assert!(error.to_string().contains("damaged"), "{number}: {error}"),
        }
    }
}

/// Makes a store say that it was last written to two days ago, in another boot.
fn as_of_another_boot(dir: &Path) {
    let file = StoreFile::read(dir).unwrap().unwrap();
    let (path, id) = (file.shard_dir(dir, 0), file.shard_id(0));
    let mut shard_dir = OsDir::open(&path).unwrap();
    let stamp = ShardTime::read(&shard_dir, id).unwrap().stamp.unwrap();
    let later = ClockStamp {
        shard_us: stamp.shard_us + 1,
        wall_us: stamp.wall_us - 2 * GAP_US_MAX,
        boot: BootTime { id: BootId([9; 16]), us: 1 },
        ..stamp
    };
    let (mut manifest, _) = Manifest::recover(&mut shard_dir, id).unwrap();
    publish(&mut shard_dir, &mut manifest, Edit { clock: Some(later), ..Edit::default() }).unwrap();
}

#[test]
fn a_jump_of_the_clock_is_refused_until_somebody_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LocalStore::open(dir.path(), small(Durability::Sync)).unwrap();
    store.put_with_ttl(b"k", b"v", Duration::from_secs(3600)).unwrap();
    store.close().unwrap();
    as_of_another_boot(dir.path());
    let refused = LocalStore::open(dir.path(), small(Durability::Sync)).err();
    assert!(matches!(refused, Some(Error::TimeJump { hours: 48, .. })), "{refused:?}");
    let ignoring = StoreOptions { time_jump: TimeJump::Ignore, ..small(Durability::Sync) };
    let mut store = LocalStore::open(dir.path(), ignoring).unwrap();
    assert_eq!(store.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
    store.close().unwrap();
    let mut store = LocalStore::open(dir.path(), small(Durability::Sync)).unwrap();
    assert!(store.get(b"k").unwrap().is_some(), "what was said once is written down");
    store.close().unwrap();
    as_of_another_boot(dir.path());
    let following = StoreOptions { time_jump: TimeJump::Follow, ..small(Durability::Sync) };
    assert_eq!(LocalStore::open(dir.path(), following).unwrap().get(b"k").unwrap(), None);
}
