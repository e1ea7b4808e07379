//! The end of a turn: what is wanted of each touched connection becomes operations.
//!
//! [`Io::reconcile`] looks only at a connection's state, never at what led to it, so that an operation that ended in
//! an unexpected order, twice paused or half-way closed, needs no case of its own.

use super::connection::{CloseReason, ConnId, Connecting, Ended, Phase, Receiving, Sending};
use super::descriptors::Direction;
use super::io::Io;
use super::listener::{join_index, split_index};
use super::ring::SendMode;
use super::tag::{Kind, Tag};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Output may have so much more memory than bytes. To give back more is to unmap it, without a copy.
const SLACK_BYTES_MAX: usize = 1 << 20;

impl<B> Io<B> {
    /// Brings every touched connection in line and arms accepts.
    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.exhausted) && !self.touched.is_empty() {
            // Receives that found no buffer are armed again here, and the first ones get the buffers:
            // begin elsewhere each time, so that nobody starves.
            let start = self.stats.turns as usize % self.touched.len();
            self.touched.rotate_left(start);
        }
        // By index, because a connection that ends while it is looked at goes on the list again.
        let mut next = 0;
        while let Some(&index) = self.touched.get(next) {
            self.reconcile(index);
            next += 1;
        }
        self.touched.clear();
        self.arm_accepts();
    }

    fn reconcile(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        connection.touched = false;
        if connection.phase == Phase::Vacant {
            return;
        }
        if connection.filling.capacity() > connection.filling.len() + SLACK_BYTES_MAX {
            // What grew behind a long answer has room for another as long, which nobody fills and all of which is charged.
            connection.filling.shrink_to_fit();
        }
        if connection.sending == Sending::Idle
            && !connection.filling.is_empty()
            && matches!(connection.phase, Phase::Open | Phase::Closing)
        {
            self.start_send(index);
        }
        let connection = &self.connections[index as usize];
        if connection.phase == Phase::Closing && connection.sending == Sending::Idle {
            self.output_is_sent(index);
        }
        self.reconcile_receive(index);
        let connection = &mut self.connections[index as usize];
        if connection.filling.is_empty() && connection.filling.capacity() > 0 {
            // It was offered an output and said nothing.
            self.pool.put(std::mem::take(&mut connection.filling));
        }
        connection.filling_charged = connection.filling.capacity();
        if self.connections[index as usize].phase == Phase::Ending {
            self.try_release(index);
        }
        self.recharge(index);
    }

    /// The first attempt, which nearly always takes everything and then says nothing. If anything
    /// depends on its end, it completes in any case, so that the reactor doesn't sleep over it.
    fn start_send(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        std::mem::swap(connection.outgoing.get_mut(), &mut connection.filling);
        connection.sent = 0;
        connection.sending = Sending::Trying;
        if connection.queued() > self.budget_bytes && !connection.stalled {
            connection.stalled = true;
            self.stats.stalled += 1;
        }
        let silently = connection.phase == Phase::Open && !connection.stalled;
        let mode = if silently { SendMode::TrySilently } else { SendMode::Try };
        let tag = Tag::new(Kind::Send, index, connection.generation);
        let result = self.ring.send(index, &mut connection.outgoing, 0, mode, tag);
        self.stats.sends += 1;
        self.trying.push(index);
        self.must(result);
    }

    /// A connection that was told to close has sent everything: the client hears that, and the handler.
    fn output_is_sent(&mut self, index: u32) {
        let id = self.id(index);
        let linger = self.linger;
        let connection = &mut self.connections[index as usize];
        let finished = connection.finished;
        if finished || linger.is_zero() {
            let reason = if finished { CloseReason::Finished } else { CloseReason::Closed };
            return self.end(index, reason);
        }
        if !connection.refused {
            self.ended.push((id, Ended::Closed(connection.direction, CloseReason::Closed)));
        }
        connection.phase = Phase::Lingering;
        connection.kept.release(&mut self.pool);
        self.lingering.push_back((self.now + linger, id));
        let result = self.ring.shutdown_write(index);
        self.must(result);
    }

    fn reconcile_receive(&mut self, index: u32) {
        let budget = self.budget_bytes;
        if self.connections[index as usize].is_slow(budget) {
            // Also where the handler took all of the input: it is told when the client has caught up.
            self.note_stall(index);
        }
        let connection = &mut self.connections[index as usize];
        let wanted = connection.wants_receive(budget);
        let tag = Tag::new(Kind::Receive, index, connection.generation);
        let result = match (connection.receiving, wanted) {
            (Receiving::Idle, true) => {
                connection.receiving = Receiving::Armed;
                self.ring.receive(index, tag)
            }
            (Receiving::Armed, false) => {
                connection.receiving = Receiving::Cancelling;
                self.ring.cancel(tag)
            }
            _ => return,
        };
        self.must(result);
    }

    /// Frees a connection that is ending, once the kernel holds nothing of it.
    fn try_release(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let generation = connection.generation;
        if connection.connecting == Connecting::Armed {
            connection.connecting = Connecting::Cancelling;
            let result = self.ring.cancel(Tag::new(Kind::Connect, index, generation));
            return self.must(result);
        }
        if connection.sending == Sending::Waiting {
            connection.sending = Sending::Cancelling;
            let result = self.ring.cancel(Tag::new(Kind::Send, index, generation));
            return self.must(result);
        }
        if !connection.is_quiet() {
            return;
        }
        self.pool.put(std::mem::take(connection.outgoing.get_mut()));
        self.recharge(index);
        let connection = &mut self.connections[index as usize];
        connection.phase = Phase::Vacant;
        connection.generation = generation.wrapping_add(1);
        let direction = connection.direction;
        let result = self.ring.close(index);
        self.descriptors.give_back(direction, index);
        self.must(result);
    }

    /// Ends those that waited long enough for their client to close.
    pub(super) fn end_lingering(&mut self) {
        while self.lingering.front().is_some_and(|&(deadline, _)| deadline <= self.now) {
            let Some((_, id)) = self.lingering.pop_front() else { return };
            self.end_if_lingering(id);
        }
    }

    /// The reactor stops: only clients that go on sending are waited for any longer, as the kernel would answer them with
    /// a reset, which takes answers along that are on their way.
    pub(super) fn end_silent(&mut self) {
        for (deadline, id) in std::mem::take(&mut self.lingering) {
            if deadline > self.now && self.connections[id.index() as usize].discards {
                self.lingering.push_back((deadline, id));
            } else {
                self.end_if_lingering(id);
            }
        }
    }

    fn end_if_lingering(&mut self, id: ConnId) {
        let connection = &self.connections[id.index() as usize];
        if connection.generation == id.generation() && connection.phase == Phase::Lingering {
            self.end(id.index(), CloseReason::Closed);
        }
    }

    /// A client that closed its side ends a connection that waited for nothing else.
    pub(super) fn end_if_client_closed(&mut self, index: u32) {
        if self.connections[index as usize].phase == Phase::Lingering {
            self.end(index, CloseReason::Closed);
        }
    }

    /// Every connection that isn't over ends because the reactor stops.
    pub(super) fn end_all(&mut self) {
        for index in 0..self.connections.len() as u32 {
            if self.connections[index as usize].phase != Phase::Lingering {
                self.end(index, CloseReason::Stopped);
            }
        }
    }

    /// How long the reactor may sleep on its own account.
    pub(super) fn own_timeout(&self) -> Option<Duration> {
        let until = [self.lingering.front().map(|&(deadline, _)| deadline), self.accepts_rest_until];
        let next: Option<Instant> = until.into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_duration_since(self.now))
    }

    fn arm_accepts(&mut self) {
        if !self.accepting {
            self.accepts_rest_until = None;
            return self.close_listeners();
        }
        if self.accepts_idle.is_empty() {
            return;
        }
        match self.accepts_rest_until {
            Some(until) if until > self.now => return,
            _ => self.accepts_rest_until = None,
        }
        while self.descriptors.has_free(Direction::In) {
            let Some(index) = self.accepts_idle.pop() else {
                return;
            };
            let (listener, accept) = split_index(index);
            let listener = &mut self.listeners[listener];
            let (Some(socket), Some(slot)) = (&listener.socket, self.descriptors.take(Direction::In)) else {
                continue;
            };
            let accept = &mut listener.accepts[accept];
            accept.slot = Some(slot);
            let tag = Tag::new(Kind::Accept, index, 0);
            let result = self.ring.accept(socket.as_raw_fd(), slot, &mut accept.address, tag);
            self.must(result);
        }
    }

    /// Cancels the accepts; a listening socket is closed when none of its accepts is left.
    fn close_listeners(&mut self) {
        for l in 0..self.listeners.len() {
            if self.listeners[l].socket.is_none() {
                continue;
            }
            if !self.listeners[l].is_armed() {
                self.listeners[l].socket = None;
                continue;
            }
            if std::mem::replace(&mut self.listeners[l].cancelled, true) {
                continue;
            }
            for a in 0..self.listeners[l].accepts.len() {
                if self.listeners[l].accepts[a].slot.is_some() {
                    let result = self.ring.cancel(Tag::new(Kind::Accept, join_index(l, a), 0));
                    self.must(result);
                }
            }
        }
    }

    /// Whether the connection this names is open and may be given input.
    pub(super) fn may_present(&mut self, id: ConnId) -> bool {
        let budget = self.budget_bytes;
        let connection = &mut self.connections[id.index() as usize];
        if connection.generation != id.generation() || !connection.takes_input() {
            return false;
        }
        if connection.queued() > budget {
            connection.stalled = true;
            self.stats.stalled += 1;
            return false;
        }
        true
    }
}
