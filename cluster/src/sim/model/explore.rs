//! The search for ways in which an answer is right: just-in-time linearization.
//!
//! When an operation is answered, it must have taken effect by then. So each configuration is extended by every sequence of
//! open writes that ends with it (in the order of their connections, and none of before a crash behind one of after it),
//! and those that would have answered something else are dropped. Open reads change nothing: a configuration only
//! remembers what they may have seen.

use super::config::{Config, Glimpse, Mark, Node, add};
use super::evaluate::{Branch, Outcome, evaluate};
use super::fits::{Lesson, fits, lesson};
use super::op::{Kind, Op, Update};
use super::seen::Seen;
use super::time::SimTime;
use super::value::{Clock, Slots, Span};
use smallvec::{SmallVec, smallvec};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// An operation that is open, or a ghost: nobody waits for its answer, but it may take effect.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The operation.
    pub op: Rc<Op>,
    /// It was sent in this epoch.
    pub epoch: u32,
    /// What became of its answer.
    pub fate: Fate,
    /// Until when it may take effect, if it is a ghost from before a crash.
    pub seal: Option<Seal>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It will come.
    Open,
    /// The connection is gone.
    Lost,
    /// The server said that it doesn't know.
    Unknown,
}

/// A ghost may take effect until this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Not behind operations of later epochs.
    pub epoch: u32,
    /// Not at higher clocks.
    pub clock_ms: u64,
}

/// What the search needs to know.
pub struct Search<'a> {
    /// Open operations and ghosts, by their ids.
    pub pending: &'a [Pending],
    /// Now.
    pub now: SimTime,
    /// Whether the past is remembered for crashes that take something back.
    pub may_lose: bool,
    /// States that were left are noted here while scans are under way.
    pub left: Option<&'a mut Vec<(u64, Slots)>>,
}

/// What an operation that is answered was seen to answer.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    /// This.
    Seen(&'a Seen),
    /// Anything.
    Any,
}

impl Search<'_> {
    /// The configurations in which `target` has answered what is wanted. `outcomes` notes what it answered in them.
    pub fn answered(
        &mut self,
        configs: &[Config],
        target: &Pending,
        wanted: Wanted<'_>,
        outcomes: &mut Vec<Outcome>,
    ) -> Vec<Config> {
        let mut found = Vec::new();
        let mut visited: Vec<Config> = Vec::new();
        let mut stack: Vec<(Config, bool)> = Vec::new();
        for config in configs {
            match config.mark(target.op.id) {
                Some(Mark::Done { outcome: Some(outcome), version, clock }) => {
                    let (outcome, version, clock) = (outcome.clone(), *version, *clock);
                    self.check_done(config, target, wanted, (outcome, version, clock), outcomes, &mut found);
                }
                Some(Mark::Done { outcome: None, .. } | Mark::Skipped) => {}
                _ => stack.push((config.clone(), true)),
            }
        }
        while let Some((config, is_start)) = stack.pop() {
            if !is_start {
                if visited.iter().any(|other| other.is_like(&config)) {
                    continue;
                }
                visited.push(config.clone());
            }
            match config.mark(target.op.id) {
                Some(Mark::Reading(glimpses)) => {
                    let from = if is_start { 0 } else { config.step };
                    for glimpse in glimpses.iter().filter(|glimpse| glimpse.step >= from) {
                        self.check_read(&config, target, glimpse, wanted, outcomes, &mut found);
                    }
                }
                _ if self.may_go(&config, target) => {
                    for (next, outcome) in self.go(&config, target, Some(wanted)) {
                        outcomes.push(outcome);
                        add(&mut found, next);
                    }
                }
                _ => {}
            }
            for open in self.pending {
                if open.op.id != target.op.id && !open.op.is_read() && self.may_go(&config, open) {
                    let ways = self.go(&config, open, None);
                    stack.extend(ways.into_iter().map(|(config, _)| (config, false)));
                }
            }
        }
        found
    }

    /// Whether an open write may take effect next.
    fn may_go(&self, config: &Config, open: &Pending) -> bool {
        if config.mark(open.op.id).is_some() {
            return false;
        }
        if let Some(seal) = open.seal
            && config.epoch > seal.epoch
        {
            return false;
        }
        self.pending.iter().take_while(|before| before.op.id < open.op.id).all(|before| {
            before.fate != Fate::Open
                || before.op.conn != open.op.conn
                || before.op.is_read()
                || config.is_over(before.op.id)
        })
    }

    /// An operation took effect before it was answered: was it so?
    fn check_done(
        &self,
        config: &Config,
        target: &Pending,
        wanted: Wanted<'_>,
        (outcome, version, clock): (Outcome, Span, Clock),
        outcomes: &mut Vec<Outcome>,
        found: &mut Vec<Config>,
    ) {
        let mut config = config.clone();
        config.unmark(target.op.id);
        if let Wanted::Seen(seen) = wanted {
            let told = told_version(seen);
            let is_right = fits(&outcome, seen, clock) && told.is_none_or(|told| version.has(told));
            if !is_right || !learn(&mut config, &target.op, &outcome, seen, clock) {
                return;
            }
        }
        outcomes.push(outcome);
        add(found, config);
    }

    /// A read is answered: may it have seen this?
    fn check_read(
        &self,
        config: &Config,
        target: &Pending,
        glimpse: &Glimpse,
        wanted: Wanted<'_>,
        outcomes: &mut Vec<Outcome>,
        found: &mut Vec<Config>,
    ) {
        let clock = clock_of(config, target, self.now, glimpse.until_ms);
        let is_newest = glimpse.step == config.step;
        for Branch { slots, outcome, .. } in evaluate(&target.op, &glimpse.slots, clock, Span::ANY) {
            // The reply may have been made later than the look.
            let telling = Span { from: clock.from, to: self.now.clock_ms_max.max(clock.to) };
            if let Wanted::Seen(seen) = wanted
                && !fits(&outcome, seen, telling)
            {
                continue;
            }
            let mut next = config.clone();
            next.epoch = next.epoch.max(target.epoch);
            self.order_reads(&mut next, target, glimpse.step, is_newest.then_some(&slots));
            if is_newest {
                next.slots = slots;
            }
            next.unmark(target.op.id);
            if let Wanted::Seen(seen) = wanted
                && !learn(&mut next, &target.op, &outcome, seen, telling)
            {
                continue;
            }
            outcomes.push(outcome);
            add(found, next);
        }
    }

    /// A read saw the state of a step: others of its connection saw no later one if they were sent before it, no earlier one
    /// if behind it.
    fn order_reads(&self, config: &mut Config, target: &Pending, step: u32, narrowed: Option<&Slots>) {
        let Config { marks, .. } = config;
        for (id, mark) in marks.iter_mut() {
            let Mark::Reading(glimpses) = mark else { continue };
            let is_other = |open: &&Pending| open.op.id == *id && open.op.conn == target.op.conn;
            if *id == target.op.id || !self.pending.iter().any(|open| is_other(&open)) {
                continue;
            }
            if *id < target.op.id {
                glimpses.retain(|glimpse| glimpse.step <= step);
                continue;
            }
            glimpses.retain(|glimpse| glimpse.step >= step);
            if let (Some(slots), Some(first)) = (narrowed, glimpses.first_mut())
                && first.step == step
            {
                first.slots = slots.clone();
            }
        }
    }

    /// The ways in which an open write takes effect now; if an answer is wanted, those that answer it, with the operation
    /// taken off the list.
    fn go(
        &mut self,
        config: &Config,
        open: &Pending,
        wanted: Option<Wanted<'_>>,
    ) -> SmallVec<[(Config, Outcome); 2]> {
        let until_ms = open.seal.map_or(u64::MAX, |seal| seal.clock_ms);
        let clock = clock_of(config, open, self.now, until_ms);
        let above = config.floor.max(open.op.version_after);
        let told = match wanted {
            Some(Wanted::Seen(seen)) => told_version(seen),
            _ => None,
        };
        let version = told.map_or(Span { from: above + 1, to: u64::MAX }, Span::exact);
        let mut ways = SmallVec::new();
        for Branch { slots, outcome, wrote } in evaluate(&open.op, &config.slots, clock, version) {
            if told.is_some_and(|told| if wrote { told <= above } else { told < above }) {
                continue;
            }
            if let Some(Wanted::Seen(seen)) = wanted
                && !fits(&outcome, seen, clock)
            {
                continue;
            }
            let mut next = config.clone();
            next.epoch = next.epoch.max(open.epoch);
            next.clock_ms = clock.from;
            let before = std::mem::replace(&mut next.slots, slots);
            if wrote {
                self.leave(&mut next, before, open, version);
            }
            if let Some(told) = told {
                below(&mut next, told, open.op.id);
            }
            self.pass(&mut next, open, wrote, clock);
            if let Some(Wanted::Seen(seen)) = wanted
                && !learn(&mut next, &open.op, &outcome, seen, clock)
            {
                continue;
            }
            if wanted.is_none() {
                let told = (open.fate == Fate::Open).then(|| outcome.clone());
                next.set_mark(open.op.id, Mark::Done { outcome: told, version, clock });
            } else {
                next.unmark(open.op.id);
            }
            ways.push((next, outcome));
        }
        ways
    }

    /// Notes that a state was left for another.
    fn leave(&mut self, config: &mut Config, before: Slots, open: &Pending, version: Span) {
        if let Some(left) = self.left.as_deref_mut() {
            left.push((self.now.us, before));
        }
        if self.may_lose {
            let before = RefCell::new(std::mem::take(&mut config.tails));
            config.is_at_cut = false;
            let acked_us = Cell::new(u64::MAX);
            let (op, slots, version) = (open.op.id, config.slots.clone(), Cell::new(version));
            config.tails = smallvec![Rc::new(Node { op, slots, before, acked_us, version })];
        }
    }

    /// An operation has taken effect: ghosts of its connection before it never will, and open reads see another state.
    fn pass(&self, config: &mut Config, open: &Pending, wrote: bool, clock: Clock) {
        for before in self.pending.iter().take_while(|before| before.op.id < open.op.id) {
            let is_ghost = before.fate == Fate::Lost && before.op.conn == open.op.conn;
            if is_ghost && config.mark(before.op.id).is_none() {
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
            let is_mine = read.op.conn == open.op.conn;
            let is_frozen = is_mine && open.op.id > read.op.id || self.is_frozen(config, read);
            let is_blocked = self.is_blocked(config, read, open);
            let (step, slots) = (config.step, config.slots.clone());
            let place = config.marks.iter_mut().find(|(id, _)| *id == read.op.id);
            let Some((_, Mark::Reading(glimpses))) = place else { continue };
            if read.epoch > sealed {
                glimpses.clear();
            }
            if is_frozen {
                continue;
            }
            if let Some(last) = glimpses.last_mut()
                && wrote
            {
                last.until_ms = last.until_ms.min(clock.to);
            }
            let is_new = glimpses.last().is_none_or(|last| last.step != step);
            if is_new && !is_blocked {
                glimpses.push(Glimpse { step, slots, until_ms: u64::MAX });
            }
        }
    }

    /// Whether a write of the read's connection that was sent behind it has taken effect.
    fn is_frozen(&self, config: &Config, read: &Pending) -> bool {
        self.pending.iter().any(|other| {
            other.op.conn == read.op.conn
                && other.op.id > read.op.id
                && matches!(config.mark(other.op.id), Some(Mark::Done { .. }))
        })
    }

    /// Whether a write of the read's connection that was sent before it has yet to take effect; `just` has.
    fn is_blocked(&self, config: &Config, read: &Pending, just: &Pending) -> bool {
        self.pending.iter().take_while(|before| before.op.id < read.op.id).any(|before| {
            before.op.conn == read.op.conn
                && before.op.id != just.op.id
                && before.fate == Fate::Open
                && !before.op.is_read()
                && !config.is_over(before.op.id)
        })
    }

    /// What a read that is sent now may see already.
    pub fn begin_read(&self, config: &mut Config, read: &Pending) {
        let glimpse = Glimpse { step: config.step, slots: config.slots.clone(), until_ms: u64::MAX };
        let is_blocked = self.is_blocked(config, read, read);
        let glimpses = if is_blocked { SmallVec::new() } else { smallvec![glimpse] };
        config.set_mark(read.op.id, Mark::Reading(glimpses));
    }
}

/// When an operation may have been evaluated.
fn clock_of(config: &Config, open: &Pending, now: SimTime, until_ms: u64) -> Clock {
    let from = open.op.sent.clock_ms_min.max(config.clock_ms.min(now.clock_ms_max));
    Span { from, to: now.clock_ms_max.min(until_ms).max(from) }
}

/// The version that an answer tells of what was written.
fn told_version(seen: &Seen) -> Option<u64> {
    if let Seen::Written { version, .. } = seen { *version } else { None }
}

/// What was written before the version that became known has a lower one.
fn below(config: &mut Config, version: u64, writer: u64) {
    config.floor = config.floor.max(version);
    let cap = |span: &mut Span| {
        if span.from < version && span.to >= version {
            span.to = version - 1;
        }
    };
    config
        .slots
        .values_mut()
        .filter(|value| value.writer != writer)
        .for_each(|value| cap(&mut value.version));
    for (_, mark) in &mut config.marks {
        if let Mark::Done { version, .. } = mark {
            cap(version);
        }
    }
}

/// Takes in what an answer tells of versions and expiries.
fn learn(config: &mut Config, op: &Op, outcome: &Outcome, seen: &Seen, clock: Clock) -> bool {
    match (&op.kind, outcome, seen) {
        (Kind::Read(places), Outcome::Values(slots), Seen::Values(values)) => {
            places.iter().zip(slots).zip(values).all(|((place, slot), value)| {
                match (slot, lesson(*place, value, clock)) {
                    (Some(slot), Some(lesson)) => config.learn(slot.writer, &lesson),
                    _ => true,
                }
            })
        }
        (Kind::Update(place, update), _, Seen::Written { version: Some(version), .. }) => {
            let is_put = matches!(update, Update::Put { .. });
            let lesson = Lesson { place: *place, version: Some(*version), expiry: None };
            if is_put { config.learn(op.id, &lesson) } else { raise(config, *version) }
        }
        (Kind::Batch(updates), _, Seen::Written { version: Some(version), .. }) => match updates.last() {
            Some((place, Update::Put { .. })) => {
                config.learn(op.id, &Lesson { place: *place, version: Some(*version), expiry: None })
            }
            _ => raise(config, *version),
        },
        (
            Kind::Update(place, _),
            Outcome::NotMet { current: Some(current) },
            Seen::NotMet { current: Some(value) },
        ) => lesson(*place, value, clock).is_none_or(|lesson| config.learn(current.writer, &lesson)),
        _ => true,
    }
}

fn raise(config: &mut Config, version: u64) -> bool {
    config.floor = config.floor.max(version);
    true
}
