//! A shard's figures, as its node tells them.

use super::StorageStats;
use pinion_engine::shard::ShardStats;

/// What a shard tells, as the node tells it on.
pub fn told(stats: &ShardStats) -> StorageStats {
    StorageStats {
        memtable_bytes: stats.memtable_bytes as u64,
        memtables_frozen: stats.frozen_memtables as u64,
        tables: stats.levels.iter().map(|level| level.tables as u64).collect(),
        table_bytes: stats.levels.iter().map(|level| level.bytes).sum(),
        resident_bytes: stats.resident_bytes,
        cache_bytes: stats.cache_bytes as u64,
        cache_hits: stats.cache_hits,
        cache_misses: stats.cache_misses,
        compaction_debt_bytes: stats.debt_bytes,
        flushes: stats.flushes,
        merges: stats.merges,
        job_errors: stats.job_errors,
        read_errors: stats.read_errors,
        log_failures: stats.log_failures,
        timed_out: stats.timed_out,
        repeated: stats.repeated,
        forgotten: stats.forgotten,
        once_bytes: stats.once_bytes as u64,
        log_commits: stats.log_writes,
        log_live_bytes: stats.log_bytes,
        written_bytes: stats.written_bytes,
        read_only: stats.read_only.clone(),
        trouble: stats.trouble.clone().or_else(|| stats.damage.clone()),
        damage: stats.damage.clone(),
    }
}

/// What a shard's memory comes to.
pub fn memory_bytes(stats: &ShardStats) -> u64 {
    (stats.memtable_bytes + stats.cache_bytes + stats.metadata_bytes) as u64 + stats.resident_bytes
}
