//! What a core has besides its shard: connections, its end of the mesh, walks, statistics.
//!
//! The shard answers into a [`Sink`], which is the hub and the sockets; so the two can be borrowed apart while the shard
//! works.

use super::forward::Forwards;
use super::message;
use super::owners::Owner;
use super::sockets::Sockets;
use crate::mesh::Port;
use crate::node::NodeInfo;
use crate::session::resp::cursors::Cursors;
use crate::session::walks::Walks;
use crate::session::{Dialogue, Hold, Sessions};
use crate::stats::published::Figure;
use crate::stats::{Class, CoreStats};
use pinion_engine::clock::{Clocks, Now};
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Answer, Answers, Refusal, Ticket, Value};
use pinion_net::reactor::ConnId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// How a request ended, for the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Answered.
    Done,
    /// Refused.
    Refused,
    /// Unknown.
    Unknown,
}

impl Ending {
    /// How this answer ends its request.
    pub fn of(answer: &Answer<'_>) -> Ending {
        match answer {
            Answer::Refused(_) => Ending::Refused,
            Answer::Unknown(_) => Ending::Unknown,
            _ => Ending::Done,
        }
    }
}

/// A request that has its last answer.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// What kind it was.
    pub class: Class,
    /// When it came, by the clock of the turns.
    pub started_us: u64,
    /// How it ended.
    pub ending: Ending,
}

/// See the module's text.
pub struct Hub {
    /// This core.
    pub me: usize,
    /// The node.
    pub node: Arc<NodeInfo>,
    /// Its connections.
    pub sessions: Sessions,
    /// Requests to other cores.
    pub forwards: Forwards,
    /// Walks under way.
    pub walks: Walks,
    /// Walks that can go on.
    pub ready_walks: VecDeque<u64>,
    /// Places of scans that clients will come back to.
    pub cursors: Cursors,
    /// Figures.
    pub stats: CoreStats,
    /// When this turn began.
    pub now: Now,
    /// The shard's clocks then, by which expiries are told; and the wall clock among them, milliseconds.
    pub clocks: Clocks,
    /// See `clocks`.
    pub wall_ms: u64,
    /// How long this core's writers are held back.
    pub delay_us: u32,
    /// Bytes that a forming commit may have before the next write waits for the one after it.
    pub commit_bytes_max: usize,
    /// Until when a connection may have a write that is held because its shard is nearly full.
    pub braked_until_us: u64,
    /// Connections that are held back, and until when.
    pub throttled: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// The node is going down.
    pub draining: bool,
    /// The shard takes no writes, and the log says so.
    pub takes_no_writes: bool,
    /// Requests of each class that came and were answered within this turn.
    pub quick: [u64; Class::ALL.len()],
}

/// Bytes that a forming commit may have before the next write waits for the one after it: an eighth of the shard's memory,
/// but so much at least and at most. A shard refuses more than 24 MiB.
const COMMIT_BYTES_MIN: usize = 1 << 20;
const COMMIT_BYTES_MAX: usize = 20 << 20;

impl Hub {
    /// The hub of a core that starts now, with its end of the mesh and its shard's clocks.
    pub fn new(me: usize, node: Arc<NodeInfo>, port: Port, now: Now, clocks: Clocks) -> Hub {
        let cores = node.placement.cores();
        let memory_bytes = node.config.memory_bytes as usize / cores;
        Hub {
            me,
            forwards: Forwards::new(port, cores),
            node,
            sessions: Sessions::default(),
            walks: Walks::new(Walks::share(memory_bytes)),
            ready_walks: VecDeque::new(),
            cursors: Cursors::new(me, now.unix_us),
            stats: CoreStats::default(),
            now,
            clocks,
            wall_ms: clocks.wall_ms(),
            delay_us: 0,
            braked_until_us: 0,
            commit_bytes_max: (memory_bytes / 8).clamp(COMMIT_BYTES_MIN, COMMIT_BYTES_MAX),
            throttled: BinaryHeap::new(),
            draining: false,
            takes_no_writes: false,
            quick: [0; Class::ALL.len()],
        }
    }

    /// Shows the other cores what it has counted.
    pub fn publish(&self) {
        let published = &self.node.published;
        published.set(self.me, Figure::Connections, self.sessions.len() as u64);
        published.set(self.me, Figure::Accepted, self.stats.connections_accepted);
        let commands = self.stats.classes.iter().map(|class| class.answered).sum();
        published.set(self.me, Figure::Commands, commands);
        published.set(self.me, Figure::Scans, self.walks.charged_bytes() as u64);
    }

    /// Counts a request that has its last answer.
    #[inline]
    pub fn settle(&mut self, settled: Settled) {
        let stats = self.stats.class(settled.class);
        stats.answered += 1;
        match settled.ending {
            Ending::Done => {}
            Ending::Refused => stats.refused += 1,
            Ending::Unknown => stats.unknown += 1,
        }
        match self.now.mono_us.saturating_sub(settled.started_us) {
            0 => self.quick[settled.class as usize] += 1,
            us => stats.latency.record(us, 1),
        }
    }

    /// Puts a hold on a connection.
    pub fn hold(&mut self, io: &mut impl Sockets, conn: ConnId, hold: Hold) {
        if let Some(session) = self.sessions.get(conn)
            && session.hold(hold)
        {
            io.pause(conn);
        }
    }

    /// Lifts a hold from a connection.
    pub fn lift(&mut self, io: &mut impl Sockets, conn: ConnId, hold: Hold) {
        if let Some(session) = self.sessions.get(conn)
            && session.lift(hold)
        {
            io.resume(conn);
        }
    }

    /// Brings a connection's holds in line with what it has under way, after answers.
    #[inline]
    pub fn after_answers(&mut self, io: &mut impl Sockets, conn: ConnId) {
        let Some(session) = self.sessions.get(conn) else { return };
        let mut free = false;
        if session.is_held() {
            if session.has(Hold::InFlight) && session.has_room() {
                free |= session.lift(Hold::InFlight);
            }
            if session.has(Hold::Barrier) && session.in_flight() == 0 {
                free |= session.lift(Hold::Barrier);
            }
        }
        if free {
            io.resume(conn);
        }
        session.close_if_over(io);
    }

    /// Requests of a connection went to a backlog.
    pub fn backlogged(&mut self, io: &mut impl Sockets, ticket: Ticket) {
        if let Some(Owner::Connection { index, generation }) = Owner::of(ticket)
            && let Some(session) = self.sessions.at(index, generation)
        {
            session.backlogged += 1;
            if session.hold(Hold::Backlog) {
                io.pause(session.conn);
            }
        }
    }

    /// Uses credits that came back from a core: its backlog first, then whoever waits for it.
    pub fn use_credits(&mut self, io: &mut impl Sockets, core: usize) {
        let Hub { forwards, sessions, .. } = self;
        forwards.pump(core, |ticket| {
            if let Some(Owner::Connection { index, generation }) = Owner::of(ticket)
                && let Some(session) = sessions.at(index, generation)
            {
                session.backlogged -= 1;
                if session.backlogged == 0 && session.lift(Hold::Backlog) {
                    io.resume(session.conn);
                }
            }
        });
        for conn in forwards.take_waiting(core) {
            if let Some(session) = sessions.get(conn)
                && session.lift(Hold::Credit)
            {
                io.resume(conn);
            }
        }
    }

    /// Lets a walk go on soon.
    pub fn queue_walk(&mut self, key: u64) {
        if let Some(walk) = self.walks.get(key)
            && !walk.queued
        {
            walk.queued = true;
            self.ready_walks.push_back(key);
        }
    }
}

/// Where a shard's answers go.
pub struct Sink<'a, S> {
    /// The core.
    pub hub: &'a mut Hub,
    /// Its connections' bytes.
    pub io: &'a mut S,
}

impl<S: Sockets> Answers for Sink<'_, S> {
    #[inline]
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) {
        deliver(self.hub, self.io, ticket, &answer);
    }
}

/// Values that one connection may have waiting for it. Many large ones that were asked for after many small ones, before
/// their size was known, could come to more: they are refused, as busy. Reads can be.
const VALUES_BYTES_MAX: usize = 64 << 20;

/// About how many bytes an answer adds to a connection's output.
#[inline]
fn answer_bytes(answer: &Answer<'_>) -> usize {
    match answer {
        Answer::Value(value)
        | Answer::Item { value: Some(value), .. }
        | Answer::Written { old: Some(value), .. }
        | Answer::NotMet { current: Some(value) } => value.bytes.len(),
        Answer::Page { page, .. } => page.bytes(),
        _ => 0,
    }
}

/// The answer as a user is told it: by the wall clock. (Pages go to walks.)
#[inline]
fn told<'a>(answer: &Answer<'a>, clocks: &Clocks) -> Answer<'a> {
    let told = |value: Value<'a>| Value { expiry: Expiry(clocks.told_ms(value.expiry)), ..value };
    match *answer {
        Answer::Value(value) => Answer::Value(told(value)),
        Answer::Item { index, value } => Answer::Item { index, value: value.map(told) },
        Answer::Written { version, existed, old } => Answer::Written { version, existed, old: old.map(told) },
        Answer::NotMet { current } => Answer::NotMet { current: current.map(told) },
        other => other,
    }
}

/// Hands an answer to whoever asked, be it from this core's shard or from another's.
pub fn deliver(hub: &mut Hub, io: &mut impl Sockets, ticket: Ticket, answer: &Answer<'_>) {
    match Owner::of(ticket) {
        Some(Owner::Connection { index, generation }) => {
            let (now_ms, now_us) = (hub.wall_ms, hub.now.mono_us);
            let answer = &told(answer, &hub.clocks);
            let Some(session) = hub.sessions.at(index, generation) else { return };
            let conn = session.conn;
            let bytes = answer_bytes(answer);
            let is_too_much = matches!(answer, Answer::Value(_) | Answer::Item { value: Some(_), .. })
                && io.queued(conn) + session.held_bytes() + bytes > VALUES_BYTES_MAX;
            session.note_answer(bytes);
            let out = io.output(conn);
            let settled = match (&mut session.dialogue, answer) {
                (Dialogue::Resp(resp), Answer::Item { .. }) if is_too_much => {
                    resp.refuse_item(ticket.request, out)
                }
                (Dialogue::Wire(wire), Answer::Item { index, .. }) if is_too_much => {
                    wire.refuse_item(ticket.request, *index, now_us, out)
                }
                (dialogue, answer) => {
                    let answer = if is_too_much { &Answer::Refused(Refusal::Busy) } else { answer };
                    match dialogue {
                        Dialogue::Resp(resp) => resp.answer(ticket.request, answer, now_ms, out),
                        Dialogue::Wire(wire) => wire.answer(ticket.request, answer, now_us, out),
                    }
                }
            };
            let special = session.is_held() || session.half_closed || session.closing;
            if let Some(settled) = settled {
                hub.settle(settled);
            }
            if special {
                hub.after_answers(io, conn);
            }
        }
        Some(Owner::Core(core)) => {
            let (port, clocks) = (hub.forwards.port(), &hub.clocks);
            port.answer(core, |batch| message::write_answer(batch, ticket.request, answer, clocks));
        }
        Some(Owner::Walk) => {
            let (key, lane) = Walks::parts(ticket.request);
            if let Some(walk) = hub.walks.get(key) {
                walk.take(lane, answer);
                hub.queue_walk(key);
            }
        }
        None => debug_assert!(false, "every ticket of this core has an owner"),
    }
}
