//! Tables: building, point reads of 5 million records in resident tables, ordered reading.

use criterion::{Criterion, Throughput};
use pinion_bench::{Sequence, stored_key};
use pinion_engine::key::{Entry, Expiry, Kind, Stamp, Version};
use pinion_engine::table::{BlockCache, BlockCursor, Compression, Lookup, Table, TableBuilder, key_hash};
use std::hint::black_box;

const RECORDS: u64 = 5_000_000;
const TABLES: usize = 10;
const VALUE: [u8; 100] = [7; 100];

/// A file in memory, aligned as a mapping is.
fn build(number: u64, keys: &[[u8; 28]], compression: Compression) -> Table {
    let mut builder = TableBuilder::new(number, compression, keys.len());
    let mut file = pinion_engine::aligned::AlignedBuf::with_capacity(80 << 20);
    for key in keys {
        let stamp = Stamp::new(Version(5), Kind::Value);
        builder.add(Entry { key, stamp, expiry: Expiry::NEVER, value: &VALUE });
        if let Some(run) = builder.take_output(1 << 20) {
            file.extend_from_slice(&run);
        }
    }
    let mut finished = builder.finish();
    file.extend_from_slice(&finished.take_tail());
    finished.into_resident(file).expect("the table is whole")
}

fn sorted_keys(records: u64, partitions: u64) -> Vec<[u8; 28]> {
    let mut buffer = Vec::new();
    let mut key = |i| {
        stored_key(i, partitions, &mut buffer);
        <[u8; 28]>::try_from(buffer.as_slice()).expect("stored keys have 28 bytes")
    };
    let mut keys: Vec<_> = (0..records).map(&mut key).collect();
    keys.sort_unstable();
    keys
}

fn building(c: &mut Criterion) {
    let keys = sorted_keys(100_000, 1);
    let mut group = c.benchmark_group("table/build 100,000 records");
    group.sample_size(10).throughput(Throughput::Elements(100_000));
    for compression in [Compression::None, Compression::Lz4] {
        group.bench_function(format!("{compression:?}"), |b| {
            b.iter(|| {
                let mut builder = TableBuilder::new(1, compression, keys.len());
                for key in &keys {
                    let stamp = Stamp::new(Version(5), Kind::Value);
                    builder.add(Entry { key, stamp, expiry: Expiry::NEVER, value: &VALUE });
                    black_box(builder.take_output(1 << 20));
                }
                builder.finish().meta.file_bytes
            });
        });
    }
    group.finish();
}

/// Tables side by side, as a deep level has them.
struct Level {
    tables: Vec<Table>,
    last_keys: Vec<Vec<u8>>,
    cache: BlockCache,
}

impl Level {
    fn new(keys: &[[u8; 28]]) -> Level {
        let tables: Vec<Table> = keys
            .chunks(keys.len().div_ceil(TABLES))
            .enumerate()
            .map(|(i, keys)| build(i as u64 + 1, keys, Compression::None))
            .collect();
        let last_keys = tables.iter().map(|table| table.meta().max_key.clone()).collect();
        Level { tables, last_keys, cache: BlockCache::new(0) }
    }

    fn get(&mut self, key: &[u8]) -> bool {
        let i = self.last_keys.partition_point(|last| last.as_slice() < key).min(self.tables.len() - 1);
        let found = self.tables[i].get(key, key_hash(key), Version::MAX, &mut self.cache);
        match found.expect("the table is whole") {
            Lookup::Found(found) => black_box(found.value)[99] == 7,
            Lookup::Absent | Lookup::NeedsRead(_) => false,
        }
    }
}

fn point_reads(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/get of 5,000,000, resident");
    for partitions in [1, 32] {
        let keys = sorted_keys(RECORDS, partitions);
        let mut level = Level::new(&keys);
        let mut random = Sequence(1);
        let mut buffer = Vec::new();
        group.bench_function(format!("(making the key), {partitions} partitions"), |b| {
            b.iter(|| {
                stored_key(random.below(RECORDS), partitions, &mut buffer);
                black_box(buffer.len())
            });
        });
        group.bench_function(format!("present, uniform, {partitions} partitions"), |b| {
            b.iter(|| {
                stored_key(random.below(RECORDS), partitions, &mut buffer);
                assert!(level.get(&buffer));
            });
        });
        group.bench_function(format!("present, 10,000 hot keys, {partitions} partitions"), |b| {
            b.iter(|| {
                stored_key(random.below(10_000) * 499, partitions, &mut buffer);
                assert!(level.get(&buffer));
            });
        });
        group.bench_function(format!("absent, {partitions} partitions"), |b| {
            b.iter(|| {
                stored_key(RECORDS + random.below(RECORDS), partitions, &mut buffer);
                black_box(level.get(&buffer))
            });
        });
    }
    group.finish();
}

fn scans(c: &mut Criterion) {
    let keys = sorted_keys(500_000, 1);
    let table = build(1, &keys, Compression::None);
    let mut cache = BlockCache::new(0);
    let mut random = Sequence(1);
    let mut group = c.benchmark_group("table/scan");
    group.throughput(Throughput::Elements(50));
    group.bench_function("50 entries", |b| {
        b.iter(|| {
            let key = &keys[random.below(490_000) as usize];
            let mut block = table.find_block(key).expect("the key is in the table");
            let (mut count, mut bytes) = (0, 0);
            let mut buffer = Vec::new();
            while count < 50 {
                let next =
                    table.block(block, &mut cache).expect("the table is whole").expect("it is resident");
                let mut cursor = BlockCursor::with_buffer(next, buffer);
                if count == 0 {
                    cursor.seek(key);
                }
                while let Some(entry) = cursor.entry().filter(|_| count < 50) {
                    bytes += entry.key.len() + entry.value.len();
                    count += 1;
                    cursor.next();
                }
                block += 1;
                buffer = cursor.into_buffer();
            }
            bytes
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    building(&mut criterion);
    point_reads(&mut criterion);
    scans(&mut criterion);
    criterion.final_summary();
}
