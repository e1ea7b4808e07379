//! A shard over the disk: requests, completions, steps of jobs, crashes and faults in any order, against a small model.

use super::super::{Crash, Disk, NameOrder, RotMix, Speed};
use super::history::{Change, History};
use super::node::{Node, Seen};
use pinion_engine::io::FileName;
use pinion_engine::shard::Durability;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// What a run is exposed to.
#[derive(Clone, Copy, Debug, Default)]
struct Exposure {
    eio: bool,
    full: bool,
    any_name_order: bool,
}

fn expose(disk: &mut Disk, exposure: Exposure, rng: &mut SmallRng) {
    let mut chance = |is_on: bool| if is_on && rng.random() { rng.random_range(0.0..0.01) } else { 0.0 };
    let faults = disk.faults();
    faults.eio_read = chance(exposure.eio);
    faults.eio_write = chance(exposure.eio);
    faults.eio_sync = chance(exposure.eio);
    faults.eio_name = chance(exposure.eio);
    faults.speed = Speed {
        read_us: 20..400,
        write_us: 10..300,
        sync_us: 50..3000,
        name_us: 10..500,
        stalls_ppm: 500,
        stall_us: 10_000..3_000_000,
    };
    faults.names = if exposure.any_name_order { NameOrder::Any } else { NameOrder::Prefix };
    let left = (exposure.full && rng.random()).then(|| rng.random_range(0..400_000));
    disk.set_space_left(left);
}

/// Lives of a shard, each ended by a crash of either kind.
fn lives(seed: u64, durability: Durability, exposure: Exposure) -> Disk {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut histories = [History::default(), History::default()];
    let mut node = Node::new(seed, durability);
    for life in 0..6 {
        let context = format!("seed {seed}, {durability:?}, {exposure:?}, life {life}");
        expose(&mut node.disk, exposure, &mut rng);
        for _ in 0..rng.random_range(10..500) {
            let partition = rng.random_range(0..2_usize);
            if rng.random_ratio(1, 4) {
                let state = histories[partition].last_state(&node.answers);
                node.send_get(partition, &state);
            } else {
                let change = Change::random(&mut rng);
                let number = change.send(&mut node, partition);
                histories[partition].push(number, change, node.answer(number));
            }
            for _ in 0..rng.random_range(0..12) {
                node.go_on();
            }
            node.check_gets(&context);
            if rng.random_ratio(1, 100) {
                node.shard.flush();
            }
            if node.shard.failure().is_some() && rng.random_ratio(1, 20) {
                break;
            }
        }
        if rng.random_ratio(1, 3) {
            node.heal();
            node.settle(&context);
            // Background work that failed rests for a second; twice, as one failure may have been on its way.
            for _ in 0..2 {
                node.rest();
                node.settle(&context);
            }
            node.check_gets(&context);
            if node.shard.failure().is_none() {
                let change = Change::random(&mut rng);
                let number = change.send(&mut node, 0);
                node.settle(&context);
                assert!(
                    matches!(node.answer(number), Some(Seen::Written)),
                    "{context}: it doesn't come back"
                );
                histories[0].push(number, change, None);
            }
        }
        let kind = if rng.random() { Crash::Power } else { Crash::Process };
        let context = format!("{context}, {kind:?}");
        let is_promised = match durability {
            Durability::Sync => true,
            Durability::IntervalMs(_) => kind == Crash::Process,
            Durability::None => false,
        };
        let least = histories.each_mut().map(|history| history.settle(&node.answers));
        node.crash_and_open(kind, &context);
        for (partition, history) in histories.iter_mut().enumerate() {
            let found = node.items(partition, &context);
            history.check(&found, if is_promised { least[partition] } else { 0 }, &context);
        }
    }
    node.disk
}

#[test]
fn nothing_acknowledged_is_lost_over_crashes_of_both_kinds() {
    let mut torn = 0;
    for seed in 0..40 {
        let any_name_order = seed % 2 == 1;
        let disk = lives(seed, Durability::Sync, Exposure { any_name_order, ..Exposure::default() });
        torn += disk.counters().torn_writes;
    }
    assert!(torn > 0);
}

#[test]
fn a_log_that_is_synced_later_keeps_the_first_writes() {
    for seed in 1000..1020 {
        lives(seed, Durability::IntervalMs(100), Exposure::default());
        lives(seed, Durability::None, Exposure::default());
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_shard_goes_on_when_there_is_room() {
    let mut full = 0;
    for seed in 2000..2030 {
        full += lives(seed, Durability::Sync, Exposure { full: true, ..Exposure::default() })
            .counters()
            .full_errors;
    }
    assert!(full > 0);
}

#[test]
fn a_failing_disk_loses_nothing_acknowledged() {
    let mut failed = 0;
    for seed in 3000..3040 {
        failed += lives(seed, Durability::Sync, Exposure { eio: true, full: true, ..Exposure::default() })
            .counters()
            .sync_errors;
    }
    assert!(failed > 0);
}

#[test]
fn damage_is_reported_or_changes_nothing() {
    let (mut reported, mut harmless) = (0, 0);
    for seed in 4000..4100 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut node = Node::new(seed, Durability::Sync);
        let mut history = History::default();
        for _ in 0..rng.random_range(200..600) {
            let change = if seed % 2 == 0 { Change::alike(&mut rng) } else { Change::random(&mut rng) };
            let number = change.send(&mut node, 0);
            history.push(number, change, node.answer(number));
            (0..rng.random_range(0..12)).for_each(|_| node.go_on());
        }
        let context = format!("seed {seed}");
        node.settle(&context);
        history.settle(&node.answers);
        node.disk.faults().rot = RotMix { logs: 1, manifests: 1, tables: 4, ..RotMix::default() };
        node.disk.crash(Crash::Process, &mut rng);
        let Some(damage) = node.disk.rot(&mut rng) else { continue };
        // The newest commit or edit can't be told from a torn one.
        if damage.is_newest && !matches!(damage.file, FileName::Table(_)) {
            continue;
        }
        let context = format!("{context}, {damage:?}");
        let expected = history.last_state(&node.answers);
        match node.try_open(None) {
            Err(_) => reported += 1,
            Ok(shard) => {
                node.shard = shard;
                let mut is_reported = false;
                for key in Change::keys() {
                    match node.ask_get(0, &key, &context) {
                        Seen::Refused => is_reported = true,
                        Seen::Value(value) => assert_eq!(Some(&value), expected.get(&key), "{context}"),
                        _ => assert_eq!(expected.get(&key), None, "{context}"),
                    }
                }
                if is_reported { reported += 1 } else { harmless += 1 }
            }
        }
    }
    assert!(reported > 10, "{reported} reported, {harmless} harmless");
}

#[test]
fn a_seed_says_everything() {
    let exposure = Exposure { eio: true, full: true, any_name_order: true };
    let run = |seed| {
        let disk = lives(seed, Durability::Sync, exposure);
        (disk.counters(), disk.files().collect::<Vec<_>>())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
