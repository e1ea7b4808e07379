//! Reads of groups that are led here: they wait until the other replicas have said, after the read came, that this one still leads.
//!
//! A read that waits belongs to the next *round* that begins. When a round is confirmed at an index, everything that was done before its
//! reads came is applied up to there: they are answered once that is so here, and once what they follow in the order of their
//! requests is applied too. A verdict that changed nothing is such a read.

use super::pending::PendingAnswer;
use super::request::{Answers, NO_DEADLINE};
use crate::group::groups::Place;
use std::collections::BTreeMap;

/// The reads of a group that wait.
#[derive(Debug, Default)]
struct Waiting {
    /// Of no round yet.
    next: Vec<Read>,
    /// Of rounds that have begun, in their order.
    begun: Vec<(u64, Vec<Read>)>,
    bytes: usize,
}

/// A read that waits.
#[derive(Debug)]
pub(super) struct Read {
    pub answer: PendingAnswer,
    /// Entries up to this one must be applied.
    pub behind: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    groups: BTreeMap<Place, Waiting>,
    bytes: usize,
}

impl Rounds {
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, answer: PendingAnswer, behind: u64) {
        self.bytes += answer.bytes();
        let waiting = self.groups.entry(answer.place).or_default();
        waiting.bytes += answer.bytes();
        waiting.next.push(Read { answer, behind });
    }

    /// Ends the reads whose deadline has passed; how many, and when the next does.
    pub fn end_overdue(&mut self, now_us: u64, out: &mut impl Answers) -> (u64, u64) {
        let (mut ended, mut next_us) = (0, NO_DEADLINE);
        for Waiting { next, begun, bytes } in self.groups.values_mut() {
            for reads in begun.iter_mut().map(|(_, reads)| reads).chain([next]) {
                for read in reads.extract_if(.., |read| read.answer.deadline_us < now_us) {
                    ended += 1;
                    *bytes -= read.answer.bytes();
                    self.bytes -= read.answer.bytes();
                    read.answer.end_overdue(out);
                }
                let deadlines = reads.iter().map(|read| read.answer.deadline_us);
                next_us = deadlines.min().unwrap_or(NO_DEADLINE).min(next_us);
            }
        }
        (ended, next_us)
    }

    /// Those who wait.
    pub fn answers(&self) -> impl Iterator<Item = &PendingAnswer> {
        let reads = self
            .groups
            .values()
            .flat_map(|waiting| waiting.begun.iter().flat_map(|(_, reads)| reads).chain(&waiting.next));
        reads.map(|read| &read.answer)
    }

    /// Whether nobody more may wait for a group, where all groups together have so much memory: each may take a part of it.
    pub fn is_full(&self, place: Place, bytes_max: usize) -> bool {
        let own = self.groups.get(&place).map_or(0, |waiting| waiting.bytes);
        own > bytes_max / 4 || self.bytes > bytes_max
    }

    /// The entry behind this one has no place: nobody waits for it.
    pub fn wait_no_further(&mut self, place: Place, index: u64) {
        let reads = self.groups.get_mut(&place).into_iter().flat_map(Waiting::reads_mut);
        reads.for_each(|read| read.behind = read.behind.min(index));
    }

    /// Takes out all who wait for a group.
    pub fn take_all(&mut self, place: Place) -> Vec<PendingAnswer> {
        let waiting = self.groups.remove(&place).unwrap_or_default();
        let begun = waiting.begun.into_iter().flat_map(|(_, reads)| reads);
        let all: Vec<_> = begun.chain(waiting.next).map(|read| read.answer).collect();
        self.bytes -= all.iter().map(PendingAnswer::bytes).sum::<usize>();
        all
    }

    /// The groups of which reads wait that belong to no round yet.
    pub fn wanted(&self) -> Vec<Place> {
        self.groups.iter().filter(|(_, waiting)| !waiting.next.is_empty()).map(|(&place, _)| place).collect()
    }

    /// A round begins for those who wait for a group.
    pub fn begin(&mut self, place: Place, round: u64) {
        if let Some(waiting) = self.groups.get_mut(&place) {
            let reads = std::mem::take(&mut waiting.next);
            waiting.begun.push((round, reads));
        }
    }

    /// Takes out those who waited for a round or one before it.
    pub fn take_confirmed(&mut self, place: Place, round: u64) -> Vec<Read> {
        let Some(waiting) = self.groups.get_mut(&place) else { return Vec::new() };
        let confirmed = waiting.begun.extract_if(.., |(begun, _)| *begun <= round);
        let reads: Vec<_> = confirmed.flat_map(|(_, reads)| reads).collect();
        let bytes: usize = reads.iter().map(|read| read.answer.bytes()).sum();
        self.bytes -= bytes;
        waiting.bytes -= bytes;
        if waiting.next.is_empty() && waiting.begun.is_empty() {
            self.groups.remove(&place);
        }
        reads
    }
}

impl Waiting {
    fn reads_mut(&mut self) -> impl Iterator<Item = &mut Read> {
        self.begun.iter_mut().flat_map(|(_, reads)| reads).chain(&mut self.next)
    }
}
