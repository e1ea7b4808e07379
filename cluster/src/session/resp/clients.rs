//! CLIENT LIST, KILL and INFO: the connections that speak RESP.
//!
//! On the common port they are those of the node, on a core's own port those of the core. Each core describes its own, a
//! slice at a time ([`slice`]), and whoever was asked puts them together ([`Listing`]).

use super::common::{self, alone, answer, fail, with};
use super::reply::NO_SUCH_CLIENT;
use super::scans;
use super::state::{RespSession, Shape};
use crate::session::Session;
use crate::session::backend::Backend;
use crate::session::dialogue::Dialogue;
use crate::session::intake::Taken;
use crate::session::listing::{Listing, Wanted};
use crate::session::sockets::Sockets;
use crate::session::walk::Walk;
use crate::session::walk::task::Task;
use pinion_engine::key::{Expiry, Keyspace, Version};
use pinion_engine::shard::request::{Page, Value};
use pinion_net::reactor::ConnId;
use pinion_net::resp::{ClientFilter, ClientKind};
use std::net::SocketAddr;
use std::ops::Range;

/// Places of the table of connections that one slice looks at, and lines that it makes, at most.
const SLICE_PLACES: u32 = 1024;
const SLICE_LINES: usize = 64;

/// CLIENT LIST.
pub(super) fn list(backend: &mut impl Backend, conn: ConnId, filter: ClientFilter<'_>) -> Taken {
    if is_nobody(&filter) {
        answer(backend, conn, |reply| reply.text(""));
        return Taken::Yes;
    }
    visit(backend, conn, Shape::Clients, filter, false)
}

/// CLIENT KILL with conditions.
pub(super) fn kill(backend: &mut impl Backend, conn: ConnId, filter: ClientFilter<'_>) -> Taken {
    if is_nobody(&filter) {
        answer(backend, conn, |reply| reply.integer(0));
        return Taken::Yes;
    }
    visit(backend, conn, Shape::Killed, filter, true)
}

/// CLIENT KILL of the connection from an address.
pub(super) fn kill_address(backend: &mut impl Backend, conn: ConnId, address: &[u8]) -> Taken {
    if address.is_empty() {
        fail(backend, conn, NO_SUCH_CLIENT);
        return Taken::Yes;
    }
    let filter = ClientFilter { address: Some(address), ..ClientFilter::default() };
    visit(backend, conn, Shape::KilledOne, filter, true)
}

/// There are no replicas, no masters and no subscribers.
fn is_nobody(filter: &ClientFilter<'_>) -> bool {
    let is_other = filter.kind.is_some_and(|kind| kind != ClientKind::Normal);
    is_other || [filter.address, filter.local].contains(&Some(b""))
}

fn visit(
    backend: &mut impl Backend,
    conn: ConnId,
    shape: Shape,
    filter: ClientFilter<'_>,
    kills: bool,
) -> Taken {
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let asker = with(backend, conn, |resp| resp.facts.id).unwrap_or_default();
    let mut ids: Vec<u64> = filter.numbers().collect();
    ids.sort_unstable();
    let wanted = Wanted {
        ids,
        address: filter.address.unwrap_or_default().to_vec(),
        local: filter.local.unwrap_or_default().to_vec(),
        age_s: filter.age_s.unwrap_or_default(),
        except: if filter.skips_me { asker } else { 0 },
        asker,
        kills,
    };
    let cores = visible(backend, conn);
    let Some(whom) = scans::begin(backend, conn, shape) else { return Taken::Yes };
    backend.start_walk(Walk::new(
        whom,
        Keyspace(0),
        Vec::new(),
        scans::first(),
        Task::Clients(Listing::new(wanted, cores)),
    ));
    Taken::Yes
}

/// The cores whose connections a connection sees.
fn visible(backend: &mut impl Backend, conn: ConnId) -> Range<usize> {
    let me = backend.me();
    let own_port = backend.session(conn).is_some_and(|session| session.own_port);
    if own_port { me..me + 1 } else { 0..backend.node().cores }
}

/// CLIENT INFO.
pub(super) fn info(backend: &mut impl Backend, conn: ConnId) {
    let (command, now_us) = (common::command(backend), backend.now().mono_us);
    let (sessions, sockets) = backend.sessions();
    let Some(session) = sessions.get(conn) else { return };
    let Dialogue::Resp(resp) = &mut session.dialogue else { return };
    resp.command = command;
    let line = line(conn, resp, sockets, now_us);
    answer(backend, conn, |reply| reply.text(&line));
}

/// Visits the connections of this core from a place on: an item for each that is wanted, and where to go on.
pub fn slice(backend: &mut impl Backend, wanted: &Wanted, from: u32) -> (Page, Option<u32>) {
    let (now_us, mut page) = (backend.now().mono_us, Page::default());
    let (sessions, sockets) = backend.sessions();
    let end = sessions.places();
    for place in from..end.min(from.saturating_add(SLICE_PLACES)) {
        if page.len() == SLICE_LINES {
            return (page, Some(place));
        }
        let Some(session) = sessions.at_place(place) else { continue };
        let Dialogue::Resp(resp) = &session.dialogue else { continue };
        if !wanted.takes(resp, now_us) {
            continue;
        }
        let line = if wanted.kills { String::new() } else { line(session.conn, resp, sockets, now_us) };
        page.push(line.as_bytes(), Value { bytes: b"", version: Version(0), expiry: Expiry::NEVER });
        if wanted.kills {
            end_connection(sockets, session, wanted.asker);
        }
    }
    let next = from.saturating_add(SLICE_PLACES);
    (page, (next < end).then_some(next))
}

/// Closes a connection; the one that asked for it when it has its answer.
fn end_connection(io: &mut impl Sockets, session: &mut Session, asker: u64) {
    let Dialogue::Resp(resp) = &session.dialogue else { return };
    if resp.facts.id == asker {
        session.closing = true;
    } else {
        io.abort(session.conn);
    }
}

impl Wanted {
    fn takes(&self, resp: &RespSession, now_us: u64) -> bool {
        let facts = &resp.facts;
        let is = |wanted: &[u8], address: Option<SocketAddr>| {
            wanted.is_empty() || address.is_some_and(|address| address.to_string().as_bytes() == wanted)
        };
        facts.id != self.except
            && (self.ids.is_empty() || self.ids.binary_search(&facts.id).is_ok())
            && now_us.saturating_sub(facts.opened_us) / 1_000_000 >= self.age_s
            && is(&self.address, facts.peer)
            && is(&self.local, facts.local)
    }
}

/// One connection's line, in the order of Redis 7.
fn line(conn: ConnId, resp: &RespSession, io: &impl Sockets, now_us: u64) -> String {
    let facts = &resp.facts;
    let seconds = |since_us: u64| now_us.saturating_sub(since_us) / 1_000_000;
    let address = |address: Option<SocketAddr>| address.map_or(String::new(), |address| address.to_string());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (kept, queued, held) = (io.kept(conn), io.queued(conn), resp.held_bytes());
    let (library, version) = &facts.library;
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf={kept} \
         qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={queued} oll=0 omem={held} tot-mem={} events={} cmd={} \
         user=default redir=-1 resp={} lib-name={} lib-ver={}\n",
        facts.id,
        address(facts.peer),
        address(facts.local),
        conn.index(),
        text(&facts.name),
        seconds(facts.opened_us),
        seconds(resp.heard_us),
        kept + queued + held,
        if queued > 0 { "rw" } else { "r" },
        resp.command,
        resp.replies.protocol().number(),
        text(library),
        text(version),
    )
}
