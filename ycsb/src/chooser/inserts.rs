//! The sequence of inserts, and how far it is acknowledged without a gap.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out record numbers and keeps track of those whose insert succeeded. Shared by all threads.
#[derive(Debug)]
pub struct Inserts {
    next: AtomicU64,
    /// One beyond the last record below which all are acknowledged.
    acknowledged: AtomicU64,
    /// Acknowledged ones above that: a bit each, from `acknowledged` on. Touched only by inserts.
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    bits: std::collections::VecDeque<bool>,
}

impl Inserts {
    /// Numbers from `next` on; everything below is there.
    pub fn new(next: u64) -> Inserts {
        Inserts { next: AtomicU64::new(next), acknowledged: AtomicU64::new(next), window: Mutex::default() }
    }

    /// The number of the next insert.
    pub fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that an insert is settled. One that failed counts too, as in YCSB, or the newest records would never
    /// be drawn again.
    pub fn acknowledge(&self, number: u64) {
        let mut window = match self.window.lock() {
            Ok(window) => window,
            Err(poisoned) => poisoned.into_inner(), // the window is consistent between statements
        };
        let first = self.acknowledged.load(Ordering::Relaxed);
        let Some(at) = number.checked_sub(first).map(|at| at as usize) else { return };
        if window.bits.len() <= at {
            window.bits.resize(at + 1, false);
        }
        window.bits[at] = true;
        let mut passed = 0;
        while window.bits.front() == Some(&true) {
            window.bits.pop_front();
            passed += 1;
        }
        self.acknowledged.store(first + passed, Ordering::Release);
    }

    /// The highest record below which all are acknowledged.
    pub fn last(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_record_waits_for_gaps() {
        let inserts = Inserts::new(10);
        assert_eq!(inserts.last(), 9);
        let numbers = [inserts.take(), inserts.take(), inserts.take()];
        assert_eq!(numbers, [10, 11, 12]);
        inserts.acknowledge(12);
        inserts.acknowledge(11);
        assert_eq!(inserts.last(), 9);
        inserts.acknowledge(10);
        assert_eq!(inserts.last(), 12);
    }
}
