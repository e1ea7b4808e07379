//! What waits in its group is applied when it is committed, and who waits for it answered then, or ended in time.

use super::Shard;
use super::flow::{Since, Target};
use super::parked::{OwnedRequest, Work};
use super::pending::{AnswerKind, PendingAnswer, end_overdue};
use super::request::{Answer, Answers, NO_DEADLINE, Refusal, Ticket, Unsure};
use crate::group::NotTaken;
use crate::group::apply::LookUps;
use crate::group::groups::Place;
use crate::group::queue::Queued;
use crate::key::Keyspace;
use crate::log::LogPosition;
use crate::table::BlockRef;

/// What becomes of a write in a place that another leader gave to another.
const OVERTAKEN: &str = "another replica leads its partition now, and has put another entry in its place";

/// A block that couldn't be read is asked for again after so long, microseconds.
const APPLY_AGAIN_US: u64 = 1_000_000;

/// Memtables that are full are looked at again after so long, microseconds.
const ROOM_AGAIN_US: u64 = 1_000;

/// A turn that has copied so much applies no more entries that waited.
const APPLIED_BYTES_MAX: usize = 2 << 20;

/// Deadlines of those who wait are looked at so often at most, microseconds.
const LOOK_US: u64 = 1_000;

impl Shard {
    /// Everything that the log has before this is applied.
    pub(super) fn applied_end(&self) -> LogPosition {
        self.held.needed_from(self.logged_end)
    }

    /// Has an answer wait for what its group holds, or for the log write that carries it.
    pub(super) fn answer_later(&mut self, since: Since, answer: PendingAnswer) {
        match since {
            Since::Forming => self.forming.push_answer(answer),
            Since::Writing => self.writing.push_answer(answer),
            Since::Ticked => {
                self.held.due.note(answer.deadline_us);
                self.replicated.ticks.push(answer);
            }
            Since::Held | Since::Applied => {
                debug_assert!(self.groups[answer.place].queue().is_some(), "it waits for something");
                self.held.due.note(answer.deadline_us);
                if let Some(queue) = self.groups[answer.place].queue_mut() {
                    let bytes = answer.bytes();
                    queue.wait(answer, bytes);
                }
            }
        }
    }

    /// Another replica's entry has the place of the one that this answer waited for.
    #[cold]
    pub(super) fn answer_overtaken(answer: &PendingAnswer, out: &mut impl Answers) {
        match answer.kind() {
            AnswerKind::Write => out.answer(answer.ticket, Answer::Unknown(Unsure::LogFailed(OVERTAKEN))),
            AnswerKind::Verdict | AnswerKind::Read => {
                out.answer(answer.ticket, Answer::Refused(Refusal::NotLeader));
            }
        }
    }

    /// A place in a group's order goes to an entry of another leader, and none behind it is kept: who waited for what was there is
    /// told so. [`NotTaken`] says why it may not.
    pub(super) fn accept(
        &mut self,
        place: Place,
        (term, index): (u64, u64),
        out: &mut impl Answers,
    ) -> Result<(), NotTaken> {
        let cut = self.groups[place].accept(term, index)?;
        if !cut.is_empty() {
            self.held.cut_behind(place, index - 1, cut.iter().map(|queued| queued.entry.payload.len()).sum());
            let waiting = cut.into_iter().flat_map(|queued| queued.waiting);
            waiting.for_each(|answer| Shard::answer_overtaken(&answer, out));
        }
        Ok(())
    }

    /// More of a group is committed: applies what may be applied, and lets those go who waited for it. An entry that takes a block
    /// which isn't in memory waits for that, and those of its group behind it; no other group does.
    pub fn apply_held(&mut self, place: Place, out: &mut impl Answers) {
        if !self.held.applying.contains_key(&place) {
            self.go_on_applying(place, LookUps::new(), out);
        }
    }

    /// Applies what may be applied of a group, of whose next entry this is known. Much of it takes several turns.
    pub(super) fn go_on_applying(&mut self, place: Place, mut known: LookUps, out: &mut impl Answers) {
        while self.groups[place].has_applicable() {
            // Nobody asks before a leader's entries come: they wait here for room in memory, and the leader for them.
            if self.sources.memtable_bytes() > self.budgets.memtables {
                return self.apply_later(place, known, self.mono_us + ROOM_AGAIN_US);
            }
            let Some(queued) = self.groups[place].take_applicable() else { return };
            if let Some(blocks) = self.apply_entry(place, queued.applicable(), &mut known) {
                self.groups[place].put_back(queued);
                return self.wait_to_apply(place, known, &blocks, out);
            }
            known.clear();
            let Queued { entry, waiting, .. } = queued;
            self.held.let_go(place, entry.index, entry.payload.len());
            waiting.into_iter().for_each(|answer| self.answer_pending(answer, out));
            self.freeze_if_full();
            if self.copied_bytes >= APPLIED_BYTES_MAX && self.groups[place].has_applicable() {
                return self.apply_later(place, known, self.mono_us);
            }
        }
    }

    /// Has a group go on with applying when these blocks are there.
    fn wait_to_apply(&mut self, place: Place, known: LookUps, blocks: &[BlockRef], out: &mut impl Answers) {
        if blocks.is_empty() {
            return self.apply_later(place, known, self.mono_us + APPLY_AGAIN_US);
        }
        self.held.applying.insert(place, known);
        let prefix = self.groups[place].prefix(Keyspace(0));
        let target = Target { ticket: Ticket::default(), deadline_us: NO_DEADLINE, place, prefix };
        let request = OwnedRequest { target, once: None, work: Work::Apply };
        let waiting = self.parked.insert(request, self.moment(place), Vec::new());
        self.wait_for_blocks(waiting, blocks, out);
    }

    /// The blocks are there that a group waited for.
    pub(super) fn blocks_to_apply_are_there(&mut self, place: Place, out: &mut impl Answers) {
        let known = self.held.applying.remove(&place).unwrap_or_default();
        self.go_on_applying(place, known, out);
    }

    /// A block couldn't be read that a group waits for. It is asked for again: without it the group comes no further.
    pub(super) fn block_to_apply_is_missing(&mut self, place: Place) {
        let known = self.held.applying.remove(&place).unwrap_or_default();
        self.apply_later(place, known, self.mono_us + APPLY_AGAIN_US);
    }

    fn apply_later(&mut self, place: Place, known: LookUps, at_us: u64) {
        self.held.applying.insert(place, known);
        self.held.apply_at.insert(place, at_us);
    }

    /// Has those groups go on of which more may be applied by now.
    pub(super) fn apply_due(&mut self, out: &mut impl Answers) {
        while let Some((&place, _)) = self.held.apply_at.iter().find(|(_, at_us)| **at_us <= self.mono_us) {
            self.held.apply_at.remove(&place);
            self.blocks_to_apply_are_there(place, out);
            if self.copied_bytes >= APPLIED_BYTES_MAX {
                break;
            }
        }
    }

    /// Ends the requests whose deadline has passed, of those who wait for an entry or for a round; how many.
    pub(super) fn end_overdue_held(&mut self, now_us: u64, out: &mut impl Answers) -> u64 {
        if !self.held.due.is_over(now_us) {
            return 0;
        }
        let (mut ended, mut next_us) = self.replicated.rounds.end_overdue(now_us, out);
        next_us = next_us.min(end_overdue(&mut self.replicated.ticks, now_us, out, |_| ended += 1));
        for place in self.held.places() {
            let Some(queue) = self.groups[place].queue_mut() else { continue };
            queue.take_waiting(|waiting| {
                let mut bytes = 0;
                let next = end_overdue(waiting, now_us, out, |answer| {
                    ended += 1;
                    bytes += answer.bytes();
                });
                next_us = next_us.min(next);
                bytes
            });
        }
        self.held.due.looked(next_us, now_us, LOOK_US);
        ended
    }
}
