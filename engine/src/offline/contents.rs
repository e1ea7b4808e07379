//! All that a shard holds: its tables, and what its log holds beyond them. Read-only.

use super::merge::Merge;
use crate::clock::ClockStamp;
use crate::dir::Dir;
use crate::key::{Entry, Kind, Prefix, RangeTombstone, Stamp};
use crate::log::{Batch, BatchOp, Record, RecordKind, Replayed, clock_behind, replay};
use crate::manifest::{GroupState, Manifest, ManifestState, TableEntry};
use crate::memtable::Memtable;
use crate::table::{Table, TableMeta};
use crate::{Error, Partition, Version};
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

/// What becomes of a log whose entries don't go on where the manifest says the tables end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gaps {
    Refused,
    Taken,
}

/// What the log adds to the tables.
pub struct Unflushed {
    /// Its entries.
    pub memtable: Memtable,
    /// The groups as of the log's end.
    pub groups: BTreeMap<Partition, GroupState>,
    /// Whether the log holds consensus records, which aren't applied here.
    pub is_replicated: bool,
    /// What was read.
    pub read: Replayed,
    /// The clocks as of the log's end; `None` if nothing was ever written.
    pub clock: Option<ClockStamp>,
}

impl Contents {
    /// Reads manifest, log, and the tables' indexes of a shard that opens. Changes nothing.
    pub fn read(dir: &dyn Dir, shard_id: [u8; 16]) -> Result<Contents, Error> {
        Contents::with(dir, shard_id, Manifest::read(dir, shard_id)?, Gaps::Refused)
    }

    /// What the shard would hold if its manifest said this, which may be less than it once said.
    pub fn of(dir: &dyn Dir, shard_id: [u8; 16], manifest: ManifestState) -> Result<Contents, Error> {
        Contents::with(dir, shard_id, manifest, Gaps::Taken)
    }

    fn with(
        dir: &dyn Dir,
        shard_id: [u8; 16],
        manifest: ManifestState,
        gaps: Gaps,
    ) -> Result<Contents, Error> {
        let tables = describe_tables(dir, &manifest)?;
        let unflushed = Unflushed::read(dir, shard_id, &manifest, gaps)?;
        Ok(Contents { manifest, tables, unflushed })
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
    fn read(
        dir: &dyn Dir,
        shard_id: [u8; 16],
        manifest: &ManifestState,
        gaps: Gaps,
    ) -> Result<Unflushed, Error> {
        let mut unflushed = Unflushed {
            memtable: Memtable::new(),
            groups: manifest.groups.clone(),
            is_replicated: false,
            read: Replayed::default(),
            clock: manifest.stamp(),
        };
        let read = replay(dir, manifest.log(), shard_id, &mut |record, at| {
            unflushed.apply(record, gaps).map_err(|what| {
                Error::Unusable(format!(
                    "the log record at {at:?} in {} can't be applied: {what}",
                    dir.path()
                ))
            })
        })?;
        unflushed.read = read;
        for group in unflushed.groups.values_mut() {
            group.clock_us = unflushed.clock.map_or(0, |clock| clock.shard_us);
        }
        Ok(unflushed)
    }

    /// Applies a record as a shard does when it opens.
    fn apply(&mut self, record: Record<'_>, gaps: Gaps) -> Result<(), String> {
        self.clock = clock_behind(self.clock, &record)?;
        match record.kind {
            RecordKind::Entry | RecordKind::Clock => {}
            RecordKind::HardState | RecordKind::Copy => {
                self.is_replicated = true;
                return Ok(());
            }
        }
        let fresh = GroupState { partition: record.group, ..GroupState::default() };
        let known = self.groups.get(&record.group);
        if record.kind != RecordKind::Entry || known.is_some_and(|group| record.index <= group.applied_index)
        {
            return Ok(());
        }
        let group = self.groups.entry(record.group).or_insert(fresh);
        if gaps == Gaps::Refused {
            record.check_follows(group.applied_index)?;
        }
        let mut newest = Version(0);
        for op in Batch::parse(record.payload)?.ops() {
            let op = op?;
            newest = newest.max(op.version);
            insert(&mut self.memtable, Prefix::new(op.keyspace, record.group, group.incarnation), &op);
        }
        group.applied_index = record.index;
        group.applied_term = record.term;
        // Where nothing older was on the way before, nothing is now: the group is solo.
        let is_solo = group.floor == group.max_version;
        group.max_version = group.max_version.max(newest);
        group.floor = if is_solo { group.max_version } else { group.floor };
        Ok(())
    }
}

fn insert(memtable: &mut Memtable, prefix: Prefix, op: &BatchOp<'_>) {
    let mut key = Vec::with_capacity(Prefix::LEN + op.key.len());
    prefix.stored_key(op.key, &mut key);
    if op.kind == Kind::RangeTombstone {
        let mut end = prefix.end();
        if !op.value.is_empty() {
            prefix.stored_key(op.value, &mut end);
        }
        return memtable.insert_range_tombstone(RangeTombstone { start: key, end, version: op.version });
    }
    let stamp = Stamp::new(op.version, op.kind);
    memtable.insert(Entry { key: &key, stamp, expiry: op.expiry, value: op.value });
}
