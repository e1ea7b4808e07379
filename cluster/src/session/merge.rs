//! Merging the pages of several partitions into one page in the order of keys.

use pinion_engine::Version;
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Page, Value};

/// What is known of one partition: items that wait for their turn, packed, and where it goes on.
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
    }

    fn is_empty(&self) -> bool {
        self.taken == self.items.len()
    }

    /// No key of this lane that is still to come is below this one.
    fn bound(&self) -> Option<&[u8]> {
        self.head().map(|(key, _)| key).or(self.next.as_deref())
    }
}

/// A page that is being merged.
pub struct Merge {
    lanes: Vec<Lane>,
    limit: usize,
    limit_bytes: usize,
    items: Page,
    rest: Option<Vec<u8>>,
}

impl Merge {
    /// The first `limit` items (about `limit_bytes`) from the key `from` on, over so many partitions.
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

    /// How many items to ask a partition for: with a fair share each, most pages need one round.
    pub fn share(&self) -> usize {
        (self.limit / self.lanes.len().max(1) * 2).clamp(4, 256).min(self.limit)
    }

    /// The next lane that must be asked, and from which key.
    pub fn ask(&mut self) -> Option<(usize, Vec<u8>)> {
        let wanting = |lane: &Lane| lane.is_empty() && !lane.asked && lane.next.is_some();
        let index = self.lanes.iter().position(wanting)?;
        self.lanes[index].asked = true;
        Some((index, self.lanes[index].next.clone().unwrap_or_default()))
    }

    /// Whether an answer is missing.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| lane.asked)
    }

    /// Whether the page is as full as it gets.
    pub fn is_done(&self) -> bool {
        self.rest.is_some() || self.lanes.iter().all(|lane| lane.bound().is_none())
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
            let is_full = self.items.len() >= self.limit || self.items.bytes() >= self.limit_bytes;
            if is_full && !self.items.is_empty() {
                self.rest = Some(bound.to_vec());
                return;
            }
            // The lane with the least bound may have used up its page: then it is asked again first.
            let Some((key, value)) = self.lanes[least].head() else { return };
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
    use std::collections::BTreeSet;

    /// Answers an ask from a partition's keys, `share` at a time.
    fn answer(keys: &BTreeSet<Vec<u8>>, from: &[u8], share: usize) -> (Page, Option<Vec<u8>>) {
        let mut page = Page::default();
        let mut rest = keys.range(from.to_vec()..);
        for key in rest.by_ref().take(share) {
            page.push(key, Value { bytes: b"v", version: Version(1), expiry: Expiry::NEVER });
        }
        (page, rest.next().cloned())
    }

    fn page(partitions: &[BTreeSet<Vec<u8>>], from: &[u8], limit: usize) -> (Page, Option<Vec<u8>>) {
        let mut merge = Merge::new(partitions.len(), from, limit, usize::MAX);
        while !merge.is_done() {
            let share = merge.share();
            let mut asks: Vec<_> = std::iter::from_fn(|| merge.ask()).collect();
            asks.reverse();
            assert!(!asks.is_empty(), "a merge that isn't done asks for something");
            for (lane, from) in asks {
                let (page, next) = answer(&partitions[lane], &from, share);
                merge.take(lane, &page, next.as_deref());
            }
        }
        merge.into_page()
    }

    proptest! {
        #[test]
        fn pages_of_a_merge_are_all_keys_in_order(
            partitions in prop::collection::vec(prop::collection::btree_set(prop::collection::vec(any::<u8>(), 1..3), 0..30), 1..6),
            limit in 1_usize..20,
        ) {
            let all: BTreeSet<Vec<u8>> = partitions.iter().flatten().cloned().collect();
            // Keys belong to one partition only.
            let mut seen = BTreeSet::new();
            let partitions: Vec<BTreeSet<Vec<u8>>> = partitions
                .into_iter()
                .map(|keys| keys.into_iter().filter(|key| seen.insert(key.clone())).collect())
                .collect();
            let (mut keys, mut from) = (Vec::new(), Some(Vec::new()));
            while let Some(start) = from {
                let (items, rest) = page(&partitions, &start, limit);
                prop_assert!(items.len() == limit || rest.is_none());
                keys.extend(items.iter().map(|(key, _)| key.to_vec()));
                from = rest;
            }
            prop_assert_eq!(keys, all.into_iter().collect::<Vec<_>>());
        }
    }
}
