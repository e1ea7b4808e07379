//! Retention against what readers see.

use super::horizons::{Horizon, Horizons};
use super::retention::{Outside, Retention, RetentionRule, Verdict, surviving_range_tombstones};
use crate::key::{Entry, Expiry, Kind, Partition, RangeTombstone, Stamp, Version};
use crate::tree::{KeyRanges, RangeTombstones, ReadPins, covering};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

const NOW_MS: u64 = 100;
const KEYS: u8 = 4;

/// Newest version first.
type Entries = BTreeMap<(Vec<u8>, Reverse<u64>), (Kind, Expiry)>;

#[derive(Clone, Debug)]
struct Case {
    /// Entries that take part, and older ones below.
    inputs: Entries,
    below: Entries,
    range_tombstones: Vec<RangeTombstone>,
    pins: Vec<u64>,
    floor: u64,
}

fn key(key: u8) -> Vec<u8> {
    let mut stored = vec![0; 8];
    stored.push(key);
    stored
}

fn case() -> impl Strategy<Value = Case> {
    let kind = prop::sample::select(vec![
        (Kind::Value, Expiry::NEVER),
        (Kind::Value, Expiry(NOW_MS)),
        (Kind::Value, Expiry(NOW_MS + 1)),
        (Kind::Tombstone, Expiry::NEVER),
    ]);
    let entries = |versions| prop::collection::btree_map((0..KEYS, versions), kind.clone(), 0..12);
    let ranges = prop::collection::vec((0..KEYS, 0..=KEYS, 1_u64..22), 0..4);
    let pins = prop::collection::vec(0_u64..22, 0..3);
    let floor = prop::sample::select(vec![u64::MAX >> 8, 15, 8]);
    (entries(10_u64..20), entries(0_u64..10), ranges, pins, floor).prop_map(
        |(inputs, below, ranges, pins, floor)| Case {
            inputs: inputs.into_iter().map(|((k, v), entry)| ((key(k), Reverse(v)), entry)).collect(),
            below: below.into_iter().map(|((k, v), entry)| ((key(k), Reverse(v)), entry)).collect(),
            range_tombstones: ranges
                .into_iter()
                .map(|(s, e, v)| RangeTombstone { start: key(s), end: key(e), version: Version(v) })
                .collect(),
            pins,
            floor,
        },
    )
}

fn horizons(floor: u64) -> Horizons {
    let horizon = Horizon { floor: Version(floor), now_ms: NOW_MS, max_version: Version::MAX };
    Horizons::new([(Partition(0), horizon)])
}

/// What a reader at `at` sees of a key: the version of a living value.
fn seen(entries: &Entries, ranges: &[RangeTombstone], key: &[u8], at: u64) -> Option<u64> {
    let newest = entries.range((key.to_vec(), Reverse(at))..).next();
    let ((_, Reverse(version)), (kind, expiry)) = newest.filter(|((found, _), _)| found == key)?;
    let covered = covering(ranges, key, Version(at)).is_some_and(|cover| cover.0 > *version);
    (*kind == Kind::Value && !expiry.is_past(NOW_MS) && !covered).then_some(*version)
}

impl Case {
    fn rule(&self) -> RetentionRule {
        let keys: Vec<&Vec<u8>> = self.below.keys().map(|(key, _)| key).collect();
        RetentionRule {
            pins: self.pins(),
            horizons: self.horizons(),
            below: KeyRanges::new(keys.iter().map(|key| (key.as_slice(), key.as_slice()))),
            range_tombstones: RangeTombstones::new(&self.range_tombstones),
        }
    }

    fn horizons(&self) -> Horizons {
        horizons(self.floor)
    }

    fn pins(&self) -> ReadPins {
        ReadPins::new(self.pins.iter().map(|&at| (Partition(0), Version(at))).collect())
    }

    fn merged(&self) -> Entries {
        let mut retention = Retention::new(self.rule());
        let mut kept = Entries::new();
        for ((key, version), (kind, expiry)) in &self.inputs {
            let stamp = Stamp::new(Version(version.0), *kind);
            match retention.judge(&Entry { key, stamp, expiry: *expiry, value: b"" }) {
                Verdict::Keep => drop(kept.insert((key.clone(), *version), (*kind, *expiry))),
                Verdict::Bury => {
                    kept.insert((key.clone(), *version), (Kind::Tombstone, Expiry::NEVER));
                }
                Verdict::Drop => {}
            }
        }
        kept
    }

    fn all(&self, inputs: Entries) -> Entries {
        inputs.into_iter().chain(self.below.clone()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_reader_sees_a_difference(case in case()) {
        let before = case.all(case.inputs.clone());
        let after = case.all(case.merged());
        for reader in case.pins.iter().copied().chain([u64::MAX >> 8]) {
            for k in 0..KEYS {
                prop_assert_eq!(
                    seen(&before, &case.range_tombstones, &key(k), reader),
                    seen(&after, &case.range_tombstones, &key(k), reader),
                    "key {} at {}", k, reader
                );
            }
        }
    }

    #[test]
    fn without_snapshots_one_entry_a_key_is_left_at_most(mut case in case()) {
        case.pins.clear();
        let kept = case.merged();
        for k in 0..KEYS {
            prop_assert!(kept.keys().filter(|(found, _)| *found == key(k)).count() <= 1);
        }
    }

    #[test]
    fn at_the_bottom_and_below_the_floor_only_living_values_are_left(mut case in case()) {
        case.pins.clear();
        case.below.clear();
        case.floor = u64::MAX >> 8;
        let lives = |kind, expiry: Expiry| kind == Kind::Value && !expiry.is_past(NOW_MS);
        prop_assert!(case.merged().values().all(|&(kind, expiry)| lives(kind, expiry)));
    }

    #[test]
    fn a_late_write_above_the_floor_meets_what_hides_it(
        case in case(),
        late in prop::collection::btree_map((0..KEYS, 1_u64..22), Just((Kind::Value, Expiry::NEVER)), 1..6),
    ) {
        let before = case.all(case.inputs.clone());
        let late: Entries = late
            .into_iter()
            .map(|((k, v), entry)| ((key(k), Reverse(v)), entry))
            .filter(|(at, _)| at.1.0 > case.floor && !before.contains_key(at))
            .collect();
        let survivors =
            surviving_range_tombstones(&case.range_tombstones, &case.pins(), &case.horizons(), Some(&[]));
        let with_late = |entries: Entries| entries.into_iter().chain(late.clone()).collect::<Entries>();
        let (before, merged) = (with_late(before), with_late(case.all(case.merged())));
        for k in 0..KEYS {
            // Nothing lies outside in this case but what is late.
            if case.below.is_empty() {
                prop_assert_eq!(
                    seen(&before, &case.range_tombstones, &key(k), u64::MAX >> 8),
                    seen(&merged, &survivors, &key(k), u64::MAX >> 8)
                );
            }
            prop_assert_eq!(
                seen(&before, &case.range_tombstones, &key(k), u64::MAX >> 8),
                seen(&merged, &case.range_tombstones, &key(k), u64::MAX >> 8)
            );
        }
    }

    #[test]
    fn a_second_merge_changes_nothing(case in case()) {
        let once = Case { inputs: case.merged(), ..case };
        prop_assert_eq!(once.merged(), once.inputs.clone());
    }

    #[test]
    fn range_tombstones_go_only_when_no_reader_can_tell(case in case()) {
        let outside: Vec<Outside> = case
            .below
            .keys()
            .map(|(key, version)| Outside {
                min_key: key.clone(),
                max_key: key.clone(),
                min_version: Version(version.0),
            })
            .collect();
        let survivors = surviving_range_tombstones(
            &case.range_tombstones, &case.pins(), &case.horizons(), Some(&outside),
        );
        let entries = case.all(case.merged());
        for reader in case.pins.iter().copied().chain([u64::MAX >> 8]) {
            for k in 0..KEYS {
                prop_assert_eq!(
                    seen(&entries, &case.range_tombstones, &key(k), reader),
                    seen(&entries, &survivors, &key(k), reader)
                );
            }
        }
    }
}

#[test]
fn with_nothing_older_outside_a_range_tombstone_goes() {
    let tombstone = RangeTombstone { start: key(0), end: key(2), version: Version(5) };
    let outside =
        |min_version| Outside { min_key: key(1), max_key: key(1), min_version: Version(min_version) };
    let survivors = |outside: &[Outside], pins: &ReadPins, floor: u64| {
        surviving_range_tombstones(std::slice::from_ref(&tombstone), pins, &horizons(floor), Some(outside))
    };
    assert!(survivors(&[outside(5)], &ReadPins::none(), 5).is_empty());
    assert_eq!(survivors(&[outside(4)], &ReadPins::none(), 5), std::slice::from_ref(&tombstone));
    assert_eq!(survivors(&[], &ReadPins::none(), 4), std::slice::from_ref(&tombstone));
    let pins = ReadPins::new(vec![(Partition(0), Version(4))]);
    assert_eq!(survivors(&[], &pins, 5), std::slice::from_ref(&tombstone));
}
