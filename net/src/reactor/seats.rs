//! How many connections several reactors have together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit that reactors share: whichever of them a connection comes to, it counts.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: AtomicUsize,
}

impl Seats {
    /// Room for so many connections.
    pub fn new(most: usize) -> Seats {
        Seats { most, taken: AtomicUsize::new(0) }
    }

    /// Takes a seat if one is free.
    pub(super) fn take(&self) -> bool {
        let more = |taken: usize| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// A connection that had a seat is gone.
    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_seats_are_taken_than_there_are() {
        let seats = Seats::new(2);
        assert!(seats.take() && seats.take() && !seats.take());
        seats.give_back();
        assert!(seats.take() && !seats.take());
    }
}
