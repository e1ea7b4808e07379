//! Another number of shards, between two lives of the node.
//!
//! `kvtool reshard` lives in the tools, which this crate doesn't know. What it does to a store is done here with the
//! engine's own parts: everything that the old shards hold (tables, and what only their logs hold) moves as it is,
//! versions, tombstones, expiries and the groups' states included, into tables of new shards on new disks.

use crate::placement::Placement;
use crate::sim::disk::{Crash, Disk};
use crate::sim::model::Checked;
use crate::sim::world::World;
use pinion_engine::dir::Dir;
use pinion_engine::drive::blocking::{publish, run_job};
use pinion_engine::job::{FlushJob, JobContext, JobOutput};
use pinion_engine::key::{Entry, Incarnation, Keyspace, Prefix, RangeTombstone, Stamp};
use pinion_engine::log::{Batch, RecordKind, replay};
use pinion_engine::manifest::{Edit, GroupState, Manifest, ManifestState, TableEntry};
use pinion_engine::memtable::Memtable;
use pinion_engine::table::{BlockCursor, Compression, Table};
use pinion_engine::tree::Snapshots;
use pinion_engine::{Error, Partition, Version};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a new shard is made from.
struct Heap {
    memtable: Memtable,
    groups: BTreeMap<Partition, GroupState>,
}

/// All new shards while they are filled.
struct Heaps {
    placement: Placement,
    heaps: Vec<Heap>,
}

impl World {
    /// Gives the store `cores` shards, while the node is down. Skipped where a disk can't be read.
    pub(super) fn reshard(&mut self, cores: usize) -> Checked {
        if self.calamity.is_stormy() || !self.calamity.damage.is_empty() {
            return Ok(());
        }
        match self.rebuild(cores) {
            Ok(disks) => {
                self.count_disks();
                self.disks = disks;
            }
            Err(error) => {
                return Err(self.violation(
                    "a store that is well can be resharded",
                    "new shards",
                    error.to_string(),
                ));
            }
        }
        // What was made is durable before it counts.
        for disk in &mut self.disks {
            disk.crash(Crash::Power, &mut self.streams.disk);
        }
        self.plan.node.cores = cores;
        self.plan.node.layout += 1;
        self.history.resharded(cores);
        self.counters.count("reshards");
        self.soothe();
        Ok(())
    }

    fn rebuild(&mut self, cores: usize) -> Result<Vec<Disk>, Error> {
        let (node, rng) = (&self.plan.node, &mut self.streams.disk);
        let heap = || Heap { memtable: Memtable::new(), groups: BTreeMap::new() };
        let placement = Placement::new(node.partitions, cores);
        let mut heaps = Heaps { placement, heaps: (0..cores).map(|_| heap()).collect() };
        for (shard, disk) in self.disks.iter_mut().enumerate() {
            heaps.gather(&disk.dir(None, rng), node.store().shard_id(shard as u32))?;
        }
        let store =
            pinion_engine::drive::StoreFile { shards: cores as u32, layout: node.layout + 1, ..node.store() };
        let table_bytes = node.tuning.tree.table_bytes;
        let mut disks = Vec::with_capacity(cores);
        for (shard, heap) in heaps.heaps.into_iter().enumerate() {
            let mut disk = Disk::new(&format!("/sim/shard-{shard:03}.layout-{}", store.layout));
            heap.build(&mut disk.dir(None, rng), store.shard_id(shard as u32), table_bytes)?;
            disks.push(disk);
        }
        Ok(disks)
    }
}

impl Heaps {
    fn heap(&mut self, partition: Partition) -> &mut Heap {
        &mut self.heaps[self.placement.core_of(partition)]
    }

    fn gather(&mut self, dir: &dyn Dir, id: [u8; 16]) -> Result<(), Error> {
        let state = Manifest::dump(dir, &mut |_| {})?;
        for entry in state.tables.values() {
            self.add_table(dir, &Table::open(dir, entry.number, false)?)?;
        }
        self.add_log(dir, id, &state)
    }

    fn add(&mut self, entry: Entry<'_>) {
        let prefix = Prefix::of(entry.key).expect("stored keys begin with a prefix");
        self.heap(prefix.partition()).memtable.insert(entry);
    }

    fn add_table(&mut self, dir: &dyn Dir, table: &Table) -> Result<(), Error> {
        let file = pinion_engine::io::FileName::Table(table.meta().number);
        for index in 0..table.blocks() {
            let block = table.block_ref(index);
            let raw = dir
                .read(file, block.offset, block.len as usize)
                .map_err(|source| Error::io("read", file, dir.path(), source))?;
            let mut cursor = BlockCursor::new(Arc::new(table.decode_block(block, &raw)?));
            while let Some(entry) = cursor.entry() {
                self.add(entry);
                cursor.next();
            }
        }
        for range in &table.meta().range_tombstones {
            self.add_range(range);
        }
        Ok(())
    }

    /// Merges may have joined the tombstones of neighbours: each partition gets its part.
    fn add_range(&mut self, range: &RangeTombstone) {
        for partition in self.placement.all() {
            let prefix = Prefix::new(Keyspace(0), partition, Incarnation(0));
            let start = range.start.clone().max(prefix.to_bytes().to_vec());
            let end = range.end.clone().min(prefix.end());
            if start < end {
                let part = RangeTombstone { start, end, version: range.version };
                self.heap(partition).memtable.insert_range_tombstone(part);
            }
        }
    }

    /// What is only in the log, and the groups as of its end.
    fn add_log(&mut self, dir: &dyn Dir, id: [u8; 16], state: &ManifestState) -> Result<(), Error> {
        let mut groups = state.groups.clone();
        let mut clock_us = groups.values().map(|group| group.clock_us).max().unwrap_or_default();
        replay(dir, state.log_start, id, &mut |record, _| {
            let batch = Batch::parse(record.payload).map_err(Error::Unusable)?;
            clock_us = clock_us.max(batch.clock_us());
            let fresh = GroupState { partition: record.group, ..GroupState::default() };
            let group = groups.entry(record.group).or_insert(fresh);
            if record.kind != RecordKind::Entry || record.index <= group.applied_index {
                return Ok(());
            }
            (group.applied_index, group.applied_term) = (record.index, record.term);
            for op in batch.ops() {
                let op = op.map_err(Error::Unusable)?;
                group.max_version = group.max_version.max(op.version);
                let prefix = Prefix::new(op.keyspace, record.group, group.incarnation);
                let mut key = Vec::new();
                prefix.stored_key(op.key, &mut key);
                if op.kind == pinion_engine::key::Kind::RangeTombstone {
                    let range = RangeTombstone { start: key, end: prefix.end(), version: op.version };
                    self.heap(record.group).memtable.insert_range_tombstone(range);
                } else {
                    let stamp = Stamp::new(op.version, op.kind);
                    self.add(Entry { key: &key, stamp, expiry: op.expiry, value: op.value });
                }
            }
            group.floor = group.max_version;
            Ok(())
        })?;
        for (partition, mut group) in groups {
            group.clock_us = group.clock_us.max(clock_us);
            self.heap(partition).groups.insert(partition, group);
        }
        Ok(())
    }
}

impl Heap {
    /// Makes a shard that holds this in an empty directory.
    fn build(self, dir: &mut dyn Dir, id: [u8; 16], table_bytes: u64) -> Result<(), Error> {
        let (mut manifest, state) = Manifest::recover(dir, id)?;
        let mut edit = Edit { groups: self.groups.into_values().collect(), ..Edit::default() };
        if !self.memtable.is_empty() || !self.memtable.range_tombstones().is_empty() {
            let numbers = state.next_file..state.next_file + 10 + self.memtable.bytes() as u64 / table_bytes;
            edit.next_file = Some(numbers.end);
            let context = JobContext {
                numbers,
                snapshots: Snapshots::default(),
                now_ms: 0,
                floor: Version::MAX,
                table_bytes,
                resident: false,
                compression: Compression::Lz4,
            };
            let mut job = FlushJob::new(vec![Arc::new(self.memtable)], context);
            if let JobOutput::Tables { tables, level, .. } = run_job(dir, &mut job)? {
                let added = tables.iter().map(|table| TableEntry {
                    number: table.meta().number,
                    level: level as u8,
                    file_bytes: table.meta().file_bytes,
                });
                edit.added = added.collect();
            }
        }
        publish(dir, &mut manifest, edit)
    }
}
