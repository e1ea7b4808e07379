//! What was seen of an operation's outcome, in terms that both protocols share.

use super::violation::Quoted;
use smallvec::SmallVec;
use std::fmt;
use std::rc::Rc;

/// In what unit a time to live was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlUnit {
    /// Seconds, rounded to the nearest.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What was seen of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenValue {
    /// It isn't there.
    Absent,
    /// It is there.
    There {
        /// Its bytes, where told.
        bytes: Option<Rc<[u8]>>,
        /// Its version, where told.
        version: Option<u64>,
        /// Its expiry, where told: 0 is never.
        expiry: Option<u64>,
    },
    /// So long; an absent key has length 0.
    Length(usize),
    /// It is there and never expires.
    NoExpiry,
    /// It is there for so long.
    Ttl(TtlUnit, u64),
    /// Nothing was told of it: it was refused beside others.
    Untold,
}

impl SeenValue {
    /// The key is there; nothing else is told.
    pub const THERE: SeenValue = SeenValue::There { bytes: None, version: None, expiry: None };
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The value is no integer.
    NotAnInteger,
    /// The sum doesn't fit.
    Overflow,
    /// Over a limit.
    Limit,
    /// The server is busy.
    Busy,
    /// No writes now.
    ReadOnly,
    /// Damaged on disk.
    Damaged,
    /// Its time was over.
    TimedOut,
    /// Nobody can answer; what it is, a text says.
    Unavailable,
    /// Anything else: never right.
    Other,
}

/// What was seen of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// One for each key of a read.
    Values(SmallVec<[SeenValue; 1]>),
    /// How many keys are there, or were there before they were deleted.
    Count(u64),
    /// Done.
    Written {
        /// The version written.
        version: Option<u64>,
        /// Whether the key was there.
        existed: Option<bool>,
        /// What it held, where told.
        old: Option<SeenValue>,
    },
    /// The condition didn't hold.
    NotMet {
        /// What is there, where told.
        current: Option<SeenValue>,
    },
    /// What the key held, whether the condition held or not.
    Old(SeenValue),
    /// The sum, or the length.
    Number(i64),
    /// Done, and nothing more is told.
    Done,
    /// Not done.
    Refused(Refusal),
    /// May or may not have been done.
    Unknown,
}

impl fmt::Display for SeenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeenValue::Absent => write!(f, "absent"),
            SeenValue::There { bytes, version, expiry } => {
                match bytes {
                    Some(bytes) => write!(f, "{}", Quoted(bytes))?,
                    None => write!(f, "there")?,
                }
                if let Some(version) = version {
                    write!(f, ", version {version}")?;
                }
                match expiry {
                    Some(expiry) if *expiry > 0 => write!(f, ", expires at {expiry}"),
                    _ => Ok(()),
                }
            }
            SeenValue::Untold => write!(f, "not told"),
            SeenValue::Length(length) => write!(f, "length {length}"),
            SeenValue::NoExpiry => write!(f, "never expires"),
            SeenValue::Ttl(TtlUnit::Seconds, left) => write!(f, "expires in {left} s"),
            SeenValue::Ttl(TtlUnit::Milliseconds, left) => write!(f, "expires in {left} ms"),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Values(values) => {
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index > 0 { " | " } else { "" })?;
                }
                Ok(())
            }
            Seen::Written { version, existed, old } => {
                write!(f, "written")?;
                if let Some(version) = version {
                    write!(f, ", version {version}")?;
                }
                if let Some(existed) = existed {
                    write!(f, ", {}", if *existed { "was there" } else { "wasn't there" })?;
                }
                old.iter().try_for_each(|old| write!(f, ", before: {old}"))
            }
            Seen::NotMet { current: Some(current) } => write!(f, "not met: {current}"),
            Seen::NotMet { current: None } => write!(f, "not met"),
            Seen::Old(old) => write!(f, "before: {old}"),
            Seen::Count(number) => write!(f, "{number}"),
            Seen::Number(number) => write!(f, "{number}"),
            Seen::Done => write!(f, "done"),
            Seen::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Seen::Unknown => write!(f, "unknown"),
        }
    }
}
