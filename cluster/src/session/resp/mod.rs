//! A connection that speaks RESP: commands in, requests to partitions, replies in order.
//!
//! A command on one key is one request; its reply is written when the answer comes, behind the replies of earlier commands
//! ([`ReplyQueue`]). Commands on many keys become one request per partition ([`many`]); those that visit keys become
//! walks, and run alone. The ticket of a request is the command's sequence (40 bits) and the part (24 bits).

pub mod clients;
mod cluster;
mod common;
pub mod cursors;
pub mod facts;
mod gather;
mod info;
mod info_stats;
mod keys;
mod leaving;
mod long;
mod many;
mod parts;
mod reply;
mod scans;
mod server;
pub mod state;
mod transaction;

use super::{self as session, wrong_port};
use crate::session::backend::Backend;
use crate::session::intake::{Taken, close};
use crate::session::weight::Weight;
use crate::stats::Class;
use common::{answer, fail, give_verdict, ticket, with};
use pinion_net::reactor::ConnId;
use pinion_net::resp::command_table::Name;
use pinion_net::resp::long::RUN_ARGS_MAX;
use pinion_net::resp::{Args, Client, Command, CommandId, Parsed, inline};
use pinion_net::wire::MAGIC;
use state::Call;
use transaction::Transaction;

/// Takes in what was received.
pub fn received(backend: &mut impl Backend, conn: ConnId, bytes: &[u8]) -> session::Taken {
    let now_us = backend.now().mono_us;
    let all = session::Taken { consumed: bytes.len(), need: 0 };
    let taken = with(backend, conn, |resp| {
        resp.heard_us = now_us;
        (std::mem::take(&mut resp.parser), resp.transaction, resp.is_fresh(), resp.long.is_some())
    });
    let Some((mut parser, mut transaction, is_fresh, mut may_be_long)) = taken else { return all };
    if is_fresh && bytes.first() == MAGIC.first() {
        wrong_port::refuse_wire(backend, conn);
        return all;
    }
    common::begin(backend, CommandId::NONE);
    let mut args = Args::new();
    let (mut at, mut need) = (0, 0);
    while !backend.must_stop(conn) {
        let rest = &bytes[at..];
        if may_be_long {
            if let Some((taken, consumed)) = long::go_on(backend, conn, rest) {
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
                (Taken::Yes, start + long::begin(backend, conn, whole, args.len(), &mut transaction))
            }
            Parsed::Command { consumed } => (run(backend, conn, &args, &mut transaction), consumed),
            Parsed::Long { start, count, consumed } => {
                may_be_long = true;
                let whole = &rest[start..consumed];
                (Taken::Yes, start + long::begin(backend, conn, whole, count, &mut transaction))
            }
            Parsed::Inline { line, consumed } => match inline::split(&rest[..line]) {
                Ok(owned) if owned.is_empty() => (Taken::Yes, consumed),
                Ok(owned) if owned.len() > RUN_ARGS_MAX => {
                    let text = format!("ERR a line has at most {RUN_ARGS_MAX} arguments; send an array");
                    answer(backend, conn, |reply| reply.error(&text));
                    (Taken::Yes, consumed)
                }
                Ok(owned) => {
                    let args: Args<'_> = owned.iter().map(Vec::as_slice).collect();
                    (run(backend, conn, &args, &mut transaction), consumed)
                }
                Err(error) => (refuse(backend, conn, &error.to_string()), rest.len()),
            },
            Parsed::Empty { consumed } => (Taken::Yes, consumed),
            Parsed::Incomplete { need: bytes } => {
                need = bytes;
                break;
            }
            Parsed::Unfinished => {
                backend.slice(conn);
                // It is there, as far as it was looked at: one that was given room keeps no more than that.
                let is_claimed = backend.session(conn).is_some_and(|session| session.claim > 0);
                need = if is_claimed { rest.len() } else { 0 };
                break;
            }
            Parsed::Invalid(error) => (refuse(backend, conn, &error.to_string()), rest.len()),
        };
        if taken == Taken::NotYet {
            break;
        }
        at += consumed;
    }
    let command = common::command(backend);
    let wrote_to = with(backend, conn, |resp| {
        if command != CommandId::NONE {
            resp.command = command;
        }
        resp.parser = parser;
        resp.transaction = transaction;
        resp.wrote_to.take()
    });
    if let Some(owner) = wrote_to.flatten() {
        backend.throttle(conn, owner);
    }
    session::Taken { consumed: at, need }
}

/// Answers what is no command, and closes after it.
fn refuse(backend: &mut impl Backend, conn: ConnId, error: &str) -> Taken {
    common::begin(backend, CommandId::NONE);
    fail(backend, conn, error);
    close(backend, conn);
    Taken::Yes
}

fn run(backend: &mut impl Backend, conn: ConnId, args: &[&[u8]], transaction: &mut Transaction) -> Taken {
    if *transaction == Transaction::Refused
        && let Some(verdict) = transaction.judge(args)
    {
        give_verdict(backend, conn, verdict);
        return Taken::Yes;
    }
    let name = Name::first_of(args);
    let id = CommandId::of(name, args);
    common::begin(backend, id);
    match Command::of(name, args) {
        Ok(command) => {
            return match keys::request(&command) {
                Some(request) => single(backend, conn, request),
                None => dispatch(backend, conn, command),
            };
        }
        Err(error) => match transaction.judge(args) {
            Some(verdict) => give_verdict(backend, conn, verdict),
            None => {
                if error.is_arity() {
                    backend.tally().rejected(id);
                    common::begin(backend, CommandId::NONE);
                }
                fail(backend, conn, error);
            }
        },
    }
    Taken::Yes
}

/// Runs a command that isn't about one key.
fn dispatch(backend: &mut impl Backend, conn: ConnId, command: Command<'_>) -> Taken {
    match command {
        Command::MGet(keys) => many::get(backend, conn, keys),
        Command::MSet(pairs) => many::set(backend, conn, pairs),
        Command::Del(keys) => many::delete(backend, conn, keys),
        Command::Exists(keys) => many::exists(backend, conn, keys),
        Command::Flush => many::clear(backend, conn),
        Command::Scan(scan) => scans::scan(backend, conn, scan),
        Command::Keys { pattern } => scans::keys(backend, conn, pattern),
        Command::DbSize => scans::count(backend, conn, None),
        Command::RandomKey => scans::random(backend, conn),
        Command::Info(sections) => info::run(backend, conn, sections),
        Command::Cluster(cluster) => cluster::run(backend, conn, cluster),
        Command::Client(Client::List(filter)) => clients::list(backend, conn, filter),
        Command::Client(Client::Kill(filter)) => clients::kill(backend, conn, filter),
        Command::Client(Client::KillAddress(address)) => clients::kill_address(backend, conn, address),
        other => server::run(backend, conn, other),
    }
}

/// Runs a command on one key.
fn single(backend: &mut impl Backend, conn: ConnId, request: keys::KeyRequest<'_>) -> Taken {
    let (partition, owner) = backend.route().home(request.key);
    if !backend.has_room(owner, conn) {
        return Taken::NotYet;
    }
    let is_write = request.class == Class::Write;
    if is_write
        && !(backend.may_write(conn, owner, Weight::single(request.bytes()))
            && backend.has_time_for(conn, owner, &request.op))
    {
        return Taken::NotYet;
    }
    let (started_us, command) = (backend.now().mono_us, common::command(backend));
    let sequence = with(backend, conn, |resp| {
        if is_write {
            resp.wrote_to = Some(owner);
        }
        let call =
            Call { shape: request.shape, class: request.class, started_us, command, values: 1, many: None };
        resp.values_due += 1;
        let sequence = resp.replies.begin(call);
        resp.note(sequence)
    });
    let Some(sequence) = sequence else { return Taken::Yes };
    let request = common::request(backend, partition, request.op);
    backend.submit_single(conn, owner, ticket(conn, sequence, 0), request);
    Taken::Yes
}
