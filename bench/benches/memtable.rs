//! Memtable: inserts and look-ups at 400,000 entries of 28-byte stored keys and 100-byte values, one partition and 32.

use criterion::{BatchSize, Criterion};
use pinion_bench::{Sequence, stored_key};
use pinion_engine::key::{Entry, Expiry, Kind, Stamp, Version};
use pinion_engine::memtable::Memtable;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ENTRIES: u64 = 400_000;
const VALUE: [u8; 100] = [7; 100];

fn entry(key: &[u8], version: u64) -> Entry<'_> {
    Entry { key, stamp: Stamp::new(Version(version), Kind::Value), expiry: Expiry::NEVER, value: &VALUE }
}

fn filled(partitions: u64, sorted: bool) -> Memtable {
    let mut keys: Vec<Vec<u8>> = keys(partitions);
    if sorted {
        keys.sort();
    }
    let mut memtable = Memtable::new();
    keys.iter().enumerate().for_each(|(i, key)| memtable.insert(entry(key, i as u64)));
    memtable
}

fn keys(partitions: u64) -> Vec<Vec<u8>> {
    let key = |i| {
        let mut key = Vec::new();
        stored_key(i, partitions, &mut key);
        key
    };
    (0..ENTRIES).map(key).collect()
}

/// Time of `count` inserts that bring memtables from 300,000 to 400,000 entries.
fn insert_time(keys: &[Vec<u8>], count: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < count {
        let mut memtable = Memtable::new();
        let (before, measured) = keys.split_at(keys.len() * 3 / 4);
        before.iter().for_each(|key| memtable.insert(entry(key, 1)));
        let batch = measured.len().min((count - done) as usize);
        let start = Instant::now();
        measured[..batch].iter().for_each(|key| memtable.insert(entry(key, 1)));
        spent += start.elapsed();
        done += batch as u64;
        black_box(&memtable);
    }
    spent
}

fn inserts(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable/insert");
    group.sample_size(10);
    for partitions in [1, 32] {
        let keys = keys(partitions);
        group.bench_function(format!("new key, random, {partitions} partitions"), |b| {
            b.iter_custom(|count| insert_time(&keys, count));
        });
    }
    let mut sorted = keys(1);
    sorted.sort();
    group.bench_function("new key, ascending", |b| b.iter_custom(|count| insert_time(&sorted, count)));
    let mut memtable = filled(1, false);
    let keys = keys(1);
    let (mut random, mut version) = (Sequence(1), ENTRIES);
    group.bench_function("new version of a random key", |b| {
        b.iter(|| {
            version += 1;
            memtable.insert(entry(&keys[random.below(ENTRIES) as usize], version));
        });
    });
    group.finish();
}

fn gets(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable/get");
    for partitions in [1, 32] {
        let (memtable, keys) = (filled(partitions, false), keys(partitions));
        let mut random = Sequence(2);
        group.bench_function(format!("present, {partitions} partitions"), |b| {
            b.iter(|| black_box(memtable.get(&keys[random.below(ENTRIES) as usize], Version::MAX)).is_some());
        });
        let mut random = Sequence(3);
        let mut key = Vec::new();
        group.bench_function(format!("absent, {partitions} partitions"), |b| {
            b.iter(|| {
                stored_key(ENTRIES + random.below(ENTRIES), partitions, &mut key);
                black_box(memtable.get(&key, Version::MAX)).is_some()
            });
        });
    }
    let mut hot = Memtable::new();
    (0..100_000).for_each(|version| hot.insert(entry(b"\0\0\0\0\0\0\0\0hot", version)));
    let mut random = Sequence(4);
    group.bench_function("any of 100,000 versions of a key", |b| {
        b.iter(|| black_box(hot.get(b"\0\0\0\0\0\0\0\0hot", Version(random.below(100_000)))).is_some());
    });
    group.finish();
}

fn scans(c: &mut Criterion) {
    let (memtable, keys) = (filled(1, false), keys(1));
    let mut random = Sequence(5);
    c.bench_function("memtable/scan of 50", |b| {
        b.iter_batched(
            || &keys[random.below(ENTRIES) as usize],
            |key| memtable.seek(key).take(50).map(|entry| entry.value.len()).sum::<usize>(),
            BatchSize::SmallInput,
        );
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    inserts(&mut criterion);
    gets(&mut criterion);
    scans(&mut criterion);
    criterion.final_summary();
}
