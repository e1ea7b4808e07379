//! What a run is to be, drawn from its seed before it begins: the node, its clients, and the schedule of faults.

use crate::config::Durability;
use crate::mesh::Limits;
use crate::sim::client::{Dialect, WorkloadShape};
use crate::sim::disk::{DiskFaults, NameOrder, Speed};
use crate::sim::net::NetOptions;
use crate::sim::node::NodeOptions;
use crate::sim::performer::Moment;
use crate::sim::profile::{Features, Profile};
use crate::sim::rng::stream;
use pinion_engine::clock::TimeJump;
use pinion_engine::shard::Tuning;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeSet;
use std::fmt;

/// Which run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The seed.
    pub seed: u64,
    /// The profile.
    pub profile: Profile,
    /// Client operations, about.
    pub operations: u64,
    /// Faults of the schedule that are left out, by number.
    pub without: BTreeSet<usize>,
}

/// Client operations of a run unless it is said otherwise: a few more than 5,000.
pub const OPERATIONS: u64 = 5_200;

impl RunOptions {
    /// A seed's run, as long as usual.
    pub fn new(seed: u64, profile: Profile) -> RunOptions {
        RunOptions { seed, profile, operations: OPERATIONS, without: BTreeSet::new() }
    }

    /// The command that replays it.
    pub fn command(&self) -> String {
        let RunOptions { seed, profile, operations, without } = self;
        let mut command = format!("kvsim --seeds {seed}..{} --profile {profile}", seed + 1);
        if *operations != OPERATIONS {
            command += &format!(" --ops {operations}");
        }
        if !without.is_empty() {
            let list: Vec<String> = without.iter().map(usize::to_string).collect();
            command += &format!(" --without {}", list.join(","));
        }
        command
    }
}

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

/// How likely each kind of actor comes next, and how much time passes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Weight of a core that has something to do.
    pub core: u32,
    /// Weight of a core's background work.
    pub background: u32,
    /// Weight of a client.
    pub client: u32,
    /// Microseconds that a step takes at most.
    pub step_us_max: u64,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which run.
    pub run: RunOptions,
    /// The node.
    pub node: NodeOptions,
    /// Its clients.
    pub clients: Vec<(Dialect, WorkloadShape)>,
    /// Clients that mean harm.
    pub hostile: Vec<Dialect>,
    /// Who comes next.
    pub pace: Pace,
    /// What goes wrong, in order.
    pub faults: Vec<Fault>,
    /// Whether the wall clock is set to and fro, also while the node is down; else it only goes forward, and stays so.
    pub goes_back: bool,
    /// Whether it is set while the node is down.
    pub jumps_while_down: bool,
    /// Whether data rots while the node is stopped.
    pub rots: bool,
    /// Whether the store gets other shards now and then.
    pub reshards: bool,
    /// Share of stops and crashes behind which files vanish, per mille.
    pub losses: u32,
}

const MIB: usize = 1 << 20;

impl Plan {
    /// How fast the disks are when nothing is wrong with them.
    pub fn disk_faults(&self, rng: &mut SmallRng) -> DiskFaults {
        let unit = *pick(&[0, 5, 50], rng);
        let speed = Speed {
            read_us: unit..4 * unit + 1,
            write_us: unit..2 * unit + 1,
            sync_us: 2 * unit..20 * unit + 1,
            name_us: unit..2 * unit + 1,
            stalls_ppm: if rng.random_ratio(1, 4) { 2_000 } else { 0 },
            stall_us: 1_000..50_000,
        };
        let names = if rng.random_ratio(1, 2) { NameOrder::Prefix } else { NameOrder::Any };
        DiskFaults { speed, names, ..DiskFaults::default() }
    }

    /// Draws a run's plan.
    pub fn draw(run: RunOptions) -> Plan {
        let mut rng = stream(run.seed, run.profile.name());
        let mut features = run.profile.features(&mut rng);
        let mut own = stream(run.seed, "hostile clients");
        features.hostile = run.profile.hostile(&mut own);
        let node = node(&features, &mut rng);
        let clients = clients(&features, &node, run.operations, &mut rng);
        let hostile = (0..features.hostile).map(|_| *pick(&DIALECTS, &mut own)).collect();
        let pace = Pace {
            core: rng.random_range(2..=12),
            background: rng.random_range(1..=8),
            client: if features.is_flooding { 12 } else { rng.random_range(1..=6) },
            step_us_max: *pick(&[10, 40, 200], &mut rng),
        };
        let weak = node.durability != Durability::Sync;
        let goes_back = features.goes_back && !weak;
        let mut plan = Plan {
            node,
            clients,
            hostile,
            pace,
            faults: Vec::new(),
            goes_back,
            jumps_while_down: features.jumps > 0,
            rots: features.rots > 0,
            reshards: features.reshards > 0,
            losses: features.losses,
            run,
        };
        // Its own stream: the schedule of a run stays when the rest of a plan is drawn differently.
        let mut rng = stream(plan.run.seed, "schedule of faults");
        plan.faults = faults(&features, &plan, &mut rng);
        plan
    }
}

fn pick<'a, T>(all: &'a [T], rng: &mut SmallRng) -> &'a T {
    &all[rng.random_range(0..all.len())]
}

fn node(features: &Features, rng: &mut SmallRng) -> NodeOptions {
    let mut cores = if features.is_tight { rng.random_range(2..=4) } else { rng.random_range(1..=4) };
    if features.hostile > 0 {
        // So that many come to one.
        cores = cores.min(2);
    }
    let durability = match rng.random_ratio(features.weak, 1000) {
        false => Durability::Sync,
        true if rng.random_ratio(1, 2) => Durability::IntervalMs(*pick(&[1, 50, 1000], rng)),
        true => Durability::None,
    };
    let mesh = if features.is_tight {
        let requests = rng.random_range(2..=8);
        Limits { requests, request_bytes: 64 << 10, answer_bytes: 64 << 10, ..Limits::default() }
    } else {
        Limits { requests: 256, request_bytes: MIB, answer_bytes: MIB, ..Limits::default() }
    };
    let mut net = NetOptions {
        budget_bytes: if features.is_tight { 4 << 10 } else { *pick(&[16 << 10, 256 << 10], rng) },
        in_transit_bytes: *pick(&[2 << 10, 32 << 10, 256 << 10], rng),
        input_bytes_max: 33 * MIB,
    };
    if features.hostile > 0 {
        net.budget_bytes = net.budget_bytes.min(16 << 10);
        net.in_transit_bytes = net.in_transit_bytes.min(8 << 10);
    }
    NodeOptions {
        cores,
        partitions: *pick(&[4, 8, 16], rng),
        durability,
        direct: rng.random_ratio(1, 2),
        tuning: tuning(features, rng),
        mesh,
        net,
        value_bytes_max: MIB,
        memory_bytes: if features.hostile > 0 { *pick(&[2 * MIB, 4 * MIB], rng) } else { 16 * MIB },
        layout: 0,
        is_made: false,
        time_jump: TimeJump::Refuse,
    }
}

/// Sizes at which a few hundred writes flush, merge and recycle segments.
fn tuning(features: &Features, rng: &mut SmallRng) -> Tuning {
    let mut tuning = Tuning::new(16 * MIB);
    let memtable = match features.is_churning {
        true => rng.random_range(8 << 10..=32 << 10),
        false => rng.random_range(24 << 10..=128 << 10),
    };
    tuning.budgets.memtable = memtable;
    tuning.budgets.memtables = memtable * rng.random_range(3..=6);
    tuning.budgets.commit = 2 * MIB;
    tuning.budgets.parked = if features.is_tight { 64 << 10 } else { MIB };
    tuning.budgets.log = rng.random_range(128 << 10..=512 << 10);
    tuning.budgets.resident = *pick(&[0, 64 << 10, 4 * MIB], rng);
    tuning.budgets.cache = *pick(&[4 << 10, 64 << 10, 4 * MIB], rng);
    tuning.tree.memtable_bytes = memtable;
    tuning.tree.table_bytes = rng.random_range(8 << 10..=32 << 10);
    tuning.tree.level_base_bytes = 2 * memtable as u64;
    tuning.tree.level_ratio = *pick(&[2, 4, 8], rng);
    tuning.tree.l0_trigger = rng.random_range(2..=4);
    tuning.tree.merge_bytes_max = 256 << 10;
    tuning.segment_bytes = *pick(&[32 << 10, 64 << 10, 128 << 10], rng);
    tuning
}

const DIALECTS: [Dialect; 4] = [Dialect::Resp2, Dialect::Resp3, Dialect::Wire, Dialect::WireChecked];

fn clients(
    features: &Features,
    node: &NodeOptions,
    operations: u64,
    rng: &mut SmallRng,
) -> Vec<(Dialect, WorkloadShape)> {
    let count = rng.random_range(3..=10_u64);
    let each = operations.div_ceil(count);
    let mut shape = WorkloadShape::draw(each, rng);
    shape.expiring = features.expiring;
    if features.rests > 0 {
        shape.expiry_ms_max = *pick(&[3_000, 30_000, 300_000], rng);
    }
    if features.rots > 0 && rng.random_ratio(1, 2) {
        (shape.is_alike, shape.groups, shape.expiring) = (true, 0, 0);
    }
    if features.is_churning {
        shape.clears = shape.clears.max(2);
        shape.reads = shape.reads.min(300);
    }
    if features.is_flooding {
        (shape.depth, shape.burst) = (256, 64);
    }
    if features.hostile > 0 {
        // A few of the longest values fit in one command.
        shape.huge_bytes_max = node.split().value_bytes_max() / 8;
    }
    (0..count).map(|_| (*pick(&DIALECTS, rng), shape.clone())).collect()
}

fn faults(features: &Features, plan: &Plan, rng: &mut SmallRng) -> Vec<Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_has_five_crashes_at_least() {
        for profile in Profile::ALL {
            for seed in 0..20 {
                let plan = Plan::draw(RunOptions::new(seed, profile));
                let again = Plan::draw(RunOptions::new(seed, profile));
                assert_eq!(plan.faults, again.faults);
                let crashes =
                    plan.faults.iter().filter(|fault| matches!(fault.trouble, Trouble::Crash { .. }));
                assert!(crashes.count() >= 5, "{profile}");
                let operations: u64 = plan.clients.iter().map(|(_, shape)| shape.operations).sum();
                assert!(operations >= 5_000);
            }
        }
    }

    #[test]
    fn the_command_of_a_run_names_what_differs_from_the_usual() {
        let mut run = RunOptions::new(7, Profile::Crash);
        assert_eq!(run.command(), "kvsim --seeds 7..8 --profile crash");
        run.operations = 90;
        run.without.extend([3, 1]);
        assert_eq!(run.command(), "kvsim --seeds 7..8 --profile crash --ops 90 --without 1,3");
    }
}
