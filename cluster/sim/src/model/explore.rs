//! The search for ways in which an answer is right: just-in-time linearization.
//!
//! When an operation is answered, it must have taken effect by then. So each configuration is extended by every sequence of
//! open writes that ends with it (in the order of their connections, and none of before a crash behind one of after it),
//! and those that would have answered something else are dropped. Open reads change nothing: a configuration only
//! remembers what they may have seen.

mod reads;

use super::config::{Config, Configs, Glimpse, Mark, Node};
use super::evaluate::{Branch, Outcome, evaluate};
use super::fits::{Lesson, fits, lesson};
use super::op::{Kind, Op, Update};
use super::seen::Seen;
use super::time::SimTime;
use super::value::{Clock, Slots, Span};
use smallvec::{SmallVec, smallvec};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Configurations that one search looks at, at most.
const VISITED_MAX: usize = 2000;

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
    /// Before this moment.
    pub us: u64,
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
    /// The configurations in which `target` has answered what is wanted; `None`: there are too many to look at.
    /// `outcomes` notes what it answered in them.
    pub fn answered(
        &mut self,
        configs: &[Config],
        target: &Pending,
        wanted: Wanted<'_>,
        outcomes: &mut Vec<Outcome>,
    ) -> Option<Vec<Config>> {
        let mut found = Configs::default();
        let mut visited = Configs::default();
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
        let relevant = self.relevant(target);
        while let Some((mut config, is_start)) = stack.pop() {
            if !is_start {
                let Some(news) = visited.visit(config) else { continue };
                config = news;
                if visited.len() > VISITED_MAX {
                    return None;
                }
            }
            match config.mark(target.op.id) {
                Some(Mark::Reading(glimpses)) => {
                    // Elsewhere only the newest is new, or one that time may change: for others that are open it matters
                    // what came first.
                    let is_new = |glimpse: &&Glimpse| {
                        let is_newest = glimpse.end == u32::MAX && glimpse.slots.may_expire();
                        is_start || is_newest || glimpse.step == config.step
                    };
                    for glimpse in glimpses.clone().iter().filter(is_new) {
                        self.check_read(&config, target, glimpse, wanted, outcomes, &mut found);
                    }
                }
                _ if self.may_go(&config, target) => {
                    for (next, outcome) in self.go(&config, target, Some(wanted)) {
                        outcomes.push(outcome);
                        found.add(next);
                    }
                }
                _ => {}
            }
            for index in &relevant {
                let open = &self.pending[*index];
                if self.may_go(&config, open) {
                    let ways = self.go(&config, open, None);
                    stack.extend(ways.into_iter().map(|(config, _)| (config, false)));
                }
            }
        }
        Some(found.into_list())
    }

    /// All that the configurations may become by open writes; `None`: there are too many to look at.
    pub fn every_way(&mut self, configs: &[Config]) -> Option<Vec<Config>> {
        let pending = self.pending;
        let mut visited = Configs::default();
        let mut stack = configs.to_vec();
        while let Some(config) = stack.pop() {
            let Some(config) = visited.visit(config) else { continue };
            if visited.len() > VISITED_MAX {
                return None;
            }
            for open in pending.iter().filter(|open| !open.op.is_read()) {
                if self.may_go(&config, open) {
                    stack.extend(self.go(&config, open, None).into_iter().map(|(config, _)| config));
                }
            }
        }
        Some(visited.into_list())
    }

    /// The open writes that may make a difference if they take effect before `target`. One on other keys makes none: it
    /// can come later as well, unless a read of both kinds of keys is open or a scan may see them between the two, a crash
    /// lies between them, or a crash may ask for their order.
    fn relevant(&self, target: &Pending) -> SmallVec<[usize; 8]> {
        let all = self.may_lose || self.left.is_some();
        let mut mask = target.op.mask();
        let mut relevant: SmallVec<[bool; 16]> = SmallVec::from_elem(false, self.pending.len());
        loop {
            let mut is_done = true;
            for (open, is_relevant) in self.pending.iter().zip(&mut relevant) {
                let matters = all || open.seal.is_some() || open.op.mask() & mask != 0;
                if matters && !*is_relevant {
                    (*is_relevant, is_done) = (true, false);
                    mask |= open.op.mask();
                }
            }
            if is_done {
                break;
            }
        }
        let is_write = |index: &usize| {
            let open = &self.pending[*index];
            relevant[*index] && open.op.id != target.op.id && !open.op.is_read()
        };
        (0..self.pending.len()).filter(is_write).collect()
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
                || before.op.is_read()
                || !open.op.follows(&before.op)
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
        found: &mut Configs,
    ) {
        let mut config = config.clone();
        config.unmark(target.op.id);
        // It is told later, when the wall clock may be another.
        let clock = Clock { lead: target.op.sent.lead_until(&self.now), ..clock };
        if let Wanted::Seen(seen) = wanted {
            let told = told_version(seen);
            let is_right = fits(&outcome, seen, clock) && told.is_none_or(|told| version.has(told));
            if !is_right || !learn(&mut config, &target.op, &outcome, seen, clock) {
                return;
            }
        }
        outcomes.push(outcome);
        found.add(config);
    }

    /// The ways in which an open write takes effect now; if an answer is wanted, those that answer it, with the operation
    /// taken off the list.
    fn go(
        &mut self,
        config: &Config,
        open: &Pending,
        wanted: Option<Wanted<'_>>,
    ) -> SmallVec<[(Config, Outcome); 2]> {
        // The clock of now may be of another life of the node.
        let clock = match open.seal {
            Some(seal) => since(open, seal.clock_ms, self.now),
            None => clock_of(open, self.now, u64::MAX),
        };
        let above = floor(config, open).max(open.op.version_after);
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
            let before = std::mem::replace(&mut next.slots, slots);
            if wrote {
                next.forget_gone(open.op.mask());
                self.leave(&mut next, before, open, version);
            } else {
                next.lose_to_time(&before);
                self.expire(&before, &next.slots);
            }
            if let Some(told) = told {
                self.below(&mut next, if wrote { told } else { told + 1 }, open);
            }
            self.pass(&mut next, open, wrote, clock);
            if let Some(Wanted::Seen(seen)) = wanted
                && !learn(&mut next, &open.op, &outcome, seen, clock)
            {
                continue;
            }
            if wanted.is_none() {
                let told = (open.fate == Fate::Open).then(|| outcome.clone());
                // What writes nothing may be told the version of what was written before.
                let version = if wrote { version } else { Span { from: above, ..version } };
                next.set_mark(open.op.id, Mark::Done { outcome: told, version, clock });
            } else {
                next.unmark(open.op.id);
            }
            ways.push((next, outcome));
        }
        ways
    }

    /// Notes that a state was left because something in it has expired.
    fn expire(&mut self, before: &Slots, after: &Slots) {
        if let Some(left) = self.left.as_deref_mut()
            && before.values().any(|(place, _)| after.get(place).is_none())
        {
            left.push((self.now.us, before.clone()));
        }
    }

    /// Notes that a state was left for another.
    fn leave(&mut self, config: &mut Config, before: Slots, open: &Pending, version: Span) {
        if let Some(left) = self.left.as_deref_mut() {
            left.push((open.seal.map_or(self.now.us, |seal| seal.us), before));
        }
        if self.may_lose {
            let before = RefCell::new(std::mem::take(&mut config.tails));
            config.is_at_cut = false;
            let acked_us = Cell::new(u64::MAX);
            let (op, slots) = (open.op.id, config.slots.clone());
            config.tails = smallvec![Rc::new(Node { op, slots, before, acked_us, version })];
        }
    }

    /// What was written to the same keys before has a version below this one.
    fn below(&self, config: &mut Config, version: u64, writer: &Pending) {
        for other in self.pending.iter().filter(|other| other.op.mask() & writer.op.mask() != 0) {
            let mark = config.marks.iter_mut().find(|(id, _)| *id == other.op.id);
            let Some((_, Mark::Done { version: span, .. })) = mark else { continue };
            // A batch tells only the version of its last operation, which may be on another key.
            if span.from < version && span.to >= version && !matches!(other.op.kind, Kind::Batch(_)) {
                span.to = version - 1;
            }
        }
    }
}

/// The highest version known to be written to the keys of an operation.
fn floor(config: &Config, open: &Pending) -> u64 {
    match &open.op.kind {
        Kind::Update(place, _) => config.floor(*place),
        // A batch tells only the version of its last operation, which is above all of them.
        Kind::Batch(updates) => updates.iter().map(|(place, _)| config.floor(*place)).max().unwrap_or(0),
        Kind::Read(_) | Kind::Clear => 0,
    }
}

/// When an operation may have been evaluated.
fn clock_of(open: &Pending, now: SimTime, until_ms: u64) -> Clock {
    since(open, now.clock_ms_max.min(until_ms), now)
}

fn since(open: &Pending, until_ms: u64, now: SimTime) -> Clock {
    let from = open.op.sent.clock_ms_min;
    Clock { from, to: until_ms.max(from), lead: open.op.sent.lead_until(&now) }
}

/// The version that an answer tells of what was written.
fn told_version(seen: &Seen) -> Option<u64> {
    if let Seen::Written { version, .. } = seen { *version } else { None }
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
            // A delete that found nothing tells a version that may be of a write that a crash takes back.
            !is_put || config.learn(op.id, &lesson)
        }
        (Kind::Batch(updates), _, Seen::Written { version: Some(version), .. }) => match updates.last() {
            Some((place, Update::Put { .. })) => {
                config.learn(op.id, &Lesson { place: *place, version: Some(*version), expiry: None })
            }
            _ => true,
        },
        (
            Kind::Update(place, _),
            Outcome::NotMet { current: Some(current) },
            Seen::NotMet { current: Some(value) },
        ) => lesson(*place, value, clock).is_none_or(|lesson| config.learn(current.writer, &lesson)),
        _ => true,
    }
}
