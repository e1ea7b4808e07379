//! One way things may be: what the keys of a register hold, and which of the open operations have taken effect.

use super::evaluate::Outcome;
use super::fits::Lesson;
use super::value::{Clock, OpId, Slots, Span, Value};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

/// A state of a register after a write, and those before it: what a crash may go back to. States that two ways have in
/// common are shared.
#[derive(Debug)]
pub struct Node {
    /// The write.
    pub op: OpId,
    /// What the keys held after it.
    pub slots: Slots,
    /// What may have been before; empty: nothing, or nothing that matters any more.
    pub before: RefCell<Tails>,
    /// When it was acknowledged; `u64::MAX`: not yet.
    pub acked_us: Cell<u64>,
    /// Its version.
    pub version: Span,
}

impl Node {
    /// Stands among others for a past of which nothing is remembered.
    fn root(slots: &Slots) -> Rc<Node> {
        let (before, acked_us) = (RefCell::default(), Cell::new(0));
        Rc::new(Node { op: ROOT, slots: slots.clone(), before, acked_us, version: Span::exact(0) })
    }

    /// Whether it stands for the same past.
    fn is(&self, other: &Node) -> bool {
        std::ptr::eq(self, other) || self.is_root() && other.is_root()
    }

    /// Whether it is no write: nothing before it can be gone back to.
    pub fn is_root(&self) -> bool {
        self.op == ROOT
    }
}

/// So few are compared one by one.
const FEW: usize = 8;

/// No operation has this id.
const ROOT: OpId = 0;

/// The newest states of a configuration; none: nothing is remembered.
pub type Tails = SmallVec<[Rc<Node>; 1]>;

/// A state that an open read may have seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Glimpse {
    /// From which state of the configuration on.
    pub step: u32,
    /// Up to this one, which is another; `u32::MAX`: it is so now.
    pub end: u32,
    /// What the keys held that are read.
    pub slots: Slots,
    /// The highest clock at which they did.
    pub until_ms: u64,
}

/// What a configuration says of an open operation. One without a mark is a write that hasn't taken effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// It has taken effect; what it answers, if anybody will learn.
    Done {
        /// The answer.
        outcome: Option<Outcome>,
        /// The version that it wrote.
        version: Span,
        /// When.
        clock: Clock,
    },
    /// A ghost that never will, because a later one of its connection did.
    Skipped,
    /// A read, and what it may have seen.
    Reading(SmallVec<[Glimpse; 1]>),
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the keys hold.
    pub slots: Slots,
    /// What is said of open operations, by their ids.
    pub marks: SmallVec<[(OpId, Mark); 2]>,
    /// The latest epoch of an operation that took effect.
    pub epoch: u32,
    /// Counts the states while there are open reads.
    pub step: u32,
    /// The highest version that is known to be written, by the key's place.
    pub floors: SmallVec<[u64; 1]>,
    /// What time took from the slots in this life of the node, by the key's place. Unless the log learned of that time, a
    /// crash and a wall clock that is set back bring it back.
    pub gone: SmallVec<[(usize, Value); 1]>,
    /// For crashes that take something back.
    pub tails: Tails,
    /// After such a crash: the last write that was kept has at least this version.
    pub kept: u64,
    /// The first one that was lost has at most this.
    pub lost: u64,
    /// Nothing was written since.
    pub is_at_cut: bool,
}

impl Config {
    /// Of keys that don't exist.
    pub fn new() -> Config {
        Config {
            slots: Slots::default(),
            marks: SmallVec::new(),
            epoch: 0,
            step: 0,
            floors: SmallVec::new(),
            gone: SmallVec::new(),
            tails: SmallVec::new(),
            kept: 0,
            lost: u64::MAX,
            is_at_cut: false,
        }
    }

    /// What is said of an operation.
    pub fn mark(&self, id: OpId) -> Option<&Mark> {
        self.marks.iter().find(|(op, _)| *op == id).map(|(_, mark)| mark)
    }

    /// Says something of an operation.
    pub fn set_mark(&mut self, id: OpId, mark: Mark) {
        match self.marks.binary_search_by_key(&id, |(op, _)| *op) {
            Ok(index) => self.marks[index].1 = mark,
            Err(index) => self.marks.insert(index, (id, mark)),
        }
    }

    /// Forgets an operation.
    pub fn unmark(&mut self, id: OpId) {
        self.marks.retain(|(op, _)| *op != id);
        if !self.marks.iter().any(|(_, mark)| matches!(mark, Mark::Reading(_))) {
            self.step = 0;
        }
    }

    /// Whether an operation is done or skipped.
    pub fn is_over(&self, id: OpId) -> bool {
        matches!(self.mark(id), Some(Mark::Done { .. } | Mark::Skipped))
    }

    /// Whether two say the same (bounds and the past aside).
    pub fn is_like(&self, other: &Config) -> bool {
        self.epoch == other.epoch
            && self.step == other.step
            && self.marks.len() == other.marks.len()
            && self.slots == other.slots
            && self.marks == other.marks
    }

    /// Whether one that is alike allows nothing that this doesn't.
    pub fn covers(&self, other: &Config) -> bool {
        let has = |tail: &Rc<Node>| self.tails.iter().any(|mine| mine.is(tail));
        let is_below = |(place, floor): (usize, &u64)| *floor <= other.floor(place);
        self.kept <= other.kept
            && self.lost >= other.lost
            && (other.is_at_cut || !self.is_at_cut)
            && self.floors.iter().enumerate().all(is_below)
            && other.tails.iter().all(has)
            && (self.tails.is_empty() || !other.tails.is_empty() || self.has_root())
    }

    /// Takes in one that is alike.
    pub fn merge(&mut self, other: &Config) {
        self.floors.truncate(other.floors.len());
        self.floors.iter_mut().zip(&other.floors).for_each(|(mine, other)| *mine = (*mine).min(*other));
        (self.kept, self.lost) = (self.kept.min(other.kept), self.lost.max(other.lost));
        self.is_at_cut &= other.is_at_cut;
        for gone in &other.gone {
            if !self.gone.contains(gone) {
                self.gone.push(gone.clone());
            }
        }
        if self.tails.is_empty() != other.tails.is_empty() && !self.has_root() {
            self.tails.push(Node::root(&self.slots));
        }
        if other.tails.len() < FEW {
            for tail in &other.tails {
                if !self.tails.iter().any(|mine| mine.is(tail)) {
                    self.tails.push(Rc::clone(tail));
                }
            }
            return;
        }
        let mut known: HashSet<*const Node> = self.tails.iter().map(Rc::as_ptr).collect();
        let mut has_root = self.has_root();
        for tail in &other.tails {
            if known.insert(Rc::as_ptr(tail)) && !(has_root && tail.is_root()) {
                has_root |= tail.is_root();
                self.tails.push(Rc::clone(tail));
            }
        }
    }

    /// Time took what was there `before` and isn't now.
    pub fn lose_to_time(&mut self, before: &Slots) {
        let gone = before.values().filter(|(place, _)| self.slots.get(*place).is_none());
        self.gone.extend(gone.map(|(place, value)| (place, value.clone())));
    }

    /// Keys were written: nothing that was there before comes back.
    pub fn forget_gone(&mut self, mask: u64) {
        self.gone.retain(|(place, _)| mask >> (*place).min(63) & 1 == 0);
    }

    /// The node starts again, by a clock of at least `from_ms`: how it may be if what time took is back.
    pub fn turned_back(&mut self, from_ms: u64) -> Option<Config> {
        let gone = std::mem::take(&mut self.gone);
        let is_back =
            |(place, value): &&(usize, Value)| value.expiry.to > from_ms && self.slots.get(*place).is_none();
        let mut back: Option<Config> = None;
        for (place, value) in gone.iter().filter(is_back) {
            back.get_or_insert_with(|| self.clone()).slots.set(*place, Some(value.clone()));
        }
        back
    }

    fn has_root(&self) -> bool {
        self.tails.iter().any(|tail| tail.is_root())
    }

    /// The highest version that is known to be written to a key.
    pub fn floor(&self, place: usize) -> u64 {
        self.floors.get(place).copied().unwrap_or(0)
    }

    /// A version was written to a key.
    pub fn raise_floor(&mut self, place: usize, version: u64) {
        if self.floors.len() <= place {
            self.floors.resize(place + 1, 0);
        }
        self.floors[place] = self.floors[place].max(version);
    }

    /// Takes in what was told of a value that `writer` wrote, if it is still there. `false`: it can't be.
    #[must_use]
    pub fn learn(&mut self, writer: OpId, lesson: &Lesson) -> bool {
        if let Some(version) = lesson.version {
            self.raise_floor(lesson.place, version);
            // A node may be shared with ways in which another write has this version: they keep theirs.
            for tail in self.tails.iter_mut().filter(|tail| tail.op == writer && !tail.version.is_exact()) {
                *tail = Rc::new(Node {
                    op: tail.op,
                    slots: tail.slots.clone(),
                    before: tail.before.clone(),
                    acked_us: tail.acked_us.clone(),
                    version: Span::exact(version),
                });
                if self.is_at_cut {
                    self.kept = self.kept.max(version);
                }
            }
        }
        let Some(value) = self.slots.get_mut(lesson.place) else { return true };
        if value.writer != writer {
            return true;
        }
        if let Some(version) = lesson.version {
            if !value.version.has(version) {
                return false;
            }
            value.version = Span::exact(version);
        }
        if let Some(expiry) = lesson.expiry {
            if !value.expiry.overlaps(expiry) {
                return false;
            }
            value.expiry = value.expiry.and(expiry);
        }
        true
    }
}

/// Configurations, no two alike, in the order in which they were found. A search may find thousands: likeness is looked
/// for by a digest first.
#[derive(Debug, Default)]
pub struct Configs {
    digests: Vec<u64>,
    list: Vec<Config>,
}

impl Configs {
    /// Adds a configuration, or merges it into the one that is like it.
    pub fn add(&mut self, config: Config) {
        let digest = config.digest();
        match self.place(digest, &config) {
            Some(place) => self.list[place].merge(&config),
            None => self.push(digest, config),
        }
    }

    /// Adds a configuration; what there is to look at then: the configuration, merged with the one that is like it, or
    /// nothing, if that one covers it.
    pub fn visit(&mut self, config: Config) -> Option<Config> {
        let digest = config.digest();
        match self.place(digest, &config) {
            Some(place) if self.list[place].covers(&config) => None,
            Some(place) => {
                self.list[place].merge(&config);
                Some(self.list[place].clone())
            }
            None => {
                self.push(digest, config.clone());
                Some(config)
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them.
    pub fn into_list(self) -> Vec<Config> {
        self.list
    }

    fn place(&self, digest: u64, config: &Config) -> Option<usize> {
        let alike = |place: &usize| self.digests[*place] == digest && self.list[*place].is_like(config);
        (0..self.list.len()).find(alike)
    }

    fn push(&mut self, digest: u64, config: Config) {
        self.digests.push(digest);
        self.list.push(config);
    }
}

impl FromIterator<Config> for Configs {
    fn from_iter<I: IntoIterator<Item = Config>>(configs: I) -> Configs {
        let mut all = Configs::default();
        configs.into_iter().for_each(|config| all.add(config));
        all
    }
}
