//! What the reactor calls on a core.
//!
//! A turn begins with its first event: then the clocks are read, once. It ends with: walks go on, held writers are let
//! go, the shard closes its batch and hands out its I/O, and what other cores are sent leaves.

use super::control::{POLL, Phase};
use super::driver::Driver;
use super::hub::{Hub, Sink};
use super::turn::Turn;
use crate::admin::ask::Control;
use crate::node::events::Events;
use crate::node::listeners::Speaks;
use crate::session::resp::{self, RespSession};
use crate::session::wire::{self, WireSession};
use crate::session::{Dialogue, Hold, Session};
use crate::stats::CoreStats;
use pinion_engine::aligned::AlignedBuf;
use pinion_engine::drive::BackgroundEvent;
use pinion_engine::shard::{Now, Shard};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, Waker};
use std::cmp::Reverse;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

/// A core. See [`super`].
pub struct Core {
    /// Its shard.
    pub shard: Shard,
    /// The rest of what it has.
    pub hub: Hub,
    /// Performs the shard's I/O.
    pub driver: Driver,
    /// What it is told.
    pub controls: Receiver<Control>,
    /// Whom it tells of its own end.
    pub events: Events,
    /// How far it has gone down.
    pub phase: Phase,
    /// Why it ended, if not because it was told to.
    pub failure: Option<String>,
    /// For each listener what it speaks, and whether it is this core's own.
    pub listeners: Vec<(Speaks, bool)>,
    /// Wakes the other cores; its own place is unused.
    pub wakers: Vec<Waker>,
    /// Where the monotonic clock begins.
    pub epoch: Instant,
    /// The turn's clocks have been read.
    pub in_turn: bool,
    /// Time to leave to the background thread before the next turn, and when that was done last.
    pub yield_us: u64,
    /// When the background thread was last left time, by the monotonic clock.
    pub yielded_us: u64,
}

/// The background thread is left time at most this often, in microseconds.
const YIELD_PERIOD_US: u64 = 5_000;

/// How soon requests of a core that doesn't keep up with its answers are looked at again.
const MAIL_POLL: Duration = Duration::from_millis(1);

impl Core {
    fn begin(&mut self) {
        if self.in_turn {
            return;
        }
        self.in_turn = true;
        if self.yield_us > 0 {
            // Everything the last turn asked for is on its way; the background thread of this core needs its share.
            std::thread::sleep(Duration::from_micros(self.yield_us));
            self.yield_us = 0;
        }
        self.hub.now = now(self.epoch);
        self.shard.tick(self.hub.now);
    }

    fn turn<'a>(&'a mut self, io: &'a mut Io<AlignedBuf>) -> Turn<'a> {
        Turn { shard: &mut self.shard, hub: &mut self.hub, io }
    }

    fn take_background(&mut self, io: &mut Io<AlignedBuf>) {
        while let Some(event) = self.driver.next_event() {
            match event {
                BackgroundEvent::JobDone(id, result) => self.shard.job_done(id, result),
                BackgroundEvent::Io(completion) => {
                    self.shard.complete(completion, &mut Sink { hub: &mut self.hub, io });
                }
            }
        }
    }

    /// Closes the shard's batch and starts what it asks for.
    fn drive(&mut self, io: &mut Io<AlignedBuf>) {
        loop {
            self.shard.end_turn();
            for request in self.shard.take_requests() {
                self.driver.start(io, request);
            }
            for (id, job) in self.shard.take_jobs() {
                self.driver.background().start(id, job);
            }
            let Some(failed) = self.driver.next_failed() else { return };
            self.shard.complete(failed, &mut Sink { hub: &mut self.hub, io });
        }
    }

    fn release_writers(&mut self, io: &mut Io<AlignedBuf>) {
        while let Some(&Reverse((until_us, conn))) = self.hub.throttled.peek() {
            if until_us > self.hub.now.mono_us {
                return;
            }
            self.hub.throttled.pop();
            self.hub.lift(io, conn, Hold::Throttle);
        }
    }

    /// Counts requests that were answered within the turn, by how long it has taken.
    fn count_quick(&mut self) {
        if self.hub.quick.iter().all(|&count| count == 0) {
            return;
        }
        let us = now(self.epoch).mono_us - self.hub.now.mono_us;
        for (count, class) in self.hub.quick.iter_mut().zip(&mut self.hub.stats.classes) {
            if *count > 0 {
                class.latency.record(us, std::mem::take(count));
            }
        }
    }

    /// How long the reactor may sleep.
    fn next(&mut self) -> Next {
        if !self.hub.ready_walks.is_empty() {
            return Next::Now;
        }
        let now_us = self.hub.now.mono_us;
        let until = |deadline_us: u64| Duration::from_micros(deadline_us.saturating_sub(now_us));
        let throttled = self.hub.throttled.peek().map(|&Reverse((until_us, _))| until(until_us));
        let shard = self.shard.next_deadline_us().map(until);
        let mail = self.hub.forwards.port().has_mail().then_some(MAIL_POLL);
        let down = (self.phase != Phase::Serving).then_some(POLL);
        Next::Sleep([throttled, shard, mail, down].into_iter().flatten().min())
    }

    /// What the core tells of itself.
    pub fn snapshot(&mut self, io: &Io<AlignedBuf>) -> CoreStats {
        let mut stats = self.hub.stats.clone();
        let reactor = io.stats();
        stats.core = self.hub.me;
        stats.received_bytes = reactor.received_bytes;
        stats.sent_bytes = reactor.sent_bytes;
        stats.connections = self.hub.sessions.len() as u64;
        stats.forwarded = self.hub.forwards.count;
        stats.in_flight = self.hub.sessions.iter().map(|session| session.in_flight() as u64).sum();
        stats.turns.take_log2_ns(&reactor.turn_ns_buckets, reactor.turn_ns_sum, reactor.turn_ns_max);
        stats.stalled_turns = reactor.stalls;
        stats.log_sync = self.driver.log_sync().name();
        stats.storage = super::storage_stats(&self.shard.stats());
        stats
    }
}

/// Reads the clocks.
pub fn now(epoch: Instant) -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // The monotonic clock starts at 1: 0 means "never" nowhere, but a difference to it should not be 0 either.
    Now { unix_us: wall.as_micros() as u64, mono_us: epoch.elapsed().as_micros() as u64 + 1 }
}

impl Handler for Core {
    type Buf = AlignedBuf;

    fn accepted(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId, listener: usize, peer: SocketAddr) {
        self.begin();
        let (speaks, own_port) = self.listeners[listener];
        let dialogue = match speaks {
            Speaks::Wire => Dialogue::Wire(WireSession::default()),
            Speaks::Resp => Dialogue::Resp(RespSession::new(peer)),
        };
        self.hub.sessions.insert(Session::new(conn, dialogue, own_port));
        self.hub.stats.connections_accepted += 1;
        if self.hub.draining {
            io.close(conn);
        }
    }

    fn received(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId, bytes: &[u8]) -> usize {
        self.begin();
        let Some(session) = self.hub.sessions.get(conn) else { return bytes.len() };
        if session.closing {
            // It said its last word, or the node goes down: what follows is for nobody.
            return bytes.len();
        }
        let consumed = match session.dialogue {
            Dialogue::Resp(_) => resp::received(&mut self.turn(io), conn, bytes),
            Dialogue::Wire(_) => wire::received(&mut self.turn(io), conn, bytes),
        };
        if let Some(session) = self.hub.sessions.get(conn) {
            // What is left without a reason of ours is the beginning of a command.
            session.leftover = consumed < bytes.len() && (session.is_held() || io.is_over_budget(conn));
            session.close_if_over(io);
        }
        consumed
    }

    fn half_closed(&mut self, io: &mut Io<AlignedBuf>, conn: ConnId) {
        self.begin();
        if let Some(session) = self.hub.sessions.get(conn) {
            session.half_closed = true;
            session.close_if_over(io);
        }
    }

    fn drained(&mut self, _io: &mut Io<AlignedBuf>, _conn: ConnId) {
        // The reactor presents what was left by itself.
        self.begin();
    }

    fn closed(&mut self, _io: &mut Io<AlignedBuf>, conn: ConnId, reason: CloseReason) {
        self.begin();
        self.hub.sessions.remove(conn);
        if reason == CloseReason::InputTooLong {
            tracing::warn!("a connection sent a command over the limit and was closed");
        }
    }

    fn file_done(&mut self, io: &mut Io<AlignedBuf>, token: u64, result: io::Result<usize>, buf: AlignedBuf) {
        self.begin();
        let completion = self.driver.done(token, result, buf);
        self.shard.complete(completion, &mut Sink { hub: &mut self.hub, io });
    }

    fn woken(&mut self, io: &mut Io<AlignedBuf>) {
        self.begin();
        self.turn(io).take_mail();
        self.take_background(io);
        self.obey(io);
    }

    fn end_turn(&mut self, io: &mut Io<AlignedBuf>) -> Next {
        self.begin();
        self.hub.delay_us = u32::try_from(self.shard.write_delay_us()).unwrap_or(u32::MAX);
        self.hub.forwards.port().tell_delay_us(self.hub.delay_us);
        if self.hub.forwards.port().has_mail() {
            self.turn(io).take_mail();
        }
        self.turn(io).walk();
        self.release_writers(io);
        self.drive(io);
        if self.driver.background().is_dead() {
            // Nothing would be flushed any more: better none than half a core.
            self.failure = Some("its background thread ended; see the lines before".to_owned());
            io.stop();
        }
        if self.phase != Phase::Serving {
            self.go_down(io);
        }
        let wakers = &self.wakers;
        self.hub.forwards.port().flush(|core| wakers[core].wake_from(io));
        self.count_quick();
        let yield_us = self.shard.yield_us();
        if yield_us > 0 && self.hub.now.mono_us - self.yielded_us > YIELD_PERIOD_US {
            (self.yield_us, self.yielded_us) = (yield_us, self.hub.now.mono_us);
        }
        self.in_turn = false;
        self.next()
    }

    fn refusal(&self, listener: usize) -> &'static [u8] {
        match self.listeners.get(listener) {
            Some((Speaks::Resp, _)) => b"-ERR max number of clients reached\r\n",
            _ => b"",
        }
    }
}
