//! The seconds of a run, as all workers saw them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use hdrhistogram::Histogram;

use super::{SECOND_NS, histogram, merge, us};

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Second {
    /// Which, from the start.
    pub second: u64,
    /// Requests that ended in it.
    pub operations: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Median latency, microseconds; none where nothing ended.
    pub p50_us: Option<f64>,
    /// 99th percentile, microseconds.
    pub p99_us: Option<f64>,
    /// 99.9th percentile, microseconds.
    pub p999_us: Option<f64>,
    /// The slowest, microseconds.
    pub max_us: Option<f64>,
    /// How long the operation that had waited longest at the end of this second had waited by then, microseconds; 0:
    /// none was waiting.
    pub waiting_us: f64,
}

impl Second {
    /// Whether an operation waited for as long as a second: then the latencies of those that ended don't tell how it went.
    pub fn is_stalled(&self) -> bool {
        self.waiting_us >= us(SECOND_NS)
    }
}

/// The seconds of a run, as all workers saw them.
#[derive(Debug, Default)]
pub struct Timeline {
    seconds: Mutex<Seconds>,
    pub(super) operations: AtomicU64,
}

#[derive(Debug, Default)]
struct Seconds {
    closed: Vec<Second>,
    open: Vec<Tally>,
}

/// A second that is still being counted.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) latencies: Histogram<u64>,
    pub(super) operations: u64,
    pub(super) failed: u64,
    waited_ns: u64,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally { latencies: histogram(2), operations: 0, failed: 0, waited_ns: 0 }
    }

    /// Back to nothing, the largest latency included.
    pub(super) fn reset(&mut self) {
        self.latencies.reset();
        (self.operations, self.failed, self.waited_ns) = (0, 0, 0);
    }
}

/// Workers hand a second in within this time, unless a call holds them; then it is summed up.
pub(super) const OPEN_SECONDS: usize = 3;

impl Timeline {
    /// Requests that have ended, but for those of the last moments.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Seconds> {
        match self.seconds.lock() {
            Ok(seconds) => seconds,
            Err(poisoned) => poisoned.into_inner(), // counts are consistent between statements
        }
    }

    /// Adds what a worker counted in a second.
    pub(super) fn add(&self, second: u64, tally: &Tally) {
        let mut seconds = self.lock();
        match seconds.at(second) {
            At::Closed(closed) => closed.add_late(tally),
            At::Open(sum) => {
                merge(&mut sum.latencies, &tally.latencies);
                sum.operations += tally.operations;
                sum.failed += tally.failed;
            }
        }
        while seconds.open.len() > OPEN_SECONDS {
            seconds.close_first();
        }
    }

    /// Notes that an operation, begun so long after the start of the run, was still waiting at the ends of `seconds`.
    pub(super) fn add_wait(&self, begun_ns: u64, seconds: Range<u64>) {
        let mut all = self.lock();
        for second in seconds {
            let waited_ns = ((second + 1) * SECOND_NS).saturating_sub(begun_ns);
            match all.at(second) {
                At::Closed(closed) => closed.waiting_us = closed.waiting_us.max(us(waited_ns)),
                At::Open(open) => open.waited_ns = open.waited_ns.max(waited_ns),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn open_seconds(&self) -> usize {
        self.lock().open.len()
    }

    /// The seconds up to now.
    pub fn seconds(&self) -> Vec<Second> {
        let mut seconds = self.lock();
        while !seconds.open.is_empty() {
            seconds.close_first();
        }
        seconds.closed.clone()
    }
}

/// Where a second is counted.
enum At<'a> {
    Closed(&'a mut Second),
    Open(&'a mut Tally),
}

impl Second {
    /// What comes when the second is summed up already counts, and may be the slowest.
    fn add_late(&mut self, tally: &Tally) {
        self.operations += tally.operations;
        self.failed += tally.failed;
        let late_max_us = (tally.operations > 0).then(|| us(tally.latencies.max()));
        self.max_us = self.max_us.into_iter().chain(late_max_us).reduce(f64::max);
    }
}

impl Seconds {
    fn at(&mut self, second: u64) -> At<'_> {
        let at = second as usize; // runs end before their seconds exceed the memory
        match at.checked_sub(self.closed.len()) {
            None => At::Closed(&mut self.closed[at]),
            Some(open) => {
                if self.open.len() <= open {
                    self.open.resize_with(open + 1, Tally::new);
                }
                At::Open(&mut self.open[open])
            }
        }
    }

    fn close_first(&mut self) {
        let tally = self.open.remove(0);
        let has_ended = tally.operations > 0;
        let at = |quantile| has_ended.then(|| us(tally.latencies.value_at_quantile(quantile)));
        self.closed.push(Second {
            second: self.closed.len() as u64,
            operations: tally.operations,
            failed: tally.failed,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: has_ended.then(|| us(tally.latencies.max())),
            waiting_us: us(tally.waited_ns),
        });
    }
}
