//! All that a shard holds: its tables, and what its log holds beyond them. Read-only.

use super::merge::Merge;
use crate::clock::ClockStamp;
use crate::dir::Dir;
use crate::group::apply::{Applicable, LookUps, apply};
use crate::group::tail::Tails;
use crate::group::{self, Group};
use crate::key::RangeTombstone;
use crate::log::{LogPosition, Record, RecordKind, Remains, Replayed};
use crate::log::{read_remains, replay};
use crate::manifest::{GroupState, Manifest, ManifestState, TableEntry};
use crate::memtable::Memtable;
use crate::table::{Table, TableMeta};
use crate::{Error, Partition};
use std::collections::BTreeMap;

/// All that a shard holds.
pub struct Contents {
    /// What the manifest says.
    pub manifest: ManifestState,
    /// Its tables in the order of levels, the newest first.
    pub tables: Vec<TableInfo>,
    /// What was logged but isn't in tables yet.
    pub unflushed: Unflushed,
}

/// A table, as the manifest and the table itself describe it.
#[derive(Clone, Debug)]
pub struct TableInfo {
    /// Its level.
    pub level: u8,
    /// What it says of itself.
    pub meta: TableMeta,
    /// What its blocks take in the file, bytes.
    pub block_bytes: u64,
}

/// What is known of the order of a log's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// They go on where the manifest says that the tables end; what doesn't is refused.
    Checked,
    /// Nobody knows where they start, and some may be missing: all are taken, whatever their indices.
    Unknown,
}

/// What the log adds to the tables.
pub struct Unflushed {
    /// Its entries.
    pub memtable: Memtable,
    groups: BTreeMap<Partition, Group>,
    tails: Tails,
    /// What was read.
    pub read: Replayed,
}

impl Contents {
    /// Reads manifest, log, and the tables' indexes of a shard that opens. Changes nothing.
    pub fn read(dir: &dyn Dir, shard_id: [u8; 16]) -> Result<Contents, Error> {
        let manifest = Manifest::read(dir, shard_id)?;
        let tables = describe_tables(dir, &manifest)?;
        let mut unflushed = Unflushed::of(&manifest);
        unflushed.read = replay(dir, manifest.log(), shard_id, &mut |record, at| {
            unflushed.apply(record, at, Order::Checked).map_err(|what| cannot_apply(dir, at, &what))
        })?;
        unflushed.tails.check_whole().map_err(|what| cannot_apply(dir, unflushed.read.end, &what))?;
        Ok(Contents { manifest, tables, unflushed })
    }

    /// What a shard holds whose manifest is lost: these tables, and all of the log that is there. `manifest` says the
    /// tables, and what could be read of the rest.
    pub fn without_manifest(
        dir: &dyn Dir,
        shard_id: [u8; 16],
        manifest: ManifestState,
    ) -> Result<(Contents, Remains), Error> {
        let tables = describe_tables(dir, &manifest)?;
        let in_tables = tables.iter().map(|table| table.meta.max_version).max().unwrap_or_default();
        let mut unflushed = Unflushed::of(&manifest);
        let remains = read_remains(dir, manifest.log(), in_tables, shard_id, &mut |record, at| {
            unflushed.apply(record, at, Order::Unknown).map_err(|what| cannot_apply(dir, at, &what))
        })?;
        unflushed.read = remains.read;
        Ok((Contents { manifest, tables, unflushed }, remains))
    }

    /// Every entry in storage order. Call [`Merge::seek`] first.
    pub fn merge<'a>(&'a self, dir: &'a dyn Dir) -> Merge<'a> {
        let mut merge = Merge::new();
        merge.add_memtable(&self.unflushed.memtable);
        for table in &self.tables {
            merge.add_table(dir, &table.meta);
        }
        merge
    }

    /// Every range tombstone.
    pub fn range_tombstones(&self) -> impl Iterator<Item = &RangeTombstone> {
        let tables = self.tables.iter().flat_map(|table| &table.meta.range_tombstones);
        tables.chain(self.unflushed.memtable.range_tombstones())
    }
}

/// Describes the tables that a manifest names; each is opened, so that damage shows here.
fn describe_tables(dir: &dyn Dir, manifest: &ManifestState) -> Result<Vec<TableInfo>, Error> {
    let mut entries: Vec<_> = manifest.tables.values().collect();
    entries.sort_by_key(|entry| (entry.level, std::cmp::Reverse(entry.number)));
    let describe = |entry: &TableEntry| {
        let table = Table::open(dir, entry.number, false)?;
        let blocks = table.parts().into_iter().find(|part| part.name == "blocks");
        let block_bytes = blocks.map_or(0, |part| part.range.end - part.range.start);
        Ok(TableInfo { level: entry.level, meta: table.meta().clone(), block_bytes })
    };
    entries.into_iter().map(describe).collect()
}

impl Unflushed {
    /// Nothing but what the manifest says.
    fn of(manifest: &ManifestState) -> Unflushed {
        let groups = manifest.groups.iter();
        Unflushed {
            memtable: Memtable::new(),
            groups: groups
                .filter(|(_, state)| !state.has_left)
                .map(|(&id, state)| (id, Group::restored(state)))
                .collect(),
            tails: Tails::behind(manifest),
            read: Replayed::default(),
        }
    }

    /// Partitions that the shard gave up: their keys may still lie in tables.
    pub fn has_left(&self, partition: Partition) -> bool {
        self.tails.has_left(partition)
    }

    /// The clocks as of the log's end; `None` if nothing was ever written.
    pub fn clock(&self) -> Option<ClockStamp> {
        self.tails.stamp()
    }

    /// Whether a partition has other replicas: of those what isn't committed isn't here.
    pub fn is_replicated(&self) -> bool {
        self.groups.values().any(|group| group.order() != group::Order::Solo)
    }

    /// The groups as of the log's end.
    pub fn groups(&self) -> BTreeMap<Partition, GroupState> {
        let clock_us = self.clock().map_or(0, |clock| clock.shard_us);
        self.groups.iter().map(|(&id, group)| (id, group.state(clock_us))).collect()
    }

    /// Applies a record as a shard does when it opens.
    fn apply(&mut self, record: Record<'_>, at: LogPosition, order: Order) -> Result<(), String> {
        if !self.tails.is_for_group(&record)? {
            return Ok(());
        }
        let group = self.groups.entry(record.group).or_insert_with(|| Group::new(record.group));
        match (order, record.kind) {
            (Order::Unknown, RecordKind::Entry(entry)) => {
                self.tails.note_time(group, &record)?;
                let Record { index, origin, payload, .. } = record;
                if origin != 0 {
                    return Err(format!(
                        "a write of origin {origin} is nothing without the writes before it"
                    ));
                }
                let entry = Applicable { index, entry, origin, payload };
                apply(group, entry, &mut self.memtable, &mut LookUps::new()).map(drop)
            }
            _ => self.tails.take(group, &record, at, &mut self.memtable).map(drop),
        }
    }
}

fn cannot_apply(dir: &dyn Dir, at: LogPosition, what: &str) -> Error {
    Error::Unusable(format!("the log record at {at:?} in {} can't be applied: {what}", dir.path()))
}
