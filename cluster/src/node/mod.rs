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

pub mod events;
pub mod listeners;
mod medium;
mod store;

use crate::admin::ask::{CONTROL_QUEUE, Control, CoreHandle};
use crate::admin::{Admin, NodeFacts, NodeState};
use crate::config::{Config, Durability, size};
use crate::core::memory::Split;
use crate::core::start::{CoreSetup, OpenCore};
use crate::error::Error;
use crate::mesh::{self, mesh};
use crate::placement::Placement;
use crate::session::wire;
use crate::stats::published::Published;
use events::{Event, Events};
use listeners::{Addresses, Bound, bind};
use pinion_engine::drive::StoreFile;
use pinion_engine::shard::{self, ShardOptions};
use pinion_net::reactor::{Waker, preflight};
use pinion_net::resp;
use pinion_net::wire::{Home, Limits, Map, NodePorts};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use store::OwnedStore;

/// How long a node that stops waits for what is under way, and then for its shards to settle.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
const DRAIN_DEADLINE_FAILED: Duration = Duration::from_secs(1);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How long cores with full queues have to make room for the word that the node stops.
const TELL_DEADLINE: Duration = Duration::from_secs(5);

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
    store: StoreFile,
}

impl NodeInfo {
    /// What there is to know of a node that starts at `started_unix_us`.
    pub(crate) fn new(
        mut config: Config,
        addresses: Addresses,
        store: &StoreFile,
        started_unix_us: u64,
    ) -> NodeInfo {
        // Whoever reads it in a message or in the status doesn't know this process's working directory.
        if let Ok(dir) = std::path::absolute(&config.dir) {
            config.dir = dir;
        }
        let placement = Placement::new(store.partitions as usize, store.shards as usize);
        let split = Split::of(config.memory_bytes as usize / placement.cores());
        config.value_bytes_max = config.value_bytes_max.min(split.value_bytes_max());
        let home = |partition| Home { node: 0, core: placement.core_of(partition) as u16 };
        let host = match addresses.kv.ip() {
            ip if ip.is_unspecified() => String::new(),
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
        format!("{}{:08x}", hex(&self.store_id), (self.started_unix_us / 1_000_000) as u32)
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
    /// Released last: until then no other process may have the directory.
    _store: OwnedStore,
}

/// A core's thread while it starts.
struct Starting {
    thread: JoinHandle<()>,
    go: SyncSender<Vec<Waker>>,
    controls: SyncSender<Control>,
}

/// Checks what a start checks before it opens anything: that a node can run here, the directory, and the ports. Changes
/// nothing.
pub fn check(config: &Config) -> Result<(), Error> {
    check_machine(config)?;
    listeners::check(config, store::inspect(config)?)
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
        let store = store::take(&config)?;
        tell_start(&config, store.file.shards);
        let Bound { addresses, cores: sockets, admin } = bind(&config, store.file.shards as usize)?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started_unix_us = wall.as_micros() as u64;
        let value_bytes_max = config.value_bytes_max;
        let info = Arc::new(NodeInfo::new(config, addresses, &store.file, started_unix_us));
        info.tell_limits(value_bytes_max);
        let (sender, inbox) = mpsc::channel();
        let events = Events::new(sender);
        let (opened, results) = mpsc::channel();
        let ports = mesh(sockets.len(), mesh::Limits::default());
        let mut starting = Vec::with_capacity(sockets.len());
        for (me, (listeners, port)) in sockets.into_iter().zip(ports).enumerate() {
            let (controls, inbox) = sync_channel(CONTROL_QUEUE);
            let cpu = info.config.pin.then(|| info.config.cpus[me % info.config.cpus.len()]);
            let (node, events) = (Arc::clone(&info), events.clone());
            let setup = CoreSetup { me, cpu, node, listeners, port, controls: inbox, events };
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
        let mut node = Node {
            info,
            cores: Vec::new(),
            threads: Vec::new(),
            inbox,
            events,
            state: NodeState::default(),
            admin: None,
            _store: store,
        };
        for (me, core) in starting.into_iter().enumerate() {
            // A core that has ended meanwhile says so by an event.
            let _ = core.go.send(wakers.clone());
            let waker = wakers[me].clone();
            node.cores.push(CoreHandle::new(core.controls, Arc::new(move || waker.wake())));
            node.threads.push(core.thread);
        }
        if let Some(listener) = admin {
            let (facts, state) = (node.info.facts(), node.state.clone());
            node.admin = Some(Admin::start(listener, facts, state, node.cores.clone())?);
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
        let Addresses { kv, resp, admin, .. } = self.addresses();
        let resp = resp.map_or("off".to_owned(), |addr| addr.to_string());
        let admin = admin.map_or("off".to_owned(), |addr| format!("http://{addr}"));
        format!("ready: kv {kv}, resp {resp}, admin {admin}, shards {}", self.shards())
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
                Ok(Event::StopRequested) | Err(_) => return self.stop(),
            }
        }
    }

    /// Answers what is under way, settles the shards, and ends all threads.
    pub fn stop(mut self) -> Result<(), Error> {
        self.shut_down(0)
    }

    /// Stops a node of whose cores some have already ended and said so.
    fn shut_down(&mut self, mut ended: usize) -> Result<(), Error> {
        if self.threads.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        tracing::info!("the node stops: it finishes what is under way");
        self.state.draining();
        self.tell_all(|| Control::Drain);
        let mut outcome = Ok(());
        // What waits for a core that is gone would wait for ever.
        let patience = if ended == 0 { DRAIN_DEADLINE } else { DRAIN_DEADLINE_FAILED };
        self.wait(patience, &mut outcome, &mut ended, |event| matches!(event, Event::Drained(_)));
        self.tell_all(|| Control::Stop);
        let cores = self.cores.len();
        let left = cores - ended;
        let settled =
            self.wait(STOP_DEADLINE, &mut outcome, &mut ended, |event| matches!(event, Event::Ended(..)));
        self.admin = None;
        let threads = std::mem::take(&mut self.threads);
        if settled < left {
            return Err(Error::Node(
                "a shard didn't settle in time; what it acknowledged is safe, the next start replays it"
                    .to_owned(),
            ));
        }
        for thread in threads {
            if thread.join().is_err() {
                outcome = Err(Error::Node("a core panicked; see the lines before".to_owned()));
            }
        }
        if outcome.is_ok() {
            tracing::info!(
                "the node has stopped after {} ms; everything accepted is settled",
                begun.elapsed().as_millis()
            );
        }
        outcome
    }

    fn tell_all(&self, message: impl Fn() -> Control) {
        let until = Instant::now() + TELL_DEADLINE;
        for core in &self.cores {
            core.tell(&message, until);
        }
    }

    /// Waits for as many events of one kind as there are cores that run, or until the deadline; how many came.
    fn wait(
        &self,
        deadline: Duration,
        outcome: &mut Result<(), Error>,
        ended: &mut usize,
        counts: impl Fn(&Event) -> bool,
    ) -> usize {
        let until = Instant::now() + deadline;
        let mut count = 0;
        let goal = self.cores.len() - *ended;
        while count < goal {
            let Ok(event) = self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                break;
            };
            let hit = counts(&event);
            count += usize::from(hit);
            if let Event::Ended(_, result) = event {
                *ended += 1;
                // A core that ended will never drain.
                count += usize::from(!hit);
                if outcome.is_ok() {
                    *outcome = result;
                }
            }
        }
        count
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down(0) {
            tracing::error!("the node stopped with an error: {error}");
        }
    }
}

type Opened = Result<(usize, Waker), Error>;

fn spawn(setup: CoreSetup, controls: SyncSender<Control>, opened: Sender<Opened>) -> Result<Starting, Error> {
    let me = setup.me;
    let events = setup.events.clone();
    let (go, start) = sync_channel::<Vec<Waker>>(1);
    let run = move || {
        let core: OpenCore = match setup.open() {
            Ok(core) => core,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok((me, core.waker())));
        drop(opened);
        // No word: another core couldn't open, and the start was abandoned.
        let Ok(wakers) = start.recv() else { return };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| core.run(wakers)));
        let panicked =
            || Err(Error::Node(format!("core {me} panicked; see the lines before, and restart kvd")));
        events.ended(me, result.unwrap_or_else(|_| panicked()));
    };
    let thread = std::thread::Builder::new().name(format!("kvd-core-{me}")).spawn(run).map_err(|e| {
        Error::Node(format!("no thread for core {me}: {e}; raise the limit with `ulimit -u`"))
    })?;
    Ok(Starting { thread, go, controls })
}

/// Collects the wakers of all cores, or the first error.
fn wait_until_open(results: &Receiver<Opened>, cores: usize) -> Result<Vec<Waker>, Error> {
    let mut wakers: Vec<Option<Waker>> = vec![None; cores];
    for _ in 0..cores {
        let opened = results
            .recv()
            .map_err(|_| Error::Node("a core panicked while it opened; see above".to_owned()))?;
        let (core, waker) = opened?;
        wakers[core] = Some(waker);
    }
    Ok(wakers.into_iter().flatten().collect())
}

/// Ends cores that wait for a start which won't come.
fn abandon(starting: Vec<Starting>) {
    for core in starting {
        drop(core.go);
        drop(core.controls);
        // A core that panicked has already said why.
        let _ = core.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_which_a_core_ended_says_so_and_ends_without_waiting_for_that_core() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { shards: Some(2), ..Config::ephemeral(dir.path()) };
        let node = Node::start(config).unwrap();
        // Nobody asked the node: to it, the core has failed.
        assert!(node.cores[1].send(Control::Stop));
        let (sender, outcome) = mpsc::channel();
        std::thread::spawn(move || sender.send(node.run()));
        let outcome = outcome.recv_timeout(DRAIN_DEADLINE + STOP_DEADLINE / 2);
        let error = outcome.expect("the node ends before its deadlines have passed").unwrap_err();
        assert!(error.to_string().contains("core 1 ended"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
