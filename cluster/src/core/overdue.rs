//! Requests to other cores that nobody waits for any more.
//!
//! The core that owns a request ends it at its deadline. What never left this one, and what a core that is stuck doesn't answer, is
//! ended here.

use super::deliver::deliver;
use super::turn::Turn;
use crate::route::parcel::Overdue;
use crate::session::sockets::Sockets;
use pinion_engine::shard::request::{Answer, Refusal, Unsure};

impl<S: Sockets> Turn<'_, S> {
    /// Ends requests whose time is over.
    pub fn end_overdue(&mut self) {
        let now_us = self.hub.now.mono_us;
        for Overdue { ticket, was_backlogged, may_be_done, promised, read } in
            self.hub.route.forwards.take_overdue(now_us)
        {
            self.hub.stats.timed_out += 1;
            self.hub.memory.keep_promise(promised);
            self.hub.forgotten.extend(read);
            let answer = match may_be_done {
                true => Answer::Unknown(Unsure::TimedOut),
                false => Answer::Refused(Refusal::TimedOut),
            };
            deliver(self.hub, self.io, ticket, &answer);
            if was_backlogged {
                self.hub.left_backlog(self.io, ticket);
            }
        }
    }
}
