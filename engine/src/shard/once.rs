//! Requests that are to be done once ([`crate::once`]): which of them are answered without being done, and what is remembered.
//!
//! What a request came to goes to the log with what it changed. One that changed nothing is remembered only if it was sent
//! before: a copy of it that comes later might find another state. A refusal isn't remembered: nothing was done.

use super::Shard;
use super::flow::{Since, Target};
use super::pending::{OwnedValue, PendingAnswer, Says};
use super::request::{Answer, Answers, Refusal, Ticket, Unsure, Value};
use crate::fields::{Malformed, Reader, Writer};
use crate::group::groups::Place;
use crate::group::{Group, Order};
use crate::key::{Expiry, Version};
use crate::once::{Known, Once, Table};
use std::collections::BTreeMap;

/// A request that was first sent so much later than now wasn't sent by this clock, microseconds.
const AHEAD_US_MAX: u64 = 500_000;

/// What was first sent so lately isn't forgotten; nor the other, where memory is half as much again over its budget, microseconds.
const KEPT_US: u64 = 5_000_000;
const CROWDED_KEPT_US: u64 = 1_000_000;

/// A group is made to forget so often at most, microseconds.
const FORGET_US: u64 = 100_000;

/// Over its budget by so much, nothing more is remembered, and so nothing more done that is to be remembered.
const FULL: usize = 4;

/// An old value is remembered up to this length; and up to the other where memory is over its budget.
const VALUE_BYTES_MAX: usize = 4096;
const CROWDED_VALUE_BYTES_MAX: usize = 64;

const WRITTEN: u8 = 0;
const NOT_MET: u8 = 1;
const INTEGER: u8 = 2;
const NOT_AN_INTEGER: u8 = 3;
const OVERFLOW: u8 = 4;
/// It was done, and its answer was too long to be kept.
const TOO_LONG: u8 = 5;

/// Why a request isn't done now.
const AHEAD: &str = "the time at which the request was first sent is ahead of the server's clock: say HELLO again for that, and try \
                     again later";
const MANY_OPEN: &str = "the client has 16,384 requests open in the partition: take in answers, and name the lowest number that is open";

/// What a shard knows of such requests beside what its groups remember.
#[derive(Clone, Debug)]
pub(super) struct OnceState {
    /// Memory of all that is remembered.
    pub bytes: usize,
    /// When room was last made, and when each group was last made to forget, by the monotonic clock.
    room_made_us: u64,
    forgot_us: BTreeMap<Place, u64>,
    /// At this monotonic time it was this server time, or later: no floor had come to it, nor another shard's time beyond it.
    heard: (u64, u64),
}

impl OnceState {
    /// With what the groups remember at this monotonic time.
    pub fn new<'a>(tables: impl Iterator<Item = &'a Table>, mono_us: u64) -> OnceState {
        let mut state =
            OnceState { bytes: 0, room_made_us: 0, forgot_us: BTreeMap::new(), heard: (mono_us, 0) };
        for table in tables {
            state.changed(0, Some(table), mono_us);
            state.hear(table.newest_us(), mono_us);
        }
        state
    }

    /// It is this server time elsewhere.
    fn hear(&mut self, server_us: u64, mono_us: u64) {
        if server_us > self.heard_us(mono_us) {
            self.heard = (mono_us, server_us);
        }
    }

    /// What a group remembers has changed; it took so many bytes before.
    #[inline]
    pub fn changed(&mut self, before: usize, table: Option<&Table>, mono_us: u64) {
        let Some(table) = table else { return };
        self.bytes = self.bytes + table.bytes() - before;
        if table.floor_us() > 0 {
            self.hear(table.floor_us() + 1, mono_us);
        }
    }

    /// The latest server time that was heard of, counted on.
    fn heard_us(&self, mono_us: u64) -> u64 {
        let (at_us, server_us) = self.heard;
        if server_us == 0 { 0 } else { server_us.saturating_add(mono_us.saturating_sub(at_us)) }
    }
}

impl Shard {
    /// Whether a request is to be done. One that isn't is answered here, or when it is done that is on its way.
    pub(super) fn is_to_be_done(&mut self, target: Target, once: &Once, out: &mut impl Answers) -> bool {
        let Target { ticket, deadline_us, place, .. } = target;
        let group = &self.groups[place];
        let is_forgotten = match group.known(once) {
            Known::Done(answer) => {
                self.counters.repeated += 1;
                send(answer, group, ticket, out);
                return false;
            }
            known => known == Known::Forgotten,
        };
        let since = if self.forming.has(place, once) {
            Since::Forming
        } else if self.writing.has(place, once) {
            Since::Writing
        } else if group.queue().is_some_and(|queue| queue.has(once)) {
            Since::Held
        } else {
            return self.is_timely(target, once, is_forgotten, out);
        };
        if self.has_no_room_to_wait(since, place) {
            self.refuse(target, Refusal::Busy, out);
            return false;
        }
        self.counters.repeated += 1;
        let says = Says::Again(Box::new(*once));
        self.answer_later(since, PendingAnswer { ticket, deadline_us, place, says });
        false
    }

    /// Whether a request may be done of which nothing is remembered, by the time at which it was first sent.
    fn is_timely(&mut self, target: Target, once: &Once, is_forgotten: bool, out: &mut impl Answers) -> bool {
        let is_ahead = once.first_sent_us > self.server_us().saturating_add(AHEAD_US_MAX);
        if is_forgotten && once.is_again {
            self.counters.forgotten += 1;
            out.answer(target.ticket, Answer::Unknown(Unsure::Forgotten));
            return false;
        }
        let table = self.groups[target.place].once();
        let group_is_full = table.is_some_and(|table| table.is_full_of(once));
        let refusal = match () {
            () if is_forgotten || is_ahead && !once.is_again => Refusal::WrongTime,
            // Where it is ahead: not this time, for another copy of it may have been, or be done yet.
            () if is_ahead => Refusal::NoRoom(AHEAD),
            () if group_is_full => Refusal::NoRoom(MANY_OPEN),
            () if self.once.bytes > FULL * self.budgets.once => {
                self.make_room();
                Refusal::Busy
            }
            () => return true,
        };
        self.refuse(target, refusal, out);
        false
    }

    /// Has the groups forget some that remember most: nobody may write to them any more.
    #[cold]
    fn make_room(&mut self) {
        if self.mono_us < self.once.room_made_us + FORGET_US || self.read_only_reason().is_some() {
            return;
        }
        self.once.room_made_us = self.mono_us;
        let share = self.once.bytes / self.groups.len().max(1);
        let is_large = |group: &Group<PendingAnswer>| {
            let is_ordered_here = !matches!(group.order(), Order::Following { .. });
            is_ordered_here && group.once_bytes() >= share
        };
        let groups = self.groups.iter().enumerate();
        let large: Vec<Place> = groups.filter(|(_, group)| is_large(group)).map(|(place, _)| place).collect();
        large.into_iter().for_each(|place| self.forget_some(place));
    }

    /// Has a group forget about half of what it remembers: nothing that may well be asked again, unless there is no room for that.
    #[cold]
    fn forget_some(&mut self, place: Place) {
        let forgot_us = self.once.forgot_us.entry(place).or_default();
        if self.mono_us < *forgot_us + FORGET_US && *forgot_us > 0 {
            return;
        }
        *forgot_us = self.mono_us;
        let Some(table) = self.groups[place].once() else { return };
        let is_crowded = self.once.bytes > self.budgets.once / 2 * 3;
        let kept_us = if is_crowded { CROWDED_KEPT_US } else { KEPT_US };
        let floor_us = table.middle_us().min(self.server_us().saturating_sub(kept_us));
        if floor_us <= table.floor_us() || self.forming.raises_floor(place) {
            return;
        }
        self.forming.raise_floor(place, floor_us);
        if self.applied_when_taken_in(place) {
            let before = self.groups[place].once_bytes();
            self.groups[place].once_mut().raise_floor(floor_us);
            self.once.changed(before, self.groups[place].once(), self.mono_us);
        }
    }

    /// The time by which requests say when they were first sent, microseconds: the wall clock, or the latest time that was heard of. So it
    /// never goes back, and is none that is forgotten already.
    #[inline]
    pub fn server_us(&self) -> u64 {
        self.clock.wall_us().max(self.once.heard_us(self.mono_us))
    }

    /// Another shard of the node tells this server time: clients are told one for all.
    pub fn hear_server_us(&mut self, server_us: u64) {
        self.once.hear(server_us, self.mono_us);
    }

    /// Has what a request came to remembered, if need be; says since when its answer may leave.
    pub(super) fn remember(
        &mut self,
        place: Place,
        once: &Once,
        (since, has_effect): (Since, bool),
        says: &Says,
    ) -> Since {
        if !has_effect && !once.is_again {
            return since;
        }
        let is_crowded = self.once.bytes > self.budgets.once;
        let value_bytes_max = if is_crowded { CROWDED_VALUE_BYTES_MAX } else { VALUE_BYTES_MAX };
        let mut answer = Vec::with_capacity(16);
        if !encode(says, value_bytes_max, &mut answer) {
            return since;
        }
        self.forming.remember(place, once, &answer);
        let bytes = self.groups[place].once_bytes();
        if self.applied_when_taken_in(place) {
            let table = self.groups[place].once_mut();
            table.note(once, &answer);
            self.once.changed(bytes, Some(table), self.mono_us);
        }
        let share = self.budgets.once / self.groups.len().max(1);
        if self.once.bytes > self.budgets.once && bytes > share {
            self.forget_some(place);
        }
        Since::Forming
    }

    /// Answers a request whose first copy was on its way, and is done now.
    pub(super) fn answer_again(&self, place: Place, ticket: Ticket, once: &Once, out: &mut impl Answers) {
        match self.groups[place].known(once) {
            Known::Done(answer) => send(answer, &self.groups[place], ticket, out),
            Known::New | Known::Forgotten => out.answer(ticket, Answer::Unknown(Unsure::Forgotten)),
        }
    }
}

/// Sends what a request was answered before.
fn send<W>(answer: &[u8], group: &Group<W>, ticket: Ticket, out: &mut impl Answers) {
    match decode(&mut Reader(answer)) {
        Ok(Some(mut says)) => {
            says.translate(group);
            drop(says.send(ticket, out));
        }
        Ok(None) => out.answer(ticket, Answer::Unknown(Unsure::TooLong)),
        Err(error) => {
            tracing::error!("what a request came to can't be read, and is answered as forgotten: {error}");
            out.answer(ticket, Answer::Unknown(Unsure::Forgotten));
        }
    }
}

/// Appends what is to be answered again; `false` for what isn't remembered.
fn encode(says: &Says, value_bytes_max: usize, bytes: &mut Vec<u8>) -> bool {
    let is_long = says.value().is_some_and(|value| value.bytes() > value_bytes_max);
    let mut out = Writer(bytes);
    match says {
        _ if is_long => out.u8(TOO_LONG),
        Says::Written { version, existed, old } => {
            out.u8(WRITTEN);
            out.u64(version.0);
            out.u32(*existed);
            encode_value(old.as_deref(), &mut out);
        }
        Says::NotMet { current } => {
            out.u8(NOT_MET);
            encode_value(current.as_deref(), &mut out);
        }
        Says::Integer(number) => {
            out.u8(INTEGER);
            out.u64(*number as u64);
        }
        Says::Refused(Refusal::NotAnInteger) => out.u8(NOT_AN_INTEGER),
        Says::Refused(Refusal::Overflow) => out.u8(OVERFLOW),
        Says::Refused(_) | Says::Read(_) | Says::Again(_) => return false,
    }
    true
}

fn encode_value(value: Option<&OwnedValue>, out: &mut Writer<'_>) {
    let Some(value) = value.map(OwnedValue::borrow) else { return };
    out.u64(value.version.0);
    out.u64(value.expiry.0);
    out.bytes(value.bytes);
}

/// Reads what is to be answered again; `None` if it was too long to be kept.
fn decode(fields: &mut Reader<'_>) -> Result<Option<Says>, Malformed> {
    let says = match fields.u8()? {
        WRITTEN => {
            let (version, existed) = (Version(fields.u64()?), fields.u32()?);
            Says::Written { version, existed, old: decode_value(fields)? }
        }
        NOT_MET => Says::NotMet { current: decode_value(fields)? },
        INTEGER => Says::Integer(fields.u64()? as i64),
        NOT_AN_INTEGER => Says::Refused(Refusal::NotAnInteger),
        OVERFLOW => Says::Refused(Refusal::Overflow),
        TOO_LONG => return fields.end().map(|()| None),
        _ => return Err(Malformed("an answer of a kind that this build doesn't know")),
    };
    fields.end()?;
    Ok(Some(says))
}

fn decode_value(fields: &mut Reader<'_>) -> Result<Option<Box<OwnedValue>>, Malformed> {
    if fields.is_empty() {
        return Ok(None);
    }
    let (version, expiry) = (Version(fields.u64()?), Expiry(fields.u64()?));
    Ok(Some(Box::new(OwnedValue::new(Value { bytes: fields.bytes()?, version, expiry }))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_remembered_is_answered_again() {
        let value = |len| {
            let bytes = vec![7; len];
            let value = Value { bytes: &bytes, version: Version(9), expiry: Expiry(77) };
            Some(Box::new(OwnedValue::new(value)))
        };
        let written = |old| Says::Written { version: Version(5), existed: 3, old };
        let all = [
            written(None),
            written(value(0)),
            written(value(VALUE_BYTES_MAX)),
            Says::NotMet { current: None },
            Says::NotMet { current: value(3) },
            Says::Integer(-4),
            Says::Refused(Refusal::NotAnInteger),
            Says::Refused(Refusal::Overflow),
        ];
        for says in all {
            let mut bytes = Vec::new();
            assert!(encode(&says, VALUE_BYTES_MAX, &mut bytes));
            let again = decode(&mut Reader(&bytes)).unwrap().expect("it is short");
            assert_eq!(format!("{again:?}"), format!("{says:?}"));
        }
        let mut bytes = Vec::new();
        assert!(encode(&written(value(VALUE_BYTES_MAX + 1)), VALUE_BYTES_MAX, &mut bytes));
        assert!(decode(&mut Reader(&bytes)).unwrap().is_none());
        assert!(!encode(&Says::Refused(Refusal::Busy), VALUE_BYTES_MAX, &mut bytes));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&mut Reader(&bytes));
        }
    }
}
