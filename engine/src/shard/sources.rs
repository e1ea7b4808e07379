//! Where applied data lies: the active memtable, frozen ones, the tree of tables.
//!
//! A point read asks them newest first and stops at the first entry; range tombstones (usually none)
//! are checked against what was found.

use super::clears::Clears;
use super::request::Value;
use super::view::{Mark, View};
use crate::clock::ClockStamp;
use crate::error::Error;
use crate::group::apply::{Newest, Target};
use crate::io::FileName;
use crate::key::{Entry, Kind, RangeTombstone, Version};
use crate::log::LogPosition;
use crate::manifest::GroupState;
use crate::memtable::{Memtable, MemtableView, Position};
use crate::table::{BlockCache, BlockRef, Lookup, Table, key_hash};
use crate::tree::{RangeTombstones, ScanData, Tree};
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A memtable that takes no more writes, with what the manifest must know once it is a table.
#[derive(Debug)]
pub(super) struct Frozen {
    /// Its number in the order in which memtables are filled.
    number: u64,
    pub memtable: Arc<Memtable>,
    /// The log before this is in this memtable or in older ones, and nothing else needs it.
    pub log_start: LogPosition,
    /// Where the log ended: what is needed of it before that is held.
    pub log_end: LogPosition,
    pub groups: Vec<GroupState>,
    /// The clocks then.
    pub clock: Option<ClockStamp>,
}

/// What a point read came to.
#[derive(Debug)]
pub(super) enum Point<'a> {
    Absent,
    Value(Value<'a>),
    NeedsRead(BlockRef),
}

/// The applied data of a shard.
pub(super) struct Sources {
    pub active: Memtable,
    /// The active memtable's number.
    number: u64,
    /// Oldest first.
    pub frozen: VecDeque<Frozen>,
    pub tree: Arc<Tree>,
    pub cache: BlockCache,
    /// Range tombstones of the memtables; the tables' are the tree's.
    clears: Clears,
    /// The same for ordered reading, made when a scan comes.
    cleared: Option<RangeTombstones>,
    /// The tree's tables by number.
    by_number: HashMap<u64, Arc<Table>>,
}

impl Sources {
    pub fn new(tree: Tree, cache_bytes: usize) -> Sources {
        let mut sources = Sources {
            active: Memtable::new(),
            number: 0,
            frozen: VecDeque::new(),
            tree: Arc::new(tree),
            cache: BlockCache::new(cache_bytes),
            clears: Clears::default(),
            cleared: None,
            by_number: HashMap::new(),
        };
        sources.index();
        sources
    }

    /// The place behind all that is applied now.
    pub fn mark(&self) -> Mark {
        Mark::behind(self.number, &self.active)
    }

    /// Reads the newest live value of a stored key that a reader sees.
    pub fn get<'a>(
        &'a mut self,
        key: &[u8],
        hash: u64,
        view: &View,
        now_ms: u64,
    ) -> Result<Point<'a>, Error> {
        let at = view.version;
        let found = numbered(self.number, &self.active, &self.frozen)
            .find_map(|(number, memtable)| view.mark.part_of(number, memtable)?.get_hashed(key, hash, at));
        let (stamp, expiry, value) = match found {
            Some(entry) => (entry.stamp, entry.expiry, entry.value),
            None => match self.tree.get_hashed(key, hash, at, &mut self.cache)? {
                Lookup::Absent => return Ok(Point::Absent),
                Lookup::NeedsRead(block) => return Ok(Point::NeedsRead(block)),
                Lookup::Found(found) => (found.stamp, found.expiry, found.value),
            },
        };
        let version = stamp.version();
        let is_live = stamp.kind() == Some(Kind::Value)
            && !expiry.is_past(now_ms)
            && !self.clears.covers(key, version, view)
            && self.tree.range_tombstones().covering(key, at).is_none_or(|deleted| deleted <= version);
        Ok(if is_live { Point::Value(Value { bytes: value, version, expiry }) } else { Point::Absent })
    }

    /// What a view sees, for ordered reading up to its version; and the cache.
    pub fn in_order<R>(&mut self, view: &View, read: impl FnOnce(&ScanData<'_>, &mut BlockCache) -> R) -> R {
        let Sources { active, number, frozen, tree, cache, cleared, .. } = self;
        let all = || numbered(*number, active, frozen);
        let memtables: SmallVec<[MemtableView<'_>; 8]> =
            all().filter_map(|(number, memtable)| view.mark.part_of(number, memtable)).collect();
        let cleared = cleared.get_or_insert_with(|| {
            RangeTombstones::new(all().flat_map(|(_, memtable)| memtable.range_tombstones()))
        });
        // Those that came in later have higher versions, nearly always, and are told from the others by that.
        let came_late = |(number, memtable)| {
            let mut behind = view.mark.ranges_behind(number, memtable).iter();
            behind.any(|range| range.version <= view.version)
        };
        let seen;
        let cleared = if all().any(came_late) {
            seen = RangeTombstones::new(memtables.iter().flat_map(|memtable| memtable.range_tombstones()));
            &seen
        } else {
            &*cleared
        };
        read(&ScanData { memtables: &memtables, cleared, tree }, cache)
    }

    /// Freezes the active memtable.
    ///
    /// The log ends at `log_end`, and is needed from `log_start` on once this memtable is a table.
    pub fn freeze(
        &mut self,
        (log_start, log_end): (LogPosition, LogPosition),
        groups: Vec<GroupState>,
        clock: Option<ClockStamp>,
    ) {
        let memtable = Arc::new(std::mem::take(&mut self.active));
        self.frozen.push_back(Frozen { number: self.number, memtable, log_start, log_end, groups, clock });
        self.number += 1;
    }

    /// Replaces the tree. The tables' blocks stay cached until their files go.
    pub fn install(&mut self, tree: Tree) {
        self.tree = Arc::new(tree);
        self.index();
    }

    /// Makes what look-ups need beside the memtables and the tree.
    fn index(&mut self) {
        self.clears.forget_all();
        self.cleared = None;
        for (number, memtable) in numbered(self.number, &self.active, &self.frozen) {
            let ranges = memtable.range_tombstones().iter().enumerate();
            ranges.for_each(|(i, range)| self.clears.insert(range, (number, i)));
        }
        let tables = self.tree.tables().map(|(_, table)| (table.meta().number, table.clone()));
        self.by_number = tables.collect();
    }

    /// Bytes of all memtables.
    pub fn memtable_bytes(&self) -> usize {
        self.active.bytes() + self.frozen.iter().map(|frozen| frozen.memtable.bytes()).sum::<usize>()
    }

    /// A table of the tree by its number.
    pub fn table(&self, number: u64) -> Option<&Arc<Table>> {
        self.by_number.get(&number)
    }

    /// The file that holds a block, for messages.
    pub fn file_of(block: BlockRef) -> FileName {
        FileName::Table(block.table)
    }
}

impl Target for Sources {
    #[inline]
    fn insert(&mut self, entry: Entry<'_>) {
        self.active.insert(entry);
    }

    fn insert_range_tombstone(&mut self, range: RangeTombstone) {
        self.clears.insert(&range, (self.number, self.active.range_tombstones().len()));
        self.cleared = None;
        self.active.insert_range_tombstone(range);
    }

    fn newest(&mut self, key: &[u8], version: Version) -> Newest {
        let hash = key_hash(key);
        let below = Version(version.0.saturating_sub(1));
        let deleted = self.tree.range_tombstones().covering(key, Version::MAX);
        if self.clears.covers(key, below, &View::NEWEST) || deleted.is_some_and(|deleted| deleted >= version)
        {
            return Newest::AtOrAbove;
        }
        let memtables = numbered(self.number, &self.active, &self.frozen);
        let mut memtables = memtables.map(|(_, memtable)| memtable.up_to(Position::ALL));
        let found = match memtables.find_map(|memtable| memtable.get_hashed(key, hash, Version::MAX)) {
            Some(entry) => Some(entry.stamp),
            // What has nothing so new has nothing to say.
            None if self.tree.tables().all(|(_, table)| table.meta().max_version < version) => None,
            None => match self.tree.get_hashed(key, hash, Version::MAX, &mut self.cache) {
                Ok(Lookup::Absent) => None,
                Ok(Lookup::Found(found)) => Some(found.stamp),
                Ok(Lookup::NeedsRead(block)) => return Newest::Needs(block),
                Err(error) => {
                    tracing::error!("a write that came late waits for what can't be read: {error}");
                    return Newest::Unread;
                }
            },
        };
        let is_there = found.is_some_and(|stamp| stamp.version() >= version);
        if is_there { Newest::AtOrAbove } else { Newest::Below }
    }
}

/// The memtables with their numbers, the newest first.
#[inline]
fn numbered<'a>(
    number: u64,
    active: &'a Memtable,
    frozen: &'a VecDeque<Frozen>,
) -> impl Iterator<Item = (u64, &'a Memtable)> {
    let older = frozen.iter().rev().map(|frozen| (frozen.number, &*frozen.memtable));
    std::iter::once((number, active)).chain(older)
}
