//! What the honest clients saw, added up.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An answer is late that comes so long after its request was due: at most one of a hundred may be.
pub const LATE: Duration = Duration::from_millis(20);

/// Refusals that are told apart, at most.
const TEXTS_MAX: usize = 20;

/// The slowest requests that are told, at most.
const SLOWEST_MAX: usize = 8;

/// Shared by the clients.
#[derive(Default)]
pub struct Tally(Mutex<Seen>);

/// A request and how long it took from when it was sent.
pub struct Slow {
    pub what: &'static str,
    pub took: Duration,
    pub ended: Instant,
}

/// Everything that was seen.
pub struct Seen {
    /// Latencies of single requests, microseconds.
    pub requests: Histogram<u64>,
    /// Those that took longest by themselves, the slowest first.
    pub slowest: Vec<Slow>,
    /// Latencies of scans, all their pages.
    pub scans: Histogram<u64>,
    /// Refusals and unknown outcomes by text.
    pub refusals: BTreeMap<String, u64>,
    /// Connections that broke, by reason.
    pub losses: BTreeMap<String, u64>,
}

impl Default for Seen {
    fn default() -> Seen {
        let latencies = || Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order");
        Seen {
            requests: latencies(),
            slowest: Vec::new(),
            scans: latencies(),
            refusals: BTreeMap::new(),
            losses: BTreeMap::new(),
        }
    }
}

/// Single requests that were answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    pub all: u64,
    /// Later than [`LATE`].
    pub late: u64,
}

impl std::ops::Sub for Answered {
    type Output = Answered;

    fn sub(self, other: Answered) -> Answered {
        Answered { all: self.all - other.all, late: self.late - other.late }
    }
}

impl std::ops::AddAssign for Answered {
    fn add_assign(&mut self, other: Answered) {
        *self = Answered { all: self.all + other.all, late: self.late + other.late };
    }
}

impl Seen {
    pub fn answered(&self) -> Answered {
        let late = self.requests.count_between(LATE.as_micros() as u64 + 1, u64::MAX);
        Answered { all: self.requests.len(), late }
    }
}

impl Tally {
    /// What was seen so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is answered, so long after it was due and so long after it was sent.
    pub fn answered(&self, what: &'static str, latency: Duration, took: Duration) {
        let mut seen = self.seen();
        seen.requests.saturating_record(latency.as_micros() as u64);
        let place = seen.slowest.partition_point(|slow| slow.took >= took);
        if place < SLOWEST_MAX {
            seen.slowest.truncate(SLOWEST_MAX - 1);
            seen.slowest.insert(place, Slow { what, took, ended: Instant::now() });
        }
    }

    pub fn scanned(&self, latency: Duration) {
        self.seen().scans.saturating_record(latency.as_micros() as u64);
    }

    pub fn refused(&self, text: &str) {
        count(&mut self.seen().refusals, text);
    }

    pub fn lost(&self, text: &str) {
        count(&mut self.seen().losses, text);
    }
}

/// A server may be busy or take no writes; it may not be confused.
pub fn check_refusal(text: &str) -> Result<(), String> {
    let confused =
        ["internal error", "unknown command", "syntax error", "Protocol error", "wrong number", "WRONGTYPE"];
    match confused.iter().find(|words| text.contains(*words)) {
        Some(_) => Err(format!("an honest request is answered: {text}")),
        None => Ok(()),
    }
}

/// Counts a text; those that differ in their numbers only are one.
pub fn count(counts: &mut BTreeMap<String, u64>, text: &str) {
    let mut class = String::new();
    for letter in text.chars().take(90) {
        match letter.is_ascii_digit() {
            true if class.ends_with('N') => {}
            true => class.push('N'),
            false => class.push(letter),
        }
    }
    if counts.len() < TEXTS_MAX || counts.contains_key(&class) {
        *counts.entry(class).or_default() += 1;
    } else {
        *counts.entry("others".to_owned()).or_default() += 1;
    }
}
