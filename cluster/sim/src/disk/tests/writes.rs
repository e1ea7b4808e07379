//! What becomes of written bytes: syncs, crashes, failed syncs.

use super::super::{Crash, Disk, SECTOR};
use super::hand::{FILE, Hand, disk_with};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::BTreeSet;

const SEEDS: std::ops::Range<u64> = 0..200;

/// Which bytes each sector of a file holds; a sector is never a mix.
fn sectors(bytes: &[u8]) -> Vec<u8> {
    let whole = |sector: &[u8]| {
        assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is written whole or not at all");
        sector[0]
    };
    bytes.chunks(SECTOR).map(whole).collect()
}

#[test]
fn a_synced_write_survives_every_crash() {
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 9000]);
        hand.write(3000, &[2; 5000], true).unwrap();
        for kind in [Crash::Process, Crash::Power] {
            hand.crash(kind);
            let bytes = hand.bytes();
            assert_eq!((bytes.len(), bytes[2999], bytes[3000], bytes[7999], bytes[8000]), (9000, 1, 2, 2, 1));
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_had_completed() {
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 4096]);
        hand.write(0, &[2; 4096], false).unwrap();
        hand.write(4096, &[3; 100], false).unwrap();
        hand.crash(Crash::Process);
        assert_eq!(hand.bytes(), [vec![2; 4096], vec![3; 100]].concat());
    }
}

#[test]
fn unsynced_sectors_survive_independently_and_out_of_order() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 1024]);
        hand.write(0, &[2; 1024], false).unwrap();
        hand.write(0, &[3; 512], false).unwrap();
        hand.crash(Crash::Power);
        seen.insert(sectors(&hand.bytes()));
    }
    let all = (1..=3).flat_map(|first| [1, 2].map(|second| vec![first, second]));
    assert_eq!(seen, all.collect(), "each sector is as it was before or after any of the writes");
}

#[test]
fn the_counters_tell_kept_torn_and_lost_writes_apart() {
    let mut sum = [0; 3];
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 4096]);
        hand.write(0, &[2; 4096], false).unwrap();
        hand.crash(Crash::Power);
        let counters = hand.disk.counters();
        let found = [counters.kept_writes, counters.torn_writes, counters.lost_writes];
        assert_eq!(found.iter().sum::<u64>(), 1);
        (0..3).for_each(|kind| sum[kind] += found[kind]);
        let twos = sectors(&hand.bytes()).iter().filter(|byte| **byte == 2).count();
        assert_eq!(found, [u64::from(twos == 8), u64::from((1..8).contains(&twos)), u64::from(twos == 0)]);
    }
    assert!(sum.iter().all(|count| *count > 20), "{sum:?}");
}

#[test]
fn after_a_power_loss_a_file_has_any_length_it_had_since_its_sync() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 100]);
        hand.write(100, &[2; 100], false).unwrap();
        hand.write(200, &[3; 5000], false).unwrap();
        hand.crash(Crash::Power);
        let bytes = hand.bytes();
        assert_eq!(bytes[..100], [1; 100]);
        seen.insert(bytes.len());
    }
    assert_eq!(seen, [100, 200, 5200].into());
}

#[test]
fn a_write_in_flight_has_happened_in_any_part() {
    for kind in [Crash::Process, Crash::Power] {
        let mut seen = BTreeSet::new();
        for seed in SEEDS {
            let mut hand = disk_with(seed, &[1; 1024]);
            hand.submit_write(0, &[2; 1024], true);
            hand.crash(kind);
            assert!(hand.disk.is_idle());
            assert_eq!(hand.disk.counters().caught_requests, 1);
            seen.insert(sectors(&hand.bytes()));
        }
        assert_eq!(seen.len(), 4, "{kind:?}: {seen:?}");
    }
}

#[test]
fn a_sync_covers_what_had_completed_when_it_was_asked_for_and_no_more() {
    let mut lost = 0;
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 512]);
        hand.write(0, &[2; 512], false).unwrap();
        let sync = hand.submit_sync();
        let write = hand.submit_write(512, &[3; 512], false);
        hand.complete_all();
        assert!(hand.result(sync).is_ok() && hand.result(write).is_ok());
        hand.crash(Crash::Power);
        let found = sectors(&hand.bytes());
        assert_eq!(found[0], 2);
        lost += u64::from(found.len() < 2 || found[1] != 3);
    }
    assert!(lost > 20, "the write came later: {lost}");
}

#[test]
fn a_failed_sync_may_be_followed_by_one_that_succeeds_and_makes_nothing_durable() {
    let (mut lost, mut kept) = (0, 0);
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 4096]);
        hand.write(0, &[2; 4096], false).unwrap();
        hand.disk.faults().eio_sync = 1.0;
        assert_eq!(hand.sync().unwrap_err().raw_os_error(), Some(5));
        hand.disk.faults().eio_sync = 0.0;
        hand.sync().unwrap();
        hand.crash(Crash::Process);
        assert_eq!(hand.bytes(), [2; 4096], "the kernel shows it");
        hand.crash(Crash::Power);
        match sectors(&hand.bytes()).iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            8 => kept += 1,
            _ => {}
        }
    }
    assert!(lost > 40 && kept > 40, "{lost} lost, {kept} kept");
}

#[test]
fn what_is_written_again_after_a_failed_sync_is_durable_with_the_next() {
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 4096]);
        hand.write(0, &[2; 4096], false).unwrap();
        hand.disk.faults().eio_sync = 1.0;
        hand.sync().unwrap_err();
        hand.disk.faults().eio_sync = 0.0;
        hand.write(0, &[2; 4096], true).unwrap();
        hand.crash(Crash::Power);
        assert_eq!(hand.bytes(), [2; 4096]);
    }
}

#[test]
fn a_failed_write_has_happened_in_any_part() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let mut hand = disk_with(seed, &[1; 1024]);
        hand.disk.faults().eio_write = 1.0;
        assert_eq!(hand.write(0, &[2; 1024], true).unwrap_err().raw_os_error(), Some(5));
        seen.insert(sectors(&hand.bytes()));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn many_unsynced_writes_are_written_back_by_and_by() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut hand = Hand::new(Disk::new("store/shard-000"), 1);
    hand.create(FILE).unwrap();
    hand.sync_dir().unwrap();
    for _ in 0..3000 {
        hand.write(0, &[7; 4096], false).unwrap();
        hand.write(4096, &[7; 4096], false).unwrap();
    }
    hand.disk.crash(Crash::Power, &mut rng);
    assert_eq!(hand.bytes()[..512], [7; 512]);
}
