//! One core: a thread that runs the reactor and owns a shard, its connections and its end of the mesh.
//!
//! - [`state`] is a core as a state machine, over what [`sockets`] asks of whoever drives it; [`handler`] is what the
//!   reactor calls, and the simulator is another driver.
//! - [`turn`] is what sessions work with during a turn; [`hub`] is the core without its shard, [`deliver`] where answers go.
//! - [`forward`] and [`message`] carry requests to other cores; [`owners`] says whom an answer is for.
//! - [`bulk`] lets few long batches be under way at once.
//! - [`memory`] is the account of what connections take; [`room`] says who gets some, who waits, and who has to go.
//! - [`driver`] performs the shard's I/O; [`start`] sets all of it up.

pub mod bulk;
pub mod control;
pub mod deliver;
pub mod driver;
pub mod forward;
mod go_on;
pub mod handler;
pub mod hub;
pub mod leave;
pub mod memory;
pub mod message;
pub mod owners;
pub mod room;
pub mod sockets;
pub mod split;
pub mod start;
mod starved;
pub mod state;
pub mod turn;
pub mod weight;

use crate::stats::StorageStats;
use pinion_engine::shard::ShardStats;

/// What a shard tells, as the node tells it on.
pub fn storage_stats(stats: &ShardStats) -> StorageStats {
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
        log_commits: stats.commits,
        log_live_bytes: stats.log_bytes,
        written_bytes: stats.written_bytes,
        read_only: stats.read_only.clone(),
        trouble: stats.trouble.clone().or_else(|| stats.damage.clone()),
        damage: stats.damage.clone(),
    }
}
