//! Commands about the connection and the server: they touch no key, so they are answered at once, in their turn.

use super::common::{answer, fail, with};
use super::facts::Facts;
use super::long::INFO_NAMES;
use super::{clients, info};
use crate::session::backend::Backend;
use crate::session::intake::{Taken, close};
use crate::session::wrong_port;
use pinion_net::reactor::ConnId;
use pinion_net::resp::{Client, Command, Config, Hello, Protocol, TOO_LONG, glob};

/// Runs a command that is about no key.
pub fn run(backend: &mut impl Backend, conn: ConnId, command: Command<'_>) -> Taken {
    match command {
        Command::Ping(None) => answer(backend, conn, |reply| reply.simple("PONG")),
        Command::Ping(Some(message)) | Command::Echo(message) => {
            answer(backend, conn, |reply| reply.bulk(message))
        }
        Command::Hello(request) => hello(backend, conn, request),
        Command::Auth(auth) => match auth.check_without_password() {
            Ok(()) => answer(backend, conn, |reply| reply.ok()),
            Err(error) => fail(backend, conn, error),
        },
        Command::Select | Command::ReadMode => answer(backend, conn, |reply| reply.ok()),
        Command::Quit => {
            answer(backend, conn, |reply| reply.ok());
            close(backend, conn);
        }
        Command::Http => wrong_port::refuse_http(backend, conn),
        Command::Reset => {
            with(backend, conn, |resp| {
                resp.replies.set_protocol(Protocol::Resp2);
                resp.describe(Facts::reset);
            });
            answer(backend, conn, |reply| reply.simple("RESET"));
        }
        Command::Time => {
            let us = backend.now().unix_us;
            answer(backend, conn, |reply| {
                reply.array(2);
                reply.bulk((us / 1_000_000).to_string().as_bytes());
                reply.bulk((us % 1_000_000).to_string().as_bytes());
            });
        }
        Command::Command(query) if query.names() > INFO_NAMES => {
            let text = format!(
                "ERR at most {INFO_NAMES} names or arguments at a time here; COMMAND INFO takes more in an array"
            );
            fail(backend, conn, text);
        }
        Command::Command(query) => answer(backend, conn, |reply| query.answer(reply)),
        Command::Config(config) => self::config(backend, conn, config),
        Command::Client(client) => self::client(backend, conn, client),
        Command::Help(lines) => answer(backend, conn, |reply| {
            reply.array(lines.len());
            lines.iter().for_each(|line| reply.simple(line));
        }),
        // There are no replicas, so none has anything.
        Command::Wait { .. } => answer(backend, conn, |reply| reply.integer(0)),
        other => fail(backend, conn, format!("ERR internal error: {other:?} wasn't run")),
    }
    Taken::Yes
}

fn hello(backend: &mut impl Backend, conn: ConnId, request: Hello<'_>) {
    if let Some(Err(error)) = request.auth.map(|auth| auth.check_without_password()) {
        return fail(backend, conn, error);
    }
    let id = with(backend, conn, |resp| {
        if let Some(protocol) = request.protocol {
            resp.replies.set_protocol(protocol);
        }
        if let Some(name) = request.name {
            resp.describe(|facts| name.clone_into(&mut facts.name));
        }
        resp.facts.id as i64
    });
    answer(backend, conn, |reply| {
        let protocol = reply.protocol().number();
        reply.map(7);
        for (key, value) in [("server", "redis"), ("version", info::REDIS_VERSION)] {
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

fn client(backend: &mut impl Backend, conn: ConnId, client: Client<'_>) {
    match client {
        Client::Id => {
            let id = with(backend, conn, |resp| resp.facts.id).unwrap_or_default();
            answer(backend, conn, |reply| reply.integer(id as i64));
        }
        Client::GetName => {
            let name = with(backend, conn, |resp| resp.facts.name.clone()).unwrap_or_default();
            answer(backend, conn, |reply| reply.bulk_or_null((!name.is_empty()).then_some(&name)));
        }
        Client::SetName(name) => {
            with(backend, conn, |resp| resp.describe(|facts| name.clone_into(&mut facts.name)));
            answer(backend, conn, |reply| reply.ok());
        }
        Client::SetInfo(attribute, value) => {
            let note = |facts: &mut Facts| {
                let (name, version) = &mut facts.library;
                value.clone_into(if attribute.eq_ignore_ascii_case(b"lib-name") { name } else { version });
            };
            with(backend, conn, |resp| resp.describe(note));
            answer(backend, conn, |reply| reply.ok());
        }
        Client::Info => clients::info(backend, conn),
        Client::Accepted => answer(backend, conn, |reply| reply.ok()),
        // They visit connections, and were begun elsewhere.
        Client::List(_) | Client::Kill(_) | Client::KillAddress(_) => {
            fail(backend, conn, "ERR internal error: a list of connections wasn't begun");
        }
    }
}

fn config(backend: &mut impl Backend, conn: ConnId, config: Config<'_>) {
    match config {
        Config::Get(patterns) => {
            let parameters = info::parameters(backend.node());
            let steps = &mut { glob::NAME_STEPS };
            let mut wanted = Vec::new();
            for parameter in &parameters {
                match fits(patterns, parameter.0, steps) {
                    Some(true) => wanted.push(parameter),
                    Some(false) => {}
                    None => return fail(backend, conn, TOO_LONG),
                }
            }
            answer(backend, conn, |reply| {
                reply.map(wanted.len());
                for (name, value) in wanted {
                    reply.bulk(name.as_bytes());
                    reply.bulk(value.as_bytes());
                }
            });
        }
        Config::Set(_) => fail(
            backend,
            conn,
            "ERR CONFIG SET isn't available: change the flag, the environment or the configuration file",
        ),
        Config::ResetStat => {
            info::reset(backend, conn);
            answer(backend, conn, |reply| reply.ok());
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
