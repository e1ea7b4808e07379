//! Reads that whoever asked has no room for: they are put aside ([`super::kept`]), and go on when they are told to.

use super::Shard;
use super::flow::{Flow, Stopped, Target};
use super::kept::Kept;
use super::owned::OwnedOp;
use super::parked::{OwnedRequest, Work};
use super::request::{Answer, Answers, Op, Refusal};
use super::view::Reader;

/// What a read is told that was kept for too long. Nobody else asks for one that isn't there.
const TOO_OLD: &str = "its client hasn't taken what was read before for ten minutes, and what there was then isn't kept for \
                       longer; ask again, and read the replies as they come";

impl Shard {
    /// Puts the rest of a read aside that may wait: until its blocks are there, or until it is told to go on.
    pub(super) fn put_aside(
        &mut self,
        target: Target,
        mut op: OwnedOp,
        stopped: Stopped,
        out: &mut impl Answers,
    ) {
        let Stopped { from, at, cold, bytes } = stopped;
        op.skip(from);
        if !cold.is_empty() {
            let waiting =
                self.parked.insert(OwnedRequest { target, once: None, work: Work::Op(op) }, at, Vec::new());
            return self.wait_for_blocks(waiting, &cold, out);
        }
        let read = self.kept.insert(Kept { target, op, at });
        let partition = self.groups[target.place].id;
        out.answer(target.ticket, Answer::Waits { read, partition, bytes });
    }

    /// Goes on with a kept read; its answers are for the ticket of whoever asks now, and its deadline is theirs.
    #[inline(never)]
    pub(super) fn go_on(&mut self, asked: Target, read: u64, out: &mut impl Answers) {
        let Target { ticket, deadline_us, .. } = asked;
        let Some(Kept { target, op, at }) = self.kept.remove(read) else {
            return out.answer(ticket, Answer::Refused(Refusal::NoRoom(TOO_OLD)));
        };
        let target = Target { ticket, deadline_us, ..target };
        match op.with(|op| self.dispatch(&target, &op, None, Reader::At(at), out)) {
            Flow::Done => {}
            Flow::Cold(cold) => {
                self.put_aside(target, op, Stopped { from: 0, at, cold, bytes: 0 }, out);
            }
            Flow::Ticks => op.with(|op| self.read_after_tick(target, &op, at, out)),
            Flow::Stopped(stopped) => self.put_aside(target, op, *stopped, out),
        }
    }

    /// Forgets a read that [`Answer::Waits`], if it is there.
    pub fn forget(&mut self, read: u64) {
        self.kept.remove(read);
    }

    /// Takes a read that stopped on its way and hasn't waited yet. Where too many wait it is refused, behind what it has
    /// answered; one that has waited goes on, for it takes no more than it did.
    #[inline(never)]
    pub(super) fn stop(&mut self, target: Target, op: &Op<'_>, stopped: Stopped, out: &mut impl Answers) {
        if self.has_too_many_parked() {
            self.counters.refused += 1;
            return out.answer(target.ticket, Answer::Refused(Refusal::Busy));
        }
        self.put_aside(target, OwnedOp::new(op), stopped, out);
    }
}
