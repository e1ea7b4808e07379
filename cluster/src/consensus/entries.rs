//! What the crate `raft` may ask of a group's log: the entries behind those that were given up, all in memory.
//!
//! The crate ends the process where it can't have an entry that it knows of and that isn't applied, so none of those is ever given
//! up. Payloads are shared with whoever else has them.

use bytes::Bytes;
use pinion_engine::log::Entry;
use pinion_engine::log::EntryType;
use pinion_engine::manifest::ConfState;
use raft::eraftpb::{self, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};
use std::collections::VecDeque;

/// The log of a group, as its replica needs it.
#[derive(Debug)]
pub(super) struct Entries {
    state: RaftState,
    /// Index and term of the entry before the first that is here.
    before: (u64, u64),
    entries: VecDeque<eraftpb::Entry>,
    bytes: usize,
}

impl Entries {
    /// A log that goes on behind an entry of this index and term with nothing yet.
    pub fn behind(before: (u64, u64), hard: eraftpb::HardState, conf: &ConfState) -> Entries {
        let conf_state = eraftpb::ConfState {
            voters: conf.voters.clone(),
            learners: conf.learners.clone(),
            voters_outgoing: conf.outgoing.clone(),
            learners_next: conf.next_learners.clone(),
            auto_leave: conf.auto_leave,
            ..eraftpb::ConfState::default()
        };
        let state = RaftState::new(hard, conf_state);
        Entries { state, before, entries: VecDeque::new(), bytes: 0 }
    }

    /// Index of the last entry.
    pub fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    /// Adds entries in the places that they name; what was at or behind the first of them goes.
    pub fn append(&mut self, entries: &[eraftpb::Entry]) {
        let Some(first) = entries.first() else { return };
        debug_assert!(self.before.0 < first.index && first.index <= self.last() + 1, "{}", first.index);
        while self.last() >= first.index {
            let cut = self.entries.pop_back();
            self.bytes -= cut.as_ref().map_or(0, bytes_of);
        }
        self.bytes += entries.iter().map(bytes_of).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Gives up the entries up to an index, from the first on, while more than so many bytes are here.
    pub fn give_up(&mut self, index: u64, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(first) = self.entries.front().filter(|entry| entry.index <= index)
        {
            self.before = (first.index, first.term);
            self.bytes -= bytes_of(first);
            self.entries.pop_front();
        }
    }

    /// Memory of the entries, about, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn at(&self, index: u64) -> Option<&eraftpb::Entry> {
        let place = index.checked_sub(self.before.0 + 1)?;
        self.entries.get(usize::try_from(place).ok()?)
    }
}

impl raft::Storage for Entries {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.state.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        if low <= self.before.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let (max, mut taken) = (max_size.into().unwrap_or(u64::MAX), 0);
        let wanted = (low..high).map_while(|index| self.at(index));
        let fits = wanted.take_while(|entry| {
            let is_first = taken == 0;
            taken += bytes_of(entry) as u64;
            is_first || taken <= max
        });
        Ok(fits.cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.at(index) {
            Some(entry) => Ok(entry.term),
            None if index == self.before.0 => Ok(self.before.1),
            None if index < self.before.0 => Err(raft::Error::Store(StorageError::Compacted)),
            None => Err(raft::Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

/// Memory of an entry, about.
fn bytes_of(entry: &eraftpb::Entry) -> usize {
    Entry::BYTES + entry.data.len()
}

/// How an entry's type and origin stand in the crate's entries: as their context.
fn context_of(entry: EntryType, origin: u16) -> Bytes {
    const OF_LEADERS: [[u8; 3]; 6] = [[0; 3], [1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0], [5, 0, 0]];
    match origin.to_le_bytes() {
        [0, 0] => Bytes::from_static(&OF_LEADERS[usize::from(entry as u8)]),
        [low, high] => Bytes::copy_from_slice(&[entry as u8, low, high]),
    }
}

/// An entry as the crate has it.
pub(super) fn to_raft(entry: &Entry) -> eraftpb::Entry {
    let mut made = eraftpb::Entry::default();
    (made.term, made.index) = (entry.term, entry.index);
    (made.data, made.context) = contents(entry.entry, entry.origin, entry.payload.clone());
    made
}

/// Payload and type of an entry to be proposed, as the crate has them. One that only takes its place has neither, like the first
/// one of a leader, which the crate makes by itself.
pub(super) fn contents(entry: EntryType, origin: u16, payload: Bytes) -> (Bytes, Bytes) {
    match entry {
        EntryType::NoOp => (Bytes::new(), Bytes::new()),
        _ => (payload, context_of(entry, origin)),
    }
}

/// An entry of the crate's.
pub(super) fn from_raft(entry: &eraftpb::Entry) -> Entry {
    let (kind, origin) = match entry.context[..] {
        [kind, low, high] => (EntryType::from_byte(kind), u16::from_le_bytes([low, high])),
        _ => (Some(EntryType::NoOp), 0),
    };
    let kind = kind.expect("contexts are made here, of types");
    Entry { term: entry.term, index: entry.index, entry: kind, origin, payload: entry.data.clone() }
}
