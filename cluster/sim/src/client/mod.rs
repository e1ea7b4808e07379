//! Simulated clients: programs that use a node. Bytes out, bytes in.
//!
//! The world carries the bytes, as slowly and in as many pieces as it likes, and tells when connections begin and end.
//! Everything a client asks and is answered goes through a [`History`], which checks it. A client does nothing by
//! itself: it sends when the world lets it, and the same calls with the same generator give the same bytes.

mod alike;
mod audit;
mod careful;
mod chooser;
mod conn;
mod dialect;
mod garbage;
mod hostile;
mod keys;
mod port;
mod request;
mod resp;
mod scanner;
mod shape;
mod waiting;
mod wire;

#[cfg(test)]
mod tests;

use super::model::{Checked, History, SimTime};
use audit::Audit;
use careful::Careful;
use chooser::Chooser;
use conn::Conn;
pub use dialect::Dialect;
use hostile::Hostile;
pub use port::Port;
use rand::Rng;
use rand::rngs::SmallRng;
use request::Request;
use scanner::Scanner;
pub use shape::WorkloadShape;
use std::collections::VecDeque;

/// What a client wants of its connection after sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Go on.
    Stay,
    /// Vanish: deliver what was sent as far as you like, then close, and call [`Client::disconnected`].
    Vanish,
    /// Deliver what was sent, close the sending side, and go on delivering what comes until the server closes.
    HalfClose,
}

/// Requests that a client keeps to send them again on its next connection.
const RETRIES_MAX: usize = 8;

/// A client.
#[derive(Debug)]
pub struct Client {
    id: usize,
    dialect: Dialect,
    shape: WorkloadShape,
    chooser: Chooser,
    conn: Option<Conn>,
    generation: u64,
    issued: u64,
    retries: VecDeque<Request>,
    /// What an auditor has yet to read; `None` for others.
    audit: Option<Audit>,
    /// What it does if it means harm; `None` for others.
    hostile: Option<Hostile>,
    /// What it wants done once; `None` for others.
    careful: Option<Careful>,
}

impl Client {
    /// A client that isn't connected. `id` is unique.
    pub fn new(id: usize, dialect: Dialect, shape: WorkloadShape) -> Client {
        let chooser = Chooser::new(id, dialect);
        let retries = VecDeque::new();
        Client {
            id,
            dialect,
            shape,
            chooser,
            conn: None,
            generation: 0,
            issued: 0,
            retries,
            audit: None,
            hostile: None,
            careful: None,
        }
    }

    /// A client that means harm, to a node that takes values of so many bytes. It asks for nothing, and is never in the
    /// way of the end.
    pub fn hostile(id: usize, dialect: Dialect, value_bytes_max: usize) -> Client {
        let mut client =
            Client::new(id, dialect, WorkloadShape { operations: 0, ..WorkloadShape::default() });
        client.hostile = Some(Hostile::new(value_bytes_max));
        client
    }

    /// A client that sends its requests until it knows what became of them, over the binary protocol.
    pub fn careful(id: usize, dialect: Dialect, operations: u64, may_be_forgotten: bool) -> Client {
        let shape = WorkloadShape { operations, depth: 4, ..WorkloadShape::default() };
        Client { careful: Some(Careful::new(id, may_be_forgotten)), ..Client::new(id, dialect, shape) }
    }

    /// Whether it means harm.
    pub fn is_hostile(&self) -> bool {
        self.hostile.is_some()
    }

    /// Whether it takes what it is answered.
    pub fn reads(&self) -> bool {
        self.hostile.as_ref().is_none_or(Hostile::reads)
    }

    /// A client that reads everything the history knows of once, then is [finished](Client::is_finished): for the end of
    /// a run and after recoveries. It begins anew with each connection.
    pub fn auditor(id: usize, dialect: Dialect) -> Client {
        let mut auditor = Client::new(id, dialect, WorkloadShape::default());
        auditor.audit = Some(Audit::default());
        auditor
    }

    /// Its number.
    pub fn id(&self) -> usize {
        self.id
    }

    /// What it speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What it does.
    pub fn shape(&mut self) -> &mut WorkloadShape {
        &mut self.shape
    }

    /// A new connection.
    pub fn connected(&mut self, port: Port, now: SimTime, rng: &mut SmallRng) {
        self.generation += 1;
        let id = (self.id as u64) << 32 | self.generation;
        let conn = Conn::new(id, self.dialect, port, self.shape.hurry_ms, now);
        self.conn = Some(match &self.careful {
            Some(careful) => conn.of(careful.client()),
            None => conn,
        });
        if let Some(audit) = &mut self.audit {
            *audit = Audit::default();
        }
        if let Some(hostile) = &mut self.hostile {
            hostile.connected(self.dialect, rng);
        }
    }

    /// The connection is gone: the server closed it, crashed, or the client vanished. What is open has an unknown outcome.
    pub fn disconnected(&mut self, history: &mut History, now: SimTime) -> Checked {
        let Some(conn) = self.conn.take() else { return Ok(()) };
        let (lost, done) = conn.lost(history, now);
        if let Some(careful) = &mut self.careful {
            lost.once.into_iter().for_each(|number| careful.lost(number));
        }
        self.retries.extend(lost.requests.into_iter().filter(|request| !matches!(request, Request::Clear)));
        self.retries.truncate(RETRIES_MAX);
        done
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.conn.is_some()
    }

    /// Whether the server may close the connection: the client sent what asks for it, or closed its side.
    pub fn expects_close(&self) -> bool {
        self.is_hostile() || self.conn.as_ref().is_some_and(Conn::is_closing)
    }

    /// Whether [`send`](Client::send) would send something now.
    pub fn wants_to_send(&self) -> bool {
        let Some(conn) = &self.conn else { return false };
        if let Some(hostile) = &self.hostile {
            return hostile.wants_to_send();
        }
        if conn.is_closing() || conn.unanswered() >= self.shape.depth.max(1) {
            return false;
        }
        if let Some(careful) = &self.careful {
            return !conn.has_greeted() || careful.wants_to_send(self.issued < self.shape.operations);
        }
        match &self.audit {
            Some(audit) => audit.has_more(conn),
            None => self.issued < self.shape.operations || conn.can_go_on_scanning(),
        }
    }

    /// Appends the next requests to what is empty.
    pub fn send(
        &mut self,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) -> After {
        if !self.wants_to_send() {
            return After::Stay;
        }
        if let Some(hostile) = &mut self.hostile {
            hostile.send(rng, out);
            return if rng.random_ratio(1, 100) { After::Vanish } else { After::Stay };
        }
        let Some(mut conn) = self.conn.take() else { return After::Stay };
        conn.greet(now, rng, out);
        let after = match (&mut self.audit, &mut self.careful) {
            (_, Some(careful)) => {
                let may_begin = self.issued < self.shape.operations;
                let begun = careful.send(&mut conn, may_begin, (now, rng), history, out);
                self.issued += u64::from(begun == Some(true));
                if begun.is_some() && careful.vanishes(rng) { After::Vanish } else { After::Stay }
            }
            (Some(audit), None) => {
                audit.send(&mut conn, now, history, rng, out);
                After::Stay
            }
            (None, None) => self.send_burst(&mut conn, now, history, rng, out),
        };
        conn.has_sent(out.len());
        self.conn = Some(conn);
        after
    }

    fn send_burst(
        &mut self,
        conn: &mut Conn,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) -> After {
        let room = self.shape.depth.max(1) - conn.unanswered().min(self.shape.depth);
        let burst = rng.random_range(1..=self.shape.burst.max(1)).min(room.max(1));
        for _ in 0..burst {
            if self.issued >= self.shape.operations && !conn.can_go_on_scanning() {
                break;
            }
            if rng.random_range(0..1000) < self.shape.vanishes {
                return self.leave(conn, now, rng, out);
            }
            if rng.random_range(0..1000) < self.shape.garbage {
                conn.send_garbage(now, rng, out);
                if conn.is_closing() {
                    break;
                }
                continue;
            }
            self.send_one(conn, now, history, rng, out);
        }
        After::Stay
    }

    fn send_one(
        &mut self,
        conn: &mut Conn,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) {
        if conn.can_go_on_scanning() && (rng.random() || self.issued >= self.shape.operations) {
            return conn.go_on_scanning(now, rng, out);
        }
        if self.issued >= self.shape.operations {
            return;
        }
        if !conn.is_scanning() && rng.random_range(0..1000) < self.shape.scans {
            self.issued += 1;
            let whom = (self.dialect.is_resp(), conn.port());
            let scanner = Scanner::begin(whom, &self.shape, now, history, rng);
            return conn.scan(scanner, now, rng, out);
        }
        for _ in 0..4 {
            let retry = self.retries.pop_front();
            let request = retry.unwrap_or_else(|| self.chooser.request(&self.shape, now, rng));
            let is_welcome = match &request {
                Request::Clear => history.has_room_to_clear(),
                request => request.keys().into_iter().all(|key| history.has_room(key)),
            };
            if is_welcome {
                self.issued += 1;
                return conn.send(request, now, history, rng, out);
            }
            history.count("requests that were put off");
        }
    }

    /// Goes away: at once, in the middle of a request, or by closing the sending side.
    fn leave(&mut self, conn: &mut Conn, now: SimTime, rng: &mut SmallRng, out: &mut Vec<u8>) -> After {
        match rng.random_range(0..4) {
            0 => {
                conn.close();
                After::HalfClose
            }
            1 => After::Vanish,
            _ => {
                // A part of a request is none: it has no effect.
                let mut whole = Vec::new();
                let request = self.chooser.request(&self.shape, now, rng);
                conn.encode(&request, rng, &mut whole);
                let part = rng.random_range(0..whole.len());
                out.extend_from_slice(&whole[..part]);
                After::Vanish
            }
        }
    }

    /// Takes in bytes in the order the server sent them, cut anywhere.
    pub fn received(&mut self, bytes: &[u8], now: SimTime, history: &mut History) -> Checked {
        let Some(conn) = &mut self.conn else { return Ok(()) };
        if self.hostile.is_some() {
            return Ok(());
        }
        conn.received(bytes, now, history, (&mut self.chooser, &mut self.careful))?;
        if let Some(audit) = &mut self.audit {
            audit.scans_over = audit.scans_begun - u32::from(conn.is_scanning());
        }
        Ok(())
    }

    /// Since when its oldest request waits, in virtual microseconds, if one does.
    pub fn waits_since_us(&self) -> Option<u64> {
        self.conn.as_ref().and_then(Conn::waits_since_us)
    }

    /// What its oldest request is, for reports.
    pub fn waits_for(&self) -> Option<String> {
        self.conn.as_ref().and_then(Conn::waits_for)
    }

    /// A request without an answer that lies within the first so many bytes sent on the connection, in words.
    pub fn owed(&self, bytes: u64) -> Option<String> {
        self.conn.as_ref().and_then(|conn| conn.owed(bytes))
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> usize {
        self.conn.as_ref().map_or(0, Conn::unanswered)
    }

    /// Operations issued so far, over all connections.
    pub fn issued(&self) -> u64 {
        self.issued
    }

    /// Whether it has nothing more to ask, and no answer is missing.
    pub fn is_finished(&self) -> bool {
        match &self.audit {
            Some(audit) => self.conn.as_ref().is_some_and(|conn| conn.unanswered() == 0 && audit.is_over()),
            None => {
                let is_open = self.careful.as_ref().is_some_and(|careful| careful.open() > 0);
                self.issued >= self.shape.operations && self.unanswered() == 0 && !is_open
            }
        }
    }
}
