//! What a reader sees of one range of keys, entry by entry.
//!
//! A [`Stream`] merges memtables and tables by key and stands at, of every key, the newest entry that its reader sees,
//! unless that is a tombstone, has expired, or lies under a newer range tombstone. Many versions of one key and tables
//! under a range tombstone are jumped over.

use super::core::Tree;
use super::range_tombstones::{Fragment, RangeTombstones};
use super::scan::Ahead;
use super::scan_source::Source;
use crate::Error;
use crate::job::merge_iter::{Cursor, LoserTree};
use crate::key::{Entry, Kind, Prefix, Version, common_len};
use crate::memtable::MemtableView;
use crate::shard::request::Value;
use crate::table::{BlockCache, BlockRef};

/// The applied data of a shard, for ordered reading.
#[derive(Clone, Copy)]
pub struct ScanData<'a> {
    /// In any order; versions decide.
    pub memtables: &'a [MemtableView<'a>],
    /// Their range tombstones.
    pub cleared: &'a RangeTombstones,
    /// The tables.
    pub tree: &'a Tree,
}

/// What a stream reads.
#[derive(Clone, Copy, Debug)]
pub struct ScanRange<'a> {
    /// First stored key.
    pub from: &'a [u8],
    /// First stored key beyond the end.
    pub to: &'a [u8],
    /// Entries above this version aren't seen.
    pub at: Version,
    /// Values whose expiry is at or before it aren't seen; milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Where a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// At an entry that its reader sees.
    Entry,
    /// Behind the last one.
    End,
    /// Before a block that isn't in memory.
    Missing,
    /// Somewhere between: enough was looked at.
    Tired,
}

/// A reader's way through a range. See the module's text.
pub(super) struct Stream<'a> {
    sources: Vec<Source<'a>>,
    order: LoserTree,
    to: &'a [u8],
    at: Version,
    now_ms: u64,
    covers: [Covers<'a>; 2],
    /// Everything below is done. Behind the first key that was decided on, that key and a zero.
    next: Vec<u8>,
    key: Vec<u8>,
    missing: Option<usize>,
}

/// What a reader sees of an entry.
enum Sight {
    Shown,
    Hidden,
    /// By a range tombstone that ends here and has this version.
    Covered(Vec<u8>, Version),
}

impl<'a> Stream<'a> {
    /// A stream over a range; `None` if the first blocks that it needs aren't in memory: they are added to `wanted`.
    pub fn open(
        data: &ScanData<'a>,
        range: &ScanRange<'_>,
        to: &'a [u8],
        ahead: Ahead,
        cache: &mut BlockCache,
        wanted: &mut Vec<BlockRef>,
    ) -> Result<Option<Stream<'a>>, Error> {
        let mut sources = if range.from < to { sources(data, range.from, to) } else { Vec::new() };
        let before = wanted.len();
        for source in &mut sources {
            if source.start(range.from, cache)?.is_err() {
                source.wanted(ahead, cache, wanted);
            }
        }
        if wanted.len() > before {
            return Ok(None);
        }
        Ok(Some(Stream {
            order: LoserTree::new(&sources, shared_prefix(range.from, to)),
            sources,
            to,
            at: range.at,
            now_ms: range.now_ms,
            covers: [
                Covers::new(data.tree.range_tombstones(), range.from),
                Covers::new(data.cleared, range.from),
            ],
            next: range.from.to_vec(),
            key: Vec::new(),
            missing: None,
        }))
    }

    /// Goes on to the next entry to be seen, if it doesn't stand at one; each step costs one of `work`.
    pub fn settle(&mut self, work: &mut usize, cache: &mut BlockCache) -> Result<Stand, Error> {
        if self.missing.is_some() {
            return Ok(Stand::Missing);
        }
        while let Some((winner, entry)) = self.order.winner(&self.sources) {
            if entry.key >= self.to {
                break;
            }
            let is_decided = entry.key < self.next.as_slice();
            let is_new = entry.stamp.version() > self.at;
            let sight = if is_decided || is_new { Sight::Hidden } else { self.sight(winner) };
            if matches!(sight, Sight::Shown) {
                return Ok(Stand::Entry);
            }
            if *work == 0 {
                return Ok(Stand::Tired);
            }
            *work -= 1;
            let moved = if is_decided {
                let key = &self.next[..self.next.len() - 1];
                self.sources[winner].pass(key, &self.next, cache)?
            } else if is_new {
                self.key.clear();
                self.key.extend_from_slice(self.sources[winner].entry().map_or(&[][..], |entry| entry.key));
                self.sources[winner].seek(&self.key, self.at, cache)?
            } else {
                self.decide();
                match sight {
                    Sight::Covered(end, version) => {
                        self.sources[winner].pass_covered(&end, version, cache)?
                    }
                    Sight::Shown | Sight::Hidden => self.sources[winner].advance(cache)?,
                }
            };
            if moved.is_err() {
                self.missing = Some(winner);
                return Ok(Stand::Missing);
            }
            self.order.winner_moved(&self.sources);
        }
        Ok(Stand::End)
    }

    /// The entry it stands at, after [`Stand::Entry`]: its stored key, and its value.
    pub fn item(&self) -> Option<(&[u8], Value<'_>)> {
        let (_, Entry { key, stamp, expiry, value }) = self.order.winner(&self.sources)?;
        Some((key, Value { bytes: value, version: stamp.version(), expiry }))
    }

    /// Is done with the entry that it stands at.
    pub fn pass(&mut self) {
        self.decide();
    }

    /// The stored key to go on from (inclusive) in another stream.
    pub fn bound(&self) -> &[u8] {
        let entry = if self.missing.is_some() { None } else { self.order.winner(&self.sources) };
        match entry {
            Some((_, entry)) if entry.key >= self.next.as_slice() => entry.key,
            _ => &self.next,
        }
    }

    /// The blocks that it misses, and some behind them.
    pub fn wanted(&self, ahead: Ahead, cache: &BlockCache, wanted: &mut Vec<BlockRef>) {
        if let Some(source) = self.missing.and_then(|missing| self.sources.get(missing)) {
            source.wanted(ahead, cache, wanted);
        }
    }

    /// The blocks that it will come to and that aren't in memory.
    pub fn coming(&self, ahead: Ahead, cache: &BlockCache, wanted: &mut Vec<BlockRef>) {
        self.sources.iter().for_each(|source| source.wanted(ahead, cache, wanted));
    }

    fn decide(&mut self) {
        let Some((_, entry)) = self.order.winner(&self.sources) else { return };
        self.next.clear();
        self.next.extend_from_slice(entry.key);
        self.next.push(0);
    }

    fn sight(&mut self, winner: usize) -> Sight {
        let Some(Entry { key, stamp, expiry, .. }) = self.sources[winner].entry() else {
            return Sight::Hidden;
        };
        let version = stamp.version();
        let newest_cover = self.covers.iter_mut().filter_map(|covers| {
            let fragment = covers.of(key)?;
            Some((fragment.newest(self.at)?, fragment))
        });
        let cover = newest_cover.max_by_key(|&(version, _)| version);
        if let Some((newest, fragment)) = cover.filter(|&(newest, _)| newest > version) {
            return Sight::Covered(fragment.end.clone(), newest);
        }
        let is_live = stamp.kind() == Some(Kind::Value) && !expiry.is_past(self.now_ms);
        if is_live { Sight::Shown } else { Sight::Hidden }
    }
}

fn sources<'a>(data: &ScanData<'a>, from: &[u8], to: &'a [u8]) -> Vec<Source<'a>> {
    let levels = data.tree.levels();
    let at_most =
        data.memtables.len() + levels.first().map_or(0, |level| level.tables().len()) + levels.len();
    let mut sources: Vec<Source<'a>> = Vec::with_capacity(at_most);
    let memtables = data.memtables.iter().filter(|memtable| !memtable.is_empty());
    sources.extend(memtables.map(|&memtable| Source::memtable(memtable, from)));
    for (i, level) in levels.iter().enumerate() {
        if i == 0 {
            let overlapping = level.tables().iter().filter(|table| {
                table.meta().min_key.as_slice() < to && from <= table.meta().max_key.as_slice()
            });
            sources.extend(overlapping.map(|table| Source::run(std::slice::from_ref(table), to)));
        } else {
            let tables = level.overlapping(from, to);
            if !tables.is_empty() {
                sources.push(Source::run(tables, to));
            }
        }
    }
    sources
}

/// What all keys of the range begin with.
fn shared_prefix<'k>(from: &'k [u8], to: &[u8]) -> &'k [u8] {
    let prefix = Prefix::of(from).filter(|prefix| to <= prefix.end().as_slice());
    let len = prefix.map_or(0, |_| Prefix::LEN).max(common_len(from, to));
    &from[..len]
}

/// Range tombstones, asked about rising keys.
struct Covers<'a> {
    fragments: &'a [Fragment],
}

impl<'a> Covers<'a> {
    fn new(set: &'a RangeTombstones, from: &[u8]) -> Covers<'a> {
        let fragments = set.fragments();
        let first = fragments.partition_point(|fragment| fragment.end.as_slice() <= from);
        Covers { fragments: &fragments[first..] }
    }

    fn of(&mut self, key: &[u8]) -> Option<&'a Fragment> {
        while let Some((first, rest)) = self.fragments.split_first() {
            if first.end.as_slice() > key {
                return (first.start.as_slice() <= key).then_some(first);
            }
            self.fragments = rest;
        }
        None
    }
}
