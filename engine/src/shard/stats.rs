//! What a shard tells of itself.

use crate::tree::LevelStats;

/// Counts since the shard was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub reads: u64,
    pub writes: u64,
    pub scans: u64,
    pub refused: u64,
    pub timed_out: u64,
    pub repeated: u64,
    pub forgotten: u64,
    pub log_writes: u64,
    pub written_bytes: u64,
    pub flushes: u64,
    pub merges: u64,
    pub expired: u64,
    pub job_errors: u64,
    pub read_errors: u64,
    pub log_failures: u64,
    pub replayed_records: u64,
    pub replayed_bytes: u64,
    /// When the last write arrived, on the clock of [`super::Now::mono_us`].
    pub last_write_us: u64,
}

/// A snapshot of a shard's figures. Sizes are in bytes; counts are since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Keys read.
    pub reads: u64,
    /// Keys written or deleted.
    pub writes: u64,
    /// Pages scanned.
    pub scans: u64,
    /// Requests refused.
    pub refused: u64,
    /// Requests ended at their deadline.
    pub timed_out: u64,
    /// Requests that were done before, and answered again.
    pub repeated: u64,
    /// Requests of which it wasn't known any more whether they were done.
    pub forgotten: u64,
    /// Log writes.
    pub log_writes: u64,
    /// Bytes of keys and values written by users.
    pub written_bytes: u64,
    /// Memtables flushed.
    pub flushes: u64,
    /// Merges done.
    pub merges: u64,
    /// Expired values that flushes and merges took out.
    pub expired: u64,
    /// Background jobs that failed.
    pub job_errors: u64,
    /// Blocks that couldn't be read or were damaged.
    pub read_errors: u64,
    /// Log writes and syncs that failed.
    pub log_failures: u64,
    /// Requests that waited for a block, ever.
    pub parked: u64,
    /// Requests that wait now.
    pub parked_now: usize,
    /// Memory of what requests came to that are to be done once.
    pub once_bytes: usize,
    /// Memory of all memtables.
    pub memtable_bytes: usize,
    /// Memtables that wait for their flush.
    pub frozen_memtables: usize,
    /// Tables and bytes per level, level 0 first.
    pub levels: Vec<LevelStats>,
    /// Bytes that merges have to move until the tree has its shape.
    pub debt_bytes: u64,
    /// Log that would be replayed after a crash.
    pub log_bytes: u64,
    /// Cached blocks.
    pub cache_bytes: usize,
    /// Block look-ups that found their block in the cache.
    pub cache_hits: u64,
    /// Block look-ups that didn't.
    pub cache_misses: u64,
    /// Bytes of resident tables.
    pub resident_bytes: u64,
    /// Memory of indexes and filters of tables that aren't resident.
    pub metadata_bytes: usize,
    /// How long writers are held back per turn now, microseconds.
    pub write_delay_us: u64,
    /// Why writes are refused, if they are.
    pub read_only: Option<String>,
    /// Why background work failed last, if it did.
    pub trouble: Option<String>,
    /// The first damage met since the shard was opened, with what to do.
    pub damage: Option<String>,
}
