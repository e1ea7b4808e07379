//! One connection of a client: what was sent on it and waits for an answer.

mod received;

use super::dialect::Dialect;
use super::garbage::{self, Due};
use super::port::Port;
use super::request::Request;
use super::scanner::Scanner;
use super::waiting::{Waiting, What};
use super::{resp, wire};
use crate::model::op::ConnId;
use crate::model::{Ask, Checked, History, Quoted, SimTime, Violation};
use pinion_net::wire::{Command, Features, Hello, Once};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU128;

/// What was on its way when a connection was lost.
#[derive(Debug, Default)]
pub struct Lost {
    /// Requests that could be sent again.
    pub requests: Vec<Request>,
    /// Those of a careful client, by their numbers.
    pub once: Vec<u64>,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    id: ConnId,
    /// See [`super::WorkloadShape::hurry_ms`].
    hurry_ms: u32,
    dialect: Dialect,
    /// Who it is, if it wants requests done once.
    client: Option<NonZeroU128>,
    port: Port,
    opened: SimTime,
    has_greeted: bool,
    /// Bytes sent by earlier turns of the client.
    sent_bytes: u64,
    inbox: Vec<u8>,
    /// RESP: in the order sent.
    in_order: VecDeque<Waiting>,
    /// The binary protocol: by id.
    by_id: BTreeMap<u64, Waiting>,
    next_id: u64,
    scanner: Option<Scanner>,
    /// The page that was asked for has come; another can be asked for.
    scan_goes_on: bool,
    closing: bool,
}

impl Conn {
    /// A new connection.
    pub fn new(id: ConnId, dialect: Dialect, port: Port, hurry_ms: u32, opened: SimTime) -> Conn {
        Conn {
            id,
            hurry_ms,
            dialect,
            client: None,
            port,
            opened,
            has_greeted: false,
            sent_bytes: 0,
            inbox: Vec::new(),
            in_order: VecDeque::new(),
            by_id: BTreeMap::new(),
            next_id: 1,
            scanner: None,
            scan_goes_on: false,
            closing: false,
        }
    }

    /// The same, of a client that wants requests done once.
    pub fn of(self, client: NonZeroU128) -> Conn {
        Conn { client: Some(client), ..self }
    }

    /// Whether its first request was sent.
    pub fn has_greeted(&self) -> bool {
        self.has_greeted
    }

    /// Whether it speaks RESP.
    pub fn is_resp(&self) -> bool {
        self.dialect.is_resp()
    }

    /// Where it goes to.
    pub fn port(&self) -> Port {
        self.port
    }

    /// Whether nothing more is sent, and the server may close.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Nothing more is sent.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> usize {
        self.in_order.len() + self.by_id.len()
    }

    /// One of them that ends within the first so many bytes sent, in words.
    pub fn owed(&self, bytes: u64) -> Option<String> {
        let mut waiting = self.in_order.iter().chain(self.by_id.values());
        waiting.find(|waiting| waiting.end <= bytes).map(Waiting::describe)
    }

    /// So much was sent in one turn.
    pub fn has_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// Since when the oldest of them waits.
    pub fn waits_since_us(&self) -> Option<u64> {
        let waiting = self.in_order.front().into_iter().chain(self.by_id.values());
        waiting.map(|waiting| waiting.sent.us).min()
    }

    /// What the oldest of them is, for reports.
    pub fn waits_for(&self) -> Option<String> {
        let waiting = self.in_order.front().into_iter().chain(self.by_id.values());
        waiting.min_by_key(|waiting| waiting.sent.us).map(Waiting::describe)
    }

    /// Whether a scan is under way.
    pub fn is_scanning(&self) -> bool {
        self.scanner.is_some()
    }

    /// Whether the next page of a scan can be asked for.
    pub fn can_go_on_scanning(&self) -> bool {
        self.scan_goes_on
    }

    fn checks(&self) -> bool {
        self.dialect == Dialect::WireChecked
    }

    /// Waits for the answer to what was appended last to this turn's bytes.
    fn wait(&mut self, what: What, sent: SimTime, out: &[u8]) {
        let waiting = Waiting { sent, end: self.sent_bytes + out.len() as u64, what };
        if self.is_resp() {
            self.in_order.push_back(waiting);
        } else {
            self.by_id.insert(self.next_id, waiting);
            self.next_id += 1;
        }
    }

    /// Sends what comes first on a connection, unless it was sent.
    pub fn greet(&mut self, now: SimTime, rng: &mut SmallRng, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_greeted, true) {
            return;
        }
        match self.dialect {
            Dialect::Resp2 if rng.random() => return,
            Dialect::Resp2 => resp::fixed(&["HELLO"], out),
            Dialect::Resp3 => resp::fixed(&["HELLO", "3"], out),
            Dialect::Wire | Dialect::WireChecked => return self.hello(now, out),
        }
        self.wait(What::Hello, now, out);
    }

    /// Says HELLO in the binary protocol.
    pub fn hello(&mut self, now: SimTime, out: &mut Vec<u8>) {
        let checksum = if self.checks() { Features::CHECKSUM } else { Features::NONE };
        let hello = match self.client {
            None => Hello::new("kvsim", checksum, b""),
            Some(client) => Hello::new("kvsim", checksum.with(Features::ONCE), b"").with_client(client),
        };
        wire::command(Command::Hello(hello), self.next_id, self.checks(), out);
        self.wait(What::Hello, now, out);
    }

    /// Appends a request without sending it. Some of a client that is in a hurry must be answered soon.
    pub fn encode(&self, request: &Request, rng: &mut SmallRng, out: &mut Vec<u8>) {
        if self.is_resp() {
            return resp::append(request, rng.random(), out);
        }
        let hurry_ms = self.hurry_ms;
        let is_hasty = hurry_ms > 0 && rng.random_ratio(1, 4);
        let deadline_ms = if is_hasty { rng.random_range(1..=hurry_ms) } else { 0 };
        wire::append(request, (self.next_id, deadline_ms), self.checks(), out);
    }

    /// Sends a request.
    pub fn send(
        &mut self,
        request: Request,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) {
        self.encode(&request, rng, out);
        let ticket = history.ask(self.id, now, request.ask());
        self.wait(What::Request(request, ticket), now, out);
    }

    /// Sends a request that is to be done once: that of a careful client with this number.
    pub fn send_once(
        &mut self,
        number: u64,
        (command, once): (Command<'_>, Once),
        ask: Ask,
        now: SimTime,
        history: &mut History,
        out: &mut Vec<u8>,
    ) {
        wire::once(command, once, self.next_id, self.checks(), out);
        let ticket = history.ask(self.id, now, ask);
        self.wait(What::Once(number, ticket), now, out);
    }

    /// Sends what is no request.
    pub fn send_garbage(&mut self, now: SimTime, rng: &mut SmallRng, out: &mut Vec<u8>) {
        let due = if self.is_resp() {
            garbage::append_resp(rng, out)
        } else {
            garbage::append_wire(self.next_id, rng, out)
        };
        self.wait(What::Garbage(due), now, out);
        self.closing |= due == Due::ErrorAndClose;
    }

    /// Begins a scan.
    pub fn scan(&mut self, scanner: Scanner, now: SimTime, rng: &mut SmallRng, out: &mut Vec<u8>) {
        self.scanner = Some(scanner);
        self.go_on_scanning(now, rng, out);
    }

    /// Asks for the next page of the scan.
    pub fn go_on_scanning(&mut self, now: SimTime, rng: &mut SmallRng, out: &mut Vec<u8>) {
        let (is_resp, whom) = (self.is_resp(), (self.next_id, self.checks()));
        let Some(scanner) = &mut self.scanner else { return };
        if is_resp {
            scanner.append_resp(now, rng, out);
        } else {
            scanner.append_wire(whom, now, rng, out);
        }
        self.scan_goes_on = false;
        self.wait(What::Scan, now, out);
    }

    /// The connection is gone: what could be sent again.
    pub fn lost(self, history: &mut History, now: SimTime) -> (Lost, Checked) {
        if let Some(scanner) = self.scanner {
            history.scan_ended(scanner.id());
        }
        let mut lost = Lost::default();
        let mut done = Ok(());
        // The newest first, so that fewer ways are left open while it goes on.
        for waiting in self.in_order.into_iter().chain(self.by_id.into_values()).rev() {
            let ticket = match waiting.what {
                What::Request(request, ticket) => {
                    lost.requests.push(request);
                    ticket
                }
                What::Once(number, ticket) => {
                    lost.once.push(number);
                    ticket
                }
                What::Hello | What::Scan | What::Garbage(_) => continue,
            };
            done = done.and(history.lost(ticket, now));
        }
        lost.requests.reverse();
        (lost, done)
    }

    fn broken_stream(&self, what: &str, bytes: &[u8], at: SimTime) -> Box<Violation> {
        Box::new(Violation {
            check: "a stream that can't be followed",
            key: None,
            expected: format!("answers on connection {:x}, opened at {} us", self.id, self.opened.us),
            seen: format!("{what}: {}", Quoted(bytes)),
            at,
            last_ops: Vec::new(),
        })
    }
}
