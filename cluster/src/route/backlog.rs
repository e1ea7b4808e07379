//! What waits for a credit of another core: requests that were begun, in order, and connections that may not begin any.

use super::message;
use super::parcel::{Overdue, Parcel};
use pinion_engine::shard::request::{NO_DEADLINE, Ticket};
use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// A request that waits; its bytes begin with room for its slot.
pub(super) struct Delayed {
    pub(super) ticket: Ticket,
    pub(super) parcel: Parcel,
    message: Vec<u8>,
}

impl Delayed {
    /// Its bytes, when it has a slot.
    pub(super) fn message(&mut self, slot: u64) -> &[u8] {
        message::set_slot(&mut self.message, slot);
        &self.message
    }
}

/// What waits for one core.
#[derive(Default)]
pub(super) struct Backlog {
    requests: VecDeque<Delayed>,
    connections: Vec<ConnId>,
}

impl Backlog {
    /// Whether no request waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// One more request waits.
    pub(super) fn push(&mut self, ticket: Ticket, parcel: Parcel, message: Vec<u8>) {
        self.requests.push_back(Delayed { ticket, parcel, message });
    }

    /// The next request leaves.
    pub(super) fn pop(&mut self) -> Option<Delayed> {
        self.requests.pop_front()
    }

    /// A connection waits.
    pub(super) fn wait(&mut self, conn: ConnId) {
        self.connections.push(conn);
    }

    /// The connections go on.
    pub(super) fn take_connections(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.connections)
    }

    /// Takes out the requests whose time is over, and says when that of the next is.
    pub(super) fn take_overdue(&mut self, now_us: u64, overdue: &mut Vec<Overdue>) -> u64 {
        let mut next_us = NO_DEADLINE;
        self.requests.retain(
            |&Delayed { ticket, parcel: Parcel { deadline_us, promised, read, .. }, .. }| {
                let is_late = deadline_us < now_us;
                if is_late {
                    overdue.push(Overdue {
                        ticket,
                        was_backlogged: true,
                        may_be_done: false,
                        promised,
                        read,
                    });
                } else {
                    next_us = next_us.min(deadline_us);
                }
                !is_late
            },
        );
        next_us
    }
}
