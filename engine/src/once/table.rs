//! What a group remembers of requests that are to be done once.
//!
//! A copy of the table costs little: clients are shared between copies until one of them changes.

use super::Once;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a client takes, about, bytes: its place in the table, its counts, and one answer.
const CLIENT_BYTES: usize = 176;
const ANSWER_INLINE_BYTES: usize = 16;

/// So many answers a client may leave open in one table.
pub const OPEN_MAX: usize = 16_384;

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// When it was first sent.
    pub first_sent_us: u64,
    /// What it was answered, as the shard has it.
    pub answer: SmallVec<[u8; ANSWER_INLINE_BYTES]>,
}

impl Kept {
    /// Memory beside its place, bytes.
    fn bytes(&self) -> usize {
        if self.answer.len() > ANSWER_INLINE_BYTES { self.answer.len().next_power_of_two() } else { 0 }
    }
}

/// What is remembered of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRows {
    /// The lowest number that it had no answer to, as far as it has said.
    pub lowest: u64,
    /// When the newest of its requests was first sent.
    pub newest_us: u64,
    /// Its requests, by number. Usually one: the others have been answered.
    pub kept: SmallVec<[Kept; 1]>,
    /// Sum of [`Kept::bytes`].
    answer_bytes: usize,
}

impl ClientRows {
    /// Of a client of which this is known.
    pub fn new(lowest: u64, newest_us: u64, kept: impl IntoIterator<Item = Kept>) -> ClientRows {
        let mut rows = ClientRows { lowest, newest_us, kept: kept.into_iter().collect(), answer_bytes: 0 };
        rows.count();
        rows
    }

    /// Memory that it takes, about, bytes.
    fn bytes(&self) -> usize {
        let places = if self.kept.spilled() { self.kept.capacity() * size_of::<Kept>() } else { 0 };
        CLIENT_BYTES + places + self.answer_bytes
    }

    fn count(&mut self) {
        self.answer_bytes = self.kept.iter().map(Kept::bytes).sum();
    }

    /// Gives back what it doesn't need.
    fn shrink(&mut self) {
        if self.kept.spilled() && self.kept.len() * 2 < self.kept.capacity() {
            self.kept.shrink_to_fit();
        }
    }

    fn take(&mut self, once: &Once, answer: &[u8]) {
        self.lowest = self.lowest.max(once.lowest);
        self.newest_us = self.newest_us.max(once.first_sent_us);
        let answered = self.kept.partition_point(|kept| kept.number < self.lowest);
        self.answer_bytes -= self.kept.drain(..answered).map(|kept| kept.bytes()).sum::<usize>();
        let at = self.kept.partition_point(|kept| kept.number < once.number);
        let is_known = self.kept.get(at).is_some_and(|kept| kept.number == once.number);
        if once.number >= self.lowest && !is_known {
            let (number, first_sent_us) = (once.number, once.first_sent_us);
            let kept = Kept { number, first_sent_us, answer: SmallVec::from_slice(answer) };
            self.answer_bytes += kept.bytes();
            self.kept.insert(at, kept);
        }
        self.shrink();
    }
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// It wasn't done.
    New,
    /// It was done, and answered so.
    Done(&'a [u8]),
    /// Whether it was done is forgotten.
    Forgotten,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Table {
    clients: BTreeMap<u128, Arc<ClientRows>>,
    floor_us: u64,
    bytes: usize,
}

impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        self.floor_us == other.floor_us && self.clients == other.clients
    }
}

impl Eq for Table {}

impl Table {
    /// No request is sent as late as this, microseconds of server time.
    pub const TIME_US_MAX: u64 = 1 << 62;

    /// One that was kept elsewhere.
    pub fn restored(floor_us: u64, clients: impl IntoIterator<Item = (u128, ClientRows)>) -> Table {
        let counted = |(client, mut rows): (u128, ClientRows)| {
            rows.count();
            (client, Arc::new(rows))
        };
        let clients: BTreeMap<_, _> = clients.into_iter().map(counted).collect();
        let bytes = clients.values().map(|rows| rows.bytes()).sum();
        Table { clients, floor_us, bytes }
    }

    /// Whether nothing was ever to be remembered.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.floor_us == 0
    }

    /// What was first sent at or before this time is forgotten.
    pub fn floor_us(&self) -> u64 {
        self.floor_us
    }

    /// The clients of which something is remembered, by their ids.
    pub fn clients(&self) -> impl ExactSizeIterator<Item = (u128, &ClientRows)> {
        self.clients.iter().map(|(&client, rows)| (client, &**rows))
    }

    /// How many answers are kept.
    pub fn answers(&self) -> usize {
        self.clients.values().map(|rows| rows.kept.len()).sum()
    }

    /// Memory that it takes, about, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is known of a request.
    pub fn known(&self, once: &Once) -> Known<'_> {
        if let Some(rows) = self.clients.get(&once.client) {
            if once.number < rows.lowest {
                return Known::Forgotten;
            }
            if let Ok(at) = rows.kept.binary_search_by_key(&once.number, |kept| kept.number) {
                return Known::Done(&rows.kept[at].answer);
            }
        }
        if once.first_sent_us <= self.floor_us { Known::Forgotten } else { Known::New }
    }

    /// Whether a request's client keeps so many open, by what the request says, that it must hear of some first.
    pub fn is_full_of(&self, once: &Once) -> bool {
        self.clients.get(&once.client).is_some_and(|rows| {
            let answered = rows.kept.partition_point(|kept| kept.number < once.lowest);
            rows.kept.len() - answered >= OPEN_MAX
        })
    }

    /// The time at which the newest of what is remembered was first sent.
    pub fn newest_us(&self) -> u64 {
        self.clients.values().map(|rows| rows.newest_us).max().unwrap_or_default()
    }

    /// Remembers what a request came to, unless it is to be forgotten already, and lets go of what its client has the answer to.
    pub fn note(&mut self, once: &Once, answer: &[u8]) {
        if once.first_sent_us <= self.floor_us {
            return;
        }
        let rows = self.clients.entry(once.client).or_insert_with(|| {
            self.bytes += CLIENT_BYTES;
            Arc::default()
        });
        let before = rows.bytes();
        let rows = Arc::make_mut(rows);
        rows.take(once, answer);
        self.bytes = self.bytes + rows.bytes() - before;
    }

    /// Forgets what was first sent at or before this time.
    pub fn raise_floor(&mut self, floor_us: u64) {
        if floor_us <= self.floor_us {
            return;
        }
        self.floor_us = floor_us;
        self.clients.retain(|_, rows| rows.newest_us > floor_us);
        for rows in self.clients.values_mut() {
            if rows.kept.iter().any(|kept| kept.first_sent_us <= floor_us) {
                let rows = Arc::make_mut(rows);
                rows.kept.retain(|kept| kept.first_sent_us > floor_us);
                rows.count();
                rows.shrink();
            }
        }
        self.bytes = self.clients.values().map(|rows| rows.bytes()).sum();
    }

    /// The time at or before which about half of it was first sent.
    pub fn middle_us(&self) -> u64 {
        let rows = self.clients.values();
        let mut times: Vec<u64> = rows
            .flat_map(|rows| rows.kept.iter().map(|kept| kept.first_sent_us).chain([rows.newest_us]))
            .collect();
        let middle = times.len() / 2;
        if times.is_empty() { 0 } else { *times.select_nth_unstable(middle).1 }
    }
}
