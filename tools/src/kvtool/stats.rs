//! `kvtool stats`: sums over shards.

use super::error::ToolError;
use super::output::Output;
use super::target::{Shard, Target};
use super::text::{Columns, size, time};
use super::told;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::key::Expiry;
use pinion_engine::offline::Contents;
use serde::Serialize;

#[derive(Default, Serialize)]
struct Sums {
    shard: String,
    partitions: u64,
    tables: u64,
    table_bytes: u64,
    entries: u64,
    tombstones: u64,
    range_tombstones: u64,
    expiring: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_expiry_ms: Option<u64>,
    key_bytes: u64,
    value_bytes: u64,
    log_files: u64,
    log_bytes: u64,
    log_records: u64,
    unflushed_entries: u64,
    max_version: u64,
    clock_us: u64,
    wall_us: u64,
    levels: Vec<LevelSums>,
}

#[derive(Clone, Default, Serialize)]
struct LevelSums {
    level: u8,
    tables: u64,
    bytes: u64,
    entries: u64,
    tombstones: u64,
}

#[derive(Serialize)]
struct StatsReport {
    shards: Vec<Sums>,
    total: Sums,
}

/// Sums a target up.
pub fn run(target: &Target, output: &mut Output<'_>) -> Result<(), ToolError> {
    target.no_file("stats")?;
    let shards = target.shards.iter().map(sums).collect::<Result<Vec<_>, Error>>()?;
    let mut total = Sums { shard: "total".to_owned(), ..Sums::default() };
    shards.iter().for_each(|shard| total.add(shard));
    if output.is_json() {
        return output.json(&StatsReport { shards, total });
    }
    let titles = [
        "shard",
        ">tables",
        ">size",
        ">entries",
        ">tombstones",
        ">expiring",
        ">keys",
        ">values",
        ">log",
        ">unflushed",
    ];
    let mut columns = Columns::new(&titles);
    for sums in shards.iter().chain((shards.len() != 1).then_some(&total)) {
        columns.row([
            sums.shard.clone(),
            sums.tables.to_string(),
            size(sums.table_bytes),
            sums.entries.to_string(),
            (sums.tombstones + sums.range_tombstones).to_string(),
            sums.expiring.to_string(),
            size(sums.key_bytes),
            size(sums.value_bytes),
            size(sums.log_bytes),
            sums.unflushed_entries.to_string(),
        ]);
    }
    output.lines(columns.lines(0))?;
    print_total(&total, output)
}

fn print_total(total: &Sums, output: &mut Output<'_>) -> Result<(), ToolError> {
    let mut columns = Columns::new(&[">level", ">tables", ">size", ">entries", ">tombstones"]);
    for level in &total.levels {
        let (tables, entries) = (level.tables.to_string(), level.entries.to_string());
        columns.row([
            level.level.to_string(),
            tables,
            size(level.bytes),
            entries,
            level.tombstones.to_string(),
        ]);
    }
    output.line("")?;
    output.lines(columns.lines(0))?;
    output.line("")?;
    let wall = time(total.wall_us / 1000);
    output.line(format!(
        "partitions written {}, newest version {}, last written to {wall}",
        total.partitions, total.max_version
    ))?;
    if let Some(ms) = total.earliest_expiry_ms {
        output.line(format!("earliest expiry {}", time(ms)))?;
    }
    Ok(())
}

fn sums(shard: &Shard) -> Result<Sums, Error> {
    let dir: &dyn Dir = &shard.dir;
    let contents = Contents::read(dir, shard.id()?)?;
    let (unflushed, groups) = (&contents.unflushed, contents.unflushed.groups());
    let mut sums = Sums {
        shard: shard.name.clone(),
        partitions: groups.len() as u64,
        log_records: unflushed.read.records,
        unflushed_entries: unflushed.memtable.len() as u64,
        range_tombstones: contents.range_tombstones().count() as u64,
        max_version: groups.values().map(|group| group.max_version.0).max().unwrap_or(0),
        clock_us: unflushed.clock().map_or(0, |clock| clock.shard_us),
        wall_us: unflushed.clock().map_or(0, |clock| clock.wall_us),
        ..Sums::default()
    };
    for name in dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))? {
        if let FileName::Log(_) = name {
            sums.log_files += 1;
            sums.log_bytes += dir.len(name).map_err(|source| Error::io("stat", name, dir.path(), source))?;
        }
    }
    let clocks = told::clocks_now(unflushed.clock());
    for table in &contents.tables {
        let meta = &table.meta;
        sums.tables += 1;
        sums.table_bytes += meta.file_bytes;
        sums.entries += meta.entries;
        sums.tombstones += meta.tombstones;
        sums.expiring += meta.expiring;
        sums.key_bytes += meta.key_bytes;
        sums.value_bytes += meta.value_bytes;
        if meta.earliest_expiry != Expiry::NEVER {
            sums.expires_at(clocks.told_ms(meta.earliest_expiry));
        }
        let counted = sums.level(table.level);
        counted.tables += 1;
        counted.bytes += meta.file_bytes;
        counted.entries += meta.entries;
        counted.tombstones += meta.tombstones;
    }
    Ok(sums)
}

impl Sums {
    fn expires_at(&mut self, ms: u64) {
        self.earliest_expiry_ms = Some(self.earliest_expiry_ms.map_or(ms, |earliest| earliest.min(ms)));
    }

    fn level(&mut self, level: u8) -> &mut LevelSums {
        let at = self.levels.partition_point(|other| other.level < level);
        if self.levels.get(at).is_none_or(|other| other.level != level) {
            self.levels.insert(at, LevelSums { level, ..LevelSums::default() });
        }
        &mut self.levels[at]
    }

    fn add(&mut self, other: &Sums) {
        self.partitions += other.partitions;
        self.tables += other.tables;
        self.table_bytes += other.table_bytes;
        self.entries += other.entries;
        self.tombstones += other.tombstones;
        self.range_tombstones += other.range_tombstones;
        self.expiring += other.expiring;
        self.key_bytes += other.key_bytes;
        self.value_bytes += other.value_bytes;
        self.log_files += other.log_files;
        self.log_bytes += other.log_bytes;
        self.log_records += other.log_records;
        self.unflushed_entries += other.unflushed_entries;
        self.max_version = self.max_version.max(other.max_version);
        self.clock_us = self.clock_us.max(other.clock_us);
        self.wall_us = self.wall_us.max(other.wall_us);
        if let Some(ms) = other.earliest_expiry_ms {
            self.expires_at(ms);
        }
        for level in &other.levels {
            let sums = self.level(level.level);
            sums.tables += level.tables;
            sums.bytes += level.bytes;
            sums.entries += level.entries;
            sums.tombstones += level.tombstones;
        }
    }
}
