//! Pages over several partitions, and counts, of a shard at work.

use super::*;
use crate::shard::request::Count;
use rand::SeedableRng;

/// Keys of both partitions, written at random, flushed and merged as it comes.
fn filled(tuning: Tuning, seed: u64) -> (Hand, BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut hand = Hand::new(Durability::Sync, tuning);
    let mut model = BTreeMap::new();
    for _ in 0..1500 {
        let number = random.random_range(0..900_u32);
        let (key, partition) = (format!("key{number:04}").into_bytes(), (number % 2) as u16);
        if random.random_range(0..6) == 0 {
            hand.send_to(partition, delete(&key));
            model.remove(&key);
        } else {
            let value = vec![b'v'; random.random_range(0..600)];
            hand.send_to(partition, put(&key, &value));
            model.insert(key, value);
        }
        if random.random_range(0..20) == 0 {
            hand.settle();
        }
    }
    hand.settle();
    (hand, model)
}

const BOTH: [Partition; 2] = [Partition(0), Partition(1)];

fn pages(hand: &mut Hand, limit: usize, limit_bytes: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut items, mut from) = (Vec::new(), Vec::new());
    let mut oversized = false;
    loop {
        let scan = Scan { from: &from, to: b"", limit, limit_bytes, keys_only: false };
        let Seen::Page(page, next) = hand.ask(Op::ScanMany { partitions: &BOTH, scan, oversized }) else {
            panic!("no page");
        };
        let bytes: usize = page.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(page.len() <= limit && (bytes <= limit_bytes || (oversized && page.len() == 1)));
        oversized = page.is_empty() && next.as_ref() == Some(&from);
        items.extend(page);
        let Some(next) = next else { return items };
        from = next;
    }
}

fn count(hand: &mut Hand, from: &[u8], to: &[u8]) -> u64 {
    let (mut sum, mut partitions, mut place) = (0, &BOTH[..], from.to_vec());
    loop {
        let Seen::Counted(keys, next) = hand.ask(Op::Count(Count { partitions, place: &place, from, to }))
        else {
            panic!("no count");
        };
        sum += keys;
        let Some((partition, key)) = next else { return sum };
        let at = partitions.iter().position(|&p| p == partition).expect("one of those asked for");
        (partitions, place) = (&partitions[at..], key);
    }
}

#[test]
fn partitions_are_read_in_one_order_and_counted() {
    for (seed, tuning) in [small(), cold(), usual()].into_iter().enumerate() {
        let (mut hand, model) = filled(tuning, seed as u64);
        let all: Vec<_> = model.clone().into_iter().collect();
        for (limit, limit_bytes) in [(1000, 1 << 20), (7, 1 << 20), (50, 700), (10, 40)] {
            assert_eq!(pages(&mut hand, limit, limit_bytes), all, "{limit} items, {limit_bytes} bytes");
        }
        assert_eq!(count(&mut hand, b"", b""), all.len() as u64);
        let within = model.range(b"key0100".to_vec()..b"key0500".to_vec()).count() as u64;
        assert_eq!(count(&mut hand, b"key0100", b"key0500"), within);
        assert!(hand.shard.is_idle());
    }
}

#[test]
fn partitions_of_another_shard_are_refused() {
    let mut hand = Hand::new(Durability::Sync, small());
    let scan = Scan { from: b"", to: b"", limit: 1, limit_bytes: 1, keys_only: false };
    let partitions = [Partition(0), Partition(9)];
    let refused = Seen::Refused("WrongShard".into());
    assert_eq!(hand.ask(Op::ScanMany { partitions: &partitions, scan, oversized: false }), refused);
    let count = Count { partitions: &partitions, place: b"", from: b"", to: b"" };
    assert_eq!(hand.ask(Op::Count(count)), refused);
}

#[test]
fn blocks_side_by_side_are_read_as_one_piece() {
    let mut hand = Hand::new(Durability::Sync, cold_and_large());
    for number in 0..2000 {
        hand.send(put(format!("key{number:05}").as_bytes(), &[b'v'; 500]));
        if number % 100 == 0 {
            hand.settle();
        }
    }
    hand.shard.flush();
    hand.settle();
    assert!(hand.shard.stats().levels.iter().map(|level| level.bytes).sum::<u64>() > 1 << 20);
    let mut reads = 0;
    let (mut sum, mut place) = (0, Vec::new());
    loop {
        let count = Count { partitions: &BOTH, place: &place, from: b"", to: b"" };
        let number = hand.send(Op::Count(count));
        while hand.answer(number).is_none() {
            hand.end_turn();
            reads += hand.held.iter().filter(|request| matches!(request, IoRequest::Read { .. })).count();
            hand.perform_held();
        }
        let Some(Seen::Counted(keys, next)) = hand.answer(number).cloned() else { panic!("no count") };
        sum += keys;
        match next {
            Some((Partition(0), key)) => place = key,
            Some(_) | None => break,
        }
    }
    assert_eq!(sum, 2000);
    assert!(reads <= 40, "{reads} reads for 1 MiB");
}

/// Tables of some size that are read through a cache of some size.
fn cold_and_large() -> Tuning {
    let mut tuning = usual();
    tuning.budgets.resident = 0;
    tuning.budgets.cache = 4 << 20;
    tuning
}

#[test]
fn pages_of_large_blocks_are_read_one_after_the_other_and_all_of_them_are() {
    const VALUE: usize = 1 << 20;
    let mut hand = Hand::new(Durability::Sync, cold_and_large());
    let mut random = SmallRng::seed_from_u64(1);
    for number in 0..12_u16 {
        let value: Vec<u8> = (0..VALUE).map(|_| random.random()).collect();
        hand.send_to(number % 2, put(format!("key{number:02}").as_bytes(), &value));
        hand.settle();
    }
    hand.shard.flush();
    hand.settle();
    let scan = Scan { from: b"", to: b"", limit: 9, limit_bytes: 3 * VALUE + 100, keys_only: false };
    let numbers: Vec<u64> =
        (0..5).map(|_| hand.send(Op::ScanMany { partitions: &BOTH, scan, oversized: false })).collect();
    let mut most = 0;
    while numbers.iter().any(|&number| hand.answer(number).is_none()) {
        hand.end_turn();
        most = most.max(hand.shard.parked.bytes());
        hand.perform_held();
    }
    assert!(most < 12 * VALUE, "{} MiB were held for 5 pages of 3 MiB", most >> 20);
    for number in numbers {
        let Some(Seen::Page(page, _)) = hand.answer(number) else { panic!("no page") };
        assert_eq!(page.len(), 3);
    }
    assert!(hand.shard.parked.is_empty() && hand.shard.is_idle());
}

#[test]
fn random_places_lie_all_over_the_data_in_memory_and_in_tables() {
    for tuning in [small(), cold(), usual()] {
        let (hand, model) = filled(tuning, 5);
        let mut random = SmallRng::seed_from_u64(6);
        let live: Vec<Vec<&Vec<u8>>> = (0..2)
            .map(|partition| model.keys().filter(|key| key[key.len() - 1] % 2 == partition).collect())
            .collect();
        // The data in 16 parts: each is met about as often as the others.
        let mut counts = [0; 16];
        for _ in 0..8000 {
            let (partition, key) = hand.shard.random_place(random.random()).expect("there are keys");
            let keys = &live[usize::from(partition.0)];
            let rank = keys.partition_point(|other| **other < key).min(keys.len() - 1);
            counts[usize::from(partition.0) * 8 + rank * 8 / keys.len()] += 1;
        }
        assert!(counts.iter().all(|count| (100..2000).contains(count)), "{counts:?}");
    }
    let hand = Hand::new(Durability::Sync, small());
    assert_eq!((hand.shard.random_place(1), hand.shard.entries()), (None, 0));
}
