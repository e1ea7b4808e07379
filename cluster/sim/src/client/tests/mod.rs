//! The clients and the model against a server that is trivially right, and against one that lies.

mod answers;
mod server;
mod store;
mod world;

use super::WorkloadShape;
use rand::Rng;
use rand::rngs::SmallRng;
use store::Lie;
use world::World;

fn shape(operations: u64, rng: &mut SmallRng) -> WorkloadShape {
    let mut shape = WorkloadShape::draw(operations, rng);
    shape.cold_keys = 60;
    shape.huge = 0;
    shape.vanishes = rng.random_range(0..20);
    shape.garbage = rng.random_range(0..20);
    shape
}

fn run(seed: u64, lie: Lie, loses: bool) -> (Result<(), String>, World) {
    let mut world = World::new(seed, lie, loses, |_, rng| shape(300, rng));
    let started = std::time::Instant::now();
    let done = world.run().map_err(|violation| format!("seed {seed}: {violation}"));
    eprintln!(
        "seed {seed} {lie:?}: {} ms, {} crashes, {} lies, given up {}, {:?}",
        started.elapsed().as_millis(),
        world.crashes,
        world.lies(),
        world.history.given_up(),
        world.history.counters().collect::<Vec<_>>()
    );
    (done, world)
}

fn seeds() -> u64 {
    std::env::var("PINION_MODEL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40)
}

#[test]
fn a_right_server_is_never_accused() {
    for seed in 0..seeds() {
        let (done, _) = run(seed, Lie::None, false);
        if let Err(text) = done {
            panic!("{text}");
        }
    }
}

#[test]
fn a_server_that_loses_what_it_may_is_never_accused() {
    for seed in 1000..1000 + seeds() {
        let (done, _) = run(seed, Lie::None, true);
        if let Err(text) = done {
            panic!("{text}");
        }
    }
}

/// Runs seeds until the lie is found, and says in how many.
fn seeds_until_found(lie: Lie, loses: bool) -> u64 {
    for seed in 0..60 {
        let (done, world) = run(seed, lie, loses);
        if let Err(text) = done {
            assert!(world.lies() > 0, "accused before it lied: {text}");
            return seed + 1;
        }
    }
    panic!("{lie:?} wasn't found");
}

macro_rules! lies_are_found {
    ($($name:ident: $lie:ident, $loses:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let seeds = seeds_until_found(Lie::$lie, $loses);
                assert!(seeds <= 20, "found after {seeds} seeds");
            }
        )*
    };
}

lies_are_found! {
    a_lost_acknowledged_write_is_found: LosesAcknowledgedWrites, false;
    a_dropped_delete_is_found: DropsDeletes, false;
    a_torn_batch_is_found: TearsBatches, false;
    a_read_that_a_crash_takes_back_is_found: TakesBackWhatWasSeen, false;
    a_lost_increment_is_found: LosesIncrements, false;
    a_stale_read_is_found: ReadsStale, false;
    an_expired_value_is_found: ReturnsExpired, false;
    a_scan_that_misses_a_key_is_found: ScansMissKeys, false;
    a_scan_that_revives_a_key_is_found: ScansReviveKeys, false;
    a_crash_that_leaves_a_sieve_is_found: RecoversASieve, true;
    a_flipped_bit_is_found: FlipsBits, false;
    an_ignored_condition_is_found: IgnoresConditions, false;
    swapped_pipelined_requests_are_found: SwapsPipelined, false;
    a_batch_that_is_recovered_in_parts_is_found: RecoversPartsOfBatches, false;
    a_wrong_count_is_found: CountsWrong, false;
    a_clear_of_some_keys_is_found: ClearsPartly, false;
    a_refused_write_that_was_done_is_found: WritesWhatItRefused, false;
}
