//! Groups that have replicas: whoever drives the shard agrees with those on the order of their entries, and on what is committed.
//!
//! In every turn, before [`Shard::end_turn`], the driver
//! 1. says who leads ([`Shard::lead`], [`Shard::follow`]);
//! 2. proposes what was taken in ([`Shard::propose`]): one entry for each group that is led here;
//! 3. gives the shard what is to be written ([`Shard::append`]): its own entries and those of other leaders, and hard states. They go
//!    into the next log write, which is synced. [`Shard::take_persisted`] says when that is done;
//! 4. begins the rounds that reads wait for ([`Shard::rounds_wanted`], [`super::rounds`]);
//! 5. says what may be applied ([`Shard::apply_up_to`]).
//!
//! An entry waits in its group's queue from when it has its place, so that everything after it sees it. When a log write fails, nobody
//! knows what the log has of these groups: they take no part any more until the shard is opened again.

use super::Shard;
use super::flow::Target;
use super::log_write::TakenOut;
use super::pending::PendingAnswer;
use super::request::{Answer, Answers, Level, Op, Refusal, Request};
use super::rounds::Rounds;
use crate::group::groups::Place;
use crate::group::{NotTaken, Order};
use crate::key::Partition;
use crate::log::{BatchBuilder, Entry, EntryType, HardState, LogWriteId, Record, RecordKind};
use crate::manifest::ConfState;
use bytes::Bytes;

/// What a shard knows of its groups with replicas, beside the groups.
#[derive(Debug, Default)]
pub(super) struct Replicated {
    /// Whose appended numbers are in the forming log write, in the one in flight, and persisted.
    forming: Vec<(Place, u64)>,
    writing: Vec<(Place, u64)>,
    persisted: Vec<(Place, u64)>,
    /// A log write failed: nobody knows what the log has.
    is_lost: bool,
    pub rounds: Rounds,
    /// Answers that wait until their group's time is in its log.
    pub ticks: Vec<PendingAnswer>,
}

impl Replicated {
    /// Whether the forming log write has something of these groups.
    pub fn is_to_be_written(&self) -> bool {
        !self.forming.is_empty()
    }

    /// Whether something is to be proposed or written.
    pub fn has_more(&self) -> bool {
        self.is_to_be_written() || !self.ticks.is_empty()
    }

    /// The forming log write begins.
    pub fn begin_write(&mut self) {
        debug_assert!(self.writing.is_empty(), "one log write is in flight");
        std::mem::swap(&mut self.forming, &mut self.writing);
    }
}

/// What storage says of the log of a group with replicas.
#[derive(Clone, Debug, Default)]
pub struct GroupLog {
    /// Who the replicas are.
    pub conf: ConfState,
    /// Its newest term, and what it had written down in it.
    pub term: u64,
    /// The vote and what was committed.
    pub hard: HardState,
    /// Index and term of the entry that is applied last; zeroes: none is.
    pub applied: (u64, u64),
    /// Index and term of the entry before the first of `entries`.
    pub before: (u64, u64),
    /// The entries that are there, one behind the other: some that are applied, and all behind these.
    pub entries: Vec<Entry>,
}

impl Shard {
    /// The groups that have replicas.
    pub fn replicated(&self) -> Vec<(Place, Partition)> {
        let groups = self.groups.iter().enumerate();
        groups
            .filter(|(_, group)| group.order() != Order::Solo)
            .map(|(place, group)| (place, group.id))
            .collect()
    }

    /// What storage says of a group with replicas, for consensus to go on from: once after an opening.
    pub fn group_log(&mut self, place: Place) -> GroupLog {
        let recent = self.held.take_recent(place);
        let group = &self.groups[place];
        let applied = match group.applied_index() {
            0 => (0, 0),
            index => (index, group.applied_term()),
        };
        let (term, hard) = self.held.hard_state(place).unwrap_or_default();
        let mut recent = recent.up_to(applied).into_iter().peekable();
        // Of the first one that is there only its term counts, unless nothing is before it.
        let before = match recent.next_if(|first| first.index > 1) {
            Some(first) => (first.index, first.term),
            None if recent.peek().is_some() => (0, 0),
            None => applied,
        };
        let waiting = group.queue().into_iter().flat_map(|queue| queue.entries()).cloned();
        GroupLog {
            conf: group.conf().cloned().unwrap_or_default(),
            term,
            hard,
            applied,
            before,
            entries: recent.chain(waiting).collect(),
        }
    }

    /// Whether the groups with replicas may take part: what the log has of them is known.
    pub fn knows_its_log(&self) -> bool {
        !self.replicated.is_lost
    }

    /// Whether the log takes anything now. One that was opened without room takes it when there is.
    pub fn takes_entries(&self) -> bool {
        !self.log.is_failed()
    }

    /// Whether a group has room for more entries that others send, where entries up to this index are known to be committed. What isn't
    /// committed is what its leader has room for, and without more entries may never be; so it has where nothing else waits.
    pub fn has_room_for_entries(&self, place: Place, committed: u64) -> bool {
        committed <= self.groups[place].applied_index()
            || !self.held.is_full(&self.groups[place], 0, &self.budgets)
    }

    /// Who orders a group, and up to which index it is applied.
    pub fn progress(&self, place: Place) -> (Order, u64) {
        (self.groups[place].order(), self.groups[place].applied_index())
    }

    /// A group is led here from now on, in this term.
    pub fn lead(&mut self, place: Place, term: u64) {
        self.go_on_from_logged_time(place);
        if self.time_us(place) == 0 {
            // Nobody has ever said what time it is there.
            self.hear_time(place, self.clock.us());
        }
        self.groups[place].lead(term);
    }

    /// A group is led elsewhere, or nowhere, from now on. What was taken in and not proposed isn't done, and nobody is told any more
    /// what only a leader knows. What is in the log goes on waiting.
    pub fn follow(&mut self, place: Place, term: u64, out: &mut impl Answers) {
        self.go_on_from_logged_time(place);
        self.groups[place].follow(term);
        for taken in self.forming.take_out(|_| 0, |other| other == place) {
            refuse_all(taken.answers, Refusal::NotLeader, out);
        }
        let ticks = self.replicated.ticks.extract_if(.., |answer| answer.place == place);
        refuse_all(ticks.collect(), Refusal::NotLeader, out);
        refuse_all(self.replicated.rounds.take_all(place), Refusal::NotLeader, out);
    }

    /// Proposes what was taken in for the groups that are led here: `propose` says at which term and index an entry has its place, or
    /// why it has none. Nothing of such a one is done.
    pub fn propose(
        &mut self,
        out: &mut impl Answers,
        mut propose: impl FnMut(Place, EntryType, &Bytes) -> Result<(u64, u64), Refusal<'static>>,
    ) -> Result<(), NotTaken> {
        if self.forming.is_empty() && self.replicated.ticks.is_empty() {
            return Ok(());
        }
        let (groups, now_us) = (&self.groups, self.clock.us());
        let time_us = |place: Place| groups[place].time_us(now_us);
        let taken = self.forming.take_out(time_us, |place| groups[place].order() != Order::Solo);
        let mut taken: Vec<_> = taken.into_iter().map(|taken| (EntryType::Normal, taken)).collect();
        for answer in self.replicated.ticks.drain(..) {
            let place = answer.place;
            match taken.iter_mut().find(|(_, taken)| taken.place == place) {
                Some((_, taken)) => taken.answers.push(answer),
                None => {
                    let payload = BatchBuilder::new(time_us(place)).take().into();
                    taken.push((EntryType::Tick, TakenOut { place, payload, answers: vec![answer] }));
                }
            }
        }
        for (kind, TakenOut { place, payload, answers }) in taken {
            match propose(place, kind, &payload) {
                Ok((term, index)) => {
                    self.take_place(place, Entry { term, index, entry: kind, origin: 0, payload }, out)?;
                    answers.into_iter().for_each(|answer| self.wait_for_entry(answer, index, out));
                }
                Err(refusal) => {
                    refuse_all(answers, refusal, out);
                    let appended = self.groups[place].appended_index();
                    self.replicated.rounds.wait_no_further(place, appended);
                }
            }
        }
        Ok(())
    }

    /// Adds what a group's replica wants written to the forming log write, under a number of its own. Entries take the places that they
    /// name: what was at or behind the first of them is deleted. [`NotTaken`] says why that can't be.
    pub fn append(
        &mut self,
        place: Place,
        entries: &[Entry],
        hard: Option<(u64, HardState)>,
        number: u64,
        out: &mut impl Answers,
    ) -> Result<(), NotTaken> {
        debug_assert!(self.takes_entries(), "a log that takes nothing would say later that it has it");
        let id = self.groups[place].id;
        for entry in entries {
            if !self.groups[place].has(entry.term, entry.index) {
                self.take_place(place, entry.clone(), out)?;
            }
            self.log.append(entry.record(id));
        }
        if let Some((term, hard)) = hard {
            let payload = hard.to_bytes();
            self.log.append(Record { kind: RecordKind::HardState, ..Record::writes(id, term, 0, &payload) });
            self.held.take_hard_state(place, (term, hard), self.log.forming_write(), self.logged_end);
        }
        self.replicated.forming.push((place, number));
        Ok(())
    }

    /// An entry takes its place in a group, and waits there.
    fn take_place(&mut self, place: Place, entry: Entry, out: &mut impl Answers) -> Result<(), NotTaken> {
        self.accept(place, (entry.term, entry.index), out)?;
        if let Some(time_us) = entry.time_us() {
            self.groups[place].hear_time(time_us, self.clock.us());
        }
        self.held.hold(&mut self.groups[place], place, entry, self.logged_end);
        Ok(())
    }

    /// Has an answer wait until an entry is applied.
    pub(super) fn wait_for_entry(&mut self, answer: PendingAnswer, index: u64, out: &mut impl Answers) {
        let (place, deadline_us) = (answer.place, answer.deadline_us);
        let waits = match self.groups[place].queue_mut() {
            Some(queue) => {
                let bytes = answer.bytes();
                queue.wait_for(index, answer, bytes)
            }
            None => Err(answer),
        };
        match waits {
            Ok(()) => self.held.due.note(deadline_us),
            Err(answer) => self.answer_pending(answer, out),
        }
    }

    /// What was appended and is durable now: groups, and the numbers of what they had written.
    pub fn take_persisted(&mut self) -> std::vec::Drain<'_, (Place, u64)> {
        self.replicated.persisted.drain(..)
    }

    /// The log write is done.
    pub(super) fn replicated_written(&mut self, id: LogWriteId) {
        let Replicated { writing, persisted, .. } = &mut self.replicated;
        if !writing.is_empty() {
            persisted.append(writing);
            self.held.hard_states_written(id);
        }
    }

    /// A log write failed: who waits for one of these groups is told that nobody knows, or that nothing was done.
    pub(super) fn replicated_failed(&mut self, out: &mut impl Answers) {
        let replicated = self.replicated();
        if replicated.is_empty() {
            return;
        }
        let Replicated { rounds, ticks, .. } = std::mem::take(&mut self.replicated);
        self.replicated = Replicated { rounds, ticks, is_lost: true, ..Replicated::default() };
        self.held.keep_hard_states();
        for (place, _) in replicated {
            let term = self.groups[place].order().term();
            self.follow(place, term, out);
            let Some(queue) = self.groups[place].queue_mut() else { continue };
            queue.take_waiting(|waiting| {
                let bytes = waiting.iter().map(PendingAnswer::bytes).sum();
                waiting.drain(..).for_each(|answer| Shard::answer_overtaken(&answer, out));
                bytes
            });
        }
    }

    /// Entries of a group up to this index may be applied: they are committed, and persisted here.
    pub fn apply_up_to(&mut self, place: Place, index: u64, out: &mut impl Answers) {
        let group = &mut self.groups[place];
        if index > group.applicable() {
            group.may_apply(index);
            self.apply_held(place, out);
        }
    }

    /// Takes a request to a group with replicas. Only who leads it writes, and says what is true when the answer comes; anybody says what
    /// is applied.
    #[inline(never)]
    pub(super) fn request_replicated(
        &mut self,
        target: Target,
        request: &Request<'_>,
        out: &mut impl Answers,
    ) {
        let is_led_here = matches!(self.groups[target.place].order(), Order::Led { .. });
        // What a client has seen isn't in its requests yet: it gets what is true.
        let is_strong = request.level != Level::Eventual;
        match &request.op {
            op if op.is_write() && is_led_here || matches!(op, Op::GoOn { .. }) => {
                self.take_in(target, request, out);
            }
            op if op.is_write() || is_strong && !is_led_here => {
                self.refuse(target, Refusal::NotLeader, out);
            }
            op if is_strong => self.read_after_round(target, op, out),
            op => {
                let answer = self.read_later(target, op, false);
                self.answer_pending(answer, out);
            }
        }
    }
}

/// Tells all that nothing was done.
fn refuse_all(answers: Vec<PendingAnswer>, refusal: Refusal<'static>, out: &mut impl Answers) {
    answers.into_iter().for_each(|answer| out.answer(answer.ticket, Answer::Refused(refusal)));
}
