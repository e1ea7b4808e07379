//! Who waits for memory, in which order, and who is next.

use super::{Claim, Memory};
use crate::session::limits::SHORT_BYTES;
use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// Room is made for so many commands at once.
const CLAIMS_AT_ONCE: usize = 8;

impl Memory {
    /// Whether a command may have room at once: there is some, and nobody waits for it who came before.
    pub fn may_claim(&self, bytes: usize, has: usize) -> bool {
        let is_first = has > 0 || self.queue_of(bytes).is_empty();
        is_first && self.has_room(bytes, has)
    }

    fn queue_of(&self, bytes: usize) -> &VecDeque<Claim> {
        if bytes <= SHORT_BYTES { &self.short_claims } else { &self.claims }
    }

    /// Whether a short command waits.
    pub fn has_short_claims(&self) -> bool {
        !self.short_claims.is_empty()
    }

    /// Has a command wait for room, at the end; one that was given some goes first, as others wait for that. The caller
    /// holds its connection.
    pub fn wait_for_claim(&mut self, claim: Claim) {
        let is_short = claim.bytes <= SHORT_BYTES;
        let queue = if is_short { &mut self.short_claims } else { &mut self.claims };
        if claim.has > 0 { queue.push_front(claim) } else { queue.push_back(claim) }
    }

    /// Has a connection wait until no more is overdrawn, if it is small, else until memory isn't tight. The caller holds it.
    pub fn wait(&mut self, conn: ConnId, is_small: bool) {
        let queue = if is_small { &mut self.small } else { &mut self.others };
        queue.push_back(conn);
    }

    /// How much has to be given back for the first that wait to go on; or, if all is used up, for a part to be free. What
    /// goes back by itself isn't missing.
    pub fn missing(&self, is_used_up: bool) -> usize {
        if is_used_up {
            return self.standing().saturating_sub(self.bytes_max / 8 * 7 + self.leaving);
        }
        let claims = self.short_claims.iter().chain(&self.claims).take(CLAIMS_AT_ONCE);
        let claimed: usize = claims.map(|claim| claim.bytes).sum();
        let for_claims = (self.used() + claimed.clamp(1, self.bytes_max / 2))
            .saturating_sub(self.bytes_max - self.reserve + self.leaving);
        let for_answer = (self.used() + self.lacking.min(self.bytes_max / 2))
            .saturating_sub(self.long_max() + self.leaving);
        if self.lacking > 0 { for_claims.max(for_answer) } else { for_claims }
    }

    /// Whether somebody waits.
    #[inline]
    pub fn has_waiting(&self) -> bool {
        let is_empty = self.claims.is_empty() && self.short_claims.is_empty();
        !is_empty || !self.others.is_empty() || !self.small.is_empty() || self.is_lacking()
    }

    /// The next command that waits, and whether there is room for it now: the first of the short ones, and while there is
    /// none for that, the first of the long ones.
    pub fn next_claim(&self) -> Option<(Claim, bool)> {
        let (short, long) = (self.next_short_claim(), self.first_of(&self.claims));
        short.filter(|&(_, has_room)| has_room).or(long).or(short)
    }

    /// The next short command that waits, and whether there is room for it now.
    pub fn next_short_claim(&self) -> Option<(Claim, bool)> {
        self.first_of(&self.short_claims)
    }

    fn first_of(&self, claims: &VecDeque<Claim>) -> Option<(Claim, bool)> {
        claims.front().map(|claim| (*claim, self.has_room(claim.bytes, claim.has)))
    }

    /// A command that waited has got its room, or is gone. It was [`Memory::next_claim`].
    pub fn drop_claim(&mut self, claim: Claim) {
        for queue in [&mut self.short_claims, &mut self.claims] {
            if queue.front() == Some(&claim) {
                queue.pop_front();
                return;
            }
        }
    }

    /// Takes out the first of those that were not small, so that somebody sees whether they are now; so many wait.
    pub fn take_other(&mut self) -> Option<ConnId> {
        self.others.pop_front()
    }

    /// See [`Memory::take_other`].
    pub fn others(&self) -> usize {
        self.others.len()
    }

    /// The first of the small ones, if it may go on.
    pub fn next_small(&mut self) -> Option<ConnId> {
        if self.is_overdrawn() { None } else { self.small.pop_front() }
    }

    /// The first of the others, if it may go on.
    pub fn next_admissible(&mut self) -> Option<ConnId> {
        if self.is_tight() { None } else { self.others.pop_front() }
    }
}
