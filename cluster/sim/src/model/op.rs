//! Operations as the model sees them, whatever protocol they came in.

use super::time::SimTime;
use super::value::OpId;
use super::violation::Quoted;
use smallvec::SmallVec;
use std::fmt;
use std::rc::Rc;

/// Names a connection: requests of one connection on one key take effect in the order sent.
pub type ConnId = u64;

/// The expiry that a write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewExpiry {
    /// None.
    Never,
    /// What the key has.
    Keep,
    /// So many milliseconds from the shard's now.
    After(u64),
    /// At this millisecond since the Unix epoch, by the wall clock.
    At(u64),
}

/// When a put or delete takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// If the key isn't there.
    Absent,
    /// If it is there.
    Present,
    /// If it is there with this version.
    Version(u64),
}

/// When an expiry is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireCondition {
    /// If the key is there.
    Always,
    /// If it has no expiry.
    HasNone,
    /// If it has one.
    HasOne,
    /// If the new one is later; none counts as latest.
    Later,
    /// If the new one is earlier; none counts as latest.
    Earlier,
}

/// A change of one key.
#[derive(Clone, Debug)]
pub enum Update {
    /// Sets the value.
    Put {
        /// The value.
        bytes: Rc<[u8]>,
        /// When it expires.
        expiry: NewExpiry,
        /// Only if.
        condition: Condition,
        /// Whether the answer tells what was there.
        old: bool,
    },
    /// Removes the key.
    Delete {
        /// Only if.
        condition: Condition,
        /// Whether the answer tells what was there, or whether something was.
        old: bool,
    },
    /// Adds to a decimal integer.
    Increment {
        /// The addend.
        by: i64,
    },
    /// Appends.
    Append {
        /// What.
        suffix: Rc<[u8]>,
    },
    /// Changes the expiry.
    Expire {
        /// To what.
        expiry: NewExpiry,
        /// Only if.
        condition: ExpireCondition,
    },
}

/// What an operation does with the keys of one register, by their places.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Reads keys at one moment.
    Read(SmallVec<[usize; 4]>),
    /// Changes one key.
    Update(usize, Update),
    /// Changes several keys at one moment, one after the other.
    Batch(Vec<(usize, Update)>),
    /// Removes all keys.
    Clear,
}

/// An operation on one register.
#[derive(Clone, Debug)]
pub struct Op {
    /// Its name.
    pub id: OpId,
    /// On which connection.
    pub conn: ConnId,
    /// When it was sent.
    pub sent: SimTime,
    /// What it does.
    pub kind: Kind,
    /// The highest version of the partition that was acknowledged before it was sent.
    pub version_after: u64,
}

impl Op {
    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self.kind, Kind::Read(_))
    }

    /// The keys that it is about, as bits by their places; all of them for places from 63 on, and for clears.
    pub fn mask(&self) -> u64 {
        let bit = |place: usize| if place < 63 { 1 << place } else { u64::MAX };
        match &self.kind {
            Kind::Read(places) => places.iter().fold(0, |mask, place| mask | bit(*place)),
            Kind::Update(place, _) => bit(*place),
            Kind::Batch(updates) => updates.iter().fold(0, |mask, (place, _)| mask | bit(*place)),
            Kind::Clear => u64::MAX,
        }
    }

    /// Whether it must take effect behind another: they are of one connection and about one key.
    pub fn follows(&self, other: &Op) -> bool {
        self.conn == other.conn && self.id > other.id && self.mask() & other.mask() != 0
    }

    /// Whether it may leave something at a place.
    pub fn may_create(&self, place: usize) -> bool {
        let creates = |update: &Update| !matches!(update, Update::Delete { .. } | Update::Expire { .. });
        match &self.kind {
            Kind::Read(_) | Kind::Clear => false,
            Kind::Update(at, update) => *at == place && creates(update),
            Kind::Batch(updates) => updates.iter().any(|(at, update)| *at == place && creates(update)),
        }
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Update::Put { bytes, expiry, condition, .. } => {
                write!(f, "put {}", Quoted(bytes))?;
                if *expiry != NewExpiry::Never {
                    write!(f, " expiry {expiry:?}")?;
                }
                if *condition != Condition::Always {
                    write!(f, " if {condition:?}")?;
                }
                Ok(())
            }
            Update::Delete { condition: Condition::Always, .. } => write!(f, "delete"),
            Update::Delete { condition, .. } => write!(f, "delete if {condition:?}"),
            Update::Increment { by } => write!(f, "increment by {by}"),
            Update::Append { suffix } => write!(f, "append {}", Quoted(suffix)),
            Update::Expire { expiry, condition } => write!(f, "expire {expiry:?} if {condition:?}"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {} of connection {:x}: ", self.id, self.conn)?;
        match &self.kind {
            Kind::Read(places) => write!(f, "read {places:?}"),
            Kind::Update(0, update) => write!(f, "{update}"),
            Kind::Update(place, update) => write!(f, "[{place}] {update}"),
            Kind::Batch(updates) => {
                write!(f, "batch")?;
                updates.iter().try_for_each(|(place, update)| write!(f, " [{place}] {update};"))
            }
            Kind::Clear => write!(f, "clear"),
        }
    }
}
