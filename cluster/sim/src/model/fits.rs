//! Whether what was seen is what an operation answers.

use super::evaluate::Outcome;
use super::seen::{Seen, SeenValue, TtlUnit};
use super::value::{Clock, Span, Value};

/// Whether an outcome at some time within `clock` may be told like this.
pub fn fits(outcome: &Outcome, seen: &Seen, clock: Clock) -> bool {
    match (outcome, seen) {
        (Outcome::Values(slots), Seen::Values(values)) => {
            slots.len() == values.len()
                && slots.iter().zip(values).all(|(slot, seen)| value_fits(slot.as_ref(), seen, clock))
        }
        (Outcome::Values(slots), Seen::Count(count)) => {
            slots.iter().filter(|slot| slot.is_some()).count() as u64 == *count
        }
        (Outcome::Written { .. }, Seen::Done) => true,
        (Outcome::Written { existed, .. }, Seen::Count(count)) => existed == count,
        (Outcome::Written { existed, old }, Seen::Written { existed: seen_existed, old: seen_old, .. }) => {
            seen_existed.is_none_or(|seen| seen == (*existed > 0))
                && seen_old.as_ref().is_none_or(|seen| value_fits(old.as_ref(), seen, clock))
        }
        (Outcome::Written { old: found, .. } | Outcome::NotMet { current: found }, Seen::Old(seen)) => {
            value_fits(found.as_ref(), seen, clock)
        }
        (Outcome::NotMet { current }, Seen::NotMet { current: seen }) => {
            seen.as_ref().is_none_or(|seen| value_fits(current.as_ref(), seen, clock))
        }
        (Outcome::Number(number), Seen::Number(seen)) => number == seen,
        (Outcome::Refused(refusal), Seen::Refused(seen)) => refusal == seen,
        _ => false,
    }
}

/// Whether a key that holds this may be told like that.
pub fn value_fits(slot: Option<&Value>, seen: &SeenValue, clock: Clock) -> bool {
    match (slot, seen) {
        (_, SeenValue::Untold) | (None, SeenValue::Absent | SeenValue::Length(0)) => true,
        (None, _) | (Some(_), SeenValue::Absent) => false,
        (Some(value), SeenValue::Length(length)) => value.bytes.len() == *length,
        (Some(value), SeenValue::NoExpiry) => value.expiry == Span::NEVER,
        (Some(value), SeenValue::Ttl(unit, left)) => {
            value.expiry != Span::NEVER && told_expiry(*unit, *left, clock).overlaps(value.expiry)
        }
        (Some(value), SeenValue::There { bytes, version, expiry }) => {
            bytes.as_ref().is_none_or(|bytes| *bytes == value.bytes)
                && version.is_none_or(|version| value.version.has(version))
                && expiry.is_none_or(|expiry| match expiry {
                    0 => value.expiry == Span::NEVER,
                    told => value.expiry != Span::NEVER && clock.lead.expiry_of(told).overlaps(value.expiry),
                })
        }
    }
}

/// The expiry of which so much is left at some time within `clock`. Nothing left is told also of one that passed between
/// looking and telling.
pub fn told_expiry(unit: TtlUnit, left: u64, clock: Clock) -> Span {
    let (least, most) = match unit {
        TtlUnit::Milliseconds => (left, left),
        TtlUnit::Seconds => ((left * 1000).saturating_sub(500), left * 1000 + 499),
    };
    let from = if least == 0 { clock.from } else { clock.from.saturating_add(least) };
    Span { from, to: clock.to.saturating_add(most) }
}

/// What was told of the version and expiry of a value.
pub struct Lesson {
    /// Of the value at this place.
    pub place: usize,
    /// The version, if told.
    pub version: Option<u64>,
    /// Bounds of the expiry, if told.
    pub expiry: Option<Span>,
}

/// What a seen value tells of one at `place` that it fits.
pub fn lesson(place: usize, seen: &SeenValue, clock: Clock) -> Option<Lesson> {
    match seen {
        SeenValue::There { version, expiry, .. } if version.is_some() || expiry.is_some() => {
            let expiry = expiry.filter(|told| *told > 0).map(|told| clock.lead.expiry_of(told));
            Some(Lesson { place, version: *version, expiry })
        }
        SeenValue::Ttl(unit, left) => {
            let expiry = Some(told_expiry(*unit, *left, clock));
            Some(Lesson { place, version: None, expiry })
        }
        _ => None,
    }
}
