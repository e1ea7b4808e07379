//! What is remembered of a connection that speaks the binary protocol, and of its requests until they are answered.

use super::gather::{BYTES_PER_KEY, Gather};
use super::waiting::Waiting;
use crate::route::Owner;
use crate::stats::Class;
use pinion_engine::shard::request::Level;
use pinion_net::wire::{Command, ErrorCode, Responder};
use std::num::NonZeroU128;

/// A table of calls above this size gives its memory back when it empties.
const KEEP_CALLS_MAX: usize = 16;

/// Names a call of a connection, and none that has its place before or after it: an answer that comes too late finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallId {
    place: u32,
    generation: u16,
}

const PART_BITS: u32 = 24;
const PLACE_BITS: u32 = 24;

impl CallId {
    /// The request of a ticket for a part of it.
    pub(super) fn request(self, part: usize) -> u64 {
        let place = u64::from(self.generation) << PLACE_BITS | u64::from(self.place);
        place << PART_BITS | part as u64
    }

    /// The call and the part of a ticket's request.
    pub(super) fn of(request: u64) -> (CallId, usize) {
        let place = request >> PART_BITS;
        let generation = (place >> PLACE_BITS) as u16;
        let id = CallId { place: (place & ((1 << PLACE_BITS) - 1)) as u32, generation };
        (id, (request & ((1 << PART_BITS) - 1)) as usize)
    }
}

/// What is remembered of a request until it is answered.
pub(super) struct Call {
    pub(super) generation: u16,
    pub(super) responder: Responder,
    pub(super) class: Class,
    pub(super) started_us: u64,
    /// A key that wasn't there is answered as not found.
    pub(super) want_existed: bool,
    pub(super) asked: Asked,
    /// What a cursor of its scan is bound to.
    pub(super) seal: u32,
    pub(super) gather: Option<Box<Gather>>,
}

impl Call {
    pub(super) fn new(responder: Responder, class: Class, started_us: u64) -> Call {
        let asked = Asked::default();
        Call {
            generation: 0,
            responder,
            class,
            started_us,
            want_existed: false,
            asked,
            seal: 0,
            gather: None,
        }
    }
}

/// What a request says of its answer, whatever it asks for.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    /// Values that it may carry.
    pub(super) values: usize,
    /// What is promised of it.
    pub(super) level: Level,
    /// When nobody waits for it any more, if its client said so, by the clock of the turns.
    pub(super) deadline_us: u64,
}

impl Asked {
    #[inline]
    pub(super) fn of(command: &Command<'_>, level: Level, deadline_us: u64) -> Asked {
        let values = match command {
            Command::MultiGet { keys } => keys.len().max(1),
            Command::Put { want_old, .. } | Command::Delete { want_old, .. } => usize::from(*want_old),
            command => usize::from(command.opcode().is_read()),
        };
        Asked { values, level, deadline_us }
    }
}

/// What a connection of this kind has.
#[derive(Default)]
pub struct WireSession {
    pub(super) calls: Vec<Option<Call>>,
    pub(super) free: Vec<u32>,
    /// Of the next call.
    pub(super) generation: u16,
    /// Room for so many calls is made when the first comes: half of what was given back last, so that a client that goes on
    /// with as many doubles it once, and one that doesn't comes down.
    pub(super) calls_next: usize,
    /// Sum of [`Asked::values`].
    pub(super) values_due: usize,
    /// Of the request that is being taken in.
    pub(super) asked: Asked,
    pub(super) waiting: Waiting,
    /// A frame has come.
    pub(super) spoken: bool,
    /// HELLO was agreed on.
    pub(super) greeted: bool,
    /// Responses carry checksums of key and value.
    pub(super) checked: bool,
    /// Who asks for requests that are to be done once, if that was agreed on.
    pub(super) client: Option<NonZeroU128>,
    pub(super) walks: usize,
    /// Bytes of values that wait for the rest of their response.
    pub(super) gathered_bytes: usize,
    pub(super) wrote_to: Option<Owner>,
    /// What is said when everything that was taken in is answered, before the connection is closed.
    pub(super) last_word: Vec<u8>,
}

impl WireSession {
    /// Requests without a response.
    pub fn in_flight(&self) -> usize {
        self.calls.len() - self.free.len()
    }

    /// When the oldest request came that is no walk.
    pub fn waits_since_us(&self) -> Option<u64> {
        let calls = self.calls.iter().flatten().filter(|call| call.class != Class::Scan);
        calls.map(|call| call.started_us).min()
    }

    /// Requests without a response whose response may carry values.
    pub fn values_due(&self) -> usize {
        self.values_due
    }

    /// The node goes down: says so at the end, unless there is another reason for it.
    pub fn go_down(&mut self) {
        if self.last_word.is_empty() {
            Responder::notice().refused(&mut self.last_word, ErrorCode::SHUTTING_DOWN, "");
        }
    }

    /// Takes what is to be said before the connection is closed; empty: nothing.
    pub fn take_last_word(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.last_word)
    }

    /// Memory of responses that aren't complete.
    pub fn held_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// All memory that it holds.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        let calls = self.calls.capacity() * size_of::<Option<Call>>();
        let due = self.values_due * BYTES_PER_KEY;
        self.gathered_bytes + due + calls + self.free.capacity() * size_of::<u32>()
    }

    /// Has the client told why its connection is closed.
    pub fn dismiss(&mut self, reason: &str) {
        self.last_word.clear();
        Responder::notice().refused(&mut self.last_word, ErrorCode::BUSY, reason);
    }

    /// Adds a call of the request that is being taken in.
    pub(super) fn insert(&mut self, mut call: Call) -> CallId {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        (call.asked, call.generation) = (self.asked, generation);
        self.values_due += call.asked.values;
        let place = match self.free.pop() {
            Some(place) => {
                self.calls[place as usize] = Some(call);
                place
            }
            None => {
                if self.calls.capacity() == 0 {
                    self.calls.reserve_exact(self.calls_next);
                    self.free.reserve_exact(self.calls_next);
                }
                self.calls.push(Some(call));
                self.calls.len() as u32 - 1
            }
        };
        CallId { place, generation }
    }

    pub(super) fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(id.place as usize)?.as_ref().filter(|call| call.generation == id.generation)
    }

    pub(super) fn call_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.get_mut(id.place as usize)?.as_mut().filter(|call| call.generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<Call> {
        self.call(id)?;
        let call = self.calls[id.place as usize].take()?;
        self.free.push(id.place);
        self.values_due -= call.asked.values;
        self.gathered_bytes -= call.gather.as_ref().map_or(0, |gather| gather.bytes());
        if self.in_flight() == 0 && self.calls.capacity() > KEEP_CALLS_MAX {
            self.calls_next = self.calls.capacity() / 2;
            (self.calls, self.free) = (Vec::new(), Vec::new());
        }
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use crate::session::dialogue::Dialogue;
    use crate::session::limits::{self, IN_FLIGHT_MAX};
    use pinion_engine::shard::request::NO_DEADLINE;
    use pinion_net::reactor::ConnId;
    use pinion_net::wire::{Condition, Expiry};

    /// How many requests of a kind a new connection has under way when it is full.
    fn taken_in(command: &Command<'_>) -> usize {
        let conn = ConnId::from_u64(0);
        let mut session = Session::new(conn, Dialogue::Wire(WireSession::default()), false);
        while !session.is_full() {
            let Dialogue::Wire(wire) = &mut session.dialogue else { unreachable!("it was made one") };
            wire.asked = Asked::of(command, Level::Default, NO_DEADLINE);
            let responder = Responder::for_parts(1, command.opcode() as u8, false);
            wire.insert(Call::new(responder, Class::Write, 0));
        }
        session.in_flight()
    }

    #[test]
    fn an_answer_finds_its_own_call_or_none() {
        let mut wire = WireSession::default();
        let call = || Call::new(Responder::for_parts(1, 0x10, false), Class::Read, 0);
        let (first, second) = (wire.insert(call()), wire.insert(call()));
        assert_eq!(CallId::of(first.request(77)), (first, 77));
        assert!(wire.remove(first).is_some() && wire.remove(first).is_none());
        let third = wire.insert(call());
        assert_eq!(third.place, first.place);
        assert!(wire.call(first).is_none() && wire.call_mut(first).is_none() && wire.remove(first).is_none());
        assert!(wire.call(second).is_some() && wire.call(third).is_some());
        assert_eq!(wire.in_flight(), 2);
    }

    #[test]
    fn a_new_connection_takes_in_all_the_writes_it_may_and_reads_in_a_slow_start() {
        let (expiry, condition) = (Expiry::Never, Condition::None);
        let put = |want_old| Command::Put { key: b"k", value: b"v", expiry, condition, want_old };
        assert_eq!(taken_in(&put(false)), IN_FLIGHT_MAX);
        assert_eq!(limits::wire(0, 0).in_flight_max as usize, IN_FLIGHT_MAX, "as HELLO tells");
        assert_eq!(taken_in(&put(true)), 8);
        assert_eq!(taken_in(&Command::Get { key: b"k" }), 8);
        let mut keys = pinion_net::wire::KeyListBuilder::default();
        (0..5).for_each(|_| keys.push(b"k").unwrap());
        assert_eq!(taken_in(&Command::MultiGet { keys: keys.list() }), 2);
    }
}
