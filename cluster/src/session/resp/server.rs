//! Commands about the connection and the server: they touch no key, so they are answered at once, in their turn.

use super::{Taken, answer, close, info, with};
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use pinion_net::reactor::ConnId;
use pinion_net::resp::{Client, Command, Config, Hello, Protocol, glob};

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
            Err(error) => answer(turn, conn, |reply| reply.error(&error)),
        },
        Command::Select | Command::ReadMode => answer(turn, conn, |reply| reply.ok()),
        Command::Quit => {
            answer(turn, conn, |reply| reply.ok());
            close(turn, conn);
        }
        Command::Http => close(turn, conn),
        Command::Reset => {
            with(turn, conn, |resp| {
                resp.replies.set_protocol(Protocol::Resp2);
                resp.name.clear();
            });
            answer(turn, conn, |reply| reply.simple("RESET"));
        }
        Command::Info(sections) => {
            let text = info::text(turn, conn, sections);
            answer(turn, conn, |reply| reply.text(&text));
        }
        Command::Time => {
            let us = turn.hub.now.unix_us;
            answer(turn, conn, |reply| {
                reply.array(2);
                reply.bulk((us / 1_000_000).to_string().as_bytes());
                reply.bulk((us % 1_000_000).to_string().as_bytes());
            });
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
        other => answer(turn, conn, |reply| reply.error(format!("ERR internal error: {other:?} wasn't run"))),
    }
    Taken::Yes
}

fn hello(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, request: Hello<'_>) {
    if let Some(Err(error)) = request.auth.map(|auth| auth.check_without_password()) {
        return answer(turn, conn, |reply| reply.error(&error));
    }
    with(turn, conn, |resp| {
        if let Some(protocol) = request.protocol {
            resp.replies.set_protocol(protocol);
        }
        if let Some(name) = request.name {
            name.clone_into(&mut resp.name);
        }
    });
    answer(turn, conn, |reply| {
        let protocol = reply.protocol().number();
        reply.map(7);
        for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
            reply.bulk(key.as_bytes());
            reply.bulk(value.as_bytes());
        }
        for (key, value) in [("proto", protocol), ("id", client_id(conn))] {
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

/// The number of a connection: unique on this core.
fn client_id(conn: ConnId) -> i64 {
    (conn.to_u64() & i64::MAX as u64) as i64
}

fn client(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, client: Client<'_>) {
    match client {
        Client::Id => answer(turn, conn, |reply| reply.integer(client_id(conn))),
        Client::GetName => {
            let name = with(turn, conn, |resp| resp.name.clone()).unwrap_or_default();
            answer(turn, conn, |reply| reply.bulk_or_null((!name.is_empty()).then_some(&name)));
        }
        Client::SetName(name) => {
            with(turn, conn, |resp| name.clone_into(&mut resp.name));
            answer(turn, conn, |reply| reply.ok());
        }
        Client::SetInfo(attribute, value) => {
            with(turn, conn, |resp| {
                let (name, version) = &mut resp.library;
                value.clone_into(if attribute.eq_ignore_ascii_case(b"lib-name") { name } else { version });
            });
            answer(turn, conn, |reply| reply.ok());
        }
        Client::List => {
            let lines = info::clients(turn);
            answer(turn, conn, |reply| reply.text(&lines));
        }
        Client::Info => {
            let line = with(turn, conn, |resp| info::client(conn, resp)).unwrap_or_default();
            answer(turn, conn, |reply| reply.text(&line));
        }
        Client::Accepted => answer(turn, conn, |reply| reply.ok()),
    }
}

fn config(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, config: Config<'_>) {
    match config {
        Config::Get(patterns) => {
            let parameters = info::parameters(&turn.hub.node);
            let wanted: Vec<_> = parameters
                .iter()
                .filter(|(name, _)| {
                    let fits =
                        |pattern: &&[u8]| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes());
                    patterns.iter().any(fits)
                })
                .collect();
            answer(turn, conn, |reply| {
                reply.map(wanted.len());
                for (name, value) in wanted {
                    reply.bulk(name.as_bytes());
                    reply.bulk(value.as_bytes());
                }
            });
        }
        Config::Set(_) => {
            answer(turn, conn, |reply| {
                reply.error("ERR CONFIG SET isn't available: change the flag, the environment or the configuration file");
            })
        }
        Config::ResetStat => answer(turn, conn, |reply| reply.ok()),
    }
}
