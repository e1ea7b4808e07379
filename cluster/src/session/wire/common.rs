//! What requests have in common: they know their connection, and may have to wait.

use super::state::{CallId, WireSession};
use crate::route::origin::Origin;
use crate::session::Hold;
use crate::session::backend::Backend;
use crate::session::dialogue::Dialogue;
use pinion_engine::key::Partition;
use pinion_engine::shard::request::{Once, Op, Request, Ticket};
use pinion_net::reactor::ConnId;

/// Walks that one connection may have under way.
const WALKS_MAX: usize = 4;

/// The session of a connection, if it is there and speaks this protocol.
pub(super) fn with<T>(
    backend: &mut impl Backend,
    conn: ConnId,
    work: impl FnOnce(&mut WireSession) -> T,
) -> Option<T> {
    match &mut backend.session(conn)?.dialogue {
        Dialogue::Wire(wire) => Some(work(wire)),
        Dialogue::Resp(_) => None,
    }
}

pub(super) fn ticket(conn: ConnId, call: CallId, part: usize) -> Ticket {
    Origin::connection(conn).ticket(call.request(part))
}

/// What is asked of a partition for the request that is being taken in: it has as long as the node grants, or less.
#[inline]
pub(super) fn request<'a>(
    backend: &mut impl Backend,
    conn: ConnId,
    partition: Partition,
    (op, once): (Op<'a>, Option<&'a Once>),
) -> Request<'a> {
    let asked = with(backend, conn, |wire| wire.asked).unwrap_or_default();
    let deadline_us = asked.deadline_us.min(backend.deadline_us());
    Request::new(partition, op).at(asked.level).until(deadline_us).once(once)
}

/// Holds a connection that has too many walks under way.
pub(super) fn has_room_for_walk(backend: &mut impl Backend, conn: ConnId) -> bool {
    let has_room = with(backend, conn, |wire| wire.walks < WALKS_MAX).unwrap_or(true);
    if !has_room {
        backend.hold(conn, Hold::Barrier);
    }
    has_room
}
