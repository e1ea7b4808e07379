//! The connections of one worker, each made of one socket or of one for each core.

use mio::{Interest, Poll, Token};
use pinion_net::slot::Slot;

use super::link::Link;
use crate::db::{DbError, Protocol, Request, Routes};

/// Connections, and the poll that watches their sockets; a socket's token is its place in `links`.
pub(super) struct Pool {
    pub(super) poll: Poll,
    pub(super) links: Vec<Link>,
    pub(super) connections: usize,
    routes: Routes,
    links_each: usize,
    /// Links with something to send, perhaps twice.
    unsent: Vec<usize>,
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
                let interest = Interest::READABLE | Interest::WRITABLE;
                let token = Token(links.len());
                poll.registry().register(&mut link.stream, token, interest).map_err(epoll_failed)?;
                links.push(link);
            }
        }
        Ok(Pool { poll, links, connections, routes: routes.clone(), links_each, unsent: Vec::new() })
    }

    /// Appends a request to the socket of its connection that leads to its key.
    pub(super) fn push(&mut self, connection: usize, number: u32, request: &Request<'_>) {
        let at = match self.routes.by_slot.is_empty() {
            true => 0,
            false => usize::from(self.routes.by_slot[usize::from(Slot::of(request.key()).number())]),
        };
        let link = connection * self.links_each + at;
        self.links[link].push(number, request);
        if self.unsent.last() != Some(&link) {
            self.unsent.push(link);
        }
    }

    /// Sends what was appended.
    pub(super) fn flush(&mut self) -> Result<(), DbError> {
        for link in self.unsent.drain(..) {
            self.links[link].flush()?;
        }
        Ok(())
    }
}

pub(super) fn epoll_failed(error: std::io::Error) -> DbError {
    DbError::Protocol(format!("epoll: {error}"))
}
