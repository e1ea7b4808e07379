//! RESP: GET and SET, one value a record. Works against Pinion, Redis and their like.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};

use pinion_net::resp::client::{Reply, decode, encode};
use pinion_net::slot::SLOTS;

use super::connect::{Routes, ask, connect};
use super::error::DbError;
use super::protocol::{Answer, Protocol};
use super::request::{Outcome, Request};

/// Answers come in the order of the requests.
#[derive(Default)]
struct Connection {
    waiting: VecDeque<u32>,
}

pub(super) fn connection() -> Box<dyn Protocol> {
    Box::new(Connection::default())
}

impl Protocol for Connection {
    /// Asks whether RESP is spoken there at all, so that a port of something else is told at once.
    fn greet(&mut self, stream: &mut TcpStream) -> Result<(), DbError> {
        let mut request = Vec::new();
        encode(&[b"PING"], &mut request);
        ask(stream, &request, |bytes| match decode(bytes) {
            Ok(None) => Ok(None),
            Ok(Some((Reply::Error(text), _))) => Err(refusal(text)),
            Ok(Some(_)) => Ok(Some(())),
            Err(error) => Err(DbError::Protocol(format!("RESP isn't spoken there: {error}"))),
        })
    }

    fn encode(&mut self, request: u32, what: &Request<'_>, out: &mut Vec<u8>) {
        self.waiting.push_back(request);
        match what {
            Request::Write { key, value } => encode(&[b"SET", key, value], out),
            Request::Read { key } | Request::Scan { from: key, .. } => encode(&[b"GET", key], out),
        }
    }

    fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Answer<'b>>, DbError> {
        let reply = decode(bytes).map_err(|error| DbError::Protocol(format!("RESP: {error}")))?;
        let Some((reply, consumed)) = reply else { return Ok(None) };
        let outcome = match reply {
            Reply::Bulk(value) => Outcome::Value(value),
            Reply::Null => Outcome::NotFound,
            Reply::Simple(_) => Outcome::Done,
            Reply::Error(text) => {
                Outcome::Failed(std::str::from_utf8(text).unwrap_or("an error that isn't text"))
            }
            other => return Err(DbError::Protocol(format!("RESP: {other:?} answers neither GET nor SET"))),
        };
        let request = self.waiting.pop_front();
        let request =
            request.ok_or(DbError::Protocol("RESP: an answer that nothing was asked for".into()))?;
        Ok(Some(Answer { request, outcome, consumed }))
    }
}

fn refusal(text: &[u8]) -> DbError {
    DbError::Protocol(format!("the server says: {}", String::from_utf8_lossy(text)))
}

/// Asks for the slots of the cores, so that each request goes to the right one.
pub(super) fn direct(targets: &[SocketAddr]) -> Result<Routes, DbError> {
    let Some(target) = targets.first() else {
        return Err(DbError::Protocol("no target".into()));
    };
    let mut stream = connect(*target)?;
    Connection::default().greet(&mut stream)?;
    let mut request = Vec::new();
    encode(&[b"CLUSTER", b"SLOTS"], &mut request);
    ask(&mut stream, &request, |bytes| {
        match decode(bytes).map_err(|error| DbError::Protocol(format!("RESP: {error}")))? {
            None => Ok(None),
            Some((Reply::Array(ranges), _)) => routes(&ranges, *target)
                .map(Some)
                .ok_or_else(|| DbError::Protocol("CLUSTER SLOTS leaves slots out; use --route any".into())),
            Some((other, _)) => Err(DbError::Unsupported(format!(
                "the server has no CLUSTER SLOTS ({other:?}); use --route any"
            ))),
        }
    })
}

fn routes(ranges: &[Reply<'_>], asked: SocketAddr) -> Option<Routes> {
    let mut addresses = Vec::new();
    let mut by_slot = vec![u16::MAX; usize::from(SLOTS)];
    for range in ranges {
        let Reply::Array(parts) = range else { return None };
        let [Reply::Integer(first), Reply::Integer(last), Reply::Array(node), ..] = parts.as_slice() else {
            return None;
        };
        let [Reply::Bulk(host), Reply::Integer(port), ..] = node.as_slice() else { return None };
        let ip = match std::str::from_utf8(host).ok()? {
            "" => asked.ip(),
            host => host.parse().ok()?,
        };
        let address = SocketAddr::new(ip, u16::try_from(*port).ok()?);
        let at = addresses.iter().position(|known| *known == address).unwrap_or_else(|| {
            addresses.push(address);
            addresses.len() - 1
        });
        let slots = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
        by_slot.get_mut(slots)?.fill(u16::try_from(at).ok()?);
    }
    let is_whole = by_slot.iter().all(|at| *at != u16::MAX);
    is_whole.then(|| Routes { addresses, by_slot: by_slot.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_belong_to_the_requests_in_order() {
        let mut connection = Connection::default();
        let mut out = Vec::new();
        connection.encode(7, &Request::Read { key: b"a" }, &mut out);
        connection.encode(9, &Request::Write { key: b"a", value: b"1" }, &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
        let bytes = b"$-1\r\n+OK\r\n";
        let first = connection.decode(bytes).unwrap().unwrap();
        assert_eq!(first, Answer { request: 7, outcome: Outcome::NotFound, consumed: 5 });
        let second = connection.decode(&bytes[5..]).unwrap().unwrap();
        assert_eq!(second, Answer { request: 9, outcome: Outcome::Done, consumed: 5 });
        assert!(connection.decode(b"+OK\r\n").is_err());
    }

    #[test]
    fn slots_lead_to_the_ports_that_serve_them() {
        let bytes = b"*2\r\n*3\r\n:0\r\n:99\r\n*2\r\n$0\r\n\r\n:9379\r\n\
                      *3\r\n:100\r\n:16383\r\n*2\r\n$9\r\n127.0.0.2\r\n:9380\r\n";
        let Some((Reply::Array(ranges), _)) = decode(bytes).unwrap() else { panic!() };
        let routes = routes(&ranges, "127.0.0.1:7379".parse().unwrap()).unwrap();
        assert_eq!(
            routes.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:9379", "127.0.0.2:9380"]
        );
        assert_eq!((routes.by_slot[99], routes.by_slot[100]), (0, 1));
    }
}
