//! The simulator: seeds of every profile, seeds that found something once, and that a run follows from its seed alone.

use pinion_sim::campaign::Campaign;
use pinion_sim::options::{NODES, OPERATIONS, RunOptions};
use pinion_sim::profile::Profile;
use pinion_sim::report;
use std::collections::BTreeSet;
use std::process::Command;

/// Runs seeds of a profile; panics with the report of the first that fails.
fn pass(profile: Profile, seeds: std::ops::Range<u64>) {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let (operations, without) = (OPERATIONS, BTreeSet::new());
    let campaign = Campaign { seeds, profile, operations, without, nodes: NODES, threads, failures_max: 1 };
    let summary = campaign.run(|_| ());
    if let Some(failed) = summary.failures.first() {
        let text = failed.failure.as_ref().map_or("", |failure| failure.text.as_str());
        panic!("seed {} of {profile} failed:\n{text}", failed.run.seed);
    }
}

#[test]
fn seeds_of_every_profile_pass() {
    for profile in Profile::ALL {
        pass(profile, 0..4);
    }
    pass(Profile::Swarm, 4..12);
}

/// Seeds that failed before a defect was mended.
const REGRESSIONS: [(Profile, u64); 13] = [
    // Merges that damage held up left many tables in level 0, and a page read a piece ahead of each.
    (Profile::Bitrot, 295),
    // A memtable that opening had filled was never frozen, and nothing answered.
    (Profile::Compaction, 7),
    // A page of a merged scan mixed two moments of a partition.
    (Profile::Compaction, 6),
    // A read of many keys lost one from the cache between looking for it and answering, and said that it wasn't there.
    (Profile::Enospc, 56),
    // A merge that met damage kept flushes from running, and writes were refused.
    (Profile::Bitrot, 52),
    // A clear that one partition refused was called refused, though another may have done it.
    (Profile::Eio, 1472),
    // The newest segment had an old header again, and commits that were proved durable were cut in silence.
    (Profile::Bitrot, 15),
    // A table that rotted before the flush that wrote it was done was told as damage of the store.
    (Profile::Bitrot, 1129),
    // A damaged value was an error in its place in an MGET whose array was leaving, which the client took for no answer.
    (Profile::Swarm, 633),
    // The segment that told of a cut was gone, and a repair kept the commit whose write had failed, which the simulator took
    // for one that was made up.
    (Profile::Swarm, 5130),
    // A step of the wall clock counted that had been gone while the machine slept.
    (Profile::Clocks, 2),
    // A machine woke, a read told what had expired meanwhile, the power failed, and by a wall clock set back it was there again.
    (Profile::Clocks, 1633),
    // A shard had written nothing since its wall clock had stood for a minute, and went by another one than the shards beside it
    // behind a restart.
    (Profile::Swarm, 3078),
];

#[test]
fn seeds_that_found_defects_pass() {
    for (profile, seed) in REGRESSIONS {
        pass(profile, seed..seed + 1);
    }
}

#[test]
fn a_run_follows_from_its_seed() {
    for seed in 0..3 {
        let run = RunOptions::new(seed, Profile::Swarm);
        let (one, other) = (report::run(&run), report::run(&run));
        assert_eq!((one.hash, &one.counters), (other.hash, &other.counters), "seed {seed}");
        let different = report::run(&RunOptions::new(seed + 100, Profile::Swarm));
        assert_ne!(one.hash, different.hash);
    }
}

#[test]
fn a_run_of_several_nodes_follows_from_its_seed_and_their_number() {
    let of = |nodes| report::run(&RunOptions { nodes, ..RunOptions::new(3, Profile::Links) });
    let (one, other, more) = (of(3), of(3), of(5));
    assert_eq!((one.hash, &one.counters), (other.hash, &other.counters));
    assert_ne!(one.hash, more.hash);
    assert!(one.failure.is_none() && more.failure.is_none());
    assert!(more.counters.get("rounds") > one.counters.get("rounds"));
}

#[test]
fn a_run_is_the_same_in_another_process() {
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_kvsim"))
            .args(["--seeds", "0..2", "--profile", "swarm", "--threads", "1"])
            .output()
            .expect("kvsim was built with the tests");
        let text = String::from_utf8(output.stdout).expect("kvsim writes text");
        text.lines().filter(|line| line.starts_with("seed ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = run();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.contains(": ok, trace ")), "{lines:?}");
    assert_eq!(lines, run());
}

#[test]
fn a_usual_run_has_thousands_of_operations_and_crashes_five_times() {
    let outcome = report::run(&RunOptions::new(7, Profile::Smoke));
    assert!(outcome.failure.is_none());
    assert!(outcome.counters.get("operations") >= 5_000);
    assert!(outcome.counters.get("crashes") >= 5);
}
