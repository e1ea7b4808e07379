//! A table that is open: where its parts are, and point reads.

use super::block::{Block, Layout, Malformed, RAW};
use super::cache::{BlockCache, CachedEntry};
use super::checksum::checksum;
use super::filter;
use super::footer::Footer;
use super::found::{BlockRef, Found, Lookup};
use super::index::IndexLayout;
use crate::Error;
use crate::aligned::AlignedBuf;
use crate::io::FileName;
use crate::key::Version;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::meta::TableMeta;
use super::stored::{CRC, MALFORMED, decompressed};

/// What a probe came to.
pub(crate) enum Probe<'a> {
    /// It needed nothing that lies in the cache.
    Lookup(Lookup<'a>),
    /// An entry in a cached block: [`BlockCache::resolve`] it before the cache changes.
    Cached(CachedEntry),
}

/// An SSTable, immutable.
pub struct Table {
    pub(super) meta: TableMeta,
    pub(super) footer: Footer,
    pub(super) index: IndexLayout,
    pub(super) parts: Parts,
}

/// Where a table's bytes are.
pub(super) enum Parts {
    Resident(Arc<AlignedBuf>),
    Paged { index: AlignedBuf, filter: AlignedBuf },
}

/// What of a table is in memory.
pub(super) struct View<'a> {
    pub(super) index: &'a [u8],
    pub(super) filter: &'a [u8],
    file: Option<&'a [u8]>,
}

impl Table {
    /// Its properties.
    pub fn meta(&self) -> &TableMeta {
        &self.meta
    }

    /// Whether all of its file is in memory.
    pub fn is_resident(&self) -> bool {
        matches!(self.parts, Parts::Resident(_))
    }

    /// Memory it owns for properties, and for index and filter unless its whole file is there.
    pub fn metadata_bytes(&self) -> usize {
        let owned = match &self.parts {
            Parts::Resident(_) => 0,
            Parts::Paged { index, filter } => index.capacity() + filter.capacity(),
        };
        owned + self.meta.heap_bytes() + size_of::<Table>()
    }

    /// All memory it owns.
    pub fn memory_bytes(&self) -> u64 {
        let file = if self.is_resident() { self.meta.file_bytes } else { 0 };
        file + self.metadata_bytes() as u64
    }

    /// The newest entry of a key with a version at or below `at`; `hash` is `key_hash(key)`. A block that has to be
    /// decompressed goes through the cache; a resident, uncompressed table never touches it.
    pub fn get<'a>(
        &'a self,
        key: &[u8],
        hash: u64,
        at: Version,
        cache: &'a mut BlockCache,
    ) -> Result<Lookup<'a>, Error> {
        Ok(match self.probe(key, hash, at, cache)? {
            Probe::Lookup(lookup) => lookup,
            Probe::Cached(cached) => Lookup::Found(cache.resolve(cached)),
        })
    }

    /// [`Table::get`] with a result that doesn't borrow the cache, so that a reader can go on to the next table.
    pub(crate) fn probe<'a>(
        &'a self,
        key: &[u8],
        hash: u64,
        at: Version,
        cache: &mut BlockCache,
    ) -> Result<Probe<'a>, Error> {
        let view = self.view();
        if !filter::contains(view.filter, hash) {
            return Ok(Probe::Lookup(Lookup::Absent));
        }
        let Some(i) = self.index.find(view.index, key, at) else { return Ok(Probe::Lookup(Lookup::Absent)) };
        let range = self.index.block_range(view.index, i);
        let malformed = |Malformed| self.damaged(range.start, MALFORMED);
        let stored = view.file.map(|file| self.stored_block(file, &range)).transpose()?;
        if let Some(block) = stored.filter(|block| block.first() == Some(&RAW)) {
            let found = find_in(block, key, hash, at).map_err(malformed)?;
            return Ok(Probe::Lookup(found.map_or(Lookup::Absent, Lookup::Found)));
        }
        let Some((slot, block)) = self.cached(range.clone(), stored, cache)? else {
            return Ok(Probe::Lookup(Lookup::NeedsRead(self.place(&range))));
        };
        let found = find_in(block.bytes(), key, hash, at).map_err(malformed)?;
        Ok(match found {
            Some(found) => Probe::Cached(CachedEntry::new(slot, block, found)),
            None => Probe::Lookup(Lookup::Absent),
        })
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> usize {
        self.index.blocks()
    }

    /// Length of its longest block, bytes.
    pub fn longest_block(&self) -> u64 {
        self.index.longest_block()
    }

    /// Where one of its blocks begins in the order of stored keys, each as likely as the others; perhaps only the beginning of
    /// a key. `None` if there are none.
    pub fn random_block_key(&self, dice: u64) -> Option<&[u8]> {
        let block = ((u128::from(dice) * self.blocks() as u128) >> 64) as usize;
        (block < self.blocks()).then(|| self.index.separator(self.view().index, block).0)
    }

    /// Where block `i` lies, `i` below [`Table::blocks`].
    pub fn block_ref(&self, i: usize) -> BlockRef {
        self.place(&self.index.block_range(self.view().index, i))
    }

    /// The block where a scan for the first entry with a stored key at or behind `key` begins; if no entry of it
    /// qualifies, the first of the next block does. `None`: all entries are before.
    pub fn find_block(&self, key: &[u8]) -> Option<usize> {
        self.find_block_at(key, Version::MAX)
    }

    /// [`Table::find_block`] for the first entry of `key` with a version at or below `at`, or of a later key.
    pub fn find_block_at(&self, key: &[u8], at: Version) -> Option<usize> {
        self.index.seek(self.view().index, key, at)
    }

    /// Block `i`, from the file in memory or the cache. `None`: read [`Table::block_ref`], decode it with
    /// [`Table::decode_block`] and put it into the cache.
    pub fn block(&self, i: usize, cache: &mut BlockCache) -> Result<Option<Arc<Block>>, Error> {
        let range = self.index.block_range(self.view().index, i);
        let Parts::Resident(file) = &self.parts else { return Ok(cache.get(self.meta.number, range.start)) };
        let stored = self.stored_block(file, &range)?;
        let at = self.place(&range);
        if stored.first() == Some(&RAW) {
            let start = range.start as usize;
            let block = Block::resident(at, file, start..start + stored.len());
            return block.map(|block| Some(Arc::new(block))).map_err(|_| self.damaged(at.offset, MALFORMED));
        }
        match cache.get(at.table, at.offset) {
            Some(block) => Ok(Some(block)),
            None => Ok(Some(cache.insert(at, self.unpack(at, stored)?))),
        }
    }

    /// Checks and decompresses the bytes of a block as they were read.
    pub fn decode_block(&self, block: BlockRef, raw: &[u8]) -> Result<Block, Error> {
        self.unpack(block, self.check_block(block, raw)?)
    }

    /// [`Table::decode_block`] of a block that was read by itself: one that isn't compressed stays where it was read to.
    pub fn take_block(&self, block: BlockRef, mut raw: AlignedBuf) -> Result<Block, Error> {
        raw.truncate(block.len as usize);
        let stored = self.check_block(block, &raw)?;
        if stored.first() != Some(&RAW) {
            return self.unpack(block, stored);
        }
        let len = stored.len();
        raw.truncate(len);
        Block::read(block, raw).map_err(|_| self.damaged(block.offset, MALFORMED))
    }

    pub(super) fn view(&self) -> View<'_> {
        match &self.parts {
            Parts::Paged { index, filter } => View { index, filter, file: None },
            Parts::Resident(file) => {
                let file: &[u8] = file;
                let part = |range: Range<usize>| file.get(range).unwrap_or_default();
                View {
                    index: part(self.footer.index().in_memory()),
                    filter: part(self.footer.filter().in_memory()),
                    file: Some(file),
                }
            }
        }
    }

    /// The decoded block for a point read and its slot: from the cache, or decompressed into it; `None` if it
    /// must be read.
    fn cached<'a>(
        &self,
        range: Range<u64>,
        stored: Option<&[u8]>,
        cache: &'a mut BlockCache,
    ) -> Result<Option<(usize, &'a Block)>, Error> {
        let at = self.place(&range);
        let slot = match (cache.find(at.table, at.offset), stored) {
            (Some(slot), Some(_)) => slot,
            (Some(slot), None) => {
                cache.keep(slot);
                slot
            }
            (None, Some(stored)) => cache.insert_at(at, self.unpack(at, stored)?),
            (None, None) => return Ok(None),
        };
        Ok(cache.at(slot).map(|block| (slot, block)))
    }

    /// A block of the file in memory, without its checksum.
    fn stored_block<'a>(&self, file: &'a [u8], range: &Range<u64>) -> Result<&'a [u8], Error> {
        let end = (range.end as usize).saturating_sub(CRC);
        file.get(range.start as usize..end).ok_or_else(|| self.damaged(range.start, MALFORMED))
    }

    /// Verifies a block's checksum and cuts it off.
    pub(super) fn check_block<'a>(&self, at: BlockRef, raw: &'a [u8]) -> Result<&'a [u8], Error> {
        match raw.split_last_chunk::<CRC>() {
            Some((stored, crc))
                if raw.len() == at.len as usize
                    && u32::from_le_bytes(*crc) == checksum(self.meta.number, at.offset, stored) =>
            {
                Ok(stored)
            }
            _ => Err(self.damaged(at.offset, "the checksum of a block is wrong")),
        }
    }

    /// Makes a block of verified bytes.
    fn unpack(&self, at: BlockRef, stored: &[u8]) -> Result<Block, Error> {
        let raw = decompressed(stored).map_err(|what| self.damaged(at.offset, what))?;
        Block::owned(at, raw).map_err(|_| self.damaged(at.offset, MALFORMED))
    }

    fn place(&self, range: &Range<u64>) -> BlockRef {
        BlockRef {
            table: self.meta.number,
            offset: range.start,
            len: range.end.saturating_sub(range.start) as u32,
        }
    }

    pub(super) fn damaged(&self, offset: u64, what: &str) -> Error {
        Error::Damaged { file: FileName::Table(self.meta.number), offset, what: what.to_owned() }
    }
}

#[inline]
fn find_in<'a>(block: &'a [u8], key: &[u8], hash: u64, at: Version) -> Result<Option<Found<'a>>, Malformed> {
    Layout::of(block)?.find(block, key, hash, at)
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TableMeta { number, entries, file_bytes, .. } = &self.meta;
        let residency = if self.is_resident() { "resident" } else { "paged" };
        write!(f, "Table({number}: {entries} entries, {file_bytes} bytes, {residency})")
    }
}
