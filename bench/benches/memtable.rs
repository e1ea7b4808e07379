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

fn filled(partitions: u64) -> Memtable {
    let mut memtable = Memtable::new();
    keys(partitions).iter().enumerate().for_each(|(i, key)| memtable.insert(entry(key, i as u64)));
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

/// Inserts in a row that are timed together, whatever criterion asks for: fewer would only time cold caches.
const BATCH: u64 = 100_000;

/// Time of `count` inserts, from batches that bring a memtable from 300,000 to 400,000 entries.
fn insert_time(keys: &[Vec<u8>], count: u64) -> Duration {
    let (before, measured) = keys.split_at((ENTRIES - BATCH) as usize);
    time_batches(count, before, |memtable| {
        measured.iter().for_each(|key| memtable.insert(entry(key, 1)));
    })
}

/// Time of `count` inserts of new versions of random keys among 400,000.
fn update_time(keys: &[Vec<u8>], count: u64) -> Duration {
    let (mut random, mut key) = (Sequence(1), Vec::new());
    time_batches(count, keys, |memtable| {
        for version in 2..BATCH + 2 {
            stored_key(random.below(ENTRIES), 1, &mut key);
            memtable.insert(entry(&key, version));
        }
    })
}

fn time_batches(count: u64, before: &[Vec<u8>], mut batch: impl FnMut(&mut Memtable)) -> Duration {
    let batches = count.div_ceil(BATCH);
    let mut spent = Duration::ZERO;
    for _ in 0..batches {
        let mut memtable = Memtable::new();
        before.iter().for_each(|key| memtable.insert(entry(key, 1)));
        let start = Instant::now();
        batch(&mut memtable);
        spent += start.elapsed();
        black_box(&memtable);
    }
    spent.mul_f64(count as f64 / (batches * BATCH) as f64)
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
    let keys = keys(1);
    group.bench_function("new version of a random key", |b| b.iter_custom(|count| update_time(&keys, count)));
    group.finish();
}

fn gets(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable/get");
    let (mut random, mut key) = (Sequence(2), Vec::new());
    group.bench_function("(making the key)", |b| {
        b.iter(|| {
            stored_key(random.below(ENTRIES), 1, &mut key);
            black_box(key.len())
        });
    });
    for partitions in [1, 32] {
        let memtable = filled(partitions);
        for (name, first) in [("present", 0), ("absent", ENTRIES)] {
            group.bench_function(format!("{name}, {partitions} partitions"), |b| {
                b.iter(|| {
                    stored_key(first + random.below(ENTRIES), partitions, &mut key);
                    memtable.get(&key, Version::MAX).map(|entry| entry.value[99])
                });
            });
        }
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
    let (memtable, keys) = (filled(1), keys(1));
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
