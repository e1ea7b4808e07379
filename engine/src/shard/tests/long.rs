//! Long values, however many requests want some.

use super::*;
use crate::error::Error;
use crate::job::JobKind;
use crate::shard::failing::Work;
use rand::SeedableRng;

const KEYS: usize = 8;
const VALUE: usize = (1 << 20) - 1000;

/// A shard with a long value for each of some keys, in tables that are read from disk.
fn filled() -> Hand {
    let mut tuning = usual();
    (tuning.budgets.resident, tuning.budgets.cache) = (0, 16 << 10);
    let mut hand = Hand::new(Durability::Sync, tuning);
    let mut random = SmallRng::seed_from_u64(1);
    for number in 0..KEYS {
        let value: Vec<u8> = (0..VALUE).map(|_| random.random()).collect();
        hand.send(put(&[b'k', number as u8], &value));
        hand.settle();
    }
    hand.shard.flush();
    hand.settle();
    hand
}

#[test]
fn they_are_read_one_after_the_other_and_short_ones_beside_them() {
    let mut hand = filled();
    hand.put(b"short", b"s");
    hand.shard.flush();
    hand.settle();
    let mut numbers = Vec::new();
    for key in 0..KEYS as u8 {
        numbers.push(hand.send(Op::Get { key: &[b'k', key] }));
        numbers.push(hand.send(Op::Update { key: &[b'k', key], update: Update::Append { suffix: b"+" } }));
    }
    let short = hand.send(Op::Get { key: b"short" });
    hand.end_turn();
    let reads = hand.held.iter().filter(|request| matches!(request, IoRequest::Read { .. })).count();
    assert_eq!(reads, 2, "the first long value, and the short one");
    hand.perform_held();
    assert_eq!(hand.answer(short), Some(&Seen::Value(b"s".to_vec())));
    let mut most = 0;
    let mut turns = 0;
    while numbers.iter().any(|&number| hand.answer(number).is_none()) {
        turns += 1;
        assert!(turns < 10_000, "they are never answered");
        hand.end_turn();
        let lens = hand.held.iter().map(|request| match request {
            IoRequest::Read { len, .. } => *len,
            _ => 0,
        });
        most = most.max(lens.sum::<usize>());
        hand.perform_held();
        hand.run_jobs();
    }
    assert!((1..2 * VALUE).contains(&most), "{} KiB of reads were under way at once", most >> 10);
    assert!(hand.shard.parked.is_empty());
}

#[test]
fn they_are_merged_by_one_job_while_no_other_makes_tables() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let mut random = SmallRng::seed_from_u64(1);
    let (mut merges, mut number, mut turns) = (0, 0, 0);
    while merges < 200 {
        turns += 1;
        assert!(turns < 1_000_000, "{merges} merges ran");
        if hand.shard.written_bytes() < hand.shard.budgets.memtables / 2 {
            number += 1;
            hand.send(put(&[b'k', number % 7], &vec![number; 900 << 10]));
        }
        hand.go_on(&mut random);
        let count = |kind| hand.jobs.iter().filter(|running| running.job.kind() == kind).count();
        let (flushing, merging) = (count(JobKind::Flush), count(JobKind::Merge));
        assert!(merging == 0 || (flushing, merging) == (0, 1), "{flushing} flushes, {merging} merges");
        merges += merging;
    }
}

#[test]
fn updates_that_waited_for_the_same_one_go_on_in_several_turns() {
    const UPDATES: usize = 20;
    let mut hand = filled();
    let swap =
        Update::Put { value: b"v", expiry: PutExpiry::Never, condition: Condition::None, want_old: true };
    let mut numbers = Vec::new();
    for key in 0..4 {
        numbers.push(hand.send(Op::Update { key: &[b'k', key], update: swap }));
    }
    let kept =
        Update::Put { value: b"v", expiry: PutExpiry::Never, condition: Condition::Absent, want_old: true };
    for _ in 0..UPDATES {
        numbers.push(hand.send(Op::Update { key: b"k\x07", update: kept }));
    }
    let (mut turns, mut most) = (0, 0);
    while numbers.iter().any(|&number| hand.answer(number).is_none()) {
        turns += 1;
        assert!(turns < 10_000, "they are never answered");
        let before = numbers.iter().filter(|&&number| hand.answer(number).is_some()).count();
        hand.end_turn();
        hand.perform_held();
        let after = numbers.iter().filter(|&&number| hand.answer(number).is_some()).count();
        most = most.max(after - before);
    }
    assert!(most <= 4, "{most} of them went on in one turn");
    assert!(hand.shard.parked.is_empty() && !hand.shard.has_left_over());
}

/// Writes to the log, and applies, while no job gets anywhere.
fn write_without_jobs(hand: &mut Hand) {
    hand.end_turn();
    while !hand.held.is_empty() {
        hand.perform_held();
        hand.end_turn();
    }
}

fn is_flushing(hand: &Hand) -> bool {
    hand.jobs.iter().any(|running| running.job.kind() == JobKind::Flush)
}

#[test]
fn beside_a_flush_they_leave_room_for_short_ones() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let most = hand.shard.budgets.memtables;
    assert_eq!(hand.shard.long_room(), usize::MAX, "nothing waits");
    let mut number = 0;
    while hand.shard.long_room() >= VALUE {
        number += 1;
        hand.send(put(&[b'k', number], &vec![number; VALUE]));
        write_without_jobs(&mut hand);
    }
    assert!(number > 2 && is_flushing(&hand));
    assert!(hand.shard.written_bytes() <= most / 4 * 3, "{} bytes of {most}", hand.shard.written_bytes());
    assert!(hand.shard.write_delay_us() < 5_000, "{} us for short ones", hand.shard.write_delay_us());
    let failed = Error::Unusable("it fails".to_owned());
    hand.shard.background.failing.note(Work::Flush, &failed, 0);
    assert_eq!(hand.shard.long_room(), usize::MAX, "a flush that fails isn't waited for");
    hand.shard.background.failing.forget();
    // An update that would make one is refused, a short one is not.
    let append = |key| Op::Update { key, update: Update::Append { suffix: b"+" } };
    let sent = [hand.send(append(&[b'k', number])), hand.send(append(b"short"))];
    write_without_jobs(&mut hand);
    assert_eq!(hand.answer(sent[0]), Some(&Seen::Refused("Busy".into())));
    assert_eq!(hand.answer(sent[1]), Some(&Seen::Integer(1)));
    hand.settle();
    assert_eq!(hand.shard.long_room(), usize::MAX, "all is flushed");
}

#[test]
fn a_flush_that_writers_wait_for_goes_before_a_merge_of_them() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.shard.background.is_long_merge_next = true;
    assert!(hand.shard.is_long_merge_first(), "nobody waits for a flush");
    for number in 0..4 {
        hand.send(put(&[b'k', number], &vec![number; VALUE]));
    }
    assert!(hand.shard.written_bytes() > hand.shard.budgets.memtables / 2);
    assert!(!hand.shard.is_long_merge_first());
    hand.shard.background.debt_bytes = hand.shard.budgets.memtable as u64 * 8 + 1;
    assert!(hand.shard.is_long_merge_first(), "merges are as far behind");
    hand.shard.background.debt_bytes -= 1;
    assert!(!hand.shard.is_long_merge_first());
    hand.shard.background.failing.note(Work::Flush, &Error::Unusable("it fails".to_owned()), 0);
    assert!(hand.shard.is_long_merge_first(), "flushes fail");
}
