//! What a read sees that goes on after later entries came in, and what jobs go by meanwhile.

use super::*;
use crate::group::apply::Target as _;
use crate::job::Horizon;
use crate::key::{Entry, Expiry, Incarnation, Keyspace, Kind, Prefix, RangeTombstone, Stamp, Version};
use crate::shard::sources::{Point, Sources};
use crate::shard::view::View;
use crate::table::key_hash;
use crate::tree::{self, Lane, ScanLimits, ScanStep, Tree};
use proptest::prelude::*;
use std::cmp::Reverse;

const NUMBERS: u8 = 5;

fn prefix() -> Prefix {
    Prefix::new(Keyspace(0), Partition(0), Incarnation(0))
}

fn stored(number: u8) -> Vec<u8> {
    [&prefix().to_bytes(), &[number][..]].concat()
}

/// All that came in up to some moment.
#[derive(Clone, Debug, Default)]
struct Known {
    entries: BTreeMap<(u8, Reverse<u64>), Kind>,
    ranges: Vec<(u8, u8, u64)>,
}

impl Known {
    /// Late entries come in only above what there is of their key.
    fn takes(&self, number: u8, version: u64) -> bool {
        let newest = self.entries.range((number, Reverse(u64::MAX))..=(number, Reverse(0))).next();
        newest.is_none_or(|((_, newest), _)| newest.0 < version)
    }

    fn seen(&self, number: u8, at: u64) -> Option<u64> {
        let newest = self.entries.range((number, Reverse(at))..=(number, Reverse(0))).next();
        let (&(_, Reverse(version)), kind) = newest?;
        let covers = |&(from, to, clear): &(u8, u8, u64)| {
            from <= number && number < to && version < clear && clear <= at
        };
        (*kind == Kind::Value && !self.ranges.iter().any(covers)).then_some(version)
    }

    fn seen_of_all(&self, at: u64) -> Vec<(u8, u64)> {
        (0..NUMBERS).filter_map(|number| Some((number, self.seen(number, at)?))).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, u64, Kind),
    Clear(u8, u8, u64),
    Freeze,
    View(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (kind, version) = (prop::sample::select(vec![Kind::Value, Kind::Value, Kind::Tombstone]), 1_u64..30);
    prop_oneof![
        8 => (0..NUMBERS, version.clone(), kind).prop_map(|(number, at, kind)| Step::Write(number, at, kind)),
        // From 0 to `NUMBERS` it is of the whole keyspace, which is noted otherwise.
        1 => (0..NUMBERS, 0..=NUMBERS, version.clone()).prop_map(|(from, to, at)| Step::Clear(from, to, at)),
        1 => version.clone().prop_map(|at| Step::Clear(0, NUMBERS, at)),
        1 => Just(Step::Freeze),
        4 => version.prop_map(Step::View),
    ]
}

fn take(sources: &mut Sources, known: &mut Known, step: Step) {
    match step {
        Step::Write(number, version, kind) if known.takes(number, version) => {
            let (key, stamp) = (stored(number), Stamp::new(Version(version), kind));
            sources.insert(Entry { key: &key, stamp, expiry: Expiry::NEVER, value: b"" });
            known.entries.insert((number, Reverse(version)), kind);
        }
        Step::Clear(from, to, version) => {
            let is_whole = (from, to) == (0, NUMBERS);
            let (start, end) = match is_whole {
                true => (prefix().to_bytes().to_vec(), prefix().end()),
                false => (stored(from), stored(to)),
            };
            sources.insert_range_tombstone(RangeTombstone { start, end, version: Version(version) });
            known.ranges.push((from, to, version));
        }
        Step::Freeze => sources.freeze(Default::default(), Vec::new(), None),
        Step::Write(..) | Step::View(_) => {}
    }
}

fn looked_up(sources: &mut Sources, view: &View, number: u8) -> Option<u64> {
    let key = stored(number);
    match sources.get(&key, key_hash(&key), view, 0).unwrap() {
        Point::Value(value) => Some(value.version.0),
        Point::Absent => None,
        Point::NeedsRead(_) => panic!("there are no tables"),
    }
}

fn scanned(sources: &mut Sources, view: &View) -> Vec<(u8, u64)> {
    let limits = ScanLimits { items: 100, bytes: 1 << 20, oversized: true, work: 10_000 };
    let lane = Lane::new(prefix().to_bytes().to_vec(), prefix().end(), view.version);
    let mut scan = tree::Scan::new(vec![lane], limits, false, 0);
    let step = sources.in_order(view, |data, cache| scan.run(data, cache)).unwrap();
    assert_eq!(step, ScanStep::Page { next: None });
    scan.page().iter().map(|(key, value)| (key[0], value.version.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_view_sees_what_was_there_when_it_was_taken(steps in prop::collection::vec(step(), 1..60)) {
        let (mut sources, mut known) = (Sources::new(Tree::new(), 0), Known::default());
        let mut views = Vec::new();
        for step in steps {
            if let Step::View(version) = step {
                let view = View { version: Version(version), mark: sources.mark() };
                views.push((view, known.clone()));
            }
            take(&mut sources, &mut known, step);
            views.push((View::NEWEST, known.clone()));
            for (view, known) in &views {
                for number in 0..NUMBERS {
                    let seen = known.seen(number, view.version.0);
                    prop_assert_eq!(looked_up(&mut sources, view, number), seen);
                }
                prop_assert_eq!(scanned(&mut sources, view), known.seen_of_all(view.version.0));
            }
            views.pop();
        }
    }
}

#[test]
fn a_read_that_goes_on_does_not_see_what_came_late() {
    let mut hand = Hand::new(Durability::Sync, usual());
    // Long enough to be asked for room.
    let old = vec![7; 8 << 10];
    hand.put(b"a", &old);
    let ticket = Ticket { owner: 1, request: 1 };
    let early = Version(1);
    // In the order of versions both come before what the read sees; the second comes in behind its view.
    let late = |hand: &mut Hand, key: u8| {
        let (key, stamp) = ([&prefix().to_bytes()[..], &[key]].concat(), Stamp::new(early, Kind::Value));
        hand.shard.sources.insert(Entry { key: &key, stamp, expiry: Expiry::NEVER, value: b"late" });
    };
    late(&mut hand, b'b');
    let mut narrow = Narrow::default();
    let op = Op::GetMany { keys: &[b"a", b"b", b"c"], values: true };
    hand.shard.request(ticket, Request::new(Partition(0), op), &mut narrow);
    let Some((_, Seen::Waits { read, .. })) = narrow.answered.0.pop() else {
        panic!("{:?}", narrow.answered)
    };
    late(&mut hand, b'c');
    hand.shard.request(ticket, Request::new(Partition(0), Op::GoOn { read }), &mut hand.answered);
    let items: Vec<_> = hand.answered.0.iter().rev().take(3).rev().map(|(_, seen)| seen.clone()).collect();
    let item = |index, value: &[u8]| Seen::Item(index, Some(value.to_vec()));
    assert_eq!(items, [item(0, &old), item(1, b"late"), Seen::Item(2, None)]);
    assert_eq!(hand.get(b"c"), Seen::Value(b"late".to_vec()), "a new read sees it");
}

/// Somebody without room, who takes what needs none.
#[derive(Default)]
struct Narrow {
    answered: Answered,
}

impl Answers for Narrow {
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) {
        self.answered.answer(ticket, answer);
    }

    fn has_room(&mut self, _: Ticket, _: usize, _: usize) -> bool {
        false
    }
}

#[test]
fn jobs_go_by_the_durable_manifest_and_not_by_what_was_applied_later() {
    let mut hand = Hand::new(Durability::Sync, usual());
    for partition in 0..2 {
        hand.send_to(partition, put(b"k", b"v"));
    }
    hand.settle();
    let version = |hand: &Hand, partition| hand.shard.groups[partition].newest;
    assert_eq!(hand.shard.horizons().of(Partition(0)).floor, Version(0), "no table has it");
    hand.shard.flush();
    hand.settle();
    let (flushed, flushed_us) = (version(&hand, 0), hand.shard.clocks().now_ms());
    hand.advance_ms(5000);
    for partition in 0..2 {
        hand.send_to(partition, put(b"k", b"w"));
    }
    hand.settle();
    assert!(version(&hand, 0) > flushed);
    // The other group is led: then it is as far as its log says.
    hand.shard.groups[1].lead(2);
    let horizons = hand.shard.horizons();
    let kept_ms = hand.shard.kept_clock_us / 1000;
    assert!(kept_ms >= flushed_us + 5000);
    assert_eq!(horizons.of(Partition(0)), Horizon { floor: flushed, now_ms: kept_ms, max_version: flushed });
    let led = horizons.of(Partition(1));
    assert!(led.now_ms <= flushed_us && led.now_ms > 0, "{led:?}");
}
