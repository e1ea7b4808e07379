//! The rule which entries survive a flush or a merge.
//!
//! Entries of all inputs are judged in storage order: keys rising, of one key the newest first. A
//! *reader* is a pin, or anybody who reads from now on.
//! 1. An entry is needed if some reader finds it first: no newer entry of its key, and no newer range
//!    tombstone over it, is visible to that reader. What isn't needed is dropped.
//! 2. A needed value that has expired hides what is older and shows nothing: it becomes a tombstone.
//! 3. A needed tombstone goes too once nothing is left that it could hide: no older entry of its key can
//!    lie below the inputs, no pin older than it keeps one among them, and its version is at or
//!    below the floor under which no late write can arrive.
//!
//! The rule is right because tables further down hold only older entries of a key, and because a range
//! tombstone outlives everything it hides: [`surviving_range_tombstones`] keeps it while any
//! table outside the merge may hold older entries in its range.

use super::horizons::{Horizon, Horizons};
use crate::key::{Entry, Kind, Partition, Prefix, RangeTombstone, Version};
use crate::tree::key_ranges::KeyRanges;
use crate::tree::range_tombstones::RangeTombstones;
use crate::tree::read_pins::ReadPins;

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is written as it is.
    Keep,
    /// It is written as a tombstone of the same version.
    Bury,
    /// It is left out.
    Drop,
}

/// What a job knows of the world around its inputs.
#[derive(Clone, Debug)]
pub struct RetentionRule {
    /// ReadPins that are open.
    pub pins: ReadPins,
    /// What of each partition may be let go of.
    pub horizons: Horizons,
    /// Where older entries than those of the inputs may lie.
    pub below: KeyRanges,
    /// Every range tombstone known to apply to the inputs.
    pub range_tombstones: RangeTombstones,
}

/// Judges entries in storage order.
#[derive(Debug)]
pub struct Retention {
    rule: RetentionRule,
    /// The key judged last; `newer` is the oldest version seen of it.
    key: Vec<u8>,
    newer: Option<Version>,
    /// Its partition, and the horizon of that.
    partition: Partition,
    horizon: Horizon,
    below_hint: usize,
    /// First fragment that ends beyond `key`, and whether it covers the key.
    fragment: usize,
    covered: bool,
}

impl Retention {
    /// A judge before its first entry.
    pub fn new(rule: RetentionRule) -> Retention {
        let partition = Partition(0);
        Retention {
            horizon: rule.horizons.of(partition),
            rule,
            key: Vec::new(),
            newer: None,
            partition,
            below_hint: 0,
            fragment: 0,
            covered: false,
        }
    }

    /// Whether the last judged entry began a new key: the only places where a table may end.
    pub fn is_same_key(&self, key: &[u8]) -> bool {
        self.newer.is_some() && self.key == key
    }

    /// Judges the next entry.
    pub fn judge(&mut self, entry: &Entry<'_>) -> Verdict {
        if !self.is_same_key(entry.key) {
            self.begin_key(entry.key);
        }
        let version = entry.stamp.version();
        let newer = self.nearest_newer(version);
        self.newer = Some(version);
        if let Some(newer) = newer
            && !self.rule.pins.keeps(self.partition, version, newer)
        {
            return Verdict::Drop;
        }
        let is_value = entry.stamp.kind() == Some(Kind::Value);
        if is_value && !self.is_expired(entry) {
            return Verdict::Keep;
        }
        if self.hides_nothing(entry.key, version) {
            return Verdict::Drop;
        }
        if is_value { Verdict::Bury } else { Verdict::Keep }
    }

    /// Whether a value is gone by its expiry.
    pub fn is_expired(&self, entry: &Entry<'_>) -> bool {
        entry.expiry.is_past(self.horizon.now_ms) && entry.stamp.kind() == Some(Kind::Value)
    }

    fn begin_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.newer = None;
        let partition = Prefix::of(key).map_or(Partition(0), Prefix::partition);
        if partition != self.partition {
            (self.partition, self.horizon) = (partition, self.rule.horizons.of(partition));
        }
        let fragments = self.rule.range_tombstones.fragments();
        while fragments.get(self.fragment).is_some_and(|f| f.end.as_slice() <= key) {
            self.fragment += 1;
        }
        self.covered = fragments.get(self.fragment).is_some_and(|f| f.contains(key));
    }

    /// The version of the first event that hid an entry of this version: a newer entry of the key or a
    /// newer range tombstone.
    fn nearest_newer(&self, version: Version) -> Option<Version> {
        if !self.covered {
            return self.newer;
        }
        let fragment = &self.rule.range_tombstones.fragments()[self.fragment];
        match (self.newer, fragment.oldest_above(version)) {
            (Some(entry), Some(range)) => Some(entry.min(range)),
            (entry, range) => entry.or(range),
        }
    }

    fn hides_nothing(&mut self, key: &[u8], version: Version) -> bool {
        version <= self.horizon.floor
            && !self.rule.pins.any_below(self.partition, version)
            && !self.rule.below.contains(key, &mut self.below_hint)
    }
}

/// A table outside a merge that may hold entries older than a range tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Its smallest key.
    pub min_key: Vec<u8>,
    /// Its largest key.
    pub max_key: Vec<u8>,
    /// Its oldest version.
    pub min_version: Version,
}

/// The range tombstones of a job's inputs that its outputs must carry, in key order.
///
/// Of several over one range the newest counts, and an older one only for a pin between them. The
/// newest goes when no table in `outside` may hold older entries of its range, no pin keeps any among the
/// inputs, and its version is at or below the floor where it lies.
pub fn surviving_range_tombstones(
    inputs: &[RangeTombstone],
    pins: &ReadPins,
    horizons: &Horizons,
    outside: Option<&[Outside]>,
) -> Vec<RangeTombstone> {
    let mut survivors: Vec<RangeTombstone> = Vec::new();
    for fragment in RangeTombstones::new(inputs).fragments() {
        let mut newer = None;
        for tombstone in fragment.tombstones() {
            let version = tombstone.version;
            let (start, end) = (&tombstone.start, &tombstone.end);
            let needed = match newer.replace(version) {
                Some(newer) => pins.range_keeps(start, end, version, newer),
                None => true,
            };
            if needed && !range_hides_nothing(&tombstone, pins, horizons, outside) {
                push_joined(&mut survivors, tombstone);
            }
        }
    }
    survivors
}

fn range_hides_nothing(
    tombstone: &RangeTombstone,
    pins: &ReadPins,
    horizons: &Horizons,
    outside: Option<&[Outside]>,
) -> bool {
    let Some(outside) = outside else { return false };
    let (start, end, version) = (&tombstone.start, &tombstone.end, tombstone.version);
    version <= horizons.floor_within(start, end)
        && !pins.range_any_below(start, end, version)
        && !outside.iter().any(|t| t.min_version < version && t.min_key < *end && *start <= t.max_key)
}

/// Joins a tombstone to its left neighbour of the same version.
fn push_joined(survivors: &mut Vec<RangeTombstone>, tombstone: RangeTombstone) {
    let neighbour =
        survivors.iter_mut().rev().find(|t| t.end == tombstone.start && t.version == tombstone.version);
    match neighbour {
        Some(neighbour) => neighbour.end = tombstone.end,
        None => survivors.push(tombstone),
    }
}
