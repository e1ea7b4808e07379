//! A histogram of durations: log-linear, four buckets an octave, so no value is off by more than a quarter.
//!
//! Recording is an index and an addition. It covers 0 us to 2^33 us (more than two hours); beyond that counts as that.

/// Buckets per octave, as a power of two.
const SUB_BITS: u32 = 2;
const OCTAVES: u32 = 34;
const BUCKETS: usize = (OCTAVES as usize) << SUB_BITS;

/// Counts of durations in microseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    sum_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]), sum_us: 0, max_us: 0 }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram({} values, at most {} us)", self.count(), self.max_us)
    }
}

fn index(us: u64) -> usize {
    if us < 1 << SUB_BITS {
        return us as usize;
    }
    let octave = us.ilog2();
    let sub = us >> (octave - SUB_BITS) & ((1 << SUB_BITS) - 1);
    ((((octave - SUB_BITS + 1) as usize) << SUB_BITS) + sub as usize).min(BUCKETS - 1)
}

/// The first value beyond a bucket.
fn end(index: usize) -> u64 {
    if index < 1 << SUB_BITS {
        return index as u64 + 1;
    }
    let (octave, sub) = ((index >> SUB_BITS) - 1, index & ((1 << SUB_BITS) - 1));
    ((1 << SUB_BITS) + sub as u64 + 1) << octave
}

impl Histogram {
    /// Counts `times` durations of `us` microseconds.
    #[inline]
    pub fn record(&mut self, us: u64, times: u64) {
        self.counts[index(us)] += times;
        self.sum_us += us * times;
        self.max_us = self.max_us.max(us);
    }

    /// Takes over counts by powers of two of nanoseconds: bucket `i` counts those from `2^i` ns on.
    pub fn take_log2_ns(&mut self, buckets: &[u64], sum_ns: u64, max_ns: u64) {
        for (power, &count) in buckets.iter().enumerate() {
            self.counts[index((1_u64 << power) / 1000)] += count;
        }
        self.sum_us = sum_ns / 1000;
        self.max_us = max_ns / 1000;
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The longest, in microseconds.
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// A bound (at most a quarter too high) that this share of the durations doesn't exceed, in microseconds.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let rank = (self.count() as f64 * share).ceil() as u64;
        let mut below = 0;
        let bucket = self.counts.iter().position(|&count| {
            below += count;
            below >= rank.max(1)
        });
        bucket.map_or(0, |bucket| (end(bucket) - 1).min(self.max_us))
    }

    /// Pairs of a bound in seconds and the count of durations below it since the last bound, for Prometheus. The last
    /// bound is infinite.
    pub fn buckets_s(&self) -> Vec<(f64, u64)> {
        const STEPS: u32 = 22;
        let mut buckets = Vec::with_capacity(STEPS as usize + 1);
        let mut done = 0;
        for octave in 4..4 + STEPS {
            let until = index(1 << octave);
            buckets.push(((1_u64 << octave) as f64 / 1e6, self.counts[done..until].iter().sum()));
            done = until;
        }
        buckets.push((f64::MAX, self.counts[done..].iter().sum()));
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_which_is_at_most_a_quarter_wide(us in 0_u64..1 << 33) {
            let bucket = index(us);
            let start = if bucket == 0 { 0 } else { end(bucket - 1) };
            prop_assert!(start <= us && us < end(bucket), "{start} <= {us} < {}", end(bucket));
            prop_assert!(end(bucket) - start <= (start / 4).max(1));
        }
    }

    #[test]
    fn quantiles_and_sums_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        histogram.record(10, 90);
        histogram.record(1000, 10);
        assert_eq!((histogram.count(), histogram.sum_us(), histogram.max_us()), (100, 10_900, 1000));
        assert!((10..=12).contains(&histogram.quantile_us(0.5)));
        assert_eq!(histogram.quantile_us(0.99), 1000);
        assert_eq!(Histogram::default().quantile_us(0.99), 0);
    }

    #[test]
    fn prometheus_buckets_hold_every_value_once() {
        let mut histogram = Histogram::default();
        for us in [0, 15, 16, 17, 1 << 20, u64::MAX >> 20] {
            histogram.record(us, 1);
        }
        let buckets = histogram.buckets_s();
        assert_eq!(buckets.iter().map(|&(_, count)| count).sum::<u64>(), 6);
        assert_eq!(buckets[0], (16e-6, 2));
    }
}
