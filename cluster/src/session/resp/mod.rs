//! A connection that speaks RESP: commands in, requests to partitions, replies in order.
//!
//! A command on one key is one request; its reply is written when the answer comes, behind the replies of earlier commands
//! ([`ReplyQueue`]). Commands on many keys become one request per partition ([`many`]); those that visit keys become
//! walks, and run alone. The ticket of a request is the command's sequence (40 bits) and the part (24 bits).

pub mod clients;
mod cluster;
pub mod cursors;
pub mod facts;
mod gather;
mod info;
mod info_stats;
mod keys;
mod leaving;
mod long;
mod many;
mod reply;
mod scans;
mod server;
mod transaction;

use super::{self as session, Dialogue, Hold, wrong_port};
use crate::core::cost::ANSWER_COST;
use crate::core::owners::Owner;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::core::weight::Weight;
use crate::session::settled::{Ending, Settled};
use crate::stats::Class;
use crate::stats::tally::ErrorWord;
use facts::Facts;
use gather::Many;
use leaving::Leaving;
use long::Long;
use pinion_engine::shard::request::Ticket;
use pinion_net::reactor::ConnId;
use pinion_net::resp::command_table::Name;
use pinion_net::resp::long::RUN_ARGS_MAX;
use pinion_net::resp::{
    Args, Client, Command, CommandId, Limits, Parsed, Parser, ReplyQueue, Sequence, inline,
};
use pinion_net::wire::MAGIC;
use reply::Shape;
use std::net::SocketAddr;
use transaction::{Transaction, Verdict};

/// What is remembered of a command until its reply is complete.
#[derive(Debug)]
pub struct Call {
    shape: Shape,
    class: Class,
    started_us: u64,
    /// Values that it may carry.
    values: u32,
    command: CommandId,
    many: Option<Box<Many>>,
}

impl Call {
    fn settled(&self, ending: Ending) -> Settled {
        Settled { class: self.class, started_us: self.started_us, ending, command: self.command }
    }
}

/// What a connection of this kind has.
#[derive(Default)]
pub struct RespSession {
    parser: Parser,
    /// What came of a MULTI.
    transaction: Transaction,
    replies: ReplyQueue<Call>,
    /// A long command that isn't through.
    long: Option<Box<Long>>,
    /// A reply that leaves in pieces.
    leaving: Option<Box<Leaving>>,
    /// Sum of [`Call::values`].
    values_due: usize,
    /// The sequence of the next command.
    next: u64,
    /// Its last command.
    command: CommandId,
    /// When it last sent something, by the clock of the turns.
    heard_us: u64,
    facts: Box<Facts>,
    /// [`Facts::text_bytes`]: here, because memory is counted with every answer.
    text_bytes: usize,
    /// The core that a write of this input went to, if one did.
    wrote_to: Option<usize>,
}

/// What became of a command that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken in.
    Yes,
    /// Something must come first; it will be presented again.
    NotYet,
}

const PART_BITS: u32 = 24;
const SEQUENCE_BITS: u32 = 40;

impl RespSession {
    /// A new connection.
    pub fn new(facts: Facts, limits: Limits) -> RespSession {
        let (heard_us, parser) = (facts.opened_us, Parser::new(limits));
        RespSession { parser, heard_us, facts: Box::new(facts), ..RespSession::default() }
    }

    /// From where it came.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.facts.peer
    }

    /// Learns which address of this server it reached.
    pub fn reached(&mut self, local: SocketAddr) {
        self.facts.local = Some(local);
    }

    /// Whether nothing was asked yet.
    fn is_fresh(&self) -> bool {
        self.next == 0
    }

    /// Commands without a reply.
    pub fn in_flight(&self) -> usize {
        self.replies.len()
    }

    /// Values that commands without a reply may carry.
    pub fn values_due(&self) -> usize {
        self.values_due
    }

    /// Memory of replies that wait for earlier ones.
    pub fn held_bytes(&self) -> usize {
        self.replies.held_bytes()
    }

    /// All memory that it holds.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        let leaving = self.leaving.as_ref().map_or(0, |leaving| leaving.memory_bytes());
        self.replies.memory_bytes() + leaving + self.text_bytes + self.values_due * many::BYTES_PER_KEY
    }

    /// Changes what its client says about itself.
    fn describe(&mut self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts);
        self.text_bytes = self.facts.text_bytes();
    }

    fn note(&mut self, sequence: Sequence) -> Sequence {
        self.next = sequence.0 + 1;
        sequence
    }

    fn request(sequence: Sequence, part: usize) -> u64 {
        sequence.0 << PART_BITS | part as u64
    }

    /// The sequence and part of a ticket's request: the newest sequence not beyond `next` with these low bits.
    fn parts(&self, request: u64) -> (Sequence, usize) {
        let low = request >> PART_BITS;
        let span = 1 << SEQUENCE_BITS;
        let mut sequence = self.next & !(span - 1) | low;
        if sequence >= self.next && sequence >= span {
            sequence -= span;
        }
        (Sequence(sequence), (request & ((1 << PART_BITS) - 1)) as usize)
    }
}

/// Takes in what was received.
pub fn received(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, bytes: &[u8]) -> session::Taken {
    let now_us = turn.hub.now.mono_us;
    let all = session::Taken { consumed: bytes.len(), need: 0 };
    let taken = with(turn, conn, |resp| {
        resp.heard_us = now_us;
        (std::mem::take(&mut resp.parser), resp.transaction, resp.is_fresh(), resp.long.is_some())
    });
    let Some((mut parser, mut transaction, is_fresh, mut may_be_long)) = taken else { return all };
    if is_fresh && bytes.first() == MAGIC.first() {
        wrong_port::refuse_wire(turn, conn);
        return all;
    }
    turn.hub.command = CommandId::NONE;
    let mut args = Args::new();
    let (mut at, mut need) = (0, 0);
    while !turn.must_stop(conn) {
        let rest = &bytes[at..];
        if may_be_long {
            if let Some((taken, consumed)) = long::go_on(turn, conn, rest) {
                at += consumed;
                if taken == Taken::NotYet {
                    break;
                }
                continue;
            }
            may_be_long = false;
        }
        let (taken, consumed) = match parser.next(rest, &mut args) {
            Parsed::Command { consumed } if long::is_long(&args) => {
                may_be_long = true;
                let start = rest.iter().position(|&byte| byte == b'$').unwrap_or(consumed);
                let whole = &rest[start..consumed];
                (Taken::Yes, start + long::begin(turn, conn, whole, args.len(), &mut transaction))
            }
            Parsed::Command { consumed } => (run(turn, conn, &args, &mut transaction), consumed),
            Parsed::Long { start, count, consumed } => {
                may_be_long = true;
                let whole = &rest[start..consumed];
                (Taken::Yes, start + long::begin(turn, conn, whole, count, &mut transaction))
            }
            Parsed::Inline { line, consumed } => match inline::split(&rest[..line]) {
                Ok(owned) if owned.is_empty() => (Taken::Yes, consumed),
                Ok(owned) if owned.len() > RUN_ARGS_MAX => {
                    let text = format!("ERR a line has at most {RUN_ARGS_MAX} arguments; send an array");
                    answer(turn, conn, |reply| reply.error(&text));
                    (Taken::Yes, consumed)
                }
                Ok(owned) => {
                    let args: Args<'_> = owned.iter().map(Vec::as_slice).collect();
                    (run(turn, conn, &args, &mut transaction), consumed)
                }
                Err(error) => (refuse(turn, conn, &error.to_string()), rest.len()),
            },
            Parsed::Empty { consumed } => (Taken::Yes, consumed),
            Parsed::Incomplete { need: bytes } => {
                need = bytes;
                break;
            }
            Parsed::Unfinished => {
                turn.slice(conn);
                // It is there, as far as it was looked at: one that was given room keeps no more than that.
                let is_claimed = turn.hub.sessions.get(conn).is_some_and(|session| session.claim > 0);
                need = if is_claimed { rest.len() } else { 0 };
                break;
            }
            Parsed::Invalid(error) => (refuse(turn, conn, &error.to_string()), rest.len()),
        };
        if taken == Taken::NotYet {
            break;
        }
        at += consumed;
    }
    let command = turn.hub.command;
    let wrote_to = with(turn, conn, |resp| {
        if command != CommandId::NONE {
            resp.command = command;
        }
        resp.parser = parser;
        resp.transaction = transaction;
        resp.wrote_to.take()
    });
    if let Some(core) = wrote_to.flatten() {
        turn.throttle(conn, core);
    }
    session::Taken { consumed: at, need }
}

/// Answers what is no command, and closes after it.
fn refuse(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, error: &str) -> Taken {
    turn.hub.command = CommandId::NONE;
    fail(turn, conn, error);
    close(turn, conn);
    Taken::Yes
}

/// No more input; the end comes when everything is answered.
fn close(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) {
    if let Some(session) = turn.hub.sessions.get(conn) {
        session.closing = true;
    }
}

fn run(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    args: &[&[u8]],
    transaction: &mut Transaction,
) -> Taken {
    if *transaction == Transaction::Refused
        && let Some(verdict) = transaction.judge(args)
    {
        give_verdict(turn, conn, verdict);
        return Taken::Yes;
    }
    let name = Name::first_of(args);
    let id = CommandId::of(name, args);
    turn.hub.command = id;
    match Command::of(name, args) {
        Ok(command) => {
            return match keys::request(&command) {
                Some(request) => single(turn, conn, request),
                None => dispatch(turn, conn, command),
            };
        }
        Err(error) => match transaction.judge(args) {
            Some(verdict) => give_verdict(turn, conn, verdict),
            None => {
                if error.is_arity() {
                    turn.hub.tally().rejected(id);
                    turn.hub.command = CommandId::NONE;
                }
                fail(turn, conn, error);
            }
        },
    }
    Taken::Yes
}

fn give_verdict(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, verdict: Verdict) {
    turn.hub.command = CommandId::NONE;
    match verdict {
        Verdict::Ok => answer(turn, conn, |reply| reply.ok()),
        Verdict::Error(text) => fail(turn, conn, text),
    }
}

/// Runs a command that isn't about one key.
fn dispatch(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, command: Command<'_>) -> Taken {
    match command {
        Command::MGet(keys) => many::get(turn, conn, keys),
        Command::MSet(pairs) => many::set(turn, conn, pairs),
        Command::Del(keys) => many::delete(turn, conn, keys),
        Command::Exists(keys) => many::exists(turn, conn, keys),
        Command::Flush => many::clear(turn, conn),
        Command::Scan(scan) => scans::scan(turn, conn, scan),
        Command::Keys { pattern } => scans::keys(turn, conn, pattern),
        Command::DbSize => scans::count(turn, conn, None),
        Command::RandomKey => scans::random(turn, conn),
        Command::Info(sections) => info::run(turn, conn, sections),
        Command::Cluster(cluster) => cluster::run(turn, conn, cluster),
        Command::Client(Client::List(filter)) => clients::list(turn, conn, filter),
        Command::Client(Client::Kill(filter)) => clients::kill(turn, conn, filter),
        Command::Client(Client::KillAddress(address)) => clients::kill_address(turn, conn, address),
        other => server::run(turn, conn, other),
    }
}

/// Runs a command on one key.
fn single(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, request: keys::KeyRequest<'_>) -> Taken {
    let (partition, core) = turn.home(request.key);
    if !turn.has_room(core, conn) {
        return Taken::NotYet;
    }
    let is_write = request.class == Class::Write;
    if is_write
        && !(turn.may_write(conn, core, Weight::single(request.bytes()))
            && turn.has_time_for(conn, core, &request.op))
    {
        return Taken::NotYet;
    }
    let (started_us, command) = (turn.hub.now.mono_us, turn.hub.command);
    let sequence = with(turn, conn, |resp| {
        if is_write {
            resp.wrote_to = Some(core);
        }
        let call =
            Call { shape: request.shape, class: request.class, started_us, command, values: 1, many: None };
        resp.values_due += 1;
        let sequence = resp.replies.begin(call);
        resp.note(sequence)
    });
    let Some(sequence) = sequence else { return Taken::Yes };
    let keyspace = pinion_engine::Keyspace::default();
    let op = request.op;
    let request = pinion_engine::shard::request::Request { keyspace, partition, op };
    turn.submit_single(conn, core, ticket(conn, sequence, 0), request);
    Taken::Yes
}

fn ticket(conn: ConnId, sequence: Sequence, part: usize) -> Ticket {
    let owner = Owner::Connection { index: conn.index(), generation: conn.generation() };
    owner.ticket(RespSession::request(sequence, part))
}

/// The session of a connection, if it is there and speaks RESP.
fn with<T>(
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
fn answer(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    write: impl FnOnce(&mut pinion_net::resp::Encoder<'_>),
) {
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
fn fail(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, error: impl AsRef<[u8]>) {
    turn.hub.tally().failed(turn.hub.command, ErrorWord::of(error.as_ref()));
    answer(turn, conn, |reply| reply.error(error));
}

/// Holds a connection until its earlier commands are answered, and says whether it may run now.
fn alone(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> Taken {
    if turn.is_alone(conn) { Taken::Yes } else { Taken::NotYet }
}

/// A command that runs alone has begun: nothing more is taken in until it is answered.
fn stay_alone(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) {
    turn.hub.hold(turn.io, conn, Hold::Barrier);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_survive_their_tickets_across_the_wrap() {
        for next in [1, 5, (1 << 40) - 1, 1 << 40, (1 << 40) + 1, (7 << 40) + 3] {
            let mut resp = RespSession { next, ..RespSession::default() };
            for back in 1..=1024.min(next) {
                let sequence = Sequence(next - back);
                let request = RespSession::request(Sequence(sequence.0 & ((1 << 40) - 1)), 77);
                assert_eq!(resp.parts(request), (sequence, 77));
            }
            resp.note(Sequence(next));
            assert_eq!(resp.next, next + 1);
        }
    }
}
