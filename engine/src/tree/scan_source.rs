//! What a scan reads from: memtables and runs of tables, behind one face.

use super::scan::{Ahead, READ_BYTES_MAX};
use crate::Error;
use crate::job::merge_iter::Cursor;
use crate::key::{Entry, Version};
use crate::memtable::{MemtableIter, MemtableView};
use crate::table::{BlockCache, BlockCursor, BlockRef, Table};
use std::sync::Arc;

/// So many steps are tried before a seek.
const STEPS_MAX: usize = 4;

/// A source whose next entry is not in memory: nothing more can be said of it until its block was read.
#[derive(Debug)]
pub(super) struct Missing;

/// Whether a source stands somewhere (or at its end), or lacks a block.
pub(super) type Move = Result<Result<(), Missing>, Error>;

const THERE: Move = Ok(Ok(()));

/// A position in one of the scan's sources.
pub(super) enum Source<'a> {
    Memtable(MemtableSource<'a>),
    Run(RunSource<'a>),
}

pub(super) struct MemtableSource<'a> {
    memtable: MemtableView<'a>,
    current: Option<Entry<'a>>,
    rest: MemtableIter<'a>,
}

/// A position in a table, or in disjoint tables one behind the other.
pub(super) struct RunSource<'a> {
    tables: &'a [Arc<Table>],
    /// First key that isn't wanted any more.
    end: &'a [u8],
    /// Table and block that `cursor` is in, or that are missing.
    place: (usize, usize),
    cursor: Option<BlockCursor>,
    key_buffer: Vec<u8>,
}

impl<'a> Source<'a> {
    /// A memtable, from its first entry at or behind `key`.
    pub fn memtable(memtable: MemtableView<'a>, key: &[u8]) -> Source<'a> {
        let mut rest = memtable.seek(key);
        Source::Memtable(MemtableSource { memtable, current: rest.next(), rest })
    }

    /// A run of tables that stands nowhere yet: [`Source::seek`]. It may end at `end`.
    pub fn run(tables: &'a [Arc<Table>], end: &'a [u8]) -> Source<'a> {
        Source::Run(RunSource { tables, end, place: (0, 0), cursor: None, key_buffer: Vec::new() })
    }

    /// To the first entry at or behind `key`, if it stands nowhere yet.
    pub fn start(&mut self, key: &[u8], cache: &mut BlockCache) -> Move {
        match self {
            Source::Memtable(_) => THERE,
            Source::Run(source) => source.seek(key, Version::MAX, cache),
        }
    }

    /// To the first entry of `key` with a version at or below `at`, or of a later key.
    pub fn seek(&mut self, key: &[u8], at: Version, cache: &mut BlockCache) -> Move {
        match self {
            Source::Memtable(source) => source.seek(key, at),
            Source::Run(source) => return source.seek(key, at, cache),
        }
        THERE
    }

    /// To the first entry behind all of `key`, where it stands; `behind` is the least key above it.
    pub fn pass(&mut self, key: &[u8], behind: &[u8], cache: &mut BlockCache) -> Move {
        for _ in 0..STEPS_MAX {
            if let Err(missing) = self.advance(cache)? {
                return Ok(Err(missing));
            }
            if self.entry().is_none_or(|entry| entry.key != key) {
                return THERE;
            }
        }
        self.seek(behind, Version::MAX, cache)
    }

    /// To the end of a covered range, if everything up to there is older than `version`, else to the next entry.
    pub fn pass_covered(&mut self, end: &[u8], version: Version, cache: &mut BlockCache) -> Move {
        if let Source::Run(source) = self
            && let Some(moved) = source.skip_covered(end, version, cache)
        {
            return moved;
        }
        self.advance(cache)
    }

    /// To the next entry, be it of the same key.
    pub fn advance(&mut self, cache: &mut BlockCache) -> Move {
        match self {
            Source::Memtable(source) => source.current = source.rest.next(),
            Source::Run(source) => return source.advance(cache),
        }
        THERE
    }

    /// The block that a source stands before or in, and those behind it, as far as they aren't in memory.
    pub fn wanted(&self, ahead: Ahead, cache: &BlockCache, wanted: &mut Vec<BlockRef>) {
        // However many sources there are (merges that can't go on leave ever more of them), what is read ahead for all is bounded.
        let left = READ_BYTES_MAX.saturating_sub(BlockRef::total_bytes(wanted));
        let ahead = Ahead { bytes: ahead.bytes.min(left), ..ahead };
        if let Source::Run(source) = self {
            source.wanted(ahead, cache, wanted);
        }
    }
}

impl Cursor for Source<'_> {
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Source::Memtable(source) => source.current,
            Source::Run(source) => source.cursor.as_ref()?.entry(),
        }
    }
}

impl<'a> MemtableSource<'a> {
    fn seek(&mut self, key: &[u8], at: Version) {
        if at == Version::MAX {
            self.rest = self.memtable.seek(key);
            self.current = self.rest.next();
            return;
        }
        // Versions of one key may be many: the visible one is looked up, not walked to.
        self.rest = self.memtable.seek(&[key, &[0]].concat());
        self.current = self.memtable.get(key, at).or_else(|| self.rest.next());
    }
}

impl RunSource<'_> {
    fn seek(&mut self, key: &[u8], at: Version, cache: &mut BlockCache) -> Move {
        let from = self.tables.partition_point(|table| table.meta().max_key.as_slice() < key);
        for (i, table) in self.tables.iter().enumerate().skip(from) {
            if let Some(block) = table.find_block_at(key, at) {
                self.place = (i, block);
                if let Err(missing) = self.enter(cache)? {
                    return Ok(Err(missing));
                }
                if let Some(cursor) = &mut self.cursor {
                    cursor.seek_at(key, at);
                }
                return self.settle(cache);
            }
        }
        self.place = (self.tables.len(), 0);
        self.cursor = None;
        THERE
    }

    fn advance(&mut self, cache: &mut BlockCache) -> Move {
        if let Some(cursor) = &mut self.cursor {
            cursor.next();
        }
        self.settle(cache)
    }

    /// Enters following blocks until it stands at an entry or the run is over.
    fn settle(&mut self, cache: &mut BlockCache) -> Move {
        while self.cursor.as_ref().is_some_and(|cursor| cursor.entry().is_none()) {
            self.place.1 += 1;
            if let Err(missing) = self.enter(cache)? {
                return Ok(Err(missing));
            }
        }
        THERE
    }

    /// Stands at the first entry of the block at `place`, or of the next table's first one.
    fn enter(&mut self, cache: &mut BlockCache) -> Move {
        if let Some(cursor) = self.cursor.take() {
            self.key_buffer = cursor.into_buffer();
        }
        while let Some(table) = self.tables.get(self.place.0) {
            if self.place.1 >= table.blocks() {
                self.place = (self.place.0 + 1, 0);
                continue;
            }
            if self.place.1 >= self.blocks_wanted(table) {
                self.place = (self.tables.len(), 0);
                break;
            }
            let Some(block) = table.block(self.place.1, cache)? else { return Ok(Err(Missing)) };
            self.cursor = Some(BlockCursor::with_buffer(block, std::mem::take(&mut self.key_buffer)));
            return THERE;
        }
        THERE
    }

    fn wanted(&self, ahead: Ahead, cache: &BlockCache, wanted: &mut Vec<BlockRef>) {
        let (mut place, mut first) = self.place;
        let mut bytes = None;
        while let Some(table) = self.tables.get(place) {
            let meta = table.meta();
            let entry_bytes = meta.file_bytes / meta.entries.max(1);
            let budget = ahead.bytes.min(ahead.entries.saturating_mul(entry_bytes as usize));
            for block in first..self.blocks_wanted(table) {
                let at = table.block_ref(block);
                // The first is needed, however long it is.
                let sum = bytes.map_or(0, |bytes| bytes + at.len as usize);
                if sum > budget {
                    return;
                }
                bytes = Some(sum);
                if !table.is_resident() && !cache.contains(at) {
                    wanted.push(at);
                }
            }
            (place, first) = (place + 1, 0);
        }
    }

    /// How many of a table's blocks may hold keys before the end.
    fn blocks_wanted(&self, table: &Table) -> usize {
        if table.meta().max_key.as_slice() < self.end {
            return table.blocks();
        }
        table.find_block(self.end).map_or(table.blocks(), |block| block + 1)
    }

    /// Jumps to `end` if the table it is in holds nothing as new as `version`; else `None`.
    fn skip_covered(&mut self, end: &[u8], version: Version, cache: &mut BlockCache) -> Option<Move> {
        let meta = self.tables.get(self.place.0)?.meta();
        if meta.max_version >= version {
            return None;
        }
        if end <= meta.max_key.as_slice() {
            return Some(self.seek(end, Version::MAX, cache));
        }
        self.place = (self.place.0 + 1, 0);
        Some(match self.enter(cache) {
            Ok(Ok(())) => self.settle(cache),
            moved => moved,
        })
    }
}
