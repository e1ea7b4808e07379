//! The topology: the nodes of the cluster, the replicas of each partition, and the epoch, which rises with each change.
//!
//! 1. A topology is a value, and nothing of it ever changes: whoever holds one sees one state of the cluster.
//! 2. What changes comes as a new topology with a higher epoch ([`current`]). Each core goes on with it from its next turn on;
//!    what is under way then goes on as it is. None is ever replaced by an older one ([`Topology::may_follow`]).
//! 3. A partition's first replica is its home: the node that answers for it. Which core serves a partition on a node follows
//!    from that node's number of cores alone ([`Placement`]), so that no two nodes can disagree on it.
//!
//! So far there is one node, and every partition has its one replica there.

pub mod current;
pub mod member;

use member::Member;
use pinion_engine::key::Partition;
use pinion_engine::placement::Placement;
use pinion_net::slot::Slot;
use pinion_net::wire::{Home, Map};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;
use std::rc::Rc;

/// Where the replicas of a partition are. The first is its home.
pub type Replicas = SmallVec<[Home; 3]>;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    members: Vec<Member>,
    /// The place of this node among them.
    me: u16,
    replicas: Vec<Replicas>,
    /// Slots to partitions, and partitions to the cores of this node.
    placement: Placement,
    /// What clients of the binary protocol are told.
    map: Map,
}

impl Topology {
    /// The topology of `partitions` partitions that node `me` of these has at an epoch. `nodes_of` names the nodes that have
    /// a replica of a partition, at least one, its home first.
    ///
    /// # Panics
    /// If a partition has no replica, or one on a node that isn't among these, or if [`Placement::new`] does.
    pub fn new(
        epoch: u64,
        members: Vec<Member>,
        me: u16,
        partitions: usize,
        nodes_of: impl Fn(Partition) -> SmallVec<[u16; 3]>,
    ) -> Topology {
        let placements: Vec<_> =
            members.iter().map(|member| Placement::new(partitions, member.cores())).collect();
        let replica = |partition, node: u16| {
            let core = placements[usize::from(node)].core_of(partition) as u16; // a node has 1024 cores at most
            Home { node, core }
        };
        let placement = placements[usize::from(me)].clone();
        let of_partition = |partition| {
            nodes_of(partition).into_iter().map(|node| replica(partition, node)).collect::<Replicas>()
        };
        let replicas: Vec<_> = placement.all().map(of_partition).collect();
        let map = Map {
            epoch,
            nodes: members.iter().map(Member::ports).collect(),
            homes: replicas.iter().map(|replicas| replicas[0]).collect(),
        };
        Topology { members, me, replicas, placement, map }
    }

    /// The first topology of a node that is alone.
    pub fn alone(member: Member, partitions: usize) -> Topology {
        Topology::new(1, vec![member], 0, partitions, |_| smallvec![0])
    }

    /// Rises with each change.
    pub fn epoch(&self) -> u64 {
        self.map.epoch
    }

    /// What clients of the binary protocol are told of it.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// The nodes.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// This node.
    pub fn me(&self) -> &Member {
        &self.members[usize::from(self.me)]
    }

    /// A core of this node as the map has it.
    pub fn home_at(&self, core: usize) -> Home {
        Home { node: self.me, core: core as u16 }
    }

    /// The cores of this node.
    pub fn cores(&self) -> usize {
        self.placement.cores()
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.placement.partitions()
    }

    /// All partitions, in order.
    pub fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        self.placement.all()
    }

    /// The partition of a slot.
    #[inline]
    pub fn partition_of(&self, slot: Slot) -> Partition {
        self.placement.partition_of_slot(slot.number())
    }

    /// The replicas of a partition, its home first.
    pub fn replicas_of(&self, partition: Partition) -> &[Home] {
        &self.replicas[usize::from(partition.0)]
    }

    /// The core of this node that serves a partition.
    #[inline]
    pub fn core_of(&self, partition: Partition) -> usize {
        self.placement.core_of(partition)
    }

    /// The partitions that a core of this node serves, in order.
    pub fn partitions_of(&self, core: usize) -> Vec<Partition> {
        self.placement.partitions_of(core)
    }

    /// These partitions in groups: those of each core of this node that serves any.
    pub fn by_core(&self, partitions: &[Partition]) -> Vec<Rc<[Partition]>> {
        self.placement.by_core(partitions)
    }

    /// The runs of slots that have the same home, in order, as long as possible.
    pub fn slot_runs(&self) -> Vec<(Range<u32>, Home)> {
        let mut runs: Vec<(Range<u32>, Home)> = Vec::new();
        for partition in self.all() {
            let (slots, home) = (self.placement.slots_of(partition), self.replicas_of(partition)[0]);
            match runs.last_mut() {
                Some((run, last)) if *last == home => run.end = slots.end,
                _ => runs.push((slots, home)),
            }
        }
        runs
    }

    /// Whether a node that runs with the one `before` may go on with this one: it is newer, and what this node's shards hold
    /// is what they are to serve.
    pub fn may_follow(&self, before: &Topology) -> bool {
        let is_here = |replicas: &Replicas| replicas.iter().any(|replica| replica.node == self.me);
        self.epoch() > before.epoch()
            && self.placement == before.placement
            && self.me().id == before.me().id
            && self.replicas.iter().all(is_here)
    }
}

#[cfg(test)]
mod tests;
