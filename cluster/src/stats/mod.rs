//! What a core counts, as plain numbers that it hands out when asked.

pub mod histogram;
pub mod published;
pub mod storage;
pub mod tally;

use histogram::Histogram;

/// What a request costs, roughly: how statistics group them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Reads of single keys.
    Read,
    /// Everything that changes data.
    Write,
    /// Scans, counts, lists of keys.
    Scan,
    /// What touches no data.
    Server,
}

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Class; 4] = [Class::Read, Class::Write, Class::Scan, Class::Server];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Scan => "scan",
            Class::Server => "server",
        }
    }
}

/// Requests of one class.
#[derive(Clone, Debug, Default)]
pub struct ClassStats {
    /// Answered, however.
    pub answered: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Of these, with an unknown outcome.
    pub unknown: u64,
    /// From arrival to answer, by the clock of the turns.
    pub latency: Histogram,
}

/// Figures of a shard's storage.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct StorageStats {
    /// Bytes in memtables, frozen ones included.
    pub memtable_bytes: u64,
    /// Frozen memtables that wait for their flush.
    pub memtables_frozen: u64,
    /// Tables per level.
    pub tables: Vec<u64>,
    /// Bytes of all tables.
    pub table_bytes: u64,
    /// Bytes of resident tables.
    pub resident_bytes: u64,
    /// Bytes in the block cache.
    pub cache_bytes: u64,
    /// Look-ups of blocks that the cache answered.
    pub cache_hits: u64,
    /// Look-ups that it didn't.
    pub cache_misses: u64,
    /// Bytes that merges still have to move for the tree to be in shape.
    pub compaction_debt_bytes: u64,
    /// Memtables flushed.
    pub flushes: u64,
    /// Merges done.
    pub merges: u64,
    /// Background jobs that failed.
    pub job_errors: u64,
    /// Blocks that couldn't be read or were damaged.
    pub read_errors: u64,
    /// Log writes and syncs that failed.
    pub log_failures: u64,
    /// Requests ended because their time was over.
    pub timed_out: u64,
    /// Requests that were done before, and answered again.
    pub repeated: u64,
    /// Requests of which it wasn't known any more whether they were done.
    pub forgotten: u64,
    /// Bytes of what is remembered of requests that are done once.
    pub once_bytes: u64,
    /// Log writes, each a group commit.
    pub log_commits: u64,
    /// Bytes of the log that a restart would replay.
    pub log_live_bytes: u64,
    /// Bytes of keys and values written by clients.
    pub written_bytes: u64,
    /// Why the shard takes no writes, if it doesn't.
    pub read_only: Option<String>,
    /// Why background work failed last, if it did; else what is damaged.
    pub trouble: Option<String>,
    /// The first damage met since the start, with what to do.
    pub damage: Option<String>,
}

/// Everything that one core tells about itself.
#[derive(Clone, Debug, Default)]
pub struct CoreStats {
    /// Its number.
    pub core: usize,
    /// Requests by [`Class`].
    pub classes: [ClassStats; Class::ALL.len()],
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes handed to sends.
    pub sent_bytes: u64,
    /// Connections now.
    pub connections: u64,
    /// Connections ever accepted.
    pub connections_accepted: u64,
    /// Connections refused because there were too many.
    pub connections_refused: u64,
    /// Requests sent on to other cores.
    pub forwarded: u64,
    /// Requests received from other cores.
    pub taken_over: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Time that writers were held back for compaction to keep up, summed over connections.
    pub stall_us: u64,
    /// Bytes that connections take of the memory, and how many there may be.
    pub clients_bytes: u64,
    /// See `clients_bytes`.
    pub clients_bytes_max: u64,
    /// Connections that were closed because they held memory that others waited for.
    pub dismissed: u64,
    /// Requests ended by this core, not by a shard, because their time was over.
    pub timed_out: u64,
    /// Length of the reactor's turns, without waiting.
    pub turns: Histogram,
    /// Turns that held everything up for longer than the reactor calls a stall.
    pub stalled_turns: u64,
    /// How its durable log writes are made.
    pub log_sync: &'static str,
    /// Its shard.
    pub storage: StorageStats,
}

impl CoreStats {
    /// The statistics of a class.
    #[inline]
    pub fn class(&mut self, class: Class) -> &mut ClassStats {
        &mut self.classes[class as usize]
    }
}
