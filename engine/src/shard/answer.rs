//! What a shard answers, and where that goes.

use super::page::Page;
use super::request::Ticket;
use crate::key::{Expiry, Partition, Version};

/// An answer. Its bytes are borrowed: copy them before returning.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// The key's value.
    Value(Value<'a>),
    /// No such key.
    NotFound,
    /// One key of [`Op::GetMany`].
    Item {
        /// Its place in what this request (or [`Op::GoOn`](super::request::Op::GoOn)) still had to answer.
        index: usize,
        /// Its value, if there.
        value: Option<Value<'a>>,
    },
    /// Done.
    Written {
        /// The version written (or of the state that was already so).
        version: Version,
        /// How many of the keys were there before, where asked for.
        existed: u32,
        /// The old value, where asked for.
        old: Option<Value<'a>>,
    },
    /// The condition didn't hold; nothing was changed.
    NotMet {
        /// The current value (its bytes only where `want_old`; empty otherwise).
        current: Option<Value<'a>>,
    },
    /// The number an increment or an append ended at.
    Integer(i64),
    /// A page of a scan.
    Page {
        /// Its items.
        page: &'a Page,
        /// Where to go on (inclusive), `None` at the end of the range.
        next: Option<&'a [u8]>,
    },
    /// A part of a count.
    Counted {
        /// So many keys.
        keys: u64,
        /// Of these, so many will expire.
        expiring: u64,
        /// The partition and user key to go on from; `None` at the end.
        next: Option<(Partition, &'a [u8])>,
    },
    /// [`Answers::has_room`] said no: the shard keeps the rest of the read, at the moment it sees.
    Waits {
        /// What [`Op::GoOn`](super::request::Op::GoOn) and [`super::Shard::forget`] call it.
        read: u64,
        /// Its partition.
        partition: Partition,
        /// The length of the value that it stopped before.
        bytes: usize,
    },
    /// Not done, and certainly not applied.
    Refused(Refusal<'a>),
    /// May or may not have been applied.
    Unknown(Unsure<'a>),
}

/// Why nobody knows whether a write was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsure<'a> {
    /// Its log write failed; the text says how.
    LogFailed(&'a str),
    /// Its deadline passed while it was on its way to the log: it may be applied yet.
    TimedOut,
    /// It was to be done once, and was, by an earlier copy; what that answered was too long to be remembered.
    TooLong,
    /// It is to be done once, and whether it was isn't known any more.
    Forgotten,
}

/// A value with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Its version.
    pub version: Version,
    /// Its expiry, in the time of the shard that answers: [`super::Clocks`] translates it.
    pub expiry: Expiry,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The value is no integer that fits 64 bits.
    NotAnInteger,
    /// The sum would not fit 64 bits.
    Overflow,
    /// A limit on key, value or batch; the text names it.
    Limit(&'a str),
    /// The memory for waiting requests is used up: slow down and try again.
    Busy,
    /// There is no room for the answer; the text says why and what to do.
    NoRoom(&'a str),
    /// The shard takes no writes; the text says why and what to do.
    ReadOnly(&'a str),
    /// The data asked for is damaged on disk; the text names file and offset.
    Damaged(&'a str),
    /// The request makes no sense; the text says why.
    Invalid(&'a str),
    /// This shard doesn't own the partition.
    WrongShard,
    /// Its deadline passed before it was done.
    TimedOut,
    /// It is to be done once, and was first sent when this clock hasn't come to yet, or so long ago that a copy that was done
    /// would be forgotten.
    WrongTime,
    /// Another replica leads its partition, or none does.
    NotLeader,
}

/// Where answers go.
pub trait Answers {
    /// Takes one answer.
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>);

    /// Whether a read may answer a value of `bytes` now, beside the `given` bytes that this call has answered for it. Asked
    /// where that comes to more than [`ROOM_BYTES`]. If not, the shard keeps the rest of the read: see [`Answer::Waits`].
    #[inline]
    fn has_room(&mut self, ticket: Ticket, given: usize, bytes: usize) -> bool {
        let _ = (ticket, given, bytes);
        true
    }

    /// An update of one key had a value of so many bytes copied, longer than [`ROOM_BYTES`].
    #[inline]
    fn worked(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// Whether an update may answer an old value of so many bytes. Asked where that is longer than [`ROOM_BYTES`], before
    /// anything is changed. If not, the update is refused.
    fn has_room_for_old(&mut self, ticket: Ticket, bytes: usize) -> bool {
        let _ = (ticket, bytes);
        true
    }
}

/// Answers of a request up to this many bytes leave without asking for room.
pub const ROOM_BYTES: usize = 4 << 10;
