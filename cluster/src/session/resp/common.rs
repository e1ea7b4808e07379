//! What commands have in common: they answer, fail, run alone, and know their connection.

use super::state::{Call, RespSession, Shape};
use super::transaction::Verdict;
use crate::core::cost::ANSWER_COST;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::route::origin::Origin;
use crate::session::intake::Taken;
use crate::session::settled::Ending;
use crate::session::{Dialogue, Hold};
use crate::stats::Class;
use crate::stats::tally::ErrorWord;
use pinion_engine::key::Partition;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_net::reactor::ConnId;
use pinion_net::resp::{CommandId, Encoder, Sequence};

pub(super) fn give_verdict(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, verdict: Verdict) {
    turn.hub.command = CommandId::NONE;
    match verdict {
        Verdict::Ok => answer(turn, conn, |reply| reply.ok()),
        Verdict::Error(text) => fail(turn, conn, text),
    }
}

pub(super) fn ticket(conn: ConnId, sequence: Sequence, part: usize) -> Ticket {
    Origin::connection(conn).ticket(RespSession::request(sequence, part))
}

/// What is asked of a partition: a command has so long as the node grants.
#[inline]
pub(super) fn request<'a>(turn: &Turn<'_, impl Sockets>, partition: Partition, op: Op<'a>) -> Request<'a> {
    Request::new(partition, op).until(turn.hub.deadline_us())
}

/// The session of a connection, if it is there and speaks RESP.
pub(super) fn with<T>(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    work: impl FnOnce(&mut RespSession) -> T,
) -> Option<T> {
    match &mut turn.hub.sessions.get(conn)?.dialogue {
        Dialogue::Resp(resp) => Some(work(resp)),
        Dialogue::Wire(_) => None,
    }
}

/// Answers a command that needs no data, in its turn.
pub(super) fn answer(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, write: impl FnOnce(&mut Encoder<'_>)) {
    let (started_us, command) = (turn.hub.now.mono_us, turn.hub.command);
    let call = Call { shape: Shape::Ok, class: Class::Server, started_us, command, values: 0, many: None };
    let settled = call.settled(Ending::Done);
    turn.hub.spent += ANSWER_COST / 2;
    let Some(session) = turn.hub.sessions.get(conn) else { return };
    if let Dialogue::Resp(resp) = &mut session.dialogue {
        resp.next += 1;
        resp.replies.answer(call, turn.io.output(conn), write);
    }
    turn.hub.settle(settled);
}

/// Answers with an error, in its turn.
pub(super) fn fail(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, error: impl AsRef<[u8]>) {
    turn.hub.tally().failed(turn.hub.command, ErrorWord::of(error.as_ref()));
    answer(turn, conn, |reply| reply.error(error));
}

/// Holds a connection until its earlier commands are answered, and says whether it may run now.
pub(super) fn alone(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> Taken {
    if turn.is_alone(conn) { Taken::Yes } else { Taken::NotYet }
}

/// A command that runs alone has begun: nothing more is taken in until it is answered.
pub(super) fn stay_alone(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) {
    turn.hub.hold(turn.io, conn, Hold::Barrier);
}

/// Whether a connection is told how much there is on this core: it came in on its port, or was told that it talks to it.
pub(super) fn is_of_core(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> bool {
    let own_port = turn.hub.sessions.get(conn).is_some_and(|session| session.own_port);
    own_port || with(turn, conn, |resp| resp.facts.told_as_core).unwrap_or_default()
}
