//! Writes that come late, against the rule that the highest stamp wins whatever the order in which they come.

use super::apply::{Applicable, Applied, LookUps, Newest, Target, apply};
use super::*;
use crate::key::{Entry, Expiry, Keyspace, Kind, RangeTombstone};
use crate::log::EntryType;
use crate::log::Taken;
use crate::log::batch::BatchBuilder;
use crate::memtable::Memtable;
use crate::table::BlockRef;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ORIGIN: u16 = 5;
const START: u64 = 77;

/// A group that follows, and what is applied of it.
struct Replica {
    group: Group,
    memtable: Memtable,
}

fn put(stamp: u64, keys: &[u8]) -> BatchBuilder {
    let mut batch = BatchBuilder::new(0);
    for key in keys {
        batch.put(Keyspace(0), &[*key], Version(stamp), Expiry::NEVER, &stamp.to_le_bytes());
    }
    batch
}

impl Replica {
    fn new() -> Replica {
        let mut group = Group::new(Partition(0));
        group.follow(2);
        Replica { group, memtable: Memtable::new() }
    }

    fn apply(&mut self, entry: EntryType, origin: u16, payload: &[u8]) -> Result<Applied, String> {
        let index = self.group.applied_index() + 1;
        apply(
            &mut self.group,
            Applicable { index, entry, origin, payload },
            &mut self.memtable,
            &mut LookUps::new(),
        )
    }

    fn ordered(&mut self, batch: &BatchBuilder) {
        self.apply(EntryType::Normal, 0, batch.bytes()).unwrap();
    }

    fn late(&mut self, origin: u16, number: u64, batch: &BatchBuilder) {
        let payload = Taken { start: START, number }.payload(batch.bytes());
        assert_eq!(self.apply(EntryType::Normal, origin, &payload), Ok(Applied::Done { expires: true }));
    }

    fn raise_floor(&mut self, floor: u64) {
        self.apply(EntryType::Floor, 0, &floor.to_le_bytes()).unwrap();
    }

    /// The version of a key's newest entry.
    fn version(&self, key: u8) -> Option<u64> {
        let mut stored = Vec::new();
        self.group.prefix(Keyspace(0)).stored_key(&[key], &mut stored);
        self.memtable.get(&stored, Version::MAX).map(|entry| entry.stamp.version().0)
    }
}

#[test]
fn a_late_write_loses_at_its_stamp_and_above_and_wins_elsewhere() {
    let mut replica = Replica::new();
    replica.ordered(&put(10, b"ab"));
    replica.ordered(&put(20, b"b"));
    let mut gone = BatchBuilder::new(0);
    gone.delete(Keyspace(0), b"c", Version(30));
    replica.ordered(&gone);
    replica.late(ORIGIN, 1, &put(15, b"abcd"));
    assert_eq!(b"abcd".map(|key| replica.version(key)), [Some(15), Some(20), Some(30), Some(15)]);
    replica.late(ORIGIN, 2, &put(20, b"b"));
    replica.late(ORIGIN, 3, &put(40, b"b"));
    assert_eq!((replica.version(b'b'), replica.group.newest), (Some(40), Version(40)));
    let index = replica.group.applied_index();
    assert_eq!(index, 6, "each takes its place");
}

#[test]
fn a_late_write_brings_nothing_back_that_a_clear_has_deleted() {
    let mut replica = Replica::new();
    let mut clear = BatchBuilder::new(0);
    clear.delete_range(Keyspace(0), b"", b"", Version(30));
    replica.ordered(&put(10, b"a"));
    replica.ordered(&clear);
    replica.late(ORIGIN, 1, &put(29, b"ab"));
    replica.late(ORIGIN, 2, &put(30, b"b"));
    assert_eq!((replica.version(b'a'), replica.version(b'b')), (Some(10), None));
    replica.late(ORIGIN, 3, &put(31, b"b"));
    assert_eq!(replica.version(b'b'), Some(31));
}

#[test]
fn only_the_next_of_an_origin_and_start_is_applied_and_nothing_below_the_floor() {
    let mut replica = Replica::new();
    replica.late(ORIGIN, 2, &put(10, b"a"));
    assert_eq!(replica.version(b'a'), None, "the first hasn't come");
    replica.late(ORIGIN, 1, &put(9, b"a"));
    replica.late(ORIGIN, 1, &put(99, b"a"));
    assert_eq!(replica.version(b'a'), Some(9), "the first came before");
    replica.late(ORIGIN + 1, 1, &put(11, b"a"));
    replica.late(ORIGIN, 2, &put(10, b"ab"));
    assert_eq!((replica.version(b'a'), replica.version(b'b')), (Some(11), Some(10)));
    replica.raise_floor(20);
    replica.late(ORIGIN, 3, &put(20, b"c"));
    replica.late(ORIGIN, 4, &put(21, b"c"));
    assert_eq!(replica.version(b'c'), Some(21), "what comes too late counts as delivered");
    let state = replica.group.state(0);
    let restored = Group::<()>::restored(&state);
    assert_eq!((restored.taken_from(ORIGIN, START), restored.taken_from(ORIGIN, START + 1)), (4, 0));
}

#[test]
fn what_no_origin_may_write_is_refused() {
    let mut replica = Replica::new();
    let mut range = BatchBuilder::new(0);
    range.delete_range(Keyspace(0), b"", b"", Version(3));
    let mut two = put(3, b"a");
    two.put(Keyspace(0), b"b", Version(4), Expiry::NEVER, b"");
    let beyond = put(Version::MAX.0, b"a");
    for batch in [range, two, beyond] {
        let payload = Taken { start: START, number: 1 }.payload(batch.bytes());
        assert!(replica.apply(EntryType::Normal, ORIGIN, &payload).is_err());
        assert!(apply::check(EntryType::Normal, ORIGIN, &payload).is_err());
    }
    assert!(replica.apply(EntryType::Normal, ORIGIN, b"short").is_err());
    assert!(replica.apply(EntryType::NoOp, ORIGIN, b"").is_err());
    assert!(replica.memtable.is_empty());
}

/// One whose keys lie in blocks that aren't in memory.
struct Cold(Vec<u8>);

impl Target for Cold {
    fn insert(&mut self, entry: Entry<'_>) {
        assert_eq!(entry.stamp.kind(), Some(Kind::Value));
        self.0.extend_from_slice(entry.value);
    }

    fn insert_range_tombstone(&mut self, _range: RangeTombstone) {}

    fn newest(&mut self, key: &[u8], _version: Version) -> Newest {
        match key.last() {
            Some(b'u') => Newest::Unread,
            Some(b'w') => Newest::Below,
            Some(&last) => Newest::Needs(BlockRef { table: 1, offset: u64::from(last / 2), len: 4 }),
            None => Newest::AtOrAbove,
        }
    }
}

#[test]
fn nothing_of_an_entry_is_done_before_all_of_its_blocks_are_there() {
    let mut group = Group::<()>::new(Partition(0));
    group.follow(2);
    group.taken_in(Version(100));
    let mut cold = Cold(Vec::new());
    let mut needs = |stamp, keys: &[u8]| {
        let payload = Taken { start: START, number: 1 }.payload(put(stamp, keys).bytes());
        let entry = Applicable { index: 1, entry: EntryType::Normal, origin: ORIGIN, payload: &payload };
        let mut known = LookUps::new();
        match apply(&mut group, entry, &mut cold, &mut known).unwrap() {
            Applied::Needs(blocks) => Some(blocks.len()),
            Applied::Done { .. } => None,
        }
    };
    // d and e lie in one block; at most eight are asked for.
    assert_eq!([needs(50, b"wdeb"), needs(50, b"wu"), needs(50, b"bu")], [Some(2), Some(0), Some(1)]);
    assert_eq!(needs(50, b"bdfhjlnprtxz"), Some(8));
    assert_eq!(needs(50, b"w"), None);
    assert_eq!((group.applied_index(), cold.0.len(), group.taken_from(ORIGIN, START)), (1, 8, 1));
}

#[test]
fn above_all_that_is_applied_nothing_is_looked_up() {
    let mut group = Group::<()>::new(Partition(0));
    group.follow(2);
    group.taken_in(Version(100));
    let payload = Taken { start: START, number: 1 }.payload(put(101, b"ab").bytes());
    let entry = Applicable { index: 1, entry: EntryType::Normal, origin: ORIGIN, payload: &payload };
    let mut cold = Cold(Vec::new());
    assert_eq!(apply(&mut group, entry, &mut cold, &mut LookUps::new()), Ok(Applied::Done { expires: true }));
    assert_eq!(cold.0.len(), 16);
}

proptest! {
    /// Two replicas that hear of the same writes of origins in different orders, between the same ordered ones, end alike: with the
    /// highest stamp of each key.
    #[test]
    fn the_highest_stamp_wins_whatever_the_order(
        writes in proptest::collection::vec((0_u16..3, 1_u64..1000, proptest::collection::vec(0_u8..6, 1..4)), 1..40),
        ranks in proptest::collection::vec(any::<u32>(), 120),
    ) {
        // Stamps are unique: the low digits say whose they are.
        let mut sent: BTreeMap<u16, Vec<(u64, &[u8])>> = BTreeMap::new();
        let mut newest: BTreeMap<u8, u64> = BTreeMap::new();
        for (number, (origin, time, keys)) in writes.iter().enumerate() {
            let stamp = time * 10_000 + number as u64;
            sent.entry(*origin + 1).or_default().push((stamp, keys));
            keys.iter().for_each(|key| {
                let known = newest.entry(*key).or_default();
                *known = (*known).max(stamp);
            });
        }
        for order in ranks.chunks(40) {
            let (mut replica, mut next) = (Replica::new(), BTreeMap::new());
            for rank in order.iter().cycle().take(4000) {
                let origin = (rank % 3) as u16 + 1;
                let at = next.entry(origin).or_insert(0);
                if let Some((stamp, keys)) = sent.get(&origin).and_then(|writes| writes.get(*at)) {
                    *at += 1;
                    replica.late(origin, *at as u64, &put(*stamp, keys));
                }
            }
            for (&origin, writes) in &sent {
                for (at, (stamp, keys)) in writes.iter().enumerate() {
                    // Those that are left; the others come again, and change nothing.
                    replica.late(origin, at as u64 + 1, &put(*stamp, keys));
                }
            }
            let found = (0..6).filter_map(|key| Some((key, replica.version(key)?))).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(&found, &newest);
        }
    }
}
