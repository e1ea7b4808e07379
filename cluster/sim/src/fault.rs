//! Faults that strike at a time and last for one: in runs of several machines.

use std::collections::BTreeSet;
use std::fmt;

/// A fault, from when on, and for how long, microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<T> {
    /// When it begins.
    pub at_us: u64,
    /// How long it lasts.
    pub us: u64,
    /// What it is.
    pub trouble: T,
}

impl<T: fmt::Debug> fmt::Display for Fault<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} us for {} us: {:?}", self.at_us, self.us, self.trouble)
    }
}

/// The next fault of a schedule that is due, and its number; `next` is how many have been. Those that are left out are passed over.
pub fn next_due<T: Clone>(
    faults: &[Fault<T>],
    next: &mut usize,
    now_us: u64,
    without: &BTreeSet<usize>,
) -> Option<(usize, Fault<T>)> {
    loop {
        let number = *next;
        let fault = faults.get(number).filter(|fault| fault.at_us <= now_us)?;
        *next += 1;
        if !without.contains(&number) {
            return Some((number, fault.clone()));
        }
    }
}
