//! What all cores know of their node.

use super::listeners::Addresses;
use super::liveness::{self, Liveness};
use super::run::RunId;
use crate::admin::NodeFacts;
use crate::config::{Config, Durability, size};
use crate::core::split::Split;
use crate::placement::Placement;
use crate::session::limits;
use crate::stats::published::Published;
use crate::stats::tally::Tally;
use pinion_engine::drive::StoreFile;
use pinion_engine::shard::{self, ShardOptions};
use pinion_net::reactor::Seats;
use pinion_net::resp;
use pinion_net::wire::{Home, Limits, Map, NodePorts};
use std::path::PathBuf;
use std::sync::Arc;

/// What all cores know of their node; it doesn't change while the node runs.
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
    /// Which core has which partition.
    pub placement: Placement,
    /// How each core's share of the memory is divided.
    pub split: Split,
    /// Limits of the Redis protocol.
    pub resp_limits: resp::Limits,
    /// Limits of the binary protocol.
    pub limits: Limits,
    /// The map that clients of the binary protocol get.
    pub map: Map,
    /// When it started.
    pub started_unix_us: u64,
    /// What its cores show to each other.
    pub published: Published,
    /// The connections that they have together.
    pub seats: Arc<Seats>,
    /// Whether they answer.
    pub liveness: Liveness,
    /// What each core counts of RESP commands.
    pub tallies: Box<[Tally]>,
    run: RunId,
    store: StoreFile,
}

impl NodeInfo {
    /// What there is to know of a node that starts at `started_unix_us`.
    pub(crate) fn new(
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
        let placement = Placement::new(store.partitions as usize, store.shards as usize);
        let split = Split::of(config.memory_bytes as usize / placement.cores());
        config.value_bytes_max = config.value_bytes_max.min(split.value_bytes_max());
        let connections_max = placement.cores() * split.connections_max();
        if config.connections_max > connections_max {
            tracing::info!(
                "at most {connections_max} connections are served at once, not {}: more would take too much of --memory",
                config.connections_max
            );
            config.connections_max = connections_max;
        }
        let home = |partition| Home { node: 0, core: placement.core_of(partition) as u16 };
        // Without a host, clients keep to the address that they reached.
        let host = match addresses.kv.ip() {
            ip if ip.is_unspecified() || !addresses.others.kv.is_empty() => String::new(),
            ip => ip.to_string(),
        };
        let id = u64::from_le_bytes(*store.id.first_chunk().expect("an id has 16 bytes"));
        let ports = NodePorts {
            id,
            host,
            port: addresses.kv.port(),
            core_ports: addresses.kv_cores.iter().map(|addr| addr.port()).collect(),
        };
        let map = Map { epoch: 1, nodes: vec![ports], homes: placement.all().map(home).collect() };
        NodeInfo {
            split,
            resp_limits: limits::resp(split),
            limits: limits::wire(config.value_bytes_max, split.command_bytes_max()),
            node_id: config.node_id.clone().unwrap_or_else(|| hex(&store.id)),
            store_id: store.id,
            request_timeout_us: config.request_timeout.as_micros() as u64,
            started_unix_us,
            published: Published::new(placement.cores()),
            seats: Arc::new(Seats::new(config.connections_max)),
            liveness: Liveness::new(placement.cores(), liveness::PATIENCE),
            tallies: (0..placement.cores()).map(|_| Tally::default()).collect(),
            run,
            store: store.clone(),
            config,
            addresses,
            placement,
            map,
        }
    }

    /// The 40 hexadecimal digits by which Redis clients know a core.
    pub fn core_id(&self, core: usize) -> String {
        format!("{}{core:08x}", hex(&self.store_id))
    }

    /// The 40 hexadecimal digits that tell this run of this node from others.
    pub fn run_id(&self) -> String {
        hex(self.run.bytes())
    }

    /// What this run of this node draws chance from.
    pub fn run_seed(&self) -> u64 {
        self.run.seed()
    }

    /// The 40 hexadecimal digits by which Redis clients know the shard of a core.
    pub fn shard_name(&self, core: usize) -> String {
        format!("{core:08x}{}", hex(&self.store_id))
    }

    /// The id that ties a shard's files to it.
    pub fn shard_id(&self, shard: usize) -> [u8; 16] {
        self.store.shard_id(shard as u32)
    }

    /// The directory of a shard, in the layout that counts.
    pub fn shard_dir(&self, shard: usize) -> PathBuf {
        self.store.shard_dir(&self.config.dir, shard as u32)
    }

    /// How a shard is opened; `direct` says whether its log can be written around the page cache.
    pub fn shard_options(&self, shard: usize, direct: bool) -> ShardOptions {
        let config = &self.config;
        ShardOptions {
            shard_id: self.shard_id(shard),
            partitions: self.placement.partitions_of(shard),
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
            partitions: self.placement.partitions(),
            durability: self.config.durability.to_string(),
            memory_bytes: self.config.memory_bytes,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
