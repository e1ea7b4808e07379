//! A connection that speaks the binary protocol: frames in, requests to partitions, responses in any order.
//!
//! A request on one key is one request to its partition and is answered as soon as that answers. Requests on many keys
//! become one per partition ([`many`]); those that visit keys become walks ([`ranges`]). The ticket of a request is its
//! place in the table of calls (40 bits) and the part (24 bits).

mod answer;
mod many;
mod ranges;
mod server;

use super::{Dialogue, Hold};
use crate::core::owners::Owner;
use crate::core::turn::Turn;
use crate::stats::Class;
use many::Gather;
use pinion_engine::Keyspace;
use pinion_engine::key::Version;
use pinion_engine::shard::request::{self, ExpireCondition, Op, PutExpiry, Ticket, Update};
use pinion_net::reactor::ConnId;
use pinion_net::wire::{
    Command, Condition, ErrorCode, Expiry, Limits, Opcode, Parsed, Request, Responder, parse,
};

/// What is remembered of a request until it is answered.
struct Call {
    responder: Responder,
    class: Class,
    started_us: u64,
    /// A key that wasn't there is answered as not found.
    want_existed: bool,
    gather: Option<Box<Gather>>,
}

/// What a connection of this kind has.
#[derive(Default)]
pub struct WireSession {
    calls: Vec<Option<Call>>,
    free: Vec<u32>,
    /// Responses carry checksums of key and value.
    checked: bool,
    walks: usize,
    /// Bytes of values that wait for the rest of their response.
    gathered_bytes: usize,
    wrote_to: Option<usize>,
}

/// Walks that one connection may have under way.
const WALKS_MAX: usize = 4;

/// A table of calls above this size gives its memory back when it empties.
const KEEP_CALLS_MAX: usize = 64;

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

    /// Memory of responses that aren't complete.
    pub fn held_bytes(&self) -> usize {
        self.gathered_bytes
    }

    fn insert(&mut self, call: Call) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.calls[place as usize] = Some(call);
                place as usize
            }
            None => {
                self.calls.push(Some(call));
                self.calls.len() - 1
            }
        }
    }

    fn remove(&mut self, place: usize) -> Option<Call> {
        let call = self.calls.get_mut(place)?.take()?;
        self.free.push(place as u32);
        self.gathered_bytes -= call.gather.as_ref().map_or(0, |gather| gather.bytes());
        if self.in_flight() == 0 && self.calls.capacity() > KEEP_CALLS_MAX {
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

/// Takes in what was received; returns how much of it.
pub fn received(turn: &mut Turn<'_>, conn: ConnId, bytes: &[u8]) -> usize {
    let limits = turn.hub.node.limits;
    let mut at = 0;
    while at < bytes.len() && !turn.must_stop(conn) {
        match parse(&bytes[at..], &limits) {
            Parsed::Frame(frame, len) => {
                let Some(checked) = with(turn, conn, |wire| wire.checked) else { return bytes.len() };
                match Request::decode(&frame, &limits) {
                    Ok(request) => {
                        let responder = Responder::new(&request, checked);
                        if run(turn, conn, &request, responder) == Taken::NotYet {
                            break;
                        }
                    }
                    Err(error) => Responder::for_frame(&frame, checked).error(turn.io.output(conn), &error),
                }
                at += len;
            }
            Parsed::Incomplete { .. } => break,
            Parsed::Invalid(error) => {
                Responder::for_error(&error).error(turn.io.output(conn), &error);
                close(turn, conn);
                at = bytes.len();
            }
        }
    }
    if let Some(core) = with(turn, conn, |wire| wire.wrote_to.take()).flatten() {
        turn.throttle(conn, core);
    }
    at
}

/// No more input; the end comes when everything is answered.
fn close(turn: &mut Turn<'_>, conn: ConnId) {
    if let Some(session) = turn.hub.sessions.get(conn) {
        session.closing = true;
    }
}

/// The session of a connection, if it is there and speaks this protocol.
fn with<T>(turn: &mut Turn<'_>, conn: ConnId, work: impl FnOnce(&mut WireSession) -> T) -> Option<T> {
    match &mut turn.hub.sessions.get(conn)?.dialogue {
        Dialogue::Wire(wire) => Some(work(wire)),
        Dialogue::Resp(_) => None,
    }
}

fn ticket(conn: ConnId, place: usize, part: usize) -> Ticket {
    let owner = Owner::Connection { index: conn.index(), generation: conn.generation() };
    owner.ticket(WireSession::request(place, part))
}

fn run(turn: &mut Turn<'_>, conn: ConnId, request: &Request<'_>, responder: Responder) -> Taken {
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
    turn: &mut Turn<'_>,
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
    if class == Class::Write && !turn.may_write(conn, core, bytes) {
        return Taken::NotYet;
    }
    let responder = if core == turn.hub.me { responder } else { responder.forwarded() };
    let want_existed = matches!(command, Command::Delete { want_existed: true, .. } | Command::Expire { .. });
    let call = Call { responder, class, started_us: turn.hub.now.mono_us, want_existed, gather: None };
    let place = with(turn, conn, |wire| {
        if class == Class::Write {
            wire.wrote_to = Some(core);
        }
        wire.insert(call)
    });
    if let Some(place) = place {
        turn.submit(ticket(conn, place, 0), request::Request { keyspace: Keyspace(0), partition, op });
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

/// The limits that a node tells its clients.
pub fn limits(value_bytes_max: usize) -> Limits {
    Limits {
        value_bytes_max: value_bytes_max as u32, // the configuration allows 16 MiB at most
        in_flight_max: super::IN_FLIGHT_MAX as u32,
        ..Limits::default()
    }
}

/// Whether an answer to this opcode says only that it is done.
fn says_done(responder: Responder) -> bool {
    matches!(responder.opcode(), Some(Opcode::Expire | Opcode::Clear))
}

/// Holds a connection that has too many walks under way.
fn has_room_for_walk(turn: &mut Turn<'_>, conn: ConnId) -> bool {
    let has_room = with(turn, conn, |wire| wire.walks < WALKS_MAX).unwrap_or(true);
    if !has_room {
        turn.hub.hold(turn.io, conn, Hold::Barrier);
    }
    has_room
}
