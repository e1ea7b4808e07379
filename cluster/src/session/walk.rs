//! Walks: commands that visit many keys, in pages, so that no turn of a core gets long.
//!
//! A walk asks partitions for pages ([`Walk::asks`]), takes in what they answer ([`Walk::take`]), and ends with an
//! [`Outcome`]. Two kinds:
//! - *one after the other*: partitions in their order, one page under way at a time: counts, KEYS, SCAN;
//! - *merged*: all partitions at once, the smallest key first: the ordered pages of the binary protocol. Its cost is one
//!   seek per partition; a prefix with a whole `{tag}` needs only the tag's partition.

use super::merge::Merge;
use super::wire::refused;
use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::shard::request::{Answer, Page, Refusal, Scan};
use pinion_net::reactor::ConnId;
use pinion_net::slot::Slot;
use pinion_net::wire::ErrorCode;
use smallvec::SmallVec;

/// Items and bytes of a page that a walk asks for.
const PAGE_ITEMS: usize = 256;
const PAGE_BYTES: usize = 128 << 10;

/// Bytes that a walk may collect before it is refused.
const COLLECTED_BYTES_MAX: usize = 64 << 20;

/// Why a walk ends whose cursor isn't there any more.
const NO_CURSOR: (ErrorCode, String) = (ErrorCode::BAD_CURSOR, String::new());

/// A request for one page.
pub struct Ask {
    /// Which of the walk's partitions.
    pub lane: usize,
    /// The partition.
    pub partition: Partition,
    /// First key.
    pub from: Vec<u8>,
    /// At most so many items.
    pub limit: usize,
}

impl Ask {
    /// The scan that it stands for, up to the key `to`.
    pub fn scan<'a>(&'a self, to: &'a [u8], keys_only: bool) -> Scan<'a> {
        Scan { from: &self.from, to, limit: self.limit, limit_bytes: PAGE_BYTES, keys_only }
    }
}

/// Where a scan goes on: a partition and a key in it.
pub type Place = (Partition, Vec<u8>);

/// How a walk ended.
pub enum Outcome {
    /// So many keys.
    Count(u64),
    /// These items, and where the next page begins.
    Items(Page, Option<Place>),
    /// A cursor that another core should have kept isn't there any more.
    NoCursor,
    /// Refused: why, and in words.
    Refused(ErrorCode, String),
}

/// What a walk is for.
pub enum Task {
    /// How many keys there are, in a slot or at all.
    Count {
        /// So far.
        count: u64,
        /// Only keys of this slot.
        slot: Option<Slot>,
    },
    /// Keys that match, from a place on.
    Collect {
        /// Which keys.
        pattern: Option<Box<[u8]>>,
        /// Look at about so many.
        limit: usize,
        /// Looked at so far.
        seen: usize,
        /// Those that match.
        items: Page,
    },
    /// A page in the order of keys.
    Merge(Merge),
    /// Asks another core where a cursor goes on; then it becomes a [`Task::Collect`].
    FindCursor {
        /// The task when the place is known.
        then: Box<Task>,
    },
}

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
    pub to: Vec<u8>,
    /// Already in the queue of walks to go on with.
    pub queued: bool,
    partitions: Vec<Partition>,
    /// The partition and key that a sequential walk goes on with.
    at: usize,
    from: Vec<u8>,
    /// Where each partition after the first begins.
    start: Vec<u8>,
    waiting: bool,
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
            to: Vec::new(),
            queued: false,
            partitions,
            at,
            from,
            start: Vec::new(),
            waiting: false,
            task,
            refusal: None,
        }
    }

    /// A merged walk: the first `limit` items from `from` on, over all of `partitions`.
    pub fn merged(
        whom: (ConnId, u64),
        keyspace: Keyspace,
        partitions: Vec<Partition>,
        from: &[u8],
        (limit, limit_bytes): (usize, usize),
    ) -> Walk {
        let task = Task::Merge(Merge::new(partitions.len(), from, limit, limit_bytes));
        Walk::new(whom, keyspace, partitions, (Partition(0), Vec::new()), task)
    }

    /// Whether it is over; then [`Walk::outcome`] says how.
    pub fn is_done(&self) -> bool {
        if self.waiting {
            return false;
        }
        let exhausted = self.at >= self.partitions.len();
        self.refusal.is_some()
            || match &self.task {
                Task::Count { .. } => exhausted,
                Task::Collect { limit, seen, .. } => exhausted || seen >= limit,
                Task::Merge(merge) => merge.is_done(),
                Task::FindCursor { .. } => false,
            }
    }

    /// The pages it wants now. Each is answered by one [`Walk::take`].
    pub fn asks(&mut self) -> SmallVec<[Ask; 1]> {
        let mut asks = SmallVec::new();
        if self.is_done() || self.waiting {
            return asks;
        }
        let limit = match &mut self.task {
            Task::Merge(merge) => {
                let limit = merge.share();
                while let Some((lane, from)) = merge.ask() {
                    asks.push(Ask { lane, partition: self.partitions[lane], from, limit });
                }
                self.waiting = true;
                return asks;
            }
            Task::FindCursor { .. } => return asks,
            Task::Collect { limit, seen, .. } => (*limit - *seen).min(PAGE_ITEMS),
            Task::Count { .. } => PAGE_ITEMS,
        };
        self.waiting = true;
        asks.push(Ask { lane: 0, partition: self.partitions[self.at], from: self.from.clone(), limit });
        asks
    }

    /// Begins every partition at `from`.
    pub fn start_each_at(&mut self, from: Vec<u8>) {
        self.from.clone_from(&from);
        self.start = from;
    }

    /// Whether an answer is missing.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Notes that another core was asked for the place of a cursor.
    pub fn wait_for_cursor(&mut self) {
        self.waiting = true;
    }

    /// Takes in an answer to the ask of `lane`.
    pub fn take(&mut self, lane: usize, answer: &Answer<'_>) {
        match (answer, &mut self.task) {
            (Answer::Page { page, next }, Task::Merge(merge)) => {
                merge.take(lane, page, *next);
                self.waiting = merge.is_waiting();
                return;
            }
            (Answer::Page { next, .. }, Task::FindCursor { .. }) => self.found_cursor(*next),
            (Answer::Page { page, next }, _) => self.advance(page, *next),
            (Answer::NotFound, Task::FindCursor { .. }) => self.refusal = Some(NO_CURSOR),
            (Answer::Refused(refusal), task) => {
                self.refusal = Some(refused(refusal));
                if let Task::Merge(merge) = task {
                    merge.fail(lane);
                    self.waiting = merge.is_waiting();
                    return;
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
        let Some((partition, key)) = next.and_then(|next| next.split_first_chunk::<2>()) else {
            self.refusal = Some(NO_CURSOR);
            return;
        };
        let start = Partition(u16::from_le_bytes(*partition));
        self.at = self.partitions.iter().position(|&partition| partition >= start).unwrap_or(usize::MAX);
        if self.partitions.get(self.at) == Some(&start) {
            self.from = key.to_vec();
        }
        if let Task::FindCursor { then } = &mut self.task {
            let then = std::mem::replace(&mut **then, Task::Count { count: 0, slot: None });
            self.task = then;
        }
    }

    fn advance(&mut self, page: &Page, next: Option<&[u8]>) {
        match &mut self.task {
            Task::Count { count, slot: None } => *count += page.len() as u64,
            Task::Count { count, slot: Some(slot) } => {
                *count += page.iter().filter(|(key, _)| Slot::of(key) == *slot).count() as u64;
            }
            Task::Collect { pattern, seen, items, .. } => {
                *seen += page.len();
                let fits = |key: &[u8]| {
                    pattern.as_deref().is_none_or(|pattern| pinion_net::resp::glob::matches(pattern, key))
                };
                page.iter().filter(|(key, _)| fits(key)).for_each(|(key, value)| items.push(key, value));
                if items.bytes() > COLLECTED_BYTES_MAX {
                    let text = "the reply is over the limit of 64 MiB; use SCAN".to_owned();
                    self.refusal = Some((ErrorCode::LIMIT, text));
                }
            }
            Task::Merge(_) | Task::FindCursor { .. } => {}
        }
        match next {
            Some(next) => next.clone_into(&mut self.from),
            None => {
                self.at += 1;
                self.from.clone_from(&self.start);
            }
        }
    }

    /// How it ended.
    pub fn outcome(self) -> Outcome {
        match (self.refusal, self.task) {
            (Some((ErrorCode::BAD_CURSOR, _)), _) => Outcome::NoCursor,
            (Some((code, text)), _) => Outcome::Refused(code, text),
            (None, Task::Count { count, .. }) => Outcome::Count(count),
            (None, Task::Collect { items, .. }) => {
                let next = self.partitions.get(self.at).map(|&partition| (partition, self.from));
                Outcome::Items(items, next)
            }
            (None, Task::Merge(merge)) => {
                let (items, rest) = merge.into_page();
                Outcome::Items(items, rest.map(|key| (Partition(0), key)))
            }
            (None, Task::FindCursor { .. }) => Outcome::NoCursor,
        }
    }
}

/// A refusal in words.
pub fn refusal_text(refusal: &Refusal<'_>) -> String {
    match refusal {
        Refusal::NotAnInteger => "value is not an integer or out of range".to_owned(),
        Refusal::Overflow => "increment or decrement would overflow".to_owned(),
        Refusal::Busy => "the shard is busy; slow down and try again".to_owned(),
        Refusal::WrongShard => "internal error: the partition isn't of this shard".to_owned(),
        Refusal::Limit(text) | Refusal::ReadOnly(text) | Refusal::Damaged(text) | Refusal::Invalid(text) => {
            (*text).to_owned()
        }
    }
}

/// The walks of a core. Their tickets name the walk and the lane.
#[derive(Default)]
pub struct Walks {
    walks: Vec<Option<Walk>>,
    free: Vec<u32>,
}

const LANE_BITS: u32 = 16;

impl Walks {
    /// Adds a walk; the key finds it.
    pub fn insert(&mut self, walk: Walk) -> u64 {
        match self.free.pop() {
            Some(key) => {
                self.walks[key as usize] = Some(walk);
                u64::from(key)
            }
            None => {
                self.walks.push(Some(walk));
                self.walks.len() as u64 - 1
            }
        }
    }

    /// The walk of a key.
    pub fn get(&mut self, key: u64) -> Option<&mut Walk> {
        self.walks.get_mut(key as usize)?.as_mut()
    }

    /// Removes a walk.
    pub fn remove(&mut self, key: u64) -> Option<Walk> {
        let walk = self.walks.get_mut(key as usize)?.take()?;
        self.free.push(key as u32);
        Some(walk)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.walks.len() == self.free.len()
    }

    /// The request part of a ticket for a lane of a walk.
    pub fn request(key: u64, lane: usize) -> u64 {
        key << LANE_BITS | lane as u64
    }

    /// Key and lane of a request part.
    pub fn parts(request: u64) -> (u64, usize) {
        (request >> LANE_BITS, (request & ((1 << LANE_BITS) - 1)) as usize)
    }
}
