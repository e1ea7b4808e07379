//! Where answers go, and whether there is room for them.
//!
//! A value of some size is asked for room before it is copied ([`Sink::has_room`]). A read whose value finds none is kept by
//! its shard, and its connection hears of it ([`Answer::Waits`]); [`super::go_on`] lets it go on. There is room for
//! - a connection of this core: up to [`ROOM_BYTES_MAX`] of answers that haven't left; beyond that one value at a time, of
//!   whatever length, while the client reads and the memory for connections has room;
//! - another core: as much as it said when it sent the request;
//! - anybody: so much in a turn ([`SPENT_MAX`]) that other connections don't wait long.

use super::cost::{SPENT_MAX, TURN_SPENT_MAX};
use super::hub::{Hub, recharge};
use super::memory::Memory;
use crate::route::message::answers;
use crate::route::origin::{Origin, ROOM_KIB_MAX};
use crate::session::dialogue::Moment;
use crate::session::limits::{ANSWER_COST, ROOM_BYTES_MAX};
use crate::session::settled::Settled;
use crate::session::sockets::Sockets;
use crate::session::waits::Wait;
use crate::session::walks::Walks;
use crate::stats::Class;
use crate::stats::tally::Tally;
use pinion_engine::clock::Clocks;
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Answer, Answers, Ticket, Value};

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

    fn has_room(&mut self, ticket: Ticket, given: usize, bytes: usize) -> bool {
        match Origin::of(ticket) {
            Some(Origin::Core { room_kib, .. }) => {
                let has_time = given + bytes <= SMALL_BYTES || self.hub.spent < self.hub.mail.answers_until;
                room_kib == ROOM_KIB_MAX || has_time && given + bytes <= (room_kib as usize) << 10
            }
            Some(Origin::Connection { index, generation }) => {
                let Some(session) = self.hub.sessions.at(index, generation) else { return true };
                if given == 0 && session.reads.is_granted(ticket.request, bytes) {
                    return true;
                }
                let request = ticket.request;
                let gathered = session.dialogue.gathered_bytes(request);
                let queued = self.io.queued(session.conn);
                let may_pass = !self.io.is_over_budget(session.conn) && session.dialogue.is_next(request);
                let spent_max = if bytes <= SMALL_BYTES { TURN_SPENT_MAX } else { SPENT_MAX };
                self.hub.spent < spent_max
                    && session.has_room_for(request, queued, bytes, may_pass)
                    && has_memory(&self.hub.memory, (gathered, queued), bytes)
            }
            Some(Origin::Walk | Origin::Nobody) | None => true,
        }
    }

    #[inline]
    fn worked(&mut self, bytes: usize) {
        self.hub.spent += bytes;
        self.hub.copied += bytes;
    }

    fn has_room_for_old(&mut self, ticket: Ticket, bytes: usize) -> bool {
        // It was read, whatever comes of it.
        self.worked(bytes);
        match Origin::of(ticket) {
            Some(Origin::Core { room_kib, .. }) => bytes <= (room_kib as usize) << 10,
            Some(Origin::Connection { .. }) => {
                let has_room = self.hub.memory.has_room_for_old(bytes);
                if !has_room {
                    self.hub.lack(bytes, 0);
                }
                has_room
            }
            Some(Origin::Walk | Origin::Nobody) | None => true,
        }
    }
}

/// Whether the memory has room for a value beside those `gathered` for the same response, and what is `queued` for its client.
/// Short ones that are gathered are there twice for a moment, and all of them can be asked for again: together they take an
/// eighth at most, and not the last.
pub(super) fn has_memory(memory: &Memory, (gathered, queued): (usize, usize), bytes: usize) -> bool {
    if gathered > 0 {
        return gathered + bytes <= memory.bytes_max() / 8 && 2 * (gathered + bytes) <= memory.room();
    }
    bytes <= SMALL_BYTES || memory.has_room_for_answer(bytes, queued)
}

/// Values up to this length don't wait for the memory: the limits on each connection bound them.
pub const SMALL_BYTES: usize = 16 << 10;

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

/// Whether an answer names a time. (Pages go to walks.)
#[inline]
fn names_time(answer: &Answer<'_>) -> bool {
    match answer {
        Answer::Value(value)
        | Answer::Item { value: Some(value), .. }
        | Answer::Written { old: Some(value), .. }
        | Answer::NotMet { current: Some(value) } => value.expiry != Expiry::NEVER,
        _ => false,
    }
}

/// The answer as a user is told it: by the wall clock.
#[cold]
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

/// Counts a key that a read found or didn't.
#[inline]
fn count_found(tally: &Tally, answer: &Answer<'_>, settled: Option<Settled>) {
    match answer {
        Answer::Value(_) | Answer::Item { value: Some(_), .. } => tally.hits.add(1),
        Answer::Item { value: None, .. } => tally.misses.add(1),
        Answer::NotFound if settled.is_some_and(|settled| settled.class == Class::Read) => {
            tally.misses.add(1);
        }
        _ => {}
    }
}

/// Hands an answer to whoever asked, be it from this core's shard or from another's.
pub fn deliver(hub: &mut Hub, io: &mut impl Sockets, ticket: Ticket, answer: &Answer<'_>) {
    let bytes = answer_bytes(answer);
    hub.spent += bytes + ANSWER_COST;
    match Origin::of(ticket) {
        Some(Origin::Connection { index, generation }) => {
            to_connection(hub, io, (index, generation), (ticket.request, answer, bytes));
        }
        Some(Origin::Core { core, .. }) => {
            let (port, clocks) = (hub.route.forwards.port(), &hub.clocks);
            port.answer(core, |batch| answers::write_answer(batch, ticket.request, answer, clocks));
        }
        Some(Origin::Walk) => {
            let (key, lane) = Walks::parts(ticket.request);
            if let Some(walk) = hub.walks.get(key) {
                walk.take(lane, answer);
                hub.spent += walk.take_cost();
                hub.queue_walk(key);
            }
        }
        Some(Origin::Nobody) => {
            if let Answer::Waits { read, partition, .. } = *answer {
                hub.forgotten.push((partition, read));
            }
        }
        None => debug_assert!(false, "every ticket of this core has an owner"),
    }
}

fn to_connection(
    hub: &mut Hub,
    io: &mut impl Sockets,
    (index, generation): (u32, u32),
    (request, answer, bytes): (u64, &Answer<'_>, usize),
) {
    let moment = Moment { now_us: hub.now.mono_us, wall_ms: hub.wall_ms };
    let by_wall;
    let answer = if names_time(answer) {
        by_wall = told(answer, &hub.clocks);
        &by_wall
    } else {
        answer
    };
    let Some(session) = hub.sessions.at(index, generation) else {
        if let Answer::Waits { read, partition, .. } = *answer {
            hub.forgotten.push((partition, read));
        }
        return;
    };
    let conn = session.conn;
    session.reads.answered(request);
    let out = io.output(conn);
    let queued = out.len();
    let mut settled = None;
    if let Answer::Waits { read, partition, bytes } = *answer {
        // What will come is known now: it counts for how much more is asked for at a time.
        session.note_answer(bytes);
        let wait = Wait { request, partition, read, bytes };
        let has_memory = has_memory(&hub.memory, (session.dialogue.gathered_bytes(request), queued), bytes);
        match session.wait(wait, has_memory, moment.now_us, out) {
            Ok(()) => {}
            Err(ended) => {
                settled = ended;
                hub.forgotten.push((partition, read));
            }
        }
    } else {
        session.note_answer(bytes);
        settled = session.dialogue.answer(request, answer, moment, out);
    }
    let appended = out.len() - queued;
    hub.memory.note_appended(appended);
    hub.spent += appended.saturating_sub(bytes);
    recharge(&mut hub.memory, session);
    let special = session.is_held() || session.half_closed || session.closing;
    let has_reads = !session.reads.is_empty();
    count_found(hub.tally(), answer, settled);
    if let Some(settled) = settled {
        hub.settle(settled);
    }
    if has_reads {
        hub.queue_reads(conn);
    }
    if special {
        hub.after_answers(io, conn);
    }
}

const _: () = assert!(SMALL_BYTES < ROOM_BYTES_MAX);
