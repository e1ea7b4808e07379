//! Walks: commands that visit many keys, in pages, so that no turn of a core gets long.
//!
//! A walk asks shards for pages ([`Walk::asks`]), takes in what they answer ([`Walk::take`]), and ends with an
//! [`Outcome`]. Three kinds:
//! - *one partition after the other*, one page under way at a time: KEYS, SCAN, the keys of a slot;
//! - *merged*: the ordered pages of the binary protocol. Each core merges its partitions itself, so a page takes one request
//!   per core, and one seek per partition; a prefix with a whole `{tag}` needs only the tag's partition;
//! - *counted*: each core counts its partitions, in slices.
//!
//! [`super::walks`] bounds how many go on at once, by the memory that they may take ([`Walk::charge`]).

mod ask;
pub mod resume_point;
pub mod task;

pub use ask::Ask;

use super::counting::Counting;
use super::merge::Merge;
use super::question::Question;
use super::refusals;
use super::sampling::Need;
use ask::What;
use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::shard::request::{Answer, NO_DEADLINE, Page};
use pinion_net::reactor::ConnId;
use pinion_net::slot::Slot;
use pinion_net::wire::ErrorCode;
use resume_point::place_of;
use smallvec::SmallVec;
use std::rc::Rc;
use task::{Keys, Outcome, Task};

/// Items of a page of one partition that a walk asks for.
const PAGE_ITEMS: usize = 256;
/// Bytes that a pattern may be compared with for one page: a millisecond or two. What one costs, in bytes copied.
const PATTERN_STEPS: usize = 1 << 20;
const STEP_COST: usize = 4;

/// Bytes that a walk may collect before it is refused.
const COLLECTED_BYTES_MAX: usize = 64 << 20;

/// Why a walk ends whose cursor isn't there any more.
const NO_CURSOR: (ErrorCode, String) = (ErrorCode::BAD_CURSOR, String::new());

/// A walk under way.
pub struct Walk {
    /// For whom.
    pub conn: ConnId,
    /// Which command of the connection.
    pub command: u64,
    /// In which keyspace.
    pub keyspace: Keyspace,
    /// Keys without values.
    pub keys_only: bool,
    /// First key beyond the end; empty: none.
    pub to: Rc<[u8]>,
    /// When nobody waits for it any more, if its client said so.
    pub until_us: u64,
    /// Already in the queue of walks to go on with.
    pub queued: bool,
    /// Of a walk from one to the other.
    partitions: Vec<Partition>,
    /// The partition and key that it goes on with.
    at: usize,
    from: Vec<u8>,
    /// Of a merged walk.
    groups: Vec<Rc<[Partition]>>,
    /// Bytes that it may take, as long as it collects nothing.
    budget: usize,
    waiting: bool,
    /// What comparing keys has cost since it was asked last, in bytes copied.
    cost: usize,
    task: Task,
    /// Why it ends early; [`ErrorCode::BAD_CURSOR`] for a cursor that isn't there.
    refusal: Option<(ErrorCode, String)>,
}

impl Walk {
    /// A walk over `partitions` from the key `from` in the first of them that isn't before `start`.
    pub fn new(
        (conn, command): (ConnId, u64),
        keyspace: Keyspace,
        partitions: Vec<Partition>,
        (start, from): (Partition, Vec<u8>),
        task: Task,
    ) -> Walk {
        let at = partitions.iter().position(|&partition| partition >= start).unwrap_or(partitions.len());
        let from = if partitions.get(at) == Some(&start) { from } else { Vec::new() };
        Walk {
            conn,
            command,
            keyspace,
            keys_only: true,
            to: Rc::from([]),
            until_us: NO_DEADLINE,
            queued: false,
            partitions,
            at,
            from,
            groups: Vec::new(),
            budget: 0,
            waiting: false,
            cost: 0,
            task,
            refusal: None,
        }
    }

    /// A merged walk: the first `limit` items (at most `limit_bytes`) from `from` on, over all of `groups`, each the
    /// partitions of one core.
    pub fn merged(
        whom: (ConnId, u64),
        keyspace: Keyspace,
        groups: Vec<Rc<[Partition]>>,
        from: &[u8],
        (limit, limit_bytes): (usize, usize),
    ) -> Walk {
        let task = Task::Merge(Merge::new(groups.len(), from, limit, limit_bytes));
        let walk = Walk::new(whom, keyspace, Vec::new(), (Partition(0), Vec::new()), task);
        // The page, and what the lanes have ready for it.
        Walk { groups, budget: 2 * limit_bytes, ..walk }
    }

    /// A count of all keys from `from` on, over all of `groups`.
    pub fn counted(
        whom: (ConnId, u64),
        keyspace: Keyspace,
        groups: Vec<Rc<[Partition]>>,
        from: Vec<u8>,
    ) -> Walk {
        let task = Task::Count(Counting::new(groups, &from));
        let walk = Walk::new(whom, keyspace, Vec::new(), (Partition(0), Vec::new()), task);
        Walk { from, ..walk }
    }

    /// Bytes of memory that it takes, or may take before it is asked again.
    pub fn charge(&self) -> usize {
        match &self.task {
            Task::Collect { items, .. } => items.memory_bytes(),
            Task::Clients(listing) => listing.found().memory_bytes(),
            Task::Sample(sampling) => sampling.bytes(),
            _ => self.budget,
        }
    }

    /// Whether it is about to ask for an item that its charge has no room for.
    pub fn wants_long(&self) -> bool {
        match &self.task {
            Task::Merge(merge) => !self.waiting && !merge.is_done() && merge.wants_long(),
            _ => false,
        }
    }

    /// Ends it.
    pub fn refuse(&mut self, code: ErrorCode, text: String) {
        self.refusal.get_or_insert((code, text));
    }

    /// Whether it is over; then [`Walk::outcome`] says how.
    pub fn is_done(&self) -> bool {
        if self.waiting {
            return false;
        }
        let exhausted = self.at >= self.partitions.len();
        self.refusal.is_some()
            || match &self.task {
                Task::CountSlot { .. } => exhausted,
                Task::Count(counting) => counting.is_done(),
                Task::Collect { limit, seen, .. } => exhausted || seen >= limit,
                Task::Merge(merge) => merge.is_done(),
                Task::FindCursor { .. } => false,
                Task::Clients(listing) => listing.is_done(),
                Task::Sample(sampling) => sampling.need().is_none(),
            }
    }

    /// What it asks which core itself now. It is answered by one [`Walk::take`].
    pub fn question(&mut self) -> Option<(usize, Question)> {
        if self.waiting || self.is_done() {
            return None;
        }
        let question = match &self.task {
            Task::FindCursor { core, cursor, .. } => (*core, Question::Cursor(*cursor)),
            Task::Clients(listing) => {
                let (core, wanted, from) = listing.next();
                (core, Question::Clients(wanted, from))
            }
            Task::Sample(sampling) => match sampling.need()? {
                Need::ResumePoint(core) => (core, Question::Random(sampling.dice())),
                Need::Page(..) => return None,
            },
            _ => return None,
        };
        self.waiting = true;
        Some(question)
    }

    /// The pages it wants now. Each is answered by one [`Walk::take`].
    pub fn asks(&mut self) -> SmallVec<[Ask; 1]> {
        let mut asks = SmallVec::new();
        if self.refusal.is_some() || (self.waiting && !matches!(self.task, Task::Count(_))) || self.is_done()
        {
            return asks;
        }
        let to = &self.to;
        let limit = match &mut self.task {
            Task::Merge(merge) => {
                asks.extend(merge.asks().into_iter().map(|ask| {
                    let what = What::Merged {
                        partitions: Rc::clone(&self.groups[ask.lane]),
                        limit: ask.limit,
                        limit_bytes: ask.limit_bytes,
                        keys_only: self.keys_only,
                        oversized: ask.oversized,
                    };
                    Ask { lane: ask.lane, what, from: ask.from, to: Rc::clone(to) }
                }));
                self.waiting = merge.is_waiting();
                return asks;
            }
            Task::Count(counting) => {
                while let Some((lane, partitions, first, place)) = counting.ask() {
                    let what = What::Count { partitions, first, place };
                    asks.push(Ask { lane, what, from: self.from.clone(), to: Rc::clone(to) });
                }
                self.waiting = counting.is_waiting();
                return asks;
            }
            Task::FindCursor { .. } | Task::Clients(_) => return asks,
            Task::Sample(sampling) => {
                if let Some(Need::Page(partition, from, limit)) = sampling.need() {
                    let what = What::Page { partition, limit };
                    asks.push(Ask { lane: 0, what, from, to: Rc::clone(to) });
                    self.waiting = true;
                }
                return asks;
            }
            Task::Collect { keys: Keys::OfSlot(_), .. } => PAGE_ITEMS,
            Task::Collect { limit, seen, .. } => (*limit - *seen).min(PAGE_ITEMS),
            Task::CountSlot { .. } => PAGE_ITEMS,
        };
        self.waiting = true;
        let what = What::Page { partition: self.partitions[self.at], limit };
        asks.push(Ask { lane: 0, what, from: self.from.clone(), to: Rc::clone(to) });
        asks
    }

    /// Whether an answer is missing.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// What it has cost since this was asked last, beside its answers, in bytes copied in the same time.
    pub fn take_cost(&mut self) -> usize {
        std::mem::take(&mut self.cost)
    }

    /// Takes in an answer to the ask of `lane`.
    pub fn take(&mut self, lane: usize, answer: &Answer<'_>) {
        match (answer, &mut self.task) {
            (Answer::Page { page, next }, Task::Merge(merge)) => {
                merge.take(lane, page, *next);
                self.waiting = merge.is_waiting();
                return;
            }
            (Answer::Counted { keys, expiring, next }, Task::Count(counting)) => {
                counting.take(lane, (*keys, *expiring), *next);
                self.waiting = counting.is_waiting();
                return;
            }
            (Answer::Page { next, .. }, Task::FindCursor { .. }) => self.found_cursor(*next),
            (Answer::Page { page, next }, Task::Clients(listing)) => {
                listing.take(page, *next);
                if listing.found().bytes() > COLLECTED_BYTES_MAX {
                    let text = "the reply is over the limit of 64 MiB; ask for fewer connections".to_owned();
                    self.refusal = Some((ErrorCode::LIMIT, text));
                }
            }
            (Answer::Page { page, next }, Task::Sample(sampling)) => match sampling.need() {
                Some(Need::ResumePoint(_)) => sampling.take_place(next.and_then(place_of)),
                _ => sampling.take_page(page, *next),
            },
            (Answer::NotFound, Task::Sample(sampling)) => sampling.take_place(None),
            (Answer::Page { page, next }, _) => self.advance(page, *next),
            (Answer::NotFound, Task::FindCursor { .. }) => self.refusal = Some(NO_CURSOR),
            (Answer::Refused(refusal), task) => {
                self.refusal = Some(refusals::told(refusal));
                match task {
                    Task::Merge(merge) => {
                        merge.fail(lane);
                        self.waiting = merge.is_waiting();
                        return;
                    }
                    Task::Count(counting) => {
                        counting.fail(lane);
                        self.waiting = counting.is_waiting();
                        return;
                    }
                    _ => {}
                }
            }
            (other, _) => {
                let text = format!("internal error: a scan was answered with {other:?}");
                self.refusal = Some((ErrorCode::INTERNAL, text));
            }
        }
        self.waiting = false;
    }

    /// The place of a cursor comes as the key after its partition's number.
    fn found_cursor(&mut self, next: Option<&[u8]>) {
        let Some((start, key)) = next.and_then(place_of) else {
            self.refusal = Some(NO_CURSOR);
            return;
        };
        self.at = self.partitions.iter().position(|&partition| partition >= start).unwrap_or(usize::MAX);
        if self.partitions.get(self.at) == Some(&start) {
            self.from = key;
        }
        if let Task::FindCursor { then, .. } = &mut self.task {
            let then = std::mem::replace(&mut **then, Task::Count(Counting::default()));
            self.task = then;
        }
    }

    fn advance(&mut self, page: &Page, next: Option<&[u8]>) {
        match &mut self.task {
            Task::CountSlot { count, slot } => {
                *count += page.iter().filter(|(key, _)| Slot::of(key) == *slot).count() as u64;
            }
            Task::Collect { keys, limit, seen, items } => {
                let mut steps = PATTERN_STEPS;
                for (key, _) in page.iter() {
                    match keys.takes(key, &mut steps) {
                        Some(true) if keys.is_limit_of_found() && items.len() >= *limit => break,
                        Some(true) => items.push_bulk(key),
                        Some(false) => {}
                        None => {
                            let text = "the pattern takes too long to compare with keys as long as these";
                            self.refusal = Some((ErrorCode::LIMIT, text.to_owned()));
                            break;
                        }
                    }
                }
                self.cost += STEP_COST * (PATTERN_STEPS - steps);
                if keys.is_limit_of_found() {
                    *seen = items.len();
                } else {
                    *seen += page.len();
                }
                if items.bytes() > COLLECTED_BYTES_MAX {
                    let text = "the reply is over the limit of 64 MiB; use SCAN".to_owned();
                    self.refusal = Some((ErrorCode::LIMIT, text));
                }
            }
            _ => {}
        }
        match next {
            Some(next) => next.clone_into(&mut self.from),
            None => {
                self.at += 1;
                self.from.clear();
            }
        }
    }

    /// How it ended.
    pub fn outcome(self) -> Outcome {
        match (self.refusal, self.task) {
            (Some((ErrorCode::BAD_CURSOR, _)), _) => Outcome::NoCursor,
            (Some((code, text)), _) => Outcome::Refused(code, text),
            (None, Task::CountSlot { count, .. }) => Outcome::Count(count, 0),
            (None, Task::Count(counting)) => {
                let (keys, expiring) = counting.keys();
                Outcome::Count(keys, expiring)
            }
            (None, Task::Collect { items, .. }) => {
                let next = self.partitions.get(self.at).map(|&partition| (partition, self.from));
                Outcome::Listed(items, next)
            }
            (None, Task::Merge(merge)) => {
                let (items, rest) = merge.into_page();
                Outcome::Items(items, rest.map(|key| (Partition(0), key)))
            }
            (None, Task::FindCursor { .. }) => Outcome::NoCursor,
            (None, Task::Clients(listing)) => Outcome::Listed(listing.into_found(), None),
            (None, Task::Sample(sampling)) => Outcome::Items(sampling.into_page(), None),
        }
    }
}
