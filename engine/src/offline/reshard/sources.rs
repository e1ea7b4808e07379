//! All that the old shards hold, as tables.

use super::disk::Disk;
use crate::clock::{ClockStamp, Meeting};
use crate::dir::Dir;
use crate::drive::{StoreDir, shard_dir};
use crate::io::FileName;
use crate::key::{Expiry, RangeTombstone};
use crate::manifest::{GroupState, without_manifest};
use crate::memtable::Memtable;
use crate::offline::contents::{Contents, TableInfo};
use crate::offline::merge::Merge;
use crate::offline::sink::TableSink;
use crate::table::{Compression, Table};
use crate::{Error, Partition};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The tables of all old shards, those written for their logs included.
pub struct Sources {
    parts: Vec<Part>,
    /// Every range tombstone.
    pub ranges: Vec<RangeTombstone>,
    /// The state of every partition that was written.
    pub groups: BTreeMap<Partition, GroupState>,
    /// The clocks of the old shards, which are one in the new ones.
    pub time: Meeting,
    /// Of each old shard, what it knows of the time; and in which of them a partition was.
    clocks: Vec<Option<ClockStamp>>,
    origins: BTreeMap<Partition, usize>,
    /// How the new tables are to be stored: as the old ones are.
    pub compression: Compression,
}

/// The tables of one directory.
struct Part {
    dir: Box<dyn Dir>,
    tables: Vec<TableInfo>,
}

/// Where an old shard is, and where tables made for its log go.
struct Paths {
    path: PathBuf,
    spill: PathBuf,
}

impl Sources {
    /// Reads the old shards; what is only in their logs becomes tables in directories of layout `scratch`.
    pub fn gather(disk: &mut dyn Disk, store: &StoreDir, scratch: u32) -> Result<Sources, Error> {
        let mut sources = Sources {
            parts: Vec::new(),
            ranges: Vec::new(),
            groups: BTreeMap::new(),
            time: Meeting::default(),
            clocks: Vec::new(),
            origins: BTreeMap::new(),
            compression: Compression::None,
        };
        let mut blank = None;
        for shard in present_shards(disk, store)? {
            let path = store.file.shard_dir(&store.path, shard);
            let dir = disk.open_shard(&path)?;
            let names = dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))?;
            if names.iter().all(|name| matches!(name, FileName::ManifestTemp(_))) {
                blank.get_or_insert_with(|| without_manifest(dir.as_ref(), &names));
                continue;
            }
            let spill = shard_dir(&store.path, scratch, shard);
            let (id, partitions) = (store.file.shard_id(shard), store.file.partitions);
            sources.add_shard(disk, dir, Paths { path, spill }, id, partitions)?;
        }
        // What a first start that was cut off leaves is no data; but nothing was written before it came to its end.
        let is_written = !sources.groups.is_empty() || sources.clocks.iter().any(Option::is_some);
        let is_made = store.file.is_made || is_written;
        if let Some(error) = blank.filter(|_| is_made) {
            return Err(error);
        }
        sources.meet();
        let tables = || sources.parts.iter().flat_map(|part| &part.tables);
        let block_bytes: u64 = tables().map(|table| table.block_bytes).sum();
        // Blocks that take less than the values in them were compressed.
        if block_bytes < tables().map(|table| table.meta.value_bytes).sum() {
            sources.compression = Compression::Lz4;
        }
        Ok(sources)
    }

    fn add_shard(
        &mut self,
        disk: &mut dyn Disk,
        dir: Box<dyn Dir>,
        place: Paths,
        id: [u8; 16],
        partitions: u32,
    ) -> Result<(), Error> {
        let Paths { path, spill } = place;
        let contents = Contents::read(dir.as_ref(), id)?;
        let unflushed = &contents.unflushed;
        if unflushed.is_replicated() {
            return Err(Error::Unusable(format!(
                "{} holds replicated partitions; only stores of factor 1 can be resharded offline",
                path.display()
            )));
        }
        self.ranges.extend(contents.range_tombstones().cloned());
        self.clocks.push(unflushed.clock());
        for (partition, group) in unflushed.groups() {
            self.origins.insert(partition, self.clocks.len() - 1);
            let is_known = u32::from(partition.0) < partitions;
            if !is_known || self.groups.insert(partition, group).is_some() {
                return Err(Error::Unusable(format!(
                    "{} holds partition {}, which {}",
                    path.display(),
                    partition.0,
                    if is_known { "another shard holds too" } else { "the store doesn't have" }
                )));
            }
        }
        if !unflushed.memtable.is_empty() {
            disk.place_like(&spill, &path)?;
            let mut scratch = disk.create_shard(&spill)?;
            write_memtable(scratch.as_mut(), &unflushed.memtable)?;
            self.parts.push(Part { tables: describe_all(scratch.as_ref())?, dir: scratch });
        }
        self.parts.push(Part { dir, tables: contents.tables });
        Ok(())
    }

    /// All shards have been read: their times become one.
    fn meet(&mut self) {
        self.time = Meeting::of(&self.clocks);
        let clock_us = self.time.clock.map_or(0, |clock| clock.shard_us);
        self.groups.values_mut().for_each(|group| group.clock_us = clock_us);
    }

    /// When an entry of a partition expires, in the time of the new shards.
    pub fn expiry(&self, partition: Partition, expiry: Expiry) -> Expiry {
        self.origins.get(&partition).map_or(expiry, |&shard| self.time.moved(shard, expiry))
    }

    /// Length of all keys and values.
    pub fn content_bytes(&self) -> u64 {
        let tables = self.parts.iter().flat_map(|part| &part.tables);
        tables.map(|table| table.meta.key_bytes + table.meta.value_bytes).sum()
    }

    /// Every entry in storage order.
    pub fn merge(&self) -> Merge<'_> {
        let mut merge = Merge::new();
        for part in &self.parts {
            for table in &part.tables {
                merge.add_table(part.dir.as_ref(), &table.meta);
            }
        }
        merge
    }
}

/// All shards, or none: a node makes them when it first starts. If some are missing, data is.
fn present_shards(disk: &dyn Disk, store: &StoreDir) -> Result<Vec<u32>, Error> {
    let path = |shard: u32| store.file.shard_dir(&store.path, shard);
    let (present, missing): (Vec<u32>, Vec<u32>) =
        (0..store.file.shards).partition(|&shard| disk.has_shard(&path(shard)));
    match missing.first() {
        Some(&shard) if !present.is_empty() || store.file.is_made => Err(Error::Unusable(format!(
            "{} isn't there; put it back, or start the server once if its first start was cut off",
            path(shard).display()
        ))),
        _ => Ok(present),
    }
}

fn write_memtable(dir: &mut dyn Dir, memtable: &Memtable) -> Result<(), Error> {
    let mut sink = TableSink::new(dir, 1, Compression::None);
    memtable.iter().try_for_each(|entry| sink.add(entry))?;
    // Range tombstones are kept in memory.
    sink.finish(Vec::new()).map(drop)
}

fn describe_all(dir: &dyn Dir) -> Result<Vec<TableInfo>, Error> {
    let names = dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))?;
    let describe = |name: FileName| {
        let meta = Table::open(dir, name.number(), false)?.meta().clone();
        Ok(TableInfo { level: 0, block_bytes: meta.file_bytes, meta })
    };
    names.into_iter().map(describe).collect()
}
