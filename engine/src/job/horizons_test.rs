//! Two partitions in the same tables, one of which isn't as far as the other.

use super::test_driver::{TestDriver, context, horizons, settled};
use super::{FlushJob, Horizon, Horizons, Job, JobContext, JobOutput, MergeJob};
use crate::key::{
    Entry, Expiry, Incarnation, Keyspace, Kind, Partition, Prefix, RangeTombstone, Stamp, Version,
};
use crate::memtable::Memtable;
use crate::table::{BlockCursor, Table};
use crate::tree::{MergePlan, MergeReason, Tree};
use std::sync::Arc;

const NOW_MS: u64 = 100;

/// What tables hold: partition, version, kind, and whether it expires.
type Held = Vec<(u16, u64, Kind, bool)>;

fn prefix(partition: u16) -> Prefix {
    Prefix::new(Keyspace(0), Partition(partition), Incarnation(0))
}

/// Of each of two partitions an old tombstone, an expired value, one that lives, and a newer tombstone: versions 1 to 4.
fn memtable() -> Arc<Memtable> {
    let mut memtable = Memtable::new();
    let entries = [
        (1, Kind::Tombstone, Expiry::NEVER),
        (2, Kind::Value, Expiry(NOW_MS)),
        (3, Kind::Value, Expiry(NOW_MS + 1)),
        (4, Kind::Tombstone, Expiry::NEVER),
    ];
    for (partition, (version, kind, expiry)) in (1..3).flat_map(|partition| entries.map(|of| (partition, of)))
    {
        let mut key = Vec::new();
        prefix(partition).stored_key(&[version as u8], &mut key);
        memtable.insert(Entry { key: &key, stamp: Stamp::new(Version(version), kind), expiry, value: b"" });
    }
    Arc::new(memtable)
}

fn tables(driver: &mut TestDriver, job: &mut dyn Job) -> Vec<Arc<Table>> {
    match driver.run(job).expect("nothing fails") {
        JobOutput::Tables { tables, .. } => tables,
        other => panic!("{other:?}"),
    }
}

/// A job's context that makes resident tables, so that a test can look into them.
fn by(horizons: &Horizons, first_number: u64) -> JobContext {
    JobContext { horizons: horizons.clone(), resident_bytes: u64::MAX, ..context(first_number) }
}

fn held(tables: &[Arc<Table>]) -> Held {
    let mut held = Held::new();
    for table in tables {
        for block in 0..table.blocks() {
            let block = table.block(block, &mut crate::table::BlockCache::new(0)).expect("it is whole");
            let mut cursor = BlockCursor::new(block.expect("it is resident"));
            while let Some(entry) = cursor.entry() {
                let partition = Prefix::of(entry.key).expect("keys have a prefix").partition().0;
                let kind = entry.stamp.kind().expect("one of ours");
                held.push((partition, entry.stamp.version().0, kind, entry.expiry != Expiry::NEVER));
                cursor.next();
            }
        }
    }
    held
}

/// What is left behind a flush, and behind a merge of that at the bottom.
fn flushed_and_merged(memtable: Arc<Memtable>, horizons: &Horizons) -> (Held, Held, Vec<RangeTombstone>) {
    let mut driver = TestDriver::new(1);
    let flushed = tables(&mut driver, &mut FlushJob::new(vec![memtable], by(horizons, 1)));
    let inputs: Vec<_> = flushed.iter().map(|table| (6, table.clone())).collect();
    let tree = Tree::new().with(&[], &inputs);
    let plan = MergePlan::new(&tree, inputs, 6, MergeReason::Settling);
    let merged = tables(&mut driver, &mut MergeJob::new(plan, by(horizons, 100)));
    let ranges = merged.iter().flat_map(|table| table.meta().range_tombstones.clone()).collect();
    (held(&flushed), held(&merged), ranges)
}

#[test]
fn a_low_floor_keeps_what_is_of_its_partition_and_nothing_of_its_neighbours() {
    let behind = Horizon { floor: Version(1), ..settled(NOW_MS) };
    let (flushed, merged, _) =
        flushed_and_merged(memtable(), &horizons(&[(1, behind), (2, settled(NOW_MS))]));
    let of = |partition| {
        [
            (1, Kind::Tombstone, false),
            (2, Kind::Tombstone, false),
            (3, Kind::Value, true),
            (4, Kind::Tombstone, false),
        ]
        .map(|(version, kind, expires)| (partition, version, kind, expires))
    };
    assert_eq!(flushed, [of(1), of(2)].concat(), "a flush knows nothing of what lies below");
    assert_eq!(merged, [&of(1)[1..], &of(2)[2..3]].concat());
}

#[test]
fn the_time_of_a_partition_expires_its_own_values_only() {
    let behind = Horizon { now_ms: NOW_MS - 1, ..settled(0) };
    let (flushed, merged, _) =
        flushed_and_merged(memtable(), &horizons(&[(1, settled(NOW_MS)), (2, behind)]));
    let values = |held: Held| held.into_iter().filter(|entry| entry.2 == Kind::Value).collect::<Held>();
    let left = [(1, 3, Kind::Value, true), (2, 2, Kind::Value, true), (2, 3, Kind::Value, true)];
    assert_eq!(values(flushed), left);
    assert_eq!(merged, left);
}

#[test]
fn of_a_partition_that_is_not_known_everything_stays() {
    let (_, merged, _) = flushed_and_merged(memtable(), &horizons(&[(2, settled(NOW_MS))]));
    let of_unknown: Vec<_> =
        merged.iter().filter(|entry| entry.0 == 1).map(|entry| (entry.1, entry.2)).collect();
    assert_eq!(of_unknown, [(1, Kind::Tombstone), (2, Kind::Value), (3, Kind::Value), (4, Kind::Tombstone)]);
}

#[test]
fn a_range_tombstone_is_judged_by_the_floor_of_its_partition() {
    let mut memtable = Memtable::new();
    for partition in 1..3 {
        let (start, end) = (prefix(partition).to_bytes().to_vec(), prefix(partition).end());
        memtable.insert_range_tombstone(RangeTombstone { start, end, version: Version(7) });
    }
    let behind = Horizon { floor: Version(6), ..settled(NOW_MS) };
    let (_, _, ranges) =
        flushed_and_merged(Arc::new(memtable), &horizons(&[(1, settled(NOW_MS)), (2, behind)]));
    let starts: Vec<_> = ranges.iter().map(|range| range.start.clone()).collect();
    assert_eq!(starts, [prefix(2).to_bytes().to_vec()]);
}
