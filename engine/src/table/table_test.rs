//! Tables against a sorted map.

use super::test_dir::{MemoryDir, Model, build, entries, get};
use super::{BlockCache, BlockCursor, Compression, Table};
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use crate::key::{Entry, Expiry, Kind, RangeTombstone, Stamp, Version};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::sync::Arc;

const NUMBER: u64 = 42;

/// The table in all the ways it can be there: paged and resident, fresh and reopened.
fn faces(dir: &MemoryDir, fresh: Table) -> Vec<Table> {
    let file = dir.files[&FileName::Table(NUMBER)].as_slice();
    let resident = fresh.with_residency(Some(file.into())).expect("the file is whole");
    let paged = resident.with_residency(None).expect("nothing is read");
    let open = |resident| Table::open(dir, NUMBER, resident).expect("the file is whole");
    vec![fresh, resident, paged, open(false), open(true)]
}

fn block_of(dir: &MemoryDir, table: &Table, i: usize, cache: &mut BlockCache) -> Arc<super::Block> {
    if let Some(block) = table.block(i, cache).expect("the table is whole") {
        return block;
    }
    let at = table.block_ref(i);
    let raw = dir.read(FileName::Table(at.table), at.offset, at.len as usize).expect("the file is there");
    cache.insert(at, table.decode_block(at, &raw).expect("the block is whole"))
}

/// Everything at or behind `key` and `at`, as a scan reads it.
fn scan<'m>(
    dir: &MemoryDir,
    table: &Table,
    key: &[u8],
    at: Version,
    mut expected: impl Iterator<Item = Entry<'m>>,
    limit: usize,
) {
    let mut cache = BlockCache::new(1 << 16);
    let mut count = 0;
    for i in table.find_block_at(key, at).unwrap_or(table.blocks())..table.blocks() {
        let mut cursor = BlockCursor::new(block_of(dir, table, i, &mut cache));
        cursor.seek_at(key, at);
        while let Some(entry) = cursor.entry() {
            assert_eq!(Some(entry), expected.next());
            cursor.next();
            count += 1;
            if count == limit {
                return;
            }
        }
    }
    assert_eq!(expected.next(), None);
}

fn check_all(model: &Model, compression: Compression, probes: &[(Vec<u8>, u64)]) {
    let (dir, fresh) =
        build(NUMBER, compression, |builder| entries(model).for_each(|entry| builder.add(entry)));
    for table in faces(&dir, fresh) {
        let mut cache = BlockCache::new(1 << 16);
        assert_eq!(table.meta().entries, model.len() as u64);
        scan(&dir, &table, b"", Version::MAX, entries(model), usize::MAX);
        let own = model.keys().map(|(key, Reverse(version))| (key.clone(), *version));
        let below = model.keys().map(|(key, Reverse(version))| (key.clone(), version.saturating_sub(1)));
        for (key, at) in own.chain(below).chain(probes.iter().cloned()) {
            let mut from = model
                .range((key.clone(), Reverse(at))..)
                .map(|((key, Reverse(version)), (kind, expiry, value))| Entry {
                    key,
                    stamp: Stamp::new(Version(*version), *kind),
                    expiry: Expiry(*expiry),
                    value,
                })
                .peekable();
            let expected = from
                .peek()
                .filter(|entry| entry.key == key)
                .map(|entry| (entry.stamp, entry.expiry, entry.value.to_vec()));
            assert_eq!(get(&dir, &table, &key, Version(at), &mut cache), expected);
            scan(&dir, &table, &key, Version(at), from, 3);
        }
        if compression == Compression::None && table.is_resident() {
            assert_eq!((cache.bytes(), cache.misses()), (0, 0), "a resident raw block is read in place");
        }
    }
    let report = Table::verify(&dir, NUMBER).expect("the file is whole");
    assert_eq!(report.meta.entries, model.len() as u64);
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop::collection::vec(prop_oneof![Just(0_u8), Just(b'a'), Just(0xff), any::<u8>()], 0..5);
    let head = prop_oneof![
        Just(b"".to_vec()),
        Just(b"\0\0\0\x01\0\0\0\0user".to_vec()),
        Just([b"\0\0\0\x01\0\0\0\0user".as_slice(), &[b'0'; 270]].concat()),
        Just(b"\0\0\0\x02\0\0\0\0u".to_vec()),
    ];
    (head, tail).prop_map(|(head, tail)| [head, tail].concat())
}

fn models() -> impl Strategy<Value = Model> {
    let kind = prop_oneof![4 => Just(Kind::Value), 1 => Just(Kind::Tombstone)];
    let expiry = prop_oneof![Just(0_u64), 1_u64..1000];
    let len = prop_oneof![10 => 0_usize..40, 2 => 900_usize..1100, 1 => 3000_usize..9000];
    let value = (len, any::<u8>())
        .prop_map(|(len, seed)| (0..len).map(|i| (i / 3) as u8 ^ seed).collect::<Vec<u8>>());
    let entry = ((keys(), (0_u64..30).prop_map(Reverse)), (kind, expiry, value));
    prop::collection::vec(entry, 1..200).prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_reads_as_a_sorted_map_does(model in models(), probes in prop::collection::vec((keys(), 0_u64..35), 30)) {
        for compression in [Compression::None, Compression::Lz4] {
            check_all(&model, compression, &probes);
        }
    }
}

type Item = ((Vec<u8>, Reverse<u64>), (Kind, u64, Vec<u8>));

fn value(key: &str, version: u64, value: Vec<u8>) -> Item {
    ((key.as_bytes().to_vec(), Reverse(version)), (Kind::Value, 0, value))
}

#[test]
fn many_keys_of_many_partitions_are_found_through_several_levels_of_the_index() {
    let mut model = Model::new();
    for i in 0..6000_u64 {
        let key = format!("\0\0\0{}\0\0\0\0user{:012}", char::from((i % 32) as u8), i * 7919);
        model.extend([value(&key, i, vec![b'v'; 700])]);
    }
    let (dir, fresh) =
        build(NUMBER, Compression::None, |builder| entries(&model).for_each(|entry| builder.add(entry)));
    assert!(fresh.blocks() > 1024);
    for table in faces(&dir, fresh) {
        let mut cache = BlockCache::new(1 << 20);
        for ((key, Reverse(version)), _) in model.iter().step_by(7) {
            let found = get(&dir, &table, key, Version::MAX, &mut cache);
            assert_eq!(found.map(|(stamp, ..)| stamp.version()), Some(Version(*version)));
            let absent = [key.as_slice(), b"x"].concat();
            assert_eq!(get(&dir, &table, &absent, Version::MAX, &mut cache), None);
        }
    }
}

#[test]
fn versions_of_a_hot_key_are_found_across_its_blocks() {
    let mut model: Model = (1..=3000).map(|version| value("hot", version * 2, vec![1; 20])).collect();
    model.extend([value("cold", 5, vec![2]), value("hou", 5, vec![3])]);
    let (dir, fresh) =
        build(NUMBER, Compression::Lz4, |builder| entries(&model).for_each(|entry| builder.add(entry)));
    assert!(fresh.blocks() > 20);
    for table in faces(&dir, fresh) {
        let mut cache = BlockCache::new(1 << 20);
        for at in 2..=6001 {
            let found = get(&dir, &table, b"hot", Version(at), &mut cache);
            assert_eq!(found.map(|(stamp, ..)| stamp.version().0), Some(at / 2 * 2));
        }
        assert_eq!(get(&dir, &table, b"hot", Version(1), &mut cache), None);
    }
    Table::verify(&dir, NUMBER).expect("the file is whole");
}

#[test]
fn the_largest_keys_and_values_fit() {
    let key = |last: u8| [vec![b'k'; 65_542], vec![last]].concat();
    let mut model = Model::new();
    for last in 0..5 {
        model.insert((key(last), Reverse(7)), (Kind::Value, 9, vec![last; 100]));
    }
    model.insert((b"\0\0\0\0\0\0\0\0big".to_vec(), Reverse(7)), (Kind::Value, 0, vec![b'b'; 16 << 20]));
    model.insert((b"\0\0\0\0\0\0\0\0small".to_vec(), Reverse(7)), (Kind::Tombstone, 0, Vec::new()));
    for compression in [Compression::None, Compression::Lz4] {
        check_all(&model, compression, &[]);
    }
}

#[test]
fn a_large_value_has_a_block_of_its_own() {
    let model: Model =
        [("a", 10), ("b", 5000), ("c", 10)].map(|(key, len)| value(key, 1, vec![7; len])).into();
    let (_, table) =
        build(NUMBER, Compression::None, |builder| entries(&model).for_each(|entry| builder.add(entry)));
    assert_eq!(table.blocks(), 3);
}

#[test]
fn range_tombstones_alone_make_a_table() {
    let tombstone = RangeTombstone { start: b"b".to_vec(), end: b"d".to_vec(), version: Version(9) };
    let (dir, fresh) = build(NUMBER, Compression::None, |builder| {
        assert!(builder.is_empty());
        builder.add_range_tombstone(tombstone.clone());
        assert!(!builder.is_empty());
    });
    for table in faces(&dir, fresh) {
        let meta = table.meta();
        assert_eq!(meta.range_tombstones, std::slice::from_ref(&tombstone));
        assert_eq!((meta.min_key.as_slice(), meta.max_key.as_slice()), (&b"b"[..], &b"d"[..]));
        assert_eq!((meta.min_version, meta.max_version, meta.entries), (Version(9), Version(9), 0));
        assert_eq!((table.blocks(), table.find_block(b"")), (0, None));
        assert_eq!(get(&dir, &table, b"c", Version::MAX, &mut BlockCache::new(0)), None);
    }
    Table::verify(&dir, NUMBER).expect("the file is whole");
}

#[test]
fn properties_count_what_was_added() {
    let mut model: Model = (0..100).map(|i| value(&format!("key{i:03}"), i + 10, vec![0; 50])).collect();
    model.insert((b"key005".to_vec(), Reverse(3)), (Kind::Tombstone, 0, Vec::new()));
    model.insert((b"key006".to_vec(), Reverse(4)), (Kind::Value, 77, vec![1]));
    model.insert((b"key007".to_vec(), Reverse(4)), (Kind::Value, 66, vec![1]));
    let tombstone = RangeTombstone { start: b"a".to_vec(), end: b"key050".to_vec(), version: Version(200) };
    let (_, table) = build(NUMBER, Compression::None, |builder| {
        entries(&model).for_each(|entry| builder.add(entry));
        builder.add_range_tombstone(tombstone);
    });
    let meta = table.meta();
    assert_eq!((meta.number, meta.entries, meta.tombstones, meta.expiring), (NUMBER, 103, 1, 2));
    assert_eq!((meta.earliest_expiry, meta.key_bytes, meta.value_bytes), (Expiry(66), 103 * 6, 5002));
    assert_eq!((meta.min_key.as_slice(), meta.max_key.as_slice()), (&b"a"[..], &b"key099"[..]));
    assert_eq!((meta.min_version, meta.max_version), (Version(3), Version(200)));
}

#[test]
fn the_estimated_length_is_close_to_the_true_one() {
    let model: Model = (0..5000).map(|i| value(&format!("user{i:016}"), i, vec![0; 100])).collect();
    let mut estimate = 0;
    let (_, table) = build(NUMBER, Compression::None, |builder| {
        entries(&model).for_each(|entry| builder.add(entry));
        estimate = builder.file_bytes();
    });
    let difference = table.meta().file_bytes.abs_diff(estimate);
    assert!(difference < estimate / 50, "{estimate}, in truth {}", table.meta().file_bytes);
}

#[test]
fn lz4_is_kept_only_where_it_saves_something() {
    let noise = |i: u64| {
        (0..200_u64).map(|j| ((i * 200 + j).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    };
    let text: Model = (0..500).map(|i| value(&format!("key{i:05}"), i, vec![b'a'; 200])).collect();
    let noise: Model = (0..500).map(|i| value(&format!("key{i:05}"), i, noise(i))).collect();
    let len = |model: &Model, compression| {
        let (_, table) =
            build(NUMBER, compression, |builder| entries(model).for_each(|entry| builder.add(entry)));
        table.meta().file_bytes
    };
    assert!(len(&text, Compression::Lz4) < len(&text, Compression::None) / 4);
    assert!(len(&noise, Compression::Lz4) <= len(&noise, Compression::None));
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    for resident in [false, true] {
        match Table::open(&MemoryDir::default(), 7, resident) {
            Err(Error::Io { file, .. }) => assert_eq!(file, "000007.sst"),
            other => panic!("{other:?}"),
        }
    }
}
