//! What clients make happen is told of with its number, now and then: how much is logged doesn't depend on what they send.

/// So often at most, microseconds.
const PERIOD_US: u64 = 10_000_000;

/// How many there were when that was told last, and until when it isn't again, by the monotonic clock.
#[derive(Debug, Default)]
pub struct Rarely {
    told: u64,
    until_us: u64,
}

impl Rarely {
    /// How many more there are than when that was told last, if it is to be told now.
    pub fn due(&mut self, count: u64, now_us: u64) -> Option<u64> {
        if count == self.told || now_us < self.until_us {
            return None;
        }
        let more = count - self.told;
        *self = Rarely { told: count, until_us: now_us + PERIOD_US };
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_those_of_the_next_ten_seconds_together() {
        let mut rarely = Rarely::default();
        assert_eq!(rarely.due(0, 5), None);
        assert_eq!(rarely.due(1, 5), Some(1));
        assert_eq!((rarely.due(2, 6), rarely.due(900, PERIOD_US + 4)), (None, None));
        assert_eq!(rarely.due(900, PERIOD_US + 5), Some(899));
        assert_eq!(rarely.due(900, 9 * PERIOD_US), None, "there was none since");
    }
}
