//! What a table says of itself: counts, key range, version range, range tombstones.

use crate::key::{Expiry, RangeTombstone, Version};

/// Properties of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// The file's number.
    pub number: u64,
    /// The file's length in bytes, a multiple of [`crate::aligned::ALIGN`].
    pub file_bytes: u64,
    /// Entries, all kinds and versions, range tombstones not counted.
    pub entries: u64,
    /// Entries that are tombstones.
    pub tombstones: u64,
    /// Entries that expire.
    pub expiring: u64,
    /// The earliest expiry of all that expire; [`Expiry::NEVER`] if none does.
    pub earliest_expiry: Expiry,
    /// Sum of the lengths of stored keys.
    pub key_bytes: u64,
    /// Sum of the lengths of values.
    pub value_bytes: u64,
    /// Lower end of the key range: the first stored key, or the start of a range tombstone.
    pub min_key: Vec<u8>,
    /// Upper end of the key range: the last stored key, or the end of a range tombstone.
    pub max_key: Vec<u8>,
    /// The lowest version, range tombstones included.
    pub min_version: Version,
    /// The highest version, range tombstones included.
    pub max_version: Version,
    /// Range tombstones, in the order they were added.
    pub range_tombstones: Vec<RangeTombstone>,
}

/// How blocks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are: a mapped table reads them in place.
    #[default]
    None,
    /// lz4, where that saves at least an eighth of a block.
    Lz4,
}
