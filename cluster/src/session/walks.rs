//! The walks of a core, and the memory that they may take together.
//!
//! 1. A walk is charged what it may take ([`Walk::charge`]) before it asks for anything, out of a part of the shard's
//!    memory. One that has no room waits for its turn, in the order of arrival; when too many wait it is refused.
//! 2. What a walk collects is charged as it grows. One that outgrows the memory is refused.
//! 3. An item that is longer than a walk's charge allows is fetched alone, by one walk of the core at a time.
//!
//! A walk whose client went away leaves with its charge as soon as nothing of it is under way.

use super::walk::Walk;
use crate::node::split::Split;
use pinion_net::wire::ErrorCode;
use std::collections::VecDeque;

/// Walks that may wait for their turn.
const WAITING_MAX: usize = 4096;

/// What [`Walks::admit`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may go on.
    Now,
    /// It will be among those that [`Walks::next_admissible`] returns.
    Later,
    /// It has been refused, and is over.
    Refused,
}

struct Entry {
    walk: Walk,
    charged: usize,
    /// It may ask for an item of any length.
    has_turn_for_long: bool,
    /// It waits for memory, or for its turn to ask for a long item.
    waits: bool,
}

/// The walks of a core. Their tickets name the walk and the lane.
pub struct Walks {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    bytes_max: usize,
    charged: usize,
    /// Who asks for a long item now.
    long: Option<u64>,
    waiting: VecDeque<u64>,
    waiting_for_long: VecDeque<u64>,
}

const LANE_BITS: u32 = 16;

impl Walks {
    /// None yet; together they take `bytes_max` at most, and one item that is longer.
    pub fn new(bytes_max: usize) -> Walks {
        Walks {
            entries: Vec::new(),
            free: Vec::new(),
            bytes_max,
            charged: 0,
            long: None,
            waiting: VecDeque::new(),
            waiting_for_long: VecDeque::new(),
        }
    }

    /// The share of a core's memory that its walks may take. What they collect leaves as output of connections: it isn't more
    /// than these take beside others.
    pub fn share(split: Split) -> usize {
        (split.shard / 8).max(4 << 20).min(split.value_bytes_max().max(1 << 20))
    }

    /// Bytes of one page of `items` over `lanes`: so much that a few such walks fit beside each other.
    pub fn page_bytes(&self, items: usize, lanes: usize) -> usize {
        const ITEM_BYTES: usize = 4 << 10;
        const PAGE_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;
        const LANE_BYTES_MIN: usize = 16 << 10;
        let wanted = items.saturating_mul(ITEM_BYTES).clamp(*PAGE_BYTES.start(), *PAGE_BYTES.end());
        wanted.min(self.bytes_max / 8).max(lanes * LANE_BYTES_MIN)
    }

    /// Adds a walk; the key finds it.
    pub fn insert(&mut self, walk: Walk) -> u64 {
        let entry = Some(Entry { walk, charged: 0, has_turn_for_long: false, waits: false });
        match self.free.pop() {
            Some(key) => {
                self.entries[key as usize] = entry;
                u64::from(key)
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u64 - 1
            }
        }
    }

    /// The walk of a key.
    pub fn get(&mut self, key: u64) -> Option<&mut Walk> {
        self.entry(key).map(|entry| &mut entry.walk)
    }

    fn entry(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    /// Charges a walk for what it will ask for next.
    pub fn admit(&mut self, key: u64) -> Admission {
        let (bytes_max, charged) = (self.bytes_max, self.charged);
        let Some(entry) = self.entry(key) else { return Admission::Refused };
        if entry.waits {
            return Admission::Later;
        }
        let more = entry.walk.charge().saturating_sub(entry.charged);
        let fits = charged + more <= bytes_max;
        if entry.charged > 0 && !fits {
            // It holds what others wait for: waiting itself could end in a circle.
            let mib = bytes_max >> 20;
            entry.walk.refuse(ErrorCode::LIMIT, format!(
                "the reply is over what scans may take of the memory here, {mib} MiB together; use SCAN, with a smaller COUNT"
            ));
            return Admission::Refused;
        }
        // A walk that has nothing yet waits for those before it; an idle core takes any.
        if more > 0 && entry.charged == 0 && !(fits && self.waiting.is_empty() || self.charged == 0) {
            return self.wait(key, false);
        }
        self.charge(key, more);
        let Some(entry) = self.entry(key) else { return Admission::Refused };
        if entry.walk.wants_long() && !entry.has_turn_for_long {
            if self.long.is_some() {
                return self.wait(key, true);
            }
            self.give_turn_for_long(key);
        }
        Admission::Now
    }

    fn charge(&mut self, key: u64, more: usize) {
        if let Some(entry) = self.entry(key) {
            entry.charged += more;
            self.charged += more;
        }
    }

    fn give_turn_for_long(&mut self, key: u64) {
        if let Some(entry) = self.entry(key) {
            entry.has_turn_for_long = true;
            self.long = Some(key);
        }
    }

    fn wait(&mut self, key: u64, for_long: bool) -> Admission {
        let is_full = self.waiting.len() + self.waiting_for_long.len() >= WAITING_MAX;
        let Some(entry) = self.entry(key) else { return Admission::Refused };
        if is_full {
            entry.walk.refuse(
                ErrorCode::BUSY,
                "too many scans wait for their turn; slow down and try again".to_owned(),
            );
            return Admission::Refused;
        }
        entry.waits = true;
        if for_long {
            self.waiting_for_long.push_back(key)
        } else {
            self.waiting.push_back(key)
        }
        Admission::Later
    }

    /// The next walk that waited and may go on.
    pub fn next_admissible(&mut self) -> Option<u64> {
        if self.long.is_none()
            && let Some(key) = self.waiting_for_long.pop_front()
        {
            self.give_turn_for_long(key);
            self.entry(key)?.waits = false;
            return Some(key);
        }
        let key = *self.waiting.front()?;
        let more = self.entry(key).map_or(0, |entry| entry.walk.charge());
        if self.charged > 0 && self.charged + more > self.bytes_max {
            return None;
        }
        self.waiting.pop_front();
        self.charge(key, more);
        self.entry(key)?.waits = false;
        Some(key)
    }

    /// Removes a walk, and its charge.
    pub fn remove(&mut self, key: u64) -> Option<Walk> {
        let entry = self.entries.get_mut(key as usize)?.take()?;
        debug_assert!(!entry.waits, "who waits is in a queue");
        self.free.push(key as u32);
        self.charged -= entry.charged;
        if self.long == Some(key) {
            self.long = None;
        }
        Some(entry.walk)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == self.free.len()
    }

    /// Bytes that walks under way are charged.
    pub fn charged_bytes(&self) -> usize {
        self.charged
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

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::key::{Expiry, Keyspace, Partition, Version};
    use pinion_engine::shard::request::{Answer, Page, Value};
    use pinion_net::reactor::ConnId;
    use std::rc::Rc;

    const MIB: usize = 1 << 20;

    fn walk(bytes: usize) -> Walk {
        let whom = (ConnId::from_u64(1), 0);
        let groups = vec![Rc::from([Partition(0)]), Rc::from([Partition(1)])];
        Walk::merged(whom, Keyspace(0), groups, b"", (10, bytes / 2))
    }

    fn all_admissible(walks: &mut Walks) -> Vec<u64> {
        std::iter::from_fn(|| walks.next_admissible()).collect()
    }

    #[test]
    fn walks_wait_for_memory_in_their_order_and_leave_none_behind() {
        let mut walks = Walks::new(4 * MIB);
        let keys: Vec<u64> = (0..4).map(|_| walks.insert(walk(2 * MIB))).collect();
        let admitted: Vec<_> = keys.iter().map(|&key| walks.admit(key)).collect();
        assert_eq!(admitted, [Admission::Now, Admission::Now, Admission::Later, Admission::Later]);
        assert_eq!(walks.charged_bytes(), 4 * MIB);
        // A small one doesn't overtake them.
        let small = walks.insert(walk(1024));
        assert_eq!(walks.admit(small), Admission::Later);
        assert!(all_admissible(&mut walks).is_empty());
        walks.remove(keys[0]);
        assert_eq!(all_admissible(&mut walks), [keys[2]]);
        walks.remove(keys[1]);
        assert_eq!(all_admissible(&mut walks), [keys[3]]);
        walks.remove(keys[2]);
        assert_eq!(all_admissible(&mut walks), [small]);
        walks.remove(keys[3]);
        walks.remove(small);
        assert!(walks.is_empty() && walks.charged_bytes() == 0);
    }

    #[test]
    fn a_walk_over_the_whole_budget_goes_when_it_is_alone() {
        let mut walks = Walks::new(MIB);
        let (large, small) = (walks.insert(walk(8 * MIB)), walks.insert(walk(1024)));
        assert_eq!(walks.admit(large), Admission::Now);
        assert_eq!(walks.admit(small), Admission::Later);
        walks.remove(large);
        assert_eq!(all_admissible(&mut walks), [small]);
    }

    #[test]
    fn too_many_that_wait_are_refused() {
        let mut walks = Walks::new(MIB);
        let first = walks.insert(walk(MIB));
        assert_eq!(walks.admit(first), Admission::Now);
        for _ in 0..WAITING_MAX {
            let key = walks.insert(walk(MIB));
            assert_eq!(walks.admit(key), Admission::Later);
        }
        let last = walks.insert(walk(MIB));
        assert_eq!(walks.admit(last), Admission::Refused);
        assert!(walks.get(last).expect("it is there until its end is told").is_done());
    }

    #[test]
    fn long_items_are_fetched_by_one_walk_at_a_time() {
        let mut walks = Walks::new(4 * MIB);
        let mut page = Page::default();
        page.push(b"z", Value { bytes: b"v", version: Version(1), expiry: Expiry::NEVER });
        let keys: Vec<u64> = (0..2).map(|_| walks.insert(walk(2048))).collect();
        for &key in &keys {
            assert_eq!(walks.admit(key), Admission::Now);
            let walk = walks.get(key).expect("it is there");
            assert_eq!(walk.asks().len(), 2);
            // The first key of a lane is one that its page has no room for.
            walk.take(0, &Answer::Page { page: &Page::default(), next: Some(b"") });
            walk.take(1, &Answer::Page { page: &page, next: None });
            assert!(walk.wants_long());
        }
        assert_eq!((walks.admit(keys[0]), walks.admit(keys[1])), (Admission::Now, Admission::Later));
        assert!(all_admissible(&mut walks).is_empty());
        walks.remove(keys[0]);
        assert_eq!(all_admissible(&mut walks), [keys[1]]);
        assert_eq!(walks.admit(keys[1]), Admission::Now);
    }
}
