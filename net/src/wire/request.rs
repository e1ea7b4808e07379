//! Requests, typed: what a frame asks for.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::{Level, Opcode};
use super::hello::Hello;
use super::lists::{BatchOps, KeyList};
use super::once::Once;

/// One request. Its bytes are borrowed from the received frame, or from the caller who sends it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request<'a> {
    /// Chosen by the client; comes back with the response. Zero is for the connection itself.
    pub id: u64,
    /// What is promised.
    pub level: Level,
    /// In which keyspace; 0 is `default`.
    pub keyspace: u16,
    /// Milliseconds from arrival after which nobody waits for the answer; zero: none.
    pub deadline_ms: u32,
    /// Which of its client's writes it is, for those that are done exactly once: puts, deletes, increments, expiries, batches
    /// and clears, at levels other than eventual and session. Others can't be encoded with one.
    pub once: Option<Once>,
    /// What to do.
    pub command: Command<'a>,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command<'a> {
    /// Agrees on version and features: [`Reply::Hello`](super::Reply::Hello).
    Hello(Hello<'a>),
    /// Answers the payload: [`Reply::Bytes`](super::Reply::Bytes).
    Ping {
        /// Any bytes.
        payload: &'a [u8],
    },
    /// Describes the server: JSON in [`Reply::Bytes`](super::Reply::Bytes).
    Info,
    /// Reads one key: [`Reply::Value`](super::Reply::Value).
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Reads version and expiry: [`Reply::Value`](super::Reply::Value) without bytes.
    Exists {
        /// The key.
        key: &'a [u8],
    },
    /// Reads several keys: [`Reply::Values`](super::Reply::Values).
    MultiGet {
        /// The keys.
        keys: KeyList<'a>,
    },
    /// Sets one key: [`Reply::Written`](super::Reply::Written) or [`Reply::NotMet`](super::Reply::NotMet).
    Put {
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
        /// When it expires.
        expiry: Expiry,
        /// Only if.
        condition: Condition,
        /// Whether to answer the value before (or, if the condition fails, the current one).
        want_old: bool,
    },
    /// Removes one key: [`Reply::Written`](super::Reply::Written), [`Reply::NotMet`](super::Reply::NotMet) or,
    /// where asked for, [`Reply::NotFound`](super::Reply::NotFound).
    Delete {
        /// The key.
        key: &'a [u8],
        /// Only if.
        condition: Condition,
        /// Whether to answer the value before (or, if the condition fails, the current one).
        want_old: bool,
        /// Whether a key that wasn't there is answered as not found. Costs the server a look-up.
        want_existed: bool,
    },
    /// Adds to a decimal integer, 0 if absent; keeps its expiry: [`Reply::Integer`](super::Reply::Integer).
    Increment {
        /// The key.
        key: &'a [u8],
        /// The addend.
        by: i64,
    },
    /// Changes the expiry of a key: [`Reply::Done`](super::Reply::Done),
    /// [`Reply::NotFound`](super::Reply::NotFound), or [`Reply::NotMet`](super::Reply::NotMet) if the key has no
    /// expiry that could be cleared.
    Expire {
        /// The key.
        key: &'a [u8],
        /// [`Expiry::Never`] clears it; [`Expiry::Keep`] is refused.
        expiry: Expiry,
    },
    /// Puts and deletes, atomic per partition: [`Reply::Outcomes`](super::Reply::Outcomes).
    Batch {
        /// The operations, in order.
        ops: BatchOps<'a>,
    },
    /// A page of keys: [`Reply::Page`](super::Reply::Page).
    Scan(Scan<'a>),
    /// Counts keys: [`Reply::Integer`](super::Reply::Integer).
    Count(Range<'a>),
    /// Removes every key of the keyspace: [`Reply::Done`](super::Reply::Done).
    Clear,
}

/// When a value expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// So many milliseconds from the server's now.
    After(u64),
    /// At so many milliseconds since the Unix epoch.
    At(u64),
    /// When the key expires now.
    Keep,
}

/// When a write takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    None,
    /// If the key is absent.
    Absent,
    /// If the key is there.
    Present,
    /// If the key is there at exactly this version.
    Version(u64),
}

/// Keys that start with `prefix`, from `from` (inclusive) to `to` (exclusive; empty: to the end).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range<'a> {
    /// First key.
    pub from: &'a [u8],
    /// First key beyond the end.
    pub to: &'a [u8],
    /// What keys start with.
    pub prefix: &'a [u8],
}

/// A page of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Which keys; the same on every page of a scan.
    pub range: Range<'a>,
    /// Where the page before ended; empty for the first. Only the server knows what is in it.
    pub cursor: &'a [u8],
    /// At most so many items; zero: as many as the server likes.
    pub limit: u32,
    /// Leave the values out.
    pub keys_only: bool,
}

/// What precedes the parts of a range in a frame.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RangeHead {
    pub(super) from_len: U16,
    pub(super) to_len: U16,
    pub(super) prefix_len: U16,
    pub(super) reserved: U16,
    pub(super) cursor_len: U32,
    pub(super) reserved_too: U32,
}

impl<'a> Command<'a> {
    /// Its opcode.
    pub fn opcode(&self) -> Opcode {
        match self {
            Command::Hello(_) => Opcode::Hello,
            Command::Ping { .. } => Opcode::Ping,
            Command::Info => Opcode::Info,
            Command::Get { .. } => Opcode::Get,
            Command::Exists { .. } => Opcode::Exists,
            Command::MultiGet { .. } => Opcode::MultiGet,
            Command::Put { .. } => Opcode::Put,
            Command::Delete { .. } => Opcode::Delete,
            Command::Increment { .. } => Opcode::Increment,
            Command::Expire { .. } => Opcode::Expire,
            Command::Batch { .. } => Opcode::Batch,
            Command::Scan(_) => Opcode::Scan,
            Command::Count(_) => Opcode::Count,
            Command::Clear => Opcode::Clear,
        }
    }

    /// The one key it is about, if it is about one.
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Command::Get { key }
            | Command::Exists { key }
            | Command::Put { key, .. }
            | Command::Delete { key, .. }
            | Command::Increment { key, .. }
            | Command::Expire { key, .. } => Some(key),
            _ => None,
        }
    }
}
