//! What a simulated node is started with.

use crate::net::NetOptions;
use pinion_cluster::config::{Config, Durability};
use pinion_cluster::drive::{Addresses, NodeInfo, Others, RunId, Split};
use pinion_cluster::mesh::Limits;
use pinion_cluster::peers::{Id, PeerSettings};
use pinion_engine::clock::TimeJump;
use pinion_engine::drive::StoreFile;
use pinion_engine::shard::Tuning;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Which of the nodes it is, from 0.
    pub number: usize,
    /// The others, and who it is to them.
    pub peers: PeerSettings,
    /// Cores, each with a shard.
    pub cores: usize,
    /// Partitions of the store.
    pub partitions: usize,
    /// When writes are acknowledged.
    pub durability: Durability,
    /// Whether the log is written in whole blocks.
    pub direct: bool,
    /// Sizes of the shards.
    pub tuning: Tuning,
    /// Limits of the mesh.
    pub mesh: Limits,
    /// Limits of the sockets.
    pub net: NetOptions,
    /// Largest value.
    pub value_bytes_max: usize,
    /// How long a request has.
    pub request_timeout_us: u64,
    /// Memory that a core is told it has, bytes. What its shard really takes is up to the tuning.
    pub memory_bytes: usize,
    /// Which directories count: one more with each reshard.
    pub layout: u32,
    /// All shards were made: what `STORE` says from the first start on.
    pub is_made: bool,
    /// What the operator says of a wall clock that shows much more than the store, in another boot.
    pub time_jump: TimeJump,
}

/// Identity of the store of a simulated node, by its number.
pub fn store_id(number: usize) -> Id {
    let mut id = *b"kvsim kvsim kvsi";
    id[15] += number as u8;
    id
}

/// The address of a node's machine.
fn host(number: usize) -> [u8; 4] {
    [127, 0, 0, 1 + number as u8]
}

/// Where a core of a node listens for other nodes.
pub fn peer_address(number: usize, core: usize) -> SocketAddr {
    SocketAddr::from((host(number), PORT + 300 + core as u16))
}

/// Which core of which node listens for other nodes at an address.
pub fn core_at(address: SocketAddr) -> Option<(usize, usize)> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let number = ip.octets()[3].checked_sub(1)?;
    Some((usize::from(number), usize::from(address.port().checked_sub(PORT + 300)?)))
}

/// Where the simulated node listens.
const PORT: u16 = 7400;

impl NodeOptions {
    /// What the node says about itself, when it starts at this time.
    pub(super) fn info(&self, unix_us: u64) -> NodeInfo {
        let port = |port: u16| SocketAddr::from((host(self.number), port));
        let ports = |first: u16| (0..self.cores as u16).map(|core| port(first + core)).collect();
        let addresses = Addresses {
            kv: port(PORT),
            resp: Some(port(PORT + 1)),
            admin: None,
            kv_cores: ports(PORT + 100),
            resp_cores: ports(PORT + 200),
            others: Others::default(),
        };
        let config = Config {
            cpus: (0..self.cores).collect(),
            durability: self.durability,
            memory_bytes: (self.memory_bytes * self.cores) as u64,
            value_bytes_max: self.value_bytes_max,
            time_jump: self.time_jump,
            request_timeout: Duration::from_micros(self.request_timeout_us),
            ..Config::ephemeral("/sim")
        };
        let mut info = NodeInfo::new(config, addresses, &self.store(), unix_us, RunId::of_seed(unix_us));
        info.peers = self.peers.clone();
        info
    }

    /// How the memory of a core is divided.
    pub fn split(&self) -> Split {
        Split::of(self.memory_bytes)
    }

    /// The most shards that a reshard gives it.
    pub fn shards_max(&self) -> usize {
        self.partitions.min(4)
    }

    /// What its `STORE` would say.
    pub fn store(&self) -> StoreFile {
        let (shards, partitions) = (self.cores as u32, self.partitions as u32);
        StoreFile {
            id: store_id(self.number),
            shards,
            partitions,
            layout: self.layout,
            is_made: self.is_made,
        }
    }
}
