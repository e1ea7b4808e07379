//! Directories that earlier states of this program wrote, and that every later one opens: `engine/fixtures`.
//!
//! A change of the format shows here. Who changes it knowingly writes a new fixture beside the old ones:
//! `PINION_WRITE_FIXTURE=engine/fixtures/NAME cargo test -p pinion-engine fixtures`; how old ones are opened then is a decision.
//! `contents` says what must be found in them.

use super::*;
use crate::dir::Dir;
use crate::drive::StoreFile;
use crate::group::Order;
use crate::io::FileName;
use crate::log::{BatchBuilder, EntryType, HardState, Record, RecordKind};
use crate::manifest::{ConfState, Edit, GroupState, Manifest, OriginState};
use crate::once::{ClientRows, Kept, Known, Once, Table};
use crate::store::{LocalStore, StoreOptions};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SHARD: &str = "shard-000";
const REPLICAS: [u8; 16] = [7; 16];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A directory of a shard, copied into memory.
fn load(path: &Path) -> MemoryDir {
    let mut dir = MemoryDir::new();
    for file in std::fs::read_dir(path).unwrap() {
        let file = file.unwrap().path();
        let name = FileName::parse(file.file_name().unwrap().to_str().unwrap()).expect("a shard's file");
        let bytes = std::fs::read(&file).unwrap();
        dir.create(name).and_then(|()| dir.write(name, 0, &bytes)).and_then(|()| dir.sync(name)).unwrap();
    }
    dir.sync_dir().unwrap();
    dir
}

fn save(dir: &MemoryDir, path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    for name in dir.list().unwrap() {
        std::fs::write(path.join(name.to_string()), dir.bytes(name)).unwrap();
    }
}

/// What a shard holds, a line for each key: partition, key, length and checksum of the value.
fn contents(hand: &mut Hand) -> String {
    let partitions: Vec<u16> = hand.options.partitions.iter().map(|partition| partition.0).collect();
    let mut text = String::new();
    for partition in partitions {
        for (key, value) in hand.items(partition) {
            let (key, crc) = (String::from_utf8_lossy(&key).into_owned(), crc32c::crc32c(&value));
            writeln!(text, "{partition} {key} {} {crc:08x}", value.len()).unwrap();
        }
    }
    text
}

/// Values of all lengths, overwritten, deleted, cleared and expiring, in tables of several levels and in the log.
fn fill(hand: &mut Hand, partition: u16) {
    hand.ask_of(partition, put(b"before the clear", b"v"));
    hand.ask_of(partition, Op::Clear);
    let mut number = 1_u32;
    for n in 0..400_u32 {
        // Knuth's multiplier; no generator of a library, whose numbers may change.
        number = number.wrapping_mul(2_654_435_761).wrapping_add(n);
        let key = format!("key{:03}", number % 150);
        match number % 13 {
            0 => hand.send_to(partition, delete(key.as_bytes())),
            1 => hand.send_to(partition, put_expiring(key.as_bytes(), b"soon", PutExpiry::After(50))),
            2 => {
                hand.send_to(partition, put_expiring(key.as_bytes(), b"not soon", PutExpiry::After(1 << 50)))
            }
            3 => hand.send_to(partition, increment(format!("count{}", number % 5).as_bytes())),
            _ => hand.send_to(partition, put(key.as_bytes(), &vec![n as u8; (number % 700) as usize])),
        };
        if n % 40 == 0 {
            hand.settle();
        }
    }
    hand.ask_of(partition, put(b"long", &[b'l'; 9_000]));
    hand.settle();
    hand.advance_ms(1_000);
    for n in 0..20_u32 {
        hand.ask_of(partition, put(format!("tail{n:02}").as_bytes(), &n.to_le_bytes()));
    }
}

fn tiny() -> Tuning {
    let mut tuning = small();
    tuning.budgets.memtable = 16 << 10;
    tuning.tree.memtable_bytes = tuning.budgets.memtable;
    tuning.segment_bytes = 16 << 10;
    tuning
}

/// The options of a fixture's only shard.
fn alone(file: &StoreFile) -> ShardOptions {
    ShardOptions {
        shard_id: file.shard_id(0),
        partitions: vec![Partition(0)],
        membership: Some(file.membership(0)),
        ..options(Durability::Sync, 16)
    }
}

fn start() -> Now {
    Now { unix_us: START_US, mono_us: 0, boot: BootTime { id: BootId([1; 16]), us: 0 } }
}

/// Another boot, an hour later.
fn later() -> Now {
    let boot = BootTime { id: BootId([2; 16]), us: 5 };
    Now { unix_us: START_US + 3_600_000_000, mono_us: 0, boot }
}

/// A whole store, as the embedded one has it.
fn write_alone(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    let file = StoreFile::new(1, 1).unwrap();
    file.write(path).unwrap();
    let mut hand = Hand::open(MemoryDir::new(), alone(&file), tiny(), start());
    fill(&mut hand, 0);
    std::fs::write(path.join("contents"), contents(&mut hand)).unwrap();
    save(&hand.dir, &path.join(SHARD));
}

/// A shard whose partition 1 has replicas, with all that a manifest and a log may say of it; partition 0 orders itself, and
/// partition 2 has left.
fn write_replicas(path: &Path) {
    let (mut dir, now) = (MemoryDir::new(), start());
    let (mut manifest, _) = Manifest::recover(&mut dir, REPLICAS).unwrap();
    let conf = ConfState { voters: vec![1, 2, 3], learners: vec![4], ..ConfState::default() };
    let kept = Kept { number: 3, first_sent_us: START_US, answer: b"1"[..].into() };
    let client = ClientRows::new(2, START_US, [kept]);
    let origin = OriginState { origin: 5, start: 77, sequence: 12, stamp: crate::key::Version(40) };
    let replicated = GroupState {
        partition: Partition(1),
        applied_term: 1,
        conf: Some(Box::new(conf)),
        origins: vec![origin],
        once: Some(Arc::new(Table::restored(START_US - 1, [(1 << 100, client)]))),
        ..GroupState::default()
    };
    let left = GroupState {
        partition: Partition(2),
        has_left: true,
        log_from: crate::log::LogPosition { segment: 1 << 40, offset: 0 },
        ..GroupState::default()
    };
    let edit = Edit { groups: vec![replicated, left], ..Edit::default() };
    crate::drive::blocking::publish(&mut dir, &mut manifest, edit).unwrap();
    let mut hand = Hand::open(dir, options(Durability::Sync, 16), tiny(), now);
    fill(&mut hand, 0);
    for record in replicated_records().iter().map(Written::record) {
        hand.shard.log.append(record);
    }
    hand.ask_of(0, put(b"last", b"v"));
    let mut found = open_replicas(hand.dir.clone(), tiny());
    std::fs::create_dir_all(path).unwrap();
    std::fs::write(path.join("contents"), contents(&mut found)).unwrap();
    save(&hand.dir, &path.join(SHARD));
}

/// A record that owns its content.
struct Written {
    group: u16,
    kind: RecordKind,
    term: u64,
    index: u64,
    is_copy: bool,
    payload: Vec<u8>,
}

impl Written {
    fn record(&self) -> Record<'_> {
        let Written { group, kind, term, index, is_copy, ref payload } = *self;
        Record { kind, is_copy, ..Record::writes(Partition(group), term, index, payload) }
    }
}

/// Entries of every type, some in places that another leader gave away, hard states, and copies.
fn replicated_records() -> Vec<Written> {
    let batch = |index: u64, text: &str| {
        let mut batch = BatchBuilder::new(START_US);
        let key = format!("entry{index}");
        let version = crate::key::Version(100 + index);
        batch.put(Default::default(), key.as_bytes(), version, crate::key::Expiry::NEVER, text.as_bytes());
        batch.bytes().to_vec()
    };
    let record = |kind, term, index, payload: Vec<u8>| Written {
        group: 1,
        kind,
        term,
        index,
        is_copy: false,
        payload,
    };
    let entry = |entry, term, index, payload| record(RecordKind::Entry(entry), term, index, payload);
    let hard = |term, commit| {
        record(RecordKind::HardState, term, 0, HardState { vote: 2, commit }.to_bytes().to_vec())
    };
    let copy = |written: Written| Written { is_copy: true, ..written };
    let conf = ConfState { voters: vec![1, 2, 5], ..ConfState::default() };
    vec![
        hard(2, 0),
        entry(EntryType::NoOp, 2, 1, vec![]),
        entry(EntryType::Normal, 2, 2, batch(2, "stays")),
        entry(EntryType::Normal, 2, 3, batch(3, "is given away")),
        entry(EntryType::Normal, 2, 4, batch(4, "is given away")),
        hard(3, 2),
        entry(EntryType::Normal, 3, 3, batch(3, "stays")),
        entry(EntryType::ConfChange, 3, 4, conf.to_bytes()),
        entry(EntryType::Tick, 3, 5, BatchBuilder::new(START_US + 9).bytes().to_vec()),
        entry(EntryType::Floor, 3, 6, 60_u64.to_le_bytes().to_vec()),
        entry(EntryType::Normal, 3, 8, batch(8, "comes before its copy")),
        copy(entry(EntryType::Normal, 3, 7, batch(7, "was in a segment that is gone"))),
        copy(hard(3, 8)),
        entry(EntryType::Normal, 3, 9, batch(9, "waits")),
        Written { group: 2, ..entry(EntryType::Normal, 1, 1, batch(1, "of a partition that left")) },
    ]
}

fn open_replicas(dir: MemoryDir, tuning: Tuning) -> Hand {
    Hand::open(dir, options(Durability::Sync, 16), tuning, later())
}

fn names() -> Vec<PathBuf> {
    let mut names: Vec<_> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty(), "there are no fixtures");
    names
}

#[test]
fn every_fixture_opens_and_holds_what_it_held() {
    if let Some(path) = std::env::var_os("PINION_WRITE_FIXTURE") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
        assert!(!path.exists(), "a fixture is never written again");
        write_alone(&path.join("alone"));
        write_replicas(&path.join("replicas"));
    }
    for fixture in names() {
        let expected = |kind: &str| std::fs::read_to_string(fixture.join(kind).join("contents")).unwrap();
        for tuning in [tiny(), usual()] {
            let file = StoreFile::find(&fixture.join("alone")).unwrap().unwrap();
            let dir = load(&fixture.join("alone").join(SHARD));
            let mut hand = Hand::open(dir, alone(&file), tuning.clone(), later());
            let found = contents(&mut hand);
            assert_eq!(found, expected("alone"), "{fixture:?}");
            assert!(found.contains("long 9000") && found.contains("tail19") && !found.contains("before"));
            // And it goes on from there.
            assert!(matches!(hand.put(b"more", b"v"), Seen::Written { existed: 0, .. }));
            hand.shard.flush();
            hand.settle();
            let mut hand = hand.reopen();
            hand.ask(delete(b"more"));
            assert_eq!(contents(&mut hand), expected("alone"));

            let mut hand = open_replicas(load(&fixture.join("replicas").join(SHARD)), tuning);
            assert_eq!(contents(&mut hand), expected("replicas"), "{fixture:?}");
            check_replicas(&mut hand);
        }
    }
}

fn check_replicas(hand: &mut Hand) {
    let of = |entry: u64| format!("entry{entry}").into_bytes();
    let items = hand.items(1);
    assert_eq!(items.keys().cloned().collect::<Vec<_>>(), [of(2), of(3), of(7), of(8)]);
    assert_eq!(items[&of(3)], b"stays");
    let group = &hand.shard.groups[1];
    assert_eq!(
        (group.order(), group.queue().map(|queue| queue.len())),
        (Order::Following { term: 3 }, Some(1))
    );
    let state = group.state(0);
    assert_eq!((state.applied_index, state.applied_term, state.floor.0), (8, 3, 60));
    assert_eq!((state.clock_us, state.conf.unwrap().voters), (START_US + 9, vec![1, 2, 5]));
    assert_eq!(state.origins[0].sequence, 12);
    let once = Once { client: 1 << 100, number: 3, lowest: 1, first_sent_us: START_US, is_again: true };
    assert_eq!(state.once.unwrap().known(&once), Known::Done(b"1"));
}

#[test]
fn the_embedded_store_opens_a_fixture() {
    for fixture in names() {
        let copy = tempfile::tempdir().unwrap();
        let (from, to) = (fixture.join("alone"), copy.path());
        std::fs::create_dir(to.join(SHARD)).unwrap();
        for folder in ["", SHARD] {
            for file in std::fs::read_dir(from.join(folder)).unwrap().map(|file| file.unwrap().path()) {
                if file.is_file() {
                    std::fs::copy(&file, to.join(folder).join(file.file_name().unwrap())).unwrap();
                }
            }
        }
        std::fs::remove_file(to.join("contents")).unwrap();
        // Its clocks stood long ago; what expires is left as it was.
        let options = StoreOptions { time_jump: TimeJump::Ignore, ..StoreOptions::default() };
        let mut store = LocalStore::open(to, options).unwrap();
        let long = store.get_with(b"long", |value| value.map(<[u8]>::len)).unwrap();
        assert_eq!(long, Some(9_000));
        store.close().unwrap();
    }
}
