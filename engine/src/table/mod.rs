//! SSTables: immutable, sorted, checksummed files of entries.

mod filter;
mod meta;

pub use filter::key_hash;
pub use meta::{Compression, TableMeta};

use crate::Error;
use crate::aligned::AlignedBuf;
use crate::dir::Dir;
use crate::io::FileBytes;
use crate::key::{Entry, Expiry, RangeTombstone, Stamp, Version};
use std::sync::Arc;

/// Where a block lies: enough to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// The table's number.
    pub table: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// How long it is there.
    pub len: u32,
}

/// What a point read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The table has no such entry.
    Absent,
    /// It has.
    Found(Found<'a>),
    /// This block must be read, decoded and put into the cache first; then ask again.
    NeedsRead(BlockRef),
}

/// An entry that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Version and kind.
    pub stamp: Stamp,
    /// When it expires.
    pub expiry: Expiry,
    /// The value; empty for tombstones.
    pub value: &'a [u8],
}

/// Makes a table's bytes from sorted entries; no I/O.
pub struct TableBuilder(());

/// A table whose last bytes are still to be written.
pub struct FinishedTable {
    /// Its properties.
    pub meta: TableMeta,
    /// The last bytes, to be written behind all that was taken before.
    pub tail: AlignedBuf,
    /// Where in the file `tail` belongs.
    pub tail_offset: u64,
}

impl TableBuilder {
    /// A table with this file number.
    pub fn new(_number: u64, _compression: Compression, _expected_entries: usize) -> TableBuilder {
        TableBuilder(())
    }
    /// Adds an entry, in storage order.
    pub fn add(&mut self, _entry: Entry<'_>) {}
    /// Adds a range tombstone, any time.
    pub fn add_range_tombstone(&mut self, _tombstone: RangeTombstone) {}
    /// About how long the file would be if it were finished now.
    pub fn file_bytes(&self) -> u64 {
        0
    }
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        true
    }
    /// Finished bytes of the file, at least `min`, a multiple of ALIGN; each call goes on where the last ended.
    pub fn take_output(&mut self, _min: usize) -> Option<AlignedBuf> {
        None
    }
    /// Ends the table. At least one entry or range tombstone was added.
    pub fn finish(self) -> FinishedTable {
        FinishedTable {
            meta: TableMeta {
                number: 0,
                file_bytes: 0,
                entries: 0,
                tombstones: 0,
                expiring: 0,
                earliest_expiry: Expiry::NEVER,
                key_bytes: 0,
                value_bytes: 0,
                min_key: Vec::new(),
                max_key: Vec::new(),
                min_version: Version(0),
                max_version: Version(0),
                range_tombstones: Vec::new(),
            },
            tail: AlignedBuf::with_capacity(0),
            tail_offset: 0,
        }
    }
}

fn soon<T>() -> Result<T, Error> {
    Err(Error::Unusable("tables follow".into()))
}

impl FinishedTable {
    /// Takes the tail out, to write it.
    pub fn take_tail(&mut self) -> AlignedBuf {
        std::mem::replace(&mut self.tail, AlignedBuf::with_capacity(0))
    }
    /// The table, read in place from its mapped file; every checksum is verified.
    pub fn into_mapped(self, _bytes: FileBytes) -> Result<Table, Error> {
        soon()
    }
    /// The table, its blocks read when they are needed.
    pub fn into_paged(self) -> Table {
        Table { meta: self.meta }
    }
}

/// An SSTable, immutable.
#[derive(Debug)]
pub struct Table {
    meta: TableMeta,
}

impl Table {
    /// Opens a table's file; `resident`: maps it and verifies every block.
    pub fn open(_dir: &dyn Dir, _number: u64, _resident: bool) -> Result<Table, Error> {
        soon()
    }
    /// Its properties.
    pub fn meta(&self) -> &TableMeta {
        &self.meta
    }
    /// Whether it is mapped.
    pub fn is_resident(&self) -> bool {
        false
    }
    /// Memory it owns for index, filter and properties.
    pub fn metadata_bytes(&self) -> usize {
        0
    }
    /// The same table with another residency.
    pub fn with_residency(&self, _mapped: Option<FileBytes>) -> Result<Table, Error> {
        soon()
    }
    /// The newest entry of a key with a version at or below `at`; `hash` is `key_hash(key)`.
    pub fn get<'a>(
        &'a self,
        _key: &[u8],
        _hash: u64,
        _at: Version,
        _cache: &'a mut BlockCache,
    ) -> Result<Lookup<'a>, Error> {
        soon()
    }
    /// How many blocks it has.
    pub fn blocks(&self) -> usize {
        0
    }
    /// Where block `i` lies.
    pub fn block_ref(&self, _i: usize) -> BlockRef {
        BlockRef { table: 0, offset: 0, len: 0 }
    }
    /// The block that may hold the first entry with a stored key at or after `key` (if it doesn't, the next one does).
    pub fn find_block(&self, _key: &[u8]) -> Option<usize> {
        None
    }
    /// The block that may hold the first entry of `key` at or below `at`, or of a later key.
    pub fn find_block_at(&self, _key: &[u8], _at: Version) -> Option<usize> {
        None
    }
    /// Block `i`, from the mapping or the cache; `None`: read `block_ref(i)`, decode it and put it into the cache.
    pub fn block(&self, _i: usize, _cache: &mut BlockCache) -> Result<Option<Arc<Block>>, Error> {
        soon()
    }
    /// Checks and decompresses the bytes of a block as they were read.
    pub fn decode_block(&self, _block: BlockRef, _raw: &[u8]) -> Result<Block, Error> {
        soon()
    }
    /// Reads a whole table back against every checksum and invariant.
    pub fn verify(_dir: &dyn Dir, _number: u64) -> Result<VerifyReport, Error> {
        soon()
    }
}

/// What a verification read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Properties of the table.
    pub meta: TableMeta,
    /// Blocks of entries.
    pub blocks: u64,
}

/// Verifies a table block by block, for a job that does the reading.
pub struct Verifier(());

impl Verifier {
    /// Begins with block 0.
    pub fn new(_table: Arc<Table>) -> Verifier {
        Verifier(())
    }
    /// Where the next block lies; `None` after the last.
    pub fn wants(&self) -> Option<BlockRef> {
        None
    }
    /// Checks the next block.
    pub fn check(&mut self, _raw: &[u8]) -> Result<(), Error> {
        soon()
    }
    /// Checks what can only be said at the end: counts and ranges.
    pub fn finish(self) -> Result<VerifyReport, Error> {
        soon()
    }
}

/// A decoded block of entries.
#[derive(Debug)]
pub struct Block(());

/// A position in a block, which it keeps alive.
pub struct BlockCursor(Arc<Block>);

impl BlockCursor {
    /// At the block's first entry.
    pub fn new(block: Arc<Block>) -> BlockCursor {
        BlockCursor(block)
    }
    /// To the first entry with a stored key at or after `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.seek_at(key, Version::MAX);
    }
    /// To the first entry of `key` at or below `at`, or of a later key.
    pub fn seek_at(&mut self, _key: &[u8], _at: Version) {}
    /// To the next entry.
    pub fn next(&mut self) {}
    /// The entry here; `None` behind the last.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let _ = &self.0;
        None
    }
}

/// Decoded blocks of paged or compressed tables, within a budget of bytes.
pub struct BlockCache(());

impl BlockCache {
    /// Holds about so many bytes.
    pub fn new(_capacity_bytes: usize) -> BlockCache {
        BlockCache(())
    }
    /// A block, if it is there.
    pub fn get(&mut self, _table: u64, _offset: u64) -> Option<Arc<Block>> {
        None
    }
    /// Puts a block in; others may leave.
    pub fn insert(&mut self, _at: BlockRef, block: Block) -> Arc<Block> {
        Arc::new(block)
    }
    /// Drops all blocks of a table that is gone.
    pub fn forget_table(&mut self, _number: u64) {}
    /// Memory in use.
    pub fn bytes(&self) -> usize {
        0
    }
    /// Changes the budget; what is over it leaves.
    pub fn set_capacity(&mut self, _capacity_bytes: usize) {}
    /// Look-ups that found their block.
    pub fn hits(&self) -> u64 {
        0
    }
    /// Look-ups that didn't.
    pub fn misses(&self) -> u64 {
        0
    }
}
