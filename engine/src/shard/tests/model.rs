//! Random operations, flushes, merges and reopenings against a map.

use super::*;
use rand::SeedableRng;

/// What a key-value store with expiry should do, in the simplest way.
#[derive(Clone, Debug, Default)]
struct Model {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
}

impl Model {
    fn live(&self, key: &[u8], now_ms: u64) -> Option<&Vec<u8>> {
        self.values.get(key).filter(|(_, expiry)| *expiry == 0 || *expiry > now_ms).map(|(value, _)| value)
    }

    fn items(&self, now_ms: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
        let live = self.values.iter().filter(|(_, (_, expiry))| *expiry == 0 || *expiry > now_ms);
        live.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }
}

/// One run: `steps` operations drawn from `seed`, over few keys so that they meet.
fn run(seed: u64, durability: Durability, tuning: Tuning, steps: usize) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut model = Model::default();
    let mut hand = Hand::new(durability, tuning);
    for step in 0..steps {
        let now_ms = hand.now.unix_us / 1000;
        let key = format!("k{:03}", random.random_range(0..120)).into_bytes();
        let context = format!("seed {seed}, step {step}, key {}", String::from_utf8_lossy(&key));
        match random.random_range(0..100) {
            0..30 => {
                let value = vec![random.random(); random.random_range(0..300)];
                let expiry =
                    if random.random_ratio(1, 5) { now_ms + random.random_range(1..2000) } else { 0 };
                let when = if expiry == 0 { PutExpiry::Never } else { PutExpiry::At(expiry) };
                assert!(
                    matches!(hand.ask(put_expiring(&key, &value, when)), Seen::Written { .. }),
                    "{context}"
                );
                model.values.insert(key, (value, expiry));
            }
            30..45 => {
                let existed = u32::from(model.live(&key, now_ms).is_some());
                assert_eq!(hand.ask(delete(&key)), Seen::Written { existed, old: None }, "{context}");
                model.values.remove(&key);
            }
            45..75 => {
                let expected =
                    model.live(&key, now_ms).map_or(Seen::NotFound, |value| Seen::Value(value.clone()));
                assert_eq!(hand.get(&key), expected, "{context}");
            }
            75..85 => check_scan(&mut hand, &model, &mut random, &context),
            85..88 => hand.advance_ms(random.random_range(1..1500)),
            88..94 => {
                hand.shard.flush();
                hand.settle();
            }
            94..95 => {
                hand.ask(Op::Clear);
                model.values.clear();
            }
            95..97 => hand.settle(),
            _ => {
                hand.settle();
                if durability != Durability::Sync {
                    hand.shard.begin_shutdown();
                    hand.settle();
                }
                hand = hand.reopen();
            }
        }
    }
}

/// Reads a random range page by page.
fn check_scan(hand: &mut Hand, model: &Model, random: &mut SmallRng, context: &str) {
    let (a, b) = (random.random_range(0..130), random.random_range(0..130));
    let (mut from, to) = (format!("k{:03}", a.min(b)).into_bytes(), format!("k{:03}", a.max(b)).into_bytes());
    let expected: Vec<_> = model
        .items(hand.now.unix_us / 1000)
        .into_iter()
        .filter(|(key, _)| (&from..&to).contains(&key))
        .collect();
    let limit = random.random_range(1..40);
    let mut found = Vec::new();
    loop {
        let scan =
            super::super::request::Scan { from: &from, to: &to, limit, limit_bytes: 4000, keys_only: false };
        let Seen::Page(mut items, next) = hand.ask(Op::Scan(scan)) else { panic!("no page: {context}") };
        found.append(&mut items);
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(found, expected, "{context}");
}

#[test]
fn a_synced_shard_behaves_as_a_map() {
    for seed in 0..6 {
        run(seed, Durability::Sync, small(), 3000);
    }
}

#[test]
fn a_shard_that_reads_from_disk_behaves_as_a_map() {
    for seed in 100..106 {
        run(seed, Durability::Sync, cold(), 3000);
    }
}

#[test]
fn a_shard_that_logs_behind_behaves_as_a_map() {
    for seed in 200..204 {
        run(seed, Durability::None, small(), 3000);
        run(seed, Durability::IntervalMs(50), cold(), 3000);
    }
}
