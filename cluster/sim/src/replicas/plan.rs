//! What a run is to be: its machines, and the schedule of faults.

use crate::disk::{DiskFaults, NameOrder, Speed};
use crate::options::RunOptions;
use crate::rng::stream;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

/// How long faults strike, microseconds; then everything heals.
const STRIKES_US: u64 = 20_000_000;

/// Faults of a run.
const FAULTS: std::ops::Range<usize> = 14..30;

/// Something that goes wrong, for a while.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Processes end, or machines lose their power; on these.
    Crash { which: Vec<usize>, is_power: bool },
    /// One does nothing.
    Pause { which: usize },
    /// Nothing gets from these to those.
    Cut { ways: Vec<(usize, usize)> },
    /// Ways lose so many of a hundred.
    Lose { percent: u32 },
    /// Ways take up to so long, microseconds.
    Delay { us: u64 },
    /// The disk of one takes so long for a write that is synced, microseconds.
    Slow { which: usize, us: u64 },
    /// The disk of one fails writes and syncs.
    Fail { which: usize },
    /// The disk of one has so few bytes left.
    Fill { which: usize, left: u64 },
    /// Whoever leads hands over.
    HandOver { to: u64 },
}

/// A fault of the schedule.
pub type Fault = crate::fault::Fault<Trouble>;

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Plan {
    pub run: RunOptions,
    pub machines: usize,
    pub us: u64,
    pub clients: usize,
    /// Clients rest for so long at most between two requests, microseconds: the log is at rest for as long, where all do.
    pub rest_us: u64,
    pub disk: DiskFaults,
    pub faults: Vec<Fault>,
}

impl Plan {
    pub fn draw(run: RunOptions) -> Plan {
        let mut rng = stream(run.seed, "replicas");
        let machines = if run.nodes == 3 && rng.random_ratio(1, 5) { 5 } else { run.nodes };
        let disk = disk(&mut rng);
        let count = rng.random_range(FAULTS);
        let mut faults: Vec<Fault> = (0..count).map(|_| fault(machines, &mut rng)).collect();
        faults.sort_by_key(|fault| fault.at_us);
        let clients = rng.random_range(3..=8);
        let rest_us = *[60_000, 60_000, 1_000_000].choose(&mut rng).expect("there are some");
        Plan { machines, us: STRIKES_US, clients, rest_us, disk, faults, run }
    }
}

fn disk(rng: &mut SmallRng) -> DiskFaults {
    let slow = *[100, 400, 3_000].choose(rng).expect("there are some");
    DiskFaults {
        speed: Speed {
            read_us: 20..200,
            write_us: 20..slow,
            sync_us: 50..slow * 2,
            name_us: 20..slow,
            stalls_ppm: 200,
            stall_us: 10_000..400_000,
        },
        names: if rng.random() { NameOrder::Any } else { NameOrder::default() },
        ..DiskFaults::default()
    }
}

fn fault(machines: usize, rng: &mut SmallRng) -> Fault {
    let (one, other) = (rng.random_range(0..machines), rng.random_range(0..machines));
    let trouble = match rng.random_range(0..13) {
        0..=2 => Trouble::Crash { which: vec![one], is_power: rng.random() },
        3 => {
            // A majority, or all.
            let count = rng.random_range(machines / 2 + 1..=machines);
            let which = (0..count).map(|n| (one + n) % machines).collect();
            Trouble::Crash { which, is_power: rng.random_ratio(2, 3) }
        }
        4 => Trouble::Pause { which: one },
        5 => Trouble::Cut { ways: vec![(one, other)] },
        6 => Trouble::Cut { ways: (0..machines).flat_map(|n| [(one, n), (n, one)]).collect() },
        7 => Trouble::Lose { percent: rng.random_range(2..40) },
        8 => Trouble::Delay { us: *[5_000, 60_000, 900_000].choose(rng).expect("there are some") },
        9 => Trouble::Slow {
            which: one,
            us: *[20_000, 700_000, 4_000_000].choose(rng).expect("there are some"),
        },
        10 => Trouble::Fail { which: one },
        11 => Trouble::Fill { which: one, left: rng.random_range(0..64) * 4096 },
        _ => Trouble::HandOver { to: other as u64 + 1 },
    };
    let longest = *[100_000, 1_500_000, 4_000_000].choose(rng).expect("there are some");
    let us = rng.random_range(10_000..longest);
    Fault { at_us: rng.random_range(500_000..STRIKES_US - 1_000_000), us, trouble }
}
