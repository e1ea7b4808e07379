//! What sessions work with during a turn: the shard, the hub and the sockets, and how requests get to their shard.

use super::deliver::Sink;
use super::hub::Hub;
use super::memory::Memory;
use super::room::LACK_US;
use crate::route::Owner;
use crate::route::origin::ROOM_KIB_MAX;
use crate::route::parcel::Parcel;
use crate::session::Hold;
use crate::session::bulk::Share;
use crate::session::limits::{ANSWER_COST, ROOM_PER_READ_MIN};
use crate::session::sockets::Sockets;
use pinion_engine::shard::Shard;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_net::reactor::ConnId;

/// A core at work.
pub struct Turn<'a, S> {
    /// Its shard.
    pub shard: &'a mut Shard,
    /// The rest of it.
    pub hub: &'a mut Hub,
    /// Its connections' bytes.
    pub io: &'a mut S,
}

impl<S: Sockets> Turn<'_, S> {
    /// Whether a new request may go to `owner`; if not, the connection is held until it may.
    #[inline]
    pub fn has_room(&mut self, owner: Owner, conn: ConnId) -> bool {
        let has_room = self.hub.route.has_room(owner);
        if let Owner::Core(core) = owner
            && !has_room
        {
            self.hub.route.forwards.wait(core, conn);
            self.hub.hold(self.io, conn, Hold::Credit);
        }
        has_room
    }

    /// Whether a batch of so many operations may begin now; if not, the connection is held until it may.
    pub fn begin_batch(&mut self, ops: usize, conn: ConnId) -> Option<Share> {
        let share = self.hub.bulk.begin(ops, conn);
        if share.is_none() {
            self.hub.bulk.wait(ops, conn);
            self.hub.hold(self.io, conn, Hold::Batch);
        }
        share
    }

    /// Lets those go on whose long batches may begin.
    pub fn next_batches(&mut self) {
        let Hub { bulk, sessions, .. } = &mut *self.hub;
        for conn in bulk.grant(|conn| sessions.get(conn).is_some()) {
            self.hub.lift(self.io, conn, Hold::Batch);
        }
    }

    /// Gives a request to the shard of its partition, here or on another core. In its answers there is room for so many bytes of
    /// values, if another core sends them.
    #[inline]
    pub fn submit_read(&mut self, ticket: Ticket, room: usize, request: Request<'_>) {
        self.hub.spent += cost(&request);
        match self.hub.route.owner(request.partition) {
            Owner::ThisCore => self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io }),
            Owner::Core(core) => self.forward(core, ticket, Parcel::of(&request, room_kib(room)), &request),
        }
    }

    /// As [`Turn::submit_read`], for a request on one key of a connection.
    #[inline]
    pub fn submit_single(&mut self, conn: ConnId, owner: Owner, ticket: Ticket, request: Request<'_>) {
        let Owner::Core(core) = owner else {
            return self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io });
        };
        if matches!(request.op, Op::Update { update, .. } if update.wants_old()) {
            return self.submit_promising(core, ticket, &request);
        }
        let room = self.room_per_read(conn);
        self.forward(core, ticket, Parcel::of(&request, room_kib(room)), &request);
    }

    #[inline]
    fn forward(&mut self, core: usize, ticket: Ticket, parcel: Parcel, request: &Request<'_>) {
        if !self.hub.route.forwards.send(core, ticket, parcel, request) {
            self.hub.backlogged(self.io, ticket);
        }
    }

    /// Sends another core an update that answers the value before it: how long that is nobody here knows.
    #[cold]
    fn submit_promising(&mut self, core: usize, ticket: Ticket, request: &Request<'_>) {
        let promised = self.hub.memory.promise(self.hub.now.mono_us + LACK_US);
        let room = Memory::old_value_max(promised).max(ROOM_PER_READ_MIN);
        self.forward(core, ticket, Parcel { promised, ..Parcel::of(request, room_kib(room)) }, request);
    }

    /// As [`Turn::submit_read`], for a request that is answered so many times.
    pub fn submit_for(&mut self, ticket: Ticket, room: usize, answers: usize, request: Request<'_>) {
        match self.hub.route.owner(request.partition) {
            Owner::ThisCore => self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io }),
            Owner::Core(core) => {
                self.forward(
                    core,
                    ticket,
                    Parcel { answers, ..Parcel::of(&request, room_kib(room)) },
                    &request,
                );
            }
        }
    }

    /// Room that a connection has for the answer to one read of another core, bytes. Such an answer comes unasked and is
    /// charged when it is here, so it is a small part of what is free.
    #[inline]
    pub fn room_per_read(&mut self, conn: ConnId) -> usize {
        let most = (self.hub.memory.room() / 16).max(ROOM_PER_READ_MIN);
        self.hub.sessions.get(conn).map_or(0, |session| session.room_per_read().min(most))
    }

    /// Whether a connection's input must wait. Holds it if it has too much under way.
    #[inline]
    pub fn must_stop(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.hub.sessions.get(conn) else { return true };
        if session.is_held() || session.closing || self.io.is_over_budget(conn) {
            return true;
        }
        if self.shard.is_time_held() {
            self.hub.hold(self.io, conn, Hold::Time);
            self.hub.untimed.push(conn);
            return true;
        }
        if !session.is_full() {
            return self.hub.memory.is_tight() && self.hub.must_wait(self.io, conn);
        }
        if session.hold(Hold::InFlight) {
            self.io.pause(conn);
        }
        true
    }
}

/// What a request costs beside its answers, as these are counted.
#[inline]
pub(super) fn cost(request: &Request<'_>) -> usize {
    if let Op::UpdateMany { updates } = request.op { updates.len() * ANSWER_COST } else { 0 }
}

/// Room in KiB, as messages carry it.
#[inline]
fn room_kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).map_or(ROOM_KIB_MAX, |kib| kib.min(ROOM_KIB_MAX))
}
