//! Whether a run kept the rate that was asked of it.

use serde::Serialize;

use super::figures::number;
use crate::run::Pacing;

/// Less than this part of what was asked for is told.
const KEPT: f64 = 0.99;

/// What was asked for and what came of it, in operations a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// What was asked for.
    pub asked: f64,
    /// What was reached.
    pub reached: f64,
    /// Whether that is what was asked for, but for a hundredth.
    pub was_kept: bool,
    /// Whether latencies hold the wait from the scheduled time.
    pub latencies_hold_the_wait: bool,
}

impl Rate {
    /// Of a run of so many operations in so many seconds; none for a closed loop.
    pub(super) fn new(pacing: Pacing, operations: u64, run_time_s: f64) -> Option<Rate> {
        let asked = pacing.rate()?;
        // Whether the last operation was just due or not is no failure.
        let was_kept = operations as f64 + 1.0 >= asked * run_time_s * KEPT;
        let latencies_hold_the_wait = matches!(pacing, Pacing::Open(_));
        Some(Rate { asked, reached: operations as f64 / run_time_s, was_kept, latencies_hold_the_wait })
    }

    /// What people are told if it wasn't kept.
    pub(super) fn complaint(&self) -> Option<String> {
        let latencies = match self.latencies_hold_the_wait {
            true => "latencies hold the wait from the scheduled time on (coordinated omission is corrected)",
            false => "latencies count from sending and hide the wait before it (coordinated omission)",
        };
        let (asked, reached) = (number(self.asked), number(self.reached));
        let text =
            format!("the rate wasn't kept: {asked} operations/s asked for, {reached} reached; {latencies}");
        (!self.was_kept).then_some(text)
    }
}
