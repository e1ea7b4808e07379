//! Connections whose next kept read waits for memory, in the order of arrival. Short answers don't wait for long ones.

use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// A connection that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    /// Whose read it is.
    pub conn: ConnId,
    /// When it is refused at the latest, microseconds of the clock of the turns.
    pub until_us: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Starved {
    short: VecDeque<Waiter>,
    long: VecDeque<Waiter>,
}

impl Starved {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }

    /// Whether one waits for a short answer.
    pub fn has_short(&self) -> bool {
        !self.short.is_empty()
    }

    /// One waits for a short answer ([`Memory::is_short`](super::memory::Memory::is_short)), or for another.
    pub fn push(&mut self, waiter: Waiter, is_short: bool) {
        self.queue(is_short).push_back(waiter);
    }

    /// Those with short answers, or the others.
    pub fn queue(&mut self, is_short: bool) -> &mut VecDeque<Waiter> {
        if is_short { &mut self.short } else { &mut self.long }
    }

    /// When the first of them is refused at the latest.
    pub fn next_us(&self) -> Option<u64> {
        let firsts = [self.short.front(), self.long.front()];
        firsts.into_iter().flatten().map(|waiter| waiter.until_us).min()
    }
}
