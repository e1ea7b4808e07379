//! Sessions: what a core knows of each of its connections.
//!
//! A session turns received commands into requests to partitions and their answers into replies. It never waits: when
//! something must come first (answers, credits of another core, a turn of the shard), it puts a [`Hold`] on its
//! connection, which stops the reactor from presenting more input until the last hold is lifted.
//!
//! - [`receive`] takes in connections and their bytes; [`resp`] and [`wire`] are the two protocols. What they need of the core
//!   they ask of a [`Backend`](backend::Backend), which the core implements.
//! - [`dialogue`] is what comes back to a connection, whichever protocol it speaks; [`table`] has all sessions of a core.
//! - [`walk`] is a command that visits keys, page by page; [`walks`] has those of a core. What they ask a core itself is a
//!   [`question`](question::Question).
//! - [`limits`] are those of a connection; by its [`weight`] a write may have to wait, by its length a batch ([`bulk`]).

pub mod backend;
pub mod bulk;
mod counting;
pub mod dialogue;
mod groups;
mod intake;
pub mod limits;
pub mod listing;
mod merge;
pub mod pieces;
pub mod question;
pub mod receive;
mod refusals;
pub mod resp;
mod sampling;
pub mod settled;
pub mod sockets;
pub mod table;
pub mod waits;
pub mod walk;
pub mod walks;
pub mod weight;
pub mod wire;
mod wrong_port;

use crate::node::split::CONNECTION_BYTES;
use dialogue::Dialogue;
use limits::{IN_FLIGHT_MAX, ROOM_BYTES_MAX, ROOM_PER_READ_MIN};
use pinion_net::reactor::ConnId;
use settled::Settled;
use sockets::Sockets;
use waits::{Wait, Waits};

/// Why a connection's input isn't taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Hold {
    /// Another core has no credit left for it.
    Credit = 1,
    /// It has too many requests or bytes under way.
    InFlight = 2,
    /// A command that must be alone waits for the earlier ones, or runs.
    Barrier = 4,
    /// Writers are slowed down.
    Throttle = 8,
    /// Parts of its last command wait for credits.
    Backlog = 16,
    /// The node is going down.
    Drain = 32,
    /// It waits for room in the memory for connections.
    Memory = 64,
    /// A long command goes on in another turn.
    Slice = 128,
    /// Other long batches are under way.
    Batch = 256,
    /// The log is about to learn that much time has passed.
    Time = 512,
}

/// Requests whose answers carry values that a new connection may have under way; it may have one more with each
/// answer. How large values are isn't known before the first.
const VALUES_START: usize = 8;

/// What became of bytes that were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many were taken.
    pub consumed: usize,
    /// What is left is the beginning of a command that is so long at least; 0 if it isn't.
    pub need: usize,
}

/// One connection.
pub struct Session {
    /// Its name in the reactor.
    pub conn: ConnId,
    /// What it speaks, and where it stands.
    pub dialogue: Dialogue,
    /// It came in on the port of this core: it is told about this core as about a node of its own.
    pub own_port: bool,
    /// The client will send no more.
    pub half_closed: bool,
    /// Close when everything is answered.
    pub closing: bool,
    /// It was told to go for the memory that it held, and is about to be gone.
    pub dismissed: bool,
    /// Input was left that waits for a hold to be lifted.
    pub leftover: bool,
    /// Its requests that wait in a backlog for credits.
    pub backlogged: u32,
    /// Its reads that are kept for want of room.
    pub reads: Waits,
    /// What of its memory is in the core's account.
    pub charged: usize,
    /// Room that the command which is coming in was given, bytes.
    pub claim: usize,
    /// Bytes that it had moved when it was last seen to go on, and when that was ([`crate::core::room`]).
    pub moved: u64,
    /// See `moved`.
    pub moved_us: u64,
    /// As `moved`, when it was last seen to move at all.
    pub stirred: u64,
    /// See `stirred`.
    pub stirred_us: u64,
    /// Since when its next write is held because its shard is nearly full.
    pub braked_since_us: Option<u64>,
    /// An update of it waited for its turn.
    pub was_put_off: bool,
    holds: u16,
    /// Requests for values that it may have under way now, and the size of values that this reckons with.
    window: usize,
    answer_bytes: usize,
}

impl Hold {
    /// All of them.
    pub const ALL: [Hold; 10] = [
        Hold::Credit,
        Hold::InFlight,
        Hold::Barrier,
        Hold::Throttle,
        Hold::Backlog,
        Hold::Drain,
        Hold::Memory,
        Hold::Slice,
        Hold::Batch,
        Hold::Time,
    ];
}

impl Session {
    /// A new connection.
    pub fn new(conn: ConnId, dialogue: Dialogue, own_port: bool) -> Session {
        Session {
            conn,
            dialogue,
            own_port,
            half_closed: false,
            closing: false,
            dismissed: false,
            leftover: false,
            backlogged: 0,
            reads: Waits::default(),
            charged: 0,
            claim: 0,
            moved: 0,
            moved_us: 0,
            stirred: 0,
            stirred_us: 0,
            braked_since_us: None,
            was_put_off: false,
            holds: 0,
            window: VALUES_START,
            answer_bytes: 0,
        }
    }

    /// Adds a hold; `true` if it is the first, so that the reactor must pause.
    pub fn hold(&mut self, hold: Hold) -> bool {
        let first = self.holds == 0;
        self.holds |= hold as u16;
        first
    }

    /// Lifts a hold; `true` if it was the last, so that the reactor must resume.
    pub fn lift(&mut self, hold: Hold) -> bool {
        let held = self.holds != 0;
        self.holds &= !(hold as u16);
        held && self.holds == 0
    }

    /// Whether a hold is on.
    pub fn has(&self, hold: Hold) -> bool {
        self.holds & hold as u16 != 0
    }

    /// Whether any hold is on.
    pub fn is_held(&self) -> bool {
        self.holds != 0
    }

    /// Closes the connection if it has got all it will get.
    pub fn close_if_over(&mut self, io: &mut impl Sockets) {
        let finished = self.half_closed && !self.leftover && !self.is_held();
        if (self.closing || finished) && self.in_flight() == 0 {
            self.close(io);
        }
    }

    /// Closes the connection behind its output and, where the protocol has one, a last word.
    pub fn close(&mut self, io: &mut impl Sockets) {
        let last_word = self.dialogue.take_last_word();
        if !last_word.is_empty() {
            io.output(self.conn).extend_from_slice(&last_word);
        }
        io.close(self.conn);
    }

    /// The node goes down: nothing more is taken in, and the client is told why when everything is answered.
    pub fn go_down(&mut self) {
        self.closing = true;
        self.dialogue.go_down();
    }

    /// What it waits for, for reports of the simulator.
    pub fn describe(&self) -> String {
        let (in_flight, holds, window) = (self.in_flight(), self.holds, self.window);
        format!(
            "{in_flight} in flight of {window}, holds {holds:010b}, leftover {}, kept {:?}",
            self.leftover, self.reads
        )
    }

    /// When the oldest request came that waits for a shard alone: not for its client, nor for a walk or the rest of a long command.
    pub fn waits_since_us(&self) -> Option<u64> {
        if self.reads.is_empty() { self.dialogue.waits_since_us() } else { None }
    }

    /// Requests that are not answered.
    pub fn in_flight(&self) -> usize {
        self.dialogue.in_flight()
    }

    /// Notes an answer of so many bytes. The number of those that are under way follows their size: large answers lower it at
    /// once, small ones raise it by one each.
    #[inline]
    pub fn note_answer(&mut self, bytes: usize) {
        self.answer_bytes = bytes.max(self.answer_bytes - self.answer_bytes / 8);
        let raised = (self.window + 1).min(IN_FLIGHT_MAX);
        let fits = raised * self.answer_bytes <= ROOM_BYTES_MAX;
        self.window = if fits { raised } else { (ROOM_BYTES_MAX / self.answer_bytes).max(1) };
    }

    /// Says why the connection is closed, and closes it. Nothing is under way.
    pub fn dismiss(&mut self, io: &mut impl Sockets, reason: &str) {
        self.dialogue.dismiss(reason, io.output(self.conn));
        self.close(io);
    }

    /// All memory that it holds.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        CONNECTION_BYTES + self.dialogue.memory_bytes() + self.reads.bytes() + self.reads.going_bytes()
    }

    /// Bytes of replies that wait for earlier ones, or for the rest of themselves.
    pub fn held_bytes(&self) -> usize {
        self.dialogue.held_bytes() + self.reads.bytes()
    }

    /// Room for the answer to one read that is sent to another core. What all of them take together is bounded: there are
    /// as many as their size allows.
    pub fn room_per_read(&self) -> usize {
        (4 * ROOM_BYTES_MAX / self.window).max(ROOM_PER_READ_MIN)
    }

    /// Whether a value of a request may come now: `queued` bytes of output haven't left. One that `may_pass` needs no room
    /// beside others.
    pub fn has_room_for(&self, request: u64, queued: usize, bytes: usize, may_pass: bool) -> bool {
        let Some(takes_value) = self.dialogue.takes_value(request, bytes) else { return false };
        let going = self.reads.going_bytes();
        !takes_value || queued + self.held_bytes() + going + bytes <= ROOM_BYTES_MAX || may_pass && going == 0
    }

    /// Bytes of values that are gathered for the request of a kept read.
    pub fn gathered_bytes_at(&self, index: usize) -> usize {
        self.reads.iter().nth(index).map_or(0, |wait| self.dialogue.gathered_bytes(wait.request))
    }

    /// The kept read that is to go on next, and the length of its value: the one that can leave at once, or one that there is
    /// room for. While the output is over its budget, none.
    pub fn next_read(&self, queued: usize, is_over_budget: bool) -> Option<(usize, usize)> {
        if is_over_budget {
            return None;
        }
        let going = self.reads.going_bytes();
        let used = queued + self.held_bytes() + going;
        let mut reads = self.reads.iter().enumerate();
        let next = reads.clone().find(|(_, wait)| self.dialogue.is_next(wait.request)).filter(|_| going == 0);
        let next = next.or_else(|| reads.find(|(_, wait)| used + wait.bytes <= ROOM_BYTES_MAX));
        next.map(|(index, wait)| (index, wait.bytes))
    }

    /// A read is kept for want of room; or it is of no use any more: then what became of its request, if that was all.
    pub fn wait(
        &mut self,
        wait: Wait,
        has_memory: bool,
        now_us: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Option<Settled>> {
        self.dialogue.wait(wait, has_memory, now_us, out)?;
        self.reads.push(wait);
        Ok(())
    }

    /// The node goes down, and nothing more is taken in: also not the rest of a long command, which is between two slices.
    pub fn abandon_long(&mut self, io: &mut impl Sockets) {
        if self.dialogue.has_slices() {
            self.dialogue.abandon_long(io.output(self.conn));
        }
    }

    /// Whether no more may be taken in until some is answered.
    #[inline]
    pub fn is_full(&self) -> bool {
        let in_flight = self.in_flight();
        in_flight > 0
            && (in_flight >= IN_FLIGHT_MAX
                || self.dialogue.values_due() >= self.window
                || self.held_bytes() >= ROOM_BYTES_MAX)
    }

    /// Whether enough was answered to take in more.
    pub fn has_room(&self) -> bool {
        self.in_flight() <= IN_FLIGHT_MAX / 2
            && self.dialogue.values_due() <= self.window / 2
            && self.held_bytes() <= ROOM_BYTES_MAX / 2
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
