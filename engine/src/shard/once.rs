//! Requests that are to be done once ([`crate::once`]): which of them are answered without being done, and what is remembered.
//!
//! What a request came to goes to the log with what it changed. One that changed nothing is remembered only if it was sent
//! before: a copy of it that comes later might find another state. A refusal isn't remembered: nothing was done.

use super::Shard;
use super::flow::{Since, Target};
use super::pending::{OwnedValue, PendingAnswer, Says};
use super::request::{Answer, Answers, ROOM_BYTES, Refusal, Ticket, Unsure, Value};
use crate::fields::{Malformed, Reader, Writer};
use crate::group::Order;
use crate::group::groups::Place;
use crate::key::{Expiry, Version};
use crate::once::{Known, Once, Table};

/// A request that was first sent so much later than now wasn't sent by this clock, microseconds.
const AHEAD_US_MAX: u64 = 500_000;

/// Nothing is forgotten that was first sent so lately, microseconds.
const KEPT_US_MIN: u64 = 1_000_000;

/// Room is made so often at most where there is none, microseconds.
const ROOM_US: u64 = 100_000;

const WRITTEN: u8 = 0;
const NOT_MET: u8 = 1;
const INTEGER: u8 = 2;
const NOT_AN_INTEGER: u8 = 3;
const OVERFLOW: u8 = 4;
/// It was done, and its answer was too long to be kept.
const TOO_LONG: u8 = 5;

/// What a shard knows of such requests beside what its groups remember.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnceState {
    /// Memory of all that is remembered.
    pub bytes: usize,
    /// When room was last made, by the monotonic clock.
    room_made_us: u64,
    /// At this monotonic time no group's floor was at this server time, or above.
    unforgotten: (u64, u64),
}

impl OnceState {
    /// With what the groups remember at this monotonic time.
    pub fn new<'a>(tables: impl Iterator<Item = &'a Table>, mono_us: u64) -> OnceState {
        let mut state = OnceState { bytes: 0, room_made_us: 0, unforgotten: (mono_us, 0) };
        tables.for_each(|table| state.changed(0, Some(table), mono_us));
        state
    }

    /// What a group remembers has changed; it took so many bytes before.
    #[inline]
    pub fn changed(&mut self, before: usize, table: Option<&Table>, mono_us: u64) {
        let Some(table) = table else { return };
        self.bytes = self.bytes + table.bytes() - before;
        if table.floor_us() > 0 && table.floor_us() >= self.unforgotten_us(mono_us) {
            self.unforgotten = (mono_us, table.floor_us() + 1);
        }
    }

    /// A time that no floor has come to.
    fn unforgotten_us(&self, mono_us: u64) -> u64 {
        let (at_us, unforgotten_us) = self.unforgotten;
        if unforgotten_us == 0 { 0 } else { unforgotten_us + mono_us.saturating_sub(at_us) }
    }
}

impl Shard {
    /// Whether a request is to be done. One that isn't is answered here, or when it is done that is on its way.
    pub(super) fn is_to_be_done(&mut self, target: Target, once: &Once, out: &mut impl Answers) -> bool {
        let Target { ticket, deadline_us, place, .. } = target;
        let group = &self.groups[place];
        let is_forgotten = match group.once().map_or(Known::New, |table| table.known(once)) {
            Known::Done(answer) => {
                self.counters.repeated += 1;
                send(answer, ticket, out);
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
        let refusal = match () {
            () if is_forgotten || is_ahead => Refusal::WrongTime,
            () if self.once.bytes > 2 * self.budgets.once => {
                self.make_room();
                Refusal::Busy
            }
            () => return true,
        };
        self.refuse(target, refusal, out);
        false
    }

    /// Has the group forget some that remembers most: nobody may write to it any more.
    #[cold]
    fn make_room(&mut self) {
        if self.mono_us < self.once.room_made_us + ROOM_US || self.read_only_reason().is_some() {
            return;
        }
        self.once.room_made_us = self.mono_us;
        let groups = self.groups.iter().enumerate();
        let ordered = groups.filter(|(_, group)| !matches!(group.order(), Order::Following { .. }));
        let largest = ordered.max_by_key(|(_, group)| group.once().map_or(0, Table::bytes));
        if let Some((place, _)) = largest {
            self.forget_some(place);
        }
    }

    /// Has a group forget about half of what it remembers, and nothing that may well be asked again.
    #[cold]
    fn forget_some(&mut self, place: Place) {
        let Some(table) = self.groups[place].once() else { return };
        let floor_us = table.middle_us().min(self.server_us().saturating_sub(KEPT_US_MIN));
        if floor_us <= table.floor_us() || self.forming.raises_floor(place) {
            return;
        }
        self.forming.raise_floor(place, floor_us);
        if self.applied_when_taken_in(place) {
            let before = self.groups[place].once().map_or(0, Table::bytes);
            self.groups[place].once_mut().raise_floor(floor_us);
            self.once.changed(before, self.groups[place].once(), self.mono_us);
        }
    }

    /// The time by which requests say when they were first sent, microseconds: the wall clock; but where that was set back, none
    /// that is forgotten already.
    pub fn server_us(&self) -> u64 {
        self.clock.wall_us().max(self.once.unforgotten_us(self.mono_us))
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
        let mut answer = Vec::with_capacity(16);
        if !encode(says, &mut answer) {
            return since;
        }
        self.forming.remember(place, once, &answer);
        let bytes = self.groups[place].once().map_or(0, Table::bytes);
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
        match self.groups[place].once().map_or(Known::New, |table| table.known(once)) {
            Known::Done(answer) => send(answer, ticket, out),
            Known::New | Known::Forgotten => out.answer(ticket, Answer::Unknown(Unsure::Forgotten)),
        }
    }
}

/// Sends what a request was answered before.
fn send(answer: &[u8], ticket: Ticket, out: &mut impl Answers) {
    match decode(&mut Reader(answer)) {
        Ok(Some(says)) => drop(says.send(ticket, out)),
        Ok(None) => out.answer(ticket, Answer::Unknown(Unsure::Forgotten)),
        Err(error) => {
            tracing::error!("what a request came to can't be read, and is answered as forgotten: {error}");
            out.answer(ticket, Answer::Unknown(Unsure::Forgotten));
        }
    }
}

/// Appends what is to be answered again; `false` for what isn't remembered.
fn encode(says: &Says, bytes: &mut Vec<u8>) -> bool {
    let is_long = says.value().is_some_and(|value| value.bytes() > ROOM_BYTES);
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
            written(value(ROOM_BYTES)),
            Says::NotMet { current: None },
            Says::NotMet { current: value(3) },
            Says::Integer(-4),
            Says::Refused(Refusal::NotAnInteger),
            Says::Refused(Refusal::Overflow),
        ];
        for says in all {
            let mut bytes = Vec::new();
            assert!(encode(&says, &mut bytes));
            let again = decode(&mut Reader(&bytes)).unwrap().expect("it is short");
            assert_eq!(format!("{again:?}"), format!("{says:?}"));
        }
        let mut bytes = Vec::new();
        assert!(encode(&written(value(ROOM_BYTES + 1)), &mut bytes));
        assert!(decode(&mut Reader(&bytes)).unwrap().is_none());
        assert!(!encode(&Says::Refused(Refusal::Busy), &mut bytes));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&mut Reader(&bytes));
        }
    }
}
