//! Entries that are in the log and not committed: they wait in their group, and their answers with them.
//!
//! A group that orders itself has none: there an entry is committed when it is in the log. What such entries take is charged to their
//! group: when it has no room left, writes to it are refused, and to no other. The log keeps what it needs of them.

use super::options::Budgets;
use super::pending::PendingAnswer;
use crate::due::Due;
use crate::group::Group;
use crate::group::groups::Place;
use crate::group::queue::Entry;
use crate::log::{BatchOp, LogPosition};
use std::collections::{BTreeMap, VecDeque};

/// The groups whose entries wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// For each entry its index, and where the log write began that carried it.
    groups: BTreeMap<Place, VecDeque<(u64, LogPosition)>>,
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
        group.hold(Entry { term, index, payload: payload.into(), waiting: Vec::new() });
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
        let firsts = self.groups.values().filter_map(|entries| entries.front());
        firsts.map(|&(_, began)| began).fold(end, LogPosition::min)
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
