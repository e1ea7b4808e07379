//! The account of what the connections of a core take of `--memory`.
//!
//! 1. The connections of a core have a part of its share of `--memory` ([`Split`]).
//! 2. Whatever a client can make the core keep is charged here: what its sockets hold (input that isn't consumed, room that
//!    was given to a command that is coming in, output that isn't sent) and what its sessions hold (replies, names, requests
//!    under way). The sockets keep their own sum, which is noted here; what is appended to outputs within a turn is added
//!    until the sockets tell anew; sessions are charged by what changed.
//! 3. What is large asks first ([`Memory::has_room`]) and waits its turn ([`Memory::wait_for_claim`]), in order. A part is
//!    left for what is small, so that small commands never wait behind large ones; commands of middle length have a queue of
//!    their own, and three quarters of that part.
//!
//! Everything here takes the same time however many connections there are. What is done with it is in [`super::room`].

mod waiting;

use crate::node::split::Split;
use crate::session::limits::SHORT_BYTES;
use pinion_engine::shard::ShardOptions;
use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// A command that waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub conn: ConnId,
    /// How much it lacks, bytes.
    pub bytes: usize,
    /// How much it was given already.
    pub has: usize,
}

/// What takes at most such a part of what is left is small, and so is what takes so many bytes at most.
const SMALL_PART: usize = 8;
const SMALL_BYTES_MIN: usize = 16 << 10;

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
    /// Room that other cores may use unasked for the old values of updates.
    promised: usize,
    /// Room that commands which are coming in were given; the sockets count it.
    claimed: usize,
    /// What of all that belongs to connections that are ending, and goes back by itself.
    leaving: usize,
    /// Commands that wait for room: short and long ones.
    short_claims: VecDeque<Claim>,
    claims: VecDeque<Claim>,
    /// Connections whose input waits until no more is overdrawn; and until output is taken.
    small: VecDeque<ConnId>,
    others: VecDeque<ConnId>,
    /// What an answer lacked that was refused or put off, a short one and any other, and until when that counts, by the clock of
    /// the turns.
    short_lacking: usize,
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
            promised: 0,
            claimed: 0,
            leaving: 0,
            short_claims: VecDeque::new(),
            claims: VecDeque::new(),
            small: VecDeque::new(),
            others: VecDeque::new(),
            short_lacking: 0,
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

    /// Whether a command that was given `has` may have `bytes` more. What is larger than the room must go through some
    /// time: one command at a time may have half of what is left for small ones, too; short ones may have three quarters of it.
    #[inline]
    pub fn has_room(&self, bytes: usize, has: usize) -> bool {
        if has + bytes <= SHORT_BYTES {
            return self.used() + bytes <= self.bytes_max - self.reserve / 4;
        }
        let most = if self.claimed == has { self.long_max() } else { self.bytes_max - self.reserve };
        self.used() + self.promised + bytes <= most
    }

    /// What may be used with a long answer, or the one long command, or a short answer behind many that wait to be taken.
    #[inline]
    fn long_max(&self) -> usize {
        self.bytes_max - self.reserve / 2
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

    /// Whether so much more than all is used up that what is small has to wait, too. Before that it goes on, as those who
    /// have used it up are about to be closed.
    #[inline]
    pub fn is_overdrawn(&self) -> bool {
        self.used() >= self.bytes_max + self.bytes_max / 8
    }

    /// What a request and its answer may take to be small, bytes: the less, the less is left.
    pub fn small_max(&self) -> usize {
        (self.bytes_max.saturating_sub(self.used()) / SMALL_PART).max(SMALL_BYTES_MIN)
    }

    /// Whether all is used up, or all but less than a short answer lacks, not counting output of this turn and what goes back
    /// by itself: somebody has to go.
    #[inline]
    pub fn is_used_up(&self) -> bool {
        self.standing() + self.short_lacking >= self.bytes_max + self.leaving
    }

    /// Whether an answer of so many bytes may still be given to a client; long ones leave room for short ones, and so do those
    /// to a client that has not taken what it was `given` before. Where half is free one may that never fits beside others:
    /// values may be longer than what is taken now, where they were written with more memory.
    #[inline]
    pub fn has_room_for_answer(&self, bytes: usize, given: usize) -> bool {
        if bytes <= SHORT_BYTES {
            let most = if Memory::is_short(bytes, given) { self.bytes_max } else { self.long_max() };
            return self.used() + bytes <= most;
        }
        let used = self.used() + self.promised;
        used + bytes <= self.long_max() || used <= self.bytes_max / 2 && bytes > self.bytes_max / 16 * 9
    }

    /// The longest value that is taken, bytes.
    fn value_max(&self) -> usize {
        Split::value_part(self.bytes_max).min(ShardOptions::VALUE_BYTES_MAX)
    }

    /// Whether there is room for an update that answers an old value of so many bytes. A long one is in its shard, in the log
    /// and on its way several times until it is through: it needs room twice.
    pub fn has_room_for_old(&self, bytes: usize) -> bool {
        if bytes <= SHORT_BYTES {
            return self.has_room_for_answer(bytes, 0);
        }
        self.used() + self.promised + 2 * bytes <= self.long_max()
    }

    /// Room for the old value that an update on another core may answer, whose length nobody here knows: for the longest while
    /// half is free beside it, or if it is the first that is promised, else for a short one, as far as there is some. It counts
    /// against what is long until it is given back. If the first lacks room, that is looked for until then.
    pub fn promise(&mut self, until_us: u64) -> usize {
        let longest = 2 * self.value_max();
        let is_first = self.promised == 0;
        let is_free = self.used() + self.promised + longest <= self.bytes_max / 2;
        let most = if is_free || is_first { longest } else { SHORT_BYTES };
        let promise = most.min(self.long_max().saturating_sub(self.used() + self.promised));
        if is_first && promise < longest.min(self.bytes_max / 2) {
            self.lack(longest, 0, until_us);
        }
        self.promised += promise;
        promise
    }

    /// The longest old value that so much was promised for, bytes.
    pub fn old_value_max(promised: usize) -> usize {
        if promised <= SHORT_BYTES { promised } else { (promised / 2).max(SHORT_BYTES) }
    }

    /// The answer that something was promised for is here, or none comes.
    pub fn keep_promise(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.promised, "what is given back was promised");
        self.promised = self.promised.saturating_sub(bytes);
    }

    /// There was no room for an answer of so many bytes, behind the `given` ones; it is looked for until then.
    pub fn lack(&mut self, bytes: usize, given: usize, until_us: u64) {
        let is_short = Memory::is_short(bytes, given);
        let lacking = if is_short { &mut self.short_lacking } else { &mut self.lacking };
        *lacking = bytes.max(*lacking);
        self.lacking_until_us = until_us;
    }

    /// Whether an answer is short, together with what its client was given before and hasn't taken: nothing long goes before it.
    #[inline]
    pub fn is_short(bytes: usize, given: usize) -> bool {
        bytes + given <= SHORT_BYTES
    }

    /// Whether an answer lacks room.
    pub fn is_lacking(&self) -> bool {
        self.lacking > 0 || self.short_lacking > 0
    }

    /// Whoever lacked room before this moment lacks it no more.
    pub fn forget_lack(&mut self, now_us: u64) {
        let is_over = now_us > self.lacking_until_us;
        if is_over || self.has_room_for_answer(self.lacking, SHORT_BYTES) {
            self.lacking = 0;
        }
        if is_over || self.has_room_for_answer(self.short_lacking, 0) {
            self.short_lacking = 0;
        }
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

    /// Notes what of all that goes back by itself, because its connections are ending.
    #[inline]
    pub fn note_leaving(&mut self, bytes: usize) {
        self.leaving = bytes;
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

    /// Whether no command that is coming in has room.
    pub fn is_unclaimed(&self) -> bool {
        self.claimed == 0
    }
}

#[cfg(test)]
#[path = "memory_test.rs"]
mod tests;
