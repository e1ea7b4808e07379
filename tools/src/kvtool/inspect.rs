//! `kvtool inspect`: the parts of one file.

use super::args::Inspect;
use super::error::ToolError;
use super::output::Output;
use super::target::{OneFile, Shard, Target};
use super::text::{Columns, Key, expiry, key};
use super::{log, manifest};
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::key::Expiry;
use pinion_engine::table::{Block, BlockCursor, Table, TableMeta};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct TableReport {
    table: u64,
    bytes: u64,
    parts: Vec<PartItem>,
    entries: u64,
    tombstones: u64,
    expiring: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_expiry_ms: Option<u64>,
    key_bytes: u64,
    value_bytes: u64,
    first: Key,
    last: Key,
    min_version: u64,
    max_version: u64,
    range_tombstones: Vec<RangeItem>,
    block_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<BlockItem>,
}

#[derive(Serialize)]
struct PartItem {
    part: &'static str,
    offset: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct RangeItem {
    start: Key,
    end: Key,
    version: u64,
}

#[derive(Serialize)]
struct BlockItem {
    offset: u64,
    bytes: u32,
    entries: usize,
    first: Key,
    #[serde(skip)]
    first_text: String,
}

/// Shows a file's parts.
pub fn run(args: &Inspect, output: &mut Output<'_>) -> Result<(), ToolError> {
    let target = Target::open(&args.path)?;
    let (Some(file), [shard]) = (target.file, target.shards.as_slice()) else {
        return Err(ToolError::Usage(format!(
            "`kvtool inspect` takes one file of a shard, such as shard-000/000001.sst; `kvtool ls {}` lists them",
            args.path.display()
        )));
    };
    let only = OneFile { dir: &shard.dir, file };
    match file {
        FileName::Table(number) => table(shard, number, args.blocks, output),
        FileName::Log(_) => log::print(&only, &shard.name, false, output),
        FileName::Manifest(_) => manifest::print(&only, &shard.name, output),
        FileName::ManifestTemp(_) => Err(ToolError::Usage(format!(
            "{file} is half a manifest; it is removed when the shard is opened"
        ))),
    }
}

fn table(shard: &Shard, number: u64, with_blocks: bool, output: &mut Output<'_>) -> Result<(), ToolError> {
    let table = Table::open(&shard.dir, number, false)?;
    let blocks = if with_blocks { blocks(&shard.dir, &table)? } else { Vec::new() };
    let report = report(&table, blocks);
    if output.is_json() {
        return output.json(&report);
    }
    output.line(format!("{}: {} bytes", FileName::Table(number), report.bytes))?;
    let mut columns = Columns::new(&["part", ">offset", ">bytes"]);
    for part in &report.parts {
        columns.row([part.part.to_owned(), part.offset.to_string(), part.bytes.to_string()]);
    }
    output.lines(columns.lines(2))?;
    output.lines(properties(table.meta(), report.block_count))?;
    if with_blocks {
        let mut columns = Columns::new(&[">block", ">offset", ">bytes", ">entries", "first key"]);
        for (i, block) in report.blocks.iter().enumerate() {
            let (offset, bytes) = (block.offset.to_string(), block.bytes.to_string());
            columns.row([i.to_string(), offset, bytes, block.entries.to_string(), block.first_text.clone()]);
        }
        output.lines(columns.lines(2))?;
    }
    Ok(())
}

fn properties(meta: &TableMeta, blocks: usize) -> Vec<String> {
    let mut lines = vec![
        format!(
            "  entries {} in {blocks} blocks, {} of them tombstones; keys {} bytes, values {} bytes",
            meta.entries, meta.tombstones, meta.key_bytes, meta.value_bytes
        ),
        format!("  expiring {}, earliest {} by shard time", meta.expiring, expiry(meta.earliest_expiry)),
        format!("  keys {} .. {}", key(&meta.min_key), key(&meta.max_key)),
        format!("  versions {} .. {}", meta.min_version.0, meta.max_version.0),
    ];
    for range in &meta.range_tombstones {
        let (start, end) = (key(&range.start), key(&range.end));
        lines.push(format!("  range tombstone {start} .. {end} version {}", range.version.0));
    }
    lines
}

fn report(table: &Table, blocks: Vec<BlockItem>) -> TableReport {
    let meta = table.meta();
    let part = |part: pinion_engine::table::TablePart| PartItem {
        part: part.name,
        offset: part.range.start,
        bytes: part.range.end - part.range.start,
    };
    let range = |range: &pinion_engine::key::RangeTombstone| RangeItem {
        start: range.start.as_slice().into(),
        end: range.end.as_slice().into(),
        version: range.version.0,
    };
    TableReport {
        table: meta.number,
        bytes: meta.file_bytes,
        parts: table.parts().into_iter().map(part).collect(),
        entries: meta.entries,
        tombstones: meta.tombstones,
        expiring: meta.expiring,
        earliest_expiry_ms: Some(meta.earliest_expiry).filter(|&e| e != Expiry::NEVER).map(|e| e.0),
        key_bytes: meta.key_bytes,
        value_bytes: meta.value_bytes,
        first: meta.min_key.as_slice().into(),
        last: meta.max_key.as_slice().into(),
        min_version: meta.min_version.0,
        max_version: meta.max_version.0,
        range_tombstones: meta.range_tombstones.iter().map(range).collect(),
        block_count: table.blocks(),
        blocks,
    }
}

fn blocks(dir: &dyn Dir, table: &Table) -> Result<Vec<BlockItem>, Error> {
    (0..table.blocks())
        .map(|i| {
            let at = table.block_ref(i);
            let block = read_block(dir, table, i)?;
            let entries = block.entries();
            let cursor = BlockCursor::new(Arc::new(block));
            let first = cursor.entry().map_or(Vec::new(), |entry| entry.key.to_vec());
            let (first_text, first) = (key(&first), first.as_slice().into());
            Ok(BlockItem { offset: at.offset, bytes: at.len, entries, first, first_text })
        })
        .collect()
}

/// Reads and checks one block of a table.
pub fn read_block(dir: &dyn Dir, table: &Table, i: usize) -> Result<Block, Error> {
    let (at, file) = (table.block_ref(i), FileName::Table(table.meta().number));
    let raw = dir.read(file, at.offset, at.len as usize);
    table.decode_block(at, &raw.map_err(|source| Error::io("read", file, dir.path(), source))?)
}
