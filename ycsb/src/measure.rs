//! What is measured: a latency histogram for each kind of request, outcomes, and a timeline of seconds.
//!
//! Each worker has a [`Recorder`] of its own; nothing is shared but the timeline, once a second. Latencies are
//! kept in nanoseconds with three digits, so that percentiles up to 99.99 and the maximum are real.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::workload::Kind;

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

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Second {
    /// Which, from the start.
    pub second: u64,
    /// Requests that ended in it.
    pub operations: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// 99.9th percentile, microseconds.
    pub p999_us: f64,
    /// The slowest, microseconds.
    pub max_us: f64,
}

/// The seconds of a run, as all workers saw them.
#[derive(Debug, Default)]
pub struct Timeline {
    seconds: Mutex<Seconds>,
    operations: AtomicU64,
}

#[derive(Debug, Default)]
struct Seconds {
    closed: Vec<Second>,
    open: Vec<Tally>,
}

/// A second that is still being counted.
#[derive(Clone, Debug)]
struct Tally {
    latencies: Histogram<u64>,
    operations: u64,
    failed: u64,
}

impl Tally {
    fn new() -> Tally {
        Tally { latencies: histogram(2), operations: 0, failed: 0 }
    }
}

/// Workers hand a second in within this time; then it is summed up.
const OPEN_SECONDS: usize = 3;

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

    fn add(&self, second: u64, tally: &Tally) {
        let mut seconds = self.lock();
        let Some(at) = (second as usize).checked_sub(seconds.closed.len()) else { return };
        if seconds.open.len() <= at {
            seconds.open.resize_with(at + 1, Tally::new);
        }
        let sum = &mut seconds.open[at];
        merge(&mut sum.latencies, &tally.latencies);
        sum.operations += tally.operations;
        sum.failed += tally.failed;
        while seconds.open.len() > OPEN_SECONDS {
            seconds.close_first();
        }
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

impl Seconds {
    fn close_first(&mut self) {
        let tally = self.open.remove(0);
        let at = |quantile| us(tally.latencies.value_at_quantile(quantile));
        self.closed.push(Second {
            second: self.closed.len() as u64,
            operations: tally.operations,
            failed: tally.failed,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(tally.latencies.max()),
        });
    }
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
        }
    }

    /// Records one whole operation that ended at `now`: it counts for the throughput.
    pub fn operation(&mut self, kind: Kind, latency: Duration, status: Status, now: Instant) {
        self.tick(now);
        let latency_ns = ns(latency);
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
            self.second = second;
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
            self.tally.latencies.clear();
            (self.tally.operations, self.tally.failed) = (0, 0);
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
mod tests {
    use super::*;

    #[test]
    fn seconds_hold_what_ended_in_them() {
        let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
        let mut recorder = Recorder::new(start, timeline.clone());
        for (at_ms, latency_us, status) in
            [(100, 10, Status::Ok), (900, 30, Status::Error), (2_500, 50, Status::Ok)]
        {
            let now = start + Duration::from_millis(at_ms);
            recorder.operation(Kind::Read, Duration::from_micros(latency_us), status, now);
        }
        recorder.finish();
        let seconds = timeline.seconds();
        let counts: Vec<_> = seconds.iter().map(|each| (each.second, each.operations, each.failed)).collect();
        assert_eq!(counts, [(0, 2, 1), (1, 0, 0), (2, 1, 0)]);
        assert!((29.0..31.0).contains(&seconds[0].max_us));
        assert_eq!(timeline.operations(), 3);
    }

    #[test]
    fn failures_have_a_histogram_of_their_own() {
        let mut recorder = Recorder::new(Instant::now(), Arc::default());
        recorder.part(Kind::Update, Duration::from_micros(5), Status::Ok);
        recorder.part(Kind::Update, Duration::from_micros(500), Status::NotFound);
        let mut sum = Recorder::new(Instant::now(), Arc::default());
        sum.add(&recorder);
        sum.add(&recorder);
        let series = sum.series(Kind::Update).unwrap();
        assert_eq!((series.succeeded.len(), series.failed.len(), series.statuses), (2, 2, [2, 2, 0, 0, 0]));
        assert!(sum.series(Kind::Read).is_none());
    }

    #[test]
    fn a_long_run_keeps_only_a_few_seconds_open() {
        let timeline = Arc::new(Timeline::default());
        let start = Instant::now();
        let mut recorder = Recorder::new(start, timeline.clone());
        for second in 0..1000 {
            recorder.operation(
                Kind::Read,
                Duration::from_micros(1),
                Status::Ok,
                start + Duration::from_secs(second),
            );
        }
        assert!(timeline.lock().open.len() <= OPEN_SECONDS);
        recorder.finish();
        assert_eq!(timeline.seconds().len(), 1000);
    }
}
