//! Entries that are in the log and not committed: they wait in their group, and their answers with them.
//!
//! A group that orders itself has none: there an entry is committed when it is in the log. What such entries take is charged to their
//! group: when it has no room left, writes to it are refused, and to no other. The log keeps what it needs of them.

use super::options::Budgets;
use super::pending::PendingAnswer;
use crate::due::Due;
use crate::group::Group;
use crate::group::apply::LookUps;
use crate::group::groups::Place;
use crate::group::queue::Queued;
use crate::group::recent::Recent;
use crate::group::tail::Tail;
use crate::log::{BatchOp, Entry, HardState, LogPosition, LogWriteId};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

/// Copies on their way to the log.
#[derive(Debug)]
pub(super) struct Copying {
    /// Where the log write begins that carries them.
    pub began: LogPosition,
    /// Where it ended, once it is written.
    pub ended: Option<LogPosition>,
    pub entries: Vec<(Place, u64)>,
    pub hard: Vec<(Place, u64)>,
}

/// A group's newest hard state.
#[derive(Debug)]
struct Hard {
    term: u64,
    state: HardState,
    /// Where it lies.
    at: LogPosition,
    /// Where older ones lie, each needed until the log write is durable that carries the next.
    before: VecDeque<(LogWriteId, LogPosition)>,
}

/// The groups whose entries wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// For each entry its index, and where the log write began that carried it.
    groups: BTreeMap<Place, VecDeque<(u64, LogPosition)>>,
    /// The newest hard states of groups with replicas.
    hard: BTreeMap<Place, Hard>,
    /// What the log was found to hold of them, until somebody asks.
    recent: BTreeMap<Place, Recent>,
    /// Only what is held is needed of the log before this.
    pub(super) flushed_to: LogPosition,
    /// What is on its way to the head of the log.
    pub(super) copying: Option<Copying>,
    /// The least of their positions, until something changes.
    oldest: Cell<Option<LogPosition>>,
    /// Bytes of all of them.
    bytes: usize,
    /// Of those who wait.
    pub due: Due,
    /// Groups whose next entry waits for blocks, or for its turn, with what is known of its keys.
    pub(super) applying: BTreeMap<Place, LookUps>,
    /// Groups of which more may be applied, and from when on that is tried.
    pub(super) apply_at: BTreeMap<Place, u64>,
}

impl Held {
    /// Has an entry wait in its group, whose log write begins there.
    pub fn hold(&mut self, group: &mut Group<PendingAnswer>, place: Place, entry: Entry, began: LogPosition) {
        self.groups.entry(place).or_default().push_back((entry.index, began));
        self.bytes += entry.payload.len();
        group.hold(Queued::new(entry));
    }

    /// What the log was found to hold of a group.
    pub fn restore(&mut self, group: &Group<PendingAnswer>, place: Place, tail: Tail) {
        self.bytes += group.queue().map_or(0, |queue| queue.bytes());
        if !tail.held.is_empty() {
            self.groups.insert(place, tail.held);
            self.apply_at.insert(place, 0);
        }
        let hard = tail.hard.map(|(term, state, at)| Hard { term, state, at, before: VecDeque::new() });
        self.hard.extend(hard.map(|hard| (place, hard)));
        self.recent.insert(place, tail.recent);
        self.oldest.set(None);
    }

    /// A group's newest hard state, with its term, is on its way to the log with this log write, which begins here. Those that are
    /// there are kept until it is.
    pub fn take_hard_state(
        &mut self,
        place: Place,
        (term, state): (u64, HardState),
        write: LogWriteId,
        at: LogPosition,
    ) {
        let before = self.hard.remove(&place).map_or_else(VecDeque::new, |known| {
            let mut before = known.before;
            before.push_back((write, known.at));
            before
        });
        self.hard.insert(place, Hard { term, state, at, before });
        self.oldest.set(None);
    }

    /// A log write failed: nobody knows which of the hard states the log has, so all are kept.
    pub fn keep_hard_states(&mut self) {
        let before = self.hard.values_mut().flat_map(|hard| &mut hard.before);
        before.for_each(|(write, _)| *write = LogWriteId(u64::MAX));
    }

    /// The log write is durable, and the hard states in it: those before them aren't needed.
    pub fn hard_states_written(&mut self, write: LogWriteId) {
        for hard in self.hard.values_mut() {
            while hard.before.front().is_some_and(|&(after, _)| after <= write) {
                hard.before.pop_front();
            }
        }
        self.oldest.set(None);
    }

    /// Takes out what the log was found to hold of a group.
    pub fn take_recent(&mut self, place: Place) -> Recent {
        self.recent.remove(&place).unwrap_or_default()
    }

    /// The newest hard state of a group, with its term.
    pub fn hard_state(&self, place: Place) -> Option<(u64, HardState)> {
        self.hard.get(&place).map(|hard| (hard.term, hard.state))
    }

    /// The newest hard states that lie before a segment, and are all that the log has of their groups.
    pub fn hard_before(&self, segment: u64) -> impl Iterator<Item = (Place, u64, HardState)> {
        let old =
            self.hard.iter().filter(move |(_, hard)| hard.at.segment < segment && hard.before.is_empty());
        old.map(|(&place, hard)| (place, hard.term, hard.state))
    }

    /// The entries that lie before a segment, group by group.
    pub fn entries_before(&self, segment: u64) -> impl Iterator<Item = (Place, u64)> {
        let all =
            self.groups.iter().flat_map(|(&place, entries)| entries.iter().map(move |entry| (place, entry)));
        all.filter(move |(_, (_, at))| at.segment < segment).map(|(place, &(index, _))| (place, index))
    }

    /// A durable copy of an entry lies here, or behind.
    pub fn entry_moved(&mut self, place: Place, index: u64, to: LogPosition) {
        let entries = self.groups.get_mut(&place);
        let entry = entries.and_then(|entries| {
            let first = entries.front()?.0;
            entries.get_mut(usize::try_from(index.checked_sub(first)?).ok()?)
        });
        if let Some((_, at)) = entry {
            *at = to.max(*at);
        }
        self.oldest.set(None);
    }

    /// A durable copy of the hard state of this term lies here, or behind.
    pub fn hard_moved(&mut self, place: Place, term: u64, to: LogPosition) {
        if let Some(hard) = self.hard.get_mut(&place).filter(|hard| hard.term == term) {
            hard.at = to.max(hard.at);
        }
        self.oldest.set(None);
    }

    /// Entries of a group up to this one wait no longer; nor does the log keep anything for them.
    pub fn let_go(&mut self, place: Place, index: u64, bytes: usize) {
        self.keep(place, bytes, |entry| entry > index);
    }

    /// Nor those behind this one: their places were given to others.
    pub fn cut_behind(&mut self, place: Place, index: u64, bytes: usize) {
        self.keep(place, bytes, |entry| entry <= index);
    }

    fn keep(&mut self, place: Place, bytes_gone: usize, is_kept: impl Fn(u64) -> bool) {
        self.bytes -= bytes_gone;
        self.oldest.set(None);
        if let Some(entries) = self.groups.get_mut(&place) {
            while entries.front().is_some_and(|&(first, _)| !is_kept(first)) {
                entries.pop_front();
            }
            while entries.back().is_some_and(|&(last, _)| !is_kept(last)) {
                entries.pop_back();
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
        if self.is_idle() {
            return end;
        }
        let oldest = self.oldest.get().or_else(|| self.positions().min());
        self.oldest.set(oldest);
        oldest.map_or(end, |oldest| oldest.min(end))
    }

    /// Where in the log everything lies that it must keep.
    fn positions(&self) -> impl Iterator<Item = LogPosition> {
        let entries = self.groups.values().flatten().map(|&(_, at)| at);
        let hard = self.hard.values().flat_map(|hard| hard.before.iter().map(|&(_, at)| at).chain([hard.at]));
        entries.chain(hard)
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
                let own = queue.bytes() + queue.waiting_bytes();
                own + bytes > budgets.held() / 4 || self.bytes + bytes > budgets.held()
            })
    }
}
