//! RESP: requests to commands, replies to what they tell.

use super::request::{Request, SetReply};
use crate::model::Told;
use crate::model::op::{Condition, ExpireCondition, NewExpiry, Update};
use crate::model::seen::{Refusal, Seen, SeenValue, TtlUnit};
use pinion_net::resp::client::{Reply, encode};
use smallvec::SmallVec;

type Words = Vec<Vec<u8>>;

/// Appends words as a command.
pub fn command(words: &[Vec<u8>], out: &mut Vec<u8>) {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    encode(&words, out);
}

/// A command of fixed words.
pub fn fixed(words: &[&str], out: &mut Vec<u8>) {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    encode(&words, out);
}

/// Appends a request. `dice` chooses between commands that say the same.
pub fn append(request: &Request, dice: u32, out: &mut Vec<u8>) {
    command(&words(request, dice), out);
}

fn words(request: &Request, dice: u32) -> Words {
    let named = |name: &str| vec![name.as_bytes().to_vec()];
    let on = |name: &str, key: &[u8]| vec![name.as_bytes().to_vec(), key.to_vec()];
    match request {
        Request::Get(key) => on("GET", key),
        Request::Exists(keys) => many("EXISTS", keys.iter().map(|key| key.to_vec())),
        Request::StrLen(key) => on("STRLEN", key),
        Request::Ttl(key, TtlUnit::Seconds) => on("TTL", key),
        Request::Ttl(key, TtlUnit::Milliseconds) => on("PTTL", key),
        Request::MultiGet(keys) => many("MGET", keys.iter().map(|key| key.to_vec())),
        Request::Set { key, bytes, condition: Condition::Absent, reply: SetReply::Bit, .. } => {
            [on("SETNX", key), vec![bytes.to_vec()]].concat()
        }
        Request::Set { key, bytes, condition: Condition::Always, reply: SetReply::Old, expiry }
            if *expiry == NewExpiry::Never && dice.is_multiple_of(2) =>
        {
            [on("GETSET", key), vec![bytes.to_vec()]].concat()
        }
        Request::Set { key, bytes, expiry, condition, reply } => {
            let mut words = [on("SET", key), vec![bytes.to_vec()]].concat();
            words.extend(set_expiry(*expiry, dice));
            match condition {
                Condition::Absent => words.push(b"NX".to_vec()),
                Condition::Present => words.push(b"xx".to_vec()),
                Condition::Always | Condition::Version(_) => {}
            }
            if *reply == SetReply::Old {
                words.push(b"GET".to_vec());
            }
            words
        }
        Request::GetDel(key) => on("GETDEL", key),
        Request::Del(keys) => {
            let name = if dice.is_multiple_of(3) { "UNLINK" } else { "del" };
            many(name, keys.iter().map(|key| key.to_vec()))
        }
        Request::Delete { key, .. } => on("DEL", key),
        Request::Add { key, by } => add(key, *by, dice),
        Request::Append { key, suffix } => [on("APPEND", key), vec![suffix.to_vec()]].concat(),
        Request::Expire { key, expiry, condition } => expire(key, *expiry, *condition, dice),
        Request::Batch(updates) => {
            let words = updates.iter().filter_map(|(key, update)| match update {
                Update::Put { bytes, .. } => Some([key.to_vec(), bytes.to_vec()]),
                _ => None,
            });
            many("MSET", words.flatten())
        }
        Request::Clear if dice.is_multiple_of(2) => named("FLUSHALL"),
        Request::Clear => named("FLUSHDB"),
    }
}

fn many(name: &str, words: impl Iterator<Item = Vec<u8>>) -> Words {
    std::iter::once(name.as_bytes().to_vec()).chain(words).collect()
}

fn number(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn set_expiry(expiry: NewExpiry, dice: u32) -> Words {
    let seconds = dice.is_multiple_of(2);
    match expiry {
        NewExpiry::Never => Vec::new(),
        NewExpiry::Keep => vec![b"KEEPTTL".to_vec()],
        NewExpiry::After(ms) if ms % 1000 == 0 && seconds => vec![b"EX".to_vec(), number(ms / 1000)],
        NewExpiry::After(ms) => vec![b"PX".to_vec(), number(ms)],
        NewExpiry::At(ms) if ms % 1000 == 0 && seconds => vec![b"EXAT".to_vec(), number(ms / 1000)],
        NewExpiry::At(ms) => vec![b"PXAT".to_vec(), number(ms)],
    }
}

fn add(key: &[u8], by: i64, dice: u32) -> Words {
    match by {
        1 => vec![b"INCR".to_vec(), key.to_vec()],
        -1 => vec![b"DECR".to_vec(), key.to_vec()],
        by if by > i64::MIN && dice.is_multiple_of(2) => vec![b"DECRBY".to_vec(), key.to_vec(), number(-by)],
        by => vec![b"INCRBY".to_vec(), key.to_vec(), number(by)],
    }
}

fn expire(key: &[u8], expiry: NewExpiry, condition: ExpireCondition, dice: u32) -> Words {
    let seconds = dice.is_multiple_of(2);
    let (name, time) = match expiry {
        NewExpiry::Never | NewExpiry::Keep => return vec![b"PERSIST".to_vec(), key.to_vec()],
        NewExpiry::After(ms) if ms % 1000 == 0 && seconds => ("EXPIRE", ms / 1000),
        NewExpiry::After(ms) => ("PEXPIRE", ms),
        NewExpiry::At(ms) if ms % 1000 == 0 && seconds => ("EXPIREAT", ms / 1000),
        NewExpiry::At(ms) => ("PEXPIREAT", ms),
    };
    let mut words = vec![name.as_bytes().to_vec(), key.to_vec(), number(time)];
    let word = match condition {
        ExpireCondition::Always => return words,
        ExpireCondition::HasNone => "NX",
        ExpireCondition::HasOne => "XX",
        ExpireCondition::Later => "GT",
        ExpireCondition::Earlier => "LT",
    };
    words.push(word.as_bytes().to_vec());
    words
}

/// What a reply tells of a request; `None`: it isn't of a kind that answers it.
pub fn told(request: &Request, reply: &Reply<'_>) -> Option<Told> {
    if let Reply::Error(text) = reply {
        return Some(match error(text) {
            // It says that nothing was done.
            seen @ Seen::Refused(Refusal::TimedOut) => Told::Whole(seen),
            Seen::Refused(refusal) => Told::SomeRefused(refusal),
            seen => Told::Whole(seen),
        });
    }
    let one = |value| Seen::Values(SmallVec::from_elem(value, 1));
    let written = Seen::Written { version: None, existed: None, old: None };
    let seen = match (request, reply) {
        (Request::Get(_), reply) => one(value(reply)?),
        (Request::Exists(_), Reply::Integer(count)) => Seen::Count(u64::try_from(*count).ok()?),
        (Request::StrLen(_), Reply::Integer(length)) => {
            one(SeenValue::Length(usize::try_from(*length).ok()?))
        }
        (Request::Ttl(..), Reply::Integer(-2)) => one(SeenValue::Absent),
        (Request::Ttl(..), Reply::Integer(-1)) => one(SeenValue::NoExpiry),
        (Request::Ttl(_, unit), Reply::Integer(left)) => {
            one(SeenValue::Ttl(*unit, u64::try_from(*left).ok()?))
        }
        (Request::MultiGet(keys), Reply::Array(replies)) if replies.len() == keys.len() => {
            return Some(Told::PerKey(replies.iter().map(item).collect::<Option<_>>()?));
        }
        (Request::Set { reply: SetReply::Ok, .. }, Reply::Simple(b"OK")) => written,
        (Request::Set { reply: SetReply::Ok, .. }, Reply::Null) => Seen::NotMet { current: None },
        (Request::Set { reply: SetReply::Bit, .. } | Request::Expire { .. }, Reply::Integer(1)) => written,
        (Request::Set { reply: SetReply::Bit, .. } | Request::Expire { .. }, Reply::Integer(0)) => {
            Seen::NotMet { current: None }
        }
        (Request::Set { reply: SetReply::Old, .. } | Request::GetDel(_), reply) => Seen::Old(value(reply)?),
        (Request::Del(_), Reply::Integer(count)) => Seen::Count(u64::try_from(*count).ok()?),
        (Request::Add { .. } | Request::Append { .. }, Reply::Integer(number)) => Seen::Number(*number),
        (Request::Batch(_) | Request::Clear, Reply::Simple(b"OK")) => Seen::Done,
        _ => return None,
    };
    Some(Told::Whole(seen))
}

fn value(reply: &Reply<'_>) -> Option<SeenValue> {
    match reply {
        Reply::Bulk(bytes) => {
            Some(SeenValue::There { bytes: Some((*bytes).into()), version: None, expiry: None })
        }
        Reply::Null => Some(SeenValue::Absent),
        _ => None,
    }
}

/// An item of MGET: of an array that was already leaving, what can't be read is an error in its place. Only what hinders a
/// read may stand there.
fn item(reply: &Reply<'_>) -> Option<Result<SeenValue, Refusal>> {
    let Reply::Error(text) = reply else { return value(reply).map(Ok) };
    match error(text) {
        Seen::Refused(refusal @ (Refusal::Busy | Refusal::Damaged | Refusal::TimedOut)) => Some(Err(refusal)),
        _ => None,
    }
}

/// What an error says.
pub fn error(text: &[u8]) -> Seen {
    let has = |part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
    let refusal = if text.starts_with(b"TRYAGAIN") || has("the shard is busy") {
        Refusal::Busy
    } else if text.starts_with(b"MISCONF") {
        Refusal::ReadOnly
    } else if has("outcome unknown") {
        return Seen::Unknown;
    } else if text.starts_with(b"TIMED_OUT") {
        Refusal::TimedOut
    } else if has("value is not an integer") {
        Refusal::NotAnInteger
    } else if has("would overflow") {
        Refusal::Overflow
    } else if has("limit") {
        Refusal::Limit
    } else if has("internal error") || has("syntax") || has("unknown command") || has("wrong number") {
        Refusal::Other
    } else {
        Refusal::Damaged
    };
    Seen::Refused(refusal)
}
