//! What an update does to a key whose current value is known: a pure function.
//!
//! The result is an effect (a value with an absolute expiry, or a delete), never the operation, so that
//! applying it is the same everywhere.

use super::Clocks;
use super::options::ShardOptions;
use super::request::{Condition, ExpireCondition, PutExpiry, Refusal, Update, Value};
use crate::key::Expiry;

/// What an expiry is refused with that no number holds.
pub(super) const EXPIRY_LIMIT: &str = "the expiry lies beyond what 63 bits of milliseconds hold";

/// What is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect<'a> {
    None,
    Put { value: &'a [u8], expiry: Expiry },
    Delete,
}

/// What is to be answered once the effect is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Written { existed: bool },
    NotMet,
    Integer(i64),
    Refused(Refusal<'static>),
}

/// Effect and reply of one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict<'a> {
    pub effect: Effect<'a>,
    pub reply: Reply,
}

impl Verdict<'_> {
    fn unchanged(reply: Reply) -> Verdict<'static> {
        Verdict { effect: Effect::None, reply }
    }
}

/// Whether the current value must be known to evaluate `update`.
pub(super) fn needs_current(update: &Update<'_>) -> bool {
    match update {
        Update::Put { expiry, condition, want_old, .. } => {
            *want_old || *condition != Condition::None || *expiry == PutExpiry::Keep
        }
        Update::Delete { condition, want_old, want_existed } => {
            *want_old || *want_existed || *condition != Condition::None
        }
        Update::Increment { .. } | Update::Append { .. } | Update::Expire { .. } => true,
    }
}

/// Evaluates `update` against the live value `current`. `scratch` holds values that are made here.
pub(super) fn evaluate<'a>(
    update: &Update<'a>,
    current: Option<Value<'_>>,
    now: &Clocks,
    value_bytes_max: usize,
    scratch: &'a mut Vec<u8>,
) -> Verdict<'a> {
    match *update {
        Update::Put { value, expiry, condition, .. } => {
            if !is_met(condition, current) {
                return Verdict::unchanged(Reply::NotMet);
            }
            let expiry = match resolve(expiry, current, now) {
                Ok(expiry) => expiry,
                Err(refusal) => return Verdict::unchanged(Reply::Refused(refusal)),
            };
            let reply = Reply::Written { existed: current.is_some() };
            Verdict { effect: put_or_delete(value, expiry, now.now_ms()), reply }
        }
        Update::Delete { condition, want_existed, want_old } => {
            let reply = Reply::Written { existed: current.is_some() };
            if !is_met(condition, current) {
                Verdict::unchanged(Reply::NotMet)
            } else if current.is_none() && (want_existed || want_old) {
                Verdict::unchanged(reply)
            } else {
                Verdict { effect: Effect::Delete, reply }
            }
        }
        Update::Increment { by } => increment(by, current, scratch),
        Update::Append { suffix } => append(suffix, current, value_bytes_max, scratch),
        Update::Expire { expiry, condition, .. } => expire(expiry, condition, current, now, scratch),
    }
}

fn is_met(condition: Condition, current: Option<Value<'_>>) -> bool {
    match condition {
        Condition::None => true,
        Condition::Absent => current.is_none(),
        Condition::Present => current.is_some(),
        Condition::Version(version) => current.is_some_and(|value| value.version == version),
    }
}

fn resolve(expiry: PutExpiry, current: Option<Value<'_>>, now: &Clocks) -> Result<Expiry, Refusal<'static>> {
    match expiry {
        PutExpiry::Never => Ok(Expiry::NEVER),
        PutExpiry::At(ms) => Ok(now.expiry_at(ms)),
        PutExpiry::After(ms) => now.expiry_after(ms).ok_or(Refusal::Limit(EXPIRY_LIMIT)),
        PutExpiry::Keep => Ok(current.map_or(Expiry::NEVER, |value| value.expiry)),
    }
}

fn put_or_delete(value: &[u8], expiry: Expiry, now_ms: u64) -> Effect<'_> {
    if expiry.is_past(now_ms) { Effect::Delete } else { Effect::Put { value, expiry } }
}

fn increment<'a>(by: i64, current: Option<Value<'_>>, scratch: &'a mut Vec<u8>) -> Verdict<'a> {
    let Some(start) = current.map_or(Some(0), |value| parse_integer(value.bytes)) else {
        return Verdict::unchanged(Reply::Refused(Refusal::NotAnInteger));
    };
    let Some(sum) = start.checked_add(by) else {
        return Verdict::unchanged(Reply::Refused(Refusal::Overflow));
    };
    scratch.clear();
    write_integer(sum, scratch);
    let expiry = current.map_or(Expiry::NEVER, |value| value.expiry);
    Verdict { effect: Effect::Put { value: scratch, expiry }, reply: Reply::Integer(sum) }
}

fn append<'a>(
    suffix: &[u8],
    current: Option<Value<'_>>,
    value_bytes_max: usize,
    scratch: &'a mut Vec<u8>,
) -> Verdict<'a> {
    let start = current.map_or(&[][..], |value| value.bytes);
    let length = start.len() + suffix.len();
    if length > value_bytes_max {
        return Verdict::unchanged(Reply::Refused(Refusal::Limit(ShardOptions::value_limit(
            value_bytes_max,
        ))));
    }
    scratch.clear();
    scratch.reserve(length);
    scratch.extend_from_slice(start);
    scratch.extend_from_slice(suffix);
    let expiry = current.map_or(Expiry::NEVER, |value| value.expiry);
    Verdict { effect: Effect::Put { value: scratch, expiry }, reply: Reply::Integer(length as i64) }
}

fn expire<'a>(
    expiry: PutExpiry,
    condition: ExpireCondition,
    current: Option<Value<'_>>,
    now: &Clocks,
    scratch: &'a mut Vec<u8>,
) -> Verdict<'a> {
    let Some(value) = current else { return Verdict::unchanged(Reply::NotMet) };
    let expiry = match resolve(expiry, current, now) {
        Ok(expiry) => expiry,
        Err(refusal) => return Verdict::unchanged(Reply::Refused(refusal)),
    };
    let rank = |expiry: Expiry| if expiry == Expiry::NEVER { u64::MAX } else { expiry.0 };
    let is_met = match condition {
        ExpireCondition::None => true,
        ExpireCondition::HasNone => value.expiry == Expiry::NEVER,
        ExpireCondition::HasOne => value.expiry != Expiry::NEVER,
        ExpireCondition::Later => rank(expiry) > rank(value.expiry),
        ExpireCondition::Earlier => rank(expiry) < rank(value.expiry),
    };
    // Removing an expiry that isn't there changes nothing, and PERSIST says so.
    if !is_met || (expiry == Expiry::NEVER && value.expiry == Expiry::NEVER) {
        return Verdict::unchanged(Reply::NotMet);
    }
    scratch.clear();
    scratch.extend_from_slice(value.bytes);
    Verdict { effect: put_or_delete(scratch, expiry, now.now_ms()), reply: Reply::Written { existed: true } }
}

/// A decimal integer as Redis takes it: no spaces, no plus sign, no leading zeros.
fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_canonical = match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if is_canonical { text.parse().ok() } else { None }
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    use std::io::Write;
    write!(out, "{number}").expect("writing to memory can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Version;

    fn value(bytes: &[u8], expiry: u64) -> Option<Value<'_>> {
        Some(Value { bytes, version: Version(5), expiry: Expiry(expiry) })
    }

    fn run(update: Update<'_>, current: Option<Value<'_>>) -> (Option<(Vec<u8>, u64)>, bool, Reply) {
        let mut scratch = Vec::new();
        let now = Clocks { now_us: 1_000_000, wall_us: 1_000_000, ..Clocks::default() };
        let verdict = evaluate(&update, current, &now, 100, &mut scratch);
        match verdict.effect {
            Effect::None => (None, false, verdict.reply),
            Effect::Delete => (None, true, verdict.reply),
            Effect::Put { value, expiry } => (Some((value.to_vec(), expiry.0)), false, verdict.reply),
        }
    }

    fn put(expiry: PutExpiry, condition: Condition) -> Update<'static> {
        Update::Put { value: b"new", expiry, condition, want_old: false }
    }

    #[test]
    fn a_put_obeys_its_condition() {
        let done = |existed| (Some((b"new".to_vec(), 0)), false, Reply::Written { existed });
        let not_met = (None, false, Reply::NotMet);
        let never = PutExpiry::Never;
        assert_eq!(run(put(never, Condition::Absent), None), done(false));
        assert_eq!(run(put(never, Condition::Absent), value(b"x", 0)), not_met);
        assert_eq!(run(put(never, Condition::Present), None), not_met);
        assert_eq!(run(put(never, Condition::Present), value(b"x", 0)), done(true));
        assert_eq!(run(put(never, Condition::Version(Version(5))), value(b"x", 0)), done(true));
        assert_eq!(run(put(never, Condition::Version(Version(4))), value(b"x", 0)), not_met);
    }

    #[test]
    fn expiry_becomes_absolute_and_a_past_one_deletes() {
        assert_eq!(run(put(PutExpiry::After(50), Condition::None), None).0, Some((b"new".to_vec(), 1050)));
        assert_eq!(
            run(put(PutExpiry::Keep, Condition::None), value(b"x", 7000)).0,
            Some((b"new".to_vec(), 7000))
        );
        assert_eq!(
            run(put(PutExpiry::At(900), Condition::None), None),
            (None, true, Reply::Written { existed: false })
        );
        let beyond = run(put(PutExpiry::After(u64::MAX), Condition::None), None);
        assert!(matches!(beyond.2, Reply::Refused(Refusal::Limit(_))));
    }

    #[test]
    fn an_increment_counts_from_zero_keeps_the_expiry_and_refuses_what_is_no_integer() {
        assert_eq!(
            run(Update::Increment { by: 3 }, None),
            (Some((b"3".to_vec(), 0)), false, Reply::Integer(3))
        );
        assert_eq!(
            run(Update::Increment { by: -5 }, value(b"3", 8)),
            (Some((b"-2".to_vec(), 8)), false, Reply::Integer(-2))
        );
        for bad in [&b"x"[..], b"", b" 1", b"+1", b"01", b"-0", b"9223372036854775808"] {
            assert_eq!(
                run(Update::Increment { by: 1 }, value(bad, 0)).2,
                Reply::Refused(Refusal::NotAnInteger),
                "{bad:?}"
            );
        }
        assert_eq!(
            run(Update::Increment { by: 1 }, value(b"9223372036854775807", 0)).2,
            Reply::Refused(Refusal::Overflow)
        );
    }

    #[test]
    fn an_append_stays_under_the_limit_on_values() {
        assert_eq!(
            run(Update::Append { suffix: b"cd" }, value(b"ab", 4)),
            (Some((b"abcd".to_vec(), 4)), false, Reply::Integer(4))
        );
        assert!(matches!(
            run(Update::Append { suffix: &[0; 101] }, None).2,
            Reply::Refused(Refusal::Limit(_))
        ));
    }

    #[test]
    fn expire_compares_as_redis_does() {
        let expire = |expiry, condition| Update::Expire { expiry, condition, want_old: false };
        let met = |update, current| matches!(run(update, current).2, Reply::Written { .. });
        assert!(!met(expire(PutExpiry::At(5000), ExpireCondition::None), None));
        assert!(met(expire(PutExpiry::At(5000), ExpireCondition::HasNone), value(b"x", 0)));
        assert!(!met(expire(PutExpiry::At(5000), ExpireCondition::HasNone), value(b"x", 9)));
        assert!(!met(expire(PutExpiry::At(5000), ExpireCondition::HasOne), value(b"x", 0)));
        assert!(!met(expire(PutExpiry::At(5000), ExpireCondition::Later), value(b"x", 0)));
        assert!(met(expire(PutExpiry::At(5000), ExpireCondition::Earlier), value(b"x", 0)));
        assert!(!met(expire(PutExpiry::Never, ExpireCondition::None), value(b"x", 0)));
        assert_eq!(
            run(expire(PutExpiry::At(1), ExpireCondition::None), value(b"x", 0)),
            (None, true, Reply::Written { existed: true })
        );
    }
}
