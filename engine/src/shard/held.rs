//! Entries that are in the log and not committed: they wait in their group, and their answers with them.
//!
//! A group that orders itself has none: there an entry is committed when it is in the log. What such entries take is charged to their
//! group: when it has no room left, writes to it are refused, and to no other. The log keeps what it needs of them.

use super::copies::Copying;
use super::options::Budgets;
use super::pending::PendingAnswer;
use crate::due::Due;
use crate::group::Group;
use crate::group::groups::Place;
use crate::group::queue::Entry;
use crate::group::tail::Tail;
use crate::log::{BatchOp, EntryType, HardState, LogPosition};
use std::collections::{BTreeMap, VecDeque};

/// The groups whose entries wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// For each entry its index, and where the log write began that carried it.
    pub(super) groups: BTreeMap<Place, VecDeque<(u64, LogPosition)>>,
    /// The newest hard states of groups with replicas, each with its term, and where it lies.
    pub(super) hard: BTreeMap<Place, (u64, HardState, LogPosition)>,
    /// Only what is held is needed of the log before this.
    pub(super) flushed_to: LogPosition,
    /// What is on its way to the head of the log.
    pub(super) copying: Option<Copying>,
    /// Bytes of all of them.
    bytes: usize,
    /// Of those who wait.
    pub due: Due,
}

impl Held {
    /// Has an entry wait in its group.
    pub fn hold(
        &mut self,
        group: &mut Group<PendingAnswer>,
        place: Place,
        (term, index): (u64, u64),
        payload: &[u8],
        began: LogPosition,
    ) {
        self.groups.entry(place).or_default().push_back((index, began));
        self.bytes += payload.len();
        group.hold(Entry {
            term,
            index,
            entry: EntryType::Normal,
            payload: payload.into(),
            waiting: Vec::new(),
        });
    }

    /// What the log was found to hold of a group.
    pub fn restore(&mut self, group: &Group<PendingAnswer>, place: Place, tail: Tail) {
        self.bytes += group.queue().map_or(0, |queue| queue.bytes());
        if !tail.held.is_empty() {
            self.groups.insert(place, tail.held);
        }
        self.hard.extend(tail.hard.map(|hard| (place, hard)));
    }

    /// Entries of a group up to this one wait no longer; nor does the log keep anything for them.
    pub fn let_go(&mut self, place: Place, index: u64, bytes: usize) {
        self.bytes -= bytes;
        if let Some(entries) = self.groups.get_mut(&place) {
            while entries.front().is_some_and(|&(first, _)| first <= index) {
                entries.pop_front();
            }
            if entries.is_empty() {
                self.groups.remove(&place);
            }
        }
    }

    /// Their places.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.groups.keys().copied()
    }

    /// From where on the log is needed, if it ends there.
    pub fn needed_from(&self, end: LogPosition) -> LogPosition {
        self.positions().fold(end, LogPosition::min)
    }

    /// Where in the log everything lies that it must keep.
    fn positions(&self) -> impl Iterator<Item = LogPosition> {
        let entries = self.groups.values().flatten().map(|&(_, at)| at);
        entries.chain(self.hard.values().map(|&(.., at)| at))
    }

    /// Bytes of the entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the log must keep nothing.
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.hard.is_empty()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The newest operation on a stored key that waits in a group.
    #[inline]
    pub fn newest<'a>(&self, group: &'a Group<PendingAnswer>, key: &[u8], hash: u64) -> Option<BatchOp<'a>> {
        if self.is_empty() {
            return None;
        }
        group.queue()?.newest(key, hash)
    }

    /// Whether a group has no room for so many bytes more. One of which nothing waits always has.
    pub fn is_full(&self, group: &Group<PendingAnswer>, bytes: usize, budgets: &Budgets) -> bool {
        !self.is_empty()
            && group.queue().is_some_and(|queue| {
                let answers = queue.waiting() * size_of::<PendingAnswer>();
                queue.bytes() + answers + bytes > budgets.held() / 4 || self.bytes + bytes > budgets.held()
            })
    }
}
