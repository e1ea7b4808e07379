//! What a scan may and must have seen of a register: it looked at some time between its request and its answer.
//!
//! While scans are under way, registers note the states that they leave. A state that was seen is one of those, or one
//! that the register may be in now. In the second case the scan was a read like any other: what it saw has happened.

use super::explore::Wanted;
use super::fits::value_fits;
use super::op::{Kind, Op};
use super::register::{Broken, Register};
use super::seen::{Seen, SeenValue};
use super::time::SimTime;
use super::value::{Clock, Slots, Span, Value, look};
use smallvec::SmallVec;
use std::rc::Rc;

/// The time in which a scan looked.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// From then on.
    pub from: SimTime,
    /// Until now.
    pub now: SimTime,
}

impl Window {
    fn clock(self) -> Clock {
        let from = self.from.clock_ms_min;
        let lead = self.from.lead_until(&self.now);
        Clock { from, to: self.now.clock_ms_max.max(from), lead }
    }
}

impl Register {
    /// Keys of this register were seen together like this. `read` is a read of them, sent when the window began.
    pub fn looked(
        &mut self,
        read: Op,
        values: SmallVec<[SeenValue; 1]>,
        window: Window,
    ) -> Result<(), Broken> {
        // First, for it may have looked at what is left thereby.
        self.resolve(window.now);
        let Kind::Read(places) = &read.kind else { return Ok(()) };
        let cannot_tell = self.is_blind || self.in_doubt;
        if cannot_tell || self.is_plainly(places, &values, window) || self.was(places, &values, window) {
            return Ok(());
        }
        let (read, values) = self.told_by_time(read, values, window);
        if values.is_empty() {
            return Ok(());
        }
        let id = read.id;
        self.scanned(Rc::new(read));
        self.answered(id, Wanted::Seen(&Seen::Values(values)), window.now, true).map(|_| ())
    }

    /// Leaves out keys whose absence tells nothing of the order: a scan looks at what is durable, and goes by its own
    /// clock. So it may find a value expired before it finds a write that came when the value was alive, and that is on its
    /// way to the disk. What was evaluated then shows it: that write, or a read of several keys that waits for it.
    fn told_by_time(
        &self,
        read: Op,
        values: SmallVec<[SeenValue; 1]>,
        window: Window,
    ) -> (Op, SmallVec<[SeenValue; 1]>) {
        let Kind::Read(places) = &read.kind else { return (read, values) };
        let clock = window.clock();
        let is_written = self.pending.iter().any(|open| !open.op.is_read());
        let is_asked =
            |place: usize| self.pending.iter().any(|open| open.op.mask() & 1 << place.min(63) != 0);
        let expires = |place: usize| {
            let mut values = self.configs.iter().filter_map(|config| config.slots.get(place)).peekable();
            values.peek().is_some() && values.all(|value| value.expiry.from <= clock.to)
        };
        let is_order = |(place, seen): &(&usize, &SeenValue)| {
            let is_told = is_written && is_asked(**place) && expires(**place);
            !matches!(seen, SeenValue::Absent) || !is_told
        };
        let (kept, values) =
            places.iter().zip(&values).filter(is_order).map(|(p, v)| (*p, v.clone())).unzip();
        (Op { kind: Kind::Read(kept), ..read.clone() }, values)
    }

    /// The common case: nothing is open, and the only way it may be is what was seen.
    fn is_plainly(&self, places: &[usize], values: &[SeenValue], window: Window) -> bool {
        let [config] = self.configs.as_slice() else { return false };
        self.pending.is_empty()
            && places.iter().zip(values).all(|(place, seen)| {
                let slot = config.slots.get(*place);
                let is_known = |value: &Value| {
                    value.expiry == Span::NEVER
                        && (value.version.is_exact()
                            || !matches!(seen, SeenValue::There { version: Some(_), .. }))
                };
                slot.is_none_or(is_known) && value_fits(slot, seen, window.clock())
            })
    }

    /// Whether a state that was left in the window is what was seen.
    fn was(&self, places: &[usize], values: &[SeenValue], window: Window) -> bool {
        let fits = |slots: &Slots| {
            places.iter().zip(values).all(|(place, seen)| {
                let alive = look(slots.get(*place), window.clock());
                alive.absent && value_fits(None, seen, window.clock())
                    || alive.there.is_some_and(|value| value_fits(Some(&value), seen, window.clock()))
            })
        };
        self.states_left(window).any(fits)
    }

    fn states_left(&self, window: Window) -> impl Iterator<Item = &Slots> {
        self.left.iter().filter(move |(us, _)| *us >= window.from.us).map(|(_, slots)| slots)
    }

    /// Whether a key was there all through the window, in every way.
    pub fn is_surely_there(&mut self, place: usize, read: Op, window: Window) -> bool {
        let clock = window.clock();
        let stays = |slots: &Slots| {
            slots.get(place).is_some_and(|value| value.expiry == Span::NEVER || value.expiry.from > clock.to)
        };
        if self.is_blind
            || self.in_doubt
            || !self.configs.iter().all(|config| stays(&config.slots))
            || !self.states_left(window).all(stays)
        {
            return false;
        }
        if !self.pending.iter().any(|open| !open.op.is_read()) {
            return true;
        }
        // Could it be gone by something that is open?
        let absent = Seen::Values(SmallVec::from_elem(SeenValue::Absent, 1));
        !self.could_be(read, &absent, window.now)
    }

    /// Whether a key may have been there at some time in the window.
    pub fn may_be_there(&self, place: usize, window: Window) -> bool {
        let clock = window.clock();
        let is_there = |slots: &Slots| look(slots.get(place), clock).there.is_some();
        self.is_blind
            || self.in_doubt
            || self.configs.iter().any(|config| is_there(&config.slots))
            || self.states_left(window).any(is_there)
            || self.pending.iter().any(|open| open.op.may_create(place))
    }

    /// Whether a read could answer this now; nothing changes.
    fn could_be(&self, read: Op, seen: &Seen, now: SimTime) -> bool {
        let mut trial = self.trial();
        let id = read.id;
        trial.scanned(Rc::new(read));
        trial.answered(id, Wanted::Seen(seen), now, false).is_ok()
    }

    /// Forgets states that were left before.
    pub fn forget_left_before(&mut self, us: u64) {
        self.left.retain(|(left_us, _)| *left_us >= us);
    }
}
