//! The binary protocol: requests to frames, responses to what they tell.

use super::request::{Request, SetReply};
use crate::model::Told;
use crate::model::op::{self, NewExpiry, Update};
use crate::model::seen::{Refusal, Seen, SeenValue};
use pinion_net::wire::{
    self, BatchBuilder, Command, Condition, ErrorCode, Expiry, KeyListBuilder, KeyResult, Level, Limits,
    Once, Reply, Status, ValueRef,
};
use smallvec::SmallVec;

/// Appends a command as a frame.
pub fn command(command: Command<'_>, id: u64, checked: bool, out: &mut Vec<u8>) {
    encode(command, None, (id, 0), checked, out);
}

/// As [`command`], to be done once.
pub fn once(command: Command<'_>, once: Once, id: u64, checked: bool, out: &mut Vec<u8>) {
    encode(command, Some(once), (id, 0), checked, out);
}

fn encode(
    command: Command<'_>,
    once: Option<Once>,
    (id, deadline_ms): (u64, u32),
    checked: bool,
    out: &mut Vec<u8>,
) {
    let request = wire::Request { id, level: Level::Default, keyspace: 0, deadline_ms, once, command };
    let encoded = request.encode(&Limits::default(), checked, out);
    encoded.expect("clients stay within the protocol's limits");
}

/// Appends a request, under an id and with a deadline in milliseconds (0: none).
pub fn append(request: &Request, head: (u64, u32), checked: bool, out: &mut Vec<u8>) {
    let mut send = |command: Command<'_>| encode(command, None, head, checked, out);
    let within = "clients stay within the protocol's limits";
    match request {
        Request::Get(key) | Request::StrLen(key) | Request::Ttl(key, _) => send(Command::Get { key }),
        Request::Exists(keys) => keys.iter().take(1).for_each(|key| send(Command::Exists { key })),
        Request::MultiGet(keys) => {
            let mut list = KeyListBuilder::default();
            keys.iter().for_each(|key| list.push(key).expect(within));
            send(Command::MultiGet { keys: list.list() });
        }
        Request::Set { key, bytes, expiry, condition, reply } => {
            let want_old = *reply == SetReply::Old;
            let (expiry, condition) = (new_expiry(*expiry), self::condition(*condition));
            send(Command::Put { key, value: bytes, expiry, condition, want_old });
        }
        Request::Delete { key, condition, old, existed } => {
            let condition = self::condition(*condition);
            send(Command::Delete { key, condition, want_old: *old, want_existed: *existed });
        }
        Request::GetDel(key) => {
            let condition = Condition::None;
            send(Command::Delete { key, condition, want_old: true, want_existed: false });
        }
        Request::Del(keys) => {
            let mut batch = BatchBuilder::default();
            keys.iter().for_each(|key| batch.delete(key).expect(within));
            send(Command::Batch { ops: batch.ops() });
        }
        Request::Add { key, by } => send(Command::Increment { key, by: *by }),
        Request::Append { key, suffix } => {
            let (expiry, condition) = (Expiry::Never, Condition::None);
            send(Command::Put { key, value: suffix, expiry, condition, want_old: false });
        }
        Request::Expire { key, expiry, .. } => send(Command::Expire { key, expiry: new_expiry(*expiry) }),
        Request::Batch(updates) => {
            let mut batch = BatchBuilder::default();
            for (key, update) in updates {
                let added = match update {
                    Update::Put { bytes, expiry, .. } => batch.put(key, bytes, new_expiry(*expiry)),
                    _ => batch.delete(key),
                };
                added.expect(within);
            }
            send(Command::Batch { ops: batch.ops() });
        }
        Request::Clear => send(Command::Clear),
    }
}

fn new_expiry(expiry: NewExpiry) -> Expiry {
    match expiry {
        NewExpiry::Never => Expiry::Never,
        NewExpiry::Keep => Expiry::Keep,
        NewExpiry::After(ms) => Expiry::After(ms),
        NewExpiry::At(ms) => Expiry::At(ms),
    }
}

fn condition(condition: op::Condition) -> Condition {
    match condition {
        op::Condition::Always => Condition::None,
        op::Condition::Absent => Condition::Absent,
        op::Condition::Present => Condition::Present,
        op::Condition::Version(version) => Condition::Version(version),
    }
}

/// What a response tells of a request; `None`: it isn't of a kind that answers it.
pub fn told(request: &Request, reply: &Reply<'_>) -> Option<Told> {
    let one = |value| Seen::Values(SmallVec::from_elem(value, 1));
    let done = Seen::Written { version: None, existed: None, old: None };
    let seen = match (request, reply) {
        (_, Reply::Refused { code, .. }) => Seen::Refused(refusal(*code)),
        // Some partitions were busy, which they always may be.
        (_, Reply::Unknown { code: ErrorCode::PARTIAL, text }) if text.contains("busy") => {
            return Some(Told::SomeRefused(Refusal::Busy));
        }
        (_, Reply::Unknown { .. }) => Seen::Unknown,
        (Request::Get(_), Reply::Value(found)) => one(value(*found, true)),
        (Request::Exists(_), Reply::Value(found)) => one(value(*found, false)),
        (Request::Get(_) | Request::Exists(_), Reply::NotFound) => one(SeenValue::Absent),
        (Request::MultiGet(keys), Reply::Values(results)) if results.len() == keys.len() => {
            let results = results.iter().map(|result| match result {
                KeyResult::Value(found) => Ok(value(found, true)),
                KeyResult::NotFound => Ok(SeenValue::Absent),
                // The memory had no room for the value beside others: it is to be asked for again.
                KeyResult::Refused { code: ErrorCode::LIMIT, .. } => Err(Refusal::Busy),
                KeyResult::Refused { code, .. } => Err(refusal(code)),
            });
            return Some(Told::PerKey(results.collect()));
        }
        (Request::Set { reply, .. }, Reply::Written { version, old }) => {
            let old = (*reply == SetReply::Old).then(|| before(*old));
            Seen::Written { version: Some(*version), existed: None, old }
        }
        (Request::Delete { old: wants, existed, .. }, Reply::Written { version, old }) => {
            let old = wants.then(|| before(*old));
            Seen::Written { version: Some(*version), existed: existed.then_some(true), old }
        }
        (Request::Delete { existed: true, .. }, Reply::NotFound) => {
            Seen::Written { version: None, existed: Some(false), old: None }
        }
        (Request::Set { reply, .. }, Reply::NotMet { current }) => not_met(*current, *reply == SetReply::Old),
        (Request::Delete { old, .. }, Reply::NotMet { current }) => not_met(*current, *old),
        (Request::Add { .. }, Reply::Integer(sum)) => Seen::Number(*sum),
        (Request::Expire { .. }, Reply::Done) => done,
        (Request::Expire { .. }, Reply::NotFound) => Seen::NotMet { current: Some(SeenValue::Absent) },
        (Request::Expire { .. }, Reply::NotMet { current }) => not_met(*current, false),
        (Request::Batch(_), Reply::Outcomes(outcomes)) => {
            let outcomes = outcomes.iter().map(|outcome| {
                let seen = match outcome.status {
                    Status::Ok => Seen::Written { version: Some(outcome.version), existed: None, old: None },
                    Status::Unknown => Seen::Unknown,
                    _ => Seen::Refused(refusal(outcome.code)),
                };
                (outcome.partition, seen)
            });
            return Some(Told::PerPartition(outcomes.collect()));
        }
        (Request::Clear, Reply::Done) => Seen::Done,
        _ => return None,
    };
    Some(Told::Whole(seen))
}

/// A value as it was told.
pub fn value(found: ValueRef<'_>, with_bytes: bool) -> SeenValue {
    let bytes = with_bytes.then(|| found.bytes.into());
    SeenValue::There { bytes, version: Some(found.version), expiry: Some(found.expiry) }
}

fn before(old: Option<ValueRef<'_>>) -> SeenValue {
    old.map_or(SeenValue::Absent, |old| value(old, true))
}

fn not_met(current: Option<ValueRef<'_>>, with_bytes: bool) -> Seen {
    Seen::NotMet { current: Some(current.map_or(SeenValue::Absent, |current| value(current, with_bytes))) }
}

/// A refusal by its number.
pub fn refusal(code: ErrorCode) -> Refusal {
    match code {
        ErrorCode::NOT_AN_INTEGER => Refusal::NotAnInteger,
        ErrorCode::OVERFLOW => Refusal::Overflow,
        ErrorCode::LIMIT => Refusal::Limit,
        ErrorCode::BUSY => Refusal::Busy,
        ErrorCode::READ_ONLY => Refusal::ReadOnly,
        ErrorCode::DAMAGED => Refusal::Damaged,
        ErrorCode::DEADLINE => Refusal::TimedOut,
        ErrorCode::UNAVAILABLE => Refusal::Unavailable,
        _ => Refusal::Other,
    }
}

/// The version that a response tells of a key.
pub fn told_version(reply: &Reply<'_>) -> Option<u64> {
    match reply {
        Reply::Value(found) => Some(found.version),
        Reply::Written { version, .. } => Some(*version),
        Reply::NotMet { current } => current.map(|current| current.version),
        _ => None,
    }
}

/// Whether it is the last word of a server that goes down, or that needs the memory of the connection.
pub fn is_goodbye(reply: &Reply<'_>) -> bool {
    matches!(reply, Reply::Refused { code: ErrorCode::SHUTTING_DOWN | ErrorCode::BUSY, .. })
}
