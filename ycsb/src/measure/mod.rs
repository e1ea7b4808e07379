//! What is measured: a latency histogram for each kind of request, outcomes, and a timeline of seconds.
//!
//! Each worker has a [`Recorder`] of its own; nothing is shared but the timeline, once a second. Latencies are
//! kept in nanoseconds with three digits, so that percentiles up to 99.99 and the maximum are real.

mod timeline;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::workload::Kind;
use timeline::Tally;
pub use timeline::{Second, Timeline};

const SECOND_NS: u64 = 1_000_000_000;
/// Latencies up to an hour; longer ones count as an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// As wanted.
    Ok,
    /// The record wasn't there.
    NotFound,
    /// The record wasn't what was written (`dataintegrity=true`).
    UnexpectedState,
    /// The store said no, or the connection broke before anything was written.
    Error,
    /// A write whose connection broke before it was answered: it may have been applied.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 5] =
        [Status::Ok, Status::NotFound, Status::UnexpectedState, Status::Error, Status::Unknown];

    /// YCSB's name.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::NotFound => "NOT_FOUND",
            Status::UnexpectedState => "UNEXPECTED_STATE",
            Status::Error => "ERROR",
            Status::Unknown => "UNKNOWN",
        }
    }
}

/// The requests of one kind.
#[derive(Clone, Debug)]
pub struct Series {
    /// Latencies of those that went well, nanoseconds.
    pub succeeded: Histogram<u64>,
    /// Latencies of the others, nanoseconds.
    pub failed: Histogram<u64>,
    /// How many ended in each of [`Status::ALL`].
    pub statuses: [u64; Status::ALL.len()],
}

impl Series {
    fn new() -> Series {
        Series { succeeded: histogram(3), failed: histogram(3), statuses: [0; Status::ALL.len()] }
    }

    fn record(&mut self, latency_ns: u64, status: Status) {
        self.statuses[status as usize] += 1;
        let histogram = if status == Status::Ok { &mut self.succeeded } else { &mut self.failed };
        histogram.saturating_record(latency_ns);
    }

    fn add(&mut self, other: &Series) {
        merge(&mut self.succeeded, &other.succeeded);
        merge(&mut self.failed, &other.failed);
        self.statuses.iter_mut().zip(other.statuses).for_each(|(sum, count)| *sum += count);
    }
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, digits)
        .expect("the bounds are in order and the digits below 6")
}

fn merge(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    sum.add(other).expect("all histograms have the same bounds");
}

/// Nanoseconds as microseconds.
pub fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// The measurements of one worker, and of all once they are added up.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    timeline: Arc<Timeline>,
    series: [Option<Box<Series>>; 5],
    second: u64,
    tally: Tally,
    unreported: u64,
    /// The operation that ended in `second` and began earliest of those that began before it: when, after the start.
    waited: Option<u64>,
}

/// How many operations may be missing from the progress.
const REPORT_EVERY: u64 = 256;

impl Recorder {
    /// A recorder of a run that began at `start`.
    pub fn new(start: Instant, timeline: Arc<Timeline>) -> Recorder {
        Recorder {
            start,
            timeline,
            series: Default::default(),
            second: 0,
            tally: Tally::new(),
            unreported: 0,
            waited: None,
        }
    }

    /// Records one whole operation that ended at `now`: it counts for the throughput.
    pub fn operation(&mut self, kind: Kind, latency: Duration, status: Status, now: Instant) {
        self.tick(now);
        let latency_ns = ns(latency);
        self.note_wait(latency_ns, now);
        self.part(kind, latency, status);
        self.tally.operations += 1;
        self.tally.failed += u64::from(status != Status::Ok);
        self.tally.latencies.saturating_record(latency_ns);
        self.unreported += 1;
        if self.unreported >= REPORT_EVERY {
            self.report();
        }
    }

    /// Records a part of an operation (the read and the update of a read-modify-write).
    pub fn part(&mut self, kind: Kind, latency: Duration, status: Status) {
        let series = self.series[kind as usize].get_or_insert_with(|| Box::new(Series::new()));
        series.record(ns(latency), status);
    }

    /// Hands finished seconds to the timeline; call it now and then also when nothing happens.
    pub fn tick(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.start).as_secs();
        if second != self.second {
            self.hand_in();
            (self.second, self.waited) = (second, None);
        }
    }

    /// An operation that began before this second was waiting at the end of each one between.
    fn note_wait(&mut self, latency_ns: u64, now: Instant) {
        let begun_ns = ns(now.saturating_duration_since(self.start)).saturating_sub(latency_ns);
        // One that began earlier has told of the same seconds, and that it waited longer.
        if begun_ns < self.waited.unwrap_or(self.second * SECOND_NS) {
            self.timeline.add_wait(begun_ns, begun_ns / SECOND_NS..self.second);
            self.waited = Some(begun_ns);
        }
    }

    /// Hands everything in that is still counted here.
    pub fn finish(&mut self) {
        self.hand_in();
        self.report();
    }

    fn hand_in(&mut self) {
        if self.tally.operations > 0 {
            self.timeline.add(self.second, &self.tally);
            self.tally.reset();
        }
    }

    fn report(&mut self) {
        self.timeline.operations.fetch_add(std::mem::take(&mut self.unreported), Ordering::Relaxed);
    }

    /// The requests of a kind, if there were any.
    pub fn series(&self, kind: Kind) -> Option<&Series> {
        self.series[kind as usize].as_deref()
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Recorder) {
        for (sum, series) in self.series.iter_mut().zip(&other.series) {
            if let Some(series) = series {
                sum.get_or_insert_with(|| Box::new(Series::new())).add(series);
            }
        }
    }
}

fn ns(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
