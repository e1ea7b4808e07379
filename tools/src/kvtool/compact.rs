//! `kvtool compact`: merges what can be merged, shard by shard.

use super::error::ToolError;
use super::output::Output;
use super::progress::Progress;
use super::runner::Runner;
use super::target::{Shard, Target};
use super::text::{Columns, size};
use pinion_engine::clock::TimeJump;
use pinion_engine::job::JobKind;
use pinion_engine::manifest::Manifest;
use pinion_engine::shard::{Durability, ShardOptions};
use pinion_engine::{Error, Partition};
use serde::Serialize;

/// Memory that a shard gets while it is compacted, bytes.
const MEMORY_BYTES: usize = 256 << 20;

#[derive(Serialize)]
struct Item {
    shard: String,
    tables_before: usize,
    bytes_before: u64,
    tables_after: usize,
    bytes_after: u64,
    merges: u64,
}

/// Compacts a store, or one shard of it.
pub fn run(target: &Target, output: &mut Output<'_>) -> Result<(), ToolError> {
    target.no_file("compact")?;
    if let Some(store) = &target.store {
        store.file.remove_other_layouts(&store.path)?;
    }
    let mut items = Vec::new();
    for shard in &target.shards {
        // Without a store: whatever it holds.
        let partitions = target.partitions(&shard.name);
        let partitions = partitions.unwrap_or_else(|| (0..=16_383).map(Partition).collect());
        items.push(compact(
            shard,
            &partitions,
            target.store.as_ref().is_some_and(|store| store.file.is_made),
        )?);
    }
    if output.is_json() {
        return output.json(&items);
    }
    let titles = ["shard", ">tables", ">size", ">tables then", ">size then", ">merges"];
    let mut columns = Columns::new(&titles);
    for item in items {
        columns.row([
            item.shard,
            item.tables_before.to_string(),
            size(item.bytes_before),
            item.tables_after.to_string(),
            size(item.bytes_after),
            item.merges.to_string(),
        ]);
    }
    output.lines(columns.lines(0))
}

fn compact(shard: &Shard, partitions: &[Partition], is_made: bool) -> Result<Item, Error> {
    let progress = Progress::open_ended();
    progress.on(format!("{}: opening", shard.name));
    let before = tables(shard)?;
    let options = ShardOptions {
        shard_id: shard.id()?,
        partitions: partitions.to_vec(),
        durability: Durability::Sync,
        memory_bytes: MEMORY_BYTES,
        direct: false,
        value_bytes_max: ShardOptions::VALUE_BYTES_MAX,
        membership: None,
        is_made,
        time_jump: TimeJump::Refuse,
    };
    let mut dir = shard.dir.clone();
    let mut runner = Runner::open(&mut dir, options)?;
    runner.settle(&mut |job| {
        let what = match job.kind() {
            JobKind::Flush => "flushing",
            JobKind::Merge => "merging",
            _ => return,
        };
        progress.on(format!("{}: {what}", shard.name));
    })?;
    let merges = runner.stats().merges;
    runner.close()?;
    let after = tables(shard)?;
    Ok(Item {
        shard: shard.name.clone(),
        tables_before: before.0,
        bytes_before: before.1,
        tables_after: after.0,
        bytes_after: after.1,
        merges,
    })
}

fn tables(shard: &Shard) -> Result<(usize, u64), Error> {
    let state = Manifest::dump(&shard.dir, &mut |_| {})?;
    Ok((state.tables.len(), state.tables.values().map(|table| table.file_bytes).sum()))
}
