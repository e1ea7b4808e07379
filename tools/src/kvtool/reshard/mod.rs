//! `kvtool reshard`: gives a store another number of shards.
//!
//! 1. What an earlier attempt left (shard directories of other layouts) is removed.
//! 2. What the old shards' logs hold beyond their tables is written as tables into directories of a scratch layout,
//!    two above the store's, one shard's at a time, so that memory is bounded.
//! 3. Each new shard is built in a directory of the next layout: for the partitions that the placement gives it,
//!    every version, tombstone and range tombstone moves as it is into tables of the bottom level, and the groups'
//!    states into its manifest. Everything is synced.
//! 4. `STORE` is replaced: from one moment to the next the new shards count.
//! 5. The directories of all other layouts, the old shards among them, are removed.
//!
//! The old shards are only read. So whenever it is cut off, the store opens with the old shards before step 4, and
//! with the new ones after it; what is left over is removed by the next opening or reshard.

mod build;
mod disk;
mod source;

pub use disk::{Disk, OsDisk};

use super::ToolError;
use super::args;
use super::output::Output;
use super::progress::Progress;
use super::target::{StoreDir, Target};
use super::text::size;
use build::build;
use pinion_engine::Error;
use pinion_engine::drive::StoreFile;
use pinion_engine::placement::Placement;
use serde::Serialize;
use source::Sources;

/// What a reshard came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Shards before.
    pub shards_before: u32,
    /// Shards now.
    pub shards: u32,
    /// The layout now.
    pub layout: u32,
    /// Partitions that held anything.
    pub partitions: u64,
    /// Entries that moved, range tombstones not counted.
    pub entries: u64,
    /// Range tombstones that moved.
    pub range_tombstones: u64,
    /// Tables that were written.
    pub tables: u64,
    /// Their length, bytes.
    pub bytes: u64,
}

/// Reshards the store that the arguments name.
pub fn run(args: &args::Reshard, output: &mut Output<'_>) -> Result<(), ToolError> {
    let target = Target::open(&args.path)?;
    let store = target.whole_store("reshard")?;
    if args.shards > store.file.partitions {
        return Err(ToolError::Usage(format!(
            "{} shards for {} partitions: a shard has at least one partition, whose number is fixed when a store is made",
            args.shards, store.file.partitions
        )));
    }
    let summary = reshard(&mut OsDisk, store, args.shards)?;
    if output.is_json() {
        return output.json(&summary);
    }
    let Summary { shards_before, shards, entries, range_tombstones, tables, bytes, .. } = summary;
    if shards == shards_before {
        return output.line(format!("the store has {shards} shards already; nothing was moved"));
    }
    output.line(format!("{shards_before} shards are {shards} now"))?;
    output.line(format!(
        "moved {entries} entries and {range_tombstones} range tombstones into {tables} tables, {}",
        size(bytes)
    ))
}

/// Reshards a store that is locked; every change goes through `disk`.
pub fn reshard(disk: &mut dyn Disk, store: &StoreDir, shards: u32) -> Result<Summary, Error> {
    let StoreDir { path, file } = store;
    remove_others(disk, store)?;
    let mut summary =
        Summary { shards_before: file.shards, shards, layout: file.layout, ..Summary::default() };
    if shards == file.shards {
        return Ok(summary);
    }
    let layout = file.layout.checked_add(2).map(|scratch| (scratch - 1, scratch));
    let (layout, scratch) =
        layout.ok_or_else(|| Error::Limit("the store has no layout number left".into()))?;
    let new = StoreFile { shards, layout, ..file.clone() };
    let built = build_all(disk, store, &new, scratch, &mut summary);
    if let Err(error) = built {
        // The old shards are untouched; what was built is garbage that would only take space.
        let removed = remove_others(disk, store);
        drop(removed);
        return Err(error);
    }
    disk.write_store(path, &new)?;
    summary.layout = layout;
    remove_others(disk, &StoreDir { path: path.clone(), file: new })?;
    Ok(summary)
}

fn build_all(
    disk: &mut dyn Disk,
    store: &StoreDir,
    new: &StoreFile,
    scratch: u32,
    summary: &mut Summary,
) -> Result<(), Error> {
    let sources = Sources::gather(disk, store, scratch)?;
    summary.partitions = sources.groups.len() as u64;
    let progress = Progress::bytes(sources.content_bytes());
    let placement = Placement::new(new.partitions as usize, new.shards as usize);
    for shard in 0..new.shards {
        progress.on(format!("shard {shard} of {}", new.shards));
        let mut dir = disk.create_shard(&new.shard_dir(&store.path, shard))?;
        build(dir.as_mut(), new.shard_id(shard), &sources, &placement, shard, summary, &progress)?;
    }
    Ok(())
}

fn remove_others(disk: &mut dyn Disk, store: &StoreDir) -> Result<(), Error> {
    store.file.other_layouts(&store.path)?.iter().try_for_each(|path| disk.remove_shard(path))
}
