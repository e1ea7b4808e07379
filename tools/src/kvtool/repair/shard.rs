//! Repairing one shard.

use super::aside::{Aside, ShardAside};
use super::rebuild::rebuild;
use super::salvage::{TableRepair, rewrite};
use crate::kvtool::target::Shard;
use crate::kvtool::text::{counted, parts_with_records, runs, size, time};
use crate::kvtool::verify::Finding;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::OsDir;
use pinion_engine::drive::blocking::publish;
use pinion_engine::io::FileName;
use pinion_engine::key::Partition;
use pinion_engine::log::{Hole, LogOptions, LogPosition, Remains, RepairReport, repair as repair_log};
use pinion_engine::manifest::{Edit, Manifest, ManifestState};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was done to a shard.
#[derive(Debug, Default, Serialize)]
pub struct ShardRepair {
    shard: String,
    /// Whether the shard was built anew because its manifest couldn't be trusted; then from so many tables.
    rebuilt_from_tables: Option<u64>,
    rebuilt_entries: Option<u64>,
    tables: Vec<TableRepair>,
    /// The segment in which the log starts that the shard was built anew from.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_starts_in: Option<String>,
    log_parts_kept: u64,
    log_records_kept: u64,
    log_dropped: Vec<DroppedLog>,
    log_damage: Vec<String>,
    /// Segments of the log whose damaged header was put together again.
    log_headers_restored: Vec<String>,
    /// What is lost and can't be counted, in words.
    lost: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DroppedLog {
    file: String,
    offset: u64,
    parts: u64,
    records: u64,
}

impl ShardRepair {
    fn take_log(&mut self, log: RepairReport) {
        let dropped = log.dropped.into_iter().map(|dropped| DroppedLog {
            file: dropped.file.to_string(),
            offset: dropped.offset,
            parts: dropped.parts,
            records: dropped.records,
        });
        self.log_dropped = dropped.collect();
        self.log_headers_restored = log.restored.iter().map(FileName::to_string).collect();
        if let Some(LogPosition { segment, offset }) = log.lost_behind {
            self.lost.push(match log.kept_records {
                0 => "all that was only in the log".to_owned(),
                _ => format!(
                    "whatever was logged behind {segment}:{offset}, after {}",
                    time(log.kept_clock_us / 1000)
                ),
            });
        }
        self.log_damage = log.damage;
        self.log_parts_kept = log.kept_parts;
        self.log_records_kept = log.kept_records;
    }

    /// What there was of the log of a shard that was built anew.
    fn take_remains(&mut self, log: Remains) {
        self.log_starts_in = log.start.map(|file| file.to_string());
        self.log_headers_restored = log.restored.iter().map(FileName::to_string).collect();
        for Hole { damage, after, after_clock_us, before } in log.holes {
            self.lost.push(match (after, before) {
                (None, None) => "all that was only in the log".to_owned(),
                (None, Some(LogPosition { segment, .. })) => {
                    format!("whatever was only in the log before segment {segment}")
                }
                (Some(LogPosition { segment, offset }), before) => {
                    let until = before.map_or_else(String::new, |before| {
                        format!(" and before segment {}, if no table has it", before.segment)
                    });
                    let after = time(after_clock_us / 1000);
                    format!("whatever was logged behind {segment}:{offset}, after {after}{until}")
                }
            });
            self.log_damage.push(damage);
        }
        self.log_parts_kept = log.read.parts;
        self.log_records_kept = log.read.records;
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.shard.clone()];
        if let (Some(tables), Some(entries)) = (self.rebuilt_from_tables, self.rebuilt_entries) {
            let (tables, entries) =
                (counted(tables, "table", "tables"), counted(entries, "entry", "entries"));
            lines.push(format!("  built anew from {tables} and the log: {entries}"));
            lines.push(
                "  which of the requests that are done once are in tables isn't known any more: copies of those are answered as forgotten"
                    .to_owned(),
            );
        }
        for table in &self.tables {
            lines.push(match table.outcome {
                "salvaged" => {
                    format!("  {}: {}", table.file, counted(table.entries, "entry stays", "entries stay"))
                }
                "missing" => format!("  {}: missing, dropped from the manifest", table.file),
                _ => format!("  {}: nothing of it can be read; moved aside", table.file),
            });
            lines.extend(table.lost.iter().map(|lost| format!("    lost: {lost}")));
        }
        for file in &self.log_headers_restored {
            lines.push(format!(
                "  {file}: its header was damaged, and is put together again; nothing of it is lost"
            ));
        }
        if let Some(file) = &self.log_starts_in {
            let kept = parts_with_records(self.log_parts_kept, self.log_records_kept);
            lines.push(format!("  log: {kept} stay, from {file} on"));
        } else if !self.log_damage.is_empty() {
            lines.push(format!(
                "  log: {} stay",
                parts_with_records(self.log_parts_kept, self.log_records_kept)
            ));
            for DroppedLog { file, offset, parts, records } in &self.log_dropped {
                let dropped = parts_with_records(*parts, *records);
                lines.push(format!("    lost: {dropped} in {file} from offset {offset}"));
            }
        }
        lines.extend(self.lost.iter().map(|lost| format!("    lost: {lost}")));
        lines
    }
}

/// Repairs a shard that has this damage, and owns these partitions, as far as known.
pub fn repair(
    shard: &Shard,
    damage: &[Finding],
    partitions: Option<&[Partition]>,
    aside: &Aside,
) -> Result<ShardRepair, Error> {
    let id = shard.id()?;
    let mut dir = shard.dir.clone();
    let originals = aside.shard(&shard.name)?;
    keep_logs_and_manifests(&dir, damage, &originals)?;
    let mut known = ManifestState::default();
    let mut report = ShardRepair { shard: shard.name.clone(), ..ShardRepair::default() };
    match Manifest::dump(&dir, &mut |record| known.apply(&record.edit)) {
        Ok(state) => {
            refuse_replicas(&shard.name, &state)?;
            repair_tables(shard, id, &state, damage, &originals, &mut report.tables)?;
            report.take_log(repair_log(&mut dir, state.log(), LogOptions::new(id, false))?);
        }
        Err(Error::Damaged { .. } | Error::Unusable(_)) => {
            if list(&dir)?.is_empty() {
                let runs = partitions.map_or_else(|| "that it had".to_owned(), runs);
                report.lost.push(format!("every key of partitions {runs}: no file of the shard is there"));
            }
            refuse_replicas(&shard.name, &known)?;
            let rebuilt = rebuild(shard, id, (&known, partitions.unwrap_or_default()), aside)?;
            report.tables = rebuilt.tables;
            report.rebuilt_from_tables = Some(rebuilt.taken);
            report.rebuilt_entries = Some(rebuilt.entries);
            report.take_remains(rebuilt.log);
        }
        Err(error) => return Err(error),
    }
    Ok(report)
}

/// A replica that forgets what it promised others does harm: it is replaced, not repaired.
fn refuse_replicas(shard: &str, known: &ManifestState) -> Result<(), Error> {
    match known.groups.values().find(|group| group.conf.is_some()) {
        None => Ok(()),
        Some(group) => Err(Error::Unusable(format!(
            "{shard} holds a replica of partition {}, which others have too: remove the replica, and add another one; nothing \
             was changed",
            group.partition.0
        ))),
    }
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

/// Rewrites damaged tables, and takes missing ones out of the manifest.
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
            let lost = format!(
                "what {} of level {} held; its keys aren't known",
                size(entry.file_bytes),
                entry.level
            );
            tables.push(TableRepair {
                file: name.to_string(),
                outcome: "missing",
                lost: vec![lost],
                ..TableRepair::default()
            });
            continue;
        }
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
