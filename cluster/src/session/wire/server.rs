//! Requests about the connection and the server: HELLO, PING, INFO.

use super::common::with;
use crate::session::backend::Backend;
use crate::session::intake::close;
use crate::session::settled::{Ending, Settled};
use crate::stats::Class;
use pinion_net::reactor::ConnId;
use pinion_net::resp::CommandId;
use pinion_net::wire::{Command, ErrorCode, Features, Hello, Responder, ServerHello, VERSION};

/// Runs a request that is about no key.
pub fn run(backend: &mut impl Backend, conn: ConnId, responder: Responder, command: &Command<'_>) {
    match *command {
        Command::Hello(hello) => self::hello(backend, conn, responder, hello),
        Command::Ping { payload } => responder.bytes(backend.output(conn), payload),
        Command::Info => {
            let text = info(backend);
            responder.bytes(backend.output(conn), text.as_bytes());
        }
        _ => responder.refused(backend.output(conn), ErrorCode::INTERNAL, "the request wasn't run"),
    }
    let started_us = backend.now().mono_us;
    backend.settle(Settled {
        class: Class::Server,
        started_us,
        ending: Ending::Done,
        command: CommandId::NONE,
    });
}

fn hello(backend: &mut impl Backend, conn: ConnId, responder: Responder, hello: Hello<'_>) {
    let features = match agree(&hello) {
        Ok(features) => features,
        Err((code, text)) => {
            with(backend, conn, |wire| responder.refused(&mut wire.last_word, code, &text));
            return close(backend, conn);
        }
    };
    with(backend, conn, |wire| {
        wire.greeted = true;
        wire.checked = features.has(Features::CHECKSUM);
        wire.client = hello.client.filter(|_| features.has(Features::ONCE));
    });
    let node = &backend.node();
    let answer = ServerHello {
        version: VERSION,
        features,
        limits: node.limits,
        cluster_id: node.cluster_id(),
        server_version: format!("pinion {}", env!("CARGO_PKG_VERSION")),
        server_us: backend.server_us(),
        home: backend.route().topology.home_at(backend.me()),
        map: backend.route().topology.map().clone(),
    };
    responder.hello(backend.output(conn), &answer);
}

/// The features that are granted, or why there is no agreement.
fn agree(hello: &Hello<'_>) -> Result<Features, (ErrorCode, String)> {
    if !hello.speaks_our_version() {
        let (oldest, newest) = (hello.version_min, hello.version_max);
        let text = format!("this server speaks version {VERSION}, the client {oldest} to {newest}");
        return Err((ErrorCode::BAD_VERSION, text));
    }
    if !hello.auth.is_empty() {
        // To accept would let a client believe that it was checked, and others kept out.
        return Err((ErrorCode::AUTH_NOT_CONFIGURED, String::new()));
    }
    hello.features.granted(Features::KNOWN).map_err(|unknown| {
        let text = format!("the client requires features that this server lacks: bits {:#x}", unknown.0);
        (ErrorCode::UNKNOWN_FEATURE, text)
    })
}

/// What this core tells of itself and its node, as JSON.
fn info(backend: &mut impl Backend) -> String {
    let connections = backend.sessions().0.len();
    let node = backend.node();
    let document = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node_id": node.node_id,
        "shards": node.cores,
        "partitions": backend.route().topology.partitions(),
        "durability": node.config.durability.to_string(),
        "memory_bytes": node.config.memory_bytes,
        "uptime_s": backend.now().mono_us / 1_000_000,
        "core": backend.me(),
        "connections": connections,
        "storage": crate::stats::storage::told(&backend.shard_stats()),
    });
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(hello: &Hello<'_>) -> ErrorCode {
        agree(hello).unwrap_err().0
    }

    #[test]
    fn what_is_granted_is_what_both_know_and_nothing_is_agreed_on_blindly() {
        let wanted = Features(Features::CHECKSUM.0 | 1 << 20);
        assert_eq!(agree(&Hello::new("t", wanted, b"")), Ok(Features::CHECKSUM));
        assert_eq!(agree(&Hello::new("t", Features::CHECKSUM.required(), b"")), Ok(Features::CHECKSUM));
        let unknown = Features(1 << 20).required();
        assert_eq!(refused(&Hello::new("t", unknown, b"")), ErrorCode::UNKNOWN_FEATURE);
        assert_eq!(refused(&Hello::new("t", Features::NONE, b"secret")), ErrorCode::AUTH_NOT_CONFIGURED);
        let newer =
            Hello { version_min: VERSION + 1, version_max: 9, ..Hello::new("t", Features::NONE, b"") };
        assert_eq!(refused(&newer), ErrorCode::BAD_VERSION);
    }
}
