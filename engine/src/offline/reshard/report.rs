//! What is told of a reshard: how far it is, and what it came to.

/// What a reshard came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReshardReport {
    /// Shards before.
    pub shards_before: u32,
    /// Shards now.
    pub shards: u32,
    /// The layout now.
    pub layout: u32,
    /// Partitions that held anything.
    pub partitions: u64,
    /// Entries that moved, range tombstones not counted.
    pub entries: u64,
    /// Range tombstones that moved.
    pub range_tombstones: u64,
    /// Tables that were written.
    pub tables: u64,
    /// Their length, bytes.
    pub bytes: u64,
}

/// Hears how far a reshard is.
pub trait Watch {
    /// It begins; so many bytes of keys and values are to be moved, or a little less.
    fn begins(&mut self, bytes: u64);
    /// Shard `shard` of `shards` is built now.
    fn builds(&mut self, shard: u32, shards: u32);
    /// So many bytes more were moved.
    fn moved(&mut self, bytes: u64);
}

/// Nobody.
impl Watch for () {
    fn begins(&mut self, _: u64) {}
    fn builds(&mut self, _: u32, _: u32) {}
    fn moved(&mut self, _: u64) {}
}
