//! What requests have in common: they know their connection, and may have to wait.

use super::state::{CallId, WireSession};
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::route::origin::Origin;
use crate::session::{Dialogue, Hold};
use pinion_engine::key::Partition;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_net::reactor::ConnId;

/// Walks that one connection may have under way.
const WALKS_MAX: usize = 4;

/// The session of a connection, if it is there and speaks this protocol.
pub(super) fn with<T>(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    work: impl FnOnce(&mut WireSession) -> T,
) -> Option<T> {
    match &mut turn.hub.sessions.get(conn)?.dialogue {
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
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    partition: Partition,
    op: Op<'a>,
) -> Request<'a> {
    let asked = with(turn, conn, |wire| wire.asked).unwrap_or_default();
    Request::new(partition, op).at(asked.level).until(asked.deadline_us.min(turn.hub.deadline_us()))
}

/// Holds a connection that has too many walks under way.
pub(super) fn has_room_for_walk(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> bool {
    let has_room = with(turn, conn, |wire| wire.walks < WALKS_MAX).unwrap_or(true);
    if !has_room {
        turn.hub.hold(turn.io, conn, Hold::Barrier);
    }
    has_room
}
