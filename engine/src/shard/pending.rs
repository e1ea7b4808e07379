//! Answers that wait for what they tell of to be durable and applied, so that nobody hears of what a crash could take back.

use super::owned::OwnedOp;
use super::request::{Answer, Answers, NO_DEADLINE, Once, Refusal, Ticket, Unsure, Value};
use crate::group::Group;
use crate::group::groups::Place;
use crate::key::{Expiry, Prefix, Version};

/// An answer that waits for a log write to be durable and applied.
#[derive(Debug)]
pub(super) struct PendingAnswer {
    pub ticket: Ticket,
    pub deadline_us: u64,
    /// The group whose entry it waits for.
    pub place: Place,
    pub says: Says,
}

/// What a waiting answer says.
#[derive(Debug)]
pub(super) enum Says {
    Written {
        version: Version,
        existed: u32,
        old: Option<Box<OwnedValue>>,
    },
    NotMet {
        current: Option<Box<OwnedValue>>,
    },
    Integer(i64),
    Refused(Refusal<'static>),
    /// What is read then.
    Read(Box<PendingRead>),
    /// What the first copy of this request came to.
    Again(Box<Once>),
}

/// A read that waits: of keys that are pending, or until it is known who leads.
#[derive(Debug)]
pub(super) struct PendingRead {
    pub prefix: Prefix,
    pub op: OwnedOp,
    /// What a read of keys sees: versions up to this one, which are applied by the time that it is answered, and what hadn't
    /// expired when it came.
    pub version: Version,
    pub now_ms: u64,
    /// Whether it says what is true, as who leads knows it.
    pub is_led: bool,
}

impl PendingAnswer {
    /// What it says.
    pub fn kind(&self) -> AnswerKind {
        match self.says {
            Says::Written { .. } | Says::Integer(_) | Says::Again(_) => AnswerKind::Write,
            Says::NotMet { .. } | Says::Refused(_) => AnswerKind::Verdict,
            Says::Read(_) => AnswerKind::Read,
        }
    }

    /// The read, if it is one.
    pub fn read(&self) -> Option<&PendingRead> {
        if let Says::Read(read) = &self.says { Some(read) } else { None }
    }

    /// Memory it takes, about, bytes.
    pub fn bytes(&self) -> usize {
        let value =
            |value: &Option<Box<OwnedValue>>| value.as_ref().map_or(0, |value| value.bytes.len() + 64);
        let payload = match &self.says {
            Says::Written { old, .. } => value(old),
            Says::NotMet { current, .. } => value(current),
            Says::Read(read) => size_of::<PendingRead>() + read.op.bytes(),
            Says::Again(_) => size_of::<Once>(),
            Says::Integer(_) | Says::Refused(_) => 0,
        };
        size_of::<PendingAnswer>() + payload
    }

    /// What is said instead once nobody waits any more: what it is about is on its way to the log, or was only looked at.
    pub fn end_overdue(self, out: &mut impl Answers) {
        let answer = match self.kind() {
            AnswerKind::Write => Answer::Unknown(Unsure::TimedOut),
            AnswerKind::Verdict | AnswerKind::Read => Answer::Refused(Refusal::TimedOut),
        };
        out.answer(self.ticket, answer);
    }
}

impl Says {
    /// Says the expiry of the value that it carries in the shard's time.
    #[inline]
    pub fn translate<W>(&mut self, group: &Group<W>) {
        if let Says::Written { old: Some(value), .. } | Says::NotMet { current: Some(value) } = self {
            value.expiry = group.in_shard_time(value.expiry);
        }
    }

    /// Says anything but what is to be looked up, which is handed back.
    #[inline]
    pub fn send(self, ticket: Ticket, out: &mut impl Answers) -> Option<LookUp> {
        match self {
            Says::Written { version, existed, old } => {
                let old = old.as_deref().map(OwnedValue::borrow);
                out.answer(ticket, Answer::Written { version, existed, old });
            }
            Says::NotMet { current } => {
                out.answer(ticket, Answer::NotMet { current: current.as_deref().map(OwnedValue::borrow) });
            }
            Says::Integer(number) => out.answer(ticket, Answer::Integer(number)),
            Says::Refused(refusal) => out.answer(ticket, Answer::Refused(refusal)),
            Says::Read(read) => return Some(LookUp::Read(read)),
            Says::Again(once) => return Some(LookUp::Again(once)),
        }
        None
    }

    /// The value that it carries.
    pub fn value(&self) -> Option<&OwnedValue> {
        match self {
            Says::Written { old: value, .. } | Says::NotMet { current: value } => value.as_deref(),
            Says::Integer(_) | Says::Refused(_) | Says::Read(_) | Says::Again(_) => None,
        }
    }
}

/// What an answer is made of once it may leave.
#[derive(Debug)]
pub(super) enum LookUp {
    Read(Box<PendingRead>),
    Again(Box<Once>),
}

/// Ends those of some answers whose deadline has passed; tells each to `ended`. Returns the earliest deadline that is left.
pub(super) fn end_overdue(
    answers: &mut Vec<PendingAnswer>,
    now_us: u64,
    out: &mut impl Answers,
    mut ended: impl FnMut(&PendingAnswer),
) -> u64 {
    for answer in answers.extract_if(.., |answer| answer.deadline_us < now_us) {
        ended(&answer);
        answer.end_overdue(out);
    }
    answers.iter().map(|answer| answer.deadline_us).min().unwrap_or(NO_DEADLINE)
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A write was done that is part of the log write, or the state was already so.
    Write,
    /// Nothing was done, because of a state that the log write may hold.
    Verdict,
    /// What keys hold.
    Read,
}

/// A value copied out of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedValue {
    bytes: Box<[u8]>,
    version: Version,
    expiry: Expiry,
}

impl OwnedValue {
    pub fn new(value: Value<'_>) -> OwnedValue {
        OwnedValue { bytes: value.bytes.into(), version: value.version, expiry: value.expiry }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn borrow(&self) -> Value<'_> {
        Value { bytes: &self.bytes, version: self.version, expiry: self.expiry }
    }
}
