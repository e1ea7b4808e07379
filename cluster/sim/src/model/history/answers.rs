//! What answers tell registers, and whether a refusal has a reason.

use super::{Checked, History, Part, Ticket, Told};
use crate::model::evaluate::Outcome;
use crate::model::explore::Wanted;
use crate::model::register::Broken;
use crate::model::seen::{Refusal, Seen, SeenValue};
use crate::model::time::SimTime;
use smallvec::SmallVec;

impl History {
    /// A client is answered.
    pub fn answered(&mut self, ticket: Ticket, told: Told, now: SimTime) -> Checked {
        self.notice(now);
        let is_clear = ticket.clear.is_some();
        let clear = self.clear_of(&ticket);
        let parts = self.parts_of(ticket);
        match told {
            Told::Whole(seen) => {
                self.check_permitted(&seen, &parts, now)?;
                self.ghosts += u64::from(seen == Seen::Unknown);
                self.lost_clears.extend(clear.filter(|_| seen == Seen::Unknown));
                match seen {
                    Seen::Count(count) if parts.len() > 1 => self.tell_sum(&parts, count, now),
                    Seen::Values(values) => {
                        let values: Vec<_> = values.into_iter().map(Ok).collect();
                        self.tell_per_key(&parts, &values, now)
                    }
                    seen => self.tell_all(&parts, &seen, now),
                }
            }
            Told::SomeRefused(refusal) => {
                self.ghosts += u64::from(is_clear);
                self.check_permitted(&Seen::Refused(refusal), &parts, now)?;
                let is_many = is_clear && self.partitions.len() > 1 || self.are_many_partitions(&parts);
                let seen = if is_many { Seen::Unknown } else { Seen::Refused(refusal) };
                self.lost_clears.extend(clear);
                self.tell_all(&parts, &seen, now)
            }
            Told::PerKey(values) => self.tell_per_key(&parts, &values, now),
            Told::PerPartition(outcomes) => self.tell_per_partition(&parts, outcomes, now),
        }
    }

    fn are_many_partitions(&self, parts: &[Part]) -> bool {
        let partition = |part: &Part| self.registers[part.register].partition;
        parts.windows(2).any(|pair| partition(&pair[0]) != partition(&pair[1]))
    }

    fn tell_all(&mut self, parts: &[Part], seen: &Seen, now: SimTime) -> Checked {
        parts.iter().try_for_each(|part| self.tell(part, seen, now))
    }

    fn tell(&mut self, part: &Part, seen: &Seen, now: SimTime) -> Checked {
        self.ghosts += u64::from(*seen == Seen::Unknown);
        let tracks = !self.scans.is_empty();
        let register = &mut self.registers[part.register];
        let partition = usize::from(register.partition);
        let done = register.answered(part.op, Wanted::Seen(seen), now, tracks).map(|_| ());
        if done.is_err() {
            self.check(part, done, "an answer that can't be right", &seen.to_string(), now)?;
        }
        if let (Seen::Written { version: Some(version), .. }, true) = (seen, part.is_put) {
            let acked = &mut self.partitions[partition].acked;
            *acked = (*acked).max(*version);
        }
        if self.is_recovering { self.check_cut(part.register, now) } else { Ok(()) }
    }

    /// A count over several registers: each may have had any part in it.
    fn tell_sum(&mut self, parts: &[Part], count: u64, now: SimTime) -> Checked {
        let (mut least, mut most) = (0, 0);
        let tracks = !self.scans.is_empty();
        for part in parts {
            let outcomes = match self.registers[part.register].answered(part.op, Wanted::Any, now, tracks) {
                Ok(outcomes) => outcomes,
                Err(broken) => {
                    return self.check(part, Err(broken), "an answer that can't be right", "a count", now);
                }
            };
            let counts = outcomes.iter().map(|outcome| match outcome {
                Outcome::Values(slots) => slots.iter().flatten().count() as u64,
                Outcome::Written { existed, .. } => *existed,
                _ => 0,
            });
            let register = &self.registers[part.register];
            if register.is_blind || register.in_doubt {
                most += part.asked.len() as u64;
                continue;
            }
            least += counts.clone().min().unwrap_or(0);
            most += counts.max().unwrap_or(0);
        }
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let expected = format!("{least} to {most}");
        let Some(part) = parts.first() else { return Ok(()) };
        let done = Err(Broken { expected });
        self.check(part, done, "a count of keys that can't be right", &count.to_string(), now)
    }

    /// Every refusal must have a reason, and what was told beside it is held against the keys like any other read.
    fn tell_per_key(
        &mut self,
        parts: &[Part],
        values: &[Result<SeenValue, Refusal>],
        now: SimTime,
    ) -> Checked {
        for part in parts {
            let mut seen = SmallVec::new();
            let mut refused = None;
            for asked in &part.asked {
                match values.get(*asked).unwrap_or(&Err(Refusal::Other)) {
                    Ok(value) => seen.push(value.clone()),
                    Err(refusal) => {
                        self.check_permitted(&Seen::Refused(*refusal), std::slice::from_ref(part), now)?;
                        refused = Some(*refusal);
                        seen.push(SeenValue::Untold);
                    }
                }
            }
            let is_told = seen.iter().any(|seen| *seen != SeenValue::Untold);
            let refused = refused.filter(|_| !is_told);
            self.tell(part, &refused.map_or(Seen::Values(seen), Seen::Refused), now)?;
        }
        Ok(())
    }

    fn tell_per_partition(&mut self, parts: &[Part], outcomes: Vec<(u16, Seen)>, now: SimTime) -> Checked {
        for part in parts {
            let partition = self.registers[part.register].partition;
            let is_shared =
                parts.iter().filter(|other| self.registers[other.register].partition == partition).count()
                    > 1;
            let seen = outcomes.iter().find(|(of, _)| *of == partition).map(|(_, seen)| seen.clone());
            let seen = match seen {
                // The version is of the last operation in the partition, whichever register it is in.
                Some(Seen::Written { .. }) if is_shared => Seen::Done,
                Some(seen) => seen,
                None => Seen::Refused(Refusal::Other),
            };
            self.check_permitted(&seen, std::slice::from_ref(part), now)?;
            self.tell(part, &seen, now)?;
        }
        Ok(())
    }

    /// Whether a refusal has a reason.
    pub(super) fn check_permitted(&mut self, seen: &Seen, parts: &[Part], now: SimTime) -> Checked {
        let (name, is_permitted) = match seen {
            Seen::Refused(Refusal::Busy) => ("refused: busy", true),
            Seen::Refused(Refusal::NotAnInteger) => ("refused: not an integer", true),
            Seen::Refused(Refusal::Overflow) => ("refused: overflow", true),
            Seen::Refused(Refusal::Limit) => ("refused: limit", self.permits.limit),
            Seen::Refused(Refusal::ReadOnly) => ("refused: read-only", self.permits.read_only),
            Seen::Refused(Refusal::Unavailable) => {
                ("refused: unavailable", self.permits.read_only || self.permits.damaged)
            }
            Seen::Refused(Refusal::TimedOut) => ("refused: timed out", self.options.may_time_out),
            Seen::Refused(Refusal::Damaged) => ("refused: damaged", self.permits.damaged),
            Seen::Refused(Refusal::Other) => ("refused: other", false),
            // A clear of which some partitions were refused has an unknown outcome.
            Seen::Unknown => {
                let is_permitted = self.permits.read_only || self.options.may_time_out || parts.len() > 1;
                ("unknown", is_permitted)
            }
            _ => return Ok(()),
        };
        self.count(name);
        if is_permitted {
            return Ok(());
        }
        let key = parts.first().map(|part| part.register);
        Err(self.violation("a refusal without a reason", key, "an answer".to_owned(), seen.to_string(), now))
    }
}
