//! What becomes of names.

use super::super::{Crash, NameOrder};
use super::hand::{FILE, Hand, disk_with};
use pinion_engine::io::FileName::{self, Manifest, ManifestTemp, Table};
use std::collections::BTreeSet;

/// Three tables are made without a sync of the directory; what a power loss leaves of them.
fn left(order: NameOrder) -> BTreeSet<Vec<FileName>> {
    let left = (0..300).map(|seed| {
        let mut hand = disk_with(seed, b"x");
        hand.disk.faults().names = order;
        (1..=3).for_each(|number| drop(hand.create(Table(number)).unwrap()));
        hand.crash(Crash::Power);
        hand.names().into_iter().filter(|name| *name != FILE).collect()
    });
    left.collect()
}

#[test]
fn unsynced_changes_of_names_survive_as_a_prefix() {
    let prefixes = (0..=3).map(|count| (1..=count).map(Table).collect());
    assert_eq!(left(NameOrder::Prefix), prefixes.collect());
}

#[test]
fn where_names_have_no_order_any_of_them_survive() {
    assert_eq!(left(NameOrder::Any).len(), 8);
}

#[test]
fn changes_of_one_name_keep_their_order_everywhere() {
    for order in [NameOrder::Prefix, NameOrder::Any] {
        for seed in 0..100 {
            let mut hand = disk_with(seed, b"x");
            hand.disk.faults().names = order;
            hand.create(ManifestTemp(1)).unwrap();
            hand.rename(ManifestTemp(1), Manifest(1)).unwrap();
            hand.unlink(Manifest(1)).unwrap();
            hand.crash(Crash::Power);
            assert!(hand.names().len() <= 2, "{:?}", hand.names());
        }
    }
}

#[test]
fn what_a_sync_of_the_directory_covered_stays() {
    for seed in 0..100 {
        let mut hand = disk_with(seed, b"x");
        hand.create(ManifestTemp(1)).unwrap();
        hand.rename(ManifestTemp(1), Manifest(1)).unwrap();
        hand.sync_dir().unwrap();
        hand.unlink(FILE).unwrap();
        hand.crash(Crash::Power);
        let names = hand.names();
        assert!(names == [Manifest(1)] || names == [FILE, Manifest(1)], "{names:?}");
        if names.len() == 2 {
            assert_eq!(hand.bytes(), b"x", "a name that comes back has its content");
        }
    }
}

#[test]
fn a_synced_file_without_a_synced_name_can_be_lost() {
    let is_lost = |seed| {
        let mut hand = Hand::new(super::super::Disk::new("store/shard-000"), seed);
        hand.create(FILE).unwrap();
        hand.write(0, b"x", true).unwrap();
        hand.crash(Crash::Power);
        hand.names().is_empty()
    };
    let lost = (0..100).filter(|seed| is_lost(*seed)).count();
    assert!((10..90).contains(&lost), "{lost}");
}

#[test]
fn a_killed_process_loses_no_name() {
    let mut hand = disk_with(1, b"x");
    hand.create(Table(1)).unwrap();
    hand.unlink(FILE).unwrap();
    hand.crash(Crash::Process);
    assert_eq!(hand.names(), [Table(1)]);
}

#[test]
fn a_failed_change_of_names_has_happened_or_not() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let mut hand = disk_with(seed, b"x");
        hand.disk.faults().eio_name = 1.0;
        assert_eq!(hand.unlink(FILE).unwrap_err().raw_os_error(), Some(5));
        seen.insert(hand.names().len());
    }
    assert_eq!(seen, [0, 1].into());
}

#[test]
fn a_failed_sync_of_the_directory_leaves_the_changes_to_the_next() {
    for seed in 0..100 {
        let mut hand = disk_with(seed, b"x");
        hand.create(Table(1)).unwrap();
        hand.disk.faults().eio_sync = 1.0;
        hand.sync_dir().unwrap_err();
        hand.disk.faults().eio_sync = 0.0;
        hand.sync_dir().unwrap();
        hand.crash(Crash::Power);
        assert_eq!(hand.names(), [FILE, Table(1)]);
    }
}
