//! Writes the seeds of the engine's targets: `seeds DIR` makes `DIR/TARGET/NAME`. Everything comes from the engine's own writers.

use pinion_engine::clock::{BootId, BootTime, ClockStamp};
use pinion_engine::drive::StoreFile;
use pinion_engine::drive::blocking::perform;
use pinion_engine::io::FileName;
use pinion_engine::key::{Entry, Expiry, Incarnation, Kind, Prefix, RangeTombstone, Stamp};
use pinion_engine::log::{
    BatchBuilder, HardState, Log, LogOptions, LogPosition, Reached, Record, RecordKind, clock_payload,
    recover,
};
use pinion_engine::manifest::{Edit, GroupState, Manifest, Membership, TableEntry};
use pinion_engine::once::Once;
use pinion_engine::table::{Compression, TableBuilder};
use pinion_engine::{Keyspace, Partition, Version};
use pinion_engine_fuzz::memory_dir::MemoryDir;
use pinion_engine_fuzz::{SHARD, log_image, manifest_image, table_image};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    let Some(dir) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds DIR");
        process::exit(2);
    };
    logs(&dir);
    manifests(&dir);
    tables(&dir);
    batches(&dir);
    let store = StoreFile::new(2, 64).expect("two shards for 64 partitions are possible");
    let at = dir.join("store_file");
    fs::create_dir_all(&at)
        .and_then(|()| store.write(&at).map_err(std::io::Error::other))
        .expect("it can be written");
    let text = fs::read(at.join("STORE")).expect("it was just written");
    fs::remove_file(at.join("STORE")).expect("it is there");
    write(&dir, "store_file", "new", &[&[1], text.as_slice()].concat());
}

fn write(dir: &Path, target: &str, name: &str, bytes: &[u8]) {
    let dir = dir.join(target);
    fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(name), bytes)).expect("seeds can be written");
}

fn batch(ops: u64) -> BatchBuilder {
    let mut batch = BatchBuilder::new(1_700_000_000_000_000);
    for i in 0..ops {
        match i % 4 {
            0 => batch.put(Keyspace(0), format!("key{i}").as_bytes(), Version(i + 1), Expiry(9), b"value"),
            1 => batch.put(Keyspace(0), b"k", Version(i + 1), Expiry::NEVER, &[i as u8; 40]),
            2 => batch.delete(Keyspace(0), b"key", Version(i + 1)),
            _ => batch.delete_range(Keyspace(0), b"a", b"z", Version(i + 1)),
        }
    }
    batch
}

fn batches(dir: &Path) {
    for ops in [0, 1, 4, 9] {
        write(dir, "batch", &format!("{ops}-operations"), batch(ops).bytes());
        let mut with_requests = batch(ops);
        for number in 5..8 {
            let once = Once { client: 1 << 99, number, lowest: 5, first_sent_us: 1 << 50, is_again: false };
            with_requests.remember(&once, &[0; 13]);
        }
        with_requests.raise_floor(1 << 49);
        with_requests.seal(1_700_000_000_000_000);
        write(dir, "batch", &format!("{ops}-operations-of-requests"), with_requests.bytes());
    }
}

/// Opens the log of a directory and writes parts of some records each.
fn write_log(dir: &mut MemoryDir, direct: bool, parts: &[u64]) {
    let options =
        LogOptions { segment_bytes: log_image::SEGMENT_BYTES as u32, ..LogOptions::new(SHARD, direct) };
    let mut log =
        recover(dir, LogPosition::default(), options, &mut |_, _| Ok(())).expect("the log is sound");
    for &records in parts {
        for index in 0..records {
            let (payload, kind) = match index % 4 {
                2 => (HardState { vote: 1, commit: index }.to_bytes().to_vec(), RecordKind::HardState),
                3 => (clock_payload(&stamp(index)).to_vec(), RecordKind::Clock),
                n => (batch(n + 1).bytes().to_vec(), RecordKind::WRITES),
            };
            log.append(Record { kind, ..Record::writes(Partition(index as u16), 1, index, &payload) });
        }
        write_part(dir, &mut log);
    }
}

fn stamp(number: u64) -> ClockStamp {
    let boot = BootTime { id: BootId([7; 16]), us: number };
    ClockStamp { shard_us: 1_000 + number, wall_us: 2_000 + number, is_sure: number.is_multiple_of(2), boot }
}

fn write_part(dir: &mut MemoryDir, log: &mut Log) {
    let mut requests = Vec::new();
    log.write(true, &mut requests).expect("something was appended");
    while !requests.is_empty() {
        let completion = perform(dir, requests.remove(0));
        log.complete(completion, &mut requests);
    }
}

fn logs(dir: &Path) {
    let flags = log_image::SEAL | log_image::SAME_GENERATION;
    write(dir, "log", "empty", &[flags]);
    for (name, openings) in [
        ("one-part", &[&[1][..]][..]),
        ("parts", &[&[3, 1, 2, 1]]),
        ("opened-twice", &[&[1, 1], &[2]]),
        ("opened-thrice", &[&[2], &[], &[1, 1]]),
        ("two-segments", &[&[60, 60, 20]]),
    ] {
        for direct in [false, true] {
            let mut log = MemoryDir::default();
            openings.iter().for_each(|parts| write_log(&mut log, direct, parts));
            let direct = if direct { log_image::DIRECT } else { 0 };
            for extra in [0, log_image::LATER_START] {
                let name = format!("{name}-{}", direct | extra);
                write(dir, "log", &name, &log_image::compact(flags | direct | extra, &log));
            }
        }
    }
}

fn manifests(dir: &Path) {
    let flags = manifest_image::SEAL | manifest_image::FIT;
    write(dir, "manifest", "empty", &[flags]);
    let mut files = MemoryDir::default();
    let (mut manifest, _) = Manifest::recover(&mut files, SHARD).expect("an empty directory is a new store");
    write(dir, "manifest", "new", &manifest_image::compact(flags, &files));
    for step in 1..6_u64 {
        let group = GroupState {
            partition: Partition(step as u16),
            incarnation: Incarnation(1),
            applied_index: step,
            applied_term: 1,
            max_version: Version(step),
            floor: Version(step),
            clock_us: step,
            ..GroupState::default()
        };
        let edit = Edit {
            added: vec![TableEntry { number: step, level: (step % 3) as u8, file_bytes: 4096 * step }],
            removed: if step > 2 { vec![step - 2] } else { Vec::new() },
            groups: vec![group],
            log_start: (step % 2 == 0).then_some(LogPosition { segment: step << 32, offset: 4096 }),
            log_reached: Some(Reached { generation: step << 32, file: step }),
            next_file: Some(step + 1),
            clock: (step % 2 == 1).then(|| stamp(step)),
            membership: (step == 1).then_some(Membership { shard: 0, shards: 2, partitions: 64, layout: 0 }),
        };
        let mut requests = Vec::new();
        manifest.append(edit, &mut requests);
        while !requests.is_empty() {
            let completion = perform(&mut files, requests.remove(0));
            manifest.complete(completion, &mut requests);
        }
        write(dir, "manifest", &format!("{step}-edits"), &manifest_image::compact(flags, &files));
    }
}

fn table(compression: Compression, entries: u64, value: usize, ranges: bool) -> Vec<u8> {
    let mut builder = TableBuilder::new(table_image::NUMBER, compression, entries as usize);
    let prefix = Prefix::new(Keyspace(0), Partition(3), Incarnation(1));
    let mut key = Vec::new();
    for i in 0..entries {
        // Two versions of every third key, the newer one first.
        for version in if i % 3 == 0 { &[9, 4][..] } else { &[5] } {
            let kind = if i % 5 == 4 { Kind::Tombstone } else { Kind::Value };
            let value = if kind == Kind::Value { vec![i as u8; value] } else { Vec::new() };
            prefix.stored_key(format!("user{i:05}").as_bytes(), &mut key);
            let expiry = if i % 4 == 1 { Expiry(1000 + i) } else { Expiry::NEVER };
            builder.add(Entry {
                key: &key,
                stamp: Stamp::new(Version(*version), kind),
                expiry,
                value: &value,
            });
        }
    }
    if ranges {
        let (start, end) = (prefix.to_bytes().to_vec(), prefix.end());
        builder.add_range_tombstone(RangeTombstone { start, end, version: Version(7) });
    }
    let mut finished = builder.finish();
    finished.take_tail().to_vec()
}

fn tables(dir: &Path) {
    for (name, entries, value, ranges) in [
        ("no-entries", 0, 0, true),
        ("one-entry", 1, 10, false),
        ("one-block", 12, 20, false),
        ("blocks", 60, 300, true),
        ("many-blocks", 70, 3000, false),
        ("large-value", 3, 20_000, false),
    ] {
        for compression in [Compression::None, Compression::Lz4] {
            let bytes = table(compression, entries, value, ranges);
            let mut whole = MemoryDir::default();
            whole.files.insert(FileName::Table(table_image::NUMBER), bytes.clone());
            let name = format!("{name}-{compression:?}").to_lowercase();
            let input = table_image::compact(table_image::SEAL, &bytes);
            assert_eq!(table_image::expand(&input), whole, "the image of a table is the table");
            write(dir, "table", &name, &input);
            if bytes.len() <= 4096 {
                let input = table_image::compact(table_image::SEAL | table_image::SALVAGE, &bytes);
                write(dir, "table", &format!("{name}-salvaged"), &input);
            }
        }
    }
}
