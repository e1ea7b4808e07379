//! What a shard tells of itself: its figures, how much it wants writers held back, and when it wants a turn.

use super::Shard;
use super::stats::ShardStats;

/// Writers are held back from this part of a budget on: half of it.
const SLOW_FROM_PART: u64 = 2;
const SLOW_FROM: f64 = 1.0 / SLOW_FROM_PART as f64;
/// The longest hold, at the full budget, microseconds.
const DELAY_MAX_US: f64 = 20_000.0;

impl Shard {
    /// See [`ShardOptions::has_direct_log`](super::options::ShardOptions::has_direct_log).
    pub fn has_direct_log(&self) -> bool {
        self.options.has_direct_log()
    }

    /// How long a driver should hold back writers in this turn, microseconds: 0 without pressure, rising smoothly
    /// with the memory that waits to be flushed and with the debt of merges.
    #[inline]
    pub fn write_delay_us(&self) -> u64 {
        let (written, forming, debt) =
            (self.written_bytes(), self.forming.bytes(), self.background.debt_bytes);
        let debt_limit = self.budgets.memtable as u64 * 16;
        let is_below = |used: u64, budget: u64| used <= budget / SLOW_FROM_PART;
        let is_calm = is_below(written as u64, self.budgets.memtables as u64)
            && is_below(forming as u64, self.budgets.log_write as u64)
            && is_below(debt, debt_limit);
        if is_calm {
            0
        } else {
            self.delay_under_pressure_us(written, forming, debt as f64 / debt_limit as f64)
        }
    }

    #[cold]
    fn delay_under_pressure_us(&self, written: usize, forming: usize, debt: f64) -> u64 {
        let memory = written as f64 / self.budgets.memtables as f64;
        let log_write = forming as f64 / self.budgets.log_write as f64;
        let pressure =
            ((memory.max(log_write).max(debt.min(0.95)) - SLOW_FROM) / (1.0 - SLOW_FROM)).clamp(0.0, 1.0);
        (pressure.powi(3) * DELAY_MAX_US) as u64
    }

    /// How long a value may be now that is to leave room for short ones, which else wait until it is flushed: beside a memtable
    /// that is to be flushed, a quarter of the memory for what is written. Where background work fails nothing is gained by waiting.
    /// The shard itself takes longer ones too.
    pub fn long_room(&self) -> usize {
        let written = self.written_bytes();
        let waits_for_flush = !self.sources.frozen.is_empty() || written >= self.budgets.memtable;
        if !waits_for_flush || self.background.failing.keeps_memory() {
            return usize::MAX;
        }
        self.budgets.long().saturating_sub(written)
    }

    /// How long a value may be that fits beside a memtable that is to be flushed. Longer ones go by themselves or not at all.
    pub fn long_room_max(&self) -> usize {
        self.budgets.long() - self.budgets.memtable
    }

    /// How long a driver whose background thread shares its core should sleep after a busy turn, microseconds:
    /// flushes and merges get at least the share of the core that they need.
    pub fn yield_us(&self) -> u64 {
        if self.background.is_settled() { 0 } else { self.write_delay_us().min(2_000) }
    }

    /// When [`Shard::tick`] and [`Shard::end_turn`] want to run although nothing happened, on the clock of
    /// [`super::Now::mono_us`].
    ///
    /// Jobs and I/O in flight need none: their ends are events. A shard at rest that holds nothing that expires has none;
    /// but it is to be shown the clocks every [`crate::clock::LOOK_US`], so that it sees somebody set one.
    pub fn next_deadline_us(&self) -> Option<u64> {
        let times = [
            self.log_write_due_us(),
            self.sync_due_us(),
            self.clock_due_us(),
            self.background_due_us(),
            self.doubt_due_us(),
            self.end_due_us(),
            self.held.apply_at.values().min().copied(),
            self.has_left_over().then_some(self.mono_us),
            self.replicated.ticks.first().map(|_| self.mono_us),
        ];
        times.into_iter().flatten().min()
    }

    /// Requests ended at their deadline.
    pub fn timed_out(&self) -> u64 {
        self.counters.timed_out
    }

    /// Records of the log that opening replayed, and their bytes.
    pub fn replayed(&self) -> (u64, u64) {
        (self.counters.replayed_records, self.counters.replayed_bytes)
    }

    /// The shard's figures.
    pub fn stats(&self) -> ShardStats {
        let tree = &self.sources.tree;
        let shape = tree.stats();
        ShardStats {
            reads: self.counters.reads,
            writes: self.counters.writes,
            scans: self.counters.scans,
            refused: self.counters.refused,
            timed_out: self.counters.timed_out,
            repeated: self.counters.repeated,
            forgotten: self.counters.forgotten,
            log_writes: self.counters.log_writes,
            written_bytes: self.counters.written_bytes,
            flushes: self.counters.flushes,
            merges: self.counters.merges,
            expired: self.counters.expired,
            job_errors: self.counters.job_errors,
            read_errors: self.counters.read_errors,
            log_failures: self.counters.log_failures,
            parked: self.parked.count,
            parked_now: self.parked.len(),
            once_bytes: self.once.bytes,
            memtable_bytes: self.sources.memtable_bytes(),
            frozen_memtables: self.sources.frozen.len(),
            levels: shape.levels,
            debt_bytes: self.background.debt_bytes,
            log_bytes: self.log.live_bytes(),
            cache_bytes: self.sources.cache.bytes(),
            cache_hits: self.sources.cache.hits(),
            cache_misses: self.sources.cache.misses(),
            resident_bytes: shape.resident_bytes,
            metadata_bytes: shape.metadata_bytes,
            write_delay_us: self.write_delay_us(),
            read_only: self.failure().or_else(|| self.read_only_reason()).map(str::to_string),
            trouble: self.background.trouble.clone(),
            damage: self.dir.damage().map(str::to_string),
        }
    }
}
