//! `kvtool manifest`: the manifest's records, and the state they come to.

use super::error::ToolError;
use super::log::ClockItem;
use super::output::Output;
use super::target::{OneFile, Target};
use super::text::{Columns, time};
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::log::{LogPosition, Reached};
use pinion_engine::manifest::{
    Edit, GroupState, Manifest, ManifestDump, ManifestState, Membership, TableEntry,
};
use serde::Serialize;

#[derive(Serialize)]
struct ManifestItem {
    shard: String,
    records: Vec<RecordItem>,
    tables: Vec<TableItem>,
    groups: Vec<GroupItem>,
    log_start: PositionItem,
    log_reached: ReachedItem,
    next_file: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<MembershipItem>,
}

#[derive(Serialize)]
struct RecordItem {
    offset: u64,
    sequence: u64,
    kind: &'static str,
    added: Vec<TableItem>,
    removed: Vec<u64>,
    groups: Vec<GroupItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_start: Option<PositionItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_reached: Option<ReachedItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_file: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<MembershipItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockItem>,
}

#[derive(Serialize)]
struct TableItem {
    table: u64,
    level: u8,
    bytes: u64,
}

#[derive(Serialize)]
struct PositionItem {
    generation: u64,
    offset: u32,
}

#[derive(Serialize)]
struct ReachedItem {
    generation: u64,
    file: u64,
}

#[derive(Serialize)]
struct MembershipItem {
    shard: u32,
    shards: u32,
    partitions: u32,
    layout: u32,
}

/// A group's state for programs.
#[derive(Serialize)]
pub struct GroupItem {
    partition: u16,
    incarnation: u32,
    applied_index: u64,
    applied_term: u64,
    max_version: u64,
    floor: u64,
    clock_us: u64,
    /// Of how many requests that are done once it is remembered what they came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<usize>,
    /// Those that were first sent at or before this time are forgotten, microseconds of the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_floor_us: Option<u64>,
}

impl From<&GroupState> for GroupItem {
    fn from(group: &GroupState) -> GroupItem {
        GroupItem {
            partition: group.partition.0,
            incarnation: group.incarnation.0,
            applied_index: group.applied_index,
            applied_term: group.applied_term,
            max_version: group.max_version.0,
            floor: group.floor.0,
            clock_us: group.clock_us,
            requests: group.once.as_ref().map(|table| table.answers()),
            requests_floor_us: group.once.as_ref().map(|table| table.floor_us()).filter(|&us| us != 0),
        }
    }
}

impl From<&TableEntry> for TableItem {
    fn from(table: &TableEntry) -> TableItem {
        TableItem { table: table.number, level: table.level, bytes: table.file_bytes }
    }
}

impl From<LogPosition> for PositionItem {
    fn from(at: LogPosition) -> PositionItem {
        PositionItem { generation: at.segment, offset: at.offset }
    }
}

impl From<Reached> for ReachedItem {
    fn from(reached: Reached) -> ReachedItem {
        ReachedItem { generation: reached.generation, file: reached.file }
    }
}

impl From<Membership> for MembershipItem {
    fn from(membership: Membership) -> MembershipItem {
        let Membership { shard, shards, partitions, layout } = membership;
        MembershipItem { shard, shards, partitions, layout }
    }
}

/// Prints the manifests of a target.
pub fn run(target: &Target, output: &mut Output<'_>) -> Result<(), ToolError> {
    if let Some(file) = target.file
        && !matches!(file, FileName::Manifest(_))
    {
        return Err(ToolError::Usage(format!("{file} is no manifest")));
    }
    for shard in &target.shards {
        match target.file {
            Some(file) => print(&OneFile { dir: &shard.dir, file }, &shard.name, output)?,
            None => print(&shard.dir, &shard.name, output)?,
        }
    }
    Ok(())
}

/// Prints the manifest of a shard.
pub fn print(dir: &dyn Dir, name: &str, output: &mut Output<'_>) -> Result<(), ToolError> {
    let mut records = Vec::new();
    let state = Manifest::dump(dir, &mut |record| records.push(record));
    if output.is_json() {
        let state = state?;
        return output.json(&ManifestItem {
            shard: name.to_owned(),
            records: records.iter().map(record_item).collect(),
            tables: state.tables.values().map(TableItem::from).collect(),
            groups: state.groups.values().map(GroupItem::from).collect(),
            log_start: state.log_start.into(),
            log_reached: state.log_reached.into(),
            next_file: state.next_file,
            store: state.membership.map(MembershipItem::from),
        });
    }
    output.line(name)?;
    let mut columns = Columns::new(&[">offset", ">sequence", "record", "says"]);
    for record in &records {
        columns.row([
            record.offset.to_string(),
            record.sequence.to_string(),
            kind(record).to_owned(),
            describe(&record.edit),
        ]);
    }
    output.lines(columns.lines(2))?;
    // What could be read comes before what is wrong with the rest.
    print_state(&state?, output)
}

fn print_state(state: &ManifestState, output: &mut Output<'_>) -> Result<(), ToolError> {
    let LogPosition { segment, offset } = state.log_start;
    let reached = reached(state.log_reached);
    output.line(format!(
        "  log starts at {segment}:{offset}, reached {reached}; the next file is {:06}",
        state.next_file
    ))?;
    if let Some(membership) = state.membership {
        output.line(format!("  {}", part_of(membership)))?;
    }
    let mut columns = Columns::new(&[">level", ">tables", ">bytes"]);
    let mut levels = std::collections::BTreeMap::<u8, (u64, u64)>::new();
    for table in state.tables.values() {
        let (count, bytes) = levels.entry(table.level).or_default();
        *count += 1;
        *bytes += table.file_bytes;
    }
    for (level, (count, bytes)) in levels {
        columns.row([level.to_string(), count.to_string(), bytes.to_string()]);
    }
    output.lines(columns.lines(2))?;
    let titles = [">partition", ">incarnation", ">index", ">term", ">version", ">floor", ">once", "clock"];
    let mut columns = Columns::new(&titles);
    for group in state.groups.values() {
        columns.row([
            group.partition.0.to_string(),
            group.incarnation.0.to_string(),
            group.applied_index.to_string(),
            group.applied_term.to_string(),
            group.max_version.0.to_string(),
            group.floor.0.to_string(),
            group.once.as_ref().map_or(0, |table| table.answers()).to_string(),
            time(group.clock_us / 1000),
        ]);
    }
    output.lines(columns.lines(2))
}

fn kind(record: &ManifestDump) -> &'static str {
    if record.is_state { "state" } else { "edit" }
}

fn record_item(record: &ManifestDump) -> RecordItem {
    let edit = &record.edit;
    RecordItem {
        offset: record.offset,
        sequence: record.sequence,
        kind: kind(record),
        added: edit.added.iter().map(TableItem::from).collect(),
        removed: edit.removed.clone(),
        groups: edit.groups.iter().map(GroupItem::from).collect(),
        log_start: edit.log_start.map(PositionItem::from),
        log_reached: edit.log_reached.map(ReachedItem::from),
        next_file: edit.next_file,
        store: edit.membership.map(MembershipItem::from),
        clock: edit.clock.map(ClockItem::from),
    }
}

fn describe(edit: &Edit) -> String {
    let mut parts = Vec::new();
    for table in &edit.added {
        parts.push(format!("+{:06} level {} ({} bytes)", table.number, table.level, table.file_bytes));
    }
    parts.extend(edit.removed.iter().map(|number| format!("-{number:06}")));
    if !edit.groups.is_empty() {
        parts.push(format!("groups {}", edit.groups.len()));
    }
    if let Some(LogPosition { segment, offset }) = edit.log_start {
        parts.push(format!("log from {segment}:{offset}"));
    }
    parts.extend(edit.log_reached.map(|it| format!("log reached {}", reached(it))));
    parts.extend(edit.next_file.map(|number| format!("next file {number}")));
    parts.extend(edit.membership.map(part_of));
    if let Some(clock) = edit.clock {
        parts.push(format!(
            "shard time {}, wall clock {}",
            time(clock.shard_us / 1000),
            time(clock.wall_us / 1000)
        ));
    }
    parts.join(", ")
}

fn reached(reached: Reached) -> String {
    match reached.generation {
        0 => "no segment".to_owned(),
        generation => format!("segment {generation} in {}", FileName::Log(reached.file)),
    }
}

fn part_of(membership: Membership) -> String {
    let Membership { shard, shards, partitions, layout } = membership;
    format!("shard {shard} of {shards}, partitions {partitions}, layout {layout}")
}
