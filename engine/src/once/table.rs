//! What a group remembers of requests that are to be done once.
//!
//! A copy of the table costs little: clients are shared between copies until one of them changes.

use super::Once;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a client and an answer take, about, bytes; longer answers more.
const CLIENT_BYTES: usize = 144;
const ANSWER_BYTES: usize = 48;
const ANSWER_INLINE_BYTES: usize = 16;

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
    fn bytes(&self) -> usize {
        ANSWER_BYTES + if self.answer.spilled() { self.answer.len() } else { 0 }
    }
}

/// What is remembered of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRows {
    /// The lowest number that it had no answer to, as far as it has said.
    pub lowest: u64,
    /// When the newest of its requests was first sent.
    pub newest_us: u64,
    /// Its requests, by number.
    pub kept: Vec<Kept>,
}

impl ClientRows {
    fn bytes(&self) -> usize {
        CLIENT_BYTES + self.kept.iter().map(Kept::bytes).sum::<usize>()
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    clients: BTreeMap<u128, Arc<ClientRows>>,
    floor_us: u64,
    bytes: usize,
}

impl Table {
    /// One that was kept elsewhere.
    pub fn restored(floor_us: u64, clients: impl IntoIterator<Item = (u128, ClientRows)>) -> Table {
        let clients: BTreeMap<_, _> =
            clients.into_iter().map(|(client, rows)| (client, Arc::new(rows))).collect();
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

    /// Remembers what a request came to, and lets go of what its client has the answer to.
    pub fn note(&mut self, once: &Once, answer: &[u8]) {
        let rows = Arc::make_mut(self.clients.entry(once.client).or_insert_with(|| {
            self.bytes += CLIENT_BYTES;
            Arc::default()
        }));
        rows.lowest = rows.lowest.max(once.lowest);
        rows.newest_us = rows.newest_us.max(once.first_sent_us);
        let answered = rows.kept.partition_point(|kept| kept.number < rows.lowest);
        self.bytes -= rows.kept.drain(..answered).map(|kept| kept.bytes()).sum::<usize>();
        let at = rows.kept.partition_point(|kept| kept.number < once.number);
        let is_known = rows.kept.get(at).is_some_and(|kept| kept.number == once.number);
        if once.number >= rows.lowest && !is_known {
            let (number, first_sent_us) = (once.number, once.first_sent_us);
            let kept = Kept { number, first_sent_us, answer: SmallVec::from_slice(answer) };
            self.bytes += kept.bytes();
            rows.kept.insert(at, kept);
        }
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
                Arc::make_mut(rows).kept.retain(|kept| kept.first_sent_us > floor_us);
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
