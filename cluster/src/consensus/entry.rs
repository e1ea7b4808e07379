//! An entry, as replicas pass it on.

use bytes::Bytes;
use pinion_engine::log::EntryType;

/// An entry of a group's log. Its payload is shared: by the log, by messages, by whoever applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term in which it was proposed.
    pub term: u64,
    /// Its place in the order.
    pub index: u64,
    /// What it is.
    pub entry: EntryType,
    /// Who took it in, if that was elsewhere; 0: its leader.
    pub origin: u16,
    /// Its content.
    pub payload: Bytes,
}
