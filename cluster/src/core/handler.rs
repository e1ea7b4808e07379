//! What the reactor calls on a core: it reads the clocks, performs what [`CoreState`] decides, and leaves the background
//! thread its share.
//!
//! A turn begins with its first event: then the clocks are read, once.

use super::cost::TURN_SPENT_MAX;
use super::driver::Driver;
use super::state::CoreState;
use crate::admin::ask::Control;
use crate::node::listeners::Speaks;
use crate::stats::published::Figure;
use crate::stats::{CoreStats, storage};
use pinion_engine::aligned::AlignedBuf;
use pinion_engine::drive::SystemClock;
use pinion_net::reactor::{CloseReason, ConnId, ConnectError, Handler, Io, Next, Waker};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// A core on its reactor. See [`super`].
pub struct Core {
    /// What decides.
    pub state: CoreState,
    /// Performs the shard's I/O.
    pub driver: Driver,
    /// What it is told.
    pub controls: Receiver<Control>,
    /// For each listener what it speaks, and whether it is this core's own.
    pub listeners: Vec<(Speaks, bool)>,
    /// Wakes the other cores; its own place is unused.
    pub wakers: Vec<Waker>,
    /// The machine's clocks.
    pub clock: Arc<SystemClock>,
    /// The turn's clocks have been read.
    pub in_turn: bool,
    /// Time to leave to the background thread before the next turn, and when that was done last.
    pub yield_us: u64,
    /// When the background thread was last left time, by the monotonic clock.
    pub yielded_us: u64,
    /// When the other cores were last shown this core's memory, by the monotonic clock.
    pub published_us: u64,
}

/// The background thread is left time at most this often, in microseconds.
const YIELD_PERIOD_US: u64 = 5_000;

/// Memory is added up over tables, so it is done at most this often, in microseconds.
const PUBLISH_MEMORY_US: u64 = 100_000;

impl Core {
    fn begin(&mut self, io: &Io<AlignedBuf>) {
        if self.in_turn {
            return;
        }
        self.in_turn = true;
        if self.yield_us > 0 {
            // Everything the last turn asked for is on its way; the background thread of this core needs its share.
            std::thread::sleep(Duration::from_micros(self.yield_us));
            self.yield_us = 0;
        }
        self.state.begin(io, self.clock.now());
    }

    /// Does what the node asks for.
    fn obey(&mut self, io: &mut Io<AlignedBuf>) {
        while let Ok(message) = self.controls.try_recv() {
            match message {
                Control::Stats(reply) => {
                    // Whoever asked may have given up waiting.
                    let _ = reply.send(Box::new(self.snapshot(io)));
                }
                Control::Live => self.state.hub.node.liveness.lives(self.state.hub.route.me()),
                Control::Drain => self.state.drain(io),
                Control::Stop => self.state.stop(),
            }
        }
    }

    /// Counts requests that were answered within the turn, by how long it has taken.
    fn count_quick(&mut self) {
        let hub = &mut self.state.hub;
        if hub.quick.iter().all(|&count| count == 0) {
            return;
        }
        let us = self.clock.soon().mono_us - hub.now.mono_us;
        for (count, class) in hub.quick.iter_mut().zip(&mut hub.stats.classes) {
            if *count > 0 {
                class.latency.record(us, std::mem::take(count));
            }
        }
    }

    /// Shows the other cores this core's figures.
    fn publish(&mut self, io: &Io<AlignedBuf>) {
        let CoreState { hub, shard, .. } = &self.state;
        hub.publish();
        let (me, published) = (hub.route.me(), &hub.node.published);
        published.set(me, Figure::Received, io.stats().received_bytes);
        published.set(me, Figure::Sent, io.stats().sent_bytes);
        published.set(me, Figure::Rejected, io.stats().refused);
        if hub.now.mono_us.saturating_sub(self.published_us) >= PUBLISH_MEMORY_US {
            self.published_us = hub.now.mono_us;
            let stats = shard.stats();
            published.set(me, Figure::Memory, storage::memory_bytes(&stats));
            published.set(me, Figure::Expired, stats.expired);
            published.set(me, Figure::Entries, shard.entries());
        }
    }

    /// What the core tells of itself.
    fn snapshot(&mut self, io: &Io<AlignedBuf>) -> CoreStats {
        let mut stats = self.state.stats();
        let CoreState { hub, shard, .. } = &mut self.state;
        let reactor = io.stats();
        stats.received_bytes = reactor.received_bytes;
        stats.sent_bytes = reactor.sent_bytes;
        stats.connections = hub.sessions.len() as u64;
        stats.in_flight = hub.sessions.iter().map(|session| session.in_flight() as u64).sum();
        stats.clients_bytes = hub.memory.used() as u64;
        stats.clients_bytes_max = hub.memory.bytes_max() as u64;
        stats.turns.take_log2_ns(&reactor.turn_ns_buckets, reactor.turn_ns_sum, reactor.turn_ns_max);
        stats.stalled_turns = reactor.stalls;
        stats.connections_refused = reactor.refused;
        stats.log_sync = self.driver.log_sync().name();
        stats.storage = storage::told(&shard.stats());
        stats
    }
}

impl Handler for Core {
    type Buf = AlignedBuf;

    fn accepted(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId, listener: usize, peer: SocketAddr) {
        self.begin(io);
        self.state.accepted(io, conn, self.listeners[listener], peer);
    }

    fn reached(&mut self, _io: &mut Io<AlignedBuf>, conn: ConnId, local: SocketAddr) {
        self.state.reached(conn, local);
    }

    fn connected(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId, token: u64) {
        self.begin(io);
        self.state.connected(io, conn, token);
    }

    fn connect_failed(&mut self, io: &mut Io<AlignedBuf>, _: ConnId, token: u64, error: ConnectError) {
        self.begin(io);
        self.state.connect_failed(token, error);
    }

    fn received(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId, bytes: &[u8]) -> usize {
        self.begin(io);
        self.state.received(io, conn, bytes)
    }

    fn half_closed(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId) {
        self.begin(io);
        self.state.half_closed(io, conn);
    }

    fn drained(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId) {
        // The reactor presents what was left by itself.
        self.begin(io);
        self.state.drained(io, conn);
    }

    fn closed(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId, reason: CloseReason) {
        self.begin(io);
        self.state.closed(conn, reason);
    }

    fn file_done(&mut self, io: &mut Io<AlignedBuf>, token: u64, result: io::Result<usize>, buf: AlignedBuf) {
        self.begin(io);
        let completion = self.driver.done(token, result, buf);
        self.state.completed(io, completion);
    }

    fn file_opened(&mut self, io: &mut Io<AlignedBuf>, token: u64, result: io::Result<OwnedFd>) {
        self.begin(io);
        self.driver.file_opened(io, token, result);
    }

    fn woken(&mut self, io: &mut Io<AlignedBuf>) {
        self.begin(io);
        self.state.woken(io, &mut self.driver);
        self.obey(io);
    }

    fn has_time(&self) -> bool {
        !self.in_turn || self.state.hub.spent < TURN_SPENT_MAX
    }

    fn end_turn(&mut self, io: &mut Io<AlignedBuf>) -> Next {
        self.begin(io);
        let wakers = &self.wakers;
        self.state.end_turn(io, &mut self.driver, |io, core| io.wake(&wakers[core]));
        self.count_quick();
        self.publish(io);
        let (yield_us, now_us) = (self.state.shard.yield_us(), self.state.hub.now.mono_us);
        if yield_us > 0 && now_us - self.yielded_us > YIELD_PERIOD_US {
            (self.yield_us, self.yielded_us) = (yield_us, now_us);
        }
        self.in_turn = false;
        self.state.after_turn()
    }

    fn refusal(&self, listener: usize) -> &'static [u8] {
        match self.listeners.get(listener) {
            Some((Speaks::Resp, _)) => b"-ERR max number of clients reached\r\n",
            Some((Speaks::Wire, _)) => crate::session::wire::too_many_connections(),
            Some((Speaks::Peer, _)) | None => b"",
        }
    }
}
