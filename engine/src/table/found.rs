//! Where entries lie, and what a point read came to.

use crate::key::{Expiry, Stamp};

/// Where a block lies: enough to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRef {
    /// The table's number.
    pub table: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// How long it is there, its checksum included.
    pub len: u32,
}

impl BlockRef {
    /// Bytes of several in their files.
    pub fn total_bytes(blocks: &[BlockRef]) -> usize {
        blocks.iter().map(|block| block.len as usize).sum()
    }
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
