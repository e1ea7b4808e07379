//! An entry of a group's log, as it is passed on: from replica to replica, to the log, to whoever applies it.

use super::batch::Batch;
use super::record::{EntryType, Record, RecordKind};
use crate::key::Partition;
use bytes::Bytes;

/// An entry of a group's log. Its payload is shared: by the log, by messages, by whoever applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term in which it was proposed.
    pub term: u64,
    /// Its place in the order.
    pub index: u64,
    /// What it is.
    pub entry: EntryType,
    /// Who took it in, if that was elsewhere; 0: its leader. What becomes of such a write shows only when it is applied, so nobody
    /// sees it before.
    pub origin: u16,
    /// Its content: a batch, if it is one of writes.
    pub payload: Bytes,
}

impl Entry {
    /// What one takes in memory beside its payload, about, bytes.
    pub const BYTES: usize = 128;

    /// Its leader's partition time, microseconds, if it carries one.
    pub fn time_us(&self) -> Option<u64> {
        let carries = self.origin == 0 && matches!(self.entry, EntryType::Normal | EntryType::Tick);
        Some(Batch::parse(&self.payload).ok().filter(|_| carries)?.clock_us())
    }

    /// As it is logged.
    pub fn record(&self, group: Partition) -> Record<'_> {
        let Entry { term, index, entry, origin, ref payload } = *self;
        Record { kind: RecordKind::Entry(entry), origin, ..Record::writes(group, term, index, payload) }
    }
}
