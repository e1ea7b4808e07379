//! Merging the pages of several lanes, the partitions of one core each, into one page in the order of keys.

use pinion_engine::Version;
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Page, Value};
use smallvec::SmallVec;

/// The memory that a lane without items keeps for its next.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What is known of one lane: items that wait for their turn, packed, and where it goes on.
#[derive(Default)]
struct Lane {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// Items and bytes that left.
    taken: usize,
    offset: usize,
    /// Where its next page begins; `None` when it has no more.
    next: Option<Vec<u8>>,
    asked: bool,
    /// The item at `next` is longer than the lane's share of bytes.
    is_long: bool,
    /// It has told what lies before `next`.
    has_told: bool,
}

#[derive(Clone, Copy)]
struct Item {
    key_len: usize,
    value_len: usize,
    version: Version,
    expiry: Expiry,
}

impl Lane {
    fn fill(&mut self, page: &Page, next: Option<&[u8]>) {
        self.bytes.clear();
        self.items.clear();
        (self.taken, self.offset, self.asked) = (0, 0, false);
        self.is_long = page.is_empty() && next.is_some() && self.next.as_deref() == next;
        self.has_told |= !self.is_long;
        self.next = next.map(<[u8]>::to_vec);
        for (key, value) in page.iter() {
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(value.bytes);
            let (key_len, value_len) = (key.len(), value.bytes.len());
            self.items.push(Item { key_len, value_len, version: value.version, expiry: value.expiry });
        }
    }

    fn head(&self) -> Option<(&[u8], Value<'_>)> {
        let item = self.items.get(self.taken)?;
        let (key, rest) = self.bytes[self.offset..].split_at(item.key_len);
        let value = Value { bytes: &rest[..item.value_len], version: item.version, expiry: item.expiry };
        Some((key, value))
    }

    fn drop_head(&mut self) {
        if let Some(item) = self.items.get(self.taken) {
            self.offset += item.key_len + item.value_len;
            self.taken += 1;
        }
        if self.is_empty() {
            // One huge value must not hold its memory for the rest of the page.
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
    }

    fn is_empty(&self) -> bool {
        self.taken == self.items.len()
    }

    /// No key of this lane that is still to come is below this one.
    fn bound(&self) -> Option<&[u8]> {
        self.head().map(|(key, _)| key).or(self.next.as_deref())
    }
}

/// What a merge asks of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAsk {
    /// Which.
    pub lane: usize,
    /// First key.
    pub from: Vec<u8>,
    /// At most so many items.
    pub limit: usize,
    /// At most so many bytes, unless `oversized`.
    pub limit_bytes: usize,
    /// Only the first item, however long it is.
    pub oversized: bool,
}

/// A page that is being merged: of each lane what it held at one moment, so that batches are seen as wholes. A lane that has
/// told all it was asked for, and has more, ends the page: an empty one, if all it told is that its next key is further on.
///
/// It holds twice `limit_bytes` at most, or one item that is longer: a lane whose next item
/// is longer than its share says so with an empty page, and is asked for that item alone when its turn has come.
pub struct Merge {
    lanes: Vec<Lane>,
    limit: usize,
    limit_bytes: usize,
    items: Page,
    rest: Option<Vec<u8>>,
}

impl Merge {
    /// The first `limit` items (at most `limit_bytes`) from the key `from` on, over so many lanes.
    pub fn new(lanes: usize, from: &[u8], limit: usize, limit_bytes: usize) -> Merge {
        let lane = || Lane { next: Some(from.to_vec()), ..Lane::default() };
        Merge {
            lanes: (0..lanes).map(|_| lane()).collect(),
            limit: limit.max(1),
            limit_bytes,
            items: Page::default(),
            rest: None,
        }
    }

    /// What must be asked before it can go on: the lanes without items that have the least key, or may have it.
    pub fn asks(&mut self) -> SmallVec<[LaneAsk; 1]> {
        let mut asks = SmallVec::new();
        if self.is_waiting() || self.is_done() {
            return asks;
        }
        let share = (self.limit - self.items.len()) / self.lanes.len().max(1);
        // Keys are spread at random: so many are enough for most lanes.
        let limit = (share + 2 * share.isqrt() + 2).min(self.limit - self.items.len());
        let limit_bytes = self.limit_bytes / self.lanes.len().max(1);
        let Some(least) = self.lanes.iter().filter_map(Lane::bound).min().map(<[u8]>::to_vec) else {
            return asks;
        };
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.is_empty() || lane.next.as_ref() != Some(&least) {
                continue;
            }
            let oversized = lane.is_long;
            // Long items come one at a time.
            if oversized && !asks.is_empty() {
                continue;
            }
            lane.asked = true;
            let limit = if oversized { 1 } else { limit.max(1) };
            asks.push(LaneAsk { lane: index, from: least.clone(), limit, limit_bytes, oversized });
            if oversized {
                break;
            }
        }
        asks
    }

    /// Whether the next thing to ask for is an item that is longer than a lane's share.
    pub fn wants_long(&self) -> bool {
        let least = self.lanes.iter().filter_map(Lane::bound).min();
        self.lanes.iter().any(|lane| lane.is_long && lane.is_empty() && lane.bound() == least)
    }

    /// Whether an answer is missing.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| lane.asked)
    }

    /// Whether the page is as full as it gets.
    pub fn is_done(&self) -> bool {
        self.rest.is_some() || self.lanes.iter().all(|lane| lane.bound().is_none())
    }

    /// Bytes that it holds.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.items.bytes() + self.lanes.iter().map(|lane| lane.bytes.len()).sum::<usize>()
    }

    /// A lane's answer failed.
    pub fn fail(&mut self, lane: usize) {
        self.lanes[lane].asked = false;
    }

    /// Takes in the page of a lane, and merges once every lane that was asked has answered.
    pub fn take(&mut self, lane: usize, page: &Page, next: Option<&[u8]>) {
        self.lanes[lane].fill(page, next);
        if self.is_waiting() {
            return;
        }
        loop {
            let bounds =
                self.lanes.iter().enumerate().filter_map(|(index, lane)| Some((lane.bound()?, index)));
            let Some((bound, least)) = bounds.min() else { return };
            let lane = &self.lanes[least];
            let head = lane.head().map(|(key, value)| key.len() + value.bytes.len());
            let has_room = match head {
                Some(bytes) => self.items.bytes() + bytes <= self.limit_bytes,
                None => !lane.is_long && self.items.bytes() < self.limit_bytes,
            };
            if !self.items.is_empty() && (self.items.len() >= self.limit || !has_room) {
                self.rest = Some(bound.to_vec());
                return;
            }
            let Some((key, value)) = lane.head() else {
                // It has used up its page. What it would tell now is of another moment: that is for the next page.
                if lane.has_told {
                    self.rest = Some(bound.to_vec());
                }
                return;
            };
            self.items.push(key, value);
            self.lanes[least].drop_head();
        }
    }

    /// The page, and the first key that isn't on it.
    pub fn into_page(self) -> (Page, Option<Vec<u8>>) {
        (self.items, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Keys = BTreeMap<Vec<u8>, usize>;

    /// Answers an ask as a shard does.
    fn answer(keys: &Keys, ask: &LaneAsk) -> (Page, Option<Vec<u8>>) {
        let mut page = Page::default();
        for (key, &len) in keys.range(ask.from.clone()..) {
            let fits = page.bytes() + key.len() + len <= ask.limit_bytes;
            if page.len() == ask.limit || !(fits || (ask.oversized && page.is_empty())) {
                return (page, Some(key.clone()));
            }
            page.push(key, Value { bytes: &vec![b'v'; len], version: Version(1), expiry: Expiry::NEVER });
        }
        (page, None)
    }

    fn page(lanes: &[Keys], from: &[u8], limit: usize, limit_bytes: usize) -> (Page, Option<Vec<u8>>) {
        let mut merge = Merge::new(lanes.len(), from, limit, limit_bytes);
        let mut told = vec![false; lanes.len()];
        while !merge.is_done() {
            let wants_long = merge.wants_long();
            let asks = merge.asks();
            assert!(!asks.is_empty(), "a merge that isn't done asks for something");
            assert_eq!(asks.iter().any(|ask| ask.oversized), wants_long);
            let longest = if wants_long { asks.len() * 300 } else { 0 };
            for ask in asks.into_iter().rev() {
                let (page, next) = answer(&lanes[ask.lane], &ask);
                assert!(!told[ask.lane], "a lane tells of one moment only");
                told[ask.lane] = !page.is_empty() || next.is_none();
                merge.take(ask.lane, &page, next.as_deref());
                assert!(merge.bytes() <= 2 * limit_bytes + 2 * longest, "{} bytes", merge.bytes());
            }
        }
        merge.into_page()
    }

    proptest! {
        #[test]
        fn pages_of_a_merge_are_all_keys_in_order(
            lanes in prop::collection::vec(
                prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..3), 0_usize..200, 0..30),
                1..6,
            ),
            limit in 1_usize..20,
            limit_bytes in 1_usize..2000,
        ) {
            // Keys belong to one lane only.
            let mut all = Keys::new();
            let lanes: Vec<Keys> = lanes
                .into_iter()
                .map(|keys| keys.into_iter().filter(|(key, len)| all.insert(key.clone(), *len).is_none()).collect())
                .collect();
            let (mut seen, mut from) = (Vec::new(), Some(Vec::new()));
            while let Some(start) = from {
                let (items, rest) = page(&lanes, &start, limit, limit_bytes);
                prop_assert!(items.len() <= limit && (items.bytes() <= limit_bytes || items.len() == 1));
                // A lane may tell only that its next key is far off, and long: an empty page that ends there.
                prop_assert!(!items.is_empty() || rest.is_none() || rest.as_ref() > Some(&start));
                seen.extend(items.iter().map(|(key, _)| key.to_vec()));
                from = rest;
            }
            prop_assert_eq!(seen, lanes.iter().flat_map(|keys| keys.keys().cloned()).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        }
    }
}
