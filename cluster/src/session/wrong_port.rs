//! Clients that came to the port of another protocol: each is told so in its own, and its connection is closed.
//!
//! The first byte decides: that of a frame is no ASCII, and every RESP command and HTTP request begins with ASCII. HTTP gets
//! no answer, as in Redis: it may come from a browser that a page tricked into talking to this machine.

use super::dialogue::Dialogue;
use super::intake::close;
use crate::session::backend::Backend;
use pinion_net::reactor::ConnId;
use pinion_net::wire::{ErrorCode, Responder};

/// How often the log tells of HTTP, in microseconds.
const WARN_PERIOD_US: u64 = 60_000_000;

/// A client of the binary protocol is at the port for RESP: it gets a frame that says so.
pub fn refuse_wire(backend: &mut impl Backend, conn: ConnId) {
    let port = backend.node().addresses.kv.port();
    let text = format!("this port speaks RESP (Redis); the binary protocol is on port {port}");
    Responder::notice().refused(backend.output(conn), ErrorCode::WRONG_PORT, &text);
    close(backend, conn);
}

/// A client of RESP, or one that speaks HTTP, is at the port of the binary protocol; `false` if these bytes are neither.
pub fn refuse_text(backend: &mut impl Backend, conn: ConnId, bytes: &[u8]) -> bool {
    if !bytes.first().is_some_and(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    if is_http(bytes) {
        refuse_http(backend, conn);
        return true;
    }
    let elsewhere = match backend.node().addresses.resp {
        Some(addr) => format!("RESP (Redis) is on port {}", addr.port()),
        None => "RESP (Redis) is switched off here; see --resp-listen".to_owned(),
    };
    let text = format!("-ERR this port speaks Pinion's binary protocol; {elsewhere}\r\n");
    backend.output(conn).extend_from_slice(text.as_bytes());
    close(backend, conn);
    true
}

/// Closes a connection that speaks HTTP, without an answer.
pub fn refuse_http(backend: &mut impl Backend, conn: ConnId) {
    let now_us = backend.now().mono_us;
    if backend.sessions().0.http_warned_us.is_none_or(|warned_us| now_us - warned_us >= WARN_PERIOD_US) {
        backend.sessions().0.http_warned_us = Some(now_us);
        tracing::warn!(
            "Possible SECURITY ATTACK detected. Somebody sends POST, Host: or another HTTP request to a port that doesn't \
             speak HTTP, perhaps a browser that a page tricked into it (cross-protocol scripting). Connection{} aborted.",
            peer(backend, conn)
        );
    }
    close(backend, conn);
}

fn peer(backend: &mut impl Backend, conn: ConnId) -> String {
    match backend.session(conn).map(|session| &session.dialogue) {
        Some(Dialogue::Resp(resp)) => resp.peer().map_or(String::new(), |peer| format!(" from {peer}")),
        _ => String::new(),
    }
}

/// Whether a text begins as an HTTP request does.
fn is_http(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let starts =
        |word: &str| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    starts("POST ") || starts("Host:") || line.windows(6).any(|window| window == b" HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_told_from_commands_typed_as_lines() {
        for http in ["GET / HTTP/1.1\r\nHost: x\r\n", "POST /x HTTP/1.1\r\n", "host: a", "PUT /a HTTP/1.0\n"]
        {
            assert!(is_http(http.as_bytes()), "{http}");
        }
        for other in ["GET key\r\n", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "PING\r\n", "", "POSTPONE"] {
            assert!(!is_http(other.as_bytes()), "{other}");
        }
    }
}
