//! `kvtool ls`: shards and files.

use super::error::ToolError;
use super::output::Output;
use super::target::{Shard, Target};
use super::text::{Columns, Key, hex, key, size};
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::StoreDir;
use pinion_engine::io::FileName;
use pinion_engine::manifest::{Manifest, ManifestState};
use pinion_engine::table::{Table, TableMeta};
use serde::Serialize;

#[derive(Serialize)]
struct Listing {
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreItem>,
    shards: Vec<ShardItem>,
    missing: Vec<String>,
}

#[derive(Serialize)]
struct StoreItem {
    id: String,
    shards: u32,
    partitions: u32,
    layout: u32,
    leftovers: Vec<String>,
}

#[derive(Serialize)]
struct ShardItem {
    shard: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    files: Vec<FileItem>,
}

#[derive(Serialize)]
struct FileItem {
    file: String,
    bytes: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    table: Option<TableItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct TableItem {
    entries: u64,
    tombstones: u64,
    range_tombstones: usize,
    first: Key,
    last: Key,
    #[serde(skip)]
    range: String,
}

/// Lists a target.
pub fn run(target: &Target, output: &mut Output<'_>) -> Result<(), ToolError> {
    let store = target.store.as_ref().map(store_item).transpose()?;
    let shards = target.shards.iter().map(|shard| shard_item(shard, target.file));
    let shards = shards.collect::<Result<Vec<_>, Error>>()?;
    let listing = Listing { store, shards, missing: target.missing.clone() };
    if output.is_json() {
        return output.json(&listing);
    }
    if let Some(store) = &listing.store {
        let StoreItem { id, shards, partitions, layout, .. } = store;
        output.line(format!("store {id}: shards {shards}, partitions {partitions}, layout {layout}"))?;
        for name in &store.leftovers {
            output.line(format!("{name}: leftover of a reshard, removed when the store is opened"))?;
        }
    }
    for name in &listing.missing {
        output.line(format!("{name}: not there"))?;
    }
    listing.shards.iter().try_for_each(|shard| print_shard(shard, output))
}

fn store_item(store: &StoreDir) -> Result<StoreItem, Error> {
    let leftovers = store.file.other_layouts(&store.path)?;
    let name = |path: std::path::PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(StoreItem {
        id: hex(&store.file.id),
        shards: store.file.shards,
        partitions: store.file.partitions,
        layout: store.file.layout,
        leftovers: leftovers.into_iter().filter_map(name).collect(),
    })
}

fn shard_item(shard: &Shard, only: Option<FileName>) -> Result<ShardItem, Error> {
    let dir = &shard.dir;
    let (manifest, error) = match Manifest::dump(dir, &mut |_| {}) {
        Ok(state) => (Some(state), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let mut names = dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))?;
    let newest = names.iter().filter(|name| matches!(name, FileName::Manifest(_))).max().copied();
    names.retain(|&name| only.is_none_or(|only| only == name));
    let mut files = Vec::new();
    for name in names {
        let bytes = dir.len(name).map_err(|source| Error::io("stat", name, dir.path(), source))?;
        let mut item = FileItem {
            file: name.to_string(),
            bytes,
            state: state_of(name, manifest.as_ref(), newest),
            level: None,
            table: None,
            error: None,
        };
        if let FileName::Table(number) = name {
            item.level =
                manifest.as_ref().and_then(|state| state.tables.get(&number)).map(|entry| entry.level);
            match Table::open(dir, number, false) {
                Ok(table) => item.table = Some(table_item(table.meta())),
                Err(error) => item.error = Some(error.to_string()),
            }
        }
        files.push((rank(name, item.level), item));
    }
    files.sort_by_key(|(rank, _)| *rank);
    let files = files.into_iter().map(|(_, item)| item).collect();
    Ok(ShardItem { shard: shard.name.clone(), error, files })
}

/// Manifests, logs, tables by level; each by number.
fn rank(name: FileName, level: Option<u8>) -> (u8, u8, u64) {
    let kind = match name {
        FileName::Manifest(_) | FileName::ManifestTemp(_) => 0,
        FileName::Log(_) => 1,
        FileName::Table(_) => 2,
    };
    (kind, level.unwrap_or(u8::MAX), name.number())
}

fn state_of(name: FileName, manifest: Option<&ManifestState>, newest: Option<FileName>) -> &'static str {
    match name {
        FileName::Table(number) => match manifest {
            Some(state) if state.tables.contains_key(&number) => "live",
            Some(_) => "orphan",
            None => "unknown",
        },
        FileName::Manifest(_) if Some(name) == newest => "live",
        FileName::Manifest(_) | FileName::ManifestTemp(_) => "leftover",
        FileName::Log(_) => "log",
    }
}

fn table_item(meta: &TableMeta) -> TableItem {
    TableItem {
        entries: meta.entries,
        tombstones: meta.tombstones,
        range_tombstones: meta.range_tombstones.len(),
        first: meta.min_key.as_slice().into(),
        last: meta.max_key.as_slice().into(),
        range: format!("{} .. {}", key(&meta.min_key), key(&meta.max_key)),
    }
}

fn print_shard(shard: &ShardItem, output: &mut Output<'_>) -> Result<(), ToolError> {
    output.line(&shard.shard)?;
    if let Some(error) = &shard.error {
        output.line(format!("  ! {error}"))?;
    }
    let mut columns = Columns::new(&["file", "state", ">level", ">size", ">entries", ">deleted", "keys"]);
    for file in &shard.files {
        let table = file.table.as_ref();
        let number = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
        let deleted = table.map(|table| table.tombstones + table.range_tombstones as u64);
        let error = file.error.as_ref().map(|error| format!("! {error}"));
        columns.row([
            file.file.clone(),
            file.state.to_owned(),
            number(file.level.map(u64::from)),
            size(file.bytes),
            number(table.map(|table| table.entries)),
            number(deleted),
            error.or_else(|| table.map(|table| table.range.clone())).unwrap_or_default(),
        ]);
    }
    output.lines(columns.lines(2))
}
