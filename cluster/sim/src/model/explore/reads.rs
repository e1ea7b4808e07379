//! Open reads: what they may have seen, and what it tells when they are answered.

use super::{Pending, Search, Wanted, clock_of, learn};
use crate::model::config::{Config, Configs, Glimpse, Mark};
use crate::model::evaluate::{Branch, Outcome, evaluate};
use crate::model::explore::Fate;
use crate::model::fits::fits;
use crate::model::op::Kind;
use crate::model::value::{Clock, Slots, Span};
use smallvec::{SmallVec, smallvec};

impl Search<'_> {
    /// A read is answered: may it have seen this?
    pub(super) fn check_read(
        &mut self,
        config: &Config,
        target: &Pending,
        glimpse: &Glimpse,
        wanted: Wanted<'_>,
        outcomes: &mut Vec<Outcome>,
        found: &mut Configs,
    ) {
        let clock = clock_of(target, self.now, glimpse.until_ms);
        let is_newest = glimpse.end == u32::MAX;
        for Branch { slots, outcome, .. } in evaluate(&target.op, &glimpse.slots, clock, Span::ANY) {
            // The reply may have been made later than the look.
            let telling = Clock { to: self.now.clock_ms_max.max(clock.to), ..clock };
            if let Wanted::Seen(seen) = wanted
                && !fits(&outcome, seen, telling)
            {
                continue;
            }
            let mut next = config.clone();
            next.epoch = next.epoch.max(target.epoch);
            self.order_reads(&mut next, target, glimpse, is_newest.then_some(&slots));
            if is_newest {
                let before = next.slots.clone();
                narrow(&mut next.slots, &slots, target);
                next.lose_to_time(&before);
                self.expire(&before, &next.slots);
            }
            next.unmark(target.op.id);
            if let Wanted::Seen(seen) = wanted
                && !learn(&mut next, &target.op, &outcome, seen, telling)
            {
                continue;
            }
            outcomes.push(outcome);
            found.add(next);
        }
    }

    /// A read saw this: others of its connection and about its keys saw nothing later if they were sent before it, nothing
    /// earlier if behind it.
    fn order_reads(&self, config: &mut Config, target: &Pending, seen: &Glimpse, narrowed: Option<&Slots>) {
        for (id, mark) in config.marks.iter_mut() {
            let Mark::Reading(glimpses) = mark else { continue };
            let Some(other) = self.pending.iter().find(|open| open.op.id == *id) else { continue };
            if target.op.follows(&other.op) {
                glimpses.retain(|glimpse| glimpse.step < seen.end);
            } else if other.op.follows(&target.op) {
                glimpses.retain(|glimpse| glimpse.end > seen.step);
                if let (Some(slots), Some(last)) = (narrowed, glimpses.last_mut())
                    && last.end == u32::MAX
                {
                    narrow(&mut last.slots, slots, target);
                }
            }
        }
    }

    /// An operation has taken effect: ghosts of its connection before it never will, and open reads see another state.
    pub(super) fn pass(&self, config: &mut Config, open: &Pending, wrote: bool, clock: Clock) {
        for before in self.pending.iter().take_while(|before| before.op.id < open.op.id) {
            let is_ghost = before.fate == Fate::Lost && !before.op.is_read();
            if is_ghost && open.op.follows(&before.op) && config.mark(before.op.id).is_none() {
                config.set_mark(before.op.id, Mark::Skipped);
            }
        }
        let is_reading = |(_, mark): &(_, Mark)| matches!(mark, Mark::Reading(_));
        if !config.marks.iter().any(is_reading) {
            return;
        }
        if wrote {
            config.step += 1;
        }
        let sealed = open.seal.map_or(u32::MAX, |seal| seal.epoch);
        for read in self.pending.iter().filter(|read| read.op.is_read()) {
            let mask = read.op.mask();
            let is_other = mask & open.op.mask() == 0;
            let is_frozen = open.op.follows(&read.op) || self.is_frozen(config, read);
            let is_blocked = self.is_blocked(config, read, open);
            let step = config.step;
            let place = config.marks.iter_mut().find(|(id, _)| *id == read.op.id);
            let Some((_, Mark::Reading(glimpses))) = place else { continue };
            if read.epoch > sealed {
                glimpses.clear();
            }
            if (is_other || !wrote) && !glimpses.is_empty() {
                continue;
            }
            if let Some(last) = glimpses.last_mut()
                && last.end == u32::MAX
            {
                (last.end, last.until_ms) = (step, clock.to);
            }
            if !is_frozen && !is_blocked {
                let slots = config.slots.only(mask);
                glimpses.push(Glimpse { step, end: u32::MAX, slots, until_ms: u64::MAX });
            }
        }
    }

    /// Whether a write that follows the read has taken effect.
    fn is_frozen(&self, config: &Config, read: &Pending) -> bool {
        let is_done = |other: &Pending| matches!(config.mark(other.op.id), Some(Mark::Done { .. }));
        self.pending.iter().any(|other| other.op.follows(&read.op) && is_done(other))
    }

    /// Whether a write that the read follows has yet to take effect; `just` has.
    fn is_blocked(&self, config: &Config, read: &Pending, just: &Pending) -> bool {
        self.pending.iter().take_while(|before| before.op.id < read.op.id).any(|before| {
            before.op.id != just.op.id
                && before.fate == Fate::Open
                && !before.op.is_read()
                && read.op.follows(&before.op)
                && !config.is_over(before.op.id)
        })
    }

    /// What a read that is sent now may see already.
    pub fn begin_read(&self, config: &mut Config, read: &Pending) {
        let slots = config.slots.only(read.op.mask());
        let glimpse = Glimpse { step: config.step, end: u32::MAX, slots, until_ms: u64::MAX };
        let is_blocked = self.is_blocked(config, read, read);
        let glimpses = if is_blocked { SmallVec::new() } else { smallvec![glimpse] };
        config.set_mark(read.op.id, Mark::Reading(glimpses));
    }
}

/// Takes over what was learned of the keys that were read.
fn narrow(slots: &mut Slots, read: &Slots, target: &Pending) {
    let Kind::Read(places) = &target.op.kind else { return };
    for place in places {
        if slots.get(*place).is_some() {
            slots.set(*place, read.get(*place).cloned());
        }
    }
}
