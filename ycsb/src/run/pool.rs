//! The connections of one worker, each made of one socket or of one for each core. A socket that breaks is made again, with
//! pauses that grow, until its server has been away for too long.

use std::time::{Duration, Instant};

use mio::{Poll, Token};
use pinion_net::slot::Slot;

use super::link::Link;
use crate::db::{DbError, Protocol, Request, Routes};

/// The pause before a second attempt to connect; each doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Connections, and the poll that watches their sockets; a socket's token is its place in `links`.
pub(super) struct Pool {
    pub(super) poll: Poll,
    pub(super) links: Vec<Link>,
    pub(super) connections: usize,
    routes: Routes,
    links_each: usize,
    protocol: fn() -> Box<dyn Protocol>,
    /// Links with something to send, perhaps twice.
    unsent: Vec<usize>,
    /// Links without a connection.
    broken: Vec<Broken>,
    outages: Outages,
}

/// A link whose connection has broken.
struct Broken {
    link: usize,
    lost: String,
    since: Instant,
    next: Instant,
    pause: Duration,
}

/// What broke in the course of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    /// Connections that broke.
    pub breaks: u64,
    /// The longest time until one was there again, or was given up.
    pub longest: Duration,
}

impl Outages {
    /// Adds another worker's.
    pub fn add(&mut self, other: Outages) {
        self.breaks += other.breaks;
        self.longest = self.longest.max(other.longest);
    }
}

impl Pool {
    /// Makes `connections` connections, the first of which is number `first` of the run.
    pub(super) fn connect(
        routes: &Routes,
        protocol: fn() -> Box<dyn Protocol>,
        first: usize,
        connections: usize,
    ) -> Result<Pool, DbError> {
        let poll = Poll::new().map_err(epoll_failed)?;
        let addresses = &routes.addresses;
        let is_direct = !routes.by_slot.is_empty();
        let links_each = if is_direct { addresses.len() } else { 1 };
        let mut links = Vec::with_capacity(connections * links_each);
        for connection in first..first + connections {
            for at in 0..links_each {
                let address = addresses[if is_direct { at } else { connection % addresses.len() }];
                let mut link = Link::connect(address, protocol())?;
                link.register(poll.registry(), Token(links.len())).map_err(epoll_failed)?;
                links.push(link);
            }
        }
        let routes = routes.clone();
        let (unsent, broken, outages) = (Vec::new(), Vec::new(), Outages::default());
        Ok(Pool { poll, links, connections, routes, links_each, protocol, unsent, broken, outages })
    }

    /// The socket of a connection that leads to a key.
    pub(super) fn link_of(&self, connection: usize, key: &[u8]) -> usize {
        let at = match self.routes.by_slot.is_empty() {
            true => 0,
            false => usize::from(self.routes.by_slot[usize::from(Slot::of(key).number())]),
        };
        connection * self.links_each + at
    }

    /// Appends a request to a socket.
    pub(super) fn push(&mut self, link: usize, number: u32, request: &Request<'_>) {
        self.links[link].push(number, request);
        if self.unsent.last() != Some(&link) {
            self.unsent.push(link);
        }
    }

    /// Sends what was appended, until a socket turns out to be broken; then says which.
    pub(super) fn flush(&mut self) -> Result<(), (usize, DbError)> {
        while let Some(link) = self.unsent.pop() {
            self.links[link].flush().map_err(|error| (link, error))?;
        }
        Ok(())
    }

    /// Takes note that a socket is broken. What was to be sent is forgotten.
    pub(super) fn lose(&mut self, link: usize, lost: String, now: Instant) {
        self.links[link].disconnect(self.poll.registry(), (self.protocol)());
        self.outages.breaks += 1;
        self.broken.push(Broken { link, lost, since: now, next: now, pause: PAUSE_MIN });
    }

    /// Connects broken sockets again if it is time to; fails if one has been away for too long, or if the run is over.
    pub(super) fn mend(&mut self, now: Instant, away_max: Duration, is_over: bool) -> Result<(), DbError> {
        let mut at = 0;
        while let Some(broken) = self.broken.get_mut(at) {
            if broken.next > now && !is_over {
                at += 1;
                continue;
            }
            let link = &mut self.links[broken.link];
            let result = link.reconnect();
            let away = broken.since.elapsed();
            self.outages.longest = self.outages.longest.max(away);
            match result {
                Ok(()) => {
                    link.register(self.poll.registry(), Token(broken.link)).map_err(epoll_failed)?;
                    self.unsent.push(broken.link);
                    self.broken.swap_remove(at);
                }
                Err(error) if away >= away_max || is_over => {
                    let cause = match error {
                        DbError::Connect { cause, .. } => cause.to_string(),
                        other => other.to_string(),
                    };
                    let (address, lost, seconds) = (link.address, broken.lost.clone(), away.as_secs());
                    return Err(DbError::Away { address, lost, cause, seconds, is_over });
                }
                Err(_) => {
                    broken.next = Instant::now() + broken.pause;
                    broken.pause = (broken.pause * 2).min(PAUSE_MAX);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// When the next attempt to connect is due.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        self.broken.iter().map(|broken| broken.next).min()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    pub(super) fn outages(&self) -> Outages {
        self.outages
    }
}

pub(super) fn epoll_failed(error: std::io::Error) -> DbError {
    DbError::Protocol(format!("epoll: {error}"))
}
