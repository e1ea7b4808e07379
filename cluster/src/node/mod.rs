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
pub mod info;
pub mod listeners;
pub mod liveness;
mod medium;
pub mod run;
mod server_time;
mod spawn;
pub mod split;
mod stop;
mod store;
pub mod time;

use crate::admin::ask::{CONTROL_QUEUE, CoreHandle};
use crate::admin::{Admin, NodeState};
use crate::config::{Config, size};
use crate::core::start::CoreSetup;
use crate::error::Error;
use crate::mesh::{self, mesh};
use crate::topology::current::{Current, View};
use cpus::Cpus;
use events::{Event, Events};
use info::NodeInfo;
use listeners::{Addresses, Bound, bind};
use liveness::Watch;
use pinion_engine::drive::SystemClock;
use pinion_net::reactor::preflight;
use run::RunId;
use spawn::{abandon, spawn, wait_until_open};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, sync_channel};
use std::thread::JoinHandle;
use store::OwnedStore;

/// A running node. Dropping it stops it.
pub struct Node {
    info: Arc<NodeInfo>,
    topology: Arc<Current>,
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
        "kvd {} starts: directory {}, {}, durability {}, memory {}",
        env!("CARGO_PKG_VERSION"),
        dir.display(),
        store::count(shards),
        config.durability,
        size::display(config.memory_bytes)
    );
    if let Some(warning) = medium::warning(&dir) {
        tracing::warn!("{warning}");
    }
}

impl Node {
    /// Starts a node and returns when it serves.
    pub fn start(mut config: Config) -> Result<Node, Error> {
        check_machine(&config)?;
        let mut store = store::take(&config)?;
        config.node_id.clone_from(&store.name);
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
        let topology = Arc::new(Current::new(info.first_topology()));
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
            let topology = View::new(Arc::clone(&topology));
            let setup =
                CoreSetup { me, cpu, node, topology, clock, listeners, port, controls: inbox, events };
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
            topology,
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
        self.info.cores
    }

    /// Who serves which partition. Another topology may take its place while the node runs.
    pub fn topology(&self) -> &Current {
        &self.topology
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
