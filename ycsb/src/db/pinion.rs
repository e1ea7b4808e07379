//! Pinion's binary protocol, with requests straight to the core that has the key.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use pinion_net::slot::{SLOTS, Slot};
use pinion_net::wire::{
    Command, Condition, Expiry, Features, Hello, Level, Limits, Map, Parsed, Range, Reply, Request as Frame,
    Response, Scan, parse,
};

use super::connect::{Routes, ask, connect};
use super::error::DbError;
use super::protocol::{Answer, Protocol};
use super::request::{Outcome, Request};

struct Connection {
    limits: Limits,
}

pub(super) fn connection() -> Box<dyn Protocol> {
    Box::new(Connection { limits: Limits::default() })
}

fn command<'a>(what: &Request<'a>) -> Command<'a> {
    match *what {
        Request::Read { key } => Command::Get { key },
        Request::Write { key, value } => {
            Command::Put { key, value, expiry: Expiry::Never, condition: Condition::None, want_old: false }
        }
        Request::Scan { from, cursor, limit } => Command::Scan(Scan {
            range: Range { from, to: b"", prefix: b"" },
            cursor,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            keys_only: false,
        }),
    }
}

impl Protocol for Connection {
    fn greet(&mut self, stream: &mut TcpStream) -> Result<(), DbError> {
        hello(stream).map(drop)
    }

    fn encode(&mut self, request: u32, what: &Request<'_>, out: &mut Vec<u8>) {
        // Ids begin at 1: 0 is for the connection itself.
        let id = u64::from(request) + 1;
        let frame = Frame {
            id,
            level: Level::Default,
            keyspace: 0,
            deadline_ms: 0,
            once: None,
            command: command(what),
        };
        frame.encode(&self.limits, false, out).expect("workloads keep to the limits of keys and values");
    }

    fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Answer<'b>>, DbError> {
        let (response, consumed) = match parse(bytes, &self.limits) {
            Parsed::Incomplete { .. } => return Ok(None),
            Parsed::Invalid(error) => return Err(DbError::Protocol(error.to_string())),
            Parsed::Frame(frame, consumed) => {
                (Response::decode(&frame).map_err(|error| DbError::Protocol(error.to_string()))?, consumed)
            }
        };
        let request = response.id.checked_sub(1).and_then(|id| u32::try_from(id).ok());
        let outcome = outcome(response.reply)?;
        match (request, outcome) {
            (Some(request), outcome) => Ok(Some(Answer { request, outcome, consumed })),
            (None, Outcome::Failed(text) | Outcome::Unknown(text)) => Err(DbError::Closing(text.to_owned())),
            (None, _) => Err(DbError::Protocol("an answer without a request".into())),
        }
    }
}

fn outcome(reply: Reply<'_>) -> Result<Outcome<'_>, DbError> {
    Ok(match reply {
        Reply::Value(value) => Outcome::Value(value.bytes),
        Reply::NotFound => Outcome::NotFound,
        Reply::Written { .. } => Outcome::Done,
        Reply::Page(page) => Outcome::Page { rows: page.len(), cursor: page.next_cursor() },
        Reply::Refused { text, .. } => Outcome::Failed(text),
        Reply::Unknown { text, .. } => Outcome::Unknown(text),
        other => return Err(DbError::Protocol(format!("{other:?} answers none of our requests"))),
    })
}

/// Asks one thing on a connection of its own.
fn exchange<T>(
    stream: &mut TcpStream,
    command: Command<'_>,
    mut take: impl FnMut(Reply<'_>) -> T,
) -> Result<T, DbError> {
    let wrong = |error: pinion_net::wire::WireError| DbError::Protocol(error.to_string());
    let frame = Frame { id: 1, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command };
    let limits = Limits::default();
    let mut request = Vec::new();
    frame.encode(&limits, false, &mut request).map_err(wrong)?;
    ask(stream, &request, |bytes| match parse(bytes, &limits) {
        Parsed::Incomplete { .. } => Ok(None),
        Parsed::Invalid(error) => Err(wrong(error)),
        Parsed::Frame(frame, _) => Ok(Some(take(Response::decode(&frame).map_err(wrong)?.reply))),
    })
}

/// Agrees on the protocol and learns the map.
fn hello(stream: &mut TcpStream) -> Result<Map, DbError> {
    let hello = Command::Hello(Hello::new("kvbench", Features::NONE, b""));
    exchange(stream, hello, |reply| match reply {
        Reply::Hello(hello) => Ok(hello.map),
        Reply::Refused { text, .. } => Err(DbError::Protocol(format!("HELLO was refused: {text}"))),
        other => Err(DbError::Protocol(format!("{other:?} answers HELLO"))),
    })?
}

/// Removes every record.
pub(super) fn clear(target: SocketAddr) -> Result<(), DbError> {
    let mut stream = connect(target)?;
    hello(&mut stream)?;
    stream.set_read_timeout(None).map_err(|cause| DbError::Connect { address: target, cause })?;
    match exchange(&mut stream, Command::Clear, |reply| match reply {
        Reply::Done => None,
        Reply::Refused { text, .. } | Reply::Unknown { text, .. } => Some(text.to_owned()),
        other => Some(format!("{other:?} answers CLEAR")),
    })? {
        None => Ok(()),
        Some(failure) => Err(DbError::Protocol(format!("CLEAR: {failure}"))),
    }
}

/// Learns which core of which node has which slots.
pub(super) fn direct(targets: &[SocketAddr]) -> Result<Routes, DbError> {
    let Some(target) = targets.first() else {
        return Err(DbError::Protocol("no target".into()));
    };
    routes(&hello(&mut connect(*target)?)?, *target)
}

fn routes(map: &Map, asked: SocketAddr) -> Result<Routes, DbError> {
    let mut addresses = Vec::new();
    let mut by_slot = Vec::with_capacity(usize::from(SLOTS));
    let partitions = map.homes.len() as u16; // a sound map has at most 16,384
    for slot in (0..SLOTS).filter_map(Slot::new) {
        let home = map.homes[usize::from(slot.partition(partitions))];
        let node = &map.nodes[usize::from(home.node)];
        let port = node.core_ports[usize::from(home.core)];
        let address = address(&node.host, port, asked)?;
        let at = addresses.iter().position(|known| *known == address).unwrap_or_else(|| {
            addresses.push(address);
            addresses.len() - 1
        });
        by_slot.push(at as u16); // there are at most as many as slots
    }
    Ok(Routes { addresses, by_slot: by_slot.into() })
}

fn address(host: &str, port: u16, asked: SocketAddr) -> Result<SocketAddr, DbError> {
    if host.is_empty() {
        return Ok(SocketAddr::new(asked.ip(), port));
    }
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    let wrong = |cause: String| DbError::Address { target: format!("{host}:{port}"), cause };
    let mut found = (host, port).to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("no such host".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_net::wire::{Home, NodePorts, Responder, ValueRef};

    #[test]
    fn slots_lead_to_the_cores_of_their_partitions() {
        let map = Map {
            epoch: 1,
            nodes: vec![NodePorts {
                id: 1,
                host: "127.0.0.1".into(),
                port: 7400,
                core_ports: vec![8400, 8401],
            }],
            homes: vec![Home { node: 0, core: 1 }, Home { node: 0, core: 0 }],
        };
        let routes = routes(&map, "127.0.0.9:7400".parse().unwrap()).unwrap();
        let port = |slot: usize| routes.addresses[usize::from(routes.by_slot[slot])].port();
        assert_eq!((port(0), port(8191), port(8192), port(16383)), (8401, 8401, 8400, 8400));
    }

    #[test]
    fn answers_carry_the_number_of_their_request() {
        let mut connection = connection();
        let mut out = Vec::new();
        let request = Frame {
            once: None,
            id: 6,
            level: Level::Default,
            keyspace: 0,
            deadline_ms: 0,
            command: command(&Request::Read { key: b"k" }),
        };
        let value = ValueRef { bytes: b"v", version: 3, expiry: 0 };
        Responder::new(&request, false).value(&mut out, value);
        assert_eq!(connection.decode(&out[..20]).unwrap(), None);
        let answer = connection.decode(&out).unwrap().unwrap();
        assert_eq!(answer, Answer { request: 5, outcome: Outcome::Value(b"v"), consumed: out.len() });
    }
}
