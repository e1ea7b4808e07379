//! The account of what the connections of a core take of `--memory`.
//!
//! 1. A core's share of `--memory` is split: its shard has one part, its connections the other ([`Split`]). What a
//!    single command or value may take follows from the part of the connections.
//! 2. Whatever a client can make the core keep is charged here: what its sockets hold (input that isn't consumed, room that
//!    was given to a command that is coming in, output that isn't sent) and what its sessions hold (replies, names, requests
//!    under way). The sockets keep their own sum, which is noted here; what is appended to outputs within a turn is added
//!    until the sockets tell anew; sessions are charged by what changed.
//! 3. What is large asks first ([`Memory::has_room`]) and waits its turn ([`Memory::wait_for_claim`]), in order. A part is
//!    left for what is small, so that small commands never wait behind large ones.
//!
//! Everything here takes the same time however many connections there are. What is done with it is in [`super::room`].

use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// How a core's share of `--memory` is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// For its shard, bytes.
    pub shard: usize,
    /// For its connections, bytes.
    pub connections: usize,
}

/// What a connection costs that does nothing, bytes: its places in the reactor and among the sessions.
pub const CONNECTION_BYTES: usize = 1 << 10;

impl Split {
    /// Of so many bytes, a quarter is for connections.
    pub fn of(core_bytes: usize) -> Split {
        let connections = core_bytes / 4;
        Split { shard: core_bytes - connections, connections }
    }

    /// The longest value that is taken, bytes: one may come in while another leaves.
    pub fn value_bytes_max(self) -> usize {
        self.connections / 16 * 9
    }

    /// The longest command that is taken, with its framing, bytes: it fits beside idle connections and what is spare.
    pub fn command_bytes_max(self) -> usize {
        self.connections / 8 * 5
    }

    /// The most arguments of a command: each is remembered while it runs.
    pub fn arguments_max(self) -> usize {
        self.connections / 64
    }

    /// The most connections: idle ones take a quarter.
    pub fn connections_max(self) -> usize {
        self.connections / 4 / CONNECTION_BYTES
    }

    /// Output, and input that waits, of one connection before it has to wait, bytes.
    pub fn budget_bytes(self) -> usize {
        (self.connections / 64).clamp(32 << 10, 256 << 10)
    }

    /// Memory of sockets that is kept for reuse, bytes.
    pub fn spare_bytes_max(self) -> usize {
        self.connections / 16
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Memory {
    bytes_max: usize,
    /// Of these, what only small requests may use.
    reserve: usize,
    /// What sessions hold.
    sessions: usize,
    /// What the sockets hold, as they last said, and what was appended to outputs since.
    sockets: usize,
    appended: usize,
    /// Room that commands which are coming in were given; the sockets count it.
    claimed: usize,
    /// Connections whose command waits for room, and how much.
    claims: VecDeque<(ConnId, usize)>,
    /// Connections whose input waits until output is taken.
    others: VecDeque<ConnId>,
    /// What an answer lacked that was refused or put off, and until when that counts, by the clock of the turns.
    lacking: usize,
    lacking_until_us: u64,
}

impl Memory {
    /// Nothing is charged yet, of `bytes_max`.
    pub fn new(bytes_max: usize) -> Memory {
        Memory {
            bytes_max,
            reserve: bytes_max / 4,
            sessions: 0,
            sockets: 0,
            appended: 0,
            claimed: 0,
            claims: VecDeque::new(),
            others: VecDeque::new(),
            lacking: 0,
            lacking_until_us: 0,
        }
    }

    /// What connections may take, bytes.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// What they take now, bytes.
    #[inline]
    pub fn used(&self) -> usize {
        self.sessions + self.sockets + self.appended
    }

    /// What sessions are charged, bytes.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Bytes that something large may still take.
    #[inline]
    pub fn room(&self) -> usize {
        (self.bytes_max - self.reserve).saturating_sub(self.used())
    }

    /// Whether `bytes` more may be taken by something large. What is larger than the room must go through some time: one
    /// command at a time may have what is left for small ones, too.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.room() || self.claimed == 0 && self.used() + bytes <= self.bytes_max
    }

    /// Whether large requests have used up their part, so that only small ones go on.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.used() >= self.bytes_max - self.reserve
    }

    /// Whether all is used up.
    #[inline]
    pub fn is_exhausted(&self) -> bool {
        self.used() >= self.bytes_max
    }

    /// Whether an answer of so many bytes may still be given. Where half is free any may: values may be longer than
    /// what is free, where they were written with more memory.
    #[inline]
    pub fn has_room_for_answer(&self, bytes: usize) -> bool {
        let used = self.used();
        used + bytes <= self.bytes_max || used <= self.bytes_max / 2
    }

    /// There was no room for an answer of so many bytes; it is looked for until then.
    pub fn lack(&mut self, bytes: usize, until_us: u64) {
        self.lacking = self.lacking.max(bytes);
        self.lacking_until_us = until_us;
    }

    /// Whether an answer lacks room.
    pub fn is_lacking(&self) -> bool {
        self.lacking > 0
    }

    /// Whoever lacked room before this moment lacks it no more.
    pub fn forget_lack(&mut self, now_us: u64) {
        if now_us > self.lacking_until_us || self.has_room_for_answer(self.lacking) {
            self.lacking = 0;
        }
    }

    /// Charges what a session holds more.
    #[inline]
    pub fn charge(&mut self, bytes: usize) {
        self.sessions += bytes;
    }

    /// Takes a charge back.
    #[inline]
    pub fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.sessions, "what is released was charged");
        self.sessions = self.sessions.saturating_sub(bytes);
    }

    /// Brings the charge of somebody who was `charged` in line with what it holds now.
    #[inline]
    pub fn recharge(&mut self, charged: &mut usize, holds: usize) {
        self.sessions = self.sessions + holds - *charged;
        *charged = holds;
    }

    /// A turn begins: what the sockets hold is known exactly.
    #[inline]
    pub fn begin_turn(&mut self, sockets_bytes: usize) {
        (self.sockets, self.appended) = (sockets_bytes, 0);
    }

    /// What is taken, but for output of this turn: most of that leaves at its end.
    #[inline]
    pub fn standing(&self) -> usize {
        self.sessions + self.sockets
    }

    /// Notes what the sockets hold, but for what was appended in this turn.
    #[inline]
    pub fn note_sockets(&mut self, bytes: usize) {
        self.sockets = bytes;
    }

    /// Bytes appended to outputs in this turn.
    #[inline]
    pub fn appended(&self) -> usize {
        self.appended
    }

    /// So many bytes more were appended to outputs in this turn.
    #[inline]
    pub fn note_appended(&mut self, bytes: usize) {
        self.appended += bytes;
    }

    /// A command that is coming in was given so much more room.
    pub fn claim(&mut self, bytes: usize) {
        self.claimed += bytes;
    }

    /// A command is through, or gone.
    pub fn unclaim(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.claimed, "what is given back was claimed");
        self.claimed = self.claimed.saturating_sub(bytes);
    }

    /// Puts a connection at the end of those whose commands wait for so much room. The caller holds it.
    pub fn wait_for_claim(&mut self, conn: ConnId, bytes: usize) {
        self.claims.push_back((conn, bytes));
    }

    /// Puts a connection among those that wait until memory isn't tight. The caller holds it.
    pub fn wait(&mut self, conn: ConnId) {
        self.others.push_back(conn);
    }

    /// How much has to be given back for the first that waits to go on; or, if all is used up, for a part to be free.
    pub fn missing(&self, is_exhausted: bool) -> usize {
        if is_exhausted {
            return self.standing().saturating_sub(self.bytes_max / 8 * 7);
        }
        let claim = self.claims.front().map_or(1, |&(_, bytes)| bytes.min(self.bytes_max / 2));
        let for_claim = (self.used() + claim).saturating_sub(self.bytes_max - self.reserve);
        let for_answer = (self.used() + self.lacking.min(self.bytes_max / 2)).saturating_sub(self.bytes_max);
        if self.lacking > 0 { for_claim.max(for_answer) } else { for_claim }
    }

    /// Whether somebody waits.
    #[inline]
    pub fn has_waiting(&self) -> bool {
        !self.claims.is_empty() || !self.others.is_empty() || self.lacking > 0
    }

    /// The first command that waits, and whether there is room for it now.
    pub fn first_claim(&self) -> Option<(ConnId, usize, bool)> {
        let &(conn, bytes) = self.claims.front()?;
        Some((conn, bytes, self.has_room(bytes)))
    }

    /// The first that waits has got its room, or is gone.
    pub fn drop_first_claim(&mut self) {
        self.claims.pop_front();
    }

    /// The first of the others, if it may go on.
    pub fn next_admissible(&mut self) -> Option<ConnId> {
        if self.is_tight() { None } else { self.others.pop_front() }
    }
}

#[cfg(test)]
#[path = "memory_test.rs"]
mod tests;
