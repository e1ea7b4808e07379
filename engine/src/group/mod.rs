//! A group: one partition as one ordered log, and how far each step of it has come.
//!
//! An entry is *appended* when it has its place in the order, *persisted* when the log write that carries it is done,
//! *committed* when nothing takes it back any more, and *applied* when it is in the memtable. Never is `applied` beyond
//! `committed` or `persisted`, nor `persisted` beyond `appended`. [`Order`] says who decides the order, and so what commits:
//! alone, an entry is committed when it is persisted.
//!
//! What is persisted and may not be applied yet waits in the group's own [`queue`], with the answers that depend on it: a
//! group that doesn't come further holds up nobody else. There is one [`apply`].

pub mod apply;
pub mod durability;
pub mod groups;
pub mod late;
pub mod queue;
pub mod recent;
mod restored;
pub mod tail;
mod target;
mod time;

#[cfg(test)]
mod late_test;
#[cfg(test)]
mod tail_test;
#[cfg(test)]
mod tests;

use crate::key::{Incarnation, Keyspace, Partition, Prefix, Version};
use crate::log::LogPosition;
use crate::manifest::{ConfState, OriginState};
use crate::once::{Known, Once, Table};
use durability::Durability;
use queue::{Queue, Queued};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// The term of a solo group, which never has an election.
pub const SOLO_TERM: u64 = 1;

/// Who says in which order a group's entries come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// This replica, which is the only one: what is persisted is committed.
    #[default]
    Solo,
    /// This replica, as long as others agree: they say what is committed.
    Led {
        /// The term in which it leads.
        term: u64,
    },
    /// Another replica.
    Following {
        /// The newest term that it has heard of.
        term: u64,
    },
}

impl Order {
    /// The term of entries that are appended now.
    pub fn term(self) -> u64 {
        match self {
            Order::Solo => SOLO_TERM,
            Order::Led { term } | Order::Following { term } => term,
        }
    }
}

/// Why an entry that another replica sends isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Entries before it are missing.
    #[error("entry {index} follows {next}, which isn't there")]
    Gap {
        /// Its index.
        index: u64,
        /// The one that is next here.
        next: u64,
    },
    /// It would take the place of one that is committed.
    #[error("entry {index} is at or before {committed}, up to which everything is committed")]
    Committed {
        /// Its index.
        index: u64,
        /// Up to where all is committed.
        committed: u64,
    },
    /// It is of an older term than the group's.
    #[error("an entry of term {term} comes after term {known}")]
    OldTerm {
        /// Its term.
        term: u64,
        /// The group's.
        known: u64,
    },
}

/// One group. `W` is what waits for an entry to be applied.
#[derive(Clone, Debug)]
pub struct Group<W = ()> {
    /// Its partition.
    pub id: Partition,
    /// The incarnation that its keys are stored under.
    pub incarnation: Incarnation,
    /// Highest version given out.
    pub assigned: Version,
    /// Highest version applied.
    pub newest: Version,
    /// When its writes count as done.
    pub durability: Durability,
    order: Order,
    appended: u64,
    persisted: u64,
    committed: u64,
    applied: u64,
    applied_term: u64,
    /// Terms of the entries behind the applied ones: from this index on, this term.
    terms: SmallVec<[(u64, u64); 1]>,
    queue: Option<Box<Queue<W>>>,
    /// No older writes than this are still to come, where others may send some.
    floor: Version,
    /// The largest partition time applied, microseconds.
    clock_us: u64,
    /// How far its time is ahead of the shard's, if others order it, microseconds.
    ahead_us: i64,
    /// The largest partition time that it has heard of, microseconds.
    heard_us: u64,
    /// Its entries before this position of the log are of an earlier copy of the partition.
    log_from: LogPosition,
    /// Its replicas, if it has others.
    conf: Option<Box<ConfState>>,
    origins: Vec<OriginState>,
    /// What is remembered of requests that are to be done once; `None`: nothing.
    once: Option<Arc<Table>>,
    /// Whether something was applied that the manifest wasn't told of yet.
    is_changed: bool,
}

impl<W> Group<W> {
    /// A group without entries, which orders itself.
    pub fn new(id: Partition) -> Group<W> {
        Group {
            id,
            incarnation: Incarnation(0),
            assigned: Version(0),
            newest: Version(0),
            durability: Durability::default(),
            order: Order::Solo,
            appended: 0,
            persisted: 0,
            committed: 0,
            applied: 0,
            applied_term: SOLO_TERM,
            terms: smallvec![(0, SOLO_TERM)],
            queue: None,
            floor: Version(0),
            clock_us: 0,
            ahead_us: i64::MIN,
            heard_us: 0,
            log_from: LogPosition::default(),
            conf: None,
            origins: Vec::new(),
            once: None,
            is_changed: false,
        }
    }

    /// The prefix of its stored keys in a keyspace.
    pub fn prefix(&self, keyspace: Keyspace) -> Prefix {
        Prefix::new(keyspace, self.id, self.incarnation)
    }

    /// The version of the next write, at wall clock `wall_us`: above all before it.
    pub fn assign(&mut self, wall_us: u64) -> Version {
        self.assigned = self.assigned.next_at(wall_us);
        self.assigned
    }

    /// Who orders it.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Index of the newest entry that has a place.
    pub fn appended_index(&self) -> u64 {
        self.appended
    }

    /// Index of the newest entry that was applied.
    pub fn applied_index(&self) -> u64 {
        self.applied
    }

    /// The term of the newest entry that was applied.
    pub fn applied_term(&self) -> u64 {
        self.applied_term
    }

    /// Up to which index entries may be applied: they are committed and persisted.
    pub fn applicable(&self) -> u64 {
        self.committed.min(self.persisted)
    }

    /// Leads from now on, in a term above all that were. What waits goes on waiting.
    pub fn lead(&mut self, term: u64) {
        debug_assert!(term > self.order.term() || !matches!(self.order, Order::Led { .. }), "terms rise");
        self.order = Order::Led { term };
    }

    /// Follows from now on. What waits goes on waiting: it may be committed by another leader, or be overwritten.
    pub fn follow(&mut self, term: u64) {
        debug_assert!(term >= self.order.term(), "terms don't fall");
        self.order = Order::Following { term };
    }

    /// Gives the next entry of this replica its place: term and index.
    pub fn append(&mut self) -> (u64, u64) {
        let term = self.order.term();
        self.appended += 1;
        self.note_term(self.appended, term);
        (term, self.appended)
    }

    /// Takes an entry's place from another replica, or from the log when it is read again. It deletes what was at or behind that
    /// index: of these, the entries that waited come back.
    pub fn accept(&mut self, term: u64, index: u64) -> Result<Vec<Queued<W>>, NotTaken> {
        if index <= self.committed {
            return Err(NotTaken::Committed { index, committed: self.committed });
        }
        if index > self.appended + 1 {
            return Err(NotTaken::Gap { index, next: self.appended + 1 });
        }
        // Of what it follows, not of what it deletes: a new leader may bring back entries of a term before that one's.
        let known = self.term_at(index - 1);
        if term < known {
            return Err(NotTaken::OldTerm { term, known });
        }
        let overwritten = self.cut_behind(index - 1);
        self.appended = index;
        self.note_term(index, term);
        Ok(overwritten)
    }

    /// Gives up all entries behind an index, as if they had never been appended; returns those that waited. Their versions
    /// aren't given out again.
    pub fn cut_behind(&mut self, index: u64) -> Vec<Queued<W>> {
        let index = index.max(self.applied);
        self.appended = self.appended.min(index);
        self.persisted = self.persisted.min(index);
        while self.terms.len() > 1 && self.terms.last().is_some_and(|&(first, _)| first > index) {
            self.terms.pop();
        }
        let cut = self.queue.as_mut().map_or_else(Vec::new, |queue| queue.cut_behind(index));
        self.drop_empty_queue();
        cut
    }

    /// The log write that carried what isn't persisted has failed: none of that has a place any more.
    pub fn forget_unpersisted(&mut self) {
        let unapplied = self.cut_behind(self.persisted);
        debug_assert!(unapplied.is_empty(), "what waits to be applied is persisted");
    }

    /// A log write is done that carried the entries of a term up to this one. It may have been overtaken: what another term has
    /// put in their place isn't persisted by it. Says whether the entry still has its place.
    pub fn persist(&mut self, term: u64, index: u64) -> bool {
        let has_its_place = index <= self.appended && self.term_at(index) == term;
        if has_its_place {
            self.persisted = self.persisted.max(index);
        }
        if self.order == Order::Solo {
            self.committed = self.committed.max(self.persisted);
        }
        has_its_place
    }

    /// Whoever knows what others have says that entries up to this one may be applied: they are committed, and persisted here.
    pub fn may_apply(&mut self, index: u64) {
        debug_assert!(self.order != Order::Solo, "alone, what is persisted may be applied");
        let index = index.min(self.appended);
        (self.committed, self.persisted) = (self.committed.max(index), self.persisted.max(index));
    }

    /// Everything up to this index is committed, as far as it is here.
    pub fn commit(&mut self, index: u64) {
        self.committed = self.committed.max(index.min(self.appended));
    }

    /// Everything up to `index` and `version` is applied.
    pub fn applied(&mut self, index: u64, version: Version) {
        if index > self.applied {
            self.applied_term = self.term_at(index);
        }
        self.applied = self.applied.max(index);
        self.is_changed = true;
        self.newest = self.newest.max(version);
        self.assigned = self.assigned.max(version);
        while self.terms.len() > 1 && self.terms[1].0 <= self.applied {
            self.terms.remove(0);
        }
    }

    /// A write is in the memtable, and not in the log yet: where nobody waits for the log.
    pub fn taken_in(&mut self, version: Version) {
        self.is_changed = true;
        self.newest = self.newest.max(version);
    }

    /// What is remembered of requests that are to be done once, as far as it is applied; `None`: nothing.
    pub fn once(&self) -> Option<&Table> {
        self.once.as_deref()
    }

    /// What is known of a request that is to be done once.
    pub fn known(&self, once: &Once) -> Known<'_> {
        self.once().map_or(Known::New, |table| table.known(once))
    }

    /// Memory of what is remembered, bytes.
    #[inline]
    pub fn once_bytes(&self) -> usize {
        self.once().map_or(0, Table::bytes)
    }

    /// As [`Group::once`], to be changed.
    pub fn once_mut(&mut self) -> &mut Table {
        Arc::make_mut(self.once.get_or_insert_default())
    }

    /// Whether the entry at an index, which isn't applied, is of this term: then it is that one.
    pub fn has(&self, term: u64, index: u64) -> bool {
        index > self.applied && index <= self.appended && self.term_at(index) == term
    }

    /// The term of the entry at an index that is applied last, or not yet.
    fn term_at(&self, index: u64) -> u64 {
        let runs = self.terms.iter().rev();
        runs.into_iter().find(|&&(first, _)| first <= index).map_or(self.applied_term, |&(_, term)| term)
    }

    fn note_term(&mut self, index: u64, term: u64) {
        if self.terms.last().is_none_or(|&(_, newest)| newest != term) {
            self.terms.push((index, term));
        }
    }

    /// What is persisted and waits to be applied.
    pub fn queue(&self) -> Option<&Queue<W>> {
        self.queue.as_deref()
    }

    /// As [`Group::queue`].
    pub fn queue_mut(&mut self) -> Option<&mut Queue<W>> {
        self.queue.as_deref_mut()
    }

    /// Has a persisted entry wait to be applied.
    pub fn hold(&mut self, queued: Queued<W>) {
        // What is ordered behind it has a higher version, whoever leads by then.
        self.assigned = self.assigned.max(apply::newest(queued.applicable()));
        let (id, incarnation) = (self.id, self.incarnation);
        self.queue.get_or_insert_with(|| Box::new(Queue::new(id, incarnation))).push(queued);
    }

    /// Has the entry wait again that [`Group::take_applicable`] took: it can't be applied yet.
    pub fn put_back(&mut self, queued: Queued<W>) {
        let (id, incarnation) = (self.id, self.incarnation);
        self.queue.get_or_insert_with(|| Box::new(Queue::new(id, incarnation))).put_back(queued);
    }

    /// Whether an entry waits that may be applied now.
    pub fn has_applicable(&self) -> bool {
        self.queue.as_ref().and_then(|queue| queue.first()).is_some_and(|first| first <= self.applicable())
    }

    /// The first entry that waits, if it may be applied now.
    pub fn take_applicable(&mut self) -> Option<Queued<W>> {
        let applicable = self.applicable();
        let entry = self.queue.as_mut()?.pop_up_to(applicable);
        self.drop_empty_queue();
        entry
    }

    fn drop_empty_queue(&mut self) {
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }
}
