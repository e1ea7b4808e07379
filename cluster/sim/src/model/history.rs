//! What clients asked and were answered, part by part handed to the registers that it concerns.

mod answers;

use super::explore::Fate;
use super::op::{ConnId, Kind, Op, Update};
use super::register::{Broken, Register};
use super::seen::{Refusal, Seen, SeenValue};
use super::time::SimTime;
use super::value::OpId;
use super::violation::Violation;
use super::{HistoryOptions, Loss, Permits};
use pinion_engine::placement::Placement;
use pinion_net::slot::{Slot, hashed_part};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

/// A check that may have failed.
pub type Checked<T = ()> = Result<T, Box<Violation>>;

/// What a client asks for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Reads keys.
    Read(Vec<Rc<[u8]>>),
    /// Changes a key.
    Update(Rc<[u8]>, Update),
    /// Changes several keys.
    Batch(Vec<(Rc<[u8]>, Update)>),
    /// Removes all keys.
    Clear,
}

/// What a client was answered.
#[derive(Clone, Debug)]
pub enum Told {
    /// One thing about everything it asked for.
    Whole(Seen),
    /// A refusal of a part that isn't told; other partitions may have done theirs.
    SomeRefused(Refusal),
    /// One for each key of a read, in its order; some may have been refused.
    PerKey(Vec<Result<SeenValue, Refusal>>),
    /// One for each partition of a batch.
    PerPartition(Vec<(u16, Seen)>),
}

/// What was asked and isn't answered yet.
#[derive(Debug)]
pub struct Ticket {
    parts: Vec<Part>,
    /// A number of a clear: keys that are first touched while it runs belong to it, too.
    clear: Option<u64>,
}

/// What concerns one register.
#[derive(Clone, Debug)]
struct Part {
    register: usize,
    op: OpId,
    /// Places in what was asked.
    asked: SmallVec<[usize; 2]>,
    /// The version that is told is one that was written: other requests may be told one that a crash takes back.
    is_put: bool,
}

/// Where a key is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegisterSlot {
    pub register: usize,
    pub place: usize,
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug)]
struct PartitionState {
    /// The highest version that was acknowledged.
    acked: u64,
    /// After a crash that may lose something: its order was cut between these versions, say these registers.
    kept: (u64, usize),
    lost: (u64, usize),
}

impl PartitionState {
    fn new(acked: u64) -> PartitionState {
        PartitionState { acked, kept: (0, 0), lost: (u64::MAX, 0) }
    }
}

/// Everything that clients asked and were answered, as far as it still matters.
#[derive(Debug)]
pub struct History {
    options: HistoryOptions,
    placement: Placement,
    permits: Permits,
    pub(super) registers: Vec<Register>,
    pub(super) keys: BTreeMap<Rc<[u8]>, RegisterSlot>,
    tags: BTreeMap<Box<[u8]>, usize>,
    partitions: Vec<PartitionState>,
    /// Clears that aren't answered, and what they consist of.
    clears: BTreeMap<u64, (Op, Vec<Part>)>,
    /// Clears whose outcome nobody learned: they may yet come, and keys that were unknown then are gone too.
    lost_clears: Vec<Op>,
    /// Operations whose outcome nobody will learn, so far.
    ghosts: u64,
    next_op: OpId,
    next_clear: u64,
    /// When the scans that are under way began.
    scans: BTreeMap<u64, u64>,
    next_scan: u64,
    is_recovering: bool,
    /// The highest clock since the last crash.
    clock_ms_high: u64,
    counters: BTreeMap<&'static str, u64>,
}

/// Whether it ends with a put.
fn is_put(kind: &Kind) -> bool {
    match kind {
        Kind::Update(_, Update::Put { .. }) => true,
        Kind::Batch(updates) => matches!(updates.last(), Some((_, Update::Put { .. }))),
        _ => false,
    }
}

impl History {
    /// Of an empty store.
    pub fn new(options: HistoryOptions) -> History {
        History {
            placement: Placement::new(options.partitions, options.cores),
            partitions: vec![PartitionState::new(0); options.partitions],
            options,
            permits: Permits::default(),
            registers: Vec::new(),
            keys: BTreeMap::new(),
            tags: BTreeMap::new(),
            clears: BTreeMap::new(),
            lost_clears: Vec::new(),
            ghosts: 0,
            next_op: 1,
            next_clear: 0,
            scans: BTreeMap::new(),
            next_scan: 0,
            is_recovering: false,
            clock_ms_high: 0,
            counters: BTreeMap::new(),
        }
    }

    /// Which refusals may be answered from now on.
    pub fn permit(&mut self, permits: Permits) {
        self.permits = permits;
    }

    /// The number of partitions and cores.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Another number of cores from now on (after a crash or stop).
    pub fn resharded(&mut self, cores: usize) {
        self.placement = Placement::new(self.options.partitions, cores);
    }

    /// Registers that aren't checked any more, because there were too many ways they could be. Should be very few.
    pub fn given_up(&self) -> usize {
        self.registers.iter().filter(|register| register.is_blind).count()
    }

    /// What was counted, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counters.iter().map(|(name, count)| (*name, *count))
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_default() += 1;
    }

    /// Every key that was ever touched.
    pub fn keys(&self) -> impl Iterator<Item = &Rc<[u8]>> {
        self.keys.keys()
    }

    /// Whether one more operation on a key is welcome: too many open ones make too many ways to check.
    pub fn has_room(&self, key: &[u8]) -> bool {
        self.keys.get(key).is_none_or(|home| self.registers[home.register].has_room())
    }

    /// Whether a clear is welcome: one at a time, because it is an open operation on every key.
    pub fn has_room_to_clear(&self) -> bool {
        self.clears.is_empty() && self.lost_clears.is_empty()
    }

    /// Whether nobody can tell any more what a key holds.
    pub fn is_blind(&self, key: &[u8]) -> bool {
        self.keys.get(key).is_some_and(|home| self.registers[home.register].is_blind)
    }

    /// The partition of a key.
    pub fn partition_of(&self, key: &[u8]) -> u16 {
        self.placement.partition_of_slot(Slot::of(key).number()).0
    }

    pub(super) fn next_op(&mut self) -> OpId {
        self.next_op += 1;
        self.next_op - 1
    }

    fn home(&mut self, key: &Rc<[u8]>) -> RegisterSlot {
        if let Some(home) = self.keys.get(key) {
            return *home;
        }
        let tag = hashed_part(key);
        let register = match self.tags.get(tag) {
            Some(register) if tag.len() < key.len() => *register,
            _ => self.add_register(key),
        };
        if tag.len() < key.len() {
            self.tags.insert(tag.into(), register);
        }
        let keys = &mut self.registers[register].keys;
        keys.push(Rc::clone(key));
        let home = RegisterSlot { register, place: keys.len() - 1 };
        self.keys.insert(Rc::clone(key), home);
        home
    }

    fn add_register(&mut self, key: &[u8]) -> usize {
        let partition = self.partition_of(key);
        let register = self.registers.len();
        self.registers.push(Register::new(partition, self.options.may_lose));
        for (op, parts) in self.clears.values_mut() {
            self.registers[register].sent(Rc::new(op.clone()));
            parts.push(Part { register, op: op.id, asked: SmallVec::new(), is_put: false });
        }
        for op in &self.lost_clears {
            self.registers[register].sent(Rc::new(op.clone()));
            // A register without an answer can't be broken.
            let _ = self.registers[register].lost(op.id, Fate::Lost, op.sent, false);
        }
        register
    }

    fn op(&mut self, conn: ConnId, sent: SimTime, kind: Kind, register: usize) -> Op {
        let version_after = self.partitions[usize::from(self.registers[register].partition)].acked;
        Op { id: self.next_op(), conn, sent, kind, version_after }
    }

    /// A client sends a request.
    pub fn ask(&mut self, conn: ConnId, now: SimTime, ask: Ask) -> Ticket {
        self.count("operations");
        self.notice(now);
        let mut kinds: Vec<(usize, Kind, SmallVec<[usize; 2]>)> = Vec::new();
        match ask {
            Ask::Clear => return self.ask_clear(conn, now),
            Ask::Update(key, update) => {
                let home = self.home(&key);
                kinds.push((home.register, Kind::Update(home.place, update), SmallVec::from_elem(0, 1)));
            }
            Ask::Read(keys) => {
                for (asked, key) in keys.iter().enumerate() {
                    let home = self.home(key);
                    match kinds.iter_mut().find(|(register, ..)| *register == home.register) {
                        Some((_, Kind::Read(places), positions)) => {
                            places.push(home.place);
                            positions.push(asked);
                        }
                        _ => {
                            let kind = Kind::Read(SmallVec::from_elem(home.place, 1));
                            kinds.push((home.register, kind, SmallVec::from_elem(asked, 1)));
                        }
                    }
                }
            }
            Ask::Batch(updates) => {
                for (asked, (key, update)) in updates.into_iter().enumerate() {
                    let home = self.home(&key);
                    match kinds.iter_mut().find(|(register, ..)| *register == home.register) {
                        Some((_, Kind::Batch(batch), positions)) => {
                            batch.push((home.place, update));
                            positions.push(asked);
                        }
                        _ => {
                            let kind = Kind::Batch(vec![(home.place, update)]);
                            kinds.push((home.register, kind, SmallVec::from_elem(asked, 1)));
                        }
                    }
                }
            }
        }
        let mut parts = Vec::with_capacity(kinds.len());
        for (register, kind, asked) in kinds {
            let op = self.op(conn, now, kind, register);
            parts.push(Part { register, op: op.id, asked, is_put: is_put(&op.kind) });
            self.send(register, op, now);
        }
        Ticket { parts, clear: None }
    }

    fn send(&mut self, register: usize, op: Op, now: SimTime) {
        if self.options.may_lose && op.id.is_multiple_of(32) {
            let horizon = now.us.saturating_sub(self.options.loss_us_max);
            self.registers[register].forget_before(horizon);
        }
        self.registers[register].sent(Rc::new(op));
    }

    fn ask_clear(&mut self, conn: ConnId, now: SimTime) -> Ticket {
        self.count("clears");
        let id = self.next_op();
        // Versions of several partitions: none is a bound for all.
        let op = Op { id, conn, sent: now, kind: Kind::Clear, version_after: 0 };
        let mut parts = Vec::with_capacity(self.registers.len());
        for (index, register) in self.registers.iter_mut().enumerate() {
            register.sent(Rc::new(op.clone()));
            parts.push(Part { register: index, op: id, asked: SmallVec::new(), is_put: false });
        }
        self.next_clear += 1;
        self.clears.insert(self.next_clear, (op, parts));
        Ticket { parts: Vec::new(), clear: Some(self.next_clear) }
    }

    /// Keeps in mind how high a clock there was: it may go back before what it was good for is sealed.
    fn notice(&mut self, now: SimTime) -> SimTime {
        self.clock_ms_high = self.clock_ms_high.max(now.clock_ms_max);
        SimTime { clock_ms_max: self.clock_ms_high, ..now }
    }

    fn clear_of(&self, ticket: &Ticket) -> Option<Op> {
        self.clears.get(&ticket.clear?).map(|(op, _)| op.clone())
    }

    fn parts_of(&mut self, ticket: Ticket) -> Vec<Part> {
        match ticket.clear.and_then(|clear| self.clears.remove(&clear)) {
            Some((_, parts)) => parts,
            None => ticket.parts,
        }
    }

    /// A client's connection is gone before this was answered.
    pub fn lost(&mut self, ticket: Ticket, now: SimTime) -> Checked {
        self.count("lost");
        self.ghosts += 1;
        self.lost_clears.extend(self.clear_of(&ticket));
        let tracks = !self.scans.is_empty();
        for part in self.parts_of(ticket) {
            let done = self.registers[part.register].lost(part.op, Fate::Lost, now, tracks);
            self.check(&part, done, "operations that lost their connection", "", now)?;
        }
        Ok(())
    }

    fn check(
        &self,
        part: &Part,
        done: Result<(), Broken>,
        check: &'static str,
        seen: &str,
        now: SimTime,
    ) -> Checked {
        done.map_err(|Broken { expected }| {
            self.violation(check, Some(part.register), expected, seen.to_owned(), now)
        })
    }

    pub(super) fn violation(
        &self,
        check: &'static str,
        register: Option<usize>,
        expected: String,
        seen: String,
        at: SimTime,
    ) -> Box<Violation> {
        let register = register.map(|register| &self.registers[register]);
        Box::new(Violation {
            check,
            key: register.and_then(|register| register.keys.first()).map(|key| key.to_vec()),
            expected,
            seen,
            at,
            last_ops: register.map(Register::last_ops).unwrap_or_default(),
        })
    }

    /// The last operations on a key, oldest first, for reports.
    pub fn last_ops(&self, key: &[u8]) -> Vec<String> {
        self.keys.get(key).map(|home| self.registers[home.register].last_ops()).unwrap_or_default()
    }

    /// Counts operations whose outcome nobody will learn: what is under way now may be theirs if there are more.
    pub fn ghosts(&self) -> u64 {
        self.ghosts
    }

    /// Nothing of what closed connections sent is under way any more, nor of what had an unknown outcome: what had no
    /// effect will have none.
    pub fn settled(&mut self, now: SimTime) {
        let now = self.notice(now);
        self.lost_clears.clear();
        self.registers.iter_mut().for_each(|register| register.settled(now));
    }

    /// The node crashed (or was stopped): call it behind
    /// [`Client::disconnected`](crate::client::Client::disconnected) of every client. What was open took effect
    /// before, or never will.
    pub fn crashed(&mut self, loss: Loss, now: SimTime) {
        self.count("crashes");
        let now = self.notice(now);
        self.lost_clears.clear();
        self.clock_ms_high = 0;
        let losable_us = match loss {
            Loss::Nothing => None,
            Loss::Suffix { acknowledged_before_us } => Some(acknowledged_before_us),
        };
        self.registers.iter_mut().for_each(|register| register.crashed(losable_us, now));
        self.is_recovering = losable_us.is_some();
        for partition in &mut self.partitions {
            let acked = if losable_us.is_some() { 0 } else { partition.acked };
            *partition = PartitionState::new(acked);
        }
    }

    /// After a crash that lost something, each partition has a prefix of its order: what one key has kept isn't behind
    /// what another has lost.
    fn check_cut(&mut self, register: usize, now: SimTime) -> Checked {
        let (kept, lost) = self.registers[register].cut();
        let state = &mut self.partitions[usize::from(self.registers[register].partition)];
        state.kept = state.kept.max((kept, register));
        state.lost = state.lost.min((lost, register));
        let (kept, lost) = (state.kept, state.lost);
        if kept.0 < lost.0 {
            return Ok(());
        }
        let expected = format!("a prefix: nothing lost before version {}, which was kept", kept.0);
        let seen = format!("version {} was lost", lost.0);
        let check = "a crash left holes in a partition's order";
        let mut violation = self.violation(check, Some(lost.1), expected, seen, now);
        violation.last_ops.push("what was kept:".to_owned());
        violation.last_ops.extend(self.registers[kept.1].last_ops());
        Err(violation)
    }

    /// The last checks.
    pub fn finish(&mut self, now: SimTime) -> Checked {
        (0..self.registers.len())
            .try_for_each(|register| if self.is_recovering { self.check_cut(register, now) } else { Ok(()) })
    }

    /// A scan begins.
    pub fn scan_began(&mut self, now: SimTime) -> u64 {
        self.count("scans");
        self.next_scan += 1;
        self.scans.insert(self.next_scan, now.us);
        self.next_scan
    }

    /// A scan or count was refused.
    pub fn scan_refused(&mut self, refusal: Refusal, now: SimTime) -> Checked {
        self.check_permitted(&Seen::Refused(refusal), &[], now)
    }

    /// A scan is over, or will never be.
    pub fn scan_ended(&mut self, scan: u64) {
        self.scans.remove(&scan);
        let first_us = self.scans.values().min().copied().unwrap_or(u64::MAX);
        for register in self.registers.iter_mut().filter(|register| !register.left.is_empty()) {
            register.forget_left_before(first_us);
        }
    }

    /// The homes of keys within bounds, in order.
    pub(super) fn homes(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<(Rc<[u8]>, RegisterSlot)> {
        let is_empty = match (from, to) {
            (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Excluded(from), Bound::Included(to)) => from >= to,
            _ => false,
        };
        if is_empty {
            return Vec::new();
        }
        self.keys.range::<[u8], _>((from, to)).map(|(key, home)| (Rc::clone(key), *home)).collect()
    }
}
