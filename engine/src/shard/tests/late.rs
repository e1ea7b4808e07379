//! Entries whose keys lie in blocks that aren't in memory: their group waits for those, and nobody else does.

use super::replicas::{keep_hard_state, led_with};
use super::*;
use crate::io::IoRequest;
use crate::key::{Expiry, Keyspace, Version};
use crate::log::{BatchBuilder, Record, Taken};

const KEYS: u8 = 40;

fn key(n: u8) -> [u8; 1] {
    [n]
}

/// A group whose keys lie in cold blocks, and behind them in its log two writes of an origin with one stamp: of the first key, which was written
/// before, and of the last, which was written after; and of both. Nothing of that is committed.
fn with_late_writes() -> Hand {
    let mut hand = led_with(Durability::Sync, cold());
    for n in 0..KEYS {
        hand.send(put(&key(n), &[n; 1000]));
        hand.settle();
    }
    hand.agree(0, u64::MAX);
    keep_hard_state(&mut hand, u64::from(KEYS));
    hand.ask_of(1, put(b"k", b"v"));
    hand.shard.flush();
    hand.settle();
    assert!(hand.shard.stats().flushes > 0 && hand.shard.sources.active.is_empty());
    let stamp = Version(hand.shard.groups[0].newest.0 - 1);
    for number in 1..=2 {
        let mut batch = BatchBuilder::new(0);
        let keys = if number == 1 { vec![0, KEYS - 1] } else { vec![1] };
        for n in keys {
            batch.put(Keyspace(0), &key(n), stamp, Expiry::NEVER, b"late");
        }
        let (term, index) = hand.shard.groups[0].append();
        let payload = Taken { start: 77, number }.payload(batch.bytes());
        hand.shard.log.append(Record { origin: 3, ..Record::writes(Partition(0), term, index, &payload) });
    }
    hand
}

/// As [`with_late_writes`], all committed, after a restart.
fn reopened_with_all_committed() -> Hand {
    let mut hand = with_late_writes();
    keep_hard_state(&mut hand, u64::from(KEYS) + 2);
    hand.ask_of(1, put(b"logged", b"v"));
    hand.reopen()
}

/// As it is once they are applied.
fn check_applied(hand: &mut Hand) {
    let items = hand.items(0);
    assert_eq!((&items[&key(0)[..]][..], &items[&key(1)[..]][..]), (&b"late"[..], &b"late"[..]));
    assert_eq!(items[&key(KEYS - 1)[..]], [KEYS - 1; 1000], "it was written after");
    assert_eq!(items.len(), usize::from(KEYS));
    let group = &hand.shard.groups[0];
    assert_eq!((group.applied_index(), group.queue().is_none()), (u64::from(KEYS) + 2, true));
    assert_eq!(group.state(0).origins[0].sequence, 2);
    assert!(hand.shard.held.is_empty() && hand.shard.held.applying.is_empty());
}

#[test]
fn an_entry_waits_for_its_blocks_and_holds_up_its_own_group_only() {
    let mut hand = with_late_writes();
    hand.ask_of(1, put(b"logged", b"v"));
    let mut hand = hand.reopen();
    let before = hand.shard.groups[0].applied_index();
    hand.agree(0, u64::MAX);
    hand.end_turn();
    assert_eq!((hand.shard.groups[0].applied_index(), hand.shard.held.applying.len()), (before, 1));
    assert_eq!(hand.shard.groups[0].queue().map(|queue| queue.len()), Some(2));
    // Its blocks hang; the other group writes and reads, and the same entry isn't tried twice.
    let reads: Vec<_> =
        hand.held.extract_if(.., |request| matches!(request, IoRequest::Read { .. })).collect();
    assert!(!reads.is_empty());
    hand.shard.apply_held(0, &mut hand.answered);
    assert_eq!(hand.ask_of(1, put(b"k", b"w")), Seen::Written { existed: 0, old: None });
    assert_eq!(hand.ask_of(1, Op::Get { key: b"k" }), Seen::Value(b"w".to_vec()));
    assert_eq!(hand.shard.groups[0].applied_index(), before);
    hand.held.extend(reads);
    hand.settle();
    check_applied(&mut hand);
}

#[test]
fn what_was_committed_before_a_restart_and_needs_blocks_is_applied_after_it() {
    let mut hand = reopened_with_all_committed();
    assert_eq!(hand.shard.groups[0].queue().map(|queue| queue.len()), Some(2), "opening doesn't read them");
    hand.settle();
    check_applied(&mut hand);
    // Also by the tools, and after a flush.
    hand.shard.flush();
    hand.settle();
    let mut hand = hand.reopen();
    check_applied(&mut hand);
}

#[test]
fn a_block_that_cannot_be_read_is_asked_for_again() {
    let mut hand = reopened_with_all_committed();
    for _ in 0..3 {
        hand.end_turn();
        let reads: Vec<_> =
            hand.held.extract_if(.., |request| matches!(request, IoRequest::Read { .. })).collect();
        assert!(!reads.is_empty());
        for request in reads {
            let result = Err(std::io::Error::other("the disk is away"));
            hand.shard.complete(IoCompletion { token: request.token(), result }, &mut hand.answered);
        }
        hand.end_turn();
        assert_eq!(hand.shard.held.apply_at.len(), 1);
        assert!(hand.shard.next_deadline_us() <= Some(hand.now.mono_us + 1_000_000));
        hand.advance_ms(1000);
    }
    hand.settle();
    check_applied(&mut hand);
    assert_eq!(hand.answered.0.iter().filter(|(request, _)| *request == 0).count(), 0, "nobody asked");
}
