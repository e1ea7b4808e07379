//! What a run of several nodes is to be, drawn from its seed before it begins.

use super::machine::Drift;
use crate::disk::DiskFaults;
use crate::options::{Pace, RunOptions, node, pick};
use crate::profile::Features;
use crate::rng::stream;
use crate::setup::{NodeOptions, peer_address, store_id};
use pinion_cluster::config::Durability;
use pinion_cluster::peers::{Peer, PeerSettings};
use rand::Rng;
use rand::rngs::SmallRng;

/// Something that goes wrong between nodes, or with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing passes from one node to another; the other way, too, or not.
    Cut { from: usize, to: usize, is_both: bool },
    /// Nothing passes between a node and any other.
    Isolate { node: usize },
    /// Each byte takes so long from one node to another, microseconds.
    Clog { from: usize, to: usize, byte_us: u64 },
    /// So many of a thousand pieces are lost from one node to another.
    Lose { from: usize, to: usize, lost: u32 },
    /// Everything takes up to so long from one node to another, microseconds.
    Delay { from: usize, to: usize, most_us: u64 },
    /// A process or machine dies, and is gone for as long as the fault lasts.
    Crash { node: usize, is_power: bool },
    /// Somebody stops a node, which is started again when the fault is over.
    Stop { node: usize },
    /// Somebody sets the wall clock of a node by so much, microseconds.
    Jump { node: usize, us: i64 },
}

/// A fault of the schedule.
pub type Fault = crate::fault::Fault<Trouble>;

/// See the module's text.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// Which run.
    pub run: RunOptions,
    /// The nodes, and how fast and wrong their clocks are.
    pub nodes: Vec<(NodeOptions, Drift, i64)>,
    /// The node that belongs to another cluster, if one does.
    pub stranger: Option<usize>,
    /// Who comes next.
    pub pace: Pace,
    /// How fast disks are.
    pub disk: DiskFaults,
    /// How long faults strike, microseconds.
    pub us: u64,
    /// How many of a thousand chances for an old message to come again are taken.
    pub echoes: u32,
    /// What goes wrong, in order.
    pub faults: Vec<Fault>,
}

/// How long a run lasts for each of its operations, of which it has none, microseconds.
const US_PER_OPERATION: u64 = 8_000;
/// Whose nodes they are.
const CLUSTER: [u8; 16] = *b"kvsim's cluster.";

impl ClusterPlan {
    /// Draws a run's plan.
    pub fn draw(run: RunOptions) -> ClusterPlan {
        let mut rng = stream(run.seed, run.profile.name());
        let count = run.nodes;
        let stranger = rng.random_ratio(1, 6).then(|| rng.random_range(0..count));
        let cores: Vec<usize> = (0..count).map(|_| rng.random_range(1..=2)).collect();
        let nodes = (0..count).map(|number| {
            let ahead_us = rng.random_range(-2_000_000..=2_000_000);
            let drift = Drift(rng.random_range(-300..=300));
            (of_node(number, &cores, stranger, &mut rng), drift, ahead_us)
        });
        let nodes = nodes.collect();
        let pace = Pace {
            core: rng.random_range(2..=12),
            background: 2,
            client: rng.random_range(1..=6),
            step_us_max: *pick(&[10, 40, 200], &mut rng),
        };
        let us = run.operations * US_PER_OPERATION;
        let echoes = *pick(&[0, 100, 500], &mut rng);
        let disk = DiskFaults::default();
        // Its own stream: the schedule of a run stays when the rest of a plan is drawn differently.
        let mut rng = stream(run.seed, "schedule of links");
        let mut faults: Vec<Fault> =
            (0..rng.random_range(4..=16)).map(|_| fault(count, us, &mut rng)).collect();
        faults.sort_by_key(|fault| fault.at_us);
        ClusterPlan { run, nodes, stranger, pace, disk, us, echoes, faults }
    }
}

fn of_node(number: usize, cores: &[usize], stranger: Option<usize>, rng: &mut SmallRng) -> NodeOptions {
    let others = (0..cores.len()).filter(|&other| other != number);
    let peers = others.map(|other| Peer {
        node: store_id(other),
        addresses: (0..cores[other]).map(|core| peer_address(other, core)).collect(),
    });
    let cluster = if stranger == Some(number) { [0; 16] } else { CLUSTER };
    let peers = PeerSettings { cluster, node: store_id(number), peers: peers.collect() };
    let drawn = node(&Features::default(), rng);
    NodeOptions { number, peers, cores: cores[number], durability: Durability::Sync, ..drawn }
}

fn fault(nodes: usize, run_us: u64, rng: &mut SmallRng) -> Fault {
    let node = rng.random_range(0..nodes);
    let (from, to) = (node, (node + rng.random_range(1..nodes)) % nodes);
    let trouble = match rng.random_range(0..16) {
        0..3 => Trouble::Cut { from, to, is_both: false },
        3..5 => Trouble::Cut { from, to, is_both: true },
        5 => Trouble::Isolate { node },
        6 | 7 => Trouble::Clog { from, to, byte_us: rng.random_range(50..20_000) },
        8 => Trouble::Lose { from, to, lost: rng.random_range(50..600) },
        9 => Trouble::Delay { from, to, most_us: rng.random_range(1_000..1_500_000) },
        10..14 => Trouble::Crash { node, is_power: rng.random_ratio(2, 3) },
        14 => Trouble::Stop { node },
        _ => Trouble::Jump { node, us: rng.random_range(-5_000_000..60_000_000) },
    };
    let most_us = *pick(&[300_000, 3_000_000, 12_000_000], rng);
    Fault { at_us: rng.random_range(0..run_us.max(1)), us: rng.random_range(1_000..most_us), trouble }
}
