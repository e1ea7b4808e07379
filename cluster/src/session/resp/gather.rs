//! What is remembered of a command on many keys ([`super::many`]) until all its parts are answered.

use crate::session::groups::Groups;
use pinion_net::resp::Sequence;
use std::ops::Range;

/// What is remembered of each key until it is answered: its place, and at most its part.
pub const BYTES_PER_KEY: usize = 3 * size_of::<u32>();

/// What is remembered of a command on many keys.
#[derive(Debug)]
pub struct Many {
    /// Places of the keys in the command, sorted by partition.
    pub(super) order: Vec<u32>,
    /// Where each part begins in `order`, and the end of the last.
    pub(super) starts: Vec<u32>,
    /// For each part how many of its keys are answered.
    pub(super) answered: Vec<u32>,
    pub(super) sum: Sum,
    /// Answers that are missing.
    pub(super) missing: usize,
    /// The sum so far.
    pub(super) total: i64,
    pub(super) error: Option<String>,
    /// Some of it is done, or may be.
    pub(super) may_be_done: bool,
    /// Where this run of a long command begins in the whole.
    pub(super) base: usize,
    /// Nothing of the command comes behind this.
    pub(super) is_last: bool,
}

/// What a command on many keys answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// An array of values.
    Values,
    /// How many are there.
    There,
    /// How many were there.
    Existed,
    /// OK when all is done.
    AllDone,
}

impl Sum {
    pub(super) fn is_by_key(self) -> bool {
        matches!(self, Sum::Values | Sum::There)
    }
}

impl Many {
    pub fn new(groups: &Groups, sum: Sum, run: Run) -> Many {
        let (keys, parts) = (groups.order.len(), groups.parts.len());
        let missing = if sum.is_by_key() { keys } else { parts };
        let (order, starts, answered) = (groups.order.clone(), groups.starts(), vec![0; parts]);
        let Run { base, is_last, total, .. } = run;
        let may_be_done = false;
        Many { order, starts, answered, sum, missing, total, may_be_done, error: None, base, is_last }
    }

    /// Places of those keys of a part that aren't answered.
    pub(super) fn rest(&self, part: usize) -> Range<usize> {
        (self.starts[part] + self.answered[part]) as usize..self.starts[part + 1] as usize
    }

    /// The place in the reply of the next item of a part.
    pub(super) fn next_place(&self, part: usize) -> Option<usize> {
        self.rest(part).next().map(|index| self.base + self.order[index] as usize)
    }

    /// Whether all of this run is answered.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// How far the sum has come, and the first error.
    pub fn outcome(&self) -> (i64, Option<&str>) {
        (self.total, self.error.as_deref())
    }
}

/// A run of a long command, or a whole one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// The command whose reply has begun.
    pub of: Option<Sequence>,
    /// Where it begins in the whole.
    pub base: usize,
    /// Nothing comes behind it.
    pub is_last: bool,
    /// The sum of those before it.
    pub total: i64,
}

impl Run {
    /// All of a command.
    pub const WHOLE: Run = Run { of: None, base: 0, is_last: true, total: 0 };
}
