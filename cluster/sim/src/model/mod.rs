//! The model: what every answer may be.
//!
//! 1. Keys are checked in *registers*: one key, or all keys of one `{tag}`, whose batches and reads happen at one moment.
//! 2. A register is the set of *configurations* in which everything that was answered is right: what its keys hold, and
//!    which open operations have taken effect. An answer extends them by open writes as it needs (just-in-time
//!    linearization) and drops those in which it would be wrong. When none is left, a promise was broken.
//! 3. An operation whose outcome nobody learns becomes a *ghost*: it may take effect or not, until a crash.
//! 4. What is known only within bounds (versions of writes that weren't told, expiries from a clock that is seen from
//!    outside) stays a span, which narrows with every answer.
//!
//! It errs on the side of the server where it can't know better, never against it.

mod config;
mod digest;
mod evaluate;
mod explore;
mod fits;
mod history;
pub mod op;
mod register;
mod scans;
pub mod seen;
mod time;
mod value;
mod violation;
mod window;

#[cfg(test)]
mod tests;

pub use history::{Ask, Checked, History, Ticket, Told};
pub use scans::{About, Covered};
pub use time::{Lead, SimTime};
pub use violation::{Quoted, Violation};
pub use window::Window;

/// What a history checks against.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// Partitions of the store.
    pub partitions: usize,
    /// Cores (shards) of the node.
    pub cores: usize,
    /// Whether a crash may take back acknowledged writes ([`Loss::Suffix`]): then what may be lost is remembered.
    pub may_lose: bool,
    /// Whether disks hang or the machine sleeps: then the time for a request may be over before it is answered.
    pub may_time_out: bool,
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
    /// LIMIT: limits are small enough for requests of well-behaved clients to break them.
    pub limit: bool,
}
