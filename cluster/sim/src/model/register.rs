//! A register: the keys that are checked together (one key, or those of one tag), and every way they may be.

mod past;

use past::acknowledge;

use super::config::{Config, Configs, Mark};
use super::evaluate::Outcome;
use super::explore::{Fate, Pending, Seal, Search, Wanted};
use super::op::Op;
use super::seen::{Refusal, Seen};
use super::time::SimTime;
use super::value::{OpId, Slots};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::rc::Rc;

/// Open writes (and ghosts) that a register may have before clients leave it alone.
const WRITES_MAX: usize = 4;
/// Open reads, likewise.
const READS_MAX: usize = 4;
/// Configurations, likewise.
const CONFIGS_MAX: usize = 24;
/// Events since the last moment at which nothing was open, likewise.
const EVENTS_MAX: usize = 60;
/// Configurations at which a register is given up: nothing about it is checked any more.
const CONFIGS_LIMIT: usize = 2000;
/// Events that are remembered for reports.
const RECENT: usize = 100;

/// What happened to a register: enough to search again when it turns out that an operation was refused, because then
/// those of its connection behind it may have taken effect without it.
#[derive(Clone, Debug)]
enum Event {
    Sent(Pending),
    /// Without what was seen: it may be anything.
    Answered(OpId, Option<Seen>, SimTime),
}

/// Something to report.
#[derive(Clone, Debug)]
enum Note {
    Sent(Rc<Op>),
    Answered(OpId, Seen),
    Lost(OpId),
    Crashed,
}

/// No way is left.
#[derive(Debug)]
pub struct Broken {
    /// How it could have been.
    pub expected: String,
}

/// A register.
#[derive(Debug)]
pub struct Register {
    /// Its keys, by place.
    pub keys: Vec<Rc<[u8]>>,
    /// Its partition.
    pub partition: u16,
    /// The ways it may be.
    pub configs: Vec<Config>,
    pub(super) pending: Vec<Pending>,
    epoch: u32,
    base: (Vec<Config>, Vec<Pending>),
    events: Vec<Event>,
    recent: VecDeque<(u64, Note)>,
    /// States that were left while scans were under way, and when.
    pub(super) left: Vec<(u64, Slots)>,
    may_lose: bool,
    /// Scans are under way.
    tracks: bool,
    /// Given up.
    pub is_blind: bool,
    /// What was answered is right only if an operation that is still open was refused: judged when that is known.
    pub(super) in_doubt: bool,
}

impl Register {
    /// Of keys that don't exist.
    pub fn new(partition: u16, may_lose: bool) -> Register {
        Register {
            keys: Vec::new(),
            partition,
            configs: vec![Config::new()],
            pending: Vec::new(),
            epoch: 0,
            base: (Vec::new(), Vec::new()),
            events: Vec::new(),
            recent: VecDeque::new(),
            left: Vec::new(),
            may_lose,
            tracks: false,
            is_blind: false,
            in_doubt: false,
        }
    }

    /// One to try something on.
    pub(super) fn trial(&self) -> Register {
        let mut trial = Register::new(self.partition, false);
        trial.configs.clone_from(&self.configs);
        trial.pending.clone_from(&self.pending);
        trial.epoch = self.epoch;
        trial
    }

    /// Whether one more operation is welcome.
    pub fn has_room(&self) -> bool {
        let writes = self.pending.iter().filter(|open| !open.op.is_read()).count();
        !self.is_blind
            && !self.in_doubt
            && writes < WRITES_MAX
            && self.pending.len() - writes < READS_MAX
            && self.configs.len() < CONFIGS_MAX
            && self.events.len() < EVENTS_MAX
    }

    /// An operation was sent.
    pub fn sent(&mut self, op: Rc<Op>) {
        self.resolve(op.sent);
        self.sent_in(op, self.epoch);
    }

    /// A scan that looked at keys of this register is like a read; but it may have been before anything that was settled
    /// since it began.
    pub(super) fn scanned(&mut self, op: Rc<Op>) {
        self.sent_in(op, 0);
    }

    fn sent_in(&mut self, op: Rc<Op>, epoch: u32) {
        self.note(op.sent.us, Note::Sent(Rc::clone(&op)));
        if self.is_blind {
            return;
        }
        if !self.is_anything_open() {
            self.base = (self.configs.clone(), self.pending.clone());
            self.events.clear();
        }
        let pending = Pending { op, epoch, fate: Fate::Open, seal: None };
        self.events.push(Event::Sent(pending.clone()));
        self.begin(pending);
    }

    fn begin(&mut self, pending: Pending) {
        self.pending.push(pending.clone());
        if pending.op.is_read() && !self.in_doubt {
            let search = Search { pending: &self.pending, now: pending.op.sent, may_lose: false, left: None };
            self.configs.iter_mut().for_each(|config| search.begin_read(config, &pending));
        }
    }

    /// An operation was answered. What it may have answered is told where anything would do.
    pub fn answered(
        &mut self,
        id: OpId,
        wanted: Wanted<'_>,
        now: SimTime,
        tracks: bool,
    ) -> Result<Vec<Outcome>, Broken> {
        self.tracks = tracks;
        if let Wanted::Seen(seen) = wanted {
            self.note(now.us, Note::Answered(id, seen.clone()));
        }
        let Some(target) = self.pending.iter().find(|open| open.op.id == id).cloned() else {
            return Ok(Vec::new());
        };
        match wanted {
            Wanted::Seen(Seen::Refused(refusal)) if !is_evaluated(*refusal) => {
                return self.refused(&target).map(|()| Vec::new());
            }
            Wanted::Seen(Seen::Unknown) => {
                return self.lost(id, Fate::Unknown, now, tracks).map(|()| Vec::new());
            }
            Wanted::Seen(seen) => self.events.push(Event::Answered(id, Some(seen.clone()), now)),
            Wanted::Any => self.events.push(Event::Answered(id, None, now)),
        }
        if self.in_doubt {
            return self.replay().map(|()| Vec::new());
        }
        let mut outcomes = Vec::new();
        let Some(configs) = self.search(&target, wanted, now, tracks, &mut outcomes) else {
            self.give_up();
            return Ok(Vec::new());
        };
        self.pending.retain(|open| open.op.id != id);
        if configs.is_empty() {
            self.in_doubt = self.may_clear_up();
            if self.in_doubt {
                return Ok(Vec::new());
            }
            return Err(Broken { expected: self.describe(&target, now) });
        }
        self.configs = configs;
        self.tidy();
        Ok(outcomes)
    }

    /// The configurations in which an operation answered this; `None`: there are too many to look at.
    pub(super) fn search(
        &mut self,
        target: &Pending,
        wanted: Wanted<'_>,
        now: SimTime,
        tracks: bool,
        outcomes: &mut Vec<Outcome>,
    ) -> Option<Vec<Config>> {
        let left = tracks.then_some(&mut self.left);
        let mut search = Search { pending: &self.pending, now, may_lose: self.may_lose, left };
        let configs = search.answered(&self.configs, target, wanted, outcomes)?;
        if self.may_lose {
            acknowledge(&configs, target.op.id, now.us);
        }
        Some(configs)
    }

    /// An operation was certainly not applied.
    fn refused(&mut self, target: &Pending) -> Result<(), Broken> {
        let id = target.op.id;
        self.pending.retain(|open| open.op.id != id);
        let has_followers = self.has_followers(target);
        self.events.retain(|event| !event.is_about(id));
        if target.op.is_read() && !self.in_doubt {
            self.configs.iter_mut().for_each(|config| config.unmark(id));
            return Ok(());
        }
        if has_followers || self.in_doubt {
            return self.replay();
        }
        let before = self.configs.clone();
        self.configs.retain(|config| !config.is_over(id));
        self.configs.iter_mut().for_each(|config| config.unmark(id));
        if self.configs.is_empty() {
            self.in_doubt = self.may_clear_up();
            let expected = format!("it was applied: {}", show(&before));
            return if self.in_doubt { Ok(()) } else { Err(Broken { expected }) };
        }
        self.merge();
        Ok(())
    }

    /// Nobody will learn what an operation did.
    pub fn lost(&mut self, id: OpId, fate: Fate, now: SimTime, tracks: bool) -> Result<(), Broken> {
        self.tracks = tracks;
        let Some(index) = self.pending.iter().position(|open| open.op.id == id) else { return Ok(()) };
        if fate == Fate::Lost {
            self.note(now.us, Note::Lost(id));
        }
        let target = self.pending[index].clone();
        if target.op.is_read() {
            self.pending.remove(index);
            self.events.retain(|event| !event.is_about(id));
            if self.in_doubt {
                return self.replay();
            }
            self.configs.iter_mut().for_each(|config| config.unmark(id));
            self.merge();
            return Ok(());
        }
        self.pending[index].fate = fate;
        for event in &mut self.events {
            if let Event::Sent(pending) = event
                && pending.op.id == id
            {
                pending.fate = fate;
            }
        }
        if self.has_followers(&target) || self.in_doubt {
            return self.replay();
        }
        for config in &mut self.configs {
            if let Some((_, Mark::Done { outcome, .. })) = config.marks.iter_mut().find(|(op, _)| *op == id) {
                *outcome = None;
            }
        }
        self.merge();
        self.tidy();
        Ok(())
    }

    /// Whether an operation behind it on its connection may have taken effect.
    fn has_followers(&self, target: &Pending) -> bool {
        self.events.iter().any(|event| match event {
            Event::Sent(other) => other.op.follows(&target.op),
            Event::Answered(..) => false,
        })
    }

    /// Whether an open write may yet turn out to be refused while those of its connection behind it took effect.
    fn may_clear_up(&self) -> bool {
        let is_open = |open: &&Pending| open.fate == Fate::Open && !open.op.is_read();
        self.pending.iter().filter(is_open).any(|open| self.has_followers(open))
    }

    /// Searches again, with what has become known of operations.
    fn replay(&mut self) -> Result<(), Broken> {
        let events = std::mem::take(&mut self.events);
        (self.configs, self.pending) = self.base.clone();
        self.in_doubt = false;
        let mut wrong = None;
        for event in &events {
            match event {
                Event::Sent(pending) => self.begin(pending.clone()),
                Event::Answered(id, seen, now) => {
                    let place = self.pending.iter().position(|open| open.op.id == *id);
                    let Some(place) = place else { continue };
                    if self.in_doubt {
                        self.pending.remove(place);
                        continue;
                    }
                    let target = self.pending[place].clone();
                    let wanted = seen.as_ref().map_or(Wanted::Any, Wanted::Seen);
                    let Some(configs) = self.search(&target, wanted, *now, self.tracks, &mut Vec::new())
                    else {
                        self.give_up();
                        return Ok(());
                    };
                    self.pending.remove(place);
                    if configs.is_empty() {
                        wrong = Some((target, *now));
                        self.in_doubt = true;
                    } else {
                        self.configs = configs;
                    }
                }
            }
        }
        self.events = events;
        if let Some((target, now)) = wrong
            && !self.may_clear_up()
        {
            return Err(Broken { expected: self.describe(&target, now) });
        }
        self.tidy();
        Ok(())
    }

    /// What nobody waits for takes effect before what is sent from now on, or never.
    pub fn settled(&mut self, now: SimTime) {
        for open in self.pending.iter_mut().filter(|open| open.fate != Fate::Open && open.seal.is_none()) {
            open.seal = Some(Seal { us: now.us, epoch: self.epoch, clock_ms: now.clock_ms_max });
        }
        for event in &mut self.events {
            if let Event::Sent(open) = event
                && open.fate != Fate::Open
                && open.seal.is_none()
            {
                open.seal = Some(Seal { us: now.us, epoch: self.epoch, clock_ms: now.clock_ms_max });
            }
        }
        self.epoch += 1;
        self.tidy();
    }

    fn is_anything_open(&self) -> bool {
        self.pending.iter().any(|open| open.fate == Fate::Open)
    }

    /// If nothing is open, ghosts that may have no effect any more have had it or not: they make ways, and are
    /// forgotten. Searches would have to try them again and again.
    pub(super) fn resolve(&mut self, now: SimTime) {
        if self.is_anything_open() || !self.pending.iter().any(|ghost| ghost.seal.is_some()) {
            return;
        }
        let left = Some(&mut self.left);
        let mut search = Search { pending: &self.pending, now, may_lose: self.may_lose, left };
        let Some(configs) = search.every_way(&self.configs) else { return };
        self.configs = configs;
        let is_sealed = |ghost: &&Pending| ghost.seal.is_some();
        let sealed: Vec<OpId> = self.pending.iter().filter(is_sealed).map(|ghost| ghost.op.id).collect();
        self.forget(&sealed);
    }

    /// Drops ghosts that are settled in every way.
    fn tidy(&mut self) {
        if self.in_doubt {
            return;
        }
        let configs = &self.configs;
        let is_settled = |open: &Pending| {
            open.fate != Fate::Open
                && configs.iter().all(|config| {
                    config.is_over(open.op.id) || open.seal.is_some_and(|seal| config.epoch > seal.epoch)
                })
        };
        let settled: SmallVec<[OpId; 4]> =
            self.pending.iter().filter(|open| is_settled(open)).map(|open| open.op.id).collect();
        if !settled.is_empty() {
            self.forget(&settled);
        }
        if self.configs.len() > CONFIGS_LIMIT {
            self.give_up();
        }
    }

    /// Takes operations off the list: nobody asks for them any more.
    fn forget(&mut self, ids: &[OpId]) {
        self.pending.retain(|open| !ids.contains(&open.op.id));
        for config in &mut self.configs {
            ids.iter().for_each(|id| config.unmark(*id));
        }
        self.merge();
    }

    fn merge(&mut self) {
        self.configs = std::mem::take(&mut self.configs).into_iter().collect::<Configs>().into_list();
    }

    fn give_up(&mut self) {
        (self.is_blind, self.in_doubt) = (true, false);
        self.configs = vec![Config::new()];
        self.pending.clear();
        self.events.clear();
        self.left.clear();
    }

    fn note(&mut self, us: u64, note: Note) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((us, note));
    }

    /// The last operations, for people.
    pub fn last_ops(&self) -> Vec<String> {
        self.recent
            .iter()
            .map(|(us, note)| match note {
                Note::Sent(op) => format!("{us} us: {op}"),
                Note::Answered(id, seen) => format!("{us} us:   op {id} answered: {seen}"),
                Note::Lost(id) => format!("{us} us:   op {id} lost its connection"),
                Note::Crashed => format!("{us} us: crash"),
            })
            .collect()
    }

    /// What an operation could have answered, and what the keys may hold.
    fn describe(&mut self, target: &Pending, now: SimTime) -> String {
        let mut outcomes = Vec::new();
        let _ = self.search(target, Wanted::Any, now, false, &mut outcomes);
        let mut texts: Vec<String> = outcomes.iter().map(Outcome::to_string).collect();
        texts.sort();
        texts.dedup();
        texts.truncate(8);
        format!("{}; the keys may hold {}", texts.join(" or "), show(&self.configs))
    }
}

impl Event {
    fn is_about(&self, id: OpId) -> bool {
        match self {
            Event::Sent(open) => open.op.id == id,
            Event::Answered(other, ..) => *other == id,
        }
    }
}

/// Whether a refusal follows from what the key holds.
fn is_evaluated(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::NotAnInteger | Refusal::Overflow)
}

fn show(configs: &[Config]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for config in configs {
        let values: Vec<String> =
            config.slots.values().map(|(place, value)| format!("[{place}] {value}")).collect();
        let text = if values.is_empty() { "nothing".to_owned() } else { values.join(", ") };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.truncate(8);
    texts.join(" | ")
}
