//! Commands about the connection and the server: they touch no key, so they are answered at once, in their turn.

use super::common::{answer, fail, with};
use super::facts::Facts;
use super::long::INFO_NAMES;
use super::{clients, info};
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::session::intake::{Taken, close};
use crate::session::wrong_port;
use pinion_net::reactor::ConnId;
use pinion_net::resp::{Client, Command, Config, Hello, Protocol, TOO_LONG, glob};

/// The version of Redis whose commands these are.
pub const REDIS_VERSION: &str = "7.4.0";

/// Runs a command that is about no key.
pub fn run(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, command: Command<'_>) -> Taken {
    match command {
        Command::Ping(None) => answer(turn, conn, |reply| reply.simple("PONG")),
        Command::Ping(Some(message)) | Command::Echo(message) => {
            answer(turn, conn, |reply| reply.bulk(message))
        }
        Command::Hello(request) => hello(turn, conn, request),
        Command::Auth(auth) => match auth.check_without_password() {
            Ok(()) => answer(turn, conn, |reply| reply.ok()),
            Err(error) => fail(turn, conn, error),
        },
        Command::Select | Command::ReadMode => answer(turn, conn, |reply| reply.ok()),
        Command::Quit => {
            answer(turn, conn, |reply| reply.ok());
            close(turn, conn);
        }
        Command::Http => wrong_port::refuse_http(turn, conn),
        Command::Reset => {
            with(turn, conn, |resp| {
                resp.replies.set_protocol(Protocol::Resp2);
                resp.describe(Facts::reset);
            });
            answer(turn, conn, |reply| reply.simple("RESET"));
        }
        Command::Time => {
            let us = turn.hub.now.unix_us;
            answer(turn, conn, |reply| {
                reply.array(2);
                reply.bulk((us / 1_000_000).to_string().as_bytes());
                reply.bulk((us % 1_000_000).to_string().as_bytes());
            });
        }
        Command::Command(query) if query.names() > INFO_NAMES => {
            let text = format!(
                "ERR at most {INFO_NAMES} names or arguments at a time here; COMMAND INFO takes more in an array"
            );
            fail(turn, conn, text);
        }
        Command::Command(query) => answer(turn, conn, |reply| query.answer(reply)),
        Command::Config(config) => self::config(turn, conn, config),
        Command::Client(client) => self::client(turn, conn, client),
        Command::Help(lines) => answer(turn, conn, |reply| {
            reply.array(lines.len());
            lines.iter().for_each(|line| reply.simple(line));
        }),
        // There are no replicas, so none has anything.
        Command::Wait { .. } => answer(turn, conn, |reply| reply.integer(0)),
        other => fail(turn, conn, format!("ERR internal error: {other:?} wasn't run")),
    }
    Taken::Yes
}

fn hello(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, request: Hello<'_>) {
    if let Some(Err(error)) = request.auth.map(|auth| auth.check_without_password()) {
        return fail(turn, conn, error);
    }
    let id = with(turn, conn, |resp| {
        if let Some(protocol) = request.protocol {
            resp.replies.set_protocol(protocol);
        }
        if let Some(name) = request.name {
            resp.describe(|facts| name.clone_into(&mut facts.name));
        }
        resp.facts.id as i64
    });
    answer(turn, conn, |reply| {
        let protocol = reply.protocol().number();
        reply.map(7);
        for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
            reply.bulk(key.as_bytes());
            reply.bulk(value.as_bytes());
        }
        for (key, value) in [("proto", protocol), ("id", id.unwrap_or_default())] {
            reply.bulk(key.as_bytes());
            reply.integer(value);
        }
        for (key, value) in [("mode", "cluster"), ("role", "master")] {
            reply.bulk(key.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"modules");
        reply.array(0);
    });
}

fn client(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, client: Client<'_>) {
    match client {
        Client::Id => {
            let id = with(turn, conn, |resp| resp.facts.id).unwrap_or_default();
            answer(turn, conn, |reply| reply.integer(id as i64));
        }
        Client::GetName => {
            let name = with(turn, conn, |resp| resp.facts.name.clone()).unwrap_or_default();
            answer(turn, conn, |reply| reply.bulk_or_null((!name.is_empty()).then_some(&name)));
        }
        Client::SetName(name) => {
            with(turn, conn, |resp| resp.describe(|facts| name.clone_into(&mut facts.name)));
            answer(turn, conn, |reply| reply.ok());
        }
        Client::SetInfo(attribute, value) => {
            let note = |facts: &mut Facts| {
                let (name, version) = &mut facts.library;
                value.clone_into(if attribute.eq_ignore_ascii_case(b"lib-name") { name } else { version });
            };
            with(turn, conn, |resp| resp.describe(note));
            answer(turn, conn, |reply| reply.ok());
        }
        Client::Info => clients::info(turn, conn),
        Client::Accepted => answer(turn, conn, |reply| reply.ok()),
        // They visit connections, and were begun elsewhere.
        Client::List(_) | Client::Kill(_) | Client::KillAddress(_) => {
            fail(turn, conn, "ERR internal error: a list of connections wasn't begun");
        }
    }
}

fn config(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, config: Config<'_>) {
    match config {
        Config::Get(patterns) => {
            let parameters = info::parameters(&turn.hub.node);
            let steps = &mut { glob::NAME_STEPS };
            let mut wanted = Vec::new();
            for parameter in &parameters {
                match fits(patterns, parameter.0, steps) {
                    Some(true) => wanted.push(parameter),
                    Some(false) => {}
                    None => return fail(turn, conn, TOO_LONG),
                }
            }
            answer(turn, conn, |reply| {
                reply.map(wanted.len());
                for (name, value) in wanted {
                    reply.bulk(name.as_bytes());
                    reply.bulk(value.as_bytes());
                }
            });
        }
        Config::Set(_) => fail(
            turn,
            conn,
            "ERR CONFIG SET isn't available: change the flag, the environment or the configuration file",
        ),
        Config::ResetStat => {
            info::reset(turn, conn);
            answer(turn, conn, |reply| reply.ok());
        }
    }
}

/// Whether a parameter matches one of the patterns; `None` if they take too long to compare.
fn fits(patterns: &[&[u8]], name: &str, steps: &mut usize) -> Option<bool> {
    for pattern in patterns {
        if glob::matches_name(pattern, name.as_bytes(), steps)? {
            return Some(true);
        }
    }
    Some(false)
}
