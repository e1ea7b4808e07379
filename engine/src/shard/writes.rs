//! Updates: evaluated on arrival against the newest pending value; their effects join the forming log write.

use super::Shard;
use super::evaluate::{Effect, Reply, evaluate, needs_current};
use super::flow::{Flow, Since, Target};
use super::log_write::{Pending, Write};
use super::options::Durability;
use super::pending::{OwnedValue, PendingAnswer, Says};
use super::request::{Answer, Answers, Once, ROOM_BYTES, Refusal, Update, Value};
use super::sources::Point;
use super::view::View;
use crate::error::Error;
use crate::group::Order;
use crate::group::apply::Target as _;
use crate::group::groups::Place;
use crate::key::{Entry, Expiry, Kind, RangeTombstone, Stamp, Version};
use crate::table::{BlockRef, key_hash};
use smallvec::SmallVec;
use std::collections::HashMap;

/// Values up to this length are let in whatever makes them: what is kept beside for them is enough.
const MADE_BYTES_MIN: usize = 256 << 10;

/// The buffer for values that updates make keeps so much memory.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// Why an update isn't done whose answer would carry too long a value.
const NO_ROOM_FOR_OLD: &str = "the old value has no room beside other answers now; nothing was changed: read other replies, \
                               then ask again, or raise --memory";

/// The newest state of a key, pending writes included.
pub(super) enum Known<'a> {
    Is(Option<Value<'a>>, Since),
    NeedsRead(BlockRef),
}

/// What a batch finds.
struct Before<'k> {
    /// The keys whose state it asks for: absent, or there until their expiry.
    states: HashMap<&'k [u8], Option<Expiry>>,
    /// The newest of what was found.
    since: Since,
    /// Blocks that are needed to know.
    cold: SmallVec<[BlockRef; 4]>,
}

/// What evaluating one update came to.
struct Evaluated {
    reply: Reply,
    since: Since,
    /// Whether it changed anything.
    has_effect: bool,
    version: Version,
    /// The value before, where the answer carries it.
    old: Option<Box<OwnedValue>>,
}

impl Shard {
    /// Changes one key.
    pub(super) fn update(
        &mut self,
        target: Target,
        once: Option<&Once>,
        (key, update): (&[u8], &Update<'_>),
        out: &mut impl Answers,
    ) -> Flow {
        if let Err(refusal) = self.admit(target.place, key, update) {
            return self.refuse(target, refusal, out);
        }
        match self.apply_update(target, key, update, out) {
            Ok(Step::Refused(refusal, read)) => {
                self.copied_bytes += read;
                self.refuse(target, refusal, out)
            }
            Ok(Step::Cold(block)) => Flow::Cold(SmallVec::from_slice(&[block])),
            Ok(Step::Done(evaluated)) => {
                self.answer_update(target, once, evaluated, out);
                Flow::Done
            }
            Err(error) => {
                self.refuse_damaged(target.ticket, &error, out);
                Flow::Done
            }
        }
    }

    /// Changes several keys in one entry of the log. Nothing is done before all that must be read is there.
    pub(super) fn update_many(
        &mut self,
        target: Target,
        once: Option<&Once>,
        updates: &[(&[u8], Update<'_>)],
        out: &mut impl Answers,
    ) -> Flow {
        if let Err(refusal) = self.admit_many(target.place, updates) {
            return self.refuse(target, refusal, out);
        }
        let Before { mut states, since, cold } = match self.states_before(target, updates) {
            Ok(before) => before,
            Err(error) => {
                self.refuse_damaged(target.ticket, &error, out);
                return Flow::Done;
            }
        };
        if !cold.is_empty() {
            return Flow::Cold(cold);
        }
        self.counters.writes += updates.len() as u64;
        self.counters.last_write_us = self.mono_us;
        let (now, value_bytes_max) = (self.clocks_of(target.place), self.options.value_bytes_max);
        let mut total = Evaluated {
            reply: Reply::Written { existed: false },
            since,
            has_effect: false,
            version: self.groups[target.place].assigned,
            old: None,
        };
        let (mut existed, mut unused) = (0, Vec::new());
        for (key, update) in updates {
            let state = states.get(key).copied().flatten();
            let current = state.map(|expiry| Value { bytes: &[], version: Version(0), expiry });
            let verdict = evaluate(update, current, &now, value_bytes_max, &mut unused);
            existed += u32::from(verdict.reply == Reply::Written { existed: true });
            if verdict.effect == Effect::None {
                continue;
            }
            (total.since, total.has_effect) = (Since::Forming, true);
            target.prefix.stored_key(key, &mut self.key_scratch);
            let hash = key_hash(&self.key_scratch);
            total.version = self.log_effect(target, hash, verdict.effect);
            if let Some(state) = states.get_mut(key) {
                *state = match verdict.effect {
                    Effect::Put { expiry, .. } => Some(expiry),
                    Effect::Delete | Effect::None => None,
                };
            }
        }
        if !total.has_effect && self.sure_ms(target.place, now.now_ms()) < now.now_ms() {
            total.since = Since::Ticked;
        }
        self.answer_written(target, once, total, existed, out);
        Flow::Done
    }

    /// Whether the keys whose state a batch asks for are there, and when they expire; or the blocks that
    /// are needed to know. Nothing of a batch is logged before all of it can be evaluated.
    fn states_before<'k>(
        &mut self,
        target: Target,
        updates: &[(&'k [u8], Update<'_>)],
    ) -> Result<Before<'k>, Error> {
        let mut before = Before { states: HashMap::new(), since: Since::Applied, cold: SmallVec::new() };
        for (key, _) in updates.iter().filter(|(_, update)| needs_current(update)) {
            target.prefix.stored_key(key, &mut self.key_scratch);
            let hash = key_hash(&self.key_scratch);
            match self.known(target, hash, self.now_ms(target.place))? {
                Known::Is(current, since) => {
                    before.states.insert(*key, current.map(|value| value.expiry));
                    before.since = before.since.max(since);
                }
                Known::NeedsRead(block) if !before.cold.contains(&block) => before.cold.push(block),
                Known::NeedsRead(_) => {}
            }
        }
        Ok(before)
    }

    /// Deletes every key of a keyspace in one partition.
    pub(super) fn clear(&mut self, target: Target, once: Option<&Once>, out: &mut impl Answers) -> Flow {
        if let Err(refusal) = self.admit(target.place, b"k", &Update::Increment { by: 0 }) {
            return self.refuse(target, refusal, out);
        }
        let keyspace = target.prefix.keyspace();
        let version = self.groups[target.place].assign(self.clock.wall_us());
        let visible = !self.applied_when_taken_in(target.place);
        self.counters.writes += 1;
        self.counters.last_write_us = self.mono_us;
        self.forming.clear_keyspace(target.place, keyspace, version, visible);
        if !visible {
            let group = &mut self.groups[target.place];
            let prefix = group.prefix(keyspace);
            let (start, end) = (prefix.to_bytes().to_vec(), prefix.end());
            self.sources.insert_range_tombstone(RangeTombstone { start, end, version });
            group.taken_in(version);
        }
        let (reply, since) = (Reply::Written { existed: false }, Since::Forming);
        let done = Evaluated { reply, since, has_effect: true, version, old: None };
        self.answer_written(target, once, done, 0, out);
        Flow::Done
    }

    /// Whether the writes of a group are applied when they arrive, not when they are committed: it orders itself, and nobody waits
    /// for the log.
    pub(super) fn applied_when_taken_in(&self, place: Place) -> bool {
        self.groups[place].durability == Durability::None && self.groups[place].order() == Order::Solo
    }

    /// Whether nobody waits for the log (`none`), as far as memory is reckoned.
    pub(super) fn applies_at_once(&self) -> bool {
        self.options.durability == Durability::None
    }

    pub(super) fn refuse(&mut self, target: Target, refusal: Refusal<'_>, out: &mut impl Answers) -> Flow {
        self.counters.refused += 1;
        out.answer(target.ticket, Answer::Refused(refusal));
        Flow::Done
    }

    /// Evaluates one update and logs its effect.
    fn apply_update(
        &mut self,
        target: Target,
        key: &[u8],
        update: &Update<'_>,
        out: &mut impl Answers,
    ) -> Result<Step, Error> {
        let mut scratch = std::mem::take(&mut self.value_scratch);
        let step = self.evaluate_and_log(target, key, update, &mut scratch, out);
        // A long value doesn't keep its memory, whatever became of its update.
        scratch.clear();
        scratch.shrink_to(SCRATCH_BYTES_MAX);
        self.value_scratch = scratch;
        step
    }

    fn evaluate_and_log(
        &mut self,
        target: Target,
        key: &[u8],
        update: &Update<'_>,
        scratch: &mut Vec<u8>,
        out: &mut impl Answers,
    ) -> Result<Step, Error> {
        target.prefix.stored_key(key, &mut self.key_scratch);
        let hash = key_hash(&self.key_scratch);
        let (now, value_bytes_max) = (self.clocks_of(target.place), self.options.value_bytes_max);
        let made_max = if update.makes_from_current() { self.made_room() } else { usize::MAX };
        let is_too_long = |bytes: usize| bytes >= MADE_BYTES_MIN && bytes > made_max;
        let (verdict, since, old) = if needs_current(update) {
            let (current, since) = match self.known(target, hash, now.now_ms())? {
                Known::Is(current, since) => (current, since),
                Known::NeedsRead(block) => return Ok(Step::Cold(block)),
            };
            let bytes = current.map_or(0, |value| value.bytes.len());
            // Refused before it is copied, whether an expiry would have changed anything or not: copies take the most time.
            if is_too_long(bytes) {
                return Ok(Step::Refused(Refusal::Busy, bytes));
            }
            let wants_old = update.wants_old();
            if wants_old && bytes > ROOM_BYTES && !out.has_room_for_old(target.ticket, bytes) {
                return Ok(Step::Refused(Refusal::NoRoom(NO_ROOM_FOR_OLD), bytes));
            }
            let verdict = evaluate(update, current, &now, value_bytes_max, scratch);
            // A condition that failed answers what is there; a put that was asked for the old value, what was.
            let old = current.filter(|_| wants_old || verdict.reply == Reply::NotMet);
            let old = old.map(|value| if wants_old { value } else { Value { bytes: &[], ..value } });
            let old = old.map(|value| Box::new(OwnedValue::new(value)));
            let is_for_absence = current.is_none() && verdict.effect == Effect::None;
            let is_late = is_for_absence && self.has_expired_lately(target, hash, now.now_ms());
            let since = if is_late { Since::Ticked } else { since };
            (verdict, since, old)
        } else {
            let verdict = evaluate(update, None, &now, value_bytes_max, scratch);
            (verdict, Since::Applied, None)
        };
        self.copied_bytes += old.as_ref().map_or(0, |old| old.bytes());
        let reply = verdict.reply;
        if let Effect::Put { value, .. } = verdict.effect
            && value.len() > ROOM_BYTES
        {
            out.worked(value.len());
            if is_too_long(value.len()) {
                return Ok(Step::Refused(Refusal::Busy, value.len()));
            }
        }
        let has_effect = verdict.effect != Effect::None;
        let (version, since) = match verdict.effect {
            Effect::None => (self.groups[target.place].assigned, since),
            effect => (self.log_effect(target, hash, effect), Since::Forming),
        };
        self.counters.writes += 1;
        self.counters.last_write_us = self.mono_us;
        Ok(Step::Done(Evaluated { reply, since, has_effect, version, old }))
    }

    /// The newest state of the key in `key_scratch` at a time of its group: pending first, then applied.
    pub(super) fn known(&mut self, target: Target, hash: u64, now_ms: u64) -> Result<Known<'_>, Error> {
        let keyspace = target.prefix.keyspace();
        for (write, since) in [(&self.forming, Since::Forming), (&self.writing, Since::Writing)] {
            match write.pending(target.place, keyspace, &self.key_scratch, hash) {
                Pending::Unknown => {}
                Pending::Deleted => return Ok(Known::Is(None, since)),
                Pending::Value(value) => {
                    return Ok(Known::Is(Some(value).filter(|value| !value.expiry.is_past(now_ms)), since));
                }
            }
        }
        if let Some(op) = self.held.newest(&self.groups[target.place], &self.key_scratch, hash) {
            let value = Value { bytes: op.value, version: op.version, expiry: op.expiry };
            let is_live = op.kind == Kind::Value && !op.expiry.is_past(now_ms);
            return Ok(Known::Is(is_live.then_some(value), Since::Held));
        }
        Ok(match self.sources.get(&self.key_scratch, hash, &View::NEWEST, now_ms)? {
            Point::Value(value) => Known::Is(Some(value), Since::Applied),
            Point::Absent => Known::Is(None, Since::Applied),
            Point::NeedsRead(block) => Known::NeedsRead(block),
        })
    }

    /// Adds an effect on the key in `key_scratch` to the forming log write (and, under `none`, to the memtable).
    fn log_effect(&mut self, target: Target, hash: u64, effect: Effect<'_>) -> Version {
        let version = self.groups[target.place].assign(self.clock.wall_us());
        let visible = !self.applied_when_taken_in(target.place);
        let key = self.key_scratch.as_slice();
        let write = Write { place: target.place, key, hash, visible };
        let (kind, expiry, value) = match effect {
            Effect::Put { value, expiry } => {
                self.forming.put(write, version, expiry, value);
                (Kind::Value, expiry, value)
            }
            Effect::Delete | Effect::None => {
                self.forming.delete(write, version);
                (Kind::Tombstone, Expiry::NEVER, &[][..])
            }
        };
        self.counters.written_bytes += (key.len() + value.len()) as u64;
        self.copied_bytes += value.len();
        if !visible {
            self.sources.insert(Entry { key, stamp: Stamp::new(version, kind), expiry, value });
            self.holds_expiring |= expiry != Expiry::NEVER;
            self.groups[target.place].taken_in(version);
        }
        version
    }

    fn answer_update(
        &mut self,
        target: Target,
        once: Option<&Once>,
        evaluated: Evaluated,
        out: &mut impl Answers,
    ) {
        let says = match evaluated.reply {
            Reply::Written { existed } => {
                return self.answer_written(target, once, evaluated, u32::from(existed), out);
            }
            Reply::NotMet => Says::NotMet { current: evaluated.old },
            Reply::Integer(number) => Says::Integer(number),
            Reply::Refused(refusal) => Says::Refused(refusal),
        };
        self.answer_after((evaluated.since, evaluated.has_effect), target, once, says, out);
    }

    fn answer_written(
        &mut self,
        target: Target,
        once: Option<&Once>,
        done: Evaluated,
        existed: u32,
        out: &mut impl Answers,
    ) {
        let Evaluated { since, has_effect, version, old, .. } = done;
        self.answer_after((since, has_effect), target, once, Says::Written { version, existed, old }, out);
    }

    /// Answers once the state that the answer depends on can't be taken back by a crash.
    fn answer_after(
        &mut self,
        (since, has_effect): (Since, bool),
        target: Target,
        once: Option<&Once>,
        says: Says,
        out: &mut impl Answers,
    ) {
        let Target { ticket, deadline_us, place, .. } = target;
        let since = once.map_or(since, |once| self.remember(place, once, (since, has_effect), &says));
        let answer = PendingAnswer { ticket, deadline_us, place, says };
        // What was found, and not done on top of it, may be of a time when another led already.
        if since < Since::Forming && self.groups[place].order() != Order::Solo {
            return self.answer_after_round(answer, since != Since::Applied);
        }
        let is_known =
            since == Since::Applied || since == Since::Forming && self.applied_when_taken_in(place);
        if is_known {
            answer.says.send(ticket, out);
        } else {
            self.answer_later(since, answer);
        }
    }
}

/// What one update came to, or what it needs first.
enum Step {
    Done(Evaluated),
    Cold(BlockRef),
    /// Nothing is done; and bytes of the value that it looked at.
    Refused(Refusal<'static>, usize),
}
