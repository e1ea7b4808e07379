//! A number for what a configuration says, by which most that aren't alike are told apart.

use super::config::{Config, Glimpse, Mark};
use super::evaluate::Outcome;
use super::value::{Slots, Value};

impl Config {
    /// A number that two which are [alike](Config::is_like) have in common, and hardly any others.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest(u64::from(self.epoch) << 32 | u64::from(self.step));
        for (id, mark) in &self.marks {
            digest.fold(*id);
            match mark {
                Mark::Done { outcome, version, clock } => {
                    [version.from, version.to, clock.from, clock.to]
                        .into_iter()
                        .for_each(|it| digest.fold(it));
                    outcome.iter().for_each(|outcome| digest.outcome(outcome));
                }
                Mark::Skipped => digest.fold(1),
                Mark::Reading(glimpses) => {
                    for Glimpse { step, end, slots, until_ms } in glimpses {
                        digest.fold(u64::from(*step) << 32 | u64::from(*end));
                        digest.fold(*until_ms);
                        digest.slots(slots);
                    }
                }
            }
        }
        digest.slots(&self.slots);
        digest.0
    }
}

/// Grows out of numbers.
struct Digest(u64);

impl Digest {
    fn fold(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn value(&mut self, value: &Value) {
        self.fold(value.writer);
        self.fold(value.bytes.len() as u64);
        self.fold(value.version.from ^ value.expiry.from.rotate_left(32));
    }

    fn slots(&mut self, slots: &Slots) {
        for (place, value) in slots.values() {
            self.fold(place as u64);
            self.value(value);
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Values(slots) => slots.iter().flatten().for_each(|value| self.value(value)),
            Outcome::Written { existed, old: slot } => {
                self.fold(*existed);
                slot.iter().for_each(|value| self.value(value));
            }
            Outcome::NotMet { current } => current.iter().for_each(|value| self.value(value)),
            Outcome::Number(number) => self.fold(*number as u64),
            Outcome::Refused(_) => self.fold(2),
        }
    }
}
