//! From the forming log write to the log, from the log to the memtable.

use super::Shard;
use super::flow::Since;
use super::log_write::LogWrite;
use super::options::Durability;
use super::pending::AnswerKind;
use super::request::{Answer, Answers, Refusal, Unsure};
use crate::group::apply::{Applicable, Applied, Blocks, LookUps, apply};
use crate::group::groups::Place;
use crate::group::{Group, Order, SOLO_TERM};
use crate::io::IoCompletion;
use crate::key::{Partition, Version};
use crate::log::{EntryType, LogEvent, LogPosition, LogWriteId, Record, RecordKind, clock_payload};
use crate::manifest::ManifestEvent;

/// While keys expire, the log learns the time at least this often.
pub(super) const CLOCK_INTERVAL_US: u64 = 1_000_000;

/// Under `none` nobody waits for the log: it is written when it has so many bytes, or is so old.
const LAZY_BYTES: usize = 64 << 10;
const LAZY_US: u64 = 2_000;

/// A log write of so many bytes isn't written in a turn that has copied as much already: it costs about a millisecond.
const LONG_BYTES: usize = 2 << 20;

impl Shard {
    /// Begins the forming log write, if none is in flight.
    pub(super) fn start_log_write(&mut self) {
        if self.log.is_failed() {
            return;
        }
        self.sync_if_due();
        if self.log.is_writing() {
            return;
        }
        let is_clock_due = self.clock_due_us().is_some_and(|due_us| due_us <= self.mono_us);
        let durability = self.durability_of(&self.forming);
        let carries_replicated = self.replicated.is_to_be_written();
        if !carries_replicated
            && (self.is_log_write_early(durability, is_clock_due) || self.is_log_write_long())
        {
            return;
        }
        let wants_copies = self.wants_copies();
        if wants_copies {
            self.append_copies();
        }
        if !self.forming.is_empty() {
            std::mem::swap(&mut self.forming, &mut self.writing);
            if self.logged_base != Some(self.clock.base()) {
                self.append_clock();
            }
            self.append_entries();
        } else if is_clock_due {
            self.append_clock();
        } else if !wants_copies && !carries_replicated {
            return;
        }
        let is_synced = durability == Durability::Sync || carries_replicated;
        if self.log.write(is_synced, &mut self.io).is_some() {
            self.counters.log_writes += 1;
            self.is_write_synced = is_synced;
            self.replicated.begin_write();
        }
    }

    /// What a log write needs for its groups; one of clocks alone needs what the shard was opened with.
    fn durability_of(&self, write: &LogWrite) -> Durability {
        let groups = write.places().iter().map(|&place| self.groups[place].durability);
        groups.reduce(Durability::stricter).unwrap_or(self.options.durability)
    }

    /// Whether the forming log write may grow on for a while: not if the log is to learn the time, which comes with it.
    /// Notes when it began to.
    fn is_log_write_early(&mut self, durability: Durability, is_clock_due: bool) -> bool {
        if self.forming.is_empty() {
            self.forming_since_us = None;
            return false;
        }
        let since_us = *self.forming_since_us.get_or_insert(self.mono_us);
        let is_early = durability == Durability::None
            && !self.is_closing
            && !self.wants_flush
            && !is_clock_due
            && self.forming.bytes() < LAZY_BYTES
            && self.mono_us < since_us + LAZY_US;
        if !is_early {
            self.forming_since_us = None;
        }
        is_early
    }

    /// Whether the forming log write is left for the next turn, because it is long and this one has taken in or applied as much:
    /// what is copied on its way to the log comes in a turn of its own. Once, or writes without end would put it off for ever.
    fn is_log_write_long(&mut self) -> bool {
        let is_long = self.copied_bytes >= LONG_BYTES && self.forming.bytes() >= LONG_BYTES;
        self.is_put_off = is_long && !self.is_put_off && !self.is_closing;
        self.is_put_off
    }

    /// When a log write that nobody waits for, or that was put off, is to be made.
    pub(super) fn log_write_due_us(&self) -> Option<u64> {
        let can_be_written = !self.log.is_failed() && !self.log.is_writing();
        let lazy_us = self.forming_since_us.map(|since_us| since_us + LAZY_US);
        if self.is_put_off { Some(self.mono_us) } else { lazy_us }.filter(|_| can_be_written)
    }

    /// Logs what all clocks show: entries carry on from there.
    fn append_clock(&mut self) {
        let payload = clock_payload(&self.clock.stamp());
        let group = self.groups.iter().next().map_or(Partition(0), |state| state.id);
        self.log.append(Record { kind: RecordKind::Clock, ..Record::writes(group, SOLO_TERM, 0, &payload) });
        self.logged_clock_us = self.clock.us();
        self.logged_base = Some(self.clock.base());
    }

    fn append_entries(&mut self) {
        self.writing.seal(self.clock.us());
        let Shard { writing, groups, log, .. } = self;
        writing.append(|place, payload| {
            let group = &mut groups[place];
            let (term, index) = group.append();
            log.append(Record::writes(group.id, term, index, payload));
            (term, index)
        });
        self.logged_clock_us = self.clock.us();
    }

    /// Under `interval` and `none`: syncs what was written, every so often, however much is being written.
    fn sync_if_due(&mut self) {
        if self.sync_due_us().is_some_and(|due_us| due_us <= self.mono_us) {
            self.synced_mono_us = self.mono_us;
            self.unsynced = None;
            self.log.sync(&mut self.io);
        }
    }

    /// When what was written is to be synced.
    pub(super) fn sync_due_us(&self) -> Option<u64> {
        let interval_us = self.unsynced.filter(|_| !self.log.is_syncing())?.interval_us()?;
        let interval_us = if self.is_closing { 0 } else { interval_us };
        Some(self.synced_mono_us.saturating_add(interval_us))
    }

    /// When the log is to learn the time: every so often while keys expire, and when the wall clock has become another that is
    /// believed, whatever else is written. Else a restart would go by the one before, or by any that it finds.
    pub(super) fn clock_due_us(&self) -> Option<u64> {
        if self.failure().is_some() || self.log.is_writing() {
            return None;
        }
        if self.clock.is_news(self.logged_base.or(self.known_base)) {
            return Some(self.mono_us);
        }
        if !self.holds_expiring && !self.is_time_held() {
            return None;
        }
        Some(self.mono_us + (self.logged_clock_us + CLOCK_INTERVAL_US).saturating_sub(self.clock.us()))
    }

    /// Takes the completion of a log write or sync.
    pub(super) fn log_done(&mut self, completion: IoCompletion, out: &mut impl Answers) {
        match self.log.complete(completion, &mut self.io) {
            LogEvent::Written(id, end) => self.log_written(id, end, out),
            LogEvent::Failed(_, error) if self.doubt.is_some() => self.note_doubt(&error),
            LogEvent::Failed(_, error) => self.log_failed(&error, out),
            LogEvent::Cut(_) => self.log_cut(),
            LogEvent::Synced(_) => self.settle_copies(),
            LogEvent::Other => {}
        }
    }

    /// Applies the entries of the finished log write, which are committed with it, then lets its answers go, in order.
    fn log_written(&mut self, id: LogWriteId, end: LogPosition, out: &mut impl Answers) {
        self.logged_end = end;
        self.kept_clock_us = self.kept_clock_us.max(self.logged_clock_us);
        self.log_backoff.worked();
        let durability = self.durability_of(&self.writing);
        // A log write that is synced makes all before it durable, too.
        self.unsynced = (!self.is_write_synced)
            .then(|| self.unsynced.map_or(durability, |known| known.stricter(durability)));
        let writing = std::mem::take(&mut self.writing);
        for (place, (term, index), payload) in writing.entries() {
            self.groups[place].persist(term, index);
            if self.applied_when_taken_in(place) {
                self.groups[place].applied(index, Version(0));
                continue;
            }
            let entry = Applicable { index, entry: EntryType::Normal, origin: 0, payload };
            let applied = self.apply_entry(place, entry, &mut LookUps::new());
            debug_assert!(applied.is_none(), "what is ordered here needs no block");
        }
        self.copies_written(end);
        self.replicated_written(id);
        self.writing = writing;
        let mut answers = self.writing.take_answers();
        answers.drain(..).for_each(|answer| self.answer_pending(answer, out));
        self.writing.reuse_answers(answers);
        self.writing.reset();
        self.freeze_if_full();
    }

    /// Applies an entry that is committed, or says which blocks that takes first.
    pub(super) fn apply_entry(
        &mut self,
        place: Place,
        entry: Applicable<'_>,
        known: &mut LookUps,
    ) -> Option<Blocks> {
        self.copied_bytes += entry.payload.len();
        let group = &mut self.groups[place];
        let before = group.once_bytes();
        let applied = apply(group, entry, &mut self.sources, known);
        self.once.changed(before, group.once(), self.mono_us);
        match applied.expect("an entry that was checked when it came decodes") {
            Applied::Done { expires } => self.holds_expiring |= expires,
            Applied::Needs(blocks) => return Some(blocks),
        }
        None
    }

    /// A log write failed: its writes may or may not be there. The shard takes no more until that is settled.
    fn log_failed(&mut self, error: &std::io::Error, out: &mut impl Answers) {
        self.counters.log_failures += 1;
        self.note_doubt(error);
        let reason = self.doubt.as_ref().map_or(String::new(), |doubt| doubt.reason.clone());
        let forming = self.forming.take_answers();
        let writing = self.writing.take_answers();
        self.unsynced = None;
        self.held.copying = None;
        (self.logged_clock_us, self.logged_base, self.known_base) = (0, None, None);
        self.forming.reset();
        self.writing.reset();
        self.replicated_failed(out);
        self.groups
            .iter_mut()
            .filter(|group| group.order() == Order::Solo)
            .for_each(Group::forget_unpersisted);
        for (since, answers) in [(Since::Writing, writing), (Since::Forming, forming)] {
            for answer in answers {
                match (answer.kind(), since) {
                    (AnswerKind::Read, _) => self.answer_pending(answer, out),
                    (AnswerKind::Write, Since::Writing) => {
                        out.answer(answer.ticket, Answer::Unknown(Unsure::LogFailed(&reason)));
                    }
                    // Never written; or a verdict on a write that may never have been.
                    _ => out.answer(answer.ticket, Answer::Refused(Refusal::ReadOnly(&reason))),
                }
            }
        }
    }

    /// Takes the completion of a manifest write.
    pub(super) fn manifest_done(&mut self, completion: IoCompletion) {
        match self.manifest.complete(completion, &mut self.io) {
            Some(ManifestEvent::Durable(_)) => {
                self.manifest_backoff.worked();
                self.install_next();
            }
            Some(ManifestEvent::Stalled(error)) => self.manifest_stalled(error),
            None => {}
        }
    }
}
