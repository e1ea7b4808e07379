//! Building one new shard.

use super::report::{ReshardReport, Watch};
use super::sources::Sources;
use crate::dir::Dir;
use crate::drive::StoreFile;
use crate::drive::blocking::publish;
use crate::key::{Entry, Incarnation, Keyspace, Prefix, RangeTombstone};
use crate::log::LogPosition;
use crate::manifest::{Edit, GroupState, Manifest};
use crate::offline::sink::TableSink;
use crate::placement::Placement;
use crate::{Error, Partition};
use std::collections::BTreeSet;

/// Makes shard `shard` of a store, by its placement, in an empty directory. It is durable when this returns.
pub fn build(
    dir: &mut dyn Dir,
    store: &StoreFile,
    sources: &Sources,
    placement: &Placement,
    shard: u32,
    done: &mut ReshardReport,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let owned: BTreeSet<Partition> = placement.partitions_of(shard as usize).into_iter().collect();
    // First the manifest: a directory with tables and without one is refused as damaged.
    let (mut manifest, state) = Manifest::recover(dir, store.shard_id(shard))?;
    let mut sink = TableSink::new(dir, state.next_file, sources.compression);
    copy(&mut sink, sources, &owned, watch)?;
    done.entries += sink.entries();
    let ranges = ranges_of(&sources.ranges, &owned);
    done.range_tombstones += ranges.len() as u64;
    let (tables, next_file) = sink.finish(ranges)?;
    done.tables += tables.len() as u64;
    done.bytes += tables.iter().map(|table| table.file_bytes).sum::<u64>();
    // The new shards have logs of their own.
    let anew = |group: &GroupState| GroupState { log_from: LogPosition::default(), ..group.clone() };
    let groups = sources.groups.values().filter(|group| owned.contains(&group.partition)).map(anew).collect();
    let (membership, clock) = (Some(store.membership(shard)), sources.time.clock);
    let edit =
        Edit { added: tables, groups, next_file: Some(next_file), membership, clock, ..Edit::default() };
    publish(dir, &mut manifest, edit)
}

/// Copies every entry of the partitions.
fn copy(
    sink: &mut TableSink<'_>,
    sources: &Sources,
    owned: &BTreeSet<Partition>,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let mut merge = sources.merge();
    let Some(&first) = owned.first() else { return Ok(()) };
    merge.seek(&start_of(Keyspace(0), first))?;
    while let Some(entry) = merge.entry() {
        let prefix = Prefix::of(entry.key);
        let Some(prefix) = prefix else {
            return Err(Error::Unusable(format!("an entry's key has only {} bytes", entry.key.len())));
        };
        if !owned.contains(&prefix.partition()) {
            match next_start(prefix, owned) {
                Some(key) => merge.seek(&key)?,
                None => break,
            }
            continue;
        }
        watch.moved((entry.key.len() + entry.value.len()) as u64);
        let expiry = sources.expiry(prefix.partition(), entry.expiry);
        sink.add(Entry { expiry, ..entry })?;
        merge.advance()?;
    }
    Ok(())
}

/// Where the next partition that is wanted begins, behind one that isn't.
fn next_start(prefix: Prefix, owned: &BTreeSet<Partition>) -> Option<Vec<u8>> {
    if let Some(&next) = owned.range(prefix.partition()..).next() {
        return Some(start_of(prefix.keyspace(), next));
    }
    let keyspace = prefix.keyspace().0.checked_add(1)?;
    owned.first().map(|&first| start_of(Keyspace(keyspace), first))
}

fn start_of(keyspace: Keyspace, partition: Partition) -> Vec<u8> {
    Prefix::new(keyspace, partition, Incarnation(0)).to_bytes().to_vec()
}

/// The parts of range tombstones that lie in these partitions. Merges may have joined tombstones of neighbours.
fn ranges_of(ranges: &[RangeTombstone], owned: &BTreeSet<Partition>) -> Vec<RangeTombstone> {
    let mut kept = Vec::new();
    for range in ranges {
        let mut start = range.start.clone();
        while start < range.end {
            let Some(prefix) = Prefix::of(&start) else { break };
            let partition = prefix.partition();
            let border = match (partition.0.checked_add(1), prefix.keyspace().0.checked_add(1)) {
                (Some(next), _) => start_of(prefix.keyspace(), Partition(next)),
                (None, Some(next)) => start_of(Keyspace(next), Partition(0)),
                (None, None) => range.end.clone(),
            };
            let end = border.min(range.end.clone());
            if owned.contains(&partition) {
                kept.push(RangeTombstone { start, end: end.clone(), version: range.version });
                start = end;
            } else {
                // Straight to what may be wanted next.
                start = next_start(prefix, owned).unwrap_or(end);
            }
        }
    }
    kept.sort_by(|a, b| (&a.start, &a.end, b.version).cmp(&(&b.start, &b.end, a.version)));
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    fn at(keyspace: u16, partition: u16) -> Vec<u8> {
        start_of(Keyspace(keyspace), Partition(partition))
    }

    #[test]
    fn a_range_over_many_partitions_is_cut_to_those_that_are_wanted() {
        let owned: BTreeSet<_> = [Partition(2), Partition(5)].into();
        let range = RangeTombstone { start: at(0, 1), end: at(1, 3), version: Version(9) };
        let parts: Vec<_> = ranges_of(&[range], &owned).into_iter().map(|r| (r.start, r.end)).collect();
        assert_eq!(parts, [(at(0, 2), at(0, 3)), (at(0, 5), at(0, 6)), (at(1, 2), at(1, 3))]);
    }

    #[test]
    fn a_range_within_a_partition_moves_as_it_is() {
        let owned: BTreeSet<_> = [Partition(2)].into();
        let range = RangeTombstone {
            start: at(7, 2),
            end: Prefix::new(Keyspace(7), Partition(2), Incarnation(0)).end(),
            version: Version(9),
        };
        assert_eq!(ranges_of(&[range.clone(), range.clone()], &owned), [range]);
    }

    #[test]
    fn the_last_range_of_all_ends() {
        let owned: BTreeSet<_> = [Partition(1)].into();
        let range = RangeTombstone { start: at(u16::MAX, u16::MAX), end: vec![0xff; 9], version: Version(1) };
        assert_eq!(ranges_of(&[range], &owned), []);
    }
}
