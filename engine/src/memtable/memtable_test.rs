//! The memtable against a sorted map.

use super::Memtable;
use crate::key::{Entry, Expiry, Kind, RangeTombstone, Stamp, Version};
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::BTreeMap;

type Model = BTreeMap<(Vec<u8>, Reverse<u64>), (Kind, u64, Vec<u8>)>;

fn entry<'a>(key: &'a [u8], version: u64, value: &'a [u8]) -> Entry<'a> {
    Entry { key, stamp: Stamp::new(Version(version), Kind::Value), expiry: Expiry::NEVER, value }
}

fn insert_both(memtable: &mut Memtable, model: &mut Model, (key, version, kind, expiry, value): Op) {
    let stamp = Stamp::new(Version(version), kind);
    memtable.insert(Entry { key: &key, stamp, expiry: Expiry(expiry), value: &value });
    model.insert((key, Reverse(version)), (kind, expiry, value));
}

fn assert_same(memtable: &Memtable, model: &Model) {
    let mut found = memtable.iter();
    for ((key, Reverse(version)), (kind, expiry, value)) in model {
        let stamp = Stamp::new(Version(*version), *kind);
        assert_eq!(found.next(), Some(Entry { key, stamp, expiry: Expiry(*expiry), value }));
    }
    assert_eq!(found.next(), None);
}

fn model_get<'a>(model: &'a Model, key: &[u8], at: u64) -> Option<Entry<'a>> {
    let ((found, Reverse(version)), (kind, expiry, value)) =
        model.range((key.to_vec(), Reverse(at))..).next()?;
    let stamp = Stamp::new(Version(*version), *kind);
    (found == key).then_some(Entry { key: found, stamp, expiry: Expiry(*expiry), value })
}

#[test]
fn a_random_key_is_any_of_them_as_likely_as_the_others() {
    assert_eq!(Memtable::new().random_key(7), None);
    let mut random = SmallRng::seed_from_u64(11);
    let mut memtable = Memtable::new();
    for number in 0..1000_u32 {
        // Two runs of keys, so that leaves are filled unevenly; some keys have several versions.
        let key = if number % 2 == 0 { number } else { 100_000 - number }.to_be_bytes();
        (0..=number % 3).for_each(|version| memtable.insert(entry(&key, version.into(), b"")));
    }
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for _ in 0..40_000 {
        *counts.entry(memtable.random_key(random.random()).unwrap().to_vec()).or_default() += 1;
    }
    // 40 each on average; a share of 1e-8 lies outside of these bounds.
    assert_eq!(counts.len(), 1000);
    assert!(counts.values().all(|count| (10..90).contains(count)), "{counts:?}");
}

type Op = (Vec<u8>, u64, Kind, u64, Vec<u8>);

/// Keys that often share prefixes, extend each other, or contain zeros.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop::collection::vec(prop_oneof![Just(0_u8), Just(b'a'), Just(0xff), any::<u8>()], 0..6);
    let head = prop_oneof![
        Just(b"".to_vec()),
        Just(b"\0\0\0\x01\0\0\0\0user".to_vec()),
        Just(b"\0\0\0\x01\0\0\0\0user00000000".to_vec()),
        Just(b"\0\0\0\x02\0\0\0\0u".to_vec()),
    ];
    (head, tail).prop_map(|(head, tail)| [head, tail].concat())
}

fn ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    let kind = prop_oneof![4 => Just(Kind::Value), 1 => Just(Kind::Tombstone)];
    let expiry = prop_oneof![Just(0_u64), 1_u64..1000];
    let value = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec((keys(), 0_u64..40, kind, expiry, value), 0..count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_reads_as_a_sorted_map_does(ops in ops(600), probes in prop::collection::vec((keys(), 0_u64..45), 50)) {
        let (mut memtable, mut model) = (Memtable::new(), Model::new());
        for op in ops {
            insert_both(&mut memtable, &mut model, op);
        }
        assert_same(&memtable, &model);
        let keys = model.keys().map(|(key, Reverse(version))| (key.clone(), version.saturating_sub(1)));
        for (key, at) in keys.chain(probes).collect::<Vec<_>>() {
            prop_assert_eq!(memtable.get(&key, Version(at)), model_get(&model, &key, at));
            prop_assert_eq!(memtable.get(&key, Version::MAX), model_get(&model, &key, Version::MAX.0));
            let next = model.range((key.clone(), Reverse(u64::MAX))..).next().map(|((key, _), _)| key.as_slice());
            prop_assert_eq!(memtable.seek(&key).next().map(|entry| entry.key), next);
        }
    }
}

#[test]
fn many_keys_in_any_order_come_back_sorted() {
    for scramble in [1_u64, 7919, 0x9E37_79B9_7F4A_7C15] {
        let (mut memtable, mut model) = (Memtable::new(), Model::new());
        for i in 0..20_000_u64 {
            let number = i.wrapping_mul(scramble) % 1_000_003;
            let key = format!("\0\0\0\u{1}\0\0\0\0user{number:010}").into_bytes();
            insert_both(&mut memtable, &mut model, (key, i, Kind::Value, 0, vec![1; 3]));
        }
        assert_same(&memtable, &model);
    }
}

#[test]
fn keys_in_descending_order_and_from_many_partitions_come_back_sorted() {
    let (mut memtable, mut model) = (Memtable::new(), Model::new());
    for i in (0..10_000_u64).rev() {
        let mut key = (i % 97).to_be_bytes().to_vec();
        key.extend_from_slice(format!("user{i:08}").as_bytes());
        insert_both(&mut memtable, &mut model, (key, i, Kind::Value, 0, Vec::new()));
    }
    assert_same(&memtable, &model);
}

#[test]
fn a_hot_key_with_100_000_versions_answers_at_every_version() {
    let mut memtable = Memtable::new();
    for version in 1..=100_000_u64 {
        memtable.insert(entry(b"hot", version * 2, &version.to_le_bytes()));
    }
    assert_eq!(memtable.get(b"hot", Version(1)), None);
    for version in (1..=100_000_u64).step_by(37) {
        for at in [version * 2, version * 2 + 1] {
            let found = memtable.get(b"hot", Version(at)).map(|entry| entry.value.to_vec());
            assert_eq!(found, Some(version.to_le_bytes().to_vec()));
        }
    }
    assert_eq!(memtable.iter().count(), 100_000);
}

#[test]
fn versions_may_arrive_falling_and_mixed() {
    let mut memtable = Memtable::new();
    for version in (1..=500_u64).rev().chain(501..=700).chain([800, 750, 760, 755]) {
        memtable.insert(entry(b"key", version, b""));
    }
    let versions: Vec<u64> = memtable.iter().map(|entry| entry.stamp.version().0).collect();
    let mut sorted = versions.clone();
    sorted.sort_by_key(|&version| Reverse(version));
    assert_eq!(versions, sorted);
    for at in 1..=800 {
        let expected = sorted.iter().copied().find(|&version| version <= at);
        assert_eq!(memtable.get(b"key", Version(at)).map(|entry| entry.stamp.version().0), expected);
    }
}

#[test]
fn a_second_entry_of_one_version_hides_the_first() {
    let mut memtable = Memtable::new();
    memtable.insert(entry(b"key", 5, b"first"));
    memtable.insert(entry(b"key", 7, b"newer"));
    memtable.insert(entry(b"key", 5, b"second"));
    assert_eq!(memtable.get(b"key", Version(6)), Some(entry(b"key", 5, b"second")));
    let values: Vec<_> = memtable.iter().map(|entry| entry.value).collect();
    assert_eq!(values, [b"newer".as_slice(), b"second"]);
}

#[test]
fn the_largest_keys_and_values_fit() {
    let mut memtable = Memtable::new();
    let (key, value) = (vec![7; 65_543], vec![9; 16 << 20]);
    memtable.insert(entry(&key, 1, &value));
    memtable.insert(entry(b"small", 1, b"value"));
    assert_eq!(memtable.get(&key, Version::MAX), Some(entry(&key, 1, &value)));
    assert_eq!(memtable.get(b"small", Version::MAX), Some(entry(b"small", 1, b"value")));
}

#[test]
fn an_empty_memtable_is_nearly_free_and_finds_nothing() {
    let memtable = Memtable::new();
    assert!(memtable.is_empty() && memtable.bytes() < 4096);
    assert_eq!(memtable.get(b"key", Version::MAX), None);
    assert_eq!(memtable.seek(b"").next(), None);
}

#[test]
fn range_tombstones_are_kept_in_order_and_accounted() {
    let mut memtable = Memtable::new();
    let before = memtable.bytes();
    for version in [3, 2] {
        memtable.insert_range_tombstone(RangeTombstone {
            start: vec![1; 100],
            end: vec![2; 100],
            version: Version(version),
        });
    }
    assert!(!memtable.is_empty() && memtable.bytes() >= before + 400);
    let versions: Vec<u64> = memtable.range_tombstones().iter().map(|t| t.version.0).collect();
    assert_eq!(versions, [3, 2]);
}

#[test]
fn accounting_is_close_to_what_was_put_in() {
    let mut memtable = Memtable::new();
    for i in 0..50_000_u64 {
        let key = format!("\0\0\0\u{1}\0\0\0\0user{:016}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12);
        memtable.insert(entry(key.as_bytes(), i, &[0; 100]));
    }
    let payload = 50_000 * (28 + 100);
    // Cell and version headers are 32 bytes, tree and hash index 30 to 60 a key.
    assert!(
        (payload + 50_000 * 60..payload + 50_000 * 95).contains(&memtable.bytes()),
        "{}",
        memtable.bytes()
    );
}
