//! Kept reads go on when there is room for what they answer, and long commands with their next slice.
//!
//! The room for a kept read is taken before it is told to go on ([`Session::next_read`](crate::session::Session::next_read)), so that a value on its way from another
//! core has its place here. A read that finds no room in the memory waits, in the order of arrival; those who hold the memory
//! without going on make way meanwhile ([`super::room`]). After [`LACK_US`] it is refused.

use super::deliver::{SMALL_BYTES, deliver, has_memory};
use super::hub::recharge;
use super::memory::Memory;
use super::room::LACK_US;
use super::starved::Waiter;
use super::turn::Turn;
use crate::route::Owner;
use crate::route::message::{Told, write_told};
use crate::route::origin::Origin;
use crate::session::Hold;
use crate::session::sockets::Sockets;
use crate::session::waits::Wait;
use pinion_engine::shard::request::{Answer, Op, Refusal, Request};
use pinion_net::reactor::ConnId;

/// Long commands that go on in one turn.
const SLICES_PER_TURN: usize = 1;

/// Room that a read gets at least when it is told to go on: for several small values.
const ROOM_BYTES_MIN: usize = 64 << 10;

impl<S: Sockets> Turn<'_, S> {
    /// Lets kept reads go on, as far as there is room and the turn has time; one in any case, however much it has taken in.
    pub fn go_on(&mut self) {
        for (partition, read) in std::mem::take(&mut self.hub.forgotten) {
            match self.hub.route.owner(partition) {
                Owner::ThisCore => self.shard.forget(read),
                Owner::Core(core) => {
                    self.hub.route.forwards.port().tell(core, |batch| write_told(batch, Told::Forget(read)));
                }
            }
        }
        self.feed_starved();
        let most = self.hub.spent_max();
        for _ in 0..self.hub.ready_reads.len() {
            if self.hub.spent >= most {
                return;
            }
            let Some(conn) = self.hub.ready_reads.pop_front() else { return };
            if let Some(session) = self.hub.sessions.get(conn) {
                session.reads.is_queued = false;
                self.go_on_with(conn, most);
            }
        }
    }

    fn go_on_with(&mut self, conn: ConnId, most: usize) {
        loop {
            let Some(session) = self.hub.sessions.get(conn) else { return };
            let (queued, is_over) = (self.io.queued(conn), self.io.is_over_budget(conn));
            let Some((index, bytes)) = session.next_read(queued, is_over) else {
                if !session.reads.is_empty() && is_over {
                    self.io.tell_when_drained(conn);
                }
                return;
            };
            if self.hub.spent >= most {
                return self.hub.queue_reads(conn);
            }
            let gathered = session.gathered_bytes_at(index);
            if gathered > 0 && !has_memory(&self.hub.memory, (gathered, queued), bytes) {
                // It is left out of its response, which has others.
                let Wait { request, partition, read, bytes } = session.reads.take(index);
                let owner = Origin::connection(conn);
                let waits = Answer::Waits { read, partition, bytes };
                deliver(self.hub, self.io, owner.ticket(request), &waits);
                continue;
            }
            if bytes > SMALL_BYTES && !self.hub.memory.has_room_for_answer(bytes, queued) {
                let until_us = self.hub.now.mono_us + LACK_US;
                session.reads.is_queued = true;
                self.hub.lack(bytes, queued);
                return self.hub.starved.push(Waiter { conn, until_us }, Memory::is_short(bytes, queued));
            }
            self.grant(conn, index, bytes.max(ROOM_BYTES_MIN));
        }
    }

    fn grant(&mut self, conn: ConnId, index: usize, room: usize) {
        let Some(session) = self.hub.sessions.get(conn) else { return };
        let Wait { request, partition, read, .. } = session.reads.go_on(index, room);
        let answers = session.dialogue.answers_due(request);
        // A value on its way from another core has its room here from now on.
        recharge(&mut self.hub.memory, session);
        let owner = Origin::connection(conn);
        let go_on = Request::new(partition, Op::GoOn { read }).until(self.hub.deadline_us());
        self.submit_for(owner.ticket(request), room, answers, go_on);
    }

    /// Connections whose reads waited for the memory: the first that finds room goes on, who waited too long is refused.
    fn feed_starved(&mut self) {
        if !self.hub.starved.is_empty() {
            self.feed(true);
            self.feed(false);
        }
    }

    /// Feeds those with short answers, or the others.
    fn feed(&mut self, is_short: bool) {
        while let Some(&Waiter { conn, until_us }) = self.hub.starved.queue(is_short).front() {
            let Some(session) = self.hub.sessions.get(conn) else {
                self.hub.starved.queue(is_short).pop_front();
                continue;
            };
            let (queued, is_over) = (self.io.queued(conn), self.io.is_over_budget(conn));
            let wanted = session.next_read(queued, is_over);
            let bytes = wanted.map_or(0, |(_, bytes)| bytes);
            let has_room = wanted.is_none() || self.hub.memory.has_room_for_answer(bytes, queued);
            let is_early = self.hub.now.mono_us < until_us;
            let is_short_now = Memory::is_short(bytes, queued);
            if !has_room && is_early && is_short_now == is_short {
                return self.hub.lack(bytes, queued);
            }
            self.hub.starved.queue(is_short).pop_front();
            if !has_room && is_early {
                // What it would go on with is of the other kind now.
                self.hub.starved.push(Waiter { conn, until_us }, is_short_now);
                continue;
            }
            session.reads.is_queued = false;
            match wanted {
                Some(_) if !has_room => self.refuse_reads(conn),
                _ => self.hub.queue_reads(conn),
            }
        }
    }

    /// Refuses what a connection has waited for too long, and all of that size which would have to wait next.
    fn refuse_reads(&mut self, conn: ConnId) {
        let text = format!(
            "the memory for connections of this core ({} KiB) is taken by answers that clients don't read, and that didn't \
             change within {} s; ask again, read them, or raise --memory",
            self.hub.memory.bytes_max() >> 10,
            LACK_US / 1_000_000
        );
        let owner = Origin::connection(conn);
        let answer = Answer::Refused(Refusal::NoRoom(&text));
        while let Some(session) = self.hub.sessions.get(conn)
            && let Some(index) = session.reads.first_over(SMALL_BYTES)
        {
            let Wait { request, partition, read, .. } = session.reads.take(index);
            self.hub.forgotten.push((partition, read));
            deliver(self.hub, self.io, owner.ticket(request), &answer);
        }
        self.hub.queue_reads(conn);
    }

    /// The client of a connection has taken what was queued for it.
    pub fn drained(&mut self, conn: ConnId) {
        self.hub.queue_reads(conn);
        self.hub.queue_leaving(conn);
    }

    /// A long command of a connection goes on in the next turn, when what it has asked for is answered.
    pub fn slice(&mut self, conn: ConnId) {
        if self.hub.sessions.get(conn).is_some_and(|session| !session.has(Hold::Slice)) {
            self.hub.hold(self.io, conn, Hold::Slice);
            self.hub.sliced.push(conn);
        }
    }

    /// Lets go who waited until the log knows the time.
    pub fn tell_the_time(&mut self) {
        if !self.hub.untimed.is_empty() && !self.shard.is_time_held() {
            for conn in std::mem::take(&mut self.hub.untimed) {
                self.hub.lift(self.io, conn, Hold::Time);
            }
        }
    }

    /// Lets go the first of those whose long command may go on; where the node goes down, all have come to their end.
    pub fn next_slices(&mut self) {
        let mut lifted = 0;
        for conn in std::mem::take(&mut self.hub.sliced) {
            let Some(session) = self.hub.sessions.get(conn) else { continue };
            if !session.dialogue.is_between_slices() || lifted == SLICES_PER_TURN {
                self.hub.sliced.push(conn);
            } else if self.hub.draining {
                session.abandon_long(self.io);
                session.close_if_over(self.io);
            } else {
                lifted += 1;
                self.hub.lift(self.io, conn, Hold::Slice);
            }
        }
    }
}
