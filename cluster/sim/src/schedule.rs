//! What goes wrong in a run, and when: drawn from its seed before it begins.

use crate::options::{Plan, pick};
use crate::performer::Moment;
use crate::profile::Features;
use rand::Rng;
use rand::rngs::SmallRng;
use std::fmt;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// The process or the machine dies.
    Crash {
        /// The machine: what wasn't synced may be lost.
        is_power: bool,
        /// When it strikes, from the planned moment on.
        moment: Moment,
        /// It strikes again after so many changes that recovery makes.
        again: Option<u64>,
        /// How long the node is down.
        down_us: u64,
    },
    /// Somebody stops the node.
    Stop {
        /// The power goes afterwards.
        is_power: bool,
        /// The number of shards changes.
        cores: Option<usize>,
        /// How long the node is down.
        down_us: u64,
    },
    /// Operations of disks fail, each with this probability.
    Storm {
        /// Reads.
        read: f64,
        /// Writes.
        write: f64,
        /// Syncs.
        sync: f64,
        /// For so long.
        us: u64,
    },
    /// Disks have so few bytes left.
    Flood {
        /// Bytes.
        left: u64,
        /// For so long.
        us: u64,
    },
    /// Disks are slow.
    Slow {
        /// How often, as a probability.
        share: f64,
        /// For so long.
        us: u64,
    },
    /// Disks answer nothing that they are asked, for up to so long each time.
    Hang {
        /// So long, and what is asked towards the end comes back as much later.
        us: u64,
    },
    /// Data at rest rots on one disk.
    Rot,
    /// The wall clock is set.
    Jump {
        /// By so much.
        us: i64,
        /// And set back after so long.
        stands_us: Option<u64>,
    },
    /// Nobody asks for anything for so long.
    Quiet {
        /// So long.
        us: u64,
    },
    /// The machine sleeps for so long.
    Sleep {
        /// So long.
        us: u64,
    },
}

/// A planned fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When clients have begun so many operations.
    pub at: u64,
    /// What.
    pub trouble: Trouble,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at operation {}: {:?}", self.at, self.trouble)
    }
}

/// A run's faults, in order.
pub fn faults(features: &Features, plan: &Plan, rng: &mut SmallRng) -> Vec<Fault> {
    let mut troubles = Vec::new();
    for _ in 0..features.crashes {
        troubles.push(Trouble::Crash {
            is_power: rng.random_ratio(features.power, 1000),
            moment: *pick(&features.moments, rng),
            again: rng.random_ratio(features.again, 1000).then(|| rng.random_range(0..12)),
            down_us: rng.random_range(1_000..3_000_000),
        });
    }
    for _ in 0..features.stops {
        let (is_power, down_us) = (rng.random_ratio(1, 2), rng.random_range(1_000..3_000_000));
        troubles.push(Trouble::Stop { is_power, cores: None, down_us });
    }
    for _ in 0..features.reshards {
        let cores = Some(rng.random_range(1..=plan.node.shards_max()));
        troubles.push(Trouble::Stop { is_power: rng.random_ratio(1, 2), cores, down_us: 1_000_000 });
    }
    for _ in 0..features.storms {
        let mut share = || if rng.random_ratio(1, 2) { rng.random_range(0.0..0.2) } else { 0.0 };
        let (read, write, sync) = (share(), share(), share());
        troubles.push(Trouble::Storm { read, write, sync, us: rng.random_range(10_000..5_000_000) });
    }
    for _ in 0..features.floods {
        let left = if rng.random_ratio(1, 3) { 0 } else { rng.random_range(0..256 << 10) };
        troubles.push(Trouble::Flood { left, us: rng.random_range(10_000..8_000_000) });
    }
    for _ in 0..features.slow {
        let (share, us) = (rng.random_range(0.01..0.5), rng.random_range(10_000..5_000_000));
        troubles.push(Trouble::Slow { share, us });
    }
    troubles.extend((0..features.rots).map(|_| Trouble::Rot));
    for _ in 0..features.jumps {
        let us = jump_us(plan.goes_back, rng);
        let is_moment = plan.goes_back && rng.random_ratio(1, 2);
        let most_us = *pick(&[300_000, 30_000_000, 90_000_000], rng);
        let stands_us = is_moment.then(|| rng.random_range(1..=most_us));
        troubles.push(Trouble::Jump { us, stands_us });
    }
    for _ in 0..features.rests {
        let most_us = *pick(&[10_000_000, 100_000_000, 300_000_000], rng);
        let us = rng.random_range(1_000_000..=most_us);
        troubles.push(if rng.random_ratio(1, 4) { Trouble::Sleep { us } } else { Trouble::Quiet { us } });
    }
    // The first operations fill the store; what comes after the last would see little happen.
    let span = plan.run.operations.max(10);
    let mut faults: Vec<Fault> = troubles
        .into_iter()
        .map(|trouble| Fault { at: rng.random_range(span / 20..span), trouble })
        .collect();
    bring_together(&mut faults, rng);
    faults.sort_by_key(|fault| fault.at);
    faults
}

const YEAR_US: i64 = 365 * 24 * 3_600_000_000;

/// By how much somebody sets the wall clock.
pub fn jump_us(goes_back: bool, rng: &mut SmallRng) -> i64 {
    let span = *pick(&[500_000, 5_000_000, 60_000_000, 3_600_000_000, 40 * 3_600_000_000, 10 * YEAR_US], rng);
    let us = rng.random_range(span / 2..=span);
    if goes_back && rng.random_ratio(1, 2) { -us } else { us }
}

/// Some of the jumps come right before a crash, or right behind it; and some machines fall asleep soon after one.
fn bring_together(faults: &mut [Fault], rng: &mut SmallRng) {
    let places = |faults: &[Fault], is_meant: fn(&Trouble) -> bool| -> Vec<u64> {
        faults.iter().filter(|fault| is_meant(&fault.trouble)).map(|fault| fault.at).collect()
    };
    let is_jump = |trouble: &Trouble| matches!(trouble, Trouble::Jump { .. });
    let crashes = places(faults, |trouble| matches!(trouble, Trouble::Crash { .. } | Trouble::Stop { .. }));
    for fault in faults.iter_mut().filter(|fault| is_jump(&fault.trouble)) {
        if rng.random_ratio(1, 2) && !crashes.is_empty() {
            fault.at = pick(&crashes, rng).saturating_add_signed(rng.random_range(-3..=1));
        }
    }
    let jumps = places(faults, is_jump);
    for fault in faults.iter_mut().filter(|fault| matches!(fault.trouble, Trouble::Sleep { .. })) {
        if rng.random_ratio(1, 2) && !jumps.is_empty() {
            fault.at = pick(&jumps, rng) + rng.random_range(1..=20);
        }
    }
}
