//! Gives a store another number of shards.
//!
//! 1. What an earlier attempt left (shard directories of other layouts) is removed.
//! 2. What the old shards' logs hold beyond their tables is written as tables into directories of a scratch layout,
//!    two above the store's, one shard's at a time, so that memory is bounded.
//! 3. Each new shard is built in a directory of the next layout: for the partitions that the placement gives it,
//!    every version, tombstone and range tombstone moves as it is into tables of the bottom level, and the groups'
//!    states into its manifest. Where the old shards' times differ, expiries are told in one ([`Meeting`](crate::clock::Meeting)). Everything is
//!    synced.
//! 4. `STORE` is replaced: from one moment to the next the new shards count.
//! 5. The directories of all other layouts, the old shards among them, are removed.
//!
//! A shard whose directory is a symbolic link stays where that leads: new shards are placed like the old ones, in turn.
//!
//! The old shards are only read. So whenever it is cut off, the store opens with the old shards before step 4, and
//! with the new ones after it; what is left over is removed by the next opening or reshard.

mod build;
mod disk;
mod report;
mod sources;

pub use disk::{Disk, OsDisk};
pub use report::{ReshardReport, Watch};

use crate::Error;
use crate::drive::{StoreDir, StoreFile};
use crate::placement::Placement;
use build::build;
use sources::Sources;

/// Reshards a store that is locked; every change goes through `disk`. Refuses what no placement gives: no shards, or more
/// than partitions.
pub fn reshard(
    disk: &mut dyn Disk,
    store: &StoreDir,
    shards: u32,
    watch: &mut dyn Watch,
) -> Result<ReshardReport, Error> {
    let StoreDir { path, file } = store;
    StoreFile { shards, ..file.clone() }.check().map_err(Error::Unusable)?;
    remove_others(disk, store)?;
    let mut done =
        ReshardReport { shards_before: file.shards, shards, layout: file.layout, ..ReshardReport::default() };
    if shards == file.shards {
        return Ok(done);
    }
    let layout = file.layout.checked_add(2).map(|scratch| (scratch - 1, scratch));
    let (layout, scratch) =
        layout.ok_or_else(|| Error::Limit("the store has no layout number left".into()))?;
    let new = StoreFile { shards, layout, is_made: true, ..file.clone() };
    let built = build_all(disk, store, &new, scratch, &mut done, watch);
    if let Err(error) = built {
        // The old shards are untouched; what was built is garbage that would only take space.
        let removed = remove_others(disk, store);
        drop(removed);
        return Err(error);
    }
    disk.write_store(path, &new)?;
    done.layout = layout;
    remove_others(disk, &StoreDir { path: path.clone(), file: new })?;
    Ok(done)
}

fn build_all(
    disk: &mut dyn Disk,
    store: &StoreDir,
    new: &StoreFile,
    scratch: u32,
    done: &mut ReshardReport,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let sources = Sources::gather(disk, store, scratch)?;
    done.partitions = sources.groups.len() as u64;
    watch.begins(sources.content_bytes());
    let placement = Placement::new(new.partitions as usize, new.shards as usize);
    for shard in 0..new.shards {
        watch.builds(shard, new.shards);
        let path = new.shard_dir(&store.path, shard);
        disk.place_like(&path, &store.file.shard_dir(&store.path, shard % store.file.shards))?;
        let mut dir = disk.create_shard(&path)?;
        build(dir.as_mut(), new, &sources, &placement, shard, done, watch)?;
    }
    Ok(())
}

fn remove_others(disk: &mut dyn Disk, store: &StoreDir) -> Result<(), Error> {
    disk.other_layouts(store)?.iter().try_for_each(|path| disk.remove_shard(path))
}
