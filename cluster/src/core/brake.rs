//! Writers are slowed down, and held, before a shard has to refuse what they write.

use super::cost::SPENT_MAX;
use super::hub::TAKES_NO_WRITES;
use super::turn::Turn;
use crate::route::Owner;
use crate::session::Hold;
use crate::session::sockets::Sockets;
use crate::session::weight::Weight;
use pinion_engine::shard::request::Op;
use pinion_net::reactor::ConnId;
use std::cmp::Reverse;

/// A shard that asks for this much delay, in microseconds, is about to refuse writes: by debt alone it asks for less.
pub(super) const BRAKE_DELAY_US: u64 = 15_000;
/// How long a write is held before it is tried again, and how long at most in all, in microseconds.
const BRAKE_HOLD_US: u64 = 2_000;
const BRAKE_MAX_US: u64 = 30_000_000;

/// Writes that a forming log write may have before a batch waits for the one after it: all of a log write are applied in one turn.
pub(super) const COMMIT_OPS_MAX: usize = 4096;

/// Requests that may wait for a forming log write before a write of one key waits for the one after it. Not writes: behind long
/// batches it would always be too late.
pub(super) const COMMIT_REQUESTS_MAX: usize = 4096;

impl<S: Sockets> Turn<'_, S> {
    /// Whether a write of so many operations, of about `bytes`, may go to `owner` now; if not, the connection is held for a moment.
    ///
    /// This is the last brake before a shard has to refuse writes: it takes hold when memtables or the forming log write are
    /// nearly full, for long values and batches before that: what is short doesn't wait until these are flushed. One that takes no writes
    /// gets the write at once, and says itself what is wrong.
    #[inline]
    pub fn may_write(&mut self, conn: ConnId, owner: Owner, weight: Weight) -> bool {
        let Weight { ops, bytes, .. } = weight;
        let waits = weight.is_long() && self.waits_for_room(owner, weight);
        let is_full = if let Owner::Core(core) = owner {
            let delay_us = self.hub.route.forwards.delay_us(core);
            (waits || u64::from(delay_us) >= BRAKE_DELAY_US) && delay_us != TAKES_NO_WRITES
        } else {
            let forming = self.shard.forming_bytes();
            let is_nearly_full = waits
                || self.shard.write_delay_us() >= BRAKE_DELAY_US
                || (forming > 0 && forming + bytes > self.hub.log_write_bytes_max)
                || self.shard.forming_requests() >= COMMIT_REQUESTS_MAX
                || (ops > 1 && self.shard.forming_ops() >= COMMIT_OPS_MAX);
            is_nearly_full && self.shard.read_only_reason().is_none()
        };
        if is_full { self.passes_brake(conn) } else { self.release_brake(conn) }
    }

    #[cold]
    fn waits_for_room(&self, owner: Owner, weight: Weight) -> bool {
        let room = match owner {
            Owner::ThisCore => self.shard.long_room(),
            Owner::Core(core) => self.hub.route.forwards.long_room(core),
        };
        weight.waits_for(room, self.shard.long_room_max())
    }

    /// Whether an update of `owner` is begun in this turn, which may have copied much. One that copies the value before it costs
    /// nobody knows how much, even where there is no room for that value. If not, its connection waits for its turn as long
    /// commands do, which begins it in any case. (Other cores look for themselves.)
    #[inline]
    pub fn has_time_for(&mut self, conn: ConnId, owner: Owner, op: &Op<'_>) -> bool {
        let may_wait =
            owner == Owner::ThisCore && matches!(op, Op::Update { update, .. } if update.copies_current());
        if !may_wait || self.hub.copied < SPENT_MAX { true } else { self.begins_in_any_case(conn) }
    }

    #[cold]
    fn begins_in_any_case(&mut self, conn: ConnId) -> bool {
        let Some(session) = self.hub.sessions.get(conn) else { return true };
        if std::mem::take(&mut session.was_put_off) {
            return true;
        }
        session.was_put_off = true;
        self.slice(conn);
        false
    }

    /// A write goes through; if writes were held lately, its connection starts anew.
    #[inline]
    fn release_brake(&mut self, conn: ConnId) -> bool {
        if self.hub.now.mono_us < self.hub.braked_until_us
            && let Some(session) = self.hub.sessions.get(conn)
        {
            session.braked_since_us = None;
        }
        true
    }

    #[cold]
    fn passes_brake(&mut self, conn: ConnId) -> bool {
        let now_us = self.hub.now.mono_us;
        let Some(session) = self.hub.sessions.get(conn) else { return true };
        let since_us = *session.braked_since_us.get_or_insert(now_us);
        self.hub.braked_until_us = now_us + 2 * BRAKE_MAX_US;
        if now_us - since_us > BRAKE_MAX_US {
            return true;
        }
        self.hold_back(conn, BRAKE_HOLD_US);
        false
    }

    /// How long the core of `owner` wants writers to be held back, in microseconds.
    pub fn delay_us(&self, owner: Owner) -> u32 {
        match owner {
            Owner::ThisCore => self.hub.delay_us,
            Owner::Core(core) => self.hub.route.forwards.delay_us(core),
        }
    }

    /// Slows a connection that wrote to `owner`, if its core asks for it.
    pub fn throttle(&mut self, conn: ConnId, owner: Owner) {
        let delay_us = self.delay_us(owner);
        if delay_us > 0 && delay_us != TAKES_NO_WRITES {
            self.hold_back(conn, u64::from(delay_us));
        }
    }

    /// Takes in nothing of a connection for a while.
    fn hold_back(&mut self, conn: ConnId, us: u64) {
        let hub = &mut *self.hub;
        if hub.sessions.get(conn).is_some_and(|session| !session.has(Hold::Throttle)) {
            hub.throttled.push(Reverse((hub.now.mono_us + us, conn)));
            hub.stats.stall_us += us;
            hub.hold(self.io, conn, Hold::Throttle);
        }
    }
}
