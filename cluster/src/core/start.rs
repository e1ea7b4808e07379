//! Sets a core up on its own thread: opens the shard, makes the reactor, waits for the others, runs.

use super::driver::Driver;
use super::handler::Core;
use super::state::{CoreParts, CoreState};
use crate::admin::ask::Control;
use crate::error::Error;
use crate::mesh::Port;
use crate::node::events::Events;
use crate::node::info::NodeInfo;
use crate::node::listeners::CoreListeners;
use crate::node::time;
use crate::route::origin::CONNECTION_INDEX_END;
use crate::topology::current::View;
use pinion_engine::drive::{Background, BackgroundOptions, Files, OsDir, SystemClock};
use pinion_engine::shard::Shard;
use pinion_net::reactor::{Reactor, ReactorConfig, Waker};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// What a core is made from.
pub struct CoreSetup {
    /// Its number.
    pub me: usize,
    /// The CPU it is pinned to.
    pub cpu: Option<usize>,
    /// The node.
    pub node: Arc<NodeInfo>,
    /// Who serves which partition.
    pub topology: View,
    /// The machine's clocks.
    pub clock: Arc<SystemClock>,
    /// Its sockets.
    pub listeners: CoreListeners,
    /// Its end of the mesh.
    pub port: Port,
    /// What it will be told.
    pub controls: Receiver<Control>,
    /// Whom it tells.
    pub events: Events,
}

/// A reactor keeps this much input of one connection: the longest command with its framing, and a little.
const INPUT_BYTES_MAX: usize = (32 << 20) + (1 << 20);

/// A core whose shard is open.
pub struct OpenCore {
    reactor: Reactor<Core>,
    shard: Shard,
    driver: Driver,
    setup: CoreSetup,
}

impl CoreSetup {
    /// Opens the shard (replaying its log) and makes the reactor. Runs on the core's thread.
    pub fn open(mut self) -> Result<OpenCore, Error> {
        let (me, begun) = (self.me, Instant::now());
        let failed = |source| time::explain(me, source);
        let dir = self.node.shard_dir(me);
        let mut os_dir = OsDir::create(&dir).map_err(failed)?;
        let direct = Files::new(&dir, true).map_err(failed)?.is_direct();
        let options = self.node.shard_options(me, self.topology.partitions_of(me), direct);
        let mut shard = Shard::open(&mut os_dir, options, self.clock.now()).map_err(failed)?;
        shard.refuse_replicas().map_err(failed)?;
        let (records, bytes) = shard.replayed();
        let ms = begun.elapsed().as_millis();
        tracing::info!(
            "shard {me} is open after {ms} ms: {records} records ({bytes} bytes) of its log were replayed"
        );
        let reactor = self.reactor()?;
        let waker = reactor.waker();
        let options = BackgroundOptions { cpu: self.cpu, wake: Arc::new(move || waker.wake()) };
        let background = Background::spawn(dir.clone(), options).map_err(failed)?;
        let mut driver = Driver::new(&dir, direct, background).map_err(failed)?;
        if !shard.has_direct_log() {
            driver.buffer_log();
        }
        shard.tick(self.clock.now());
        Ok(OpenCore { reactor, shard, driver, setup: self })
    }

    fn reactor(&mut self) -> Result<Reactor<Core>, Error> {
        let listeners = self.listeners.iter_mut().map(|listener| listener.socket.try_clone());
        let failed = |e: std::io::Error| {
            Error::Node(format!(
                "core {}: the reactor can't start: {e}; see the limits on files and memory",
                self.me
            ))
        };
        let split = self.node.split;
        let defaults = ReactorConfig::default();
        let receive_buffers = split.connections / 32 / defaults.receive_buffer_bytes as usize;
        let connections_max = self.node.config.connections_max.min(split.connections_max());
        let config = ReactorConfig {
            cpu: self.cpu,
            listeners: listeners.collect::<Result<_, _>>().map_err(failed)?,
            connections_max: connections_max.min(CONNECTION_INDEX_END as usize / 2),
            seats: Some(Arc::clone(&self.node.seats)),
            budget_bytes: split.budget_bytes(),
            input_bytes_max: INPUT_BYTES_MAX,
            pool_bytes_max: split.spare_bytes_max().min(defaults.pool_bytes_max),
            receive_buffers: receive_buffers.clamp(16, usize::from(defaults.receive_buffers)) as u16,
            ..defaults
        };
        Reactor::new(config).map_err(failed)
    }
}

impl OpenCore {
    /// Wakes this core.
    pub fn waker(&self) -> Waker {
        self.reactor.waker()
    }

    /// Runs until the node stops it, or it fails.
    pub fn run(self, wakers: Vec<Waker>) -> Result<(), Error> {
        let OpenCore { mut reactor, shard, driver, setup } = self;
        let (me, now) = (setup.me, setup.clock.now());
        let listeners = setup.listeners.iter().map(|listener| (listener.speaks, listener.own)).collect();
        // The reactor has its own handles: with ours open, a drained node would go on listening.
        drop(setup.listeners);
        let CoreSetup { node, topology, port, events, .. } = setup;
        let state = CoreState::new(CoreParts { me, node, topology, port, events }, shard, now);
        let mut core = Core {
            state,
            driver,
            controls: setup.controls,
            listeners,
            wakers,
            clock: setup.clock,
            in_turn: false,
            yield_us: 0,
            yielded_us: 0,
            published_us: 0,
        };
        reactor.run(&mut core).map_err(|e| {
            Error::Node(format!("core {me}: the reactor failed: {e}; restart kvd, and see the kernel's log"))
        })?;
        match core.state.failure {
            Some(reason) => Err(Error::Node(format!("core {me}: {reason}"))),
            None => Ok(()),
        }
    }
}
