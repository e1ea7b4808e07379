//! The map: which core of which node holds what.

use crate::slot::{Slot, is_partition_count};

/// Where the replica of a partition that answers is: an index into [`Map::nodes`], and a core of that node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Home {
    /// Place of the node in the map's list.
    pub node: u16,
    /// The core.
    pub core: u16,
}

/// A node's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePorts {
    /// The node's id.
    pub id: u64,
    /// Host name or address without a port; empty: the one that the connection was made to.
    pub host: String,
    /// The port that any core may answer.
    pub port: u16,
    /// The port of each core.
    pub core_ports: Vec<u16>,
}

/// Which core of which node answers for which partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// Rises with each change.
    pub epoch: u64,
    /// The nodes.
    pub nodes: Vec<NodePorts>,
    /// The home of each partition; as many as there are partitions, a power of two.
    pub homes: Vec<Home>,
}

impl Map {
    /// The partition of a key.
    pub fn partition_of(&self, key: &[u8]) -> u16 {
        Slot::of(key).partition(self.homes.len() as u16)
    }

    /// The home of a key.
    pub fn home_of(&self, key: &[u8]) -> Home {
        self.homes[usize::from(self.partition_of(key))]
    }

    /// Whether the number of partitions is one that can be, and every home exists.
    pub fn is_sound(&self) -> bool {
        let exists = |home: &Home| {
            self.nodes
                .get(usize::from(home.node))
                .is_some_and(|node| usize::from(home.core) < node.core_ports.len())
        };
        u16::try_from(self.homes.len()).is_ok_and(is_partition_count) && self.homes.iter().all(exists)
    }
}
