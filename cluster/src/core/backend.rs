//! A core in a turn is what its sessions ask.

use super::turn::Turn;
use crate::node::info::NodeInfo;
use crate::route::{Owner, Route};
use crate::session::Hold;
use crate::session::backend::Backend;
use crate::session::bulk::Share;
use crate::session::settled::Settled;
use crate::session::sockets::Sockets;
use crate::session::table::Sessions;
use crate::session::walk::Walk;
use crate::session::weight::Weight;
use crate::stats::CoreStats;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_engine::shard::{Now, ShardStats};
use pinion_net::reactor::ConnId;

impl<S: Sockets> Backend for Turn<'_, S> {
    type Sockets = S;

    #[inline]
    fn sessions(&mut self) -> (&mut Sessions, &mut S) {
        (&mut self.hub.sessions, self.io)
    }

    #[inline]
    fn node(&self) -> &NodeInfo {
        &self.hub.node
    }

    #[inline]
    fn route(&self) -> &Route {
        &self.hub.route
    }

    #[inline]
    fn now(&self) -> Now {
        self.hub.now
    }

    #[inline]
    fn wall_ms(&self) -> u64 {
        self.hub.wall_ms
    }

    fn server_us(&self) -> u64 {
        self.shard.server_us()
    }

    #[inline]
    fn must_stop(&mut self, conn: ConnId) -> bool {
        Turn::must_stop(self, conn)
    }

    fn hold(&mut self, conn: ConnId, hold: Hold) {
        self.hub.hold(self.io, conn, hold);
    }

    fn slice(&mut self, conn: ConnId) {
        Turn::slice(self, conn);
    }

    fn after_answers(&mut self, conn: ConnId) {
        self.hub.after_answers(self.io, conn);
    }

    #[inline]
    fn spend(&mut self, bytes: usize) {
        self.hub.spent += bytes;
    }

    #[inline]
    fn has_room(&mut self, owner: Owner, conn: ConnId) -> bool {
        Turn::has_room(self, owner, conn)
    }

    #[inline]
    fn may_write(&mut self, conn: ConnId, owner: Owner, weight: Weight) -> bool {
        Turn::may_write(self, conn, owner, weight)
    }

    #[inline]
    fn has_time_for(&mut self, conn: ConnId, owner: Owner, op: &Op<'_>) -> bool {
        Turn::has_time_for(self, conn, owner, op)
    }

    fn begin_batch(&mut self, ops: usize, conn: ConnId) -> Option<Share> {
        Turn::begin_batch(self, ops, conn)
    }

    fn delay_us(&self, owner: Owner) -> u32 {
        Turn::delay_us(self, owner)
    }

    fn throttle(&mut self, conn: ConnId, owner: Owner) {
        Turn::throttle(self, conn, owner);
    }

    #[inline]
    fn room_per_read(&mut self, conn: ConnId) -> usize {
        Turn::room_per_read(self, conn)
    }

    #[inline]
    fn submit_read(&mut self, ticket: Ticket, room: usize, request: Request<'_>) {
        Turn::submit_read(self, ticket, room, request);
    }

    #[inline]
    fn submit_single(&mut self, conn: ConnId, owner: Owner, ticket: Ticket, request: Request<'_>) {
        Turn::submit_single(self, conn, owner, ticket, request);
    }

    fn start_walk(&mut self, walk: Walk) {
        Turn::start_walk(self, walk);
    }

    fn page_bytes(&self, items: usize, lanes: usize) -> usize {
        self.hub.walks.page_bytes(items, lanes)
    }

    #[inline]
    fn settle(&mut self, settled: Settled) {
        self.hub.settle(settled);
    }

    fn stats(&mut self) -> &mut CoreStats {
        &mut self.hub.stats
    }

    fn publish(&self) {
        self.hub.publish();
    }

    fn shard_stats(&self) -> ShardStats {
        self.shard.stats()
    }

    fn entries(&self) -> u64 {
        self.shard.entries()
    }
}
