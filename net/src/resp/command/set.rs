//! SET and its relatives, and GETEX.

use super::error::CommandError;
use super::expiry::{Base, NewExpiry, Unit, future};
use crate::resp::command_table::Name;

/// Sets a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its new value.
    pub value: &'a [u8],
    /// The expiry it leaves.
    pub expiry: NewExpiry,
    /// Only if.
    pub condition: SetCondition,
    /// What is answered.
    pub reply: SetReply,
}

/// When SET takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCondition {
    /// Always.
    Always,
    /// NX.
    Absent,
    /// XX.
    Present,
}

/// What SET answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetReply {
    /// OK, or null if the condition didn't hold.
    Ok,
    /// 1 or 0 (SETNX).
    Bit,
    /// The old value or null, whether the condition held or not.
    Old,
}

impl<'a> Set<'a> {
    pub(super) fn plain(key: &'a [u8], value: &'a [u8]) -> Set<'a> {
        let (expiry, condition) = (NewExpiry::Never, SetCondition::Always);
        Set { key, value, expiry, condition, reply: SetReply::Ok }
    }
}

/// An expiry option that was read, and its argument if it has one.
#[derive(Clone, Copy)]
enum ExpiryOption<'a> {
    Time(&'a [u8], Unit, Base),
    Keep,
    Persist,
}

/// The next expiry option, if `rest` begins with one.
fn expiry_option<'a>(rest: &[&'a [u8]], name: Name) -> Option<(ExpiryOption<'a>, usize)> {
    let option = rest.first()?.to_ascii_uppercase();
    let time = |unit, base| rest.get(1).map(|time| (ExpiryOption::Time(time, unit, base), 2));
    match option.as_slice() {
        b"EX" => time(Unit::Seconds, Base::Now),
        b"PX" => time(Unit::Milliseconds, Base::Now),
        b"EXAT" => time(Unit::Seconds, Base::Epoch),
        b"PXAT" => time(Unit::Milliseconds, Base::Epoch),
        b"KEEPTTL" if name == Name::Set => Some((ExpiryOption::Keep, 1)),
        b"PERSIST" if name == Name::GetEx => Some((ExpiryOption::Persist, 1)),
        _ => None,
    }
}

fn resolve(name: Name, option: ExpiryOption<'_>) -> Result<NewExpiry, CommandError> {
    match option {
        ExpiryOption::Time(text, unit, base) => future(name, text, unit, base),
        ExpiryOption::Keep => Ok(NewExpiry::Keep),
        ExpiryOption::Persist => Ok(NewExpiry::Never),
    }
}

pub(super) fn set<'a>(args: &'a [&'a [u8]]) -> Result<Set<'a>, CommandError> {
    let mut set = Set::plain(args[1], args[2]);
    let mut rest = &args[3..];
    let mut expiry = None;
    while let Some(option) = rest.first() {
        if expiry.is_none()
            && let Some((found, length)) = expiry_option(rest, Name::Set)
        {
            expiry = Some(found);
            rest = &rest[length..];
            continue;
        }
        match (option.to_ascii_uppercase().as_slice(), set.condition) {
            (b"NX", SetCondition::Always | SetCondition::Absent) => set.condition = SetCondition::Absent,
            (b"XX", SetCondition::Always | SetCondition::Present) => set.condition = SetCondition::Present,
            (b"GET", _) => set.reply = SetReply::Old,
            _ => return Err(CommandError::SYNTAX),
        }
        rest = &rest[1..];
    }
    if let Some(option) = expiry {
        set.expiry = resolve(Name::Set, option)?;
    }
    Ok(set)
}

/// SETEX and PSETEX.
pub(super) fn set_expiring<'a>(
    name: Name,
    args: &'a [&'a [u8]],
    unit: Unit,
) -> Result<Set<'a>, CommandError> {
    let expiry = future(name, args[2], unit, Base::Now)?;
    Ok(Set { expiry, ..Set::plain(args[1], args[3]) })
}

/// GETEX: the key's new expiry.
pub(super) fn getex(args: &[&[u8]]) -> Result<NewExpiry, CommandError> {
    let rest = &args[2..];
    if rest.is_empty() {
        return Ok(NewExpiry::Keep);
    }
    match expiry_option(rest, Name::GetEx) {
        Some((option, length)) if length == rest.len() => resolve(Name::GetEx, option),
        _ => Err(CommandError::SYNTAX),
    }
}
