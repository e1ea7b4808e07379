//! The ways between machines: what is on them arrives late, twice, in another order, or not at all.

use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};

/// Something on its way.
pub struct Parcel {
    pub from: usize,
    pub to: usize,
    pub bytes: Vec<u8>,
}

/// How long a way takes at most when all is well, microseconds.
const DELAY_US: u64 = 500;

/// See the module's text.
pub struct Ways {
    /// In order of arrival.
    under_way: BTreeMap<(u64, u64), Parcel>,
    sent: u64,
    /// From whom to whom nothing gets.
    pub cut: BTreeSet<(usize, usize)>,
    /// How many of a hundred are lost, and half as many come twice.
    pub lost_percent: u32,
    /// They take up to so long, microseconds.
    pub delay_us: u64,
}

impl Default for Ways {
    fn default() -> Ways {
        Ways {
            under_way: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            lost_percent: 0,
            delay_us: DELAY_US,
        }
    }
}

impl Ways {
    /// Sends something at this time.
    pub fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>, now_us: u64, rng: &mut SmallRng) {
        if self.cut.contains(&(from, to)) || rng.random_ratio(self.lost_percent, 100) {
            return;
        }
        let copies = if rng.random_ratio(self.lost_percent, 200) { 2 } else { 1 };
        for _ in 0..copies {
            self.sent += 1;
            let at_us = now_us + rng.random_range(50..=50 + self.delay_us);
            self.under_way.insert((at_us, self.sent), Parcel { from, to, bytes: bytes.clone() });
        }
    }

    /// The next that has arrived somewhere.
    pub fn next_arrived(&mut self, to: usize, now_us: u64) -> Option<Parcel> {
        let here = self.under_way.range(..=(now_us, u64::MAX)).find(|(_, parcel)| parcel.to == to);
        let key = *here?.0;
        self.under_way.remove(&key)
    }

    /// Everything is well again.
    pub fn heal(&mut self) {
        (self.lost_percent, self.delay_us) = (0, DELAY_US);
        self.cut.clear();
    }
}
