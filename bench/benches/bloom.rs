//! Our split-block filter beside the crate `bloomfilter`, both at 10 bits a key, 4 million 16-byte keys.
//! The share of absent keys that pass is printed first.

use bloomfilter::Bloom;
use criterion::Criterion;
use pinion_bench::Sequence;
use pinion_engine::table::{Filter, key_hash};
use std::hint::black_box;

const KEYS: u64 = 4_000_000;

fn key(i: u64) -> [u8; 16] {
    let mut key = [b'k'; 16];
    key[8..].copy_from_slice(&i.to_be_bytes());
    key
}

fn reference() -> Bloom<[u8; 16]> {
    let seed = std::array::from_fn(|i| i as u8);
    Bloom::new_with_seed(KEYS as usize * 10 / 8, KEYS as usize, &seed)
        .expect("the size and the number of keys are not zero")
}

fn compare(c: &mut Criterion) {
    let (mut ours, mut theirs) = (Filter::new(KEYS as usize), reference());
    for i in 0..KEYS {
        ours.insert(key_hash(&key(i)));
        theirs.set(&key(i));
    }
    let absent = || (KEYS..KEYS + 1_000_000).map(key);
    let (passed_ours, passed_theirs) = (
        absent().filter(|key| ours.contains(key_hash(key))).count(),
        absent().filter(|key| theirs.check(key)).count(),
    );
    println!("of 1,000,000 absent keys pass: split-block {passed_ours}, bloomfilter {passed_theirs}");

    let mut group = c.benchmark_group("bloom, 4,000,000 keys of 16 bytes");
    let mut random = Sequence(1);
    group.bench_function("split-block insert", |b| {
        let mut filter = Filter::new(KEYS as usize);
        b.iter(|| filter.insert(key_hash(&key(random.below(KEYS)))));
    });
    group.bench_function("bloomfilter insert", |b| {
        let mut filter = reference();
        b.iter(|| filter.set(&key(random.below(KEYS))));
    });
    for (name, first) in [("present", 0), ("absent", KEYS)] {
        group.bench_function(format!("split-block {name}"), |b| {
            b.iter(|| black_box(ours.contains(key_hash(&key(first + random.below(KEYS))))));
        });
        group.bench_function(format!("bloomfilter {name}"), |b| {
            b.iter(|| black_box(theirs.check(&key(first + random.below(KEYS)))));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    compare(&mut criterion);
    criterion.final_summary();
}
