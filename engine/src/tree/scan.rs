//! Ordered forward scans, a page at a time.
//!
//! A page merges memtables and tables by key and shows, of every key, the newest entry that its reader sees, unless
//! that is a tombstone, has expired, or lies under a newer range tombstone. Work is bounded: a page ends
//! when it is full or when enough was looked at, whatever came of it, and says where to go on. Many
//! versions of one key and tables under a range tombstone are jumped over.
//!
//! Blocks that aren't in memory end the call with [`ScanStep::NeedsRead`]; the page keeps what it has, and the
//! next call goes on behind it.

use super::scan_source::Source;
use super::{Fragment, RangeTombstones, Tree};
use crate::Error;
use crate::job::{Cursor, LoserTree};
use crate::key::{Entry, Kind, Prefix, RangeTombstone, Version, common_len, user_key};
use crate::memtable::Memtable;
use crate::shard::request::{Page, Value};
use crate::table::{BlockCache, BlockRef};

/// Blocks that are asked for beyond the missing one: a few for a short page, many for a walk.
const READ_AHEAD_BLOCKS: std::ops::RangeInclusive<usize> = 4..=64;
/// Items that a block is taken to hold, for that.
const ITEMS_PER_BLOCK: usize = 8;
/// The least work of a page: enough for every source to move.
const WORK_MIN: usize = 64;

/// How much one page may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Items on the page.
    pub items: usize,
    /// Bytes of keys and values; one item fits always.
    pub bytes: usize,
    /// Entries looked at in this call, hidden ones included.
    pub work: usize,
}

impl ScanLimits {
    fn read_ahead(&self) -> usize {
        let blocks = self.items / ITEMS_PER_BLOCK;
        blocks.clamp(*READ_AHEAD_BLOCKS.start(), *READ_AHEAD_BLOCKS.end())
    }
}

/// What to scan, and for which reader.
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
    /// Values are left out.
    pub keys_only: bool,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanStep {
    /// The page is done.
    Page {
        /// The stored key to go on from (inclusive); `None` at the end of the range.
        next: Option<Vec<u8>>,
    },
    /// These blocks must be read, decoded and put into the cache first. Then call again from `next`, with
    /// the same page. Until the scan is over keep the blocks that [`BlockCache::insert`] returned: a cache
    /// smaller than what all sources need at once would else evict one for the other for ever.
    NeedsRead {
        /// Blocks, some of them ahead of need.
        blocks: Vec<BlockRef>,
        /// The stored key to go on from (inclusive).
        next: Vec<u8>,
    },
}

/// Appends items to `page`, beginning at `range.from`. `memtables` in any order; versions decide.
pub fn scan_page(
    memtables: &[&Memtable],
    tree: &Tree,
    cache: &mut BlockCache,
    range: &ScanRange<'_>,
    limits: &ScanLimits,
    page: &mut Page,
) -> Result<ScanStep, Error> {
    if range.from >= range.to {
        return Ok(ScanStep::Page { next: None });
    }
    let mut sources = sources(memtables, tree, range);
    let ahead = limits.read_ahead();
    let mut blocks = Vec::new();
    for source in &mut sources {
        if let Source::Run(_) = source
            && source.seek(range.from, Version::MAX, cache)?.is_err()
        {
            source.wanted(ahead, cache, &mut blocks)?;
        }
    }
    if !blocks.is_empty() {
        return Ok(ScanStep::NeedsRead { blocks, next: range.from.to_vec() });
    }
    let scan = Scan {
        order: LoserTree::new(&sources, shared_prefix(range)),
        sources,
        range,
        covers: [
            Covers::new(tree.range_tombstones().within(range.from, range.to)),
            Covers::new(memtable_covers(memtables, range)),
        ],
        key: Vec::new(),
        next: range.from.to_vec(),
        work: limits.work.max(WORK_MIN),
        ahead,
    };
    scan.run(cache, limits, page)
}

fn sources<'a>(memtables: &[&'a Memtable], tree: &'a Tree, range: &ScanRange<'a>) -> Vec<Source<'a>> {
    let mut sources: Vec<Source<'a>> =
        memtables.iter().map(|memtable| Source::memtable(memtable, range.from)).collect();
    for (i, level) in tree.levels().iter().enumerate() {
        if i == 0 {
            let overlapping = level.tables().iter().filter(|table| {
                table.meta().min_key.as_slice() < range.to && range.from <= table.meta().max_key.as_slice()
            });
            sources.extend(overlapping.map(|table| Source::run(std::slice::from_ref(table), range.to)));
        } else {
            let tables = level.overlapping(range.from, range.to);
            if !tables.is_empty() {
                sources.push(Source::run(tables, range.to));
            }
        }
    }
    sources
}

/// What all keys of the range begin with.
fn shared_prefix<'a>(range: &ScanRange<'a>) -> &'a [u8] {
    let prefix = Prefix::of(range.from).filter(|prefix| range.to <= prefix.end().as_slice());
    let len = prefix.map_or(0, |_| Prefix::LEN).max(common_len(range.from, range.to));
    &range.from[..len]
}

fn memtable_covers(memtables: &[&Memtable], range: &ScanRange<'_>) -> RangeTombstones {
    let all = memtables.iter().flat_map(|memtable| memtable.range_tombstones());
    let within = |t: &&RangeTombstone| t.start.as_slice() < range.to && range.from < t.end.as_slice();
    RangeTombstones::new(all.filter(within))
}

/// Range tombstones, asked about rising keys.
struct Covers {
    set: RangeTombstones,
    next: usize,
}

impl Covers {
    fn new(set: RangeTombstones) -> Covers {
        Covers { set, next: 0 }
    }

    fn of(&mut self, key: &[u8]) -> Option<&Fragment> {
        let fragments = self.set.fragments();
        while fragments.get(self.next).is_some_and(|fragment| fragment.end.as_slice() <= key) {
            self.next += 1;
        }
        fragments.get(self.next).filter(|fragment| fragment.start.as_slice() <= key)
    }
}

struct Scan<'a> {
    sources: Vec<Source<'a>>,
    order: LoserTree,
    range: &'a ScanRange<'a>,
    covers: [Covers; 2],
    /// Where to go on: everything below is done. Behind the first key that was decided on, that key and a zero.
    next: Vec<u8>,
    key: Vec<u8>,
    work: usize,
    /// Blocks to read ahead.
    ahead: usize,
}

impl Scan<'_> {
    fn run(
        mut self,
        cache: &mut BlockCache,
        limits: &ScanLimits,
        page: &mut Page,
    ) -> Result<ScanStep, Error> {
        while let Some((winner, entry)) = self.order.winner(&self.sources) {
            if entry.key >= self.range.to {
                break;
            }
            let is_decided = entry.key < self.next.as_slice();
            let is_full = page.len() >= limits.items || page.bytes() >= limits.bytes;
            if self.work == 0 || (is_full && !is_decided) {
                let next = if is_decided { self.next } else { entry.key.to_vec() };
                return Ok(ScanStep::Page { next: Some(next) });
            }
            self.work -= 1;
            let moved = if is_decided {
                let key = &self.next[..self.next.len() - 1];
                self.sources[winner].pass(key, &self.next, cache)?
            } else if entry.stamp.version() > self.range.at {
                self.key.clear();
                self.key.extend_from_slice(entry.key);
                self.sources[winner].seek(&self.key, self.range.at, cache)?
            } else {
                self.next.clear();
                self.next.extend_from_slice(entry.key);
                self.next.push(0);
                match self.show(winner, page) {
                    None => self.sources[winner].advance(cache)?,
                    Some((end, version)) => self.sources[winner].pass_covered(&end, version, cache)?,
                }
            };
            if moved.is_err() {
                return self.needs_read(winner, cache);
            }
            self.order.winner_moved(&self.sources);
        }
        Ok(ScanStep::Page { next: None })
    }

    /// Puts the winner's entry on the page if it is to be seen. If a range tombstone hides it: up to where,
    /// and of which version.
    fn show(&mut self, winner: usize, page: &mut Page) -> Option<(Vec<u8>, Version)> {
        let Entry { key, stamp, expiry, value } = self.sources[winner].entry()?;
        let version = stamp.version();
        let newest_cover = self.covers.iter_mut().filter_map(|covers| {
            let fragment = covers.of(key)?;
            Some((fragment.newest(self.range.at)?, fragment))
        });
        let cover = newest_cover.max_by_key(|&(version, _)| version);
        if let Some((newest, fragment)) = cover.filter(|&(newest, _)| newest > version) {
            return Some((fragment.end.clone(), newest));
        }
        if stamp.kind() == Some(Kind::Value) && !expiry.is_past(self.range.now_ms) {
            let bytes = if self.range.keys_only { &[][..] } else { value };
            page.push(user_key(key), Value { bytes, version, expiry });
        }
        None
    }

    fn needs_read(self, source: usize, cache: &mut BlockCache) -> Result<ScanStep, Error> {
        let mut blocks = Vec::new();
        self.sources[source].wanted(self.ahead, cache, &mut blocks)?;
        Ok(ScanStep::NeedsRead { blocks, next: self.next })
    }
}
