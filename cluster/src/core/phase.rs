//! How far a core has gone down ([`super::control`] takes it there).

use std::time::Duration;

/// How far a core has gone down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It finishes what is under way.
    Draining,
    /// It has finished, and said so.
    Drained,
    /// Its shard settles.
    Stopping,
}

/// How often a core that goes down looks whether it may go on.
pub const POLL: Duration = Duration::from_millis(5);
