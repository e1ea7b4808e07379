//! The node: all cores of one process, from start to stop.
//!
//! ```no_run
//! use pinion_cluster::{Config, Node};
//! # fn main() -> Result<(), pinion_cluster::Error> {
//! let node = Node::start(Config::ephemeral("/tmp/store"))?;
//! println!("serving on {}", node.addresses().kv);
//! node.stop()
//! # }
//! ```

mod cpus;
pub mod events;
mod files;
pub mod heap;
pub mod listeners;
pub mod liveness;
mod medium;
pub mod run;
mod spawn;
mod stop;
mod store;
pub mod time;

use crate::admin::ask::{CONTROL_QUEUE, CoreHandle};
use crate::admin::{Admin, NodeFacts, NodeState};
use crate::config::{Config, Durability, size};
use crate::core::split::Split;
use crate::core::start::CoreSetup;
use crate::error::Error;
use crate::mesh::{self, mesh};
use crate::placement::Placement;
use crate::session::wire;
use crate::stats::published::Published;
use crate::stats::tally::Tally;
use cpus::Cpus;
use events::{Event, Events};
use listeners::{Addresses, Bound, bind};
use liveness::{Liveness, Watch};
use pinion_engine::drive::{StoreFile, SystemClock};
use pinion_engine::shard::{self, ShardOptions};
use pinion_net::reactor::{Seats, preflight};
use pinion_net::resp;
use pinion_net::wire::{Home, Limits, Map, NodePorts};
use run::RunId;
use spawn::{abandon, spawn, wait_until_open};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, sync_channel};
use std::thread::JoinHandle;
use store::OwnedStore;

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
            resp_limits: resp_limits(split),
            limits: wire::limits(config.value_bytes_max, split.command_bytes_max()),
            node_id: config.node_id.clone().unwrap_or_else(|| hex(&store.id)),
            store_id: store.id,
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
    fn tell_limits(&self, value_bytes_max: usize) {
        if self.config.value_bytes_max < value_bytes_max {
            tracing::info!(
                "values may be {} long and not {}: --memory leaves a core {} for its connections",
                size::display(self.config.value_bytes_max as u64),
                size::display(value_bytes_max as u64),
                size::display(self.split.connections as u64),
            );
        }
    }

    fn facts(&self) -> NodeFacts {
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

/// Limits of the Redis protocol: what lies between the limit on values and this gets an error and the connection goes on.
fn resp_limits(split: Split) -> resp::Limits {
    let most = resp::Limits::default();
    resp::Limits {
        bulk_bytes_max: split.value_bytes_max().min(most.bulk_bytes_max),
        args_max: split.arguments_max().min(most.args_max),
        command_bytes_max: split.command_bytes_max().min(most.command_bytes_max),
        ..most
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A running node. Dropping it stops it.
pub struct Node {
    info: Arc<NodeInfo>,
    cores: Vec<CoreHandle>,
    threads: Vec<JoinHandle<()>>,
    inbox: Receiver<Event>,
    events: Events,
    state: NodeState,
    admin: Option<Admin>,
    watch: Option<Watch>,
    _cpus: Option<Cpus>,
    /// Released last: until then no other process may have the directory.
    store: OwnedStore,
}

/// Checks what a start checks before it opens anything: that a node can run here, the directory, and the ports. Changes
/// nothing.
pub fn check(config: &Config) -> Result<(), Error> {
    check_machine(config)?;
    listeners::check(config, store::inspect(config)?)?;
    time::check(config)
}

fn check_machine(config: &Config) -> Result<(), Error> {
    preflight(&config.dir).into_iter().next().map_or(Ok(()), |problem| Err(Error::Node(problem.to_string())))
}

/// One line on what starts.
fn tell_start(config: &Config, shards: u32) {
    let dir = std::path::absolute(&config.dir).unwrap_or_else(|_| config.dir.clone());
    tracing::info!(
        "kvd {} starts: directory {}, {shards} shards, durability {}, memory {}",
        env!("CARGO_PKG_VERSION"),
        dir.display(),
        config.durability,
        size::display(config.memory_bytes)
    );
    if let Some(warning) = medium::warning(&dir) {
        tracing::warn!("{warning}");
    }
}

impl Node {
    /// Starts a node and returns when it serves.
    pub fn start(config: Config) -> Result<Node, Error> {
        check_machine(&config)?;
        let mut store = store::take(&config)?;
        tell_start(&config, store.file.shards);
        let shards = store.file.shards as usize;
        files::reserve(&config, shards)?;
        let cpus = config.pin.then(|| Cpus::claim(&config.cpus, shards));
        match &cpus {
            Some(cpus) => cpus.tell(),
            None => tracing::info!(
                "shards aren't pinned: the cgroup's quota is less than the CPUs that this process may use (--cpus pins them)"
            ),
        }
        let Bound { addresses, cores: sockets, admin } = bind(&config, shards)?;
        let clock = Arc::new(SystemClock::new());
        let started_unix_us = clock.now().unix_us;
        let value_bytes_max = config.value_bytes_max;
        let info = Arc::new(NodeInfo::new(config, addresses, &store.file, started_unix_us, RunId::draw()?));
        info.tell_limits(value_bytes_max);
        let (sender, inbox) = mpsc::channel();
        let events = Events::new(sender);
        let (opened, results) = mpsc::channel();
        let limits = mesh::Limits::of(info.split.connections, sockets.len());
        let ports = mesh(sockets.len(), limits);
        let mut starting = Vec::with_capacity(sockets.len());
        for (me, (listeners, port)) in sockets.into_iter().zip(ports).enumerate() {
            let (controls, inbox) = sync_channel(CONTROL_QUEUE);
            let cpu = cpus.as_ref().map(|cpus| cpus.of_shards[me]);
            let (node, clock, events) = (Arc::clone(&info), Arc::clone(&clock), events.clone());
            let setup = CoreSetup { me, cpu, node, clock, listeners, port, controls: inbox, events };
            starting.push(spawn(setup, controls, opened.clone())?);
        }
        drop(opened);
        let wakers = wait_until_open(&results, starting.len());
        let wakers = match wakers {
            Ok(wakers) => wakers,
            Err(error) => {
                abandon(starting);
                return Err(error);
            }
        };
        store.file.mark_made(&info.config.dir);
        let mut node = Node {
            info,
            cores: Vec::new(),
            threads: Vec::new(),
            inbox,
            events,
            state: NodeState::default(),
            admin: None,
            watch: None,
            _cpus: cpus,
            store,
        };
        for (me, core) in starting.into_iter().enumerate() {
            // A core that has ended meanwhile says so by an event.
            let _ = core.go.send(wakers.clone());
            let waker = wakers[me].clone();
            node.cores.push(CoreHandle::new(core.controls, Arc::new(move || waker.wake())));
            node.threads.push(core.thread);
        }
        let (cores, liveness) = (node.cores.clone(), node.info.liveness.clone());
        let witness = node.store.witness(node.info.config.dir.clone())?;
        node.watch = Some(Watch::start(liveness.clone(), cores.clone(), witness, node.events.clone())?);
        if !admin.is_empty() {
            let (facts, state) = (node.info.facts(), node.state.clone());
            node.admin = Some(Admin::start(admin, facts, state, cores, liveness)?);
        }
        node.state.serving();
        Ok(node)
    }

    /// Where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.info.addresses
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.info.placement.cores()
    }

    /// The line that says that the node serves, and where.
    pub fn ready_line(&self) -> String {
        format!("ready: {}, shards {}", self.addresses(), self.shards())
    }

    /// Asks the node to stop, from any thread; [`Node::run`] then returns.
    pub fn stopper(&self) -> Events {
        self.events.clone()
    }

    /// Waits until somebody asks the node to stop, or a core fails; then stops it.
    pub fn run(mut self) -> Result<(), Error> {
        loop {
            match self.inbox.recv() {
                Ok(Event::Drained(_)) => {}
                Ok(Event::Ended(core, result)) => {
                    let error = result.err();
                    let error =
                        error.unwrap_or_else(|| Error::Node(format!("core {core} ended; restart kvd")));
                    tracing::error!("{error}");
                    // The others settle; what they say doesn't change why the node ends.
                    let _ = self.shut_down(1);
                    return Err(error);
                }
                Ok(Event::Failed(error)) => {
                    tracing::error!("{error}");
                    let _ = self.shut_down(0);
                    return Err(error);
                }
                Ok(Event::StopRequested) | Err(_) => return self.stop(),
            }
        }
    }

    /// Answers what is under way, settles the shards, and ends all threads.
    pub fn stop(mut self) -> Result<(), Error> {
        self.shut_down(0)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down(0) {
            tracing::error!("the node stopped with an error: {error}");
        }
    }
}
