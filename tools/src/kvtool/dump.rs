//! `kvtool dump`: entries in order.

use super::args::Dump;
use super::error::ToolError;
use super::log::{self, kind_name};
use super::output::Output;
use super::target::{OneFile, Shard, Target};
use super::text::{self, Bytes, Key};
use super::told;
use pinion_engine::clock::Clocks;
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::key::{Entry, Incarnation, Kind, Prefix, RangeTombstone, user_key};
use pinion_engine::manifest::GroupState;
use pinion_engine::offline::{Contents, Merge};
use pinion_engine::table::Table;
use pinion_engine::tree::RangeTombstones;
use pinion_engine::{Keyspace, Partition, Version};
use serde::Serialize;
use std::collections::BTreeMap;

type Groups = BTreeMap<Partition, GroupState>;

/// Values are cut to so many bytes in text.
const WIDTH: usize = 48;

#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    key: Key,
    version: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Key>,
}

/// Prints the entries of a target.
pub fn run(args: &Dump, output: &mut Output<'_>) -> Result<(), ToolError> {
    let target = Target::open(&args.path)?;
    let mut printer = Printer::new(args, output);
    for shard in &target.shards {
        if printer.is_full() {
            break;
        }
        match target.file {
            None => store_shard(shard, &mut printer)?,
            Some(FileName::Table(number)) => one_table(shard, number, &mut printer)?,
            Some(file @ FileName::Log(_)) => {
                return log::print(&OneFile { dir: &shard.dir, file }, &shard.name, true, printer.output);
            }
            Some(file) => {
                return Err(ToolError::Usage(format!("{file} holds no entries; `kvtool manifest` shows it")));
            }
        }
    }
    Ok(())
}

fn store_shard(shard: &Shard, printer: &mut Printer<'_, '_>) -> Result<(), ToolError> {
    let contents = Contents::read(&shard.dir, shard.id()?)?;
    let ranges: Vec<RangeTombstone> = contents.range_tombstones().cloned().collect();
    printer.clocks = told::clocks_now(contents.unflushed.clock());
    printer.ranges(&ranges)?;
    printer.entries(contents.merge(&shard.dir), &ranges, &contents.unflushed.groups())
}

fn one_table(shard: &Shard, number: u64, printer: &mut Printer<'_, '_>) -> Result<(), ToolError> {
    let dir: &dyn Dir = &shard.dir;
    let meta = Table::open(dir, number, false)?.meta().clone();
    let ranges = meta.range_tombstones.clone();
    printer.clocks = told::clocks_beside(dir);
    printer.ranges(&ranges)?;
    let mut merge = Merge::new();
    merge.add_table(dir, &meta);
    printer.entries(merge, &ranges, &BTreeMap::new())
}

/// Picks entries and prints them.
struct Printer<'p, 'w> {
    args: &'p Dump,
    output: &'p mut Output<'w>,
    width: usize,
    /// Of the shard whose entries are printed.
    clocks: Clocks,
    left: u64,
}

impl<'p, 'w> Printer<'p, 'w> {
    fn new(args: &'p Dump, output: &'p mut Output<'w>) -> Printer<'p, 'w> {
        let width = args.width.unwrap_or(if output.is_json() { 0 } else { WIDTH });
        let left = args.limit.unwrap_or(u64::MAX);
        Printer { args, output, width, clocks: Clocks::default(), left }
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Range tombstones come on top of the limit: they say what isn't there, and the limit is for what is.
    fn ranges(&mut self, ranges: &[RangeTombstone]) -> Result<(), ToolError> {
        if self.args.live {
            return Ok(());
        }
        for range in ranges {
            let prefix = Prefix::of(&range.start);
            let is_wanted = self.args.keyspace.is_none_or(|n| prefix.is_some_and(|p| p.keyspace().0 == n))
                && self.args.partition.is_none_or(|n| prefix.is_some_and(|p| p.partition().0 == n))
                && prefix.is_none_or(|prefix| self.touches(range, prefix));
            if is_wanted {
                self.range(range)?;
            }
        }
        Ok(())
    }

    /// Whether a range may delete keys that are asked for.
    fn touches(&self, range: &RangeTombstone, prefix: Prefix) -> bool {
        let mut first = Vec::new();
        prefix.stored_key(self.args.prefix.as_deref().unwrap_or_default().as_bytes(), &mut first);
        let begins_before_their_end = range.start <= first || range.start.starts_with(&first);
        begins_before_their_end && range.end > first
    }

    fn range(&mut self, range: &RangeTombstone) -> Result<(), ToolError> {
        if !self.output.is_json() {
            let (start, end) = (text::key(&range.start), text::key(&range.end));
            return self
                .output
                .line(format!("{start} .. {end}  version {}  range_tombstone", range.version.0));
        }
        self.output.json(&Item {
            key: range.start.as_slice().into(),
            version: range.version.0,
            kind: kind_name(Kind::RangeTombstone),
            expires_ms: None,
            value: None,
            value_bytes: None,
            end: Some(range.end.as_slice().into()),
        })
    }

    fn entries(
        &mut self,
        mut merge: Merge<'_>,
        ranges: &[RangeTombstone],
        groups: &Groups,
    ) -> Result<(), ToolError> {
        let ranges = RangeTombstones::new(ranges);
        let mut newest = Vec::new();
        merge.seek(&self.first_key())?;
        while !self.is_full() {
            match merge.entry().map(|entry| self.place(entry.key)) {
                None => break,
                Some(Wanted::Yes) => {}
                Some(Wanted::From(key)) => {
                    merge.seek(&key)?;
                    continue;
                }
                Some(Wanted::NoMore) => break,
            }
            if let Some(entry) = merge.entry() {
                // Of a key only the newest entry is live.
                let superseded = self.args.live && entry.key == newest.as_slice();
                if self.args.live && !superseded {
                    newest.clear();
                    newest.extend_from_slice(entry.key);
                }
                if !superseded && (!self.args.live || self.is_live(&entry, &ranges, groups)) {
                    self.left -= 1;
                    self.entry(&entry)?;
                }
            }
            merge.advance()?;
        }
        Ok(())
    }

    fn is_live(&self, entry: &Entry<'_>, ranges: &RangeTombstones, groups: &Groups) -> bool {
        // Entries of an incarnation that was replaced are invisible.
        let is_current = Prefix::of(entry.key).is_none_or(|prefix| {
            groups.get(&prefix.partition()).is_none_or(|group| group.incarnation == prefix.incarnation())
        });
        let deleted = ranges.covering(entry.key, Version::MAX);
        is_current
            && entry.stamp.kind() == Some(Kind::Value)
            && !entry.expiry.is_past(self.clocks.now_ms())
            && deleted.is_none_or(|version| version < entry.stamp.version())
    }

    /// Where entries that are wanted begin.
    fn first_key(&self) -> Vec<u8> {
        self.start_of(self.args.keyspace.unwrap_or(0), self.args.partition.unwrap_or(0))
    }

    fn start_of(&self, keyspace: u16, partition: u16) -> Vec<u8> {
        Prefix::new(Keyspace(keyspace), Partition(partition), Incarnation(0)).to_bytes().to_vec()
    }

    fn place(&self, key: &[u8]) -> Wanted {
        let Some(prefix) = Prefix::of(key) else { return Wanted::Yes };
        let (keyspace, partition) = (prefix.keyspace().0, prefix.partition().0);
        if self.args.keyspace.is_some_and(|wanted| keyspace > wanted) {
            return Wanted::NoMore;
        }
        match self.args.partition {
            Some(wanted) if partition < wanted => return Wanted::From(self.start_of(keyspace, wanted)),
            Some(wanted) if partition > wanted => {
                let Some(next) = keyspace.checked_add(1) else { return Wanted::NoMore };
                return Wanted::From(self.start_of(next, wanted));
            }
            _ => {}
        }
        let Some(wanted) = self.args.prefix.as_deref().map(str::as_bytes) else { return Wanted::Yes };
        let user = user_key(key);
        if user.starts_with(wanted) {
            return Wanted::Yes;
        }
        if user < wanted {
            let mut from = Vec::new();
            prefix.stored_key(wanted, &mut from);
            return Wanted::From(from);
        }
        Wanted::From(prefix.end())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), ToolError> {
        let kind = entry.stamp.kind().map_or("unknown", kind_name);
        let is_value = entry.stamp.kind() == Some(Kind::Value);
        let version = entry.stamp.version().0;
        let told_ms = self.clocks.told_ms(entry.expiry);
        if self.output.is_json() {
            let shown =
                if self.width == 0 { entry.value } else { &entry.value[..self.width.min(entry.value.len())] };
            return self.output.json(&Item {
                key: entry.key.into(),
                version,
                kind,
                expires_ms: Some(told_ms).filter(|&ms| ms != 0),
                value: (is_value && !self.args.keys_only).then(|| shown.into()),
                value_bytes: is_value.then_some(entry.value.len()),
                end: None,
            });
        }
        let mut line = format!("{}  version {version}  {kind}", text::key(entry.key));
        if told_ms != 0 {
            line.push_str(&format!("  expires {}", text::time(told_ms)));
        }
        if is_value && !self.args.keys_only {
            line.push_str("  ");
            line.push_str(&text::bytes(entry.value, self.width));
        }
        self.output.line(line)
    }
}

/// Whether an entry's key is asked for.
enum Wanted {
    Yes,
    /// No; the next that may be lies at or behind this key.
    From(Vec<u8>),
    NoMore,
}
