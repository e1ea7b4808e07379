//! Many requests in flight at once: each answer is what a map would say that took them one by one as they arrived.

use super::*;
use rand::SeedableRng;

type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

fn existed(was: Option<&Vec<u8>>) -> u32 {
    u32::from(was.is_some())
}

/// Sends a random request and notes the answers that a map would give.
fn send(hand: &mut Hand, random: &mut SmallRng, model: &mut Keys, expected: &mut Vec<(u64, Vec<Seen>)>) {
    let key = |random: &mut SmallRng| format!("k{:03}", random.random_range(0..150)).into_bytes();
    let (a, b) = (key(random), key(random));
    let value = random.random_range(0..1000_u32).to_string().into_bytes();
    let conditional = |condition| Op::Update {
        key: &a,
        update: Update::Put { value: &value, expiry: PutExpiry::Never, condition, want_old: true },
    };
    let old = model.get(&a).cloned();
    let found = |key: &Vec<u8>| model.get(key).cloned();
    let (number, answers) = match random.random_range(0..100) {
        0..20 => (hand.send(Op::Get { key: &a }), vec![found(&a).map_or(Seen::NotFound, Seen::Value)]),
        20..28 => {
            let answers = vec![Seen::Item(0, found(&a)), Seen::Item(1, found(&b))];
            (hand.send(Op::GetMany { keys: &[&a, &b], values: true }), answers)
        }
        28..48 => {
            model.insert(a.clone(), value.clone());
            (hand.send(put(&a, &value)), vec![Seen::Written { existed: 0, old: None }])
        }
        48..58 => {
            let existed = existed(model.remove(&a).as_ref());
            (hand.send(delete(&a)), vec![Seen::Written { existed, old: None }])
        }
        58..75 => {
            let sum = found(&a).map_or(0, |value| String::from_utf8(value).unwrap().parse().unwrap()) + 1;
            model.insert(a.clone(), sum.to_string().into_bytes());
            (hand.send(increment(&a)), vec![Seen::Integer(sum)])
        }
        75..83 if old.is_none() => {
            model.insert(a.clone(), value.clone());
            (hand.send(conditional(Condition::Absent)), vec![Seen::Written { existed: 0, old: None }])
        }
        75..83 => (hand.send(conditional(Condition::Absent)), vec![Seen::NotMet]),
        83..90 if old.is_some() => {
            model.insert(a.clone(), value.clone());
            (hand.send(conditional(Condition::Present)), vec![Seen::Written { existed: 1, old }])
        }
        83..90 => (hand.send(conditional(Condition::Present)), vec![Seen::NotMet]),
        90..99 => {
            let asking = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
            let updates = [(&a[..], crate::store::put(&value, PutExpiry::Keep)), (&b, asking), (&a, asking)];
            let mut count = existed(old.as_ref());
            model.insert(a.clone(), value.clone());
            count += existed(model.remove(&b).as_ref());
            count += existed(model.remove(&a).as_ref());
            let number = hand.send(Op::UpdateMany { updates: &updates });
            (number, vec![Seen::Written { existed: count, old: None }])
        }
        _ => {
            model.clear();
            (hand.send(Op::Clear), vec![Seen::Written { existed: 0, old: None }])
        }
    };
    expected.push((number, answers));
}

fn run(seed: u64, durability: Durability, tuning: Tuning) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut hand = Hand::new(durability, tuning);
    let (mut model, mut expected) = (Keys::new(), Vec::new());
    for _ in 0..60 {
        for _ in 0..random.random_range(1..60) {
            if hand.shard.write_delay_us() > 0 {
                hand.settle();
            }
            send(&mut hand, &mut random, &mut model, &mut expected);
            let shard = &hand.shard;
            assert_eq!(
                shard.counters.refused,
                0,
                "seed {seed}: memtables {}, forming {}, parked {}",
                shard.sources.memtable_bytes(),
                shard.forming.bytes(),
                shard.parked.bytes()
            );
            for _ in 0..random.random_range(0..6) {
                hand.go_on(&mut random);
            }
        }
        if random.random_ratio(1, 6) {
            hand.shard.flush();
        }
        if random.random_ratio(1, 4) {
            hand.settle();
        }
        hand.advance_ms(20);
        assert_eq!(hand.shard.stats().trouble, None, "seed {seed}");
    }
    hand.settle();
    let mut answers: BTreeMap<u64, Vec<Seen>> = BTreeMap::new();
    for (number, seen) in &hand.answered.0 {
        answers.entry(*number).or_default().push(seen.clone());
    }
    for (number, expected) in &expected {
        assert_eq!(answers.get(number), Some(expected), "seed {seed}, {durability:?}, request {number}");
    }
    assert_eq!(hand.items(0), model, "seed {seed}, {durability:?}");
    let shard = &hand.shard;
    assert!(shard.lines.is_empty() && shard.parked.is_empty() && shard.parked.bytes() == 0);
    assert_eq!(shard.forming.answer_bytes() + shard.writing.answer_bytes(), 0);
}

#[test]
fn answers_come_as_if_requests_ran_one_by_one() {
    for seed in 0..6 {
        run(seed, Durability::Sync, small());
        run(seed, Durability::None, small());
    }
}

#[test]
fn answers_from_cold_tables_come_as_if_requests_ran_one_by_one() {
    for seed in 100..110 {
        run(seed, Durability::Sync, cold());
        run(seed, if seed % 2 == 0 { Durability::None } else { Durability::IntervalMs(50) }, cold());
    }
}

/// A block that is decompressed into the cache may take another's place there: not one that the same request has found.
#[test]
fn a_read_of_many_keys_finds_what_unpacking_one_of_them_would_evict() {
    let mut tuning = cold();
    tuning.budgets.cache = 32 << 10;
    tuning.tree.l0_trigger = 1;
    let (large, noise) = (vec![0; 200 << 10], noise(20 << 10));
    let mut hand = Hand::new(Durability::Sync, tuning);
    for (key, value) in [(b"a", &large), (b"b", &noise), (b"a", &large), (b"b", &noise)] {
        hand.put(key, value);
        hand.shard.flush();
        hand.settle();
    }
    let levels: Vec<_> = hand.shard.sources.tree.tables().map(|(level, _)| level).collect();
    assert!(levels.len() == 2 && levels[0] > 0, "below level 0 what is read is compressed: {levels:?}");
    let files: Vec<_> = hand.shard.sources.tree.tables().map(|(_, table)| table.meta().file_bytes).collect();
    hand.tuning.budgets.resident = files[0] as usize;
    let mut hand = hand.reopen();
    hand.settle();
    let residents: Vec<_> = hand.shard.sources.tree.tables().map(|(_, table)| table.is_resident()).collect();
    assert_eq!(residents, [true, false], "one is unpacked in place, the other is read");
    assert_eq!(hand.get(b"b"), Seen::Value(noise.clone()));
    let number = hand.send(Op::GetMany { keys: &[b"b", b"a"], values: true });
    hand.settle();
    let items: Vec<_> = hand.answered.0.iter().filter(|(request, _)| *request == number).collect();
    assert_eq!(items, [&(number, Seen::Item(0, Some(noise))), &(number, Seen::Item(1, Some(large)))]);
}

/// Bytes that don't compress.
fn noise(len: usize) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(7);
    (0..len).map(|_| random.random()).collect()
}
