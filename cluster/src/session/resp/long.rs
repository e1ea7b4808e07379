//! Commands with more arguments than are done at a time: MGET, EXISTS, DEL, MSET and their kin, COMMAND INFO.
//!
//! 1. All of such a command is there and well-formed when it begins ([`Parsed::Long`](pinion_net::resp::Parsed::Long)). Its
//!    arguments stay where they are, and are consumed as they are done.
//! 2. Every argument is checked, some a turn, before anything is done.
//! 3. Runs of [`RUN_ARGS_MAX`] arguments are done one after the other as commands of their own ([`super::many`]), one a turn,
//!    each when the one before it is answered: so each is atomic within each partition, and other connections go on between.
//! 4. The items of an array leave as they come; a sum or an OK comes at the end. If a run of what sums up fails, those behind
//!    it aren't done, and the error says how far it came.
//!
//! It runs alone: earlier commands are answered before it begins, later ones are taken in when it is through.

use super::common::{self, alone, fail, give_verdict, with, with_output};
use super::gather::{Many, Run, Sum};
use super::many;
use super::reply::failure;
use super::state::{Call, Kind, Long, RespSession, Shape, Stage};
use super::transaction::Transaction;
use crate::session::backend::Backend;
use crate::session::intake::Taken;
use crate::session::settled::{Ending, Settled};
use crate::stats::Class;
use pinion_engine::shard::request::Answer;
use pinion_net::reactor::ConnId;
use pinion_net::resp::command_table::Name;
use pinion_net::resp::long::{RUN_ARGS_MAX, next_args};
use pinion_net::resp::{Args, Command, CommandId, CommandQuery, Encoder, ReplyQueue, Sequence, answer_info};

/// Arguments that are checked in a turn.
const CHECKED_ARGS: usize = 16 * RUN_ARGS_MAX;
/// Names of COMMAND INFO that are answered at a time: some hundred KiB.
pub const INFO_NAMES: usize = 256;

/// Whether a command that the parser has collected names so much that it is done in slices all the same.
pub fn is_long(args: &[&[u8]]) -> bool {
    args.len() > INFO_NAMES + 2
        && args[0].eq_ignore_ascii_case(b"command")
        && args[1].eq_ignore_ascii_case(b"info")
}

/// Takes in the beginning of a command of `count` arguments, which lie in `whole`; returns how much of that was consumed.
pub fn begin(
    backend: &mut impl Backend,
    conn: ConnId,
    whole: &[u8],
    count: usize,
    transaction: &mut Transaction,
) -> usize {
    let mut args = Args::new();
    // As many as make whole pairs behind a name.
    next_args(whole, RUN_ARGS_MAX - 1, &mut args);
    if *transaction == Transaction::Refused
        && let Some(verdict) = transaction.judge(&args)
    {
        give_verdict(backend, conn, verdict);
        return whole.len();
    }
    let name = Name::first_of(&args);
    let id = CommandId::of(name, &args);
    common::begin(backend, id);
    let (kind, names) = match Command::of(name, &args) {
        Ok(Command::MGet(_)) => (Kind::Many(Sum::Values), 1),
        Ok(Command::Exists(_)) => (Kind::Many(Sum::There), 1),
        Ok(Command::Del(_)) => (Kind::Many(Sum::Existed), 1),
        Ok(Command::MSet(_)) if count % 2 == 1 => (Kind::Many(Sum::AllDone), 1),
        Ok(Command::MSet(_)) => {
            fail(backend, conn, "ERR wrong number of arguments for 'mset' command");
            return whole.len();
        }
        Ok(Command::Command(CommandQuery::Info(_))) => (Kind::Infos, 2),
        Ok(_) => {
            let text =
                format!("ERR {count} arguments are too many: this command takes {RUN_ARGS_MAX} at most");
            fail(backend, conn, text);
            return whole.len();
        }
        Err(error) => {
            match transaction.judge(&args) {
                Some(verdict) => give_verdict(backend, conn, verdict),
                None => fail(backend, conn, error),
            }
            return whole.len();
        }
    };
    let consumed = next_args(whole, names, &mut args);
    let stage = Stage::Checking { bytes: 0, args: 0 };
    let (args, bytes, started_us) = (count - names, whole.len() - consumed, backend.now().mono_us);
    with(backend, conn, |resp| {
        resp.long = Some(Box::new(Long { kind, stage, args, bytes, done: 0, started_us, command: id }));
    });
    consumed
}

/// Goes on with a long command whose arguments `rest` begins with, if there is one; says how much of that was consumed.
pub fn go_on(backend: &mut impl Backend, conn: ConnId, rest: &[u8]) -> Option<(Taken, usize)> {
    let mut long = with(backend, conn, |resp| resp.long.take())??;
    common::begin(backend, long.command);
    let (taken, consumed) = match (long.stage, long.kind) {
        (Stage::Checking { bytes, args }, kind) => check(backend, conn, &mut long, (bytes, args), kind, rest),
        (_, Kind::Infos) => infos(backend, conn, &mut long, rest),
        (_, Kind::Many(sum)) => keys(backend, conn, &mut long, sum, rest),
    };
    if long.args > 0 {
        with(backend, conn, |resp| resp.long = Some(long));
    }
    Some((taken, consumed))
}

/// Checks some arguments. One that isn't fit ends the command before anything is done.
fn check(
    backend: &mut impl Backend,
    conn: ConnId,
    long: &mut Long,
    (bytes, count): (usize, usize),
    kind: Kind,
    rest: &[u8],
) -> (Taken, usize) {
    let Kind::Many(sum @ (Sum::AllDone | Sum::Existed)) = kind else {
        long.stage = Stage::Checked;
        return (Taken::Yes, 0);
    };
    let mut args = Args::new();
    let seen = next_args(&rest[bytes..], CHECKED_ARGS.min(long.args - count), &mut args);
    if let Some(refusal) = many::first_fault(sum, &args, backend.node().limits.value_bytes_max as usize) {
        long.args = 0;
        let text = failure(&Answer::Refused(refusal)).unwrap_or_default();
        fail(backend, conn, text);
        return (Taken::Yes, long.bytes);
    }
    let count = count + args.len();
    if count == long.args {
        long.stage = Stage::Checked;
        return (Taken::Yes, 0);
    }
    long.stage = Stage::Checking { bytes: bytes + seen, args: count };
    backend.slice(conn);
    (Taken::NotYet, 0)
}

/// Answers some names of COMMAND INFO.
fn infos(backend: &mut impl Backend, conn: ConnId, long: &mut Long, rest: &[u8]) -> (Taken, usize) {
    if alone(backend, conn) == Taken::NotYet {
        return (Taken::NotYet, 0);
    }
    let Some(protocol) = with(backend, conn, |resp| resp.replies.protocol()) else { return (Taken::Yes, 0) };
    let mut args = Args::new();
    let consumed = next_args(rest, INFO_NAMES.min(long.args), &mut args);
    let mut reply = Encoder::new(backend.output(conn), protocol);
    if long.stage != Stage::Writing {
        long.stage = Stage::Writing;
        reply.array(long.args);
    }
    args.iter().for_each(|name| answer_info(name, &mut reply));
    long.take(args.len(), consumed);
    if long.args == 0 {
        let (started_us, command) = (long.started_us, long.command);
        backend.settle(Settled { class: Class::Server, started_us, ending: Ending::Done, command });
        return (Taken::Yes, consumed);
    }
    backend.slice(conn);
    (Taken::NotYet, consumed)
}

/// Does a run of a command on keys.
fn keys(backend: &mut impl Backend, conn: ConnId, long: &mut Long, sum: Sum, rest: &[u8]) -> (Taken, usize) {
    let sequence = match long.stage {
        Stage::Begun(sequence) => sequence,
        _ if alone(backend, conn) == Taken::NotYet => return (Taken::NotYet, 0),
        _ => match begin_reply(backend, conn, long, sum) {
            Some(sequence) => sequence,
            None => return (Taken::Yes, rest.len()),
        },
    };
    let outcome = with(backend, conn, |resp| {
        let many = resp.replies.context(sequence)?.many.as_deref()?;
        let (total, error) = many.outcome();
        Some((total, error.map(str::to_owned)))
    });
    let (total, error) = outcome.flatten().unwrap_or_default();
    if let Some(error) = error {
        return (Taken::Yes, give_up(backend, conn, long, sequence, &error));
    }
    let mut args = Args::new();
    let consumed = next_args(rest, RUN_ARGS_MAX.min(long.args), &mut args);
    let run = Run { of: Some(sequence), base: long.done, is_last: args.len() == long.args, total };
    if many::run(backend, conn, (sum, run), &args) == Taken::NotYet {
        return (Taken::NotYet, 0);
    }
    long.take(args.len(), consumed);
    if long.args == 0 {
        return (Taken::Yes, consumed);
    }
    backend.slice(conn);
    (Taken::NotYet, consumed)
}

/// Begins the reply; an array leaves as it comes.
fn begin_reply(backend: &mut impl Backend, conn: ConnId, long: &mut Long, sum: Sum) -> Option<Sequence> {
    let class = if matches!(sum, Sum::Values | Sum::There) { Class::Read } else { Class::Write };
    let (started_us, command) = (long.started_us, long.command);
    let call = Call { shape: Shape::Many, class, started_us, command, values: 0, many: None };
    let items = long.args;
    let sequence = with(backend, conn, |resp| {
        let sequence = match sum {
            Sum::Values => resp.replies.begin_long_array(call, items),
            _ => resp.replies.begin(call),
        };
        resp.note(sequence)
    })?;
    if sum == Sum::Values {
        with_output(backend, conn, |resp, out| resp.replies.leave(sequence, out))?;
    }
    long.stage = Stage::Begun(sequence);
    Some(sequence)
}

/// A run has failed: the reply is its error, and the rest isn't done.
fn give_up(
    backend: &mut impl Backend,
    conn: ConnId,
    long: &mut Long,
    sequence: Sequence,
    error: &str,
) -> usize {
    let text = long.failure(error);
    long.args = 0;
    let settled = with_output(backend, conn, |resp, out| resp.end_long(sequence, &text, out));
    if let Some(settled) = settled.flatten() {
        backend.settle(settled);
    }
    long.bytes
}

impl RespSession {
    /// Whether all that a run of a long command has asked for is answered.
    pub fn is_between_slices(&self) -> bool {
        let Some(Stage::Begun(sequence)) = self.long.as_ref().map(|long| long.stage) else { return true };
        let many = self.replies.context(sequence).and_then(|call| call.many.as_deref());
        many.is_none_or(Many::is_complete)
    }

    /// The node goes down between two runs of a long command: its reply says so, unless it has begun to leave.
    pub fn abandon_long(&mut self, out: &mut Vec<u8>) {
        let Some(long) = self.long.take() else { return };
        let Stage::Begun(sequence) = long.stage else { return };
        if self.replies.is_leaving(sequence) {
            self.replies = ReplyQueue::default();
            return;
        }
        let many = self.replies.context(sequence).and_then(|call| call.many.as_deref());
        let text = match many.and_then(|many| many.outcome().1) {
            Some(error) => long.failure(error),
            None => {
                let (done, all) = (long.done, long.done + long.args);
                format!("ERR the server is shutting down; of {all} arguments the first {done} are done")
            }
        };
        self.end_long(sequence, &text, out);
    }

    fn end_long(&mut self, sequence: Sequence, error: &str, out: &mut Vec<u8>) -> Option<Settled> {
        let call = self.replies.context(sequence)?;
        let settled = call.settled(Ending::Refused);
        self.replies.complete(sequence, out, |reply| reply.error(error));
        Some(settled)
    }
}
