//! A connection that speaks the binary protocol: frames in, requests to partitions, responses in any order.
//!
//! A request on one key is one request to its partition and is answered as soon as that answers. Requests on many keys
//! become one per partition ([`many`]); those that visit keys become walks ([`ranges`]). The ticket of a request names
//! its call (40 bits) and the part (24 bits).

mod answer;
mod common;
mod cursor;
mod gather;
mod many;
mod ranges;
mod server;
pub mod state;
mod translate;
mod waiting;

use super::{self as session, refusals, wrong_port};
use crate::route::Owner;
use crate::session::backend::Backend;
use crate::session::intake::{Taken, close};
use crate::session::weight::Weight;
use crate::stats::Class;
use common::{ticket, with};
use pinion_engine::shard::request::{Once, Op, Refusal};
use pinion_net::reactor::ConnId;
use pinion_net::wire::{self, Command, ErrorCode, Opcode, Parsed, Request, Responder, WireError, parse};
use state::{Asked, Call};
use std::sync::LazyLock;
use translate::on_one_key;
use waiting::deadline_us;

/// Takes in what was received.
pub fn received(backend: &mut impl Backend, conn: ConnId, bytes: &[u8]) -> session::Taken {
    let limits = backend.node().limits;
    let all = session::Taken { consumed: bytes.len(), need: 0 };
    let (mut at, mut need) = (0, 0);
    while at < bytes.len() && !backend.must_stop(conn) {
        match parse(&bytes[at..], &limits) {
            Parsed::Frame(frame, len) => {
                let now_us = backend.now().mono_us;
                let state = with(backend, conn, |wire| {
                    wire.spoken = true;
                    (wire.greeted, wire.checked, wire.waiting.arrived_us(at, now_us))
                });
                let Some((greeted, checked, arrived_us)) = state else { return all };
                if !greeted && frame.header.opcode != Opcode::Hello as u8 {
                    let responder = Responder::for_frame(&frame, checked);
                    responder.refused(backend.output(conn), ErrorCode::HELLO_REQUIRED, "");
                    close(backend, conn);
                    return all;
                }
                match Request::decode(&frame, &limits) {
                    Ok(request) => {
                        let responder = Responder::new(&request, checked);
                        let deadline_us = deadline_us(arrived_us, request.deadline_ms);
                        if deadline_us < now_us {
                            backend.stats().timed_out += 1;
                            let text = refusals::text(&Refusal::TimedOut);
                            responder.refused(backend.output(conn), ErrorCode::DEADLINE, &text);
                        } else {
                            let level = translate::level(request.level);
                            with(backend, conn, |wire| {
                                wire.asked = Asked::of(&request.command, level, deadline_us);
                            });
                            if run(backend, conn, &request, responder) == Taken::NotYet {
                                break;
                            }
                        }
                    }
                    Err(error) => Responder::for_frame(&frame, checked).error(backend.output(conn), &error),
                }
                at += len;
            }
            Parsed::Incomplete { need: bytes } => {
                need = bytes;
                break;
            }
            Parsed::Invalid(WireError::Magic)
                if is_fresh(backend, conn) && wrong_port::refuse_text(backend, conn, &bytes[at..]) =>
            {
                at = bytes.len();
            }
            Parsed::Invalid(error) => {
                with(backend, conn, |wire| Responder::for_error(&error).error(&mut wire.last_word, &error));
                close(backend, conn);
                at = bytes.len();
            }
        }
    }
    let now_us = backend.now().mono_us;
    let wrote_to = with(backend, conn, |wire| {
        wire.waiting.leave(at, bytes.len(), now_us);
        wire.wrote_to.take()
    });
    if let Some(owner) = wrote_to.flatten() {
        backend.throttle(conn, owner);
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
fn is_fresh(backend: &mut impl Backend, conn: ConnId) -> bool {
    with(backend, conn, |wire| !wire.spoken).unwrap_or_default()
}

fn run(backend: &mut impl Backend, conn: ConnId, request: &Request<'_>, responder: Responder) -> Taken {
    if request.keyspace != 0
        && !matches!(request.command, Command::Hello(_) | Command::Ping { .. } | Command::Info)
    {
        let text = format!("there is no keyspace {}; this version has keyspace 0 only", request.keyspace);
        responder.refused(backend.output(conn), ErrorCode::UNKNOWN_KEYSPACE, &text);
        return Taken::Yes;
    }
    let once = match who(backend, conn, request.once) {
        Ok(once) => once,
        Err(text) => {
            responder.refused(backend.output(conn), ErrorCode::BAD_REQUEST, text);
            return Taken::Yes;
        }
    };
    let once = once.as_ref();
    match request.command {
        Command::MultiGet { keys } => many::get(backend, conn, responder, keys),
        Command::Batch { ops } => many::batch(backend, conn, responder, (ops, once)),
        Command::Clear => many::clear(backend, conn, responder, once),
        Command::Scan(scan) => ranges::scan(backend, conn, responder, scan),
        Command::Count(range) => ranges::count(backend, conn, responder, range),
        ref command => match on_one_key(command) {
            Some((key, op)) => single(backend, conn, responder, command, key, (op, once)),
            None => {
                server::run(backend, conn, responder, command);
                Taken::Yes
            }
        },
    }
}

/// Whose a request is that is to be done once; the error says why nobody knows.
#[inline]
fn who(
    backend: &mut impl Backend,
    conn: ConnId,
    once: Option<wire::Once>,
) -> Result<Option<Once>, &'static str> {
    let Some(wire::Once { number, lowest, first_sent_us, is_again }) = once else { return Ok(None) };
    match with(backend, conn, |wire| wire.client).flatten() {
        Some(client) => Ok(Some(Once { client: client.get(), number, lowest, first_sent_us, is_again })),
        None => Err("ONCE is set, and no HELLO of this connection has agreed on it"),
    }
}

/// Runs a request on one key.
fn single(
    backend: &mut impl Backend,
    conn: ConnId,
    responder: Responder,
    command: &Command<'_>,
    key: &[u8],
    (op, once): (Op<'_>, Option<&Once>),
) -> Taken {
    let (partition, owner) = backend.route().home(key);
    if !backend.has_room(owner, conn) {
        return Taken::NotYet;
    }
    let class = if command.opcode().is_read() { Class::Read } else { Class::Write };
    let bytes = if let Command::Put { value, .. } = command { value.len() } else { 0 };
    let is_write = class == Class::Write;
    if is_write
        && !(backend.may_write(conn, owner, Weight::single(bytes)) && backend.has_time_for(conn, owner, &op))
    {
        return Taken::NotYet;
    }
    let responder = if owner == Owner::ThisCore { responder } else { responder.forwarded() };
    let want_existed = matches!(command, Command::Delete { want_existed: true, .. } | Command::Expire { .. });
    let call = Call { want_existed, ..Call::new(responder, class, backend.now().mono_us) };
    let id = with(backend, conn, |wire| {
        if is_write {
            wire.wrote_to = Some(owner);
        }
        wire.insert(call)
    });
    if let Some(id) = id {
        let request = common::request(backend, conn, partition, (op, once));
        backend.submit_single(conn, owner, ticket(conn, id, 0), request);
    }
    Taken::Yes
}
