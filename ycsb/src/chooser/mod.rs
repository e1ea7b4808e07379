//! Which record a request is for.
//!
//! A chooser draws record numbers from `insertstart` on. In workloads that insert while they run, a record may be
//! drawn only once its insert was acknowledged: [`Inserts`] knows which are, and [`Chooser::next`] draws again.

mod inserts;
mod zipfian;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

use crate::key::fnv64;
pub use inserts::Inserts;
pub use zipfian::{THETA, Zipfian};

/// Items of the scrambled zipfian distribution before hashing, and their zeta sum.
pub const SCRAMBLED_ITEMS: u64 = 10_000_000_000;
/// The sum for [`SCRAMBLED_ITEMS`], as published.
pub const SCRAMBLED_ZETAN: f64 = 26.46902820178302;

/// How record numbers are distributed.
#[derive(Clone, Debug)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// A few records are drawn often; hashing spreads them over the key space.
    Zipfian,
    /// The newest are drawn most.
    Latest,
    /// A part of the records gets a part of the operations.
    Hotspot {
        /// Which part of the records.
        data_fraction: f64,
        /// Which part of the operations.
        operation_fraction: f64,
    },
    /// The newest are drawn most, falling off exponentially.
    Exponential {
        /// Percent of the operations ...
        percentile: f64,
        /// ... that go to so many of the newest records.
        newest: f64,
    },
    /// One after the other, over all threads together.
    Sequential,
}

/// A chooser; clone it for each connection, clones share the sequence.
#[derive(Clone, Debug)]
pub struct Chooser {
    start: u64,
    records: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Uniform,
    Scrambled { zipfian: Zipfian, items: u64 },
    Latest(Zipfian),
    Hotspot { hot: u64, operation_fraction: f64 },
    Exponential { gamma: f64 },
    Sequential(Arc<AtomicU64>),
}

impl Chooser {
    /// A chooser over `records` records from `start` on, of which about `expected_inserts` more will come.
    pub fn new(distribution: &Distribution, start: u64, records: u64, expected_inserts: u64) -> Chooser {
        let records = records.max(1);
        let kind = match distribution {
            Distribution::Uniform => Kind::Uniform,
            Distribution::Zipfian => Kind::Scrambled {
                zipfian: Zipfian::with_zetan(SCRAMBLED_ITEMS, SCRAMBLED_ZETAN),
                items: records + expected_inserts,
            },
            Distribution::Latest => Kind::Latest(Zipfian::new(start + records - 1)),
            Distribution::Hotspot { data_fraction, operation_fraction } => Kind::Hotspot {
                hot: (records as f64 * data_fraction.clamp(0.0, 1.0)) as u64,
                operation_fraction: *operation_fraction,
            },
            Distribution::Exponential { percentile, newest } => {
                Kind::Exponential { gamma: -(1.0 - percentile / 100.0).ln() / newest }
            }
            Distribution::Sequential => Kind::Sequential(Arc::default()),
        };
        Chooser { start, records, kind }
    }

    /// Draws a record whose insert is acknowledged.
    pub fn next(&mut self, inserts: &Inserts, rng: &mut impl Rng) -> u64 {
        let last = inserts.last();
        loop {
            if let Some(number) = self.draw(last, rng).filter(|number| *number <= last) {
                return number;
            }
        }
    }

    /// One draw; `None` below the first record.
    fn draw(&mut self, last: u64, rng: &mut impl Rng) -> Option<u64> {
        let Chooser { start, records, .. } = *self;
        match &mut self.kind {
            Kind::Uniform => Some(rng.random_range(start..start + records)),
            Kind::Scrambled { zipfian, items } => Some(start + fnv64(zipfian.next(rng)) % *items),
            Kind::Latest(zipfian) => {
                zipfian.grow(last);
                last.checked_sub(zipfian.next(rng)).filter(|number| *number >= start)
            }
            Kind::Hotspot { hot, operation_fraction } => {
                let is_hot = rng.random::<f64>() < *operation_fraction;
                Some(match (is_hot, *hot) {
                    (true, 1..) => start + rng.random_range(0..*hot),
                    (_, hot) if hot < records => start + rng.random_range(hot..records),
                    _ => start + rng.random_range(0..records),
                })
            }
            Kind::Exponential { gamma } => {
                let u: f64 = 1.0 - rng.random::<f64>(); // (0, 1]
                last.checked_sub((-u.ln() / *gamma) as u64).filter(|number| *number >= start)
            }
            Kind::Sequential(next) => Some(start + next.fetch_add(1, Ordering::Relaxed) % records),
        }
    }
}

#[cfg(test)]
#[path = "chooser_test.rs"]
mod tests;
