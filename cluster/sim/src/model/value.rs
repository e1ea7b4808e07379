//! What a key may hold: bytes that are known, a version and an expiry that may be known only within bounds.

use super::time::Lead;
use std::fmt;
use std::rc::Rc;

use super::violation::Quoted;

/// Names an operation on a register. Rises with the order of sending.
pub type OpId = u64;

/// A number that lies somewhere between two others, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At least.
    pub from: u64,
    /// At most.
    pub to: u64,
}

impl Span {
    /// Nothing is known.
    pub const ANY: Span = Span { from: 0, to: u64::MAX };
    /// An expiry that never comes.
    pub const NEVER: Span = Span { from: u64::MAX, to: u64::MAX };

    /// Exactly this.
    pub fn exact(number: u64) -> Span {
        Span { from: number, to: number }
    }

    /// Whether it may be this.
    pub fn has(self, number: u64) -> bool {
        self.from <= number && number <= self.to
    }

    /// Whether both may be the same number.
    pub fn overlaps(self, other: Span) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// What both allow; they must [overlap](Span::overlaps).
    pub fn and(self, other: Span) -> Span {
        Span { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// Whether it is known.
    pub fn is_exact(self) -> bool {
        self.from == self.to
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Span::NEVER => write!(f, "never"),
            Span { from, to } if from == to => write!(f, "{from}"),
            Span { from, to: u64::MAX } => write!(f, "{from}.."),
            Span { from, to } => write!(f, "{from}..={to}"),
        }
    }
}

/// A value that a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The operation that left it so.
    pub writer: OpId,
    /// The bytes.
    pub bytes: Rc<[u8]>,
    /// Its version.
    pub version: Span,
    /// From which millisecond on it is gone; [`Span::NEVER`]: from none.
    pub expiry: Span,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of op {}", Quoted(&self.bytes), self.writer)?;
        if self.version != Span::ANY {
            write!(f, ", version {}", self.version)?;
        }
        if self.expiry != Span::NEVER {
            write!(f, ", expires at {}", self.expiry)?;
        }
        Ok(())
    }
}

/// What a key holds, or nothing.
pub type Slot = Option<Value>;

/// What the keys of a register hold, by their place; keys that were never touched may be missing at the end.
#[derive(Clone, Debug, Default)]
pub struct Slots(smallvec::SmallVec<[Slot; 1]>);

impl PartialEq for Slots {
    fn eq(&self, other: &Slots) -> bool {
        let places = self.0.len().max(other.0.len());
        (0..places).all(|place| self.get(place) == other.get(place))
    }
}

impl Slots {
    /// What the key at a place holds.
    pub fn get(&self, place: usize) -> Option<&Value> {
        self.0.get(place).and_then(Option::as_ref)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut Value> {
        self.0.get_mut(place).and_then(Option::as_mut)
    }

    /// Changes what a key holds.
    pub fn set(&mut self, place: usize, slot: Slot) {
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = slot;
    }

    /// Only the keys of a mask ([`Op::mask`](super::op::Op::mask)).
    pub fn only(&self, mask: u64) -> Slots {
        let is_in = |place: usize| mask == u64::MAX || mask >> place.min(63) & 1 == 1;
        Slots(
            self.0
                .iter()
                .enumerate()
                .map(|(place, slot)| if is_in(place) { slot.clone() } else { None })
                .collect(),
        )
    }

    /// Whether time may take something away.
    pub fn may_expire(&self) -> bool {
        self.values().any(|(_, value)| value.expiry != Span::NEVER)
    }

    /// The values that are there, with their places.
    pub fn values(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.0.iter().enumerate().filter_map(|(place, slot)| Some((place, slot.as_ref()?)))
    }
}

/// When something is evaluated: the clock of the shard lies between these, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The lowest.
    pub from: u64,
    /// The highest.
    pub to: u64,
    /// How far the wall clock is ahead of it.
    pub lead: Lead,
}

/// What a key may hold at a clock: the value (with what its being alive tells of its expiry), nothing, or either.
#[derive(Clone, Debug)]
pub struct Alive {
    /// The value, if it may be alive.
    pub there: Option<Value>,
    /// Whether nothing may be there.
    pub absent: bool,
}

/// Looks at a slot at some time within `clock`.
pub fn look(slot: Option<&Value>, clock: Clock) -> Alive {
    let Some(value) = slot else { return Alive { there: None, absent: true } };
    if value.expiry == Span::NEVER || value.expiry.from > clock.to {
        return Alive { there: Some(value.clone()), absent: false };
    }
    if value.expiry.to <= clock.from {
        return Alive { there: None, absent: true };
    }
    let mut alive = value.clone();
    alive.expiry.from = alive.expiry.from.max(clock.from + 1);
    Alive { there: Some(alive), absent: true }
}
