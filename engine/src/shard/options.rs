//! How a shard is set up, and how its memory is divided.

use crate::clock::TimeJump;
pub use crate::group::durability::Durability;
use crate::key::Partition;
use crate::log::LogOptions;
use crate::manifest::Membership;
use crate::tree::TreeOptions;

/// What a shard is opened with.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Identity of the shard: files of another one are refused.
    pub shard_id: [u8; 16],
    /// The partitions it owns.
    pub partitions: Vec<Partition>,
    /// When writes are acknowledged, in every group.
    pub durability: Durability,
    /// Memory for everything the shard holds, bytes.
    pub memory_bytes: usize,
    /// Whether the log writes around the page cache (the file system must be able to).
    pub direct: bool,
    /// Longest value taken, bytes.
    pub value_bytes_max: usize,
    /// Which shard of which store it is, for its manifest to know.
    pub membership: Option<Membership>,
    /// The shard was made before, as `STORE` says: where none of its files is there, they are lost.
    pub is_made: bool,
    /// What to make of a wall clock that shows much more than the log, in another boot.
    pub time_jump: TimeJump,
}

impl ShardOptions {
    /// Longest key, bytes.
    pub const KEY_BYTES_MAX: usize = 65_535;
    /// Longest batch: keys and values together, bytes.
    pub const BATCH_BYTES_MAX: usize = 24 << 20;
    /// Longest value by default, bytes.
    pub const VALUE_BYTES_MAX: usize = 16 << 20;
    /// Least memory a shard works with, bytes.
    pub const MEMORY_BYTES_MIN: usize = 16 << 20;

    /// Whether the log is written around the page cache: where each write is made durable by itself. Else many small ones
    /// share a page before it is written.
    pub fn has_direct_log(&self) -> bool {
        self.direct && self.durability == Durability::Sync
    }

    /// What a value over `value_bytes_max` is refused with.
    pub fn value_limit(value_bytes_max: usize) -> &'static str {
        match value_bytes_max {
            ShardOptions::VALUE_BYTES_MAX => "values are at most 16,777,216 bytes (16 MiB) long",
            _ => "the value is longer than the limit on values",
        }
    }
}

/// Sizes that follow from the memory budget, unless a caller of [`super::Shard::open_tuned`] chooses others.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// How memory is divided.
    pub budgets: Budgets,
    /// The shape of the tree.
    pub tree: TreeOptions,
    /// Size of a segment of the log, bytes.
    pub segment_bytes: u32,
}

impl Tuning {
    /// The sizes of a shard that may use so much memory.
    pub fn new(memory_bytes: usize) -> Tuning {
        Tuning {
            budgets: Budgets::new(memory_bytes),
            tree: TreeOptions::for_budget(memory_bytes),
            segment_bytes: LogOptions::SEGMENT_BYTES,
        }
    }
}

/// What log writes, flushes and merges of ordinary values have under way at once, bytes.
const JOBS_BYTES: usize = 8 << 20;

/// Shares of the memory budget, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// A memtable is frozen at this size.
    pub memtable: usize,
    /// All memtables together; beyond it writers are refused.
    pub memtables: usize,
    /// Blocks of tables that aren't resident.
    pub cache: usize,
    /// Resident tables.
    pub resident: usize,
    /// What one log write may gather.
    pub log_write: usize,
    /// Requests that wait: for blocks, another request, or room for their answer; and as much again for answers that wait for
    /// a log write.
    pub parked: usize,
    /// What is remembered of requests that are to be done once. Over it groups forget; there may be four times as much while they
    /// can't, and copies of it in frozen memtables and the manifest.
    pub once: usize,
    /// What each of the buffers that log writes are formed and written in may keep between two of them.
    pub kept: usize,
    /// About how long each write of a flush or a merge is; several are under way.
    pub write: usize,
    /// The log is cut by a freeze when it reaches this length.
    pub log: u64,
}

impl Budgets {
    /// Entries that are in the log and not committed, of all groups; of one a quarter.
    pub fn held(&self) -> usize {
        self.parked
    }

    /// What long values may take of [`Budgets::memtables`] while others wait.
    pub fn long(&self) -> usize {
        self.memtables / 4 * 3
    }

    /// Divides `memory_bytes`: three eighths for memtables at most, a quarter for blocks, a quarter for resident tables
    /// (half where there is plenty), the rest for scans, log writes, flushes and merges. These need more than a small part of
    /// a small budget, at the cost of blocks and resident tables.
    pub fn new(memory_bytes: usize) -> Budgets {
        const MIB: usize = 1 << 20;
        // What is below goes on all the same.
        let memory = memory_bytes.max(8 * MIB);
        let memtable = (memory / 8).clamp(2 * MIB, 64 * MIB);
        let memtables = memtable * 3;
        let parked = (memory / 16).clamp(MIB, 64 * MIB);
        let jobs = (memory / 3).min(JOBS_BYTES).max(memory / 16);
        let once = (memory / 64).min(2 * MIB);
        let tables = memory.saturating_sub(memtables + parked + jobs + 4 * once);
        let cache = (memory / if memory > 1024 * MIB { 8 } else { 4 }).min(tables / 2);
        let resident = (memory.saturating_sub(memtables + cache) * 2 / 3).min(tables - cache);
        Budgets {
            memtable,
            memtables,
            cache,
            resident,
            log_write: (memory / 4).min(24 * MIB),
            parked,
            once,
            kept: (memory / 64).clamp(64 << 10, 4 * MIB),
            write: (memory / 128).clamp(128 << 10, MIB),
            log: (memtable as u64 * 4).max(256 << 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_never_exceed_the_budget() {
        for mib in [10, 16, 64, 256, 1024, 16 * 1024] {
            let memory = mib << 20;
            let budgets = Budgets::new(memory);
            assert!(
                budgets.memtables + budgets.cache + budgets.resident + budgets.parked <= memory / 16 * 15,
                "{mib} MiB: {budgets:?}"
            );
            let under_way = 4 * budgets.kept + 8 * budgets.write;
            assert!(under_way <= memory / 4, "{mib} MiB: {budgets:?}");
        }
    }
}
