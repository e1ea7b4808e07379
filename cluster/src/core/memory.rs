//! The account of what the connections of a core take of `--memory`.
//!
//! 1. A core's share of `--memory` is split: its shard has one part ([`Split::shard`]), its connections the other
//!    ([`Split::connections`]).
//! 2. Whatever a client can make the core keep is charged here: what its sockets hold (input that isn't consumed, room that
//!    was given to a command that is coming in, output that isn't sent) and what its sessions hold (replies, names, requests
//!    under way). The sockets keep their own sum, which is noted here; sessions are charged by what changed.
//! 3. What is large asks first ([`Memory::has_room`]) and waits its turn ([`Memory::wait`]), in order. A part is left
//!    for what is small, so that small commands never wait behind large ones.
//!
//! Everything here takes the same time however many connections there are.

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

impl Split {
    /// Of so many bytes, a quarter is for connections.
    pub fn of(core_bytes: usize) -> Split {
        let connections = core_bytes / 4;
        Split { shard: core_bytes - connections, connections }
    }
}

/// One connection that waits for room.
#[derive(Clone, Copy, Debug)]
struct Wait {
    conn: ConnId,
    bytes: usize,
}

/// See the module's text.
#[derive(Debug)]
pub struct Memory {
    bytes_max: usize,
    /// Of these, what only small requests may use.
    reserve: usize,
    /// What sessions hold.
    sessions: usize,
    /// What the sockets hold, as they last said.
    sockets: usize,
    waiting: VecDeque<Wait>,
}

impl Memory {
    /// Nothing is charged yet, of `bytes_max`.
    pub fn new(bytes_max: usize) -> Memory {
        let reserve = bytes_max / 4;
        Memory { bytes_max, reserve, sessions: 0, sockets: 0, waiting: VecDeque::new() }
    }

    /// What connections may take, bytes.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// What they take now, bytes.
    #[inline]
    pub fn used(&self) -> usize {
        self.sessions + self.sockets
    }

    /// Bytes that something large may still take.
    #[inline]
    pub fn room(&self) -> usize {
        (self.bytes_max - self.reserve).saturating_sub(self.used())
    }

    /// Whether `bytes` more may be taken. Where little is in use anything may: what is larger than the whole share
    /// must go through some time.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.room() || self.used() <= self.reserve
    }

    /// Whether large requests have used up their part, so that only small ones go on.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.room() == 0
    }

    /// Whether the whole share is used up.
    #[inline]
    pub fn is_exhausted(&self) -> bool {
        self.used() >= self.bytes_max
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

    /// Notes what the sockets hold.
    #[inline]
    pub fn note_sockets(&mut self, bytes: usize) {
        self.sockets = bytes;
    }

    /// Puts a connection at the end of those that wait for so much room. The caller holds it.
    pub fn wait(&mut self, conn: ConnId, bytes: usize) {
        self.waiting.push_back(Wait { conn, bytes });
    }

    /// Whether somebody waits.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The first that waits, if there is room for it now. It is let go, and asks again.
    pub fn next_admissible(&mut self) -> Option<ConnId> {
        let first = *self.waiting.front()?;
        if !self.has_room(first.bytes) {
            return None;
        }
        self.waiting.pop_front();
        Some(first.conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_was_charged_leaves_nothing_behind() {
        let mut memory = Memory::new(8 * MIB);
        let (mut one, mut other) = (0, 0);
        memory.recharge(&mut one, 3 * MIB);
        memory.recharge(&mut other, MIB);
        memory.note_sockets(MIB);
        assert_eq!(memory.used(), 5 * MIB);
        memory.recharge(&mut one, 0);
        memory.recharge(&mut other, 5);
        memory.release(other);
        memory.note_sockets(0);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_part_is_left_for_what_is_small() {
        let mut memory = Memory::new(8 * MIB);
        memory.charge(5 * MIB);
        assert!(memory.has_room(MIB) && !memory.has_room(MIB + 1));
        memory.charge(MIB);
        assert!(memory.is_tight() && !memory.is_exhausted());
        memory.charge(2 * MIB);
        assert!(memory.is_exhausted());
    }

    #[test]
    fn who_waits_is_let_go_in_order_and_what_is_larger_than_all_when_little_is_in_use() {
        let mut memory = Memory::new(8 * MIB);
        memory.charge(5 * MIB);
        let (large, small) = (ConnId::from_u64(1), ConnId::from_u64(2));
        memory.wait(large, 20 * MIB);
        memory.wait(small, 1);
        assert_eq!(memory.next_admissible(), None);
        memory.release(4 * MIB);
        assert_eq!(memory.next_admissible(), Some(large));
        memory.charge(20 * MIB);
        assert_eq!(memory.next_admissible(), None);
        memory.release(20 * MIB);
        assert_eq!(memory.next_admissible(), Some(small));
        assert!(!memory.has_waiting());
    }

    #[test]
    fn the_two_parts_are_the_whole() {
        for bytes in [16 * MIB, 32 * MIB + 3, 1 << 40] {
            let split = Split::of(bytes);
            assert_eq!(split.shard + split.connections, bytes);
        }
    }
}
