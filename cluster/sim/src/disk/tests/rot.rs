//! Damage at rest.

use super::super::{DamageKind, PAGE, RotMix};
use super::hand::{FILE, Hand, disk_with};
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName::{self, Manifest, Table};
use rand::{Rng, RngCore, SeedableRng};

const FILES: [FileName; 3] = [FILE, Manifest(1), Table(1)];

/// A disk with a file of each kind, written twice; the second content is random.
fn filled(seed: u64) -> Hand {
    let mut hand = disk_with(seed, &[]);
    let mut content = rand::rngs::SmallRng::seed_from_u64(seed);
    for file in FILES {
        let mut dir = hand.disk.dir(None, &mut hand.rng);
        dir.create(file).unwrap();
        for _ in 0..2 {
            let mut bytes = vec![0; content.random_range(2 * PAGE..5 * PAGE)];
            content.fill_bytes(&mut bytes);
            dir.write(file, 0, &bytes).unwrap();
            dir.sync(file).unwrap();
        }
        dir.sync_dir().unwrap();
    }
    hand
}

#[test]
fn rot_changes_what_it_says_and_nothing_else() {
    let mut kinds = [0; 3];
    for seed in 0..100 {
        let mut hand = filled(seed);
        let before = FILES.map(|file| hand.bytes_of(file));
        let damage = hand.disk.rot(&mut hand.rng).expect("there is data");
        let after = FILES.map(|file| hand.bytes_of(file));
        for (place, file) in FILES.into_iter().enumerate() {
            assert_eq!(before[place].len(), after[place].len());
            let differing: Vec<u64> = (0..before[place].len())
                .filter(|at| before[place][*at] != after[place][*at])
                .map(|at| at as u64)
                .collect();
            if file == damage.file {
                assert_eq!(differing.first(), Some(&damage.range.start));
                assert_eq!(differing.last(), Some(&(damage.range.end - 1)));
            } else {
                assert!(differing.is_empty(), "{damage:?} changed {file}");
            }
        }
        let (start, end) = (damage.range.start as usize, damage.range.end as usize);
        let found = &after[FILES.iter().position(|file| *file == damage.file).unwrap()][start..end];
        match damage.kind {
            DamageKind::Flip => kinds[0] += 1,
            DamageKind::Misdirected { file, offset } => {
                kinds[1] += 1;
                let from = offset as usize + start % PAGE;
                let source = &before[FILES.iter().position(|name| *name == file).unwrap()];
                let known = source.len().min(from + found.len()).saturating_sub(from);
                assert_eq!(found[..known], source[from..from + known]);
            }
            DamageKind::Stale => kinds[2] += 1,
        }
    }
    assert!(kinds.iter().all(|count| *count > 5), "{kinds:?}");
}

#[test]
fn rot_aims_at_the_kinds_it_is_told() {
    let none = RotMix { logs: 0, manifests: 0, tables: 0, ..RotMix::default() };
    let mixes = [
        (RotMix { logs: 1, ..none }, FILE),
        (RotMix { manifests: 1, ..none }, Manifest(1)),
        (RotMix { tables: 1, ..none }, Table(1)),
    ];
    for (mix, file) in mixes {
        let mut hand = filled(1);
        hand.disk.faults().rot = mix;
        for _ in 0..20 {
            assert_eq!(hand.disk.rot(&mut hand.rng).map(|damage| damage.file), Some(file));
        }
    }
    let mut hand = filled(1);
    hand.disk.faults().rot = none;
    assert_eq!(hand.disk.rot(&mut hand.rng), None);
}

#[test]
fn only_what_is_synced_rots() {
    let mut hand = disk_with(1, &[]);
    hand.write(0, &[7; 3 * PAGE], false).unwrap();
    assert_eq!(hand.disk.rot(&mut hand.rng), None);
    hand.sync().unwrap();
    assert!(hand.disk.rot(&mut hand.rng).is_some());
}

#[test]
fn rot_tells_whether_it_struck_the_newest_write() {
    let mut hand = disk_with(1, &[7; 8 * PAGE]);
    hand.write(0, &[8; PAGE], true).unwrap();
    hand.disk.faults().rot = RotMix { misdirected: 0, stale: 0, ..RotMix::default() };
    for _ in 0..100 {
        let damage = hand.disk.rot(&mut hand.rng).unwrap();
        assert_eq!(damage.is_newest, damage.range.start < PAGE as u64, "{damage:?}");
    }
}
