//! Reads of a group that is led here: nobody is told what may be out of date.

use super::consent::not_leader;
use super::*;

/// A shard whose first group is led, and whose others say when they still follow it.
fn led() -> Hand {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.shard.groups[0].lead(2);
    hand.confirms = false;
    hand.send(put(b"k", b"1"));
    hand.settle();
    hand.agree(0, u64::MAX);
    hand.answered.0.clear();
    hand
}

fn confirm(hand: &mut Hand, round: u64, index: u64) {
    hand.shard.round_confirmed(0, round, index, &mut hand.answered);
}

fn value(bytes: &[u8]) -> Seen {
    Seen::Value(bytes.to_vec())
}

#[test]
fn reads_wait_for_a_round_that_began_after_them_and_for_what_was_done_before_it() {
    let mut hand = led();
    let scan = Scan { from: b"", to: b"", limit: 9, limit_bytes: 1 << 20, keys_only: false };
    let first = [
        hand.send(Op::Get { key: b"k" }),
        hand.send(Op::GetMany { keys: &[b"k", b"none"], values: true }),
        hand.send(Op::Scan(scan)),
    ];
    hand.end_turn();
    let second = hand.send(Op::Get { key: b"k" });
    hand.end_turn();
    assert_eq!(hand.answered.0, []);
    // Another write is committed meanwhile; the first round says so, and it isn't applied here yet.
    hand.send(put(b"k", b"2"));
    hand.settle();
    confirm(&mut hand, 1, 2);
    assert_eq!(hand.answered.0, []);
    hand.agree(0, 2);
    // They see what was there or on its way when they came.
    assert_eq!(hand.answer(first[0]), Some(&value(b"1")));
    assert_eq!(hand.answer(first[1]), Some(&Seen::Item(0, Some(b"1".to_vec()))));
    assert_eq!(hand.answer(first[2]), Some(&Seen::Page(vec![(b"k".to_vec(), b"2".to_vec())], None)));
    assert_eq!(hand.answer(second), None, "its round isn't confirmed");
    confirm(&mut hand, 2, 2);
    assert_eq!(hand.answer(second), Some(&value(b"1")));
}

#[test]
fn a_read_sees_what_was_sent_before_it_and_not_what_was_sent_after() {
    let mut hand = led();
    hand.send(put(b"k", b"2"));
    let read = hand.send(Op::Get { key: b"k" });
    hand.send(put(b"k", b"3"));
    hand.end_turn();
    confirm(&mut hand, 1, 1);
    assert_eq!(hand.answer(read), None, "the write before it isn't applied");
    hand.settle();
    hand.agree(0, u64::MAX);
    assert_eq!(hand.answer(read), Some(&value(b"2")), "although all three were sent in one turn");
}

/// Found by `kvsim --profile replicas --seeds 48..49`.
#[test]
fn what_a_read_that_waits_will_see_outlives_a_flush() {
    // One waits for its round, the other for an entry that its round says is committed.
    for index in [0, 3] {
        let mut hand = led();
        let read = hand.send(Op::Get { key: b"k" });
        hand.end_turn();
        hand.send(put(b"k", b"2"));
        hand.settle();
        hand.send(put(b"other", b"v"));
        hand.settle();
        if index > 0 {
            confirm(&mut hand, 1, index);
        }
        hand.agree(0, 2);
        hand.shard.flush();
        hand.settle();
        assert_eq!((hand.answer(read), hand.shard.stats().flushes), (None, 1));
        hand.agree(0, 3);
        confirm(&mut hand, 1, 3);
        hand.settle();
        assert_eq!(hand.answer(read), Some(&value(b"1")));
    }
}

#[test]
fn a_verdict_that_changed_nothing_is_a_read() {
    let mut hand = led();
    let update = |condition| Op::Update {
        key: b"k",
        update: Update::Put { value: b"2", expiry: PutExpiry::Never, condition, want_old: false },
    };
    let not_met = hand.send(update(Condition::Absent));
    let gone = hand.send(delete(b"none"));
    hand.end_turn();
    assert_eq!(hand.answered.0, []);
    confirm(&mut hand, 1, 1);
    assert_eq!(hand.answer(not_met), Some(&Seen::NotMet));
    assert_eq!(hand.answer(gone), Some(&Seen::Written { existed: 0, old: None }));
    // What is found in a write of the same turn needs none: that write says it, when it is committed.
    let write = hand.send(put(b"new", b"1"));
    let verdict = hand.send(Op::Update {
        key: b"new",
        update: Update::Put {
            value: b"2",
            expiry: PutExpiry::Never,
            condition: Condition::Absent,
            want_old: false,
        },
    });
    hand.settle();
    hand.agree(0, u64::MAX);
    assert_eq!(hand.answer(write), Some(&Seen::Written { existed: 0, old: None }));
    assert_eq!(hand.answer(verdict), Some(&Seen::NotMet));
}

#[test]
fn who_leads_no_more_answers_nobody_and_does_nothing() {
    let mut hand = led();
    let read = hand.send(Op::Get { key: b"k" });
    hand.end_turn();
    let (later, write) = (hand.send(Op::Get { key: b"k" }), hand.send(put(b"k", b"2")));
    hand.shard.follow(0, 3, &mut hand.answered);
    for number in [read, later, write] {
        assert_eq!(hand.answer(number), Some(&not_leader()));
    }
    confirm(&mut hand, 1, 1);
    assert_eq!(hand.answered.0.len(), 3, "each is answered once");
    assert_eq!([hand.get(b"k"), hand.put(b"k", b"3")], [not_leader(), not_leader()]);
    // What is applied is read all the same by who asks for no more.
    assert_eq!(hand.ask_at(Level::Eventual, 0, Op::Get { key: b"k" }), value(b"1"));
    assert_eq!(hand.ask_of(1, put(b"k", b"v")), Seen::Written { existed: 0, old: None });
    assert_eq!(hand.shard.forming_bytes(), 0);
}

#[test]
fn a_proposal_that_has_no_place_is_refused_with_all_that_was_found_in_it() {
    let mut hand = led();
    let (write, verdict) = (hand.send(increment(b"n")), hand.send(increment(b"n")));
    let read = hand.send(Op::Get { key: b"n" });
    let Hand { shard, answered, .. } = &mut hand;
    shard.propose(answered, |_, _, _| Err(Refusal::Busy)).unwrap();
    let busy = Some(&Seen::Refused("Busy".to_owned()));
    assert_eq!((hand.answer(write), hand.answer(verdict)), (busy, busy));
    hand.end_turn();
    confirm(&mut hand, 1, 1);
    assert_eq!(hand.answer(read), Some(&Seen::NotFound));
    assert_eq!(hand.shard.groups[0].appended_index(), 1);
}

#[test]
fn a_read_ends_at_its_deadline_and_its_round_comes_to_nothing_then() {
    let mut hand = led();
    hand.patience_us = 50_000;
    let read = hand.send(Op::Get { key: b"k" });
    hand.end_turn();
    let waiting = hand.send(Op::Get { key: b"k" });
    hand.advance_ms(51);
    hand.end_turn();
    let over = Some(&Seen::Refused("TimedOut".to_owned()));
    assert_eq!((hand.answer(read), hand.answer(waiting)), (over, over));
    confirm(&mut hand, 2, 1);
    assert_eq!((hand.answered.0.len(), hand.shard.replicated.rounds.bytes()), (2, 0));
}

#[test]
fn partitions_with_replicas_are_not_read_together_with_others() {
    let mut hand = led();
    let scan = Scan { from: b"", to: b"", limit: 9, limit_bytes: 1 << 20, keys_only: false };
    let both = [Partition(0), Partition(1)];
    let seen = hand.ask_of(1, Op::ScanMany { partitions: &both, scan, oversized: false });
    assert!(matches!(seen, Seen::Refused(text) if text.contains("aren't read together")));
}

#[test]
fn an_update_that_waited_for_its_turn_is_refused_when_another_leads_by_then() {
    let mut hand = Hand::new(Durability::Sync, cold());
    hand.put(b"k", &[1; 1000]);
    hand.shard.flush();
    hand.settle();
    hand.shard.groups[0].lead(2);
    let update = hand.send(increment(b"k"));
    hand.end_turn();
    assert_eq!(hand.answer(update), None, "it waits for its block");
    hand.shard.follow(0, 3, &mut hand.answered);
    hand.perform_held();
    assert_eq!((hand.answer(update), hand.shard.forming_bytes()), (Some(&not_leader()), 0));
}

#[test]
fn a_log_write_that_failed_leaves_nobody_waiting_and_the_group_takes_no_part() {
    let mut hand = led();
    let (write, read) = (hand.send(put(b"k", b"2")), hand.send(Op::Get { key: b"k" }));
    hand.end_turn();
    hand.dir.fail_after(0);
    hand.perform_held();
    hand.dir.heal();
    assert_eq!((hand.answer(write), hand.answer(read)), (Some(&Seen::Unknown), Some(&not_leader())));
    assert!(!hand.shard.knows_its_log());
    hand.advance_ms(60_000);
    hand.settle();
    assert_eq!(hand.get(b"k"), not_leader());
    assert_eq!(hand.ask_of(1, put(b"k", b"v")), Seen::Written { existed: 0, old: None }, "others go on");
}
