//! A store that is trivially right: a map. It keeps what it changed, so that a crash can take it back, and can be told to
//! lie.

use crate::client::request::{Key, Request};
use crate::model::op::{Condition, ExpireCondition, NewExpiry, Update};
use crate::model::seen::TtlUnit;
use pinion_net::slot::Slot;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub bytes: Vec<u8>,
    pub version: u64,
    pub expiry_ms: Option<u64>,
}

/// How the store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    LosesAcknowledgedWrites,
    DropsDeletes,
    TearsBatches,
    TakesBackWhatWasSeen,
    LosesIncrements,
    ReadsStale,
    ReturnsExpired,
    ScansMissKeys,
    ScansReviveKeys,
    RecoversASieve,
    FlipsBits,
    IgnoresConditions,
    SwapsPipelined,
    RecoversPartsOfBatches,
    CountsWrong,
    ClearsPartly,
    WritesWhatItRefused,
}

/// One change, and what was there before.
struct Change {
    partition: u16,
    version: u64,
    key: Vec<u8>,
    before: Option<Cell>,
    answered_us: Option<u64>,
    batch: u64,
}

/// What a part of a request answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Values(Vec<Option<Cell>>),
    Written { version: u64, existed: u64, old: Option<Cell> },
    NotMet(Option<Cell>),
    Number(i64, u64),
    NotAnInteger,
    Overflow,
    Busy,
}

pub struct Store {
    pub map: BTreeMap<Vec<u8>, Cell>,
    pub partitions: u16,
    pub clock_ms: u64,
    pub now_us: u64,
    pub lie: Lie,
    /// How often the lie was told.
    pub lies: u64,
    versions: Vec<u64>,
    changes: Vec<Change>,
    batches: u64,
    /// Values that were there once.
    old: BTreeMap<Vec<u8>, Cell>,
    deferred: Vec<(Key, Update)>,
}

impl Store {
    pub fn new(partitions: u16, lie: Lie) -> Store {
        Store {
            map: BTreeMap::new(),
            partitions,
            clock_ms: 0,
            now_us: 0,
            lie,
            lies: 0,
            versions: vec![0; usize::from(partitions)],
            changes: Vec::new(),
            batches: 0,
            old: BTreeMap::new(),
            deferred: Vec::new(),
        }
    }

    pub fn partition_of(&self, key: &[u8]) -> u16 {
        Slot::of(key).partition(self.partitions)
    }

    fn lies_now(&mut self, lie: Lie, rng: &mut SmallRng, one_in: u32) -> bool {
        let lies = self.lie == lie && rng.random_range(0..one_in) == 0;
        self.lies += u64::from(lies);
        lies
    }

    pub fn live(&self, key: &[u8]) -> Option<&Cell> {
        self.map.get(key).filter(|cell| cell.expiry_ms.is_none_or(|expiry| expiry > self.clock_ms))
    }

    /// All keys that are there, in order, and what they hold.
    pub fn items(&mut self, rng: &mut SmallRng) -> Vec<(Vec<u8>, Cell)> {
        let live =
            |(key, cell): (&Vec<u8>, &Cell)| self.live(key).is_some().then(|| (key.clone(), cell.clone()));
        let mut items: Vec<_> = self.map.iter().filter_map(live).collect();
        if !items.is_empty() && self.lies_now(Lie::ScansMissKeys, rng, 3) {
            items.remove(rng.random_range(0..items.len()));
        }
        let gone = self.old.iter().find(|(key, _)| self.live(key).is_none());
        if let Some((key, cell)) = gone.map(|(key, cell)| (key.clone(), cell.clone()))
            && self.lies_now(Lie::ScansReviveKeys, rng, 3)
        {
            items.push((key, cell));
            items.sort_by(|left, right| left.0.cmp(&right.0));
        }
        items
    }

    fn next_version(&mut self, key: &[u8]) -> u64 {
        let partition = usize::from(self.partition_of(key));
        let version = &mut self.versions[partition];
        *version = (*version + 1).max(self.now_us + 1_000_000);
        *version
    }

    fn write(&mut self, key: &[u8], cell: Option<(Vec<u8>, Option<u64>)>) -> u64 {
        let version = self.next_version(key);
        let before = self.map.get(key).cloned();
        if let Some(before) = &before {
            self.old.insert(key.to_vec(), before.clone());
        }
        let (partition, batch) = (self.partition_of(key), self.batches);
        self.changes.push(Change { partition, version, key: key.to_vec(), before, answered_us: None, batch });
        match cell {
            Some((bytes, expiry_ms)) => {
                self.map.insert(key.to_vec(), Cell { bytes, version, expiry_ms });
            }
            None => {
                self.map.remove(key);
            }
        }
        version
    }

    /// Everything up to here has been answered.
    pub fn answered(&mut self, partition: u16, version: u64) {
        let now_us = self.now_us;
        let change = self
            .changes
            .iter_mut()
            .rev()
            .find(|change| change.partition == partition && change.version == version);
        if let Some(change) = change {
            change.answered_us.get_or_insert(now_us);
        }
    }

    pub fn read(&mut self, keys: &[&[u8]], rng: &mut SmallRng) -> Answer {
        let mut values: Vec<Option<Cell>> = keys.iter().map(|key| self.live(key).cloned()).collect();
        for (key, value) in keys.iter().zip(&mut values) {
            if let Some(old) = self.old.get(*key).cloned()
                && self.lies_now(Lie::ReadsStale, rng, 10)
            {
                *value = Some(old);
            }
            if let Some(cell) = self.map.get(*key).cloned()
                && value.is_none()
                && self.lies_now(Lie::ReturnsExpired, rng, 2)
            {
                *value = Some(cell);
            }
            if let Some(cell) = value
                && cell.bytes.len() > 20
                && self.lie == Lie::FlipsBits
                && rng.random_range(0..30) == 0
            {
                self.lies += 1;
                cell.bytes[10] ^= 4;
            }
        }
        Answer::Values(values)
    }

    pub fn update_many(&mut self, updates: &[(Key, Update)], rng: &mut SmallRng) -> Answer {
        self.batches += 1;
        let (mut existed, mut version) = (0, 0);
        for (index, (key, update)) in updates.iter().enumerate() {
            if index > 0 && self.lies_now(Lie::TearsBatches, rng, 3) {
                self.deferred.push((key.clone(), update.clone()));
                continue;
            }
            if let Answer::Written { version: written, existed: there, .. } = self.update(key, update, rng) {
                (existed, version) = (existed + there, written);
            }
        }
        Answer::Written { version, existed, old: None }
    }

    /// Does what was put off.
    pub fn catch_up(&mut self, rng: &mut SmallRng) {
        for (key, update) in std::mem::take(&mut self.deferred) {
            self.update(&key, &update, rng);
        }
    }

    pub fn clear(&mut self, partition: u16, rng: &mut SmallRng) -> Answer {
        self.batches += 1;
        let is_mine = |key: &&Vec<u8>| self.partition_of(key) == partition;
        let keys: Vec<Vec<u8>> = self.map.keys().filter(is_mine).cloned().collect();
        let mut version = self.versions[usize::from(partition)];
        for key in &keys {
            if !self.lies_now(Lie::ClearsPartly, rng, 5) {
                version = self.write(key, None);
            }
        }
        Answer::Written { version, existed: 0, old: None }
    }

    pub fn update_one(&mut self, key: &[u8], update: &Update, rng: &mut SmallRng) -> Answer {
        self.batches += 1;
        self.update(key, update, rng)
    }

    fn update(&mut self, key: &[u8], update: &Update, rng: &mut SmallRng) -> Answer {
        let found = self.live(key).cloned();
        match update {
            Update::Put { bytes, expiry, condition, .. } => {
                if !self.holds(*condition, found.as_ref(), rng) {
                    return Answer::NotMet(found);
                }
                let expiry = self.expiry(*expiry, found.as_ref());
                let version = self.write(key, Some((bytes.to_vec(), expiry)));
                Answer::Written { version, existed: 0, old: found }
            }
            Update::Delete { condition, .. } => {
                if !self.holds(*condition, found.as_ref(), rng) {
                    return Answer::NotMet(found);
                }
                let drops = found.is_some() && self.lies_now(Lie::DropsDeletes, rng, 10);
                let version = if drops { self.next_version(key) } else { self.write(key, None) };
                Answer::Written { version, existed: u64::from(found.is_some()), old: found }
            }
            Update::Increment { by } => {
                let text = found.as_ref().map_or(&b"0"[..], |cell| &cell.bytes);
                let number: Option<i64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                let Some(number) = number.filter(|number| number.to_string().as_bytes() == text) else {
                    return Answer::NotAnInteger;
                };
                let Some(sum) = number.checked_add(*by) else { return Answer::Overflow };
                if self.lies_now(Lie::LosesIncrements, rng, 20) {
                    return Answer::Number(sum, 0);
                }
                let expiry = found.and_then(|cell| cell.expiry_ms);
                let version = self.write(key, Some((sum.to_string().into_bytes(), expiry)));
                Answer::Number(sum, version)
            }
            Update::Append { suffix } => {
                let (mut bytes, expiry) =
                    found.map_or((Vec::new(), None), |cell| (cell.bytes, cell.expiry_ms));
                bytes.extend_from_slice(suffix);
                let length = bytes.len() as i64;
                let version = self.write(key, Some((bytes, expiry)));
                Answer::Number(length, version)
            }
            Update::Expire { expiry, condition } => {
                let Some(cell) = found else { return Answer::NotMet(None) };
                let new = self.expiry(*expiry, Some(&cell));
                let rank = |expiry: Option<u64>| expiry.unwrap_or(u64::MAX);
                let holds = match condition {
                    ExpireCondition::Always => true,
                    ExpireCondition::HasNone => cell.expiry_ms.is_none(),
                    ExpireCondition::HasOne => cell.expiry_ms.is_some(),
                    ExpireCondition::Later => rank(new) > rank(cell.expiry_ms),
                    ExpireCondition::Earlier => rank(new) < rank(cell.expiry_ms),
                };
                if !holds || new.is_none() && cell.expiry_ms.is_none() {
                    return Answer::NotMet(Some(cell));
                }
                let version = self.write(key, Some((cell.bytes, new)));
                Answer::Written { version, existed: 1, old: None }
            }
        }
    }

    fn holds(&mut self, condition: Condition, found: Option<&Cell>, rng: &mut SmallRng) -> bool {
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Version(version) => found.is_some_and(|cell| cell.version == version),
        };
        holds || self.lies_now(Lie::IgnoresConditions, rng, 4)
    }

    fn expiry(&self, expiry: NewExpiry, found: Option<&Cell>) -> Option<u64> {
        match expiry {
            NewExpiry::Never => None,
            NewExpiry::Keep => found.and_then(|cell| cell.expiry_ms),
            NewExpiry::At(ms) => Some(ms),
            NewExpiry::After(ms) => Some(self.clock_ms + ms),
        }
    }

    /// A crash that must lose nothing.
    pub fn crash(&mut self, rng: &mut SmallRng) {
        self.catch_up(rng);
        match self.lie {
            Lie::LosesAcknowledgedWrites => {
                let from = self.changes.len().saturating_sub(rng.random_range(1..20));
                self.undo(from, |_| true);
            }
            Lie::TakesBackWhatWasSeen => {
                let from = self.changes.len().saturating_sub(200);
                self.undo(from, |change| change.answered_us.is_none());
            }
            Lie::RecoversPartsOfBatches => {
                let last = self.batches.saturating_sub(3);
                let mut odd = false;
                self.undo(0, |change| {
                    odd = !odd;
                    change.batch > last && change.answered_us.is_none() && odd
                });
            }
            _ => {}
        }
        self.changes.clear();
    }

    /// A crash that may lose, in each partition, what wasn't answered before `kept_us`.
    pub fn crash_with_loss(&mut self, kept_us: u64, rng: &mut SmallRng) {
        let mut cuts = Vec::new();
        for partition in 0..self.partitions {
            let last = self.changes.iter().rposition(|change| {
                change.partition == partition && change.answered_us.is_some_and(|us| us < kept_us)
            });
            let mut cut = rng.random_range(last.map_or(0, |last| last + 1)..=self.changes.len());
            // Batches are kept or lost as wholes.
            while cut > 0
                && cut < self.changes.len()
                && self.changes[cut].batch == self.changes[cut - 1].batch
            {
                cut += 1;
            }
            cuts.push(self.changes.get(cut).map_or(u64::MAX, |change| change.batch));
        }
        let sieve = self.lie == Lie::RecoversASieve;
        self.undo(0, |change| {
            let keeps = sieve && change.version % 3 == 0;
            change.batch >= cuts[usize::from(change.partition)] && !keeps
        });
        self.changes.clear();
    }

    fn undo(&mut self, from: usize, mut loses: impl FnMut(&Change) -> bool) {
        // A key that a kept change wrote later keeps it.
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for change in self.changes.drain(from.min(self.changes.len())..).rev() {
            if !loses(&change) {
                kept.push(change.key);
                continue;
            }
            if kept.contains(&change.key) {
                continue;
            }
            self.lies += u64::from(self.lie != Lie::None);
            match change.before {
                Some(before) => self.map.insert(change.key, before),
                None => self.map.remove(&change.key),
            };
        }
    }
}

/// The time to live as it is told.
pub fn ttl(cell: Option<&Cell>, unit: TtlUnit, clock_ms: u64) -> i64 {
    let Some(cell) = cell else { return -2 };
    let Some(expiry) = cell.expiry_ms else { return -1 };
    let left = (expiry - clock_ms) as i64;
    if unit == TtlUnit::Seconds { (left + 500) / 1000 } else { left }
}

/// Whether a request only reads.
pub fn is_read(request: &Request) -> bool {
    matches!(
        request,
        Request::Get(_) | Request::Exists(_) | Request::StrLen(_) | Request::Ttl(..) | Request::MultiGet(_)
    )
}
