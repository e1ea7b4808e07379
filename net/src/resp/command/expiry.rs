//! Expiry options: of SET and GETEX, of the EXPIRE family, and how TTL and its relatives answer.

use super::error::CommandError;
use crate::resp::command_table::Name;
use crate::resp::number::parse_i64;

/// The expiry that a command leaves. All times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewExpiry {
    /// None.
    Never,
    /// What the key has now.
    Keep,
    /// So long from now.
    AfterMs(u64),
    /// At this Unix time, at least 1; a past one removes the key.
    AtMs(u64),
}

/// When the EXPIRE family changes an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireCondition {
    /// If the key exists.
    Always,
    /// NX: if it has no expiry.
    HasNone,
    /// XX: if it has one.
    HasOne,
    /// GT: if the new one is later; none counts as latest.
    Later,
    /// LT: if the new one is earlier; none counts as latest.
    Earlier,
}

/// In what form TTL, PTTL, EXPIRETIME and PEXPIRETIME answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlForm {
    /// Seconds from now, rounded to the nearest.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Unix time in seconds, rounded to the nearest.
    UnixSeconds,
    /// Unix time in milliseconds.
    UnixMilliseconds,
}

impl TtlForm {
    /// The reply for a key that exists; `expiry_ms` is `None` if it doesn't expire. (-2 is the reply for no key.)
    pub fn reply(self, expiry_ms: Option<u64>, now_ms: u64) -> i64 {
        let Some(expiry_ms) = expiry_ms else { return -1 };
        let left = expiry_ms.saturating_sub(now_ms);
        let value = match self {
            TtlForm::Seconds => left.saturating_add(500) / 1000,
            TtlForm::Milliseconds => left,
            TtlForm::UnixSeconds => expiry_ms.saturating_add(500) / 1000,
            TtlForm::UnixMilliseconds => expiry_ms,
        };
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    Now,
    Epoch,
}

/// Redis refuses a relative expiry that overflows from now; without a clock this stands for now (the year 2248).
const LATEST_NOW_MS: i64 = 1 << 43;

/// An expiry that must lie in the future (SET, SETEX, GETEX).
pub(super) fn future(command: Name, text: &[u8], unit: Unit, base: Base) -> Result<NewExpiry, CommandError> {
    let value = parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER)?;
    if value <= 0 {
        return Err(CommandError::expire_time(command.info().name));
    }
    any(command, value, unit, base)
}

/// An expiry that may have passed already.
pub(super) fn any(command: Name, value: i64, unit: Unit, base: Base) -> Result<NewExpiry, CommandError> {
    let refused = || CommandError::expire_time(command.info().name);
    let value = match unit {
        Unit::Seconds => value.checked_mul(1000).ok_or_else(refused)?,
        Unit::Milliseconds => value,
    };
    match (base, u64::try_from(value)) {
        (_, Ok(0) | Err(_)) => Ok(NewExpiry::AtMs(1)),
        (Base::Epoch, Ok(at)) => Ok(NewExpiry::AtMs(at)),
        (Base::Now, Ok(after)) if value <= i64::MAX - LATEST_NOW_MS => Ok(NewExpiry::AfterMs(after)),
        (Base::Now, Ok(_)) => Err(refused()),
    }
}

/// The options of EXPIRE and its relatives.
pub(super) fn condition(options: &[&[u8]]) -> Result<ExpireCondition, CommandError> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in options {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => nx = true,
            b"XX" => xx = true,
            b"GT" => gt = true,
            b"LT" => lt = true,
            _ => return Err(CommandError::owned([b"ERR Unsupported option ", *option].concat())),
        }
    }
    match (nx, xx, gt, lt) {
        (true, false, false, false) => Ok(ExpireCondition::HasNone),
        (true, ..) => {
            Err(CommandError::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"))
        }
        (_, _, true, true) => {
            Err(CommandError::fixed("ERR GT and LT options at the same time are not compatible"))
        }
        (_, true, _, true) => {
            Err(CommandError::fixed("ERR XX and LT options at the same time are not supported"))
        }
        (_, _, true, _) => Ok(ExpireCondition::Later), // a key without expiry is never later: XX adds nothing
        (_, _, _, true) => Ok(ExpireCondition::Earlier),
        (_, true, ..) => Ok(ExpireCondition::HasOne),
        _ => Ok(ExpireCondition::Always),
    }
}
