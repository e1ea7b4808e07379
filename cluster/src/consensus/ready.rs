//! What a replica wants done, and what it may be asked.

use super::message::Message;
use pinion_engine::log::Entry;
use pinion_engine::log::HardState;
use thiserror::Error;

/// What is to be done now. All that is written goes into the log in this order, and before that of any later one.
#[derive(Debug, Default)]
pub struct Ready {
    /// Which this is: for [`Replica::persisted`](super::Replica::persisted).
    pub number: u64,
    /// To be written, in the places that they name: what was at or behind the first of them is deleted.
    pub entries: Vec<Entry>,
    /// To be written behind them, with its term.
    pub hard: Option<(u64, HardState)>,
    /// To be sent now.
    pub messages: Vec<Message>,
    /// Up to this index all is committed.
    pub commit: u64,
    /// Rounds of reads that may be answered. Of those that aren't here when this replica stops leading, none ever is.
    pub reads: Vec<Read>,
}

impl Ready {
    /// Whether something is to be written.
    pub fn is_to_be_written(&self) -> bool {
        !self.entries.is_empty() || self.hard.is_some()
    }
}

/// Reads that this replica, as the leader, may answer as soon as it has applied an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// As [`Replica::read`](super::Replica::read) called it.
    pub round: u64,
    /// The entry's index.
    pub index: u64,
}

/// Why an entry isn't proposed. Nothing of it is done, nor will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotProposed {
    /// This replica doesn't lead.
    #[error("this replica doesn't lead its group")]
    NotLeader,
    /// Entries that aren't committed take as much memory as they may, or the leadership is being handed over.
    #[error("the group takes no entries now")]
    Busy,
    /// It can't be applied, would change the replicas, or only take its place and have a content.
    #[error("no such entry is proposed")]
    Kind,
}
