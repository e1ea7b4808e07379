//! What a core has besides its shard: connections, its end of the mesh, walks, statistics.
//!
//! The shard answers into a [`Sink`](super::deliver::Sink), which is the hub and the sockets; so the two can be borrowed apart
//! while the shard works.

use super::cost::{MailShare, SPENT_MAX};
use super::memory::Memory;
use super::relief::Relief;
use super::starved::Starved;
use crate::mesh::Port;
use crate::node::info::NodeInfo;
use crate::peers::Peers;
use crate::route::Route;
use crate::route::origin::Origin;
use crate::session::bulk::Bulk;
use crate::session::settled::{Ending, Settled};
use crate::session::sockets::Sockets;
use crate::session::table::Sessions;
use crate::session::walks::Walks;
use crate::session::{Hold, Session};
use crate::stats::published::Figure;
use crate::stats::tally::Tally;
use crate::stats::{Class, CoreStats};
use crate::topology::current::View;
use pinion_engine::clock::{Clocks, Now};
use pinion_engine::key::Partition;
use pinion_engine::shard::request::Ticket;
use pinion_net::reactor::ConnId;
use pinion_net::resp::CommandId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// See the module's text.
pub struct Hub {
    /// The node.
    pub node: Arc<NodeInfo>,
    /// Where requests go.
    pub route: Route,
    /// Other nodes.
    pub peers: Peers,
    /// Its connections.
    pub sessions: Sessions,
    /// What they take of the memory.
    pub memory: Memory,
    /// When that was last looked at.
    pub relief: Relief,
    /// Long batches under way.
    pub bulk: Bulk,
    /// Walks under way.
    pub walks: Walks,
    /// Walks that can go on.
    pub ready_walks: VecDeque<u64>,
    /// Figures.
    pub stats: CoreStats,
    /// When this turn began.
    pub now: Now,
    /// The shard's clocks then, by which expiries are told; and the wall clock among them, milliseconds.
    pub clocks: Clocks,
    /// See `clocks`.
    pub wall_ms: u64,
    /// How long this core's writers are held back, or [`TAKES_NO_WRITES`].
    pub delay_us: u32,
    /// Bytes that a forming log write may have before the next write waits for the one after it.
    pub log_write_bytes_max: usize,
    /// Until when a connection may have a write that is held because its shard is nearly full.
    pub braked_until_us: u64,
    /// Connections that are held back, and until when.
    pub throttled: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// The node is going down.
    pub draining: bool,
    /// The shard takes no writes, and the log says so.
    pub takes_no_writes: bool,
    /// Connections with kept reads, one of which may go on.
    pub ready_reads: VecDeque<ConnId>,
    /// Connections whose kept reads find no room in the memory, and until when they wait for it.
    pub starved: Starved,
    /// Kept reads that nobody waits for any more.
    pub forgotten: Vec<(Partition, u64)>,
    /// Connections that are in the middle of a long command, which goes on in the next turn.
    pub sliced: Vec<ConnId>,
    /// Connections that wait until the log knows the time.
    pub untimed: Vec<ConnId>,
    /// Connections whose reply leaves in pieces, and may go on.
    pub leaving: VecDeque<ConnId>,
    /// What answers of this turn have cost, in bytes copied.
    pub spent: usize,
    /// Of that, what updates have copied of long values.
    pub copied: usize,
    /// What of the turns other cores may have.
    pub mail: MailShare,
    /// Requests of each class that came and were answered within this turn.
    pub quick: [u64; Class::ALL.len()],
}

/// In place of a delay: the shard refuses writes, so that holding them gains nothing.
pub const TAKES_NO_WRITES: u32 = u32::MAX;

/// Bytes that a forming log write may have before the next write waits for the one after it: an eighth of the shard's memory,
/// but so much at least and at most. A shard refuses more than 24 MiB.
const COMMIT_BYTES_MIN: usize = 1 << 20;
const COMMIT_BYTES_MAX: usize = 20 << 20;

impl Hub {
    /// The hub of a core that starts now, with its end of the mesh and its shard's clocks.
    pub fn new(me: usize, node: Arc<NodeInfo>, topology: View, port: Port, now: Now, clocks: Clocks) -> Hub {
        let cores = node.cores;
        let memory_bytes = node.config.memory_bytes as usize / cores;
        Hub {
            route: Route::new(me, topology, port),
            sessions: Sessions::new((me, cores), now.unix_us, node.run_seed() ^ me as u64),
            peers: Peers::new(node.peers.clone(), me, node.run_seed()),
            memory: Memory::new(node.split.connections),
            relief: Relief::default(),
            bulk: Bulk::default(),
            walks: Walks::new(Walks::share(node.split)),
            ready_walks: VecDeque::new(),
            stats: CoreStats::default(),
            now,
            clocks,
            wall_ms: clocks.wall_ms(),
            delay_us: 0,
            braked_until_us: 0,
            log_write_bytes_max: (memory_bytes / 8).clamp(COMMIT_BYTES_MIN, COMMIT_BYTES_MAX),
            throttled: BinaryHeap::new(),
            draining: false,
            takes_no_writes: false,
            ready_reads: VecDeque::new(),
            starved: Starved::default(),
            forgotten: Vec::new(),
            sliced: Vec::new(),
            untimed: Vec::new(),
            leaving: VecDeque::new(),
            spent: 0,
            copied: 0,
            mail: MailShare::default(),
            node,
            quick: [0; Class::ALL.len()],
        }
    }

    /// Shows the other cores what it has counted.
    pub fn publish(&self) {
        let published = &self.node.published;
        published.set(self.route.me(), Figure::Connections, self.sessions.len() as u64);
        published.set(self.route.me(), Figure::Accepted, self.stats.connections_accepted);
        let commands = self.stats.classes.iter().map(|class| class.answered).sum();
        published.set(self.route.me(), Figure::Commands, commands);
        published.set(self.route.me(), Figure::Clients, self.memory.used() as u64);
        published.set(self.route.me(), Figure::Scans, self.walks.charged_bytes() as u64);
    }

    /// Brings the charge of a connection in line with what its session holds.
    #[inline]
    pub fn recharge(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get(conn) {
            recharge(&mut self.memory, session);
        }
    }

    /// What a turn may have spent when a step at its end has done its part: one thing goes on in any case.
    pub fn spent_max(&self) -> usize {
        SPENT_MAX.max(self.spent + 1)
    }

    /// Counts a request that has its last answer.
    #[inline]
    pub fn settle(&mut self, settled: Settled) {
        let stats = self.stats.class(settled.class);
        stats.answered += 1;
        match settled.ending {
            Ending::Done => {}
            Ending::Refused | Ending::Busy | Ending::ReadOnly | Ending::TimedOut => stats.refused += 1,
            Ending::Unknown | Ending::TimedOutUnknown => stats.unknown += 1,
        }
        let us = self.now.mono_us.saturating_sub(settled.started_us);
        match us {
            0 => self.quick[settled.class as usize] += 1,
            us => stats.latency.record(us, 1),
        }
        let (command, tally) = (settled.command, self.tally());
        tally.called(command, us);
        if settled.ending != Ending::Done && command != CommandId::NONE {
            tally.failed(command, settled.ending.word());
        }
    }

    /// What this core counts for INFO.
    #[inline]
    pub fn tally(&self) -> &Tally {
        &self.node.tallies[self.route.me()]
    }

    /// When nobody waits any more for what is asked now, if its client doesn't say.
    #[inline]
    pub fn deadline_us(&self) -> u64 {
        self.now.mono_us + self.node.request_timeout_us
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
        recharge(&mut self.memory, session);
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
        if let Some(Origin::Connection { index, generation }) = Origin::of(ticket)
            && let Some(session) = self.sessions.at(index, generation)
        {
            session.backlogged += 1;
            if session.hold(Hold::Backlog) {
                io.pause(session.conn);
            }
        }
    }

    /// A request of a connection left its backlog otherwise.
    pub fn left_backlog(&mut self, io: &mut impl Sockets, ticket: Ticket) {
        leave_backlog(&mut self.sessions, io, ticket);
    }

    /// Uses credits that came back from a core: its backlog first, then whoever waits for it.
    pub fn use_credits(&mut self, io: &mut impl Sockets, core: usize) {
        let Hub { route, sessions, .. } = self;
        route.forwards.pump(core, |ticket| leave_backlog(sessions, io, ticket));
        for conn in route.forwards.take_waiting(core) {
            if let Some(session) = sessions.get(conn)
                && session.lift(Hold::Credit)
            {
                io.resume(conn);
            }
        }
    }

    /// Looks soon whether a kept read of a connection may go on.
    pub fn queue_reads(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get(conn)
            && !session.reads.is_empty()
            && !std::mem::replace(&mut session.reads.is_queued, true)
        {
            self.ready_reads.push_back(conn);
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

/// One less of a connection's requests waits for a credit.
fn leave_backlog(sessions: &mut Sessions, io: &mut impl Sockets, ticket: Ticket) {
    if let Some(Origin::Connection { index, generation }) = Origin::of(ticket)
        && let Some(session) = sessions.at(index, generation)
    {
        session.backlogged -= 1;
        if session.backlogged == 0 && session.lift(Hold::Backlog) {
            io.resume(session.conn);
        }
    }
}

/// Brings the charge of a session in line with what it holds.
#[inline]
pub(super) fn recharge(memory: &mut Memory, session: &mut Session) {
    let holds = session.memory_bytes();
    memory.recharge(&mut session.charged, holds);
}
