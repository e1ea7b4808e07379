//! What commands have in common: they answer, fail, run alone, and know their connection.

use super::state::{Call, RespSession, Shape};
use super::transaction::Verdict;
use crate::route::origin::Origin;
use crate::session::Hold;
use crate::session::backend::Backend;
use crate::session::dialogue::Dialogue;
use crate::session::intake::{Taken, is_alone};
use crate::session::limits::ANSWER_COST;
use crate::session::settled::Ending;
use crate::session::sockets::Sockets;
use crate::stats::Class;
use crate::stats::tally::ErrorWord;
use pinion_engine::key::Partition;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_net::reactor::ConnId;
use pinion_net::resp::{CommandId, Encoder, Sequence};

/// A command is taken in, or none.
pub(super) fn begin(backend: &mut impl Backend, command: CommandId) {
    backend.sessions().0.command = command;
}

/// The command that is being taken in.
pub(super) fn command(backend: &mut impl Backend) -> CommandId {
    backend.sessions().0.command
}

pub(super) fn give_verdict(backend: &mut impl Backend, conn: ConnId, verdict: Verdict) {
    begin(backend, CommandId::NONE);
    match verdict {
        Verdict::Ok => answer(backend, conn, |reply| reply.ok()),
        Verdict::Error(text) => fail(backend, conn, text),
    }
}

pub(super) fn ticket(conn: ConnId, sequence: Sequence, part: usize) -> Ticket {
    Origin::connection(conn).ticket(RespSession::request(sequence, part))
}

/// What is asked of a partition: a command has so long as the node grants.
#[inline]
pub(super) fn request<'a>(backend: &impl Backend, partition: Partition, op: Op<'a>) -> Request<'a> {
    Request::new(partition, op).until(backend.deadline_us())
}

/// The session of a connection, if it is there and speaks RESP.
pub(super) fn with<T>(
    backend: &mut impl Backend,
    conn: ConnId,
    work: impl FnOnce(&mut RespSession) -> T,
) -> Option<T> {
    match &mut backend.session(conn)?.dialogue {
        Dialogue::Resp(resp) => Some(work(resp)),
        Dialogue::Wire(_) => None,
    }
}

/// The same, with its output.
pub(super) fn with_output<T>(
    backend: &mut impl Backend,
    conn: ConnId,
    work: impl FnOnce(&mut RespSession, &mut Vec<u8>) -> T,
) -> Option<T> {
    let (sessions, sockets) = backend.sessions();
    match &mut sessions.get(conn)?.dialogue {
        Dialogue::Resp(resp) => Some(work(resp, sockets.output(conn))),
        Dialogue::Wire(_) => None,
    }
}

/// Answers a command that needs no data, in its turn.
pub(super) fn answer(backend: &mut impl Backend, conn: ConnId, write: impl FnOnce(&mut Encoder<'_>)) {
    let (started_us, command) = (backend.now().mono_us, command(backend));
    let call = Call { shape: Shape::Ok, class: Class::Server, started_us, command, values: 0, many: None };
    let settled = call.settled(Ending::Done);
    backend.spend(ANSWER_COST / 2);
    let answered = with_output(backend, conn, |resp, out| {
        resp.next += 1;
        resp.replies.answer(call, out, write);
    });
    if answered.is_some() {
        backend.settle(settled);
    }
}

/// Answers with an error, in its turn.
pub(super) fn fail(backend: &mut impl Backend, conn: ConnId, error: impl AsRef<[u8]>) {
    let command = command(backend);
    backend.tally().failed(command, ErrorWord::of(error.as_ref()));
    answer(backend, conn, |reply| reply.error(error));
}

/// Holds a connection until its earlier commands are answered, and says whether it may run now.
pub(super) fn alone(backend: &mut impl Backend, conn: ConnId) -> Taken {
    if is_alone(backend, conn) { Taken::Yes } else { Taken::NotYet }
}

/// A command that runs alone has begun: nothing more is taken in until it is answered.
pub(super) fn stay_alone(backend: &mut impl Backend, conn: ConnId) {
    backend.hold(conn, Hold::Barrier);
}

/// Whether a connection is told how much there is on this core: it came in on its port, or was told that it talks to it.
pub(super) fn is_of_core(backend: &mut impl Backend, conn: ConnId) -> bool {
    let own_port = backend.session(conn).is_some_and(|session| session.own_port);
    own_port || with(backend, conn, |resp| resp.facts.told_as_core).unwrap_or_default()
}
