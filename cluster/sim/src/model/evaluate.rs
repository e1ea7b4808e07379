//! What an operation does to a register, and what it answers: every way it may go.
//!
//! Almost always there is one way. There are more where an expiry may or may not have passed, or where a condition names
//! a version that isn't known.

use super::op::{Condition, ExpireCondition, Kind, NewExpiry, Op, Update};
use super::seen::Refusal;
use super::value::{Clock, OpId, Slot, Slots, Span, Value, look};
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::rc::Rc;

/// What an operation answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// What the keys held, in the order asked.
    Values(SmallVec<[Slot; 1]>),
    /// Done; how many of the keys were there before, and what a single one held.
    Written {
        /// Keys that were there, where it was looked.
        existed: u64,
        /// What the key held, where it was looked.
        old: Slot,
    },
    /// The condition didn't hold because of this.
    NotMet {
        /// What the key holds.
        current: Slot,
    },
    /// The sum, or the length.
    Number(i64),
    /// Refused because of what is there.
    Refused(Refusal),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = |slot: &Slot| slot.as_ref().map_or_else(|| "absent".to_owned(), Value::to_string);
        match self {
            Outcome::Values(slots) => {
                let texts: Vec<String> = slots.iter().map(slot).collect();
                write!(f, "{}", texts.join(" | "))
            }
            Outcome::Written { existed: 0, old: None } => write!(f, "written"),
            Outcome::Written { existed, old } => {
                write!(f, "written, {existed} were there, before: {}", slot(old))
            }
            Outcome::NotMet { current } => write!(f, "not met: {}", slot(current)),
            Outcome::Number(number) => write!(f, "{number}"),
            Outcome::Refused(refusal) => write!(f, "refused: {refusal:?}"),
        }
    }
}

/// One way an operation may go.
#[derive(Clone, Debug)]
pub struct Branch {
    /// What the keys hold afterwards.
    pub slots: Slots,
    /// What is answered.
    pub outcome: Outcome,
    /// Whether something was written, and a new version given (a deletion of nothing may have got one, too).
    pub wrote: bool,
}

/// Evaluates an operation at some time within `clock`; what it writes has a version within `version`.
pub fn evaluate(op: &Op, slots: &Slots, clock: Clock, version: Span) -> SmallVec<[Branch; 2]> {
    match &op.kind {
        Kind::Read(places) => read(places, slots, clock),
        Kind::Update(place, update) => {
            let at = At { writer: op.id, clock, version };
            at.update(*place, update, slots)
        }
        Kind::Batch(updates) => batch(At { writer: op.id, clock, version }, updates, slots),
        Kind::Clear => {
            let outcome = Outcome::Written { existed: 0, old: None };
            smallvec![Branch { slots: Slots::default(), outcome, wrote: true }]
        }
    }
}

fn read(places: &[usize], slots: &Slots, clock: Clock) -> SmallVec<[Branch; 2]> {
    let start = Branch { slots: slots.clone(), outcome: Outcome::Values(SmallVec::new()), wrote: false };
    let mut branches: SmallVec<[Branch; 2]> = smallvec![start];
    for &place in places {
        let mut next = SmallVec::new();
        for branch in branches {
            for (slots, found) in ways(&branch.slots, place, clock) {
                let Outcome::Values(values) = &branch.outcome else { continue };
                let mut values = values.clone();
                values.push(found);
                next.push(Branch { slots, outcome: Outcome::Values(values), wrote: false });
            }
        }
        branches = next;
    }
    branches
}

fn batch(at: At, updates: &[(usize, Update)], slots: &Slots) -> SmallVec<[Branch; 2]> {
    let outcome = Outcome::Written { existed: 0, old: None };
    let mut branches: SmallVec<[Branch; 2]> =
        smallvec![Branch { slots: slots.clone(), outcome, wrote: false }];
    // Only the version of the last operation is told.
    let inner = Span { from: at.version.from.saturating_sub(updates.len() as u64), to: at.version.to };
    for (index, (place, update)) in updates.iter().enumerate() {
        let version = if index + 1 == updates.len() { at.version } else { inner };
        let at = At { version, ..at };
        let mut next = SmallVec::new();
        for branch in branches {
            let Outcome::Written { existed: before, .. } = branch.outcome else { continue };
            // Deletes of a batch say how many keys were there; puts don't look.
            for way in at.update(*place, update, &branch.slots) {
                let Outcome::Written { existed, .. } = way.outcome else { continue };
                let outcome = Outcome::Written { existed: before + existed, old: None };
                next.push(Branch { slots: way.slots, outcome, wrote: branch.wrote || way.wrote });
            }
        }
        branches = next;
    }
    branches
}

/// The ways that a key may be found, and the slots with what that tells.
fn ways(slots: &Slots, place: usize, clock: Clock) -> SmallVec<[(Slots, Slot); 2]> {
    let alive = look(slots.get(place), clock);
    let mut ways = SmallVec::new();
    if let Some(value) = alive.there {
        let mut slots = slots.clone();
        slots.set(place, Some(value.clone()));
        ways.push((slots, Some(value)));
    }
    if alive.absent {
        let mut slots = slots.clone();
        if slots.get(place).is_some() {
            slots.set(place, None);
        }
        ways.push((slots, None));
    }
    ways
}

#[derive(Clone, Copy)]
struct At {
    writer: OpId,
    clock: Clock,
    version: Span,
}

impl At {
    fn update(self, place: usize, update: &Update, slots: &Slots) -> SmallVec<[Branch; 2]> {
        if let Update::Put { bytes, expiry, condition: Condition::Always, old: false } = update
            && *expiry != NewExpiry::Keep
        {
            // What was there doesn't matter.
            return smallvec![self.put(place, (bytes, *expiry, false), slots.clone(), None)];
        }
        let mut branches = SmallVec::new();
        for (slots, found) in ways(slots, place, self.clock) {
            self.on_found(place, update, slots, found, &mut branches);
        }
        branches
    }

    fn on_found(
        self,
        place: usize,
        update: &Update,
        slots: Slots,
        found: Slot,
        branches: &mut SmallVec<[Branch; 2]>,
    ) {
        let unchanged = |slots, outcome| Branch { slots, outcome, wrote: false };
        match update {
            Update::Put { bytes, expiry, condition, old } => {
                let (met, not_met) = holds(*condition, found.as_ref());
                if not_met {
                    branches.push(unchanged(slots.clone(), Outcome::NotMet { current: found.clone() }));
                }
                if met {
                    branches.push(self.put(place, (bytes, *expiry, *old), slots, found));
                }
            }
            Update::Delete { condition, old } => {
                let (met, not_met) = holds(*condition, found.as_ref());
                if not_met {
                    branches.push(unchanged(slots.clone(), Outcome::NotMet { current: found.clone() }));
                }
                if met {
                    let mut slots = slots;
                    slots.set(place, None);
                    let (wrote, found) = (found.is_some(), found.filter(|_| *old));
                    let outcome = Outcome::Written { existed: u64::from(found.is_some()), old: found };
                    branches.push(Branch { slots, outcome, wrote });
                }
            }
            Update::Increment { by } => {
                branches.push(match sum(found.as_ref(), *by) {
                    Ok(sum) => {
                        let bytes = sum.to_string().into_bytes().into();
                        self.replace(place, bytes, slots, found, sum)
                    }
                    Err(refusal) => unchanged(slots, Outcome::Refused(refusal)),
                });
            }
            Update::Append { suffix } => {
                let before = found.as_ref().map_or(&[][..], |value| &value.bytes);
                let bytes: Rc<[u8]> = [before, suffix].concat().into();
                let length = bytes.len() as i64;
                branches.push(self.replace(place, bytes, slots, found, length));
            }
            Update::Expire { expiry, condition } => {
                self.expire(place, *expiry, *condition, slots, found, branches);
            }
        }
    }

    fn value(self, bytes: Rc<[u8]>, expiry: Span) -> Value {
        Value { bytes, writer: self.writer, version: self.version, expiry }
    }

    fn new_expiry(self, expiry: NewExpiry, found: Option<&Value>) -> Span {
        match expiry {
            NewExpiry::Never => Span::NEVER,
            NewExpiry::Keep => found.map_or(Span::NEVER, |value| value.expiry),
            NewExpiry::At(ms) => self.clock.lead.expiry_of(ms.max(1)),
            NewExpiry::After(ms) => Span {
                from: self.clock.from.saturating_add(ms).max(1),
                to: self.clock.to.saturating_add(ms).max(1),
            },
        }
    }

    fn put(
        self,
        place: usize,
        (bytes, expiry, old): (&Rc<[u8]>, NewExpiry, bool),
        mut slots: Slots,
        found: Slot,
    ) -> Branch {
        let expiry = self.new_expiry(expiry, found.as_ref());
        slots.set(place, Some(self.value(Rc::clone(bytes), expiry)));
        // What isn't told is left out, so that it doesn't tell states apart.
        let outcome = Outcome::Written { existed: 0, old: found.filter(|_| old) };
        Branch { slots, outcome, wrote: true }
    }

    fn replace(self, place: usize, bytes: Rc<[u8]>, mut slots: Slots, found: Slot, number: i64) -> Branch {
        let expiry = self.new_expiry(NewExpiry::Keep, found.as_ref());
        slots.set(place, Some(self.value(bytes, expiry)));
        Branch { slots, outcome: Outcome::Number(number), wrote: true }
    }

    fn expire(
        self,
        place: usize,
        expiry: NewExpiry,
        condition: ExpireCondition,
        slots: Slots,
        found: Slot,
        branches: &mut SmallVec<[Branch; 2]>,
    ) {
        let not_met =
            |slots, found| Branch { slots, outcome: Outcome::NotMet { current: found }, wrote: false };
        let Some(value) = found else { return branches.push(not_met(slots, None)) };
        let new = self.new_expiry(expiry, Some(&value));
        let (met, fails) = if new == Span::NEVER && value.expiry == Span::NEVER {
            (false, true)
        } else {
            changes(condition, new, value.expiry)
        };
        if fails {
            branches.push(not_met(slots.clone(), Some(value.clone())));
        }
        if met {
            let mut slots = slots;
            slots.set(place, Some(self.value(Rc::clone(&value.bytes), new)));
            let outcome = Outcome::Written { existed: 0, old: None };
            branches.push(Branch { slots, outcome, wrote: true });
        }
    }
}

/// Whether a condition may hold, and whether it may not.
fn holds(condition: Condition, found: Option<&Value>) -> (bool, bool) {
    let sure = |holds: bool| (holds, !holds);
    match (condition, found) {
        (Condition::Always, _) => sure(true),
        (Condition::Absent, found) => sure(found.is_none()),
        (Condition::Present, found) => sure(found.is_some()),
        (Condition::Version(_), None) => sure(false),
        (Condition::Version(version), Some(value)) if !value.version.has(version) => sure(false),
        (Condition::Version(_), Some(value)) if value.version.is_exact() => sure(true),
        (Condition::Version(_), Some(_)) => (true, true),
    }
}

/// Whether an expiry may be changed, and whether it may not.
fn changes(condition: ExpireCondition, new: Span, old: Span) -> (bool, bool) {
    let sure = |holds: bool| (holds, !holds);
    let compare = |smaller: Span, larger: Span| {
        (smaller.from < larger.to, smaller.to >= larger.from) // may be less, may not be less
    };
    match condition {
        ExpireCondition::Always => sure(true),
        ExpireCondition::HasNone => sure(old == Span::NEVER),
        ExpireCondition::HasOne => sure(old != Span::NEVER),
        ExpireCondition::Later => compare(old, new),
        ExpireCondition::Earlier => compare(new, old),
    }
}

/// The sum as the server computes it.
fn sum(found: Option<&Value>, by: i64) -> Result<i64, Refusal> {
    let start = found.map_or(Some(0), |value| integer(&value.bytes)).ok_or(Refusal::NotAnInteger)?;
    start.checked_add(by).ok_or(Refusal::Overflow)
}

/// A decimal integer without plus sign, spaces or leading zeros.
fn integer(bytes: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == bytes).then_some(number)
}
