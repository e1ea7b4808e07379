//! After a crash everything acknowledged is there, and nothing half-done shows.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Crashes at random moments: what the shard asked for is performed only in part, then it is dropped and reopened.
/// A write that wasn't answered may be there or not; once seen, it stays.
#[test]
fn acknowledged_writes_survive_a_crash_at_any_step() {
    for seed in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = SmallRng::seed_from_u64(seed);
        let mut acknowledged: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut sent: BTreeMap<u64, (Vec<u8>, u64)> = BTreeMap::new();
        let mut counter = 0_u64;
        for life in 0..8 {
            let mut hand = Hand::open(dir.path(), options(Durability::Sync, 16));
            for (key, &least) in &acknowledged {
                let Seen::Value(value) = hand.get(key) else {
                    panic!("seed {seed}, life {life}: {key:?} is gone")
                };
                let value = u64::from_le_bytes(value.try_into().unwrap());
                assert!(
                    value >= least,
                    "seed {seed}, life {life}: an acknowledged write of {key:?} was taken back"
                );
            }
            acknowledged = read_all(&mut hand);
            sent.clear();
            for _ in 0..random.random_range(5..60) {
                for _ in 0..random.random_range(1..20) {
                    counter += 1;
                    let key = format!("k{}", random.random_range(0..50)).into_bytes();
                    let number = hand.send(put(&key, &counter.to_le_bytes()));
                    sent.insert(number, (key, counter));
                }
                if random.random_ratio(1, 6) {
                    hand.shard.flush();
                }
                hand.end_turn();
                if random.random_ratio(1, 2) {
                    hand.run_jobs();
                }
                hand.perform_held();
            }
            // The crash: some of what is under way gets through, the rest never happens.
            hand.end_turn();
            let keep = random.random_range(0..=hand.held.len());
            hand.held.truncate(keep);
            hand.perform_held();
            for (number, seen) in &hand.answered.0 {
                if let (Some((key, value)), Seen::Written { .. }) = (sent.get(number), seen) {
                    let newest = acknowledged.entry(key.clone()).or_default();
                    *newest = (*newest).max(*value);
                }
            }
        }
    }
}

fn read_all(hand: &mut Hand) -> BTreeMap<Vec<u8>, u64> {
    let scan = super::super::request::Scan {
        from: b"",
        to: b"",
        limit: 1000,
        limit_bytes: 1 << 20,
        keys_only: false,
    };
    let Seen::Page(items, None) = hand.ask(Op::Scan(scan)) else { panic!("one page holds all") };
    items.into_iter().map(|(key, value)| (key, u64::from_le_bytes(value.try_into().unwrap()))).collect()
}

#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    for kept in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut hand = Hand::open(dir.path(), options(Durability::Sync, 16));
        let keys: Vec<_> = (0..100_u32).map(|number| number.to_be_bytes()).collect();
        let updates: Vec<_> =
            keys.iter().map(|key| (&key[..], crate::store::put(b"v", PutExpiry::Never))).collect();
        hand.send(Op::UpdateMany { updates: &updates });
        hand.end_turn();
        hand.held.truncate(kept);
        hand.perform_held();
        let mut again = Hand::open(dir.path(), options(Durability::Sync, 16));
        let found = read_all_keys(&mut again);
        assert!(found == 0 || found == 100, "{found} of 100 after {kept} requests got through");
    }
}

fn read_all_keys(hand: &mut Hand) -> usize {
    let scan = super::super::request::Scan {
        from: b"",
        to: b"",
        limit: 1000,
        limit_bytes: 1 << 20,
        keys_only: true,
    };
    let Seen::Page(items, None) = hand.ask(Op::Scan(scan)) else { panic!("one page holds all") };
    items.len()
}

#[test]
fn an_expired_key_stays_gone_when_the_clock_goes_back_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path(), options(Durability::Sync, 16));
    hand.ask(put_expiring(b"k", b"v", PutExpiry::After(500)));
    hand.advance_ms(3000);
    assert_eq!(hand.get(b"k"), Seen::NotFound);
    hand.settle();
    drop(hand);
    let mut again = Hand::open(dir.path(), options(Durability::Sync, 16));
    assert_eq!(again.get(b"k"), Seen::NotFound, "the log remembers how late it was");
}

#[test]
fn a_failed_log_write_answers_unknown_and_makes_the_shard_read_only_until_it_is_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path(), options(Durability::Sync, 16));
    hand.put(b"a", b"1");
    let lost = hand.send(put(b"a", b"2"));
    hand.end_turn();
    let behind = hand.send(put(b"b", b"3"));
    for request in std::mem::take(&mut hand.held) {
        let IoRequest::Write { token, .. } = request else { continue };
        let result = Err(std::io::Error::other("the device is gone"));
        hand.shard.complete(IoCompletion { token, result }, &mut hand.answered);
    }
    assert_eq!(hand.answer(lost), Some(&Seen::Unknown));
    assert!(matches!(hand.answer(behind), Some(Seen::Refused(_))), "it was never written");
    assert!(matches!(hand.put(b"c", b"4"), Seen::Refused(_)));
    assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()));
    drop(hand);
    let mut again = Hand::open(dir.path(), options(Durability::Sync, 16));
    assert_eq!(again.get(b"a"), Seen::Value(b"1".to_vec()));
    assert_eq!(again.put(b"c", b"4"), Seen::Written { existed: 0, old: None });
}
