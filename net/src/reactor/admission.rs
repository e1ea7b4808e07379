//! Connections that come in, and those that this side began: from the completion to the handler.

use super::buffers::Lent;
use super::connection::{CloseReason, ConnId, Connecting, Connection, Ended, Phase};
use super::connects::{Attempt, ConnectError};
use super::descriptors::Direction;
use super::io::Io;
use super::listener::{ACCEPT_PAUSE, is_passing, split_index};
use super::ring::Completion;
use super::tag::{Kind, Tag};
use super::{Handler, Reactor, syscalls};
use std::net::SocketAddr;
use std::time::Duration;

impl<B> Io<B> {
    /// Begins to connect to an address, for at most so long. Either an error says at once why not, or
    /// [`super::Handler::connected`] or [`super::Handler::connect_failed`] is called once, with the token. From then on
    /// it is a connection like those that came in; before that, output and pauses lead nowhere, and [`Io::abort`] gives it up.
    pub fn connect(
        &mut self,
        address: SocketAddr,
        timeout: Duration,
        token: u64,
    ) -> Result<ConnId, ConnectError> {
        let begun = self.begin_connect(address, timeout, token);
        self.stats.connects_failed += u64::from(begun.is_err());
        begun
    }

    fn begin_connect(
        &mut self,
        address: SocketAddr,
        timeout: Duration,
        token: u64,
    ) -> Result<ConnId, ConnectError> {
        if self.stopping {
            return Err(ConnectError::Stopped);
        }
        if !self.descriptors.has_free(Direction::Out) {
            return Err(ConnectError::Full);
        }
        let attempt = Attempt::new(address, timeout, token).map_err(|error| ConnectError::of(&error))?;
        let index = self.descriptors.take(Direction::Out).ok_or(ConnectError::Full)?;
        let connection = self.occupy(index, Direction::Out, Phase::Connecting);
        connection.connecting = Connecting::Armed;
        let tag = Tag::new(Kind::Connect, index, connection.generation);
        let mut attempt = Lent::new(Box::new(attempt));
        let result = self.ring.connect(index, &mut attempt, tag);
        self.connects.keep(index, attempt);
        self.must(result);
        Ok(self.id(index))
    }

    /// A connection takes its place.
    fn occupy(&mut self, index: u32, direction: Direction, phase: Phase) -> &mut Connection {
        if self.connections.len() <= index as usize {
            self.connections.resize_with(index as usize + 1, Connection::vacant);
        }
        let connection = &mut self.connections[index as usize];
        connection.occupy(direction, phase);
        connection
    }

    /// Ends an attempt to connect; its place is free when the kernel has let go of it.
    pub(super) fn end_attempt(&mut self, index: u32, error: ConnectError) {
        let id = self.id(index);
        let Some(token) = self.connects.token(index) else { return };
        self.connections[index as usize].phase = Phase::Ending;
        self.stats.connects_failed += 1;
        self.ended.push((id, Ended::NotConnected(token, error)));
        self.touch(index);
    }
}

impl<H: Handler> Reactor<H> {
    pub(super) fn connect_completed(&mut self, handler: &mut H, completion: Completion) {
        let index = completion.tag.index();
        let Some(connection) = self.io.of_tag(completion.tag) else { return };
        connection.connecting = Connecting::Idle;
        let is_wanted = connection.phase == Phase::Connecting;
        self.io.touch(index);
        if let (true, Err(error)) = (is_wanted, completion.as_result()) {
            self.io.end_attempt(index, ConnectError::of(&error));
        }
        let token = self.io.connects.end(index);
        if let (Phase::Connecting, Some(token)) = (self.io.connections[index as usize].phase, token) {
            self.io.connections[index as usize].phase = Phase::Open;
            self.io.open[Direction::Out as usize] += 1;
            self.io.stats.connected += 1;
            let id = self.io.id(index);
            handler.connected(&mut self.io, id, token);
        }
    }

    pub(super) fn accept_completed(&mut self, handler: &mut H, completion: Completion) {
        let index = completion.tag.index();
        let (l, a) = split_index(index);
        let accept = &mut self.io.listeners[l].accepts[a];
        let Some(slot) = accept.slot.take() else { return };
        accept.address.give_back();
        let peer = accept.address.get().parse();
        self.io.accepts_idle.push(index);
        if completion.result >= 0 {
            return self.admit(handler, slot, l, peer);
        }
        self.io.descriptors.give_back(Direction::In, slot);
        let errno = -completion.result;
        if errno == libc::ECANCELED {
            return;
        }
        self.io.stats.accepts_failed += 1;
        if !is_passing(errno) {
            self.io.accepts_rest_until = Some(self.io.now + ACCEPT_PAUSE);
        }
    }

    /// A new connection's direct descriptor is its index here too.
    fn admit(&mut self, handler: &mut H, index: u32, listener: usize, peer: SocketAddr) {
        let io = &mut self.io;
        io.occupy(index, Direction::In, Phase::Open);
        let connection = &mut io.connections[index as usize];
        if !io.accepting {
            connection.refused = true;
            return io.end(index, CloseReason::Stopped);
        }
        let is_full = io.open[Direction::In as usize] >= io.connections_max
            || io.seats.as_ref().is_some_and(|seats| !seats.take());
        if is_full {
            connection.refused = true;
            connection.phase = Phase::Closing;
            connection.filling.extend_from_slice(handler.refusal(listener));
            io.stats.refused += 1;
            return io.touch(index);
        }
        io.touch(index);
        io.open[Direction::In as usize] += 1;
        io.stats.accepted += 1;
        let id = io.id(index);
        if io.listeners[listener].is_wild {
            // In the ring before the first receive, and done at once: the answer is there before any byte.
            let result = io.ring.locate(index, Tag::new(Kind::Locate, index, id.generation()));
            io.must(result);
        }
        handler.accepted(io, id, listener, peer);
    }

    pub(super) fn located(&mut self, handler: &mut H, completion: Completion) {
        if completion.result < 0 {
            return;
        }
        let local = syscalls::local_address(completion.result);
        let index = completion.tag.index();
        let is_there =
            self.io.of_tag(completion.tag).is_some_and(|connection| connection.phase == Phase::Open);
        if let (Ok(local), true) = (local, is_there) {
            let id = self.io.id(index);
            handler.reached(&mut self.io, id, local);
        }
    }
}
