//! How long requests have waited in the input of their connection, for their deadlines.
//!
//! Input is left over while its connection is held: by a throttle, a credit that another core lacks, too much under way,
//! or output that the client doesn't read. It is presented again as one piece. So one mark tells how long the oldest of
//! it has waited, at no cost per request.

/// The input that was left over when last some was presented.
#[derive(Debug, Default)]
pub struct Waiting {
    /// How much of what is presented next has been there before.
    bytes: usize,
    since_us: u64,
}

impl Waiting {
    /// When the byte at this place of what is presented now was there first, as far as is known.
    #[inline]
    pub fn arrived_us(&self, at: usize, now_us: u64) -> u64 {
        if at < self.bytes { self.since_us } else { now_us }
    }

    /// Notes how much was consumed of what was presented.
    #[inline]
    pub fn leave(&mut self, consumed: usize, presented: usize, now_us: u64) {
        if consumed < self.bytes {
            self.bytes -= consumed;
        } else {
            (self.bytes, self.since_us) = (presented - consumed, now_us);
        }
    }
}

/// When nobody waits any more for a request that came at `arrived_us`, as its client said.
#[inline]
pub fn deadline_us(arrived_us: u64, deadline_ms: u32) -> u64 {
    match deadline_ms {
        0 => u64::MAX,
        ms => arrived_us + u64::from(ms) * 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_over_has_been_there_since_it_was_left_first() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.arrived_us(0, 5), 5);
        waiting.leave(10, 100, 5);
        assert_eq!((waiting.arrived_us(89, 7), waiting.arrived_us(90, 7)), (5, 7));
        waiting.leave(0, 120, 7);
        waiting.leave(60, 120, 8);
        assert_eq!((waiting.arrived_us(29, 9), waiting.arrived_us(30, 9)), (5, 9));
        waiting.leave(60, 60, 9);
        assert_eq!(waiting.arrived_us(0, 10), 10);
    }

    #[test]
    fn no_deadline_is_the_latest() {
        assert_eq!(deadline_us(7, 0), u64::MAX);
        assert_eq!(deadline_us(7, u32::MAX), 7 + u64::from(u32::MAX) * 1000);
    }
}
