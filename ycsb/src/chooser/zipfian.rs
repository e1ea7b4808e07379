//! The zipfian distribution by the method of Gray et al., "Quickly generating billion-record synthetic
//! databases" (SIGMOD 1994), as YCSB uses it.

use rand::Rng;

/// YCSB's skew.
pub const THETA: f64 = 0.99;

/// Over `0..items`; 0 is the most frequent.
#[derive(Clone, Debug)]
pub struct Zipfian {
    items: u64,
    zetan: f64,
    eta: f64,
    alpha: f64,
    second: f64,
}

/// The sum of `1 / i^theta` for `i` in `from + 1 ..= to`.
fn zeta(from: u64, to: u64) -> f64 {
    (from..to).map(|at| ((at + 1) as f64).powf(-THETA)).sum()
}

impl Zipfian {
    /// Over `items` items, at least 1. Costs time in proportion to them.
    pub fn new(items: u64) -> Zipfian {
        Zipfian::with_zetan(items, zeta(0, items))
    }

    /// With the sum known beforehand.
    pub fn with_zetan(items: u64, zetan: f64) -> Zipfian {
        let alpha = 1.0 / (1.0 - THETA);
        let mut zipfian = Zipfian { items: 0, zetan, eta: 0.0, alpha, second: 1.0 + 0.5f64.powf(THETA) };
        zipfian.resize(items, zetan);
        zipfian
    }

    /// Over more items from now on; costs time in proportion to the new ones.
    pub fn grow(&mut self, items: u64) {
        if items > self.items {
            self.resize(items, self.zetan + zeta(self.items, items));
        }
    }

    fn resize(&mut self, items: u64, zetan: f64) {
        let zeta_2 = zeta(0, 2);
        self.items = items.max(1);
        self.zetan = zetan;
        self.eta = (1.0 - (2.0 / self.items as f64).powf(1.0 - THETA)) / (1.0 - zeta_2 / zetan);
    }

    /// Draws an item.
    pub fn next(&self, rng: &mut impl Rng) -> u64 {
        let u: f64 = rng.random();
        let uz = u * self.zetan;
        if uz < 1.0 {
            return 0;
        }
        if uz < self.second {
            return 1.min(self.items - 1);
        }
        let item = self.items as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (item as u64).min(self.items - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SCRAMBLED_ZETAN;
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};

    #[test]
    fn the_published_sum_for_ten_billion_items_is_right() {
        // The sum of the first million, and the integral of the rest by the trapezoid rule's correction.
        let (from, to) = (1e6f64, 1e10f64);
        let integral = (to.powf(1.0 - THETA) - from.powf(1.0 - THETA)) / (1.0 - THETA);
        let ends = (to.powf(-THETA) - from.powf(-THETA)) / 2.0;
        let sum = zeta(0, 1_000_000) + integral + ends;
        assert!((sum - SCRAMBLED_ZETAN).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn growing_gives_the_same_as_starting_large() {
        let mut grown = Zipfian::new(100);
        grown.grow(1000);
        let large = Zipfian::new(1000);
        assert!((grown.zetan - large.zetan).abs() < 1e-9 && (grown.eta - large.eta).abs() < 1e-9);
    }

    #[test]
    fn frequencies_are_those_of_the_distribution() {
        let (items, draws) = (1000u64, 400_000);
        let (zipfian, mut rng) = (Zipfian::new(items), SmallRng::seed_from_u64(1));
        let mut counts = vec![0u32; items as usize];
        (0..draws).for_each(|_| counts[zipfian.next(&mut rng) as usize] += 1);
        let expected = |item: usize| draws as f64 * ((item + 1) as f64).powf(-THETA) / zeta(0, items);
        // The first two are exact; the method approximates the others, closely from the tenth on.
        for item in [0, 1] {
            let deviation = (f64::from(counts[item]) - expected(item)).abs() / expected(item).sqrt();
            assert!(deviation < 5.0, "item {item}: {} against {}", counts[item], expected(item));
        }
        for bucket in [10..30, 30..100, 100..300, 300..1000] {
            let seen: f64 = bucket.clone().map(|item| f64::from(counts[item])).sum();
            let wanted: f64 = bucket.clone().map(expected).sum();
            assert!((seen / wanted - 1.0).abs() < 0.05, "{bucket:?}: {seen} against {wanted}");
        }
    }

    #[test]
    fn one_and_two_items_are_enough() {
        let mut rng = SmallRng::seed_from_u64(2);
        assert!((0..1000).all(|_| Zipfian::new(1).next(&mut rng) == 0));
        assert!((0..1000).all(|_| Zipfian::new(2).next(&mut rng) < 2));
    }
}
