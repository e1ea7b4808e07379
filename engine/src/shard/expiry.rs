//! What time it is in a group, and what has expired there ([`crate::group`]).
//!
//! In a group with replicas nobody is told that a key has expired before the group's log says that it is so late: who leads next may
//! be behind. Whoever finds one waits for a *tick*.

use super::Shard;
use super::flow::{Since, Target};
use super::owned::OwnedOp;
use super::pending::{PendingAnswer, PendingRead, Says};
use super::request::{Answers, Op, Refusal, Value};
use super::view::Moment;
use super::writes::Known;
use crate::clock::Clocks;
use crate::group::groups::Place;
use crate::group::{Group, Order};
use crate::log::Entry;

impl Shard {
    /// The time in a group, microseconds.
    pub fn time_us(&self, place: Place) -> u64 {
        self.groups[place].time_us(self.clock.us())
    }

    /// Another replica of a group says what time it is there.
    pub fn hear_time(&mut self, place: Place, time_us: u64) {
        self.groups[place].hear_time(time_us, self.clock.us());
    }

    /// The time of a group goes on from what its log says, as far as that is here.
    pub(super) fn go_on_from_logged_time(&mut self, place: Place) {
        let group = &mut self.groups[place];
        let waiting = group.queue().into_iter().flat_map(|queue| queue.entries()).filter_map(Entry::time_us);
        let newest_us = waiting.max().unwrap_or(0).max(group.logged_us());
        group.hear_time(newest_us, self.clock.us());
    }

    /// The time that the expiry of a group goes by, milliseconds.
    pub(super) fn now_ms(&self, place: Place) -> u64 {
        self.groups[place].time_us(self.clock.us()) / 1000
    }

    /// What has expired by this time of a group has done so for good, where it is `now_ms`: if it has replicas, and anything expires, that
    /// is what its log says.
    pub(super) fn sure_ms(&self, place: Place, now_ms: u64) -> u64 {
        let any_expires = self.holds_expiring || !self.held.is_empty();
        match self.groups[place].order() {
            Order::Led { .. } | Order::Following { .. } if any_expires => {
                now_ms.min(self.groups[place].logged_us() / 1000)
            }
            _ => now_ms,
        }
    }

    /// [`Shard::clocks`], in the time of a group.
    pub(super) fn clocks_of(&self, place: Place) -> Clocks {
        let shard = self.clocks();
        Clocks { now_us: self.groups[place].time_us(shard.now_us), ..shard }
    }

    /// Whether the key in `key_scratch` isn't there by this time because it has expired so lately that the group's log doesn't say so.
    pub(super) fn has_expired_lately(&mut self, target: Target, hash: u64, now_ms: u64) -> bool {
        let sure_ms = self.sure_ms(target.place, now_ms);
        sure_ms < now_ms && !matches!(self.known(target, hash, sure_ms), Ok(Known::Is(None, _)))
    }

    /// Has a read wait until its group's time is in its log, which is led here.
    pub(super) fn read_after_tick(
        &mut self,
        target: Target,
        op: &Op<'_>,
        at: Moment,
        out: &mut impl Answers,
    ) {
        let Target { ticket, deadline_us, place, prefix } = target;
        if !matches!(self.groups[place].order(), Order::Led { .. }) {
            self.refuse(target, Refusal::NotLeader, out);
            return;
        }
        let (version, now_ms) = (at.view.version, at.now_ms);
        let read = PendingRead { prefix, op: OwnedOp::new(op), version, now_ms, is_led: true };
        self.answer_later(
            Since::Ticked,
            PendingAnswer { ticket, deadline_us, place, says: Says::Read(Box::new(read)) },
        );
    }
}

/// A value of a group as others are told it: with its expiry in shard time.
pub(super) fn told<'a, W>(group: &Group<W>, value: Value<'a>) -> Value<'a> {
    Value { expiry: group.in_shard_time(value.expiry), ..value }
}
