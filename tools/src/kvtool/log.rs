//! `kvtool log`: segments, parts and records.

use super::error::ToolError;
use super::output::Output;
use super::target::{OneFile, Target};
use super::text::{self, Bytes};
use pinion_engine::Error;
use pinion_engine::clock::{ClockStamp, Clocks};
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::key::Kind;
use pinion_engine::log::{
    Batch, BatchOp, DumpItem, EntryType, LogPosition, Record, RecordKind, clock_behind, dump,
};
use pinion_engine::once::Once;
use serde::Serialize;

/// Values are cut to so many bytes in text.
const WIDTH: usize = 48;

#[derive(Serialize)]
#[serde(tag = "item", rename_all = "snake_case")]
enum Item {
    Segment { shard: String, file: String, generation: u64, previous: Position, durable: Position },
    Part { at: Position, bytes: u32, records: u32, durable: Position },
    Record(RecordItem),
    End { at: Position, why: String },
    Unused { file: String },
}

#[derive(Serialize)]
struct RecordItem {
    part: Position,
    partition: u16,
    kind: &'static str,
    term: u64,
    index: u64,
    #[serde(skip_serializing_if = "is_nowhere")]
    origin: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_copy: bool,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_us: Option<u64>,
    /// All clocks, where the record says them.
    #[serde(skip_serializing_if = "Option::is_none")]
    clocks: Option<ClockItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ops: Vec<OpItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    once: Option<OnceItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whether an entry's writes were taken in where they were ordered.
fn is_nowhere(origin: &u16) -> bool {
    *origin == 0
}

/// What a batch says of requests that are done once.
#[derive(Serialize)]
struct OnceItem {
    /// Those of which it says what they came to.
    requests: Vec<RequestItem>,
    /// What was first sent at or before this time is forgotten, microseconds of the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor_us: Option<u64>,
}

/// A request that is done once; the client's id in hexadecimal digits, as in its HELLO.
#[derive(Serialize)]
struct RequestItem {
    client: String,
    number: u64,
    first_sent_us: u64,
}

/// What a clock record says, for programs; the boot's id in hexadecimal digits.
#[derive(Serialize)]
pub struct ClockItem {
    shard_us: u64,
    wall_us: u64,
    boot_us: u64,
    boot_id: String,
    is_sure: bool,
}

impl From<ClockStamp> for ClockItem {
    fn from(stamp: ClockStamp) -> ClockItem {
        ClockItem {
            shard_us: stamp.shard_us,
            wall_us: stamp.wall_us,
            boot_us: stamp.boot.us,
            boot_id: stamp.boot.id.0.iter().map(|byte| format!("{byte:02x}")).collect(),
            is_sure: stamp.is_sure,
        }
    }
}

#[derive(Serialize)]
struct OpItem {
    op: &'static str,
    keyspace: u16,
    key: Bytes,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    value: Bytes,
    /// For people.
    #[serde(skip)]
    line: String,
}

#[derive(Clone, Copy, Serialize)]
struct Position {
    generation: u64,
    offset: u32,
}

impl From<LogPosition> for Position {
    fn from(at: LogPosition) -> Position {
        Position { generation: at.segment, offset: at.offset }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.generation, self.offset)
    }
}

/// Prints the logs of a target.
pub fn run(args: &super::args::LogArgs, output: &mut Output<'_>) -> Result<(), ToolError> {
    let target = Target::open(&args.path)?;
    if let Some(file) = target.file
        && !matches!(file, FileName::Log(_))
    {
        return Err(ToolError::Usage(format!("{file} is no log segment")));
    }
    for shard in &target.shards {
        if !output.is_json() {
            output.line(&shard.name)?;
        }
        match target.file {
            Some(file) => print(&OneFile { dir: &shard.dir, file }, &shard.name, args.ops, output)?,
            None => print(&shard.dir, &shard.name, args.ops, output)?,
        }
    }
    Ok(())
}

/// Prints the log files of a directory.
pub fn print(dir: &dyn Dir, shard: &str, ops: bool, output: &mut Output<'_>) -> Result<(), ToolError> {
    let (mut failure, mut stamp) = (None, None);
    let dumped = dump(dir, &mut |item| {
        let item = convert(shard, item, &mut stamp, ops);
        let printed = if output.is_json() { output.json(&item) } else { output.lines(lines(&item)) };
        // The engine's visitor only knows the engine's errors.
        printed.map_err(|error| {
            failure = Some(error);
            Error::Closed
        })
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(dumped?),
    }
}

fn convert(shard: &str, item: DumpItem<'_>, stamp: &mut Option<ClockStamp>, ops: bool) -> Item {
    match item {
        DumpItem::Segment { file, generation, previous, durable } => {
            let file = file.to_string();
            let (previous, durable) = (previous.into(), durable.into());
            Item::Segment { shard: shard.to_owned(), file, generation, previous, durable }
        }
        DumpItem::Part { at, bytes, records, durable } => {
            Item::Part { at: at.into(), bytes, records, durable: durable.into() }
        }
        DumpItem::Record { at, record } => {
            let before = *stamp;
            // What can't be read is shown as an error of the record.
            *stamp = clock_behind(before, &record).unwrap_or(before);
            Item::Record(record_item(at, record, *stamp, ops))
        }
        DumpItem::End { at, what } => Item::End { at: at.into(), why: what },
        DumpItem::Unused { file } => Item::Unused { file: file.to_string() },
    }
}

/// `stamp`: the clocks behind the record, by which its expiries are told.
fn record_item(at: LogPosition, record: Record<'_>, stamp: Option<ClockStamp>, with_ops: bool) -> RecordItem {
    let mut item = RecordItem {
        part: at.into(),
        partition: record.group.0,
        kind: record.kind.name(),
        term: record.term,
        index: record.index,
        origin: record.origin,
        is_copy: record.is_copy,
        bytes: record.payload.len(),
        clock_us: None,
        clocks: stamp.filter(|_| record.kind == RecordKind::Clock).map(ClockItem::from),
        ops: Vec::new(),
        once: None,
        error: None,
    };
    if record.kind == RecordKind::Clock {
        item.clock_us = item.clocks.as_ref().map(|clocks| clocks.shard_us);
        item.error = clock_behind(None, &record).err();
    }
    if !matches!(record.kind, RecordKind::Entry(EntryType::Normal | EntryType::Tick)) {
        return item;
    }
    let clocks = stamp.map(|stamp| stamp.clocks()).unwrap_or_default();
    let parsed = record.batch().and_then(|batch| {
        item.clock_us = Some(batch.clock_us());
        let ops = batch.ops().filter(|op| with_ops || op.is_err());
        let ops = ops.map(|op| op.map(|op| op_item(&op, &clocks))).collect::<Result<Vec<_>, _>>()?;
        item.once = once_item(&batch)?;
        Ok(ops)
    });
    match parsed {
        Ok(ops) => item.ops = ops,
        Err(what) => item.error = Some(what),
    }
    item
}

fn once_item(batch: &Batch<'_>) -> Result<Option<OnceItem>, String> {
    let Some(section) = batch.section()? else { return Ok(None) };
    let floor_us = Some(section.floor_us).filter(|&us| us != 0);
    let item = |once: Once| RequestItem {
        client: text::hex(&once.client.to_le_bytes()),
        number: once.number,
        first_sent_us: once.first_sent_us,
    };
    let requests = section.map(|row| row.map(|row| item(row.once))).collect::<Result<_, _>>();
    Ok(Some(OnceItem { requests: requests.map_err(|error| error.to_string())?, floor_us }))
}

/// What an operation or entry of this kind is called.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Value => "value",
        Kind::Tombstone => "tombstone",
        Kind::RangeTombstone => "range_tombstone",
    }
}

fn op_item(op: &BatchOp<'_>, clocks: &Clocks) -> OpItem {
    let expires = match clocks.told_ms(op.expiry) {
        0 => String::new(),
        told_ms => format!(" expires {}", text::time(told_ms)),
    };
    let (name, keyspace, version) = (kind_name(op.kind), op.keyspace.0, op.version.0);
    let (key, value) = (text::bytes(op.key, 0), text::bytes(op.value, WIDTH));
    let line = format!("{name} {keyspace}/{key} version {version}{expires} {value}");
    OpItem {
        op: name,
        keyspace,
        key: op.key.into(),
        version,
        expires_ms: Some(clocks.told_ms(op.expiry)).filter(|&ms| ms != 0),
        value: op.value.into(),
        line: line.trim_end().to_owned(),
    }
}

fn lines(item: &Item) -> Vec<String> {
    match item {
        Item::Segment { file, generation, previous, durable, .. } => vec![format!(
            "  segment {file}: generation {generation}, after {previous}, durable to {durable} when it began"
        )],
        Item::Part { at, bytes, records, durable } => {
            let records = text::counted((*records).into(), "record", "records");
            vec![format!("    part {at}: {bytes} bytes, {records}, durable to {durable}")]
        }
        Item::Record(record) => record_lines(record),
        Item::End { at, why } => vec![format!("    end {at}: {why}")],
        Item::Unused { file } => vec![format!("  {file}: no segment header: a spare, or damaged")],
    }
}

fn record_lines(record: &RecordItem) -> Vec<String> {
    let RecordItem { partition, kind, term, index, bytes, .. } = record;
    let mut line = format!("      {kind} partition {partition} term {term} index {index}: {bytes} bytes");
    if let Some(clock_us) = record.clock_us {
        line.push_str(&format!(", shard time {}", text::time(clock_us / 1000)));
    }
    if let Some(ClockItem { wall_us, boot_us, boot_id, .. }) = &record.clocks {
        let (wall, boot_s) = (text::time(wall_us / 1000), boot_us / 1_000_000);
        line.push_str(&format!(", wall clock {wall}, {boot_s} s into boot {boot_id}"));
    }
    if let Some(OnceItem { requests, floor_us }) = &record.once {
        let requests = text::counted(requests.len() as u64, "request", "requests");
        line.push_str(&format!(", {requests} done once"));
        if let Some(floor_us) = floor_us {
            line.push_str(&format!(", forgets those first sent up to {}", text::time(floor_us / 1000)));
        }
    }
    let mut lines = vec![line];
    lines.extend(record.once.iter().flat_map(|once| &once.requests).map(|request| {
        let RequestItem { client, number, first_sent_us } = request;
        format!(
            "        once client {client} number {number}, first sent {}",
            text::time(first_sent_us / 1000)
        )
    }));
    lines.extend(record.ops.iter().map(|op| format!("        {}", op.line)));
    lines.extend(record.error.iter().map(|error| format!("        ! {error}")));
    lines
}
