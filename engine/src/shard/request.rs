//! What a shard is asked; what it answers is in [`super::answer`].
//!
//! A [`Request`] borrows its bytes from the caller (usually the receive buffer); the shard copies only
//! what outlives the call. Answers leave through [`Answers`], at once or in a later call, always with
//! the [`Ticket`] of their request; their bytes are borrowed and must be copied out before returning.

use crate::key::{Keyspace, Partition, Version};

pub use super::answer::{Answer, Answers, ROOM_BYTES, Refusal, Unsure, Value};
pub use super::page::Page;
pub use crate::once::Once;

/// Names a request to its owner: the shard only hands it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Who asked: a connection, another core, a caller.
    pub owner: u64,
    /// Which of the owner's requests.
    pub request: u64,
}

/// One request to one partition.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// In which keyspace.
    pub keyspace: Keyspace,
    /// Of which partition, one that this shard owns.
    pub partition: Partition,
    /// What is promised of its outcome.
    pub level: Level,
    /// When nobody waits for it any more, on the clock of [`super::Now::mono_us`]; [`NO_DEADLINE`]: somebody always does. One that waits
    /// is ended then: [`Refusal::TimedOut`], or [`Unsure::TimedOut`] for a write that is on its way to the log.
    pub deadline_us: u64,
    /// Who sent it, if it is a write that is to be done once, however often it comes.
    pub once: Option<&'a Once>,
    /// What to do.
    pub op: Op<'a>,
}

impl<'a> Request<'a> {
    /// A request in the first keyspace, at the level of the keyspace, that somebody always waits for.
    pub fn new(partition: Partition, op: Op<'a>) -> Request<'a> {
        Request {
            keyspace: Keyspace(0),
            partition,
            level: Level::Default,
            deadline_us: NO_DEADLINE,
            once: None,
            op,
        }
    }

    /// The same, until then.
    #[must_use]
    pub fn until(self, deadline_us: u64) -> Request<'a> {
        Request { deadline_us, ..self }
    }

    /// The same, to be done once if it says so.
    #[must_use]
    pub fn once(self, once: Option<&'a Once>) -> Request<'a> {
        Request { once, ..self }
    }

    /// The same, at a level.
    #[must_use]
    pub fn at(self, level: Level) -> Request<'a> {
        Request { level, ..self }
    }
}

/// The deadline of a request that never ends for that.
pub const NO_DEADLINE: u64 = u64::MAX;

/// What is promised of a request's outcome. One replica gives all of them what it gives the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// What the keyspace says.
    #[default]
    Default = 0,
    /// Durable on one node.
    Eventual = 1,
    /// At least what this client has seen and written.
    Session = 2,
    /// Linearizable.
    Strong = 3,
    /// Durable everywhere, read as strong.
    All = 4,
}

impl Level {
    /// The level of a number.
    pub fn from_byte(byte: u8) -> Option<Level> {
        let all = [Level::Default, Level::Eventual, Level::Session, Level::Strong, Level::All];
        all.get(usize::from(byte)).copied()
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// Reads one key: [`Answer::Value`] or [`Answer::NotFound`].
    Get {
        /// The user's key.
        key: &'a [u8],
    },
    /// Reads several keys at one moment: one [`Answer::Item`] per key, in order.
    GetMany {
        /// The users' keys.
        keys: &'a [&'a [u8]],
        /// Whether values are wanted; else they are answered without their bytes.
        values: bool,
    },
    /// Goes on with a read that [`Answer::Waits`]: what it still has to answer.
    GoOn {
        /// Its name.
        read: u64,
    },
    /// Changes one key: [`Answer::Written`], [`Answer::NotMet`] or [`Answer::Integer`].
    Update {
        /// The user's key.
        key: &'a [u8],
        /// How.
        update: Update<'a>,
    },
    /// Changes several keys atomically: one [`Answer::Written`] whose `existed` counts the keys that were there
    /// (counted only if an update asks for it).
    UpdateMany {
        /// Keys and what to do to them: only [`Update::Put`] and [`Update::Delete`] without conditions.
        updates: &'a [(&'a [u8], Update<'a>)],
    },
    /// Reads a page of keys in order: [`Answer::Page`].
    Scan(Scan<'a>),
    /// Reads a page of the keys of several partitions in one order: [`Answer::Page`].
    ScanMany {
        /// Which; the request's own partition is one of them.
        partitions: &'a [Partition],
        /// What of each.
        scan: Scan<'a>,
        /// Whether an item over the limit of bytes may be a page of its own; otherwise the page ends before it.
        oversized: bool,
    },
    /// Counts keys, some at a time: [`Answer::Counted`].
    Count(Count<'a>),
    /// Deletes every key of the partition in this keyspace: [`Answer::Written`].
    Clear,
}

impl Op<'_> {
    /// Whether it may change what is stored.
    #[inline]
    pub fn is_write(&self) -> bool {
        matches!(self, Op::Update { .. } | Op::UpdateMany { .. } | Op::Clear)
    }
}

/// A change to one key. Evaluated on arrival against the newest pending value; only the effect is logged.
#[derive(Clone, Copy, Debug)]
pub enum Update<'a> {
    /// Sets the value.
    Put {
        /// The new value.
        value: &'a [u8],
        /// When it expires.
        expiry: PutExpiry,
        /// Only if.
        condition: Condition,
        /// Whether the answer carries the old value.
        want_old: bool,
    },
    /// Removes the key.
    Delete {
        /// Only if.
        condition: Condition,
        /// Whether the answer carries the old value.
        want_old: bool,
        /// Whether the answer says if the key was there; without it the delete never reads.
        want_existed: bool,
    },
    /// Adds to a decimal integer; an absent key counts as 0. Keeps the expiry.
    Increment {
        /// The signed addend.
        by: i64,
    },
    /// Appends to the value; an absent key counts as empty. Keeps the expiry. Answers the new length.
    Append {
        /// What to append.
        suffix: &'a [u8],
    },
    /// Changes the expiry of a key that exists. [`Answer::NotMet`] if there is none or the condition fails.
    Expire {
        /// The new expiry ([`PutExpiry::Never`] removes it; `Keep` is refused).
        expiry: PutExpiry,
        /// Only if.
        condition: ExpireCondition,
        /// Whether the answer carries the value, as it was at that moment, whether the expiry changes or not.
        want_old: bool,
    },
}

impl Update<'_> {
    /// Whether it copies a value that is there, whose length only its shard knows.
    pub fn copies_current(&self) -> bool {
        self.wants_old() || self.makes_from_current()
    }

    /// Whether the value that it leaves is made of the one that is there.
    pub fn makes_from_current(&self) -> bool {
        matches!(self, Update::Append { .. } | Update::Expire { .. })
    }

    /// Whether the answer carries the old value.
    pub fn wants_old(&self) -> bool {
        matches!(
            self,
            Update::Put { want_old: true, .. }
                | Update::Delete { want_old: true, .. }
                | Update::Expire { want_old: true, .. }
        )
    }
}

/// The expiry a put leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutExpiry {
    /// None.
    Never,
    /// A time by the wall clock, milliseconds since the Unix epoch. A past one deletes.
    At(u64),
    /// So many milliseconds from the shard's now.
    After(u64),
    /// What the key has now.
    Keep,
}

/// When an update takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    None,
    /// If the key doesn't exist.
    Absent,
    /// If the key exists.
    Present,
    /// If the key exists at exactly this version.
    Version(Version),
}

/// When an expiry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireCondition {
    /// Always.
    None,
    /// If the key has no expiry.
    HasNone,
    /// If the key has one.
    HasOne,
    /// If the new one is later (none counts as latest).
    Later,
    /// If the new one is earlier (none counts as latest).
    Earlier,
}

/// A page of an ordered forward scan, at one moment of its partition.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// First user key, inclusive.
    pub from: &'a [u8],
    /// First user key beyond the end; empty: none.
    pub to: &'a [u8],
    /// At most so many items.
    pub limit: usize,
    /// About so many bytes of keys and values; at least one item fits always.
    pub limit_bytes: usize,
    /// Values are left out.
    pub keys_only: bool,
}

/// A part of a count, over partitions one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// Which; the request's own partition is one of them.
    pub partitions: &'a [Partition],
    /// The first user key, inclusive, in the first of them.
    pub place: &'a [u8],
    /// First user key, inclusive, in the others.
    pub from: &'a [u8],
    /// First user key beyond the end; empty: none.
    pub to: &'a [u8],
}
