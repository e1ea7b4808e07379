//! What a run is to be, drawn from its seed before it begins: the node, its clients, and the schedule of faults.

use crate::client::{Dialect, WorkloadShape};
use crate::disk::{DiskFaults, NameOrder, Speed};
use crate::net::NetOptions;
use crate::profile::{Features, Profile};
use crate::rng::stream;
use crate::schedule::{Fault, Trouble, faults};
use crate::setup::NodeOptions;
use pinion_cluster::config::Durability;
use pinion_cluster::mesh::Limits;
use pinion_cluster::peers::PeerSettings;
use pinion_engine::clock::TimeJump;
use pinion_engine::shard::Tuning;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeSet;

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
    /// Nodes, where the profile has several.
    pub nodes: usize,
}

/// Client operations of a run unless it is said otherwise: a few more than 5,000.
pub const OPERATIONS: u64 = 5_200;

/// Nodes of a cluster unless it is said otherwise.
pub const NODES: usize = 3;

impl RunOptions {
    /// A seed's run, as long as usual.
    pub fn new(seed: u64, profile: Profile) -> RunOptions {
        RunOptions { seed, profile, operations: OPERATIONS, without: BTreeSet::new(), nodes: NODES }
    }

    /// The command that replays it.
    pub fn command(&self) -> String {
        let RunOptions { seed, profile, operations, without, nodes } = self;
        let mut command = format!("kvsim --seeds {seed}..{} --profile {profile}", seed + 1);
        if *operations != OPERATIONS {
            command += &format!(" --ops {operations}");
        }
        if *nodes != NODES {
            command += &format!(" --nodes {nodes}");
        }
        if !without.is_empty() {
            let list: Vec<String> = without.iter().map(usize::to_string).collect();
            command += &format!(" --without {}", list.join(","));
        }
        command
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
    /// Clients that want requests done once, and how many of them.
    pub careful: Vec<(Dialect, u64)>,
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

/// What a node grants its requests by default.
const REQUEST_TIMEOUT_US: u64 = 10_000_000;

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
            careful: Vec::new(),
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
        plan.hang_disks();
        plan.take_care();
        plan
    }

    /// Some clients want requests done once. They must know what their keys hold: nothing that was acknowledged is lost, and
    /// nobody clears it. Drawn from a stream of its own.
    fn take_care(&mut self) {
        let mut rng = stream(self.run.seed, "careful clients");
        let clients = self.run.profile.careful(&mut rng);
        let may_lose = self.node.durability != Durability::Sync || self.rots || self.losses > 0;
        if clients == 0 || may_lose {
            return;
        }
        self.clients.iter_mut().for_each(|(_, shape)| shape.clears = 0);
        let each = (self.run.operations / 10).div_ceil(u64::from(clients));
        let dialects = [Dialect::Wire, Dialect::WireChecked];
        self.careful = (0..clients).map(|_| (*pick(&dialects, &mut rng), each)).collect();
        if rng.random_ratio(1, 4) {
            // Hardly a client fits, so that what they sent is forgotten.
            self.node.tuning.budgets.once = 300;
        }
    }

    /// Disks hang now and then. Drawn from a stream of its own: the rest of a run stays as it would be.
    fn hang_disks(&mut self) {
        let mut rng = stream(self.run.seed, "hanging disks");
        let hangs = self.run.profile.hangs(&mut rng);
        if hangs == 0 {
            return;
        }
        self.node.request_timeout_us = *pick(&[50_000, 300_000, 2_000_000, REQUEST_TIMEOUT_US], &mut rng);
        let hurry_ms = *pick(&[0, 20, 1_000], &mut rng);
        self.clients.iter_mut().for_each(|(_, shape)| shape.hurry_ms = hurry_ms);
        let span = self.run.operations.max(10);
        for _ in 0..hangs {
            let most_us = *pick(&[200_000, 3_000_000, 15_000_000], &mut rng);
            let us = rng.random_range(10_000..=most_us);
            self.faults.push(Fault { at: rng.random_range(span / 20..span), trouble: Trouble::Hang { us } });
        }
        self.faults.sort_by_key(|fault| fault.at);
    }

    /// Whether the time for a request may be over before it is answered.
    pub fn may_time_out(&self) -> bool {
        let is_cause = |trouble: &Trouble| matches!(trouble, Trouble::Hang { .. } | Trouble::Sleep { .. });
        self.faults.iter().any(|fault| is_cause(&fault.trouble))
    }
}

pub(super) fn pick<'a, T>(all: &'a [T], rng: &mut SmallRng) -> &'a T {
    &all[rng.random_range(0..all.len())]
}

pub(super) fn node(features: &Features, rng: &mut SmallRng) -> NodeOptions {
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
        number: 0,
        peers: PeerSettings::default(),
        cores,
        partitions: *pick(&[4, 8, 16], rng),
        durability,
        direct: rng.random_ratio(1, 2),
        tuning: tuning(features, rng),
        mesh,
        net,
        value_bytes_max: MIB,
        request_timeout_us: REQUEST_TIMEOUT_US,
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
    tuning.budgets.log_write = 2 * MIB;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_has_five_crashes_at_least() {
        for profile in Profile::ALL.into_iter().filter(|profile| !profile.is_of_cluster()) {
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
