//! When operations begin, and when a worker has done enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a run is paced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Closed loop: the next operation begins when one has ended.
    Closed,
    /// Closed loop held to so many operations a second, as YCSB's `target`; latency counts from sending.
    Throttled(f64),
    /// Open loop: so many operations a second on a schedule; latency counts from the scheduled time, also while an
    /// operation waits because every connection is busy.
    Open(f64),
}

impl Pacing {
    /// Operations a second that are asked for.
    pub fn rate(self) -> Option<f64> {
        match self {
            Pacing::Closed => None,
            Pacing::Throttled(rate) | Pacing::Open(rate) => Some(rate),
        }
    }

    /// What a figure measured so means, for reports.
    pub fn describe(self) -> String {
        match self {
            Pacing::Closed => "closed loop".into(),
            Pacing::Throttled(rate) => {
                format!("closed loop held to {rate} operations/s, latency from sending")
            }
            Pacing::Open(rate) => {
                format!("open loop of {rate} operations/s, latency from the scheduled time")
            }
        }
    }
}

/// The schedule of one worker.
#[derive(Debug)]
pub(super) struct Schedule {
    interval_ns: f64,
    start: Instant,
    begun: u64,
    from_schedule: bool,
}

impl Schedule {
    /// The part of worker `worker` of `workers`, whose schedules interleave.
    pub(super) fn new(pacing: Pacing, worker: usize, workers: usize, start: Instant) -> Schedule {
        let (rate, from_schedule) = (pacing.rate().unwrap_or(0.0), matches!(pacing, Pacing::Open(_)));
        let interval_ns = if rate > 0.0 { 1e9 * workers as f64 / rate } else { 0.0 };
        let offset_ns = interval_ns * worker as f64 / workers as f64;
        Schedule {
            interval_ns,
            start: start + Duration::from_nanos(offset_ns as u64),
            begun: 0,
            from_schedule,
        }
    }

    fn next(&self) -> Instant {
        self.start + Duration::from_nanos((self.interval_ns * self.begun as f64) as u64)
    }

    /// Whether an operation may begin now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.interval_ns == 0.0 || self.next() <= now
    }

    /// Begins an operation and says from when on its latency counts.
    pub(super) fn begin(&mut self, now: Instant) -> Instant {
        let due = if self.from_schedule { self.next() } else { now };
        self.begun += 1;
        due
    }

    /// How long until the next may begin.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        if self.interval_ns == 0.0 { Duration::ZERO } else { self.next().saturating_duration_since(now) }
    }
}

/// How much a worker may still begin.
#[derive(Debug)]
pub(super) struct Quota {
    left: u64,
    deadline: Option<Instant>,
    stop: Arc<AtomicBool>,
}

impl Quota {
    pub(super) fn new(operations: u64, deadline: Option<Instant>, stop: Arc<AtomicBool>) -> Quota {
        Quota { left: operations, deadline, stop }
    }

    /// Takes one operation, if there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.is_used_up(now) {
            return false;
        }
        self.left -= 1;
        true
    }

    pub(super) fn is_used_up(&self, now: Instant) -> bool {
        self.left == 0 || self.is_over(now) || self.is_stopped()
    }

    /// Whether the time is up, however much is left to do.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Whether a signal or another worker has ended the run.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends all workers.
    pub(super) fn stop_all(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_counts_from_the_schedule_and_a_throttled_one_from_sending() {
        let start = Instant::now();
        let late = start + Duration::from_millis(95);
        let mut open = Schedule::new(Pacing::Open(100.0), 0, 1, start);
        let due: Vec<_> =
            std::iter::from_fn(|| open.is_due(late).then(|| open.begin(late) - start)).collect();
        assert_eq!(due, (0..10).map(|at| Duration::from_millis(at * 10)).collect::<Vec<_>>());
        assert_eq!(open.wait(late), Duration::from_millis(5));
        let mut throttled = Schedule::new(Pacing::Throttled(100.0), 0, 1, start);
        assert_eq!(throttled.begin(late), late);
    }

    #[test]
    fn the_schedules_of_workers_interleave() {
        let start = Instant::now();
        let mut second = Schedule::new(Pacing::Open(100.0), 1, 2, start);
        assert!(!second.is_due(start));
        assert_eq!(second.begin(start) - start, Duration::from_millis(10));
        assert_eq!(second.wait(start), Duration::from_millis(30));
    }

    #[test]
    fn a_quota_ends_by_count_by_time_and_by_request() {
        let now = Instant::now();
        let mut counted = Quota::new(1, None, Arc::default());
        assert!(counted.take(now) && !counted.take(now));
        let mut timed = Quota::new(u64::MAX, Some(now + Duration::from_secs(1)), Arc::default());
        assert!(timed.take(now) && !timed.take(now + Duration::from_secs(1)));
        let mut stopped = Quota::new(5, None, Arc::default());
        stopped.stop_all();
        assert!(!stopped.take(now));
    }
}
