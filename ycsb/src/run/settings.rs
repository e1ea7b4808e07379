//! How a plan is run.

use std::time::Duration;

use super::pace::Pacing;

/// How a plan is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads.
    pub threads: usize,
    /// Connections of all threads together.
    pub connections: usize,
    /// Requests in flight on a connection.
    pub depth: usize,
    /// Operations of all threads together; `u64::MAX`: until the time is up.
    pub operations: u64,
    /// When to end.
    pub duration: Option<Duration>,
    /// How operations are paced.
    pub pacing: Pacing,
    /// Where the random numbers start.
    pub seed: u64,
    /// How long a server whose connection broke may stay away before the run ends.
    pub away_max: Duration,
}

/// How long a server may stay away unless told otherwise.
pub const AWAY_MAX: Duration = Duration::from_secs(30);
