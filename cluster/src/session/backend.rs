//! What sessions ask of the core that they are on. They know no more of it than this trait: a core implements it, and so may a test.
//!
//! Sessions are generic over it and compiled for each that there is: calls on the way of a request stay direct ones.

use super::bulk::Share;
use super::settled::Settled;
use super::sockets::Sockets;
use super::table::Sessions;
use super::walk::Walk;
use super::weight::Weight;
use super::{Hold, Session};
use crate::node::info::NodeInfo;
use crate::route::{Owner, Route};
use crate::stats::CoreStats;
use crate::stats::tally::Tally;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_engine::shard::{Now, ShardStats};
use pinion_net::reactor::ConnId;

/// A core at work, as its sessions see it. Answers to what is submitted may come before the call is over.
pub trait Backend {
    /// Where the bytes of its connections are.
    type Sockets: Sockets;

    /// Its sessions, and their bytes.
    fn sessions(&mut self) -> (&mut Sessions, &mut Self::Sockets);
    /// The node.
    fn node(&self) -> &NodeInfo;
    /// Who owns which key.
    fn route(&self) -> &Route;
    /// When this turn began.
    fn now(&self) -> Now;
    /// The wall clock then, by which expiries are told, milliseconds.
    fn wall_ms(&self) -> u64;
    /// The time by which requests say when they were first sent, microseconds.
    fn server_us(&self) -> u64;

    /// Whether a connection's input must wait. Holds it if it has too much under way.
    fn must_stop(&mut self, conn: ConnId) -> bool;
    /// Puts a hold on a connection.
    fn hold(&mut self, conn: ConnId, hold: Hold);
    /// A long command goes on in the next turn, when what it has asked for is answered.
    fn slice(&mut self, conn: ConnId);
    /// Brings a connection's holds in line with what it has under way.
    fn after_answers(&mut self, conn: ConnId);
    /// Notes what was done at once, in bytes copied in the same time.
    fn spend(&mut self, bytes: usize);

    /// Whether a new request may go to an owner; if not, the connection is held until it may.
    fn has_room(&mut self, owner: Owner, conn: ConnId) -> bool;
    /// Whether a write may go to an owner now; if not, the connection is held for a moment.
    fn may_write(&mut self, conn: ConnId, owner: Owner, weight: Weight) -> bool;
    /// Whether an update is begun in this turn; if not, its connection waits for the next.
    fn has_time_for(&mut self, conn: ConnId, owner: Owner, op: &Op<'_>) -> bool;
    /// Whether a batch of so many operations may begin now; if not, the connection is held until it may.
    fn begin_batch(&mut self, ops: usize, conn: ConnId) -> Option<Share>;
    /// How long an owner wants writers to be held back, in microseconds.
    fn delay_us(&self, owner: Owner) -> u32;
    /// Slows a connection that wrote to an owner, if that asks for it.
    fn throttle(&mut self, conn: ConnId, owner: Owner);
    /// Room that a connection has for the answer to one read of another core, bytes.
    fn room_per_read(&mut self, conn: ConnId) -> usize;

    /// Gives a request to the owner of its partition. In its answers there is room for so many bytes of values, if another
    /// core sends them.
    fn submit_read(&mut self, ticket: Ticket, room: usize, request: Request<'_>);
    /// As [`Backend::submit_read`], for a request on one key of a connection, whose owner is known.
    fn submit_single(&mut self, conn: ConnId, owner: Owner, ticket: Ticket, request: Request<'_>);
    /// Starts a walk.
    fn start_walk(&mut self, walk: Walk);
    /// Bytes of one page of `items` over `lanes`, as many as a few such walks may take beside each other.
    fn page_bytes(&self, items: usize, lanes: usize) -> usize;

    /// Counts a request that has its last answer.
    fn settle(&mut self, settled: Settled);
    /// What the core counts.
    fn stats(&mut self) -> &mut CoreStats;
    /// Shows the other cores what it has counted.
    fn publish(&self);
    /// What its shard counts.
    fn shard_stats(&self) -> ShardStats;
    /// The entries of its shard, some of them deleted or expired.
    fn entries(&self) -> u64;

    /// This core's number.
    #[inline]
    fn me(&self) -> usize {
        self.route().me()
    }

    /// The session of a connection, if it is there.
    #[inline]
    fn session(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.sessions().0.get(conn)
    }

    /// A connection's output, to append to.
    #[inline]
    fn output(&mut self, conn: ConnId) -> &mut Vec<u8> {
        self.sessions().1.output(conn)
    }

    /// Gives a request whose answers carry no values, or pages, to the owner of its partition.
    #[inline]
    fn submit(&mut self, ticket: Ticket, request: Request<'_>) {
        self.submit_read(ticket, usize::MAX, request);
    }

    /// When nobody waits any more for what is asked now, if its client doesn't say.
    #[inline]
    fn deadline_us(&self) -> u64 {
        self.now().mono_us + self.node().request_timeout_us
    }

    /// What the core counts for INFO.
    #[inline]
    fn tally(&self) -> &Tally {
        &self.node().tallies[self.me()]
    }
}
