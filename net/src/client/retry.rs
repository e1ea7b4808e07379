//! Pauses before what was certainly not done is tried again.

use tokio::time::Instant;

use super::backoff::Backoff;
use super::options::Options;

/// The attempts of one request.
pub(super) struct Retry {
    backoff: Backoff,
    deadline: Instant,
}

impl Retry {
    /// None so far.
    pub(super) fn new(options: &Options, deadline: Instant) -> Retry {
        Retry { backoff: Backoff::new(options.backoff_min, options.backoff_max), deadline }
    }

    /// Waits before the next attempt; `false`, at once, if there is no time for one.
    pub(super) async fn pause(&mut self) -> bool {
        let until = Instant::now() + self.backoff.next();
        let has_time = until < self.deadline;
        if has_time {
            tokio::time::sleep_until(until).await;
        }
        has_time
    }
}
