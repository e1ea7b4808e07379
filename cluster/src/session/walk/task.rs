//! What walks are for, and how they end.

use super::resume_point::ResumePoint;
use crate::session::counting::Counting;
use crate::session::listing::Listing;
use crate::session::merge::Merge;
use crate::session::pieces::Pieces;
use crate::session::sampling::Sampling;
use pinion_engine::shard::request::Page;
use pinion_net::resp::glob::matches_within;
use pinion_net::slot::Slot;
use pinion_net::wire::ErrorCode;

/// Which keys a walk collects.
pub enum Keys {
    /// All.
    All,
    /// Those that match a pattern.
    Matching(Box<[u8]>),
    /// Those of a slot; only they count for the limit.
    OfSlot(Slot),
}

impl Keys {
    /// Whether a key is one of them; `None` if comparing it takes more than `steps`, which are counted down.
    pub(super) fn takes(&self, key: &[u8], steps: &mut usize) -> Option<bool> {
        match self {
            Keys::All => Some(true),
            Keys::Matching(pattern) => matches_within(pattern, key, steps),
            Keys::OfSlot(slot) => Some(Slot::of(key) == *slot),
        }
    }

    /// Whether the limit counts what was found, not what was looked at.
    pub(super) fn is_limit_of_found(&self) -> bool {
        matches!(self, Keys::OfSlot(_))
    }
}

/// How a walk ended.
pub enum Outcome {
    /// So many keys, and so many of them will expire.
    Count(u64, u64),
    /// These items, and where the next page begins.
    Items(Page, Option<ResumePoint>),
    /// A list for a reply in RESP, and where the next page begins.
    Listed(Pieces, Option<ResumePoint>),
    /// A cursor that another core should have kept isn't there any more.
    NoCursor,
    /// Refused: why, and in words.
    Refused(ErrorCode, String),
}

/// What a walk is for.
pub enum Task {
    /// How many keys of a slot there are.
    CountSlot {
        /// So far.
        count: u64,
        /// The slot.
        slot: Slot,
    },
    /// How many keys there are.
    Count(Counting),
    /// Keys from a place on.
    Collect {
        /// Which keys.
        keys: Keys,
        /// Look at about so many.
        limit: usize,
        /// Looked at so far.
        seen: usize,
        /// Those that match.
        items: Pieces,
    },
    /// A page in the order of keys.
    Merge(Merge),
    /// Asks another core where a cursor goes on; then it becomes a [`Task::Collect`].
    FindCursor {
        /// Which core.
        core: usize,
        /// Its handle.
        cursor: u64,
        /// The task when the place is known.
        then: Box<Task>,
    },
    /// Connections.
    Clients(Listing),
    /// Any key.
    Sample(Sampling),
}
