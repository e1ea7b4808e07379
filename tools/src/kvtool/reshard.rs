//! `kvtool reshard`: gives a store another number of shards. How, says [`pinion_engine::offline`].

use super::args;
use super::error::ToolError;
use super::output::Output;
use super::progress::Progress;
use super::target::Target;
use super::text::{counted, size};
use pinion_engine::drive::StoreFile;
use pinion_engine::offline::{OsDisk, ReshardReport, Watch, reshard};
use serde::Serialize;

/// [`ReshardReport`] as it is printed.
#[derive(Serialize)]
struct Item {
    shards_before: u32,
    shards: u32,
    layout: u32,
    partitions: u64,
    entries: u64,
    range_tombstones: u64,
    tables: u64,
    bytes: u64,
}

/// Reshards the store that the arguments name.
pub fn run(args: &args::Reshard, output: &mut Output<'_>) -> Result<(), ToolError> {
    let target = Target::own(&args.path)?;
    let store = target.whole_store("reshard")?;
    if args.shards > StoreFile::SHARDS_MAX {
        let most = StoreFile::SHARDS_MAX;
        let text = format!("{} shards are more than the {most} that kvd serves", args.shards);
        return Err(ToolError::Usage(text));
    }
    if args.shards > store.file.partitions {
        return Err(ToolError::Usage(format!(
            "{} shards for {} partitions: a shard has at least one partition, whose number is fixed when a store is made",
            args.shards, store.file.partitions
        )));
    }
    let done = reshard(&mut OsDisk, store, args.shards, &mut Bar(Progress::open_ended()))?;
    let ReshardReport { shards_before, shards, layout, partitions, entries, range_tombstones, tables, bytes } =
        done;
    if output.is_json() {
        return output.json(&Item {
            shards_before,
            shards,
            layout,
            partitions,
            entries,
            range_tombstones,
            tables,
            bytes,
        });
    }
    if shards == shards_before {
        let shards = counted(shards.into(), "shard", "shards");
        return output.line(format!("the store has {shards} already; nothing was moved"));
    }
    let before = counted(shards_before.into(), "shard is", "shards are");
    output.line(format!("{before} {shards} now"))?;
    output.line(format!(
        "moved {} and {} into {}, {}",
        counted(entries, "entry", "entries"),
        counted(range_tombstones, "range tombstone", "range tombstones"),
        counted(tables, "table", "tables"),
        size(bytes)
    ))
}

/// Shows how far it is.
struct Bar(Progress);

impl Watch for Bar {
    fn begins(&mut self, bytes: u64) {
        self.0 = Progress::bytes(bytes);
    }

    fn builds(&mut self, shard: u32, shards: u32) {
        self.0.on(format!("shard {shard} of {shards}"));
    }

    fn moved(&mut self, bytes: u64) {
        self.0.advance(bytes);
    }
}
