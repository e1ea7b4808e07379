//! Ordered forward scans, a page at a time, over one range or several at once.
//!
//! A [`Scan`] merges *lanes*, ranges of stored keys whose user keys are in one order: the partitions of a shard. Of each
//! lane it knows the first key that is still to come, or a bound below it.
//! 1. [`Scan::run`] finds the first key of each lane that it doesn't know. The blocks that they all need are asked for
//!    together.
//! 2. Then the lane with the least key puts its item on the page and goes on to its next, until the page is full.
//!    A lane whose next block isn't in memory has only a bound from then on, and is read when that is the least.
//!
//! Work is bounded: a page ends when it is full or when enough was looked at, whatever came of it, and says where to
//! go on: further on than where it began, unless its first item is too long for it. Memory is bounded: a call asks for
//! [`READ_BYTES_MAX`] of blocks or for one lane's, and once a lane's first key is known its blocks may go
//! ([`Scan::has_progressed`]).

use super::stream::{ScanData, ScanRange, Stand, Stream};
use crate::Error;
use crate::job::merge_iter::{Cursor, LoserTree};
use crate::key::{Entry, Expiry, Stamp, Version, user_key};
use crate::shard::request::{Page, Value};
use crate::table::{BlockCache, BlockRef};

/// The least work of a page: enough for every source of a lane to move.
const WORK_MIN: usize = 64;
/// Bytes of blocks that are asked for at once, if one lane doesn't need more.
pub const READ_BYTES_MAX: usize = 2 << 20;
/// Bytes of blocks that are read ahead for a page.
const AHEAD_BYTES_MAX: usize = 256 << 10;

/// How far to read ahead of a block that is needed.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// As much as so many entries take.
    pub entries: usize,
    /// At most so much.
    pub bytes: usize,
}

/// How much one page may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanLimits {
    /// Items on the page.
    pub items: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Whether an item that is longer than that may be a page of its own; otherwise the page ends before it.
    pub oversized: bool,
    /// Entries looked at in this call, hidden ones included.
    pub work: usize,
}

/// A range of stored keys that takes part in a scan.
#[derive(Debug)]
pub struct Lane {
    to: Vec<u8>,
    at: Version,
    place: Progress,
}

/// How far a lane has come.
#[derive(Debug)]
struct Progress {
    /// Everything below is done, or not wanted.
    next: Vec<u8>,
    /// The first key that is to be seen has been found.
    is_found: bool,
    is_over: bool,
}

impl Lane {
    /// The stored keys from `from` to `to` that a reader at `at` sees.
    pub fn new(from: Vec<u8>, to: Vec<u8>, at: Version) -> Lane {
        let is_over = from >= to;
        Lane { to, at, place: Progress { next: from, is_found: is_over, is_over } }
    }
}

/// A page that is being read. See the module's text.
#[derive(Debug)]
pub struct Scan {
    lanes: Vec<Lane>,
    limits: ScanLimits,
    now_ms: u64,
    keys_only: bool,
    page: Page,
    has_progressed: bool,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanStep {
    /// The page is done.
    Page {
        /// The stored key to go on from (inclusive), in other lanes with their own prefix; `None` at the end.
        next: Option<Vec<u8>>,
    },
    /// These blocks must be read, decoded and put into the cache first; then call again. Keep those that
    /// [`BlockCache::insert`] returned as long as [`Scan::has_progressed`] says no: a cache smaller than what all
    /// sources of a lane need at once would else evict one for the other for ever.
    NeedsRead {
        /// Blocks, some of them ahead of need.
        blocks: Vec<BlockRef>,
    },
}

impl Scan {
    /// A page of the least items of all lanes, for a reader at this time. Of several lanes the user keys are in one
    /// order, and none has a key of another.
    pub fn new(lanes: Vec<Lane>, limits: ScanLimits, keys_only: bool, now_ms: u64) -> Scan {
        Scan { lanes, limits, now_ms, keys_only, page: Page::default(), has_progressed: false }
    }

    /// What was read so far.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// As [`Scan::page`], to be changed before it leaves.
    pub fn page_mut(&mut self) -> &mut Page {
        &mut self.page
    }

    /// Whether the last call came further, so that blocks from before it aren't needed at once.
    pub fn has_progressed(&self) -> bool {
        self.has_progressed
    }

    /// Goes on until the page is done or blocks are missing.
    pub fn run(&mut self, data: &ScanData<'_>, cache: &mut BlockCache) -> Result<ScanStep, Error> {
        let Scan { lanes, limits, now_ms, keys_only, page, has_progressed } = self;
        *has_progressed = false;
        let entries = (limits.items / lanes.len().max(1)).saturating_mul(2).saturating_add(2);
        let mut reader = Reader {
            data,
            cache,
            now_ms: *now_ms,
            ahead: Ahead { entries, bytes: AHEAD_BYTES_MAX },
            work: 0,
            wanted: Vec::new(),
        };
        let work = limits.work / lanes.len().max(1);
        let mut lanes: Vec<OpenLane<'_>> = lanes.iter_mut().map(OpenLane::new).collect();
        let mut work_left = limits.work;
        for lane in lanes.iter_mut().filter(|lane| !lane.place.is_found) {
            if BlockRef::total_bytes(&reader.wanted) >= READ_BYTES_MAX {
                break;
            }
            reader.work = work.max(WORK_MIN);
            // One that tires has a bound now, and is gone on with when that is the least.
            let before = reader.work;
            lane.stand(&mut reader)?;
            work_left = work_left.saturating_sub(before - reader.work);
            *has_progressed |= lane.place.is_found;
        }
        if !reader.wanted.is_empty() {
            // Neighbours may share a block at their border.
            reader.wanted.sort_unstable_by_key(|block| (block.table, block.offset));
            reader.wanted.dedup();
            return Ok(ScanStep::NeedsRead { blocks: reader.wanted });
        }
        let mut order = LoserTree::new(&lanes, &[]);
        reader.work = work_left;
        while let Some((winner, _)) = order.winner(&lanes) {
            let lane = &mut lanes[winner];
            if page.len() >= limits.items {
                return Ok(ScanStep::Page { next: Some(lane.bound().to_vec()) });
            }
            // A lane that was found by an earlier call goes to its item anew. If what the others took of this page's work didn't
            // leave enough for that, the page would end where it began.
            if page.is_empty() && lane.stream.is_none() {
                reader.work = reader.work.max(WORK_MIN);
            }
            match lane.stand(&mut reader)? {
                Stand::Entry if lane.has_moved => {
                    lane.has_moved = false;
                    *has_progressed = true;
                }
                Stand::Entry => {
                    if !lane.show(limits, *keys_only, page) {
                        return Ok(ScanStep::Page { next: Some(lane.bound().to_vec()) });
                    }
                    *has_progressed = true;
                    lane.pass(&mut reader)?;
                }
                Stand::End => {}
                Stand::Tired => {
                    order.winner_moved(&lanes);
                    let least = order.winner(&lanes).map(|(winner, _)| lanes[winner].bound().to_vec());
                    return Ok(ScanStep::Page { next: least });
                }
                Stand::Missing => return Ok(ScanStep::NeedsRead { blocks: reader.wanted }),
            }
            order.winner_moved(&lanes);
        }
        Ok(ScanStep::Page { next: None })
    }
}

/// What lanes read with during a call.
struct Reader<'r, 'a> {
    data: &'r ScanData<'a>,
    cache: &'r mut BlockCache,
    now_ms: u64,
    ahead: Ahead,
    work: usize,
    wanted: Vec<BlockRef>,
}

/// A lane during a call.
struct OpenLane<'l> {
    place: &'l mut Progress,
    to: &'l [u8],
    at: Version,
    stream: Option<Stream<'l>>,
    /// It stands at an item.
    stands: bool,
    /// It was found to stand elsewhere than its bound said, so it may not be the first lane any more.
    has_moved: bool,
}

impl<'l> OpenLane<'l> {
    fn new(lane: &'l mut Lane) -> OpenLane<'l> {
        let Lane { to, at, place } = lane;
        OpenLane { place, to, at: *at, stream: None, stands: false, has_moved: false }
    }

    /// Goes to its first item, if it doesn't stand there.
    fn stand<'a: 'l>(&mut self, reader: &mut Reader<'_, 'a>) -> Result<Stand, Error> {
        if self.stands {
            return Ok(Stand::Entry);
        }
        if self.stream.is_none() {
            let range = ScanRange { from: &self.place.next, to: self.to, at: self.at, now_ms: reader.now_ms };
            let Reader { data, cache, ahead, wanted, .. } = reader;
            self.stream = Stream::open(data, &range, self.to, *ahead, cache, wanted)?;
        }
        self.settle(reader)
    }

    /// Goes on behind its item.
    fn pass(&mut self, reader: &mut Reader<'_, '_>) -> Result<(), Error> {
        self.stands = false;
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.pass();
        let wanted = reader.wanted.len();
        self.settle(reader)?;
        // What it misses is asked for when it is its turn.
        reader.wanted.truncate(wanted);
        self.has_moved = false;
        Ok(())
    }

    fn settle(&mut self, reader: &mut Reader<'_, '_>) -> Result<Stand, Error> {
        let Some(stream) = &mut self.stream else { return Ok(Stand::Missing) };
        let stand = stream.settle(&mut reader.work, reader.cache)?;
        if stand == Stand::Missing {
            stream.wanted(reader.ahead, reader.cache, &mut reader.wanted);
        }
        let bound = stream.bound();
        self.has_moved = self.place.next != bound;
        self.place.next.clear();
        self.place.next.extend_from_slice(bound);
        self.stands = stand == Stand::Entry;
        self.place.is_over = stand == Stand::End;
        self.place.is_found |= matches!(stand, Stand::Entry | Stand::End);
        Ok(stand)
    }

    /// Puts its item on the page; `false` if there is no room.
    fn show(&self, limits: &ScanLimits, keys_only: bool, page: &mut Page) -> bool {
        let Some((key, value)) = self.stream.as_ref().and_then(Stream::item) else { return false };
        let value = Value { bytes: if keys_only { &[] } else { value.bytes }, ..value };
        let key = user_key(key);
        let fits = page.bytes() + key.len() + value.bytes.len() <= limits.bytes;
        let has_room = fits || (page.is_empty() && limits.oversized);
        if has_room {
            page.push(key, value);
        }
        has_room
    }

    fn bound(&self) -> &[u8] {
        &self.place.next
    }
}

impl Cursor for OpenLane<'_> {
    fn entry(&self) -> Option<Entry<'_>> {
        let stamp = Stamp::new(Version(0), crate::key::Kind::Value);
        let key = user_key(&self.place.next);
        (!self.place.is_over).then_some(Entry { key, stamp, expiry: Expiry::NEVER, value: &[] })
    }
}
