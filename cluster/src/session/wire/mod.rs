//! A connection that speaks the binary protocol: frames in, requests to partitions, responses in any order.
//!
//! A request on one key is one request to its partition and is answered as soon as that answers. Requests on many keys
//! become one per partition ([`many`]); those that visit keys become walks ([`ranges`]). The ticket of a request is its
//! place in the table of calls (40 bits) and the part (24 bits).

mod answer;
mod cursor;
mod many;
mod ranges;
mod server;
mod waiting;

use super::{self as session, Dialogue, Hold, wrong_port};
use crate::core::owners::Owner;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::core::weight::Weight;
use crate::stats::Class;
use many::Gather;
use pinion_engine::Keyspace;
use pinion_engine::key::Version;
use pinion_engine::shard::request::{self, ExpireCondition, Op, PutExpiry, Ticket, Update};
use pinion_net::reactor::ConnId;
use pinion_net::wire::{
    Command, Condition, ErrorCode, Expiry, Opcode, Parsed, Request, Responder, WireError, parse,
};
use std::sync::LazyLock;
use waiting::{Waiting, deadline_us};

/// What is remembered of a request until it is answered.
struct Call {
    responder: Responder,
    class: Class,
    started_us: u64,
    /// A key that wasn't there is answered as not found.
    want_existed: bool,
    terms: Terms,
    /// What a cursor of its scan is bound to.
    seal: u32,
    gather: Option<Box<Gather>>,
}

impl Call {
    fn new(responder: Responder, class: Class, started_us: u64) -> Call {
        let terms = Terms::default();
        Call { responder, class, started_us, want_existed: false, terms, seal: 0, gather: None }
    }
}

/// What a request says of its answer, whatever it asks for.
#[derive(Clone, Copy, Default)]
struct Terms {
    /// Values that it may carry.
    values: usize,
    /// When nobody waits for it any more, by the clock of the turns.
    deadline_us: u64,
}

impl Terms {
    #[inline]
    fn of(command: &Command<'_>, deadline_us: u64) -> Terms {
        let values = match command {
            Command::MultiGet { keys } => keys.len().max(1),
            Command::Put { want_old, .. } | Command::Delete { want_old, .. } => usize::from(*want_old),
            command => usize::from(command.opcode().is_read()),
        };
        Terms { values, deadline_us }
    }
}

/// What a connection of this kind has.
#[derive(Default)]
pub struct WireSession {
    calls: Vec<Option<Call>>,
    free: Vec<u32>,
    /// Room for so many calls is made when the first comes: half of what was given back last, so that a client that goes on
    /// with as many doubles it once, and one that doesn't comes down.
    calls_next: usize,
    /// Sum of [`Terms::values`].
    values_due: usize,
    /// Of the request that is being taken in.
    terms: Terms,
    waiting: Waiting,
    /// A frame has come.
    spoken: bool,
    /// HELLO was agreed on.
    greeted: bool,
    /// Responses carry checksums of key and value.
    checked: bool,
    walks: usize,
    /// Bytes of values that wait for the rest of their response.
    gathered_bytes: usize,
    wrote_to: Option<usize>,
    /// What is said when everything that was taken in is answered, before the connection is closed.
    last_word: Vec<u8>,
}

/// Walks that one connection may have under way.
const WALKS_MAX: usize = 4;

/// A table of calls above this size gives its memory back when it empties.
const KEEP_CALLS_MAX: usize = 16;

const PART_BITS: u32 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    NotYet,
}

impl WireSession {
    /// Requests without a response.
    pub fn in_flight(&self) -> usize {
        self.calls.len() - self.free.len()
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
        let due = self.values_due * many::BYTES_PER_KEY;
        self.gathered_bytes + due + calls + self.free.capacity() * size_of::<u32>()
    }

    /// Has the client told why its connection is closed.
    pub fn dismiss(&mut self, reason: &str) {
        self.last_word.clear();
        Responder::notice().refused(&mut self.last_word, ErrorCode::BUSY, reason);
    }

    /// Adds a call of the request that is being taken in.
    fn insert(&mut self, mut call: Call) -> usize {
        call.terms = self.terms;
        self.values_due += call.terms.values;
        match self.free.pop() {
            Some(place) => {
                self.calls[place as usize] = Some(call);
                place as usize
            }
            None => {
                if self.calls.capacity() == 0 {
                    self.calls.reserve_exact(self.calls_next);
                    self.free.reserve_exact(self.calls_next);
                }
                self.calls.push(Some(call));
                self.calls.len() - 1
            }
        }
    }

    fn remove(&mut self, place: usize) -> Option<Call> {
        let call = self.calls.get_mut(place)?.take()?;
        self.free.push(place as u32);
        self.values_due -= call.terms.values;
        self.gathered_bytes -= call.gather.as_ref().map_or(0, |gather| gather.bytes());
        if self.in_flight() == 0 && self.calls.capacity() > KEEP_CALLS_MAX {
            self.calls_next = self.calls.capacity() / 2;
            (self.calls, self.free) = (Vec::new(), Vec::new());
        }
        Some(call)
    }

    fn request(place: usize, part: usize) -> u64 {
        (place as u64) << PART_BITS | part as u64
    }

    fn parts(request: u64) -> (usize, usize) {
        ((request >> PART_BITS) as usize, (request & ((1 << PART_BITS) - 1)) as usize)
    }
}

/// Takes in what was received.
pub fn received(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, bytes: &[u8]) -> session::Taken {
    let limits = turn.hub.node.limits;
    let all = session::Taken { consumed: bytes.len(), need: 0 };
    let (mut at, mut need) = (0, 0);
    while at < bytes.len() && !turn.must_stop(conn) {
        match parse(&bytes[at..], &limits) {
            Parsed::Frame(frame, len) => {
                let now_us = turn.hub.now.mono_us;
                let state = with(turn, conn, |wire| {
                    wire.spoken = true;
                    (wire.greeted, wire.checked, wire.waiting.arrived_us(at, now_us))
                });
                let Some((greeted, checked, arrived_us)) = state else { return all };
                if !greeted && frame.header.opcode != Opcode::Hello as u8 {
                    let responder = Responder::for_frame(&frame, checked);
                    responder.refused(turn.io.output(conn), ErrorCode::HELLO_REQUIRED, "");
                    close(turn, conn);
                    return all;
                }
                match Request::decode(&frame, &limits) {
                    Ok(request) => {
                        let responder = Responder::new(&request, checked);
                        let deadline_us = deadline_us(arrived_us, request.deadline_ms);
                        if deadline_us < now_us {
                            responder.refused(turn.io.output(conn), ErrorCode::DEADLINE, "");
                        } else {
                            with(turn, conn, |wire| wire.terms = Terms::of(&request.command, deadline_us));
                            if run(turn, conn, &request, responder) == Taken::NotYet {
                                break;
                            }
                        }
                    }
                    Err(error) => Responder::for_frame(&frame, checked).error(turn.io.output(conn), &error),
                }
                at += len;
            }
            Parsed::Incomplete { need: bytes } => {
                need = bytes;
                break;
            }
            Parsed::Invalid(WireError::Magic)
                if is_fresh(turn, conn) && wrong_port::refuse_text(turn, conn, &bytes[at..]) =>
            {
                at = bytes.len();
            }
            Parsed::Invalid(error) => {
                with(turn, conn, |wire| Responder::for_error(&error).error(&mut wire.last_word, &error));
                close(turn, conn);
                at = bytes.len();
            }
        }
    }
    let now_us = turn.hub.now.mono_us;
    let wrote_to = with(turn, conn, |wire| {
        wire.waiting.leave(at, bytes.len(), now_us);
        wire.wrote_to.take()
    });
    if let Some(core) = wrote_to.flatten() {
        turn.throttle(conn, core);
    }
    session::Taken { consumed: at, need }
}

/// What a connection over the limit of connections is told.
pub fn too_many_connections() -> &'static [u8] {
    static NOTICE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut notice = Vec::new();
        let text = "the node has as many connections as it may; close some, or raise --connections-max";
        Responder::notice().refused(&mut notice, ErrorCode::TOO_MANY_CONNECTIONS, text);
        notice
    });
    &NOTICE
}

/// Whether no frame has come yet.
fn is_fresh(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> bool {
    with(turn, conn, |wire| !wire.spoken).unwrap_or_default()
}

/// No more input; the end comes when everything is answered.
fn close(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) {
    if let Some(session) = turn.hub.sessions.get(conn) {
        session.closing = true;
    }
}

/// The session of a connection, if it is there and speaks this protocol.
fn with<T>(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    work: impl FnOnce(&mut WireSession) -> T,
) -> Option<T> {
    match &mut turn.hub.sessions.get(conn)?.dialogue {
        Dialogue::Wire(wire) => Some(work(wire)),
        Dialogue::Resp(_) => None,
    }
}

fn ticket(conn: ConnId, place: usize, part: usize) -> Ticket {
    let owner = Owner::Connection { index: conn.index(), generation: conn.generation() };
    owner.ticket(WireSession::request(place, part))
}

fn run(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    request: &Request<'_>,
    responder: Responder,
) -> Taken {
    if request.keyspace != 0
        && !matches!(request.command, Command::Hello(_) | Command::Ping { .. } | Command::Info)
    {
        let text = format!("there is no keyspace {}; this version has keyspace 0 only", request.keyspace);
        responder.refused(turn.io.output(conn), ErrorCode::UNKNOWN_KEYSPACE, &text);
        return Taken::Yes;
    }
    match request.command {
        Command::MultiGet { keys } => many::get(turn, conn, responder, keys),
        Command::Batch { ops } => many::batch(turn, conn, responder, ops),
        Command::Clear => many::clear(turn, conn, responder),
        Command::Scan(scan) => ranges::scan(turn, conn, responder, scan),
        Command::Count(range) => ranges::count(turn, conn, responder, range),
        ref command => match on_one_key(command) {
            Some((key, op)) => single(turn, conn, responder, command, key, op),
            None => {
                server::run(turn, conn, responder, command);
                Taken::Yes
            }
        },
    }
}

/// Runs a request on one key.
fn single(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    responder: Responder,
    command: &Command<'_>,
    key: &[u8],
    op: Op<'_>,
) -> Taken {
    let (partition, core) = turn.home(key);
    if !turn.has_room(core, conn) {
        return Taken::NotYet;
    }
    let class = if command.opcode().is_read() { Class::Read } else { Class::Write };
    let bytes = if let Command::Put { value, .. } = command { value.len() } else { 0 };
    let is_write = class == Class::Write;
    if is_write && !(turn.may_write(conn, core, Weight::single(bytes)) && turn.has_time_for(conn, core, &op))
    {
        return Taken::NotYet;
    }
    let responder = if core == turn.hub.me { responder } else { responder.forwarded() };
    let want_existed = matches!(command, Command::Delete { want_existed: true, .. } | Command::Expire { .. });
    let call = Call { want_existed, ..Call::new(responder, class, turn.hub.now.mono_us) };
    let place = with(turn, conn, |wire| {
        if is_write {
            wire.wrote_to = Some(core);
        }
        wire.insert(call)
    });
    if let Some(place) = place {
        let request = request::Request { keyspace: Keyspace(0), partition, op };
        turn.submit_single(conn, core, ticket(conn, place, 0), request);
    }
    Taken::Yes
}

/// What a command asks of one key's partition; `None` if it isn't about one key.
fn on_one_key<'a>(command: &Command<'a>) -> Option<(&'a [u8], Op<'a>)> {
    let update = |key, update| Some((key, Op::Update { key, update }));
    match *command {
        Command::Get { key } | Command::Exists { key } => Some((key, Op::Get { key })),
        Command::Put { key, value, expiry, condition, want_old } => {
            let (expiry, condition) = (put_expiry(expiry), self::condition(condition));
            update(key, Update::Put { value, expiry, condition, want_old })
        }
        Command::Delete { key, condition, want_old, want_existed } => {
            update(key, Update::Delete { condition: self::condition(condition), want_old, want_existed })
        }
        Command::Increment { key, by } => update(key, Update::Increment { by }),
        Command::Expire { key, expiry } => {
            let (expiry, condition) = (put_expiry(expiry), ExpireCondition::None);
            update(key, Update::Expire { expiry, condition, want_old: false })
        }
        _ => None,
    }
}

fn put_expiry(expiry: Expiry) -> PutExpiry {
    match expiry {
        Expiry::Never => PutExpiry::Never,
        Expiry::After(ms) => PutExpiry::After(ms),
        Expiry::At(ms) => PutExpiry::At(ms),
        Expiry::Keep => PutExpiry::Keep,
    }
}

fn condition(condition: Condition) -> request::Condition {
    match condition {
        Condition::None => request::Condition::None,
        Condition::Absent => request::Condition::Absent,
        Condition::Present => request::Condition::Present,
        Condition::Version(version) => request::Condition::Version(Version(version)),
    }
}

/// Whether an answer to this opcode says only that it is done.
fn says_done(responder: Responder) -> bool {
    matches!(responder.opcode(), Some(Opcode::Expire | Opcode::Clear))
}

/// Holds a connection that has too many walks under way.
fn has_room_for_walk(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> bool {
    let has_room = with(turn, conn, |wire| wire.walks < WALKS_MAX).unwrap_or(true);
    if !has_room {
        turn.hub.hold(turn.io, conn, Hold::Barrier);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::super::Session;
    use super::super::limits::{self, IN_FLIGHT_MAX};
    use super::*;

    /// How many requests of a kind a new connection has under way when it is full.
    fn taken_in(command: &Command<'_>) -> usize {
        let conn = ConnId::from_u64(0);
        let mut session = Session::new(conn, Dialogue::Wire(WireSession::default()), false);
        while !session.is_full() {
            let Dialogue::Wire(wire) = &mut session.dialogue else { unreachable!("it was made one") };
            wire.terms = Terms::of(command, u64::MAX);
            let responder = Responder::for_parts(1, command.opcode() as u8, false);
            wire.insert(Call::new(responder, Class::Write, 0));
        }
        session.in_flight()
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
