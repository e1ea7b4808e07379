//! A group, driven by hand in each of its orders.

use super::apply::{Applicable, LookUps, Newest, Target, apply};
use super::queue::Queued;
use super::*;
use crate::key::{self, Expiry, Kind, RangeTombstone};
use crate::log::batch::BatchBuilder;
use crate::log::{Entry, EntryType};
use crate::manifest::GroupState;
use crate::memtable::Memtable;
use crate::table::key_hash;
use bytes::Bytes;

type Waiting = Group<&'static str>;

/// A batch that sets these keys to their version.
fn batch(version: u64, keys: &[&str]) -> Box<[u8]> {
    let mut builder = BatchBuilder::new(0);
    for key in keys {
        let value = version.to_string();
        builder.put(Keyspace(0), key.as_bytes(), Version(version), Expiry::NEVER, value.as_bytes());
    }
    builder.bytes().into()
}

fn entry(term: u64, index: u64, keys: &[&str], waiting: &[&'static str]) -> Queued<&'static str> {
    let payload = batch(index, keys).into();
    let entry = Entry { term, index, entry: EntryType::Normal, origin: 0, payload };
    let mut queued = Queued::new(entry);
    queued.waiting.extend_from_slice(waiting);
    queued
}

/// The version that a key has among what waits.
fn pending(group: &Waiting, name: &str) -> Option<u64> {
    let mut key = Vec::new();
    group.prefix(Keyspace(0)).stored_key(name.as_bytes(), &mut key);
    let op = group.queue()?.newest(&key, key_hash(&key))?;
    (op.kind == Kind::Value).then_some(op.version.0)
}

/// Applies what may be applied; who had waited for it.
fn settle(group: &mut Waiting, memtable: &mut Memtable) -> Vec<&'static str> {
    let mut told = Vec::new();
    while let Some(entry) = group.take_applicable() {
        apply(group, entry.applicable(), memtable, &mut LookUps::new()).unwrap();
        told.extend(entry.waiting);
    }
    told
}

fn indexes(group: &Waiting) -> [u64; 4] {
    [group.appended, group.persisted, group.committed, group.applied]
}

#[test]
fn alone_an_entry_is_committed_when_it_is_persisted() {
    let mut group = Waiting::new(Partition(3));
    assert_eq!((group.append(), group.append()), ((SOLO_TERM, 1), (SOLO_TERM, 2)));
    assert_eq!(indexes(&group), [2, 0, 0, 0]);
    group.persist(SOLO_TERM, 1);
    assert_eq!((indexes(&group), group.applicable()), ([2, 1, 1, 0], 1));
    group.persist(SOLO_TERM, 2);
    let seven = Applicable { index: 1, entry: EntryType::Normal, origin: 0, payload: &batch(7, &["a"]) };
    apply(&mut group, seven, &mut Memtable::new(), &mut LookUps::new()).unwrap();
    assert_eq!((indexes(&group), group.newest), ([2, 2, 2, 1], Version(7)));
    assert_eq!(group.assign(0), Version(8));
    let state = group.state(5);
    assert_eq!((state.applied_index, state.applied_term, state.floor), (1, SOLO_TERM, Version(7)));
    assert_eq!(indexes(&Waiting::restored(&state)), [1, 1, 1, 1]);
}

#[test]
fn a_led_entry_waits_for_others_and_for_the_own_disk_in_any_order() {
    let (mut group, mut memtable) = (Waiting::new(Partition(0)), Memtable::new());
    group.lead(2);
    for (index, who) in [(1, "first"), (2, "second"), (3, "third")] {
        assert_eq!(group.append(), (2, index));
        group.hold(entry(2, index, &["k"], &[who]));
    }
    // A majority of others may have it before this disk does: it isn't applied before that.
    group.commit(2);
    assert_eq!((group.applicable(), settle(&mut group, &mut memtable)), (0, vec![]));
    assert_eq!(pending(&group, "k"), Some(3));
    group.persist(2, 1);
    assert_eq!(settle(&mut group, &mut memtable), ["first"]);
    // And the disk may be ahead of the majority.
    group.persist(2, 3);
    assert_eq!(settle(&mut group, &mut memtable), ["second"]);
    assert_eq!((pending(&group, "k"), pending(&group, "other")), (Some(3), None));
    group.commit(3);
    assert_eq!(settle(&mut group, &mut memtable), ["third"]);
    assert!(group.queue().is_none() && indexes(&group) == [3, 3, 3, 3]);
    assert_eq!(memtable.len(), 3);
}

#[test]
fn leadership_that_is_lost_leaves_what_waits_to_whoever_leads_next() {
    let (mut group, mut memtable) = (Waiting::new(Partition(0)), Memtable::new());
    group.lead(2);
    for index in 1..=3 {
        group.append();
        group.hold(entry(2, index, &["k"], &[["one", "two", "three"][index as usize - 1]]));
    }
    group.persist(2, 3);
    group.follow(3);
    assert_eq!(settle(&mut group, &mut memtable), [""; 0], "nobody knows yet");
    // The next leader has the first two, and commits them; the third it doesn't know.
    group.commit(2);
    assert_eq!(settle(&mut group, &mut memtable), ["one", "two"]);
    let overwritten = group.accept(3, 3).unwrap();
    assert_eq!(overwritten.iter().flat_map(|entry| &entry.waiting).collect::<Vec<_>>(), [&"three"]);
    assert_eq!((indexes(&group), pending(&group, "k")), ([3, 2, 2, 2], None));
    group.hold(entry(3, 3, &["other"], &[]));
    // The write that carried what was overwritten is done only now: it says nothing of what took its place.
    group.persist(2, 3);
    group.commit(3);
    assert_eq!((group.applicable(), group.queue().map(Queue::len)), (2, Some(1)));
    group.persist(3, 3);
    settle(&mut group, &mut memtable);
    assert_eq!((indexes(&group), group.state(0).applied_term), ([3, 3, 3, 3], 3));
}

#[test]
fn a_follower_takes_only_what_goes_on_from_what_it_has_and_never_over_what_is_committed() {
    let mut group = Waiting::new(Partition(0));
    group.follow(4);
    assert_eq!(group.accept(4, 2).unwrap_err(), NotTaken::Gap { index: 2, next: 1 });
    for index in 1..=5 {
        assert!(group.accept(4, index).unwrap().is_empty());
        group.hold(entry(4, index, &[["a", "b"][index as usize % 2]], &[]));
    }
    group.persist(4, 5);
    group.commit(2);
    assert_eq!(group.accept(4, 2).unwrap_err(), NotTaken::Committed { index: 2, committed: 2 });
    assert_eq!((pending(&group, "a"), pending(&group, "b")), (Some(4), Some(5)));
    // A tail that is overwritten uncovers what it hid.
    let overwritten: Vec<u64> = group.accept(6, 4).unwrap().iter().map(|queued| queued.entry.index).collect();
    assert_eq!(overwritten, [4, 5]);
    assert_eq!((pending(&group, "a"), pending(&group, "b")), (Some(2), Some(3)));
    assert_eq!(group.accept(4, 5).unwrap_err(), NotTaken::OldTerm { term: 4, known: 6 });

    assert_eq!(indexes(&group), [4, 3, 2, 0]);
}

#[test]
fn after_a_restart_what_is_committed_is_applied_and_the_rest_waits() {
    let state =
        GroupState { applied_index: 4, applied_term: 2, max_version: Version(40), ..GroupState::default() };
    let (mut group, mut memtable) = (Waiting::restored(&state), Memtable::new());
    group.follow(5);
    // The log is read again: 5 and 6 of term 2, then 6 and 7 of term 5 in their place.
    for (term, index) in [(2, 5), (2, 6), (5, 6), (5, 7)] {
        group.accept(term, index).unwrap();
        group.hold(entry(term, index, &["k"], &[]));
        group.persist(term, index);
    }
    assert_eq!(indexes(&group), [7, 7, 4, 4]);
    group.commit(6);
    settle(&mut group, &mut memtable);
    assert_eq!((indexes(&group), pending(&group, "k")), ([7, 7, 6, 6], Some(7)));
    assert_eq!((memtable.len(), group.state(0).applied_term), (2, 5));
}

#[test]
fn entries_that_are_no_writes_take_their_place_and_say_what_they_say() {
    let mut group = Waiting::new(Partition(4));
    group.lead(2);
    let conf = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
    let floor = 77_u64.to_le_bytes();
    let tick = BatchBuilder::new(9_000);
    let (conf_bytes, mut memtable) = (conf.to_bytes(), Memtable::new());
    let entries: [(EntryType, &[u8]); 4] = [
        (EntryType::NoOp, b""),
        (EntryType::ConfChange, &conf_bytes),
        (EntryType::Tick, tick.bytes()),
        (EntryType::Floor, &floor),
    ];
    for (entry, payload) in entries {
        let (term, index) = group.append();
        group.persist(term, index);
        group.commit(index);
        let payload = Bytes::copy_from_slice(payload);
        group.hold(Queued::new(Entry { term, index, entry, origin: 0, payload }));
        settle(&mut group, &mut memtable);
    }
    let state = group.news(0).unwrap();
    assert_eq!((state.applied_index, state.floor, state.clock_us), (4, Version(77), 9_000));
    assert_eq!((state.conf.as_deref(), group.news(0)), (Some(&conf), None), "it is told once");
    let restored = Waiting::restored(&state);
    assert_eq!(restored.order(), Order::Following { term: 2 }, "until they agree who leads");
    for entry in [EntryType::ConfChange, EntryType::Tick, EntryType::Floor] {
        let bad = Applicable { index: 5, entry, origin: 0, payload: b"bad" };
        assert!(apply(&mut group, bad, &mut memtable, &mut LookUps::new()).is_err(), "{entry:?}");
    }
}

#[test]
fn a_group_that_comes_no_further_gives_up_its_tail_and_no_version_twice() {
    let mut group = Waiting::new(Partition(0));
    group.lead(2);
    let version = group.assign(50);
    group.append();
    group.hold(entry(2, 1, &["k"], &["who"]));
    let cut = group.cut_behind(0);
    assert_eq!((cut.len(), indexes(&group)), (1, [0, 0, 0, 0]));
    assert!(group.queue().is_none() && group.assign(0) > version);
    assert_eq!(group.append(), (2, 1));
}

/// Deletions of ranges, as they were told.
#[derive(Default)]
struct Ranges(Vec<RangeTombstone>);

impl Target for Ranges {
    fn insert(&mut self, _entry: key::Entry<'_>) {}

    fn insert_range_tombstone(&mut self, range: RangeTombstone) {
        self.0.push(range);
    }

    fn newest(&mut self, _key: &[u8], _version: Version) -> Newest {
        Newest::Below
    }
}

#[test]
fn a_range_is_deleted_within_its_bounds_and_found_among_what_waits() {
    let mut group = Waiting::new(Partition(1));
    let mut builder = BatchBuilder::new(0);
    builder.delete_range(Keyspace(0), b"b", b"d", Version(9));
    builder.delete_range(Keyspace(2), b"", b"", Version(10));
    let (mut ranges, prefix) =
        (Ranges::default(), |keyspace| Prefix::new(Keyspace(keyspace), Partition(1), Incarnation(0)));
    let applicable = Applicable { index: 1, entry: EntryType::Normal, origin: 0, payload: builder.bytes() };
    apply(&mut group, applicable, &mut ranges, &mut LookUps::new()).unwrap();
    let stored = |key: &[u8]| [&prefix(0).to_bytes(), key].concat();
    assert_eq!((&ranges.0[0].start, &ranges.0[0].end), (&stored(b"b"), &stored(b"d")));
    assert_eq!((&ranges.0[1].start[..], &ranges.0[1].end), (&prefix(2).to_bytes()[..], &prefix(2).end()));
    group.lead(2);
    group.hold(entry(2, 2, &["a", "b", "c"], &[]));
    let payload = Bytes::copy_from_slice(builder.bytes());
    group.hold(Queued::new(Entry { term: 2, index: 3, entry: EntryType::Normal, origin: 0, payload }));
    assert_eq!(["a", "b", "c", "d"].map(|key| pending(&group, key)), [Some(2), None, None, None]);
    let kind = |name: &[u8]| {
        let key = stored(name);
        group.queue().and_then(|queue| queue.newest(&key, key_hash(&key))).map(|op| op.kind)
    };
    assert_eq!((kind(b"c"), kind(b"d")), (Some(Kind::RangeTombstone), None));
}
