//! Reads of groups that are led here, from when they come until their [round](super::rounds) is confirmed.

use super::Shard;
use super::flow::{Since, Target};
use super::pending::PendingAnswer;
use super::request::{Answers, Op, Refusal};
use super::rounds::Read;
use crate::group::groups::Place;

impl Shard {
    /// Has a read of a group that is led here wait for a round.
    pub(super) fn read_after_round(&mut self, target: Target, op: &Op<'_>, out: &mut impl Answers) {
        let is_full = self.replicated.rounds.is_full(target.place, self.budgets.held());
        if is_full || self.has_no_room_to_wait(Since::Held, target.place) {
            self.refuse(target, Refusal::Busy, out);
            return;
        }
        let answer = self.read_later(target, op, true);
        let behind = self.pending_up_to(target.place);
        self.held.due.note(answer.deadline_us);
        self.replicated.rounds.push(answer, behind);
    }

    /// Has a verdict wait for a round, and for all that is in the group's queue if it was found there.
    pub(super) fn answer_after_round(&mut self, answer: PendingAnswer, is_held: bool) {
        let behind = if is_held { self.groups[answer.place].appended_index() } else { 0 };
        self.held.due.note(answer.deadline_us);
        self.replicated.rounds.push(answer, behind);
    }

    /// The index of the newest write of a group that is pending, which it will have if it was only taken in.
    fn pending_up_to(&self, place: Place) -> u64 {
        let is_taken_in = self.forming.places().contains(&place);
        self.groups[place].appended_index() + u64::from(is_taken_in)
    }

    /// The groups of which reads wait that belong to no round yet.
    pub fn rounds_wanted(&self) -> Vec<Place> {
        self.replicated.rounds.wanted()
    }

    /// A round begins for the reads of a group that wait: rounds are numbered in their order.
    pub fn round_begun(&mut self, place: Place, round: u64) {
        self.replicated.rounds.begin(place, round);
    }

    /// A round is confirmed, and all before it: whoever waited for them may be answered when all up to this index is applied.
    pub fn round_confirmed(&mut self, place: Place, round: u64, index: u64, out: &mut impl Answers) {
        let applied = self.groups[place].applied_index();
        for Read { answer, behind } in self.replicated.rounds.take_confirmed(place, round) {
            match index.max(behind) {
                needed if needed > applied => self.wait_for_entry(answer, needed, out),
                _ => self.answer_pending(answer, out),
            }
        }
    }
}
