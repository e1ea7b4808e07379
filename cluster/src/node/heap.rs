//! Gives back what the C heap holds though nobody uses it.
//!
//! Large buffers go back when they are freed ([`pinion_engine::drive::return_large_buffers`]). Smaller ones lie in the arenas of
//! the threads that made them, and what is freed in the middle of an arena stays there. So a thread looks at the memory of the
//! process, and has the arenas trimmed when it has grown, and now and then. That takes the lock of one arena after the other,
//! for as long as there are free pieces in it; so the longer it took, the longer it isn't done again.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often the memory is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// To grow by such a part of `--memory` is reason to trim.
const GROWTH_PART: u64 = 32;

/// After a trim there is none for so many times as long as it took.
const REST_TIMES: u32 = 100;

/// Without growth it is done so often, if it took no longer than that.
const CALM_PERIOD: Duration = Duration::from_secs(5);
const CALM_TRIM_MAX: Duration = Duration::from_millis(5);

/// When to trim.
#[derive(Debug)]
struct Schedule {
    growth_bytes: u64,
    /// The least memory since the last trim.
    low_bytes: u64,
    trimmed_at: Instant,
    took: Duration,
}

impl Schedule {
    fn new(memory_bytes: u64, now: Instant) -> Schedule {
        let growth_bytes = memory_bytes / GROWTH_PART;
        Schedule { growth_bytes, low_bytes: 0, trimmed_at: now, took: Duration::ZERO }
    }

    /// Whether the arenas are to be trimmed, now that the process holds so many bytes.
    fn is_due(&mut self, held_bytes: u64, now: Instant) -> bool {
        self.low_bytes = self.low_bytes.min(held_bytes);
        let rested = now.saturating_duration_since(self.trimmed_at);
        let has_grown = held_bytes > self.low_bytes + self.growth_bytes;
        let is_calm = rested >= CALM_PERIOD && self.took <= CALM_TRIM_MAX;
        rested >= self.took * REST_TIMES && (has_grown || is_calm)
    }

    fn trimmed(&mut self, held_bytes: u64, began: Instant, now: Instant) {
        (self.low_bytes, self.trimmed_at) = (held_bytes, now);
        self.took = now.saturating_duration_since(began);
    }
}

/// Looks after the heap until it is dropped.
#[derive(Debug)]
pub struct Heap {
    _end: Sender<()>,
}

impl Heap {
    /// Of a process whose shards and connections have so many bytes. If there is no thread for it, it isn't looked after.
    pub fn look_after(memory_bytes: u64) -> Heap {
        let (end, ended) = channel::<()>();
        let run = move || {
            let mut schedule = Schedule::new(memory_bytes, Instant::now());
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let began = Instant::now();
                if held_bytes().is_some_and(|bytes| schedule.is_due(bytes, began)) {
                    pinion_engine::drive::return_free_memory();
                    schedule.trimmed(held_bytes().unwrap_or(0), began, Instant::now());
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kvd-heap".to_owned()).spawn(run) {
            tracing::warn!("no thread to give free memory back: {error}; raise the limit with `ulimit -u`");
        }
        Heap { _end: end }
    }
}

/// Anonymous memory of this process, bytes; none where the system doesn't tell.
fn held_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn growth_and_time_are_reasons_and_a_long_trim_is_not_repeated_soon() {
        let begin = Instant::now();
        let after = |ms: u64| begin + Duration::from_millis(ms);
        let mut schedule = Schedule::new(128 * MIB, begin);
        schedule.trimmed(20 * MIB, begin, after(1));
        assert!(!schedule.is_due(24 * MIB, after(200)));
        assert!(!schedule.is_due(25 * MIB, after(50)), "it rests");
        assert!(schedule.is_due(25 * MIB, after(200)));
        assert!(!schedule.is_due(10 * MIB, after(300)));
        assert!(schedule.is_due(15 * MIB, after(400)), "it has grown since");
        assert!(schedule.is_due(10 * MIB, after(5_100)), "some time has passed");
        schedule.trimmed(10 * MIB, after(6_000), after(6_100));
        assert!(!schedule.is_due(30 * MIB, after(15_000)));
        assert!(schedule.is_due(30 * MIB, after(16_200)));
        assert!(!schedule.is_due(10 * MIB, after(60_000)), "it takes too long for nothing");
    }

    #[test]
    fn memory_that_is_taken_is_seen() {
        let before = held_bytes().expect("the system tells");
        let taken = vec![1_u8; 64 << 20];
        let with = held_bytes().expect("the system tells");
        assert!(with >= before + 32 * MIB, "{before} bytes before, {with} with {} more", taken.len());
    }
}
