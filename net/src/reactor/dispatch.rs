//! From completions to calls of the handler.

use super::connection::{CloseReason, ConnId, Ended, Phase, Receiving, Sending};
use super::descriptors::Direction;
use super::io::Io;
use super::ring::{Completion, SendMode};
use super::tag::{Kind, Tag};
use super::{Handler, Reactor};
use std::io;

impl<B> Io<B> {
    /// Settles all sends of the enter that just returned: those that completed say how they ended, the
    /// other first attempts have sent everything.
    pub(super) fn settle_sends(&mut self, completions: &[Completion]) {
        for completion in completions {
            if completion.tag.kind() == Kind::Send {
                self.send_completed(*completion);
            }
        }
        while let Some(index) = self.trying.pop() {
            let connection = &mut self.connections[index as usize];
            if connection.sending == Sending::Trying {
                let count = connection.outgoing.get().len() - connection.sent;
                connection.note_moved(count, self.stats.turns);
                self.stats.sent_bytes += count as u64;
                self.output_taken(index);
            }
        }
    }

    fn send_completed(&mut self, completion: Completion) {
        let (index, turn) = (completion.tag.index(), self.stats.turns);
        let Some(connection) = self.of_tag(completion.tag) else {
            return;
        };
        let first = connection.sending == Sending::Trying;
        let cancelled = connection.sending == Sending::Cancelling;
        connection.sending = Sending::Idle;
        connection.outgoing.give_back();
        let count = match completion.as_result() {
            Ok(0) => return self.end(index, CloseReason::Lost(io::ErrorKind::WriteZero)),
            Ok(count) => count,
            Err(error) if may_retry(&error) => 0,
            Err(_) if cancelled => return self.touch(index),
            Err(error) => return self.end_or_touch(index, CloseReason::Lost(error.kind())),
        };
        connection.sent += count;
        connection.note_moved(count, turn);
        let is_all = connection.sent == connection.outgoing.get().len();
        self.stats.sent_bytes += count as u64;
        self.stats.sends_short += u64::from(first && !is_all);
        if is_all { self.output_taken(index) } else { self.send_rest(index) }
    }

    /// The socket's buffer is full: the kernel goes on by itself when there is room.
    fn send_rest(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if connection.phase != Phase::Ending {
            connection.sending = Sending::Waiting;
            let tag = Tag::new(Kind::Send, index, connection.generation);
            let from = connection.sent;
            let result = self.ring.send(index, &mut connection.outgoing, from, SendMode::Wait, tag);
            self.must(result);
        }
        // Reading may have to stop now.
        self.touch(index);
    }

    fn output_taken(&mut self, index: u32) {
        let id = self.id(index);
        let budget = self.budget_bytes;
        let connection = &mut self.connections[index as usize];
        connection.sending = Sending::Idle;
        connection.sent = 0;
        connection.outgoing.give_back();
        self.pool.put(std::mem::take(connection.outgoing.get_mut()));
        self.recharge(index);
        let connection = &mut self.connections[index as usize];
        if connection.stalled && connection.queued() <= budget {
            connection.stalled = false;
            connection.owes_drained = true;
            connection.has_news = true;
            self.ready.push(id);
        }
        let is_receiving = connection.receiving == Receiving::Armed;
        if connection.phase != Phase::Open || !connection.filling.is_empty() || !is_receiving {
            self.touch(index);
        }
    }

    /// A handler that leaves input while its output is over the budget waits for it to drain, whether or not a send
    /// of that much has begun.
    pub(super) fn note_stall(&mut self, index: u32) {
        let budget = self.budget_bytes;
        let connection = &mut self.connections[index as usize];
        if connection.queued() > budget && !connection.stalled {
            connection.stalled = true;
            self.stats.stalled += 1;
        }
    }

    fn end_or_touch(&mut self, index: u32, reason: CloseReason) {
        self.end(index, reason);
        self.touch(index);
    }

    /// Keeps what wasn't consumed, and forgets the connection's bytes if it ended meanwhile.
    fn keep(&mut self, id: ConnId, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let connection = &mut self.connections[id.index() as usize];
        if connection.generation != id.generation() || connection.phase != Phase::Open {
            return;
        }
        connection.kept.append(bytes, connection.wanted, &mut self.pool);
        connection.backed_up |= connection.pauses > 0;
        self.recharge(id.index());
        self.note_stall(id.index());
        let connection = &self.connections[id.index() as usize];
        if connection.stalled {
            // Reading may have to stop.
            self.touch(id.index());
        }
    }
}

fn may_retry(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM))
}

impl<H: Handler> Reactor<H> {
    /// Hands the collected events to the handler, and goes on with connections that are ready: each kind in order, one in any
    /// case, and as many as there is time for. Connections that were left behind go first every other turn.
    pub(super) fn dispatch(&mut self, handler: &mut H) {
        self.report_ended(handler);
        self.is_ready_first = !self.is_ready_first && !self.ready.is_empty();
        if self.is_ready_first {
            self.advance_ready(handler);
            self.handle_completions(handler);
        } else {
            self.handle_completions(handler);
            // What becomes ready in the course of this is for the next turn, which then comes at once.
            self.ready.append(&mut self.io.ready);
            self.advance_ready(handler);
        }
        self.note_news();
    }

    fn handle_completions(&mut self, handler: &mut H) {
        let mut handled = 0;
        // All where nothing comes after this.
        while handled < self.completions.len() && (handled == 0 || self.io.stopping || handler.has_time()) {
            self.handle(handler, self.completions[handled]);
            self.report_ended(handler);
            handled += 1;
        }
        self.completions.drain(..handled);
        self.buffers.publish();
    }

    /// Notes which connections wait for a turn with time. (Who is resumed after this is noted there.)
    fn note_news(&mut self) {
        let is_receive = |left: &&Completion| left.tag.kind() == Kind::Receive;
        for left in self.completions.iter().filter(is_receive) {
            if let Some(connection) = self.io.of_tag(left.tag) {
                connection.has_news = true;
            }
        }
        for id in self.ready.iter().chain(&self.io.ready) {
            let connection = &mut self.io.connections[id.index() as usize];
            connection.has_news |= connection.generation == id.generation();
        }
    }

    fn advance_ready(&mut self, handler: &mut H) {
        let mut advanced = 0;
        while advanced < self.ready.len() && (advanced == 0 || self.io.stopping || handler.has_time()) {
            self.advance(handler, self.ready[advanced]);
            self.report_ended(handler);
            advanced += 1;
        }
        self.ready.drain(..advanced);
    }

    fn handle(&mut self, handler: &mut H, completion: Completion) {
        match completion.tag.kind() {
            Kind::Receive => self.receive_completed(handler, completion),
            Kind::Accept => self.accept_completed(handler, completion),
            Kind::Connect => self.connect_completed(handler, completion),
            Kind::Locate => self.located(handler, completion),
            Kind::FileRead | Kind::FileWrite | Kind::FileSync => self.file_completed(handler, completion),
            Kind::FileOpen => self.file_opened(handler, completion),
            Kind::Event if !completion.has_more() => self.io.watch_event(),
            Kind::WakeFailed if completion.result < 0 => self.io.signal_failed(completion.tag.index()),
            // Sends are settled already; a wake-up only had to end the sleep.
            Kind::Send | Kind::Event | Kind::Wake | Kind::WakeFailed | Kind::Ignored => {}
        }
    }

    fn report_ended(&mut self, handler: &mut H) {
        while let Some((id, ended)) = self.io.ended.pop() {
            match ended {
                Ended::Closed(direction, reason) => {
                    self.io.open[direction as usize] -= 1;
                    if let (Direction::In, Some(seats)) = (direction, &self.io.seats) {
                        seats.give_back();
                    }
                    self.io.stats.closed += 1;
                    handler.closed(&mut self.io, id, reason);
                }
                Ended::NotConnected(token, error) => handler.connect_failed(&mut self.io, id, token, error),
            }
        }
    }

    fn receive_completed(&mut self, handler: &mut H, completion: Completion) {
        let index = completion.tag.index();
        if let Some(connection) = self.io.of_tag(completion.tag) {
            connection.has_news = false;
            if !completion.has_more() {
                connection.receiving = Receiving::Idle;
                self.io.touch(index);
            }
            match completion.as_result() {
                Ok(0) => {
                    self.io.connections[index as usize].finished = true;
                    self.advance(handler, self.io.id(index));
                    self.io.end_if_client_closed(index);
                }
                Ok(count) => {
                    if let Some(buffer) = completion.buffer() {
                        self.deliver(handler, index, buffer, count);
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOBUFS) => {
                        self.io.stats.buffers_exhausted += 1;
                        self.io.exhausted = true;
                    }
                    Some(libc::ECANCELED | libc::EAGAIN | libc::EINTR) => {}
                    _ => self.io.end_or_touch(index, CloseReason::Lost(error.kind())),
                },
            }
        }
        if let Some(buffer) = completion.buffer() {
            self.buffers.give_back(buffer);
        }
    }

    /// Presents new bytes in place if nothing older waits, else appends them to what does.
    fn deliver(&mut self, handler: &mut H, index: u32, buffer: u16, count: usize) {
        self.io.stats.received_bytes += count as u64;
        let id = self.io.id(index);
        let bytes = self.buffers.bytes(buffer, count);
        let turn = self.io.stats.turns;
        let connection = &mut self.io.connections[index as usize];
        if connection.phase != Phase::Open {
            connection.discards = true;
            return;
        }
        connection.note_moved(count, turn);
        if connection.kept.is_empty() && self.io.may_present(id) {
            let consumed = handler.received(&mut self.io, id, bytes);
            self.io.keep(id, &bytes[consumed.min(count)..]);
        } else {
            self.io.keep(id, bytes);
            self.present_kept(handler, id);
        }
    }

    fn present_kept(&mut self, handler: &mut H, id: ConnId) {
        if !self.io.may_present(id) {
            return;
        }
        let connection = &mut self.io.connections[id.index() as usize];
        let is_enough = connection.kept.len() >= connection.wanted || connection.finished;
        if connection.kept.is_empty() || !is_enough {
            return;
        }
        connection.wanted = 0;
        let mut kept = std::mem::take(&mut connection.kept);
        let consumed = handler.received(&mut self.io, id, kept.as_slice()).min(kept.len());
        kept.consume(consumed, &mut self.io.pool);
        let connection = &mut self.io.connections[id.index() as usize];
        let is_gone = connection.generation != id.generation() || connection.phase != Phase::Open;
        if is_gone || kept.is_empty() {
            connection.backed_up = false;
            kept.release(&mut self.io.pool);
            return self.io.recharge(id.index());
        }
        let is_too_long = kept.len() > self.io.input_bytes_max;
        connection.kept = kept;
        connection.backed_up = connection.pauses > 0;
        self.io.recharge(id.index());
        self.io.note_stall(id.index());
        if is_too_long && self.io.may_present(id) {
            self.io.end(id.index(), CloseReason::InputTooLong);
        }
    }

    /// Goes on with a connection that drained, was resumed, or whose client has finished.
    fn advance(&mut self, handler: &mut H, id: ConnId) {
        let connection = &mut self.io.connections[id.index() as usize];
        if connection.generation != id.generation() || connection.phase != Phase::Open {
            return;
        }
        self.io.touch(id.index());
        let budget = self.io.budget_bytes;
        let connection = &mut self.io.connections[id.index() as usize];
        connection.has_news = false;
        if connection.owes_drained {
            if connection.queued() > budget {
                // Over it again, by input that came between: `drained` is owed for the next time.
                connection.stalled = true;
                return;
            }
            connection.owes_drained = false;
            handler.drained(&mut self.io, id);
        }
        self.present_kept(handler, id);
        if !self.io.may_present(id) {
            return;
        }
        let connection = &mut self.io.connections[id.index() as usize];
        if connection.finished && !std::mem::replace(&mut connection.told_finished, true) {
            handler.half_closed(&mut self.io, id);
        }
    }
}
