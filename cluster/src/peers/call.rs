//! A peer that is called: the connection to it, from the first attempt to the next one.

use super::frame::{Hello, Message, Round, Verdict};
use super::settings::{DEAD_US, Id, PAUSE_US_MAX, PING_US, PINGS_MAX, PeerSettings, PeerStatus};
use crate::session::sockets::Sockets;
use pinion_net::reactor::{ConnId, ConnectError};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an attempt to connect has.
const CONNECT: Duration = Duration::from_micros(DEAD_US);
/// The first pause, microseconds. Each that follows is twice as long.
const PAUSE_US: u64 = 50_000;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Greeting,
    Welcome,
}

/// A connection, and what went over it.
#[derive(Debug)]
struct Line {
    conn: ConnId,
    /// Its number in the hello.
    connection: u64,
    stage: Stage,
    /// When it was asked for, or the peer last said something that counts.
    heard_us: u64,
    next_ping_us: u64,
    sent: u64,
    answered: u64,
    /// When each ping was sent that isn't answered, the oldest first.
    unanswered: VecDeque<u64>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Call {
    node: Id,
    address: SocketAddr,
    /// The core of this node that calls.
    core: u16,
    line: Option<Line>,
    /// When the next attempt is made, if there is no connection.
    retry_us: u64,
    /// How often it came to nothing since the peer last bade welcome.
    failures: u32,
    attempts: u64,
    round_us: Option<u64>,
    refused: Option<String>,
    strays: u64,
}

impl Call {
    pub fn new(node: Id, address: SocketAddr, core: u16) -> Call {
        Call {
            node,
            address,
            core,
            line: None,
            retry_us: 0,
            failures: 0,
            attempts: 0,
            round_us: None,
            refused: None,
            strays: 0,
        }
    }

    /// Whether a connection, or an attempt at one, is this one's.
    pub fn has(&self, conn: ConnId) -> bool {
        self.line.as_ref().is_some_and(|line| line.conn == conn)
    }

    /// When [`Call::tick`] has something to do.
    pub fn due_us(&self) -> u64 {
        let Some(line) = &self.line else { return self.retry_us };
        match line.may_ping() {
            true => line.next_ping_us.min(line.dead_us()),
            false => line.dead_us(),
        }
    }

    pub fn tick(&mut self, io: &mut impl Sockets, now_us: u64, chance: &mut SmallRng) {
        let Some(line) = &mut self.line else {
            if self.retry_us <= now_us {
                self.begin(io, now_us, chance);
            }
            return;
        };
        if line.dead_us() <= now_us {
            io.abort(line.conn);
            self.lost(now_us, chance);
        } else if line.may_ping() && line.next_ping_us <= now_us {
            line.ping(now_us, io.output(line.conn));
        }
    }

    fn begin(&mut self, io: &mut impl Sockets, now_us: u64, chance: &mut SmallRng) {
        self.attempts += 1;
        let connection = chance.random();
        match io.connect(self.address, CONNECT, connection) {
            Ok(conn) => self.line = Some(Line::new(conn, connection, now_us)),
            Err(_) => self.lost(now_us, chance),
        }
    }

    /// The connection is there; `false` if it isn't the one that was asked for last.
    pub fn connected(&mut self, token: u64, settings: &PeerSettings, now_us: u64, out: &mut Vec<u8>) -> bool {
        let Some(line) = self.line.as_mut().filter(|line| line.connection == token) else { return false };
        (line.stage, line.heard_us) = (Stage::Greeting, now_us);
        let PeerSettings { cluster, node, .. } = *settings;
        let (to, core) = (self.node, self.core);
        Message::Hello(Hello { cluster, from: node, to, connection: token, core }).write(out);
        true
    }

    pub fn connect_failed(&mut self, token: u64, error: ConnectError, now_us: u64, chance: &mut SmallRng) {
        if self.line.as_ref().is_some_and(|line| line.connection == token) {
            tracing::debug!("peer {}: {error}", self.address);
            self.lost(now_us, chance);
        }
    }

    /// There is no connection any more: the next attempt comes after a pause, at least half as long as it may be.
    pub fn lost(&mut self, now_us: u64, chance: &mut SmallRng) {
        self.line = None;
        let pause_us = (PAUSE_US << self.failures.min(16)).min(PAUSE_US_MAX);
        self.failures += 1;
        self.retry_us = now_us + chance.random_range(pause_us / 2..=pause_us);
    }

    /// Lets go of the connection, if there is one.
    pub fn hang_up(&mut self) -> Option<ConnId> {
        self.line.take().map(|line| line.conn)
    }

    /// The peer has sent something; how much of it was taken.
    pub fn received(&mut self, bytes: &[u8], now_us: u64) -> (usize, Verdict) {
        let mut taken = 0;
        loop {
            let (message, len) = match Message::read(&bytes[taken..]) {
                Ok(Some(read)) => read,
                Ok(None) => return (taken, Verdict::Goes),
                Err(error) => {
                    tracing::warn!("peer {}: {error}", self.address);
                    return (taken, Verdict::Abort);
                }
            };
            taken += len;
            let verdict = self.take(message, now_us);
            if verdict != Verdict::Goes {
                return (taken, verdict);
            }
        }
    }

    fn take(&mut self, message: Message, now_us: u64) -> Verdict {
        let Some(line) = &mut self.line else { return Verdict::Abort };
        match (line.stage, message) {
            (Stage::Greeting, Message::Welcome { connection }) if connection == line.connection => {
                (line.stage, line.heard_us, line.next_ping_us) = (Stage::Welcome, now_us, now_us);
                (self.failures, self.refused) = (0, None);
            }
            (Stage::Greeting, Message::Refused { reason }) => {
                tracing::warn!("peer {} refuses this node: {reason}", self.address);
                // Somebody has to mend that.
                (self.refused, self.failures) = (Some(reason), u32::MAX / 2);
                return Verdict::Close;
            }
            (Stage::Welcome, Message::Pong(round)) if line.is_next(round) => {
                self.round_us = line.answer(now_us);
            }
            // It was sent over another connection, or a second time.
            (_, Message::Welcome { .. } | Message::Pong(_)) => self.strays += 1,
            _ => return Verdict::Abort,
        }
        Verdict::Goes
    }

    pub fn status(&self) -> PeerStatus {
        let line = self.line.as_ref().filter(|line| line.stage == Stage::Welcome);
        PeerStatus {
            node: self.node,
            connection: line.map(|line| line.connection),
            sent: line.map_or(0, |line| line.sent),
            answered: line.map_or(0, |line| line.answered),
            unanswered: line.map_or(0, |line| line.unanswered.len()),
            round_us: self.round_us,
            refused: self.refused.clone(),
            attempts: self.attempts,
            strays: self.strays,
        }
    }
}

impl Line {
    fn new(conn: ConnId, connection: u64, now_us: u64) -> Line {
        Line {
            conn,
            connection,
            stage: Stage::Connecting,
            heard_us: now_us,
            next_ping_us: 0,
            sent: 0,
            answered: 0,
            unanswered: VecDeque::with_capacity(PINGS_MAX),
        }
    }

    /// When it is given up. An attempt to connect ends by itself.
    fn dead_us(&self) -> u64 {
        if self.stage == Stage::Connecting { u64::MAX } else { self.heard_us + DEAD_US }
    }

    fn may_ping(&self) -> bool {
        self.stage == Stage::Welcome && self.unanswered.len() < PINGS_MAX
    }

    fn ping(&mut self, now_us: u64, out: &mut Vec<u8>) {
        self.sent += 1;
        self.unanswered.push_back(now_us);
        self.next_ping_us = now_us + PING_US;
        Message::Ping(Round { connection: self.connection, number: self.sent }).write(out);
    }

    /// Whether a pong is the one that is due: of the oldest ping of this connection that isn't answered.
    fn is_next(&self, round: Round) -> bool {
        round.connection == self.connection && round.number == self.answered + 1 && round.number <= self.sent
    }

    /// The oldest ping is answered. How long that took.
    fn answer(&mut self, now_us: u64) -> Option<u64> {
        (self.answered, self.heard_us) = (self.answered + 1, now_us);
        self.unanswered.pop_front().map(|sent_us| now_us - sent_us)
    }
}
