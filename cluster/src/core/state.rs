//! One core as a state machine: events in; bytes for its connections, I/O and messages out.
//!
//! A turn is [`CoreState::begin`], events, and [`CoreState::end_turn`]: walks go on, held writers are let go, the shard
//! closes its batch and hands out its I/O, and what other cores are sent leaves.

use super::deliver::Sink;
use super::hub::{Hub, TAKES_NO_WRITES};
use super::performer::Performer;
use super::phase::{POLL, Phase};
use super::rarely::Rarely;
use super::turn::Turn;
use crate::mesh::Port;
use crate::node::events::Events;
use crate::node::info::NodeInfo;
use crate::node::listeners::Speaks;
use crate::session::sockets::Sockets;
use crate::session::{Hold, Taken, receive};
use crate::stats::published::Figure;
use crate::topology::current::View;
use pinion_engine::clock::LOOK_US;
use pinion_engine::drive::BackgroundEvent;
use pinion_engine::io::IoCompletion;
use pinion_engine::shard::{Now, Shard};
use pinion_net::reactor::{CloseReason, ConnId, ConnectError, Next};
use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How soon requests of a core that doesn't keep up with its answers are looked at again.
const MAIL_POLL: Duration = Duration::from_millis(1);

/// See the module's text.
pub struct CoreState {
    /// Its shard.
    pub(crate) shard: Shard,
    /// The rest of what it has.
    pub(crate) hub: Hub,
    /// Whom it tells of its own end.
    pub(super) events: Events,
    /// How far it has gone down.
    pub(super) phase: Phase,
    /// Why it ended, if not because it was told to.
    pub(super) failure: Option<String>,
    /// What was told of requests that were ended.
    told_overdue: Rarely,
    /// Connections that were closed for a command over the limit, and what was told of them.
    too_long: u64,
    told_too_long: Rarely,
}

/// What a core is made from, beside its shard.
pub struct CoreParts {
    /// Its number.
    pub me: usize,
    /// The node.
    pub node: Arc<NodeInfo>,
    /// Who serves which partition.
    pub topology: View,
    /// Its end of the mesh.
    pub port: Port,
    /// Whom it tells of its own end.
    pub events: Events,
}

impl CoreState {
    /// A core that starts now, with its open shard.
    pub fn new(parts: CoreParts, shard: Shard, now: Now) -> CoreState {
        let CoreParts { me, node, topology, port, events } = parts;
        let hub = Hub::new(me, node, topology, port, now, shard.clocks());
        CoreState {
            shard,
            hub,
            events,
            phase: Phase::Serving,
            failure: None,
            told_overdue: Rarely::default(),
            too_long: 0,
            told_too_long: Rarely::default(),
        }
    }

    /// A turn begins at this time.
    pub fn begin(&mut self, io: &impl Sockets, now: Now) {
        self.hub.now = now;
        self.hub.route.topology.look();
        (self.hub.spent, self.hub.copied) = (0, 0);
        self.hub.memory.begin_turn(io.held_bytes());
        self.shard.tick(now);
        self.hub.clocks = self.shard.clocks();
        self.hub.wall_ms = self.hub.clocks.wall_ms();
        let server_us = self.hub.node.server_time.meet(self.shard.server_us(), now.mono_us);
        self.shard.hear_server_us(server_us);
    }

    fn turn<'a, S: Sockets>(&'a mut self, io: &'a mut S) -> Turn<'a, S> {
        Turn { shard: &mut self.shard, hub: &mut self.hub, io }
    }

    /// A connection came in.
    pub fn accepted(
        &mut self,
        io: &mut impl Sockets,
        conn: ConnId,
        listener: (Speaks, bool),
        peer: SocketAddr,
    ) {
        if listener.0 == Speaks::Peer {
            return self.hub.peers.accepted(io, conn, self.hub.now.mono_us);
        }
        let mut session = receive::accept(&mut self.turn(io), conn, listener, peer);
        (session.moved_us, session.stirred_us) = (self.hub.now.mono_us, self.hub.now.mono_us);
        if self.hub.draining {
            session.go_down();
            session.close_if_over(io);
        }
        self.hub.sessions.insert(session);
        self.hub.recharge(conn);
        self.hub.stats.connections_accepted += 1;
    }

    /// Which address of this machine a connection reached.
    pub fn reached(&mut self, conn: ConnId, local: SocketAddr) {
        if let Some(session) = self.hub.sessions.get(conn) {
            session.dialogue.reached(local);
        }
    }

    /// A connection that was asked for with this token is there. Only peers are asked for.
    pub fn connected(&mut self, io: &mut impl Sockets, conn: ConnId, token: u64) {
        if !self.hub.peers.connected(io, conn, token, self.hub.now.mono_us) {
            tracing::debug!("nobody waits for connection {token} any more");
            io.abort(conn);
        }
    }

    /// A connection that was asked for with this token came to nothing.
    pub fn connect_failed(&mut self, token: u64, error: ConnectError) {
        self.hub.peers.connect_failed(token, error, self.hub.now.mono_us);
    }

    /// Bytes came in; how many of them were taken.
    pub fn received(&mut self, io: &mut impl Sockets, conn: ConnId, bytes: &[u8]) -> usize {
        let Some(session) = self.hub.sessions.get(conn) else {
            return self.hub.peers.received(io, conn, bytes, self.hub.now.mono_us);
        };
        if session.closing {
            // It said its last word, or the node goes down: what follows is for nobody.
            session.close_if_over(io);
            return bytes.len();
        }
        let (queued, appended) = (io.queued(conn), self.hub.memory.appended());
        let Taken { consumed, need } = receive::received(&mut self.turn(io), conn, bytes);
        // Answers that came at once are noted where they are delivered; others were appended just here.
        let noted = self.hub.memory.appended() - appended;
        self.hub.memory.note_appended((io.queued(conn) - queued).saturating_sub(noted));
        if let Some(session) = self.hub.sessions.get(conn) {
            // What is left without a reason of ours is the beginning of a command.
            session.leftover = consumed < bytes.len() && (session.is_held() || io.is_over_budget(conn));
            session.close_if_over(io);
        }
        self.hub.recharge(conn);
        self.hub.make_room(io, conn, need);
        consumed
    }

    /// A client will send no more.
    pub fn half_closed(&mut self, io: &mut impl Sockets, conn: ConnId) {
        if let Some(session) = self.hub.sessions.get(conn) {
            session.half_closed = true;
            session.close_if_over(io);
        } else if self.hub.peers.has(conn) {
            self.hub.peers.half_closed(io, conn, self.hub.now.mono_us);
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, conn: ConnId, reason: CloseReason) {
        if let Some(mut session) = self.hub.sessions.remove(conn) {
            self.hub.memory.release(session.charged);
            self.hub.forgotten.extend(session.reads.drain().map(|wait| (wait.partition, wait.read)));
            self.hub.memory.unclaim(session.claim);
        } else {
            self.hub.peers.closed(conn, self.hub.now.mono_us);
        }
        self.too_long += u64::from(reason == CloseReason::InputTooLong);
    }

    /// The client of a connection has taken what was queued for it, down to its budget.
    pub fn drained(&mut self, io: &mut impl Sockets, conn: ConnId) {
        self.turn(io).drained(conn);
    }

    /// A request of the shard has ended.
    pub fn completed(&mut self, io: &mut impl Sockets, completion: IoCompletion) {
        self.shard.complete(completion, &mut Sink { hub: &mut self.hub, io });
    }

    /// Another core has sent something, or something in the background has ended.
    pub fn woken<S: Sockets>(&mut self, io: &mut S, performer: &mut impl Performer<S>) {
        self.turn(io).take_mail();
        while let Some(event) = performer.next_event(io) {
            match event {
                BackgroundEvent::JobDone(id, result) => self.shard.job_done(id, result),
                BackgroundEvent::Io(completion) => self.completed(io, completion),
            }
        }
    }

    /// Ends a turn. `wake` is called for each core that was sent something.
    pub fn end_turn<S: Sockets>(
        &mut self,
        io: &mut S,
        performer: &mut impl Performer<S>,
        mut wake: impl FnMut(&mut S, usize),
    ) {
        self.hub.delay_us = match self.shard.read_only_reason() {
            Some(_) => TAKES_NO_WRITES,
            None => u32::try_from(self.shard.write_delay_us()).unwrap_or(TAKES_NO_WRITES - 1),
        };
        self.hub.route.forwards.port().tell_pressure(self.hub.delay_us, self.shard.long_room());
        if self.hub.route.forwards.port().has_mail() {
            self.turn(io).take_mail();
        }
        self.shard.advance(&mut Sink { hub: &mut self.hub, io });
        self.turn(io).end_overdue();
        self.turn(io).walk();
        self.turn(io).leave();
        self.turn(io).go_on();
        self.turn(io).tell_the_time();
        self.turn(io).next_slices();
        self.turn(io).next_batches();
        self.release_writers(io);
        self.hub.peers.tick(io, self.hub.now.mono_us);
        self.hub.relieve(io);
        self.drive(io, performer);
        self.tell_of_writes();
        self.tell_of_requests();
        if performer.is_dead() {
            // Nothing would be flushed any more: better none than half a core.
            self.failure = Some("its background thread ended; see the lines before".to_owned());
            io.stop();
        }
        if self.phase != Phase::Serving {
            self.go_down(io, performer);
        }
        self.hub.route.forwards.port().flush(|core| wake(io, core));
    }

    /// Logs once that the shard takes no writes, and once that it takes them again.
    fn tell_of_writes(&mut self) {
        let reason = self.shard.read_only_reason();
        if reason.is_some() == self.hub.takes_no_writes {
            return;
        }
        self.hub.takes_no_writes = reason.is_some();
        let me = self.hub.route.me();
        self.hub.node.published.set(me, Figure::ReadOnly, u64::from(reason.is_some()));
        let Some(reason) = reason else { return tracing::info!("shard {me} takes writes again") };
        match self.shard.stats().trouble {
            Some(trouble) => tracing::error!("shard {me} takes no writes: {reason} ({trouble})"),
            None => tracing::error!("shard {me} takes no writes: {reason}"),
        }
    }

    /// Logs now and then how many requests were ended because their time was over, and how many connections because a command
    /// was over the limit.
    fn tell_of_requests(&mut self) {
        let (me, now_us) = (self.hub.route.me(), self.hub.now.mono_us);
        let ended = self.shard.timed_out() + self.hub.stats.timed_out;
        if let Some(more) = self.told_overdue.due(ended, now_us) {
            tracing::warn!(
                "kvd-core-{me}: requests were ended because their time was over (--request-timeout), {more} of them"
            );
        }
        if let Some(more) = self.told_too_long.due(self.too_long, now_us) {
            tracing::warn!(
                "kvd-core-{me}: connections were closed because they sent a command over the limit, {more} of them"
            );
        }
    }

    /// Closes the shard's batch and starts what it asks for.
    fn drive<S: Sockets>(&mut self, io: &mut S, performer: &mut impl Performer<S>) {
        loop {
            self.shard.end_turn();
            for request in self.shard.take_requests() {
                performer.start(io, request);
            }
            for (id, job) in self.shard.take_jobs() {
                performer.start_job(id, job);
            }
            let Some(failed) = performer.next_failed() else { return };
            self.completed(io, failed);
        }
    }

    fn release_writers(&mut self, io: &mut impl Sockets) {
        while let Some(&Reverse((until_us, conn))) = self.hub.throttled.peek() {
            if until_us > self.hub.now.mono_us {
                return;
            }
            self.hub.throttled.pop();
            self.hub.lift(io, conn, Hold::Throttle);
        }
    }

    /// What comes after a turn: another one, or sleep until something happens or so much time has passed.
    pub fn after_turn(&mut self) -> Next {
        let (walks, reads, leaving) = (&self.hub.ready_walks, &self.hub.ready_reads, &self.hub.leaving);
        if !walks.is_empty() || !reads.is_empty() || !leaving.is_empty() || self.hub.mail.is_left {
            return Next::Now;
        }
        let now_us = self.hub.now.mono_us;
        let until = |deadline_us: u64| Duration::from_micros(deadline_us.saturating_sub(now_us));
        let throttled = self.hub.throttled.peek().map(|&Reverse((until_us, _))| until(until_us));
        let starved = self.hub.starved.next_us().map(until);
        let shard = self.shard.next_deadline_us().map(until);
        let mail = self.hub.route.forwards.port().has_mail().then_some(MAIL_POLL);
        let look = self.hub.next_look_us().map(until);
        let overdue = self.hub.route.forwards.due_us().map(until);
        let peers = self.hub.peers.due_us().map(until);
        let untimed = (!self.hub.untimed.is_empty()).then_some(POLL);
        let down = (self.phase != Phase::Serving).then_some(POLL);
        let clock = Some(Duration::from_micros(LOOK_US));
        let next = [throttled, starved, shard, mail, look, overdue, peers, untimed, down, clock];
        Next::Sleep(next.into_iter().flatten().min())
    }
}
