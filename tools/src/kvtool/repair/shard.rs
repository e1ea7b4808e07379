//! Repairing one shard.

use super::aside::{Aside, ShardAside};
use super::salvage::{TableRepair, rewrite};
use crate::kvtool::runner::publish;
use crate::kvtool::target::Shard;
use crate::kvtool::text::key;
use crate::kvtool::verify::Finding;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::OsDir;
use pinion_engine::io::FileName;
use pinion_engine::log::{LogOptions, RepairReport, repair as repair_log};
use pinion_engine::manifest::{Edit, Manifest, ManifestState};
use pinion_engine::table::Table;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was done to a shard.
#[derive(Debug, Serialize)]
pub struct ShardRepair {
    shard: String,
    manifest_edits_kept: u64,
    manifest_edits_dropped: u64,
    tables: Vec<TableRepair>,
    log_commits_kept: u64,
    log_records_kept: u64,
    log_dropped: Vec<DroppedLog>,
    log_damage: Vec<String>,
    manifest_damage: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DroppedLog {
    file: String,
    offset: u64,
    commits: u64,
    records: u64,
}

impl ShardRepair {
    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.shard.clone()];
        if !self.manifest_damage.is_empty() {
            lines.push(format!(
                "  manifest: {} edits stay, {} behind the damage are dropped",
                self.manifest_edits_kept, self.manifest_edits_dropped
            ));
        }
        for table in &self.tables {
            lines.push(match table.outcome {
                "salvaged" => format!("  {}: {} entries stay", table.file, table.entries),
                "missing" => format!("  {}: missing, dropped from the manifest", table.file),
                "unnamed" => format!("  {}: the manifest doesn't name it any more; moved aside", table.file),
                _ => format!("  {}: nothing of it can be read; moved aside", table.file),
            });
            lines.extend(table.lost.iter().map(|lost| format!("    lost: {lost}")));
        }
        if !self.log_damage.is_empty() {
            lines.push(format!(
                "  log: {} commits with {} records stay",
                self.log_commits_kept, self.log_records_kept
            ));
            for DroppedLog { file, offset, commits, records } in &self.log_dropped {
                lines.push(format!(
                    "    lost: {commits} commits with {records} records in {file} from offset {offset}"
                ));
            }
        }
        lines
    }
}

/// Repairs a shard that has this damage.
pub fn repair(shard: &Shard, damage: &[Finding], aside: &Aside) -> Result<ShardRepair, Error> {
    let id = shard.id()?;
    let mut dir = shard.dir.clone();
    let aside = aside.shard(&shard.name)?;
    keep_logs_and_manifests(&dir, damage, &aside)?;
    let manifest = Manifest::repair(&mut dir, id)?;
    let mut tables = Vec::new();
    if !manifest.damage.is_empty() {
        move_unnamed(&dir, &manifest.state, &aside, &mut tables)?;
    }
    repair_tables(shard, id, &manifest.state, damage, &aside, &mut tables)?;
    let log = repair_log(&mut dir, manifest.state.log_start, LogOptions::new(id, false))?;
    let RepairReport { damage: log_damage, kept_commits, kept_records, dropped } = log;
    let dropped = dropped.into_iter().map(|dropped| DroppedLog {
        file: dropped.file.to_string(),
        offset: dropped.offset,
        commits: dropped.commits,
        records: dropped.records,
    });
    Ok(ShardRepair {
        shard: shard.name.clone(),
        manifest_edits_kept: manifest.kept_edits,
        manifest_edits_dropped: manifest.dropped_edits,
        tables,
        log_commits_kept: kept_commits,
        log_records_kept: kept_records,
        log_dropped: dropped.collect(),
        log_damage,
        manifest_damage: manifest.damage,
    })
}

/// Copies what the engine's repairs may write into, unless only tables are damaged.
fn keep_logs_and_manifests(dir: &OsDir, damage: &[Finding], aside: &ShardAside) -> Result<(), Error> {
    if damage.iter().all(|finding| matches!(FileName::parse(&finding.file), Some(FileName::Table(_)))) {
        return Ok(());
    }
    for name in list(dir)? {
        if !matches!(name, FileName::Table(_)) {
            aside.copy(&path(dir, name))?;
        }
    }
    Ok(())
}

/// Moves tables aside that edits named which are dropped now.
fn move_unnamed(
    dir: &OsDir,
    state: &ManifestState,
    aside: &ShardAside,
    tables: &mut Vec<TableRepair>,
) -> Result<(), Error> {
    for name in list(dir)? {
        let FileName::Table(number) = name else { continue };
        if state.tables.contains_key(&number) {
            continue;
        }
        let lost = match Table::open(dir, number, false) {
            Ok(table) => {
                let meta = table.meta();
                format!("{} entries from {} to {}", meta.entries, key(&meta.min_key), key(&meta.max_key))
            }
            Err(error) => error.to_string(),
        };
        aside.link(&path(dir, name))?;
        dir.clone().unlink(name).map_err(|source| Error::io("remove", name, dir.path(), source))?;
        let lost = vec![lost];
        tables.push(TableRepair { file: name.to_string(), outcome: "unnamed", entries: 0, lost });
    }
    Ok(())
}

fn repair_tables(
    shard: &Shard,
    id: [u8; 16],
    state: &ManifestState,
    damage: &[Finding],
    aside: &ShardAside,
    tables: &mut Vec<TableRepair>,
) -> Result<(), Error> {
    let mut edit = Edit::default();
    let mut gone = Vec::new();
    for entry in state.tables.values() {
        let name = FileName::Table(entry.number);
        if !path(&shard.dir, name).exists() {
            edit.removed.push(entry.number);
            tables.push(TableRepair { file: name.to_string(), outcome: "missing", ..TableRepair::default() });
            continue;
        }
        // With a damaged manifest tables weren't looked at in its light, but all were looked at.
        if !damage.iter().any(|finding| finding.file == name.to_string()) {
            continue;
        }
        let (report, rewritten) = rewrite(shard, entry, aside)?;
        tables.push(report);
        edit.removed.push(entry.number);
        match rewritten {
            Some(entry) => edit.added.push(entry),
            None => gone.push(name),
        }
    }
    if edit.removed.is_empty() {
        return Ok(());
    }
    let mut dir = shard.dir.clone();
    let (mut manifest, _) = Manifest::recover(&mut dir, id)?;
    publish(&mut dir, &mut manifest, edit)?;
    for name in gone {
        dir.unlink(name).map_err(|source| Error::io("remove", name, dir.path(), source))?;
    }
    Ok(())
}

fn list(dir: &OsDir) -> Result<Vec<FileName>, Error> {
    let mut names = dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))?;
    names.sort_unstable();
    Ok(names)
}

fn path(dir: &OsDir, name: FileName) -> PathBuf {
    Path::new(&dir.path()).join(name.to_string())
}
