//! Disks that fail or fill up at any step.

use super::crashes::{Change, History};
use super::*;
use rand::SeedableRng;

/// Writes while the disk fails from some change on, lets it work again, and checks what is there.
fn run(seed: u64, is_full_disk: bool, tuning: Tuning) {
    let context = format!("seed {seed}, full disk: {is_full_disk}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut hand = Hand::new(Durability::Sync, tuning);
    let mut history = History::default();
    for round in 0..4 {
        let changes = random.random_range(0..600);
        if is_full_disk {
            hand.dir.fill_after(changes)
        } else {
            hand.dir.fail_after(changes)
        }
        for _ in 0..random.random_range(100..600) {
            let change = Change::random(&mut random);
            let number = change.send(&mut hand, 0);
            history.sent.push((number, change));
            for _ in 0..random.random_range(0..8) {
                hand.go_on(&mut random);
            }
            hand.advance_ms(random.random_range(0..20));
        }
        hand.dir.heal();
        hand.settle();
        // Two rests: one failure may have been on its way.
        for _ in 0..2 {
            hand.advance_ms(if is_full_disk { 1_001 } else { 31_000 });
            hand.settle();
        }
        assert_eq!(hand.shard.failure(), None, "{context}");
        let answered = &hand.answered.0;
        history.sent.retain(|(number, _)| !answered.contains(&(*number, Seen::Unknown)));
        let number = hand.send(put(b"back", b"1"));
        hand.settle();
        assert_eq!(hand.answer(number), Some(&Seen::Written { existed: 0, old: None }), "{context}");
        history.sent.push((number, Change::Set(vec![(b"back".to_vec(), Some(b"1".to_vec()))])));
        assert!(hand.shard.is_settled(), "{context}, round {round}");
        let least = history.settle(&hand.answered.0);
        let is_unanswered = |(number, _): &&(u64, Change)| hand.answer(*number).is_none();
        assert_eq!(history.sent.iter().filter(is_unanswered).count(), 0, "{context}: callers wait forever");
        hand = if random.random() { hand.crash(&mut random) } else { hand.reopen() };
        let found = hand.items(0);
        history.check(found, least, &context);
    }
}

#[test]
fn a_full_disk_refuses_writes_and_the_shard_goes_on_when_there_is_room() {
    for seed in 0..24 {
        run(seed, true, if seed % 2 == 0 { small() } else { cold() });
    }
}

#[test]
fn a_failing_disk_loses_nothing_that_was_acknowledged() {
    for seed in 100..124 {
        run(seed, false, if seed % 2 == 0 { small() } else { cold() });
    }
}

#[test]
fn verdicts_on_a_write_that_failed_are_taken_back_with_it() {
    let mut hand = Hand::new(Durability::Sync, small());
    let lost = hand.send(put(b"a", b"1"));
    hand.end_turn();
    let update =
        Update::Put { value: b"2", expiry: PutExpiry::Never, condition: Condition::Absent, want_old: false };
    let behind = hand.send(Op::Update { key: b"a", update });
    let read = hand.send(Op::Get { key: b"a" });
    hand.dir.fail_after(0);
    hand.perform_held();
    assert_eq!(hand.answer(lost), Some(&Seen::Unknown));
    assert!(matches!(hand.answer(behind), Some(Seen::Refused(_))), "nobody knows whether it was there");
    assert_eq!(hand.answer(read), Some(&Seen::NotFound));
    assert!(hand.shard.is_idle(), "a store with it can be closed");
}
