//! Requests that nobody waits for any more: every one of them ends at its deadline.
//!
//! What was only looked at, or waits for a block or its turn on a key, is refused: nothing of it was done. What joined a
//! log write is on its way to the log, or in it, and others may have been evaluated on top of it: whether it is applied is
//! unknown, and whatever comes of it, it isn't answered again. A read that is kept for want of room waits for its client, not
//! for the shard: that has a limit of its own ([`super::kept`]).

use super::Shard;
use super::request::{Answer, Answers, NO_DEADLINE, Refusal};

impl Shard {
    /// Does what the passing of time asks for: called in every turn, before what reacts to answers.
    pub fn advance(&mut self, out: &mut impl Answers) {
        if self.overdue_us() < self.mono_us {
            self.end_overdue(out);
        }
        self.resume_left_over(out);
        if !self.held.apply_at.is_empty() {
            self.apply_due(out);
        }
    }

    #[cold]
    fn end_overdue(&mut self, out: &mut impl Answers) {
        let now_us = self.mono_us;
        let mut ended = self.writing.end_overdue(now_us, out) + self.forming.end_overdue(now_us, out);
        ended += self.end_overdue_held(now_us, out);
        // All of them have ended before those behind them go on: none of these is done then.
        let mut over = Vec::new();
        while let Some((_, waiting)) = self.parked.first_deadline().filter(|(due_us, _)| *due_us < now_us)
            && let Some(parked) = self.parked.remove(waiting)
        {
            out.answer(parked.request.target.ticket, Answer::Refused(Refusal::TimedOut));
            over.push((waiting, parked));
        }
        ended += over.len() as u64;
        self.counters.timed_out += ended;
        over.into_iter().for_each(|(waiting, parked)| self.let_go(waiting, &parked, out));
    }

    /// When the next request is overdue, or [`NO_DEADLINE`].
    fn overdue_us(&self) -> u64 {
        let parked = self.parked.first_deadline().map_or(NO_DEADLINE, |(due_us, _)| due_us);
        parked.min(self.writing.due_us()).min(self.forming.due_us()).min(self.held.due.at_us())
    }

    /// When there will be requests to end.
    pub(super) fn end_due_us(&self) -> Option<u64> {
        let overdue_us = self.overdue_us();
        (overdue_us != NO_DEADLINE).then(|| overdue_us.saturating_add(1))
    }
}
