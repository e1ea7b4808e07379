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

/// Whether a write is refused at once, in two turns that let a tenth of a second pass.
fn is_refused_now(hand: &mut Hand, number: u32, value: &[u8]) -> bool {
    let sent = hand.send(put(&number.to_be_bytes(), value));
    hand.end_turn();
    hand.perform_held();
    hand.run_jobs();
    hand.advance_ms(100);
    hand.end_turn();
    matches!(hand.answer(sent), Some(Seen::Refused(_)))
}

/// What fails is tried every second; a shard that changed its mind with each try would take and refuse writes by turns.
#[test]
fn a_shard_that_cannot_write_tables_refuses_once_and_before_it_holds_writers() {
    let mut hand = Hand::new(Durability::None, Tuning { segment_bytes: 4 << 20, ..small() });
    let (value, mut changes, mut refused) = (vec![7; 2000], 0, false);
    hand.settle();
    hand.dir.fail_now_and_then(1, 1, vec![crate::dir::testing::Change::Create]);
    for number in 0..4000_u32 {
        let is_refused = is_refused_now(&mut hand, number, &value);
        changes += u32::from(is_refused != refused);
        refused = is_refused;
        assert!(hand.shard.write_delay_us() < 15_000, "writers are held that can only be refused");
    }
    assert!(
        refused && hand.shard.read_only_reason().is_some_and(|why| why.contains("tables can't be written"))
    );
    assert_eq!(changes, 1);
    hand.dir.heal();
    hand.advance_ms(1_001);
    hand.settle();
    assert_eq!((hand.shard.read_only_reason(), hand.shard.stats().trouble), (None, None));
    assert!(matches!(hand.put(b"k", b"v"), Seen::Written { .. }));
}

#[test]
fn a_full_disk_that_small_files_still_fit_on_does_not_make_a_shard_change_its_mind() {
    let mut hand = Hand::new(Durability::None, small());
    let (value, mut changes, mut refused) = (vec![7; 2000], 0, false);
    hand.dir.fill_after(400);
    for number in 0..3000_u32 {
        if number % 40 == 39 {
            // A little room comes and goes.
            hand.dir.fill_after(3);
        }
        let is_refused = is_refused_now(&mut hand, number, &value);
        changes += u32::from(is_refused != refused);
        refused = is_refused;
    }
    assert!(refused && hand.shard.read_only_reason().is_some_and(|why| why.contains("the disk is full")));
    assert_eq!(changes, 1);
    hand.dir.heal();
    hand.advance_ms(1_001);
    hand.settle();
    assert!(matches!(hand.put(b"k", b"v"), Seen::Written { .. }));
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

/// A shard whose tables are read from disk and whose cache is empty.
fn cold_shard() -> Hand {
    let mut hand = Hand::new(Durability::Sync, cold());
    for number in 0..400_u32 {
        let seen = hand.put(&number.to_be_bytes(), &[number as u8; 200]);
        assert!(matches!(seen, Seen::Written { .. }), "{seen:?}");
        hand.run_jobs();
    }
    hand.put(b"n", b"41");
    hand.shard.flush();
    hand.settle();
    hand.reopen()
}

/// Reads that the shard asked for fail, each in one of the ways that a disk has.
fn fail_reads(hand: &mut Hand) -> usize {
    hand.end_turn();
    let (reads, rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut hand.held).into_iter().partition(|held| matches!(held, IoRequest::Read { .. }));
    hand.held = rest;
    for (place, read) in reads.iter().enumerate() {
        let IoRequest::Read { token, .. } = *read else { continue };
        let short = std::io::ErrorKind::UnexpectedEof.into();
        let result = Err(if place % 2 == 0 { std::io::Error::from_raw_os_error(libc::EIO) } else { short });
        hand.shard.complete(IoCompletion { token, result }, &mut hand.answered);
    }
    reads.len()
}

#[test]
fn a_read_that_fails_once_is_answered_with_an_error_and_spoils_nothing() {
    let mut hand = cold_shard();
    let key = 7_u32.to_be_bytes();
    let keys: [&[u8]; 2] = [&key, &300_u32.to_be_bytes()];
    let scan = Scan { from: &key, to: b"", limit: 5, limit_bytes: 10_000, keys_only: false };
    let failing = [
        hand.send(Op::Get { key: &key }),
        hand.send(Op::Get { key: &key }),
        hand.send(Op::GetMany { keys: &keys, values: true }),
        hand.send(Op::Scan(scan)),
        hand.send(increment(b"n")),
    ];
    let behind = hand.send(put(b"n", b"1"));
    while fail_reads(&mut hand) > 0 {}
    for number in failing {
        let answers = hand.answered.0.iter().filter(|(request, _)| *request == number).count();
        assert_eq!(answers, 1, "{number}");
        assert!(matches!(hand.answer(number), Some(Seen::Refused(why)) if why.contains(".sst")), "{number}");
    }
    hand.settle();
    assert_eq!(
        hand.answer(behind),
        Some(&Seen::Written { existed: 0, old: None }),
        "it only waited its turn"
    );
    assert!(hand.shard.is_idle() && hand.shard.stats().read_errors > 0);
    assert_eq!(hand.get(&key), Seen::Value(vec![7; 200]));
    assert_eq!(hand.items(0).len(), 401);
    assert_eq!(hand.ask(increment(b"n")), Seen::Integer(2));
}

/// Steps the jobs that were started, and fails what they read. Says how many reads that were.
fn fail_reads_of_jobs(hand: &mut Hand) -> usize {
    let mut failed = 0;
    for running in &mut hand.jobs {
        running.job.step(&mut running.completions, &mut running.requests, 1 << 20);
        let is_read = |request: &mut IoRequest| matches!(request, IoRequest::Read { .. });
        for request in running.requests.extract_if(.., is_read) {
            let IoRequest::Read { token, .. } = request else { continue };
            let result = Err(std::io::Error::from_raw_os_error(libc::EIO));
            running.completions.push(IoCompletion { token, result });
            failed += 1;
        }
    }
    failed
}

#[test]
fn a_merge_whose_reads_fail_once_is_made_again() {
    let (mut hand, mut failed) = (cold_shard(), 0);
    for round in 0..12_u8 {
        for number in 0..100_u32 {
            let seen = hand.put(&number.to_be_bytes(), &[round; 200]);
            assert!(matches!(seen, Seen::Written { .. }), "{seen:?}");
        }
        hand.shard.flush();
        loop {
            hand.end_turn();
            if hand.held.is_empty() && hand.jobs.is_empty() {
                break;
            }
            if failed == 0 {
                failed = fail_reads_of_jobs(&mut hand);
            }
            hand.perform_held();
            hand.run_jobs();
        }
        // After a failed job background work rests for a second.
        hand.advance_ms(1001);
    }
    let stats = hand.shard.stats();
    assert!(failed > 0 && stats.job_errors == 1 && stats.merges > 0, "{stats:?}");
    assert!(stats.trouble.is_none() && hand.shard.is_settled());
    assert_eq!(hand.get(&5_u32.to_be_bytes()), Seen::Value(vec![11; 200]));
    assert_eq!(hand.items(0).len(), 401);
}
