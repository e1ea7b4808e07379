//! Rebuilding a shard whose manifest is damaged or lost, from its tables and its log.
//!
//! The manifest says which tables count and how far the log is in them. Without it every table in the directory is taken, and
//! all of the log that is there: entries carry versions, so a merge by key and version puts them in the right order,
//! whatever table they come from, and what is there twice is there once again. What can't be told any more is whether a table
//! was just being replaced when the shard stopped; if it was, and tombstones had been merged away, keys deleted in it are
//! visible again. Nor can it be told which requests have done what is in tables, of those that are to be done once: what the log
//! says of them is kept, and everything else that was first sent by now is taken for forgotten, so that none of it is done again.
//!
//! The shard is built anew in a directory beside, which then takes the old one's place; the old one is kept. Between the
//! two renames the shard is missing: a repair that is cut off there names both (`aside.rs`).

use super::aside::{Aside, BEFORE, REBUILT, ShardAside};
use super::salvage::{TableRepair, rewrite};
use crate::kvtool::target::Shard;
use pinion_engine::clock::ClockStamp;
use pinion_engine::dir::Dir;
use pinion_engine::drive::blocking::publish;
use pinion_engine::drive::{OsDir, SystemClock};
use pinion_engine::io::FileName;
use pinion_engine::key::Prefix;
use pinion_engine::log::{LogPosition, Remains};
use pinion_engine::manifest::{Edit, GroupState, Manifest, ManifestState, TableEntry};
use pinion_engine::offline::{Contents, TableSink};
use pinion_engine::once::Table as Requests;
use pinion_engine::table::{Compression, Table};
use pinion_engine::{Error, Partition, Version};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A request may have been ahead of the server's clock by so much, microseconds.
const AHEAD_US: u64 = 500_000;

/// What a rebuilt shard is made of.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// Tables that had to be salvaged or dropped first.
    pub tables: Vec<TableRepair>,
    /// Tables that were taken.
    pub taken: u64,
    /// Entries in the rebuilt shard.
    pub entries: u64,
    /// What there was of its log.
    pub log: Remains,
}

/// Builds the shard anew. `known` is what could be read of its manifest, `partitions` are the shard's, as far as known.
pub fn rebuild(
    shard: &Shard,
    id: [u8; 16],
    (known, partitions): (&ManifestState, &[Partition]),
    aside: &Aside,
) -> Result<Rebuilt, Error> {
    let (originals, mut rebuilt) = (aside.shard(&shard.name)?, Rebuilt::default());
    let mut state = ManifestState { tables: BTreeMap::new(), ..known.clone() };
    state.tables = usable_tables(shard, &originals, &mut rebuilt)?;
    let (contents, log) = Contents::without_manifest(&shard.dir, id, state)?;
    rebuilt.log = log;
    let made = originals.scratch(REBUILT);
    let mut dir = OsDir::create(&made)?;
    rebuilt.entries = build(&mut dir, id, &contents, &shard.dir, (known, partitions))?;
    replace(Path::new(&shard.dir.path()), &made, &originals.scratch(BEFORE))?;
    Ok(rebuilt)
}

/// The tables of the directory, those that can't be read rewritten from their sound blocks.
fn usable_tables(
    shard: &Shard,
    originals: &ShardAside,
    rebuilt: &mut Rebuilt,
) -> Result<BTreeMap<u64, TableEntry>, Error> {
    let names = shard.dir.list().map_err(|source| Error::io("list", "files", shard.dir.path(), source))?;
    let mut tables = BTreeMap::new();
    for name in names {
        let FileName::Table(number) = name else { continue };
        let entry = TableEntry { number, level: 0, file_bytes: 0 };
        let usable = match Table::verify(&shard.dir, number) {
            Ok(_) => Some(entry),
            Err(Error::Damaged { .. }) => {
                let (report, rewritten) = rewrite(shard, &entry, originals)?;
                rebuilt.tables.push(report);
                rewritten
            }
            Err(error) => return Err(error),
        };
        if let Some(entry) = usable {
            rebuilt.taken += 1;
            tables.insert(number, entry);
        }
    }
    Ok(tables)
}

/// Writes everything into `dir`, durably; how many entries there are.
fn build(
    dir: &mut OsDir,
    id: [u8; 16],
    contents: &Contents,
    from: &OsDir,
    (known, partitions): (&ManifestState, &[Partition]),
) -> Result<u64, Error> {
    let (mut manifest, state) = Manifest::recover(dir, id)?;
    let mut groups = Groups { groups: contents.unflushed.groups() };
    let mut sink = TableSink::new(dir, state.next_file, Compression::None);
    let mut merge = contents.merge(from);
    merge.seek(&[])?;
    while let Some(entry) = merge.entry() {
        // What a partition left behind isn't the shard's.
        if Prefix::of(entry.key).is_some_and(|prefix| contents.unflushed.has_left(prefix.partition())) {
            merge.advance()?;
            continue;
        }
        groups.note(entry.key, entry.stamp.version());
        sink.add(entry)?;
        merge.advance()?;
    }
    let mut ranges: Vec<_> = contents.range_tombstones().cloned().collect();
    ranges.sort_by(|a, b| (&a.start, &a.end, b.version).cmp(&(&b.start, &b.end, a.version)));
    ranges.dedup();
    ranges.iter().for_each(|range| groups.note(&range.start, range.version));
    let entries = sink.entries();
    let (tables, next_file) = sink.finish(ranges)?;
    let owned = partitions.iter().filter(|&&partition| !contents.unflushed.has_left(partition));
    for &partition in owned {
        groups.entry(partition);
    }
    let groups = groups.finish(known, floor_us(contents.unflushed.clock()));
    publish(
        dir,
        &mut manifest,
        Edit {
            added: tables,
            groups,
            next_file: Some(next_file),
            clock: contents.unflushed.clock(),
            membership: known.membership,
            ..Edit::default()
        },
    )?;
    Ok(entries)
}

/// The groups' states, put together from what there is of them.
struct Groups {
    groups: BTreeMap<Partition, GroupState>,
}

impl Groups {
    fn note(&mut self, key: &[u8], version: Version) {
        let Some(prefix) = Prefix::of(key) else { return };
        let group = self.entry(prefix.partition());
        group.incarnation = group.incarnation.max(prefix.incarnation());
        group.max_version = group.max_version.max(version);
    }

    fn entry(&mut self, partition: Partition) -> &mut GroupState {
        self.groups.entry(partition).or_insert(GroupState { partition, ..GroupState::default() })
    }

    /// What was first sent up to `floor_us`, and isn't known to be done, is forgotten.
    fn finish(self, known: &ManifestState, floor_us: u64) -> Vec<GroupState> {
        let clock_us = self.groups.values().map(|group| group.clock_us).max().unwrap_or(0);
        // Where clocks were set back, what is known of one group tells how late it has been.
        let tables =
            self.groups.values().chain(known.groups.values()).filter_map(|group| group.once.as_deref());
        let known_us = tables.map(|table| table.floor_us().max(table.newest_us())).max().unwrap_or(0);
        let floor_us = floor_us.max(known_us);
        let finish = |mut group: GroupState| {
            let before = known.groups.get(&group.partition);
            group.applied_index = group.applied_index.max(before.map_or(0, |group| group.applied_index));
            group.applied_term = group.applied_term.max(1);
            // Solo: nothing older is on its way.
            group.floor = group.max_version;
            group.clock_us = clock_us;
            // The new shard has a log of its own.
            group.log_from = LogPosition::default();
            group.once = Some(Arc::new(forgetful(group.once.as_deref(), floor_us)));
            group
        };
        self.groups.into_values().map(finish).collect()
    }
}

/// What is known of requests, with all forgotten that may have been known besides and was first sent up to this time.
fn forgetful(known: Option<&Requests>, floor_us: u64) -> Requests {
    let clients = known.into_iter().flat_map(Requests::clients).map(|(client, rows)| (client, rows.clone()));
    Requests::restored(floor_us.max(known.map_or(0, Requests::floor_us)), clients)
}

/// No request that is in tables was first sent later than at this time of the wall clock, microseconds, as far as the log and the
/// clock itself tell.
fn floor_us(stamp: Option<ClockStamp>) -> u64 {
    let now_us = SystemClock::new().now().unix_us;
    now_us.max(stamp.map_or(0, |stamp| stamp.wall_us)) + AHEAD_US
}

/// Puts the directory that was made in the place of the shard's, which is kept as `before`.
fn replace(shard: &Path, made: &Path, before: &PathBuf) -> Result<(), Error> {
    let store = shard.parent().unwrap_or(shard);
    let sync = |path: &Path| fs::File::open(path)?.sync_all();
    fs::rename(shard, before)
        .and_then(|()| fs::rename(made, shard))
        .and_then(|()| sync(store))
        .and_then(|()| before.parent().map_or(Ok(()), sync))
        .map_err(|source| {
            let (made, shard) = (made.display(), shard.display());
            Error::io(
                "move",
                format!("{made} to {shard}, which completes the repair,"),
                store.display(),
                source,
            )
        })
}
