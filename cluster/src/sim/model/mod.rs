//! The model: what every answer may be.

pub mod time;
pub mod violation;

pub use time::SimTime;
pub use violation::Violation;

/// What a history checks against.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// Partitions of the store.
    pub partitions: usize,
    /// Cores (shards) of the node.
    pub cores: usize,
    /// Whether a crash may take back acknowledged writes ([`Loss::Suffix`]): then what may be lost is remembered.
    pub may_lose: bool,
    /// A crash never takes back what was acknowledged longer ago than this.
    pub loss_us_max: u64,
}

/// What a crash may have taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that was acknowledged, nothing that was seen: `sync`; `interval` when only the process died.
    Nothing,
    /// Per partition any suffix of its order that begins behind what was acknowledged before this virtual time.
    Suffix {
        /// Acknowledged before it: still there.
        acknowledged_before_us: u64,
    },
}

/// Refusals that the world has given a reason for. Others are violations. BUSY is always permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    /// READ_ONLY, UNAVAILABLE, unknown outcomes of failed logs: the disk was full or failed.
    pub read_only: bool,
    /// DAMAGED: data at rest was damaged, or can't be read.
    pub damaged: bool,
}

/// Everything that clients asked and were answered, as far as it still matters.
#[derive(Debug)]
pub struct History {
    options: HistoryOptions,
    permits: Permits,
}

impl History {
    /// Of an empty store.
    pub fn new(options: HistoryOptions) -> History {
        History { options, permits: Permits::default() }
    }

    /// Which refusals may be answered from now on.
    pub fn permit(&mut self, permits: Permits) {
        self.permits = permits;
    }

    /// The node crashed (or was stopped): call it behind [`Client::disconnected`](super::client::Client::disconnected) of
    /// every client. What was open took effect before, or never will.
    pub fn crashed(&mut self, loss: Loss, now: SimTime) {
        let _ = (loss, now, &self.options);
    }

    /// Nothing of what closed connections sent is under way any more: what had no effect will have none.
    pub fn settled(&mut self, now: SimTime) {
        let _ = now;
    }

    /// Another number of cores from now on (after a crash or stop).
    pub fn resharded(&mut self, cores: usize) {
        self.options.cores = cores;
    }

    /// The last operations on a key, oldest first, for reports.
    pub fn last_ops(&self, key: &[u8]) -> Vec<String> {
        let _ = key;
        Vec::new()
    }

    /// The last checks, when every client has been disconnected.
    pub fn finish(&mut self, now: SimTime) -> Result<(), Violation> {
        let _ = now;
        Ok(())
    }

    /// What was counted, by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
