//! Random faults: what is acknowledged stays, and when all is well again everybody has it.

use super::world::{TURN_US, World};
use rand::Rng;
use rand::seq::IndexedRandom;

/// One run. All that a seed decides of it.
fn run(seed: u64) -> World {
    let (voters, learners) = [(3, 0), (3, 1), (1, 1), (5, 0), (3, 0), (2, 1)][seed as usize % 6];
    let mut world = World::new(seed, voters, learners);
    let mut down = Vec::new();
    for _ in 0..4_000 {
        fault(&mut world, &mut down);
        let at = world.leader().filter(|_| world.chance.random_bool(0.9));
        let at = at.unwrap_or_else(|| world.chance.random_range(0..world.nodes.len()));
        if world.chance.random_bool(0.3) {
            let len = if world.chance.random_bool(0.01) { 300_000 } else { 100 };
            world.propose(at, len);
        }
        if world.chance.random_bool(0.005) {
            let to = world.chance.random_range(1..=world.nodes.len() as u64);
            world.nudge(at, to);
        }
        if world.chance.random_bool(0.3) {
            world.read(at);
        }
        world.turn();
    }
    world.converge(1_500);
    world
}

fn fault(world: &mut World, down: &mut Vec<(usize, u64)>) {
    let (count, now_us) = (world.nodes.len(), world.now_us);
    let back: Vec<_> = down.extract_if(.., |(_, at_us)| *at_us <= now_us).collect();
    back.into_iter().for_each(|(at, _)| world.start(at));
    if !world.chance.random_bool(0.01) {
        return;
    }
    let at = world.chance.random_range(0..count);
    let other = world.chance.random_range(0..count);
    let until_us = now_us + TURN_US * world.chance.random_range(1..400);
    match world.chance.random_range(0..9) {
        0 | 1 => {
            // One, or all of them.
            let all = world.chance.random_bool(0.1);
            for at in (0..count).filter(|&one| all || one == at) {
                if world.nodes[at].replica.is_some() {
                    world.crash(at);
                    down.push((at, until_us));
                }
            }
        }
        2 => world.nodes[at].stopped_until_us = until_us,
        3 => _ = world.cut.insert((at as u64 + 1, other as u64 + 1)),
        4 => {
            for other in 1..=count as u64 {
                world.cut.extend([(at as u64 + 1, other), (other, at as u64 + 1)]);
            }
        }
        5 => world.cut.clear(),
        6 => world.loss = *[0.0, 0.02, 0.2].choose(&mut world.chance).expect("there are some"),
        7 => {
            world.delay_us =
                *[500, 5_000, 100_000, 1_500_000].choose(&mut world.chance).expect("there are some")
        }
        _ => {
            world.write_us = *[500, 5_000, 300_000].choose(&mut world.chance).expect("there are some");
            world.flush(at);
        }
    }
}

#[test]
fn what_is_acknowledged_stays_and_all_come_to_have_the_same() {
    let (mut elections, mut committed, mut reads) = (0, 0, 0);
    for seed in 0..30 {
        let world = run(seed);
        (elections, committed, reads) =
            (elections + world.elections, committed + world.committed(), reads + world.reads);
    }
    assert!(elections > 100 && committed > 10_000 && reads > 8_000, "{elections} {committed} {reads}");
}
