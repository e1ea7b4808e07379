//! What all cores know of their node, and what doesn't change while it runs. What may change is the
//! [`Topology`](crate::topology).

use super::listeners::Addresses;
use super::liveness::{self, Liveness};
use super::run::RunId;
use super::server_time::ServerTime;
use crate::admin::NodeFacts;
use crate::config::{Config, Durability, size};
use crate::node::split::Split;
use crate::peers::{Id, PeerSettings};
use crate::session::limits;
use crate::stats::published::Published;
use crate::stats::tally::Tally;
use crate::topology::Topology;
use crate::topology::member::Member;
use pinion_engine::drive::StoreFile;
use pinion_engine::key::Partition;
use pinion_engine::shard::{self, ShardOptions};
use pinion_net::reactor::Seats;
use pinion_net::resp;
use pinion_net::wire::Limits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// See the module's text.
pub struct NodeInfo {
    /// Its configuration.
    pub config: Config,
    /// Where it can be reached.
    pub addresses: Addresses,
    /// Its name.
    pub node_id: String,
    /// Identity of its store.
    pub store_id: [u8; 16],
    /// How long a request has whose client doesn't say, microseconds.
    pub request_timeout_us: u64,
    /// How many cores it has, each with a shard.
    pub cores: usize,
    /// How each core's share of the memory is divided.
    pub split: Split,
    /// Limits of the Redis protocol.
    pub resp_limits: resp::Limits,
    /// Limits of the binary protocol.
    pub limits: Limits,
    /// When it started.
    pub started_unix_us: u64,
    /// What its cores show to each other.
    pub published: Published,
    /// The connections that they have together.
    pub seats: Arc<Seats>,
    /// Whether they answer.
    pub liveness: Liveness,
    /// The time by which requests say when they were first sent.
    pub server_time: ServerTime,
    /// The other nodes that its cores talk to: none, unless whoever starts it names some.
    pub peers: PeerSettings,
    /// What each core counts of RESP commands.
    pub tallies: Box<[Tally]>,
    run: RunId,
    store: StoreFile,
}

impl NodeInfo {
    /// What there is to know of a node that starts at `started_unix_us`.
    pub fn new(
        mut config: Config,
        addresses: Addresses,
        store: &StoreFile,
        started_unix_us: u64,
        run: RunId,
    ) -> NodeInfo {
        // Whoever reads it in a message or in the status doesn't know this process's working directory.
        if let Ok(dir) = std::path::absolute(&config.dir) {
            config.dir = dir;
        }
        let cores = store.shards as usize;
        let split = Split::of(config.memory_bytes as usize / cores);
        config.value_bytes_max = config.value_bytes_max.min(split.value_bytes_max());
        let connections_max = cores * split.connections_max();
        if config.connections_max > connections_max {
            tracing::info!(
                "at most {connections_max} connections are served at once, not {}: more would take too much of --memory",
                config.connections_max
            );
            config.connections_max = connections_max;
        }
        NodeInfo {
            split,
            resp_limits: limits::resp(split),
            limits: limits::wire(config.value_bytes_max, split.command_bytes_max()),
            node_id: config
                .node_id
                .clone()
                .unwrap_or_else(|| format!("{:032x}", u128::from_be_bytes(store.id))),
            store_id: store.id,
            request_timeout_us: config.request_timeout.as_micros() as u64,
            started_unix_us,
            published: Published::new(cores),
            seats: Arc::new(Seats::new(config.connections_max)),
            liveness: Liveness::new(cores, liveness::PATIENCE),
            server_time: ServerTime::default(),
            peers: PeerSettings::default(),
            tallies: (0..cores).map(|_| Tally::default()).collect(),
            run,
            store: store.clone(),
            config,
            addresses,
            cores,
        }
    }

    /// Identity of the cluster that it is of: its store's, if it runs alone.
    pub fn cluster_id(&self) -> [u8; 16] {
        if self.peers.cluster == Id::default() { self.store_id } else { self.peers.cluster }
    }

    /// The 40 hexadecimal digits that tell this run of this node from others.
    pub fn run_id(&self) -> String {
        self.run.to_string()
    }

    /// What this run of this node draws chance from.
    pub fn run_seed(&self) -> u64 {
        self.run.seed()
    }

    /// The topology that it begins with: it is alone.
    pub fn first_topology(&self) -> Topology {
        let Addresses { kv, kv_cores, resp_cores, others, .. } = &self.addresses;
        let ports = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::port).collect();
        // Without a host, clients keep to the address that they reached.
        let host = match kv.ip() {
            ip if ip.is_unspecified() || !others.kv.is_empty() => String::new(),
            ip => ip.to_string(),
        };
        let member = Member {
            id: self.store_id,
            host,
            port: kv.port(),
            core_ports: ports(kv_cores),
            resp_host: self.addresses.resp_of(Some(0)).map(|addr| addr.ip()),
            resp_core_ports: ports(resp_cores),
        };
        Topology::alone(member, self.store.partitions as usize)
    }

    /// The id that ties a shard's files to it.
    pub fn shard_id(&self, shard: usize) -> [u8; 16] {
        self.store.shard_id(shard as u32)
    }

    /// The directory of a shard, in the layout that counts.
    pub fn shard_dir(&self, shard: usize) -> PathBuf {
        self.store.shard_dir(&self.config.dir, shard as u32)
    }

    /// How a shard is opened that serves these partitions; `direct` says whether its log can be written around the page cache.
    pub fn shard_options(&self, shard: usize, partitions: Vec<Partition>, direct: bool) -> ShardOptions {
        let config = &self.config;
        ShardOptions {
            shard_id: self.shard_id(shard),
            partitions,
            durability: match config.durability {
                Durability::Sync => shard::Durability::Sync,
                Durability::IntervalMs(ms) => shard::Durability::IntervalMs(ms),
                Durability::None => shard::Durability::None,
            },
            memory_bytes: self.split.shard,
            direct,
            value_bytes_max: config.value_bytes_max,
            membership: Some(self.store.membership(shard as u32)),
            is_made: self.store.is_made,
            time_jump: self.config.time_jump,
        }
    }

    /// Says where the memory allows less than the settings do.
    pub(super) fn tell_limits(&self, value_bytes_max: usize) {
        if self.config.value_bytes_max < value_bytes_max {
            tracing::info!(
                "values may be {} long and not {}: --memory leaves a core {} for its connections",
                size::display(self.config.value_bytes_max as u64),
                size::display(value_bytes_max as u64),
                size::display(self.split.connections as u64),
            );
        }
    }

    pub(super) fn facts(&self) -> NodeFacts {
        NodeFacts {
            node_id: self.node_id.clone(),
            dir: self.config.dir.display().to_string(),
            kv: self.addresses.kv.to_string(),
            resp: self.addresses.resp.map(|addr| addr.to_string()),
            core_ports: self.addresses.kv_cores.iter().map(|addr| addr.port()).collect(),
            resp_core_ports: self.addresses.resp_cores.iter().map(|addr| addr.port()).collect(),
            partitions: self.store.partitions as usize,
            durability: self.config.durability.to_string(),
            memory_bytes: self.config.memory_bytes,
        }
    }
}
