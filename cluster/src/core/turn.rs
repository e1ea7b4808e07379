//! What sessions work with during a turn: the shard, the hub and the sockets, and how requests get to their shard.

use super::bulk::Share;
use super::cost::{ANSWER_COST, SPENT_MAX};
use super::deliver::{Sink, deliver};
use super::forward::Parcel;
use super::hub::{Hub, Mail, TAKES_NO_WRITES};
use super::memory::Memory;
use super::message::{self, Incoming};
use super::owners::{Owner, ROOM_KIB_MAX};
use super::room::LACK_US;
use super::sockets::Sockets;
use super::weight::Weight;
use crate::session::limits::ROOM_PER_READ_MIN;
use crate::session::listing::Wanted;
use crate::session::resp::clients;
use crate::session::walk::{Inquiry, Place, place_bytes};
use crate::session::walks::{Admission, Walks};
use crate::session::{Dialogue, Hold};
use pinion_engine::key::Partition;
use pinion_engine::shard::Shard;
use pinion_engine::shard::request::{Answer, Op, Page, Request, Ticket};
use pinion_net::reactor::ConnId;
use pinion_net::slot::Slot;
use std::cmp::Reverse;

/// Walks that go on in one turn.
const WALK_STEPS_PER_TURN: usize = 8;

/// A shard that asks for this much delay, in microseconds, is about to refuse writes: by debt alone it asks for less.
const BRAKE_DELAY_US: u64 = 15_000;
/// How long a write is held before it is tried again, and how long at most in all, in microseconds.
const BRAKE_HOLD_US: u64 = 2_000;
const BRAKE_MAX_US: u64 = 30_000_000;

/// Bytes that a forming commit may have before requests of other cores wait for the next one. With the largest requests
/// under way it stays below what a shard takes into one commit.
const TAKEN_OVER_BYTES_MAX: usize = 3 << 20;

/// Writes that a forming commit may have before a batch waits for the one after it: all of a commit are applied in one turn.
const COMMIT_OPS_MAX: usize = 4096;

/// Requests that may wait for a forming commit before a write of one key waits for the one after it. Not writes: behind long
/// batches it would always be too late.
const COMMIT_REQUESTS_MAX: usize = 4096;

/// Writes that a forming commit may have before requests of other cores are left where they are.
const TAKEN_OVER_OPS_MAX: usize = 2 * COMMIT_OPS_MAX;

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
    /// The partition of a key and its core.
    #[inline]
    pub fn home(&self, key: &[u8]) -> (Partition, usize) {
        let placement = &self.hub.node.placement;
        let partition = placement.partition_of_slot(Slot::of(key).number());
        (partition, placement.core_of(partition))
    }

    /// Whether a new request may go to `core`; if not, the connection is held until it may.
    #[inline]
    pub fn has_room(&mut self, core: usize, conn: ConnId) -> bool {
        if core == self.hub.me || self.hub.forwards.has_room(core) {
            return true;
        }
        self.hub.forwards.wait(core, conn);
        self.hub.hold(self.io, conn, Hold::Credit);
        false
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

    /// Gives a request to the shard of its partition, here or on another core. Its answers carry no values, or pages.
    #[inline]
    pub fn submit(&mut self, ticket: Ticket, request: Request<'_>) {
        self.submit_read(ticket, usize::MAX, request);
    }

    /// As [`Turn::submit`], for a read in whose answers there is room for so many bytes of values, if another core sends them.
    #[inline]
    pub fn submit_read(&mut self, ticket: Ticket, room: usize, request: Request<'_>) {
        self.hub.spent += cost(&request);
        let core = self.hub.node.placement.core_of(request.partition);
        if core == self.hub.me {
            self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io });
        } else {
            self.forward(core, ticket, Parcel::of(&request, room_kib(room)), &request);
        }
    }

    /// As [`Turn::submit_read`], for a request on one key of a connection.
    #[inline]
    pub fn submit_single(&mut self, conn: ConnId, core: usize, ticket: Ticket, request: Request<'_>) {
        if core == self.hub.me {
            return self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io });
        }
        if matches!(request.op, Op::Update { update, .. } if update.wants_old()) {
            return self.submit_promising(core, ticket, &request);
        }
        let room = self.room_per_read(conn);
        self.forward(core, ticket, Parcel::of(&request, room_kib(room)), &request);
    }

    #[inline]
    fn forward(&mut self, core: usize, ticket: Ticket, parcel: Parcel, request: &Request<'_>) {
        if !self.hub.forwards.send(core, ticket, parcel, request) {
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
        let core = self.hub.node.placement.core_of(request.partition);
        if core == self.hub.me {
            self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io });
        } else {
            self.forward(core, ticket, Parcel { answers, ..Parcel::of(&request, room_kib(room)) }, &request);
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

    /// Holds a connection until its earlier requests are answered; `true` if it has none.
    pub fn is_alone(&mut self, conn: ConnId) -> bool {
        let under_way = self.hub.sessions.get(conn).is_some_and(|session| session.in_flight() > 0);
        if under_way {
            self.hub.hold(self.io, conn, Hold::Barrier);
        }
        !under_way
    }

    /// Whether a write of so many operations, of about `bytes`, may go to `core` now; if not, the connection is held for a moment.
    ///
    /// This is the last brake before a shard has to refuse writes: it takes hold when memtables or the forming commit are
    /// nearly full, for long values and batches before that: what is short doesn't wait until these are flushed. One that takes no writes
    /// gets the write at once, and says itself what is wrong.
    #[inline]
    pub fn may_write(&mut self, conn: ConnId, core: usize, weight: Weight) -> bool {
        let Weight { ops, bytes, .. } = weight;
        let waits = weight.is_long() && self.waits_for_room(core, weight);
        let is_full = if core == self.hub.me {
            let forming = self.shard.forming_bytes();
            let is_nearly_full = waits
                || self.shard.write_delay_us() >= BRAKE_DELAY_US
                || (forming > 0 && forming + bytes > self.hub.commit_bytes_max)
                || self.shard.forming_requests() >= COMMIT_REQUESTS_MAX
                || (ops > 1 && self.shard.forming_ops() >= COMMIT_OPS_MAX);
            is_nearly_full && self.shard.read_only_reason().is_none()
        } else {
            let delay_us = self.hub.forwards.delay_us(core);
            (waits || u64::from(delay_us) >= BRAKE_DELAY_US) && delay_us != TAKES_NO_WRITES
        };
        if is_full { self.passes_brake(conn) } else { self.release_brake(conn) }
    }

    #[cold]
    fn waits_for_room(&self, core: usize, weight: Weight) -> bool {
        let room =
            if core == self.hub.me { self.shard.long_room() } else { self.hub.forwards.long_room(core) };
        weight.waits_for(room, self.shard.long_room_max())
    }

    /// Whether an update of `core` is begun in this turn, which may have copied much. One that copies the value before it costs
    /// nobody knows how much, even where there is no room for that value. If not, its connection waits for its turn as long
    /// commands do, which begins it in any case. (Other cores look for themselves.)
    #[inline]
    pub fn has_time_for(&mut self, conn: ConnId, core: usize, op: &Op<'_>) -> bool {
        let may_wait =
            core == self.hub.me && matches!(op, Op::Update { update, .. } if update.copies_current());
        if !may_wait || self.hub.copied < SPENT_MAX { true } else { self.begins_in_any_case(conn) }
    }

    #[cold]
    fn begins_in_any_case(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.hub.sessions.get(conn) else { return true };
        if std::mem::take(&mut session.was_put_off) {
            return true;
        }
        session.was_put_off = true;
        self.slice(conn);
        false
    }

    /// A write goes through; if writes were held lately, its connection starts anew.
    #[inline]
    fn release_brake(&mut self, conn: ConnId) -> bool {
        if self.hub.now.mono_us < self.hub.braked_until_us
            && let Some(session) = self.hub.sessions.get(conn)
        {
            session.braked_since_us = None;
        }
        true
    }

    #[cold]
    fn passes_brake(&mut self, conn: ConnId) -> bool {
        let now_us = self.hub.now.mono_us;
        let Some(session) = self.hub.sessions.get(conn) else { return true };
        let since_us = *session.braked_since_us.get_or_insert(now_us);
        self.hub.braked_until_us = now_us + 2 * BRAKE_MAX_US;
        if now_us - since_us > BRAKE_MAX_US {
            return true;
        }
        self.hold_back(conn, BRAKE_HOLD_US);
        false
    }

    /// Slows a connection that wrote to `core`, if that core asks for it.
    pub fn throttle(&mut self, conn: ConnId, core: usize) {
        let hub = &mut *self.hub;
        let delay_us = if core == hub.me { hub.delay_us } else { hub.forwards.delay_us(core) };
        if delay_us > 0 && delay_us != TAKES_NO_WRITES {
            self.hold_back(conn, u64::from(delay_us));
        }
    }

    /// Takes in nothing of a connection for a while.
    fn hold_back(&mut self, conn: ConnId, us: u64) {
        let hub = &mut *self.hub;
        if hub.sessions.get(conn).is_some_and(|session| !session.has(Hold::Throttle)) {
            hub.throttled.push(Reverse((hub.now.mono_us + us, conn)));
            hub.stats.stall_us += us;
            hub.hold(self.io, conn, Hold::Throttle);
        }
    }

    /// Takes in what other cores sent: all answers, and requests as long as they may take of a turn. Cores take turns in
    /// being the first.
    pub fn take_mail(&mut self) {
        let peers = self.hub.forwards.port().peers();
        peers.clone().for_each(|core| self.take_answers(core));
        let hub = &mut *self.hub;
        hub.mail = Mail { rounds: hub.mail.rounds + 1, ..Mail::begun_at(hub.spent) };
        let (count, first) = (peers.clone().count(), hub.mail.rounds);
        for core in peers.cycle().skip(first % count.max(1)).take(count) {
            self.take_requests(core);
        }
        let hub = &mut *self.hub;
        hub.mail.is_left = hub.spent >= hub.mail.requests_until && hub.forwards.port().has_mail();
        hub.mail.answers_until = SPENT_MAX;
    }

    fn take_answers(&mut self, core: usize) {
        let (mut page, clocks) = (Page::default(), self.hub.clocks);
        while let Some(batch) = self.hub.forwards.port().take_answers(core) {
            message::each_answer(&batch, &mut page, &clocks, |slot, answer| {
                let (ticket, promised) = self.hub.forwards.answered(core, slot, &answer);
                self.hub.memory.keep_promise(promised);
                deliver(self.hub, self.io, ticket, &answer);
            });
            self.hub.forwards.port().recycle(batch);
            self.hub.use_credits(self.io, core);
        }
    }

    fn take_requests(&mut self, core: usize) {
        while self.takes_over(core) {
            let Some(batch) = self.hub.forwards.port().take_requests(core) else { return };
            let taken = message::each_request(&batch, |(slot, room_kib), incoming| {
                self.take_request((core, room_kib), slot, incoming);
                self.takes_over(core)
            });
            let port = self.hub.forwards.port();
            if taken < batch.len() { port.put_back(core, batch, taken) } else { port.recycle(batch) }
        }
    }

    /// Whether a request of `core` is taken in now. Writes that are under way can't be held at their origin any more; a
    /// shard that is nearly full leaves them where they are rather than refuse them, unless it refuses all.
    fn takes_over(&mut self, core: usize) -> bool {
        let most = self.hub.commit_bytes_max.min(TAKEN_OVER_BYTES_MAX);
        self.hub.spent < self.hub.mail.requests_until
            && !self.shard.is_time_held()
            && self.shard.forming_bytes() < most
            && self.shard.forming_requests() < COMMIT_REQUESTS_MAX
            && self.shard.forming_ops() < TAKEN_OVER_OPS_MAX
            && (self.shard.write_delay_us() < BRAKE_DELAY_US || self.shard.read_only_reason().is_some())
            && self.hub.forwards.port().keeps_up(core)
    }

    fn take_request(&mut self, (core, room_kib): (usize, u32), slot: u64, incoming: Incoming<'_>) {
        let ticket = Owner::Core { core, room_kib }.ticket(slot);
        self.hub.stats.taken_over += 1;
        match incoming {
            Incoming::Request(request) => {
                self.hub.spent += cost(&request);
                self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io });
            }
            Incoming::Cursor(cursor) => {
                let place = self.hub.cursors.take(cursor);
                self.deliver_place(ticket, place);
            }
            Incoming::Clients(wanted, from) => self.deliver_clients(ticket, &wanted, from),
            Incoming::Random(dice) => {
                let place = self.shard.random_place(dice);
                self.deliver_place(ticket, place);
            }
        }
    }

    fn deliver_clients(&mut self, ticket: Ticket, wanted: &Wanted, from: u32) {
        let (page, next) = clients::slice(self, wanted, from);
        let next = next.map(u32::to_le_bytes);
        let answer = Answer::Page { page: &page, next: next.as_ref().map(|next| &next[..]) };
        deliver(self.hub, self.io, ticket, &answer);
    }

    fn deliver_place(&mut self, ticket: Ticket, place: Option<Place>) {
        let bytes = place.as_ref().map(place_bytes);
        let page = Page::default();
        let answer = match &bytes {
            Some(bytes) => Answer::Page { page: &page, next: Some(bytes) },
            None => Answer::NotFound,
        };
        deliver(self.hub, self.io, ticket, &answer);
    }

    /// Asks a core, which may be this one, something that its shard doesn't answer.
    fn inquire(&mut self, key: u64, inquiry: Inquiry) {
        let (me, ticket) = (self.hub.me, Owner::Walk.ticket(Walks::request(key, 0)));
        match inquiry {
            Inquiry::Clients(slice) if slice.core == me => {
                self.deliver_clients(ticket, &slice.wanted, slice.from);
            }
            Inquiry::Clients(slice) => {
                self.hub.forwards.send_clients(ticket, &slice);
            }
            Inquiry::Random { core, dice } if core == me => {
                let place = self.shard.random_place(dice);
                self.deliver_place(ticket, place);
            }
            Inquiry::Random { core, dice } => {
                self.hub.forwards.send_random(core, ticket, dice);
            }
        }
    }

    /// Lets walks go on, some pages a turn.
    pub fn walk(&mut self) {
        if self.shard.is_time_held() {
            return;
        }
        for step in 0..WALK_STEPS_PER_TURN {
            if step > 0 && self.hub.spent >= SPENT_MAX {
                break;
            }
            let Some(key) = self.hub.ready_walks.pop_front() else { break };
            self.walk_on(key);
        }
        while let Some(key) = self.hub.walks.next_admissible() {
            self.hub.queue_walk(key);
        }
    }

    fn walk_on(&mut self, key: u64) {
        let Hub { walks, sessions, .. } = &mut *self.hub;
        let Some(walk) = walks.get(key) else { return };
        walk.queued = false;
        if walk.is_done() {
            self.end_walk(key);
            return;
        }
        let (conn, keyspace) = (walk.conn, walk.keyspace);
        if sessions.get(conn).is_none() {
            // Nobody waits for it any more: it ends as soon as nothing of it is under way.
            if !walk.is_waiting() {
                walks.remove(key);
            }
            return;
        }
        match walks.admit(key) {
            Admission::Now => {}
            Admission::Later => return,
            Admission::Refused => return self.hub.queue_walk(key),
        }
        let Some(walk) = walks.get(key) else { return };
        if let Some(inquiry) = walk.inquiry() {
            return self.inquire(key, inquiry);
        }
        for ask in walk.asks() {
            let ticket = Owner::Walk.ticket(Walks::request(key, ask.lane));
            self.submit(ticket, ask.request(keyspace));
        }
    }

    fn end_walk(&mut self, key: u64) {
        let Some(walk) = self.hub.walks.remove(key) else { return };
        let (conn, command, now_us) = (walk.conn, walk.command, self.hub.now.mono_us);
        let clocks = self.hub.clocks;
        let Hub { sessions, cursors, memory, .. } = &mut *self.hub;
        let Some(session) = sessions.get(conn) else { return };
        let out = self.io.output(conn);
        let queued = out.len();
        let settled = match &mut session.dialogue {
            Dialogue::Resp(resp) => resp.walked(command, walk.outcome(), cursors, out),
            Dialogue::Wire(wire) => wire.walked(command, walk.outcome(), now_us, &clocks, out),
        };
        // What the walk was charged for lies in the output now, or leaves from its session in pieces.
        memory.note_appended(out.len() - queued);
        if let Some(settled) = settled {
            self.hub.settle(settled);
        }
        self.hub.queue_leaving(conn);
        self.hub.after_answers(self.io, conn);
    }

    /// Starts a walk.
    pub fn start_walk(&mut self, walk: crate::session::walk::Walk) {
        let key = self.hub.walks.insert(walk);
        self.hub.queue_walk(key);
    }

    /// Starts a walk whose place another core keeps under `cursor`.
    pub fn start_walk_at_cursor(&mut self, mut walk: crate::session::walk::Walk, core: usize, cursor: u64) {
        walk.wait_for_cursor();
        let key = self.hub.walks.insert(walk);
        self.hub.forwards.send_cursor(core, Owner::Walk.ticket(Walks::request(key, 0)), cursor);
    }
}

/// What a request costs beside its answers, as these are counted.
#[inline]
fn cost(request: &Request<'_>) -> usize {
    if let Op::UpdateMany { updates } = request.op { updates.len() * ANSWER_COST } else { 0 }
}

/// Room in KiB, as messages carry it.
#[inline]
fn room_kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).map_or(ROOM_KIB_MAX, |kib| kib.min(ROOM_KIB_MAX))
}
