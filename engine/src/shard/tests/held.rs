//! A group that waits for others to agree: what it holds is seen by its own requests, and held against nobody else.

use super::super::pending::PendingAnswer;
use super::consent::{entry_at, not_leader};
use super::*;
use crate::key::Expiry;

/// A shard whose first group is led, so that nothing of it is committed before somebody says so.
fn led() -> Hand {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.shard.groups[0].lead(2);
    hand
}

fn agree(hand: &mut Hand) {
    hand.agree(0, u64::MAX);
}

fn written(existed: u32) -> Seen {
    Seen::Written { existed, old: None }
}

#[test]
fn what_is_logged_and_not_committed_is_answered_in_order_when_it_is() {
    let mut hand = led();
    let first = hand.send(increment(b"n"));
    hand.settle();
    // The second counts on from what waits; the read waits for both; a key that nothing waits for is answered at once.
    let (second, read) = (hand.send(increment(b"n")), hand.send(Op::Get { key: b"n" }));
    hand.settle();
    let (third, gone) = (hand.send(Op::Get { key: b"n" }), hand.send(delete(b"absent")));
    hand.settle();
    assert_eq!(hand.answered.0, [(gone, written(0))]);
    assert_eq!(hand.items(0), BTreeMap::new(), "scans see what is applied");
    hand.answered.0.clear();
    agree(&mut hand);
    let two = Seen::Value(b"2".to_vec());
    let order =
        [(first, Seen::Integer(1)), (second, Seen::Integer(2)), (read, two.clone()), (third, two.clone())];
    assert_eq!(hand.answered.0, order);
    assert_eq!((hand.get(b"n"), hand.shard.groups[0].queue().is_none()), (two, true));
}

#[test]
fn a_group_without_progress_harms_no_other() {
    let mut hand = led();
    let mut stuck = Vec::new();
    for n in 0..200_u32 {
        stuck.push(hand.send(put(&n.to_be_bytes(), &[1; 4000])));
        hand.settle();
    }
    let refused = stuck.iter().filter(|&&number| hand.answer(number).is_some()).count();
    assert!((1..200).contains(&refused), "its own room ends: {refused} of 200 are refused");
    // The other goes on as ever: it writes many memtables full, which are flushed.
    hand.answered.0.clear();
    for n in 0..400_u32 {
        assert_eq!(
            hand.ask_of(1, put(&n.to_be_bytes(), &[2; 1000])),
            written(0),
            "{:?}",
            hand.shard.failure()
        );
        hand.settle();
    }
    assert!(hand.shard.stats().flushes > 3, "{:?}", hand.shard.stats());
    assert_eq!(hand.answered.0.len(), 400, "nobody else was answered");
}

/// What waits beside the entries counts, too: here what a condition found instead.
#[test]
fn answers_that_wait_are_charged_with_the_values_that_they_carry() {
    let mut hand = led();
    hand.send(put(b"k", &[1; 4000]));
    hand.settle();
    let absent =
        Update::Put { value: b"v", expiry: PutExpiry::Never, condition: Condition::Absent, want_old: true };
    let sent: Vec<u64> = (0..200).map(|_| ask_in_turn(&mut hand, absent)).collect();
    let busy = Seen::Refused("Busy".to_owned());
    let refused = sent.iter().filter(|&&number| hand.answer(number) == Some(&busy)).count();
    assert!((100..180).contains(&refused), "4,000 bytes each: {refused} of 200 are refused");
    agree(&mut hand);
    let answered = sent.iter().filter(|&&number| hand.answer(number).is_some()).count();
    assert_eq!((answered, hand.shard.groups[0].queue().is_none()), (200, true));
    assert_eq!(hand.ask(Op::Update { key: b"k", update: absent }), hand.answer(sent[0]).unwrap().clone());
}

fn ask_in_turn(hand: &mut Hand, update: Update<'_>) -> u64 {
    let number = hand.send(Op::Update { key: b"k", update });
    hand.end_turn();
    number
}

/// Nobody asks a replica that follows before entries come: it applies what it has room for, and takes no more than it can keep.
#[test]
fn a_leaders_entries_wait_for_room_in_memory() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.shard.follow(0, 2, &mut hand.answered);
    for index in 1..=200_u64 {
        let entry = entry_at(index, 0, &index.to_be_bytes(), (&[1; 4000], Expiry::NEVER));
        hand.shard.append(0, &[entry], None, index, &mut hand.answered).unwrap();
        hand.settle();
    }
    assert!(hand.shard.has_room_for_entries(0, 0), "what isn't committed is what its leader has room for");
    hand.agree(0, u64::MAX);
    for _ in 0..100 {
        hand.end_turn();
        hand.perform_held();
        hand.advance_ms(10);
    }
    let (most, (_, applied)) = (hand.tuning.budgets.memtables + 2 * 4100, hand.shard.progress(0));
    assert!(hand.shard.sources.memtable_bytes() <= most, "no flush has ended: {applied} are applied");
    assert!((10..100).contains(&applied) && !hand.shard.has_room_for_entries(0, 200), "{applied}");
    while hand.shard.progress(0).1 < 200 {
        hand.settle();
        hand.advance_ms(2);
        assert!(hand.shard.sources.memtable_bytes() <= most);
    }
    assert_eq!((hand.items(0).len(), hand.shard.has_room_for_entries(0, 200)), (200, true));
}

#[test]
fn who_waits_for_others_is_ended_in_time_and_what_waited_is_applied_all_the_same() {
    let mut hand = led();
    hand.patience_us = 50_000;
    let (write, read) = (hand.send(put(b"k", b"v")), hand.send(Op::Get { key: b"k" }));
    hand.settle();
    hand.advance_ms(51);
    hand.end_turn();
    let refused = Seen::Refused("TimedOut".to_owned());
    assert_eq!((hand.answer(write), hand.answer(read)), (Some(&Seen::Unknown), Some(&refused)));
    agree(&mut hand);
    assert_eq!(hand.answered.0.len(), 2);
    assert_eq!(hand.get(b"k"), Seen::Value(b"v".to_vec()));
}

#[test]
fn a_clear_that_waits_hides_what_was_before_it_from_updates() {
    let mut hand = led();
    hand.send(put(b"k", b"1"));
    hand.send(Op::Clear);
    let counted = hand.send(increment(b"k"));
    hand.settle();
    hand.send(Op::Clear);
    hand.settle();
    let again = hand.send(increment(b"k"));
    hand.settle();
    agree(&mut hand);
    assert_eq!(hand.answer(counted), Some(&Seen::Integer(1)));
    assert_eq!(hand.answer(again), Some(&Seen::Integer(1)));
    assert_eq!(hand.get(b"k"), Seen::Value(b"1".to_vec()));
}

#[test]
fn those_who_wait_for_a_group_are_charged_to_it() {
    let mut hand = led();
    hand.send(put(b"k", b"v"));
    hand.settle();
    let most = hand.shard.budgets.held() / 4;
    let sent: Vec<u64> = (0..20_000).map(|_| hand.send(Op::Get { key: b"k" })).collect();
    let refused = hand.answered.0.len();
    assert!(refused > 0 && (sent.len() - refused) * size_of::<PendingAnswer>() <= most);
    assert_eq!(hand.ask_of(1, Op::Get { key: b"k" }), Seen::NotFound);
    hand.end_turn();
    assert_eq!(
        hand.answered.0.len(),
        refused + 1,
        "a round is confirmed, and all of them wait for the write"
    );
    hand.send(Op::Get { key: b"k" });
    assert_eq!(hand.answered.0.len(), refused + 2, "there is no room for more");
    agree(&mut hand);
    assert_eq!(hand.get(b"k"), Seen::Value(b"v".to_vec()), "and there is room again");
}

#[test]
fn the_log_is_let_go_as_a_group_goes_on_though_something_of_it_always_waits() {
    let mut hand = led();
    for n in 0..600_u32 {
        hand.send(put(&n.to_be_bytes(), &[1; 1000]));
        hand.settle();
        // All but the newest is agreed on.
        hand.agree(0, u64::from(n));
    }
    hand.settle();
    let stats = hand.shard.stats();
    assert!(stats.flushes > 5 && stats.log_bytes < 300 << 10, "{stats:?}");
}

#[test]
fn a_log_write_that_was_overtaken_tells_nobody_that_it_is_done() {
    let mut hand = led();
    let (write, read) = (hand.send(put(b"k", b"mine")), hand.send(Op::Get { key: b"k" }));
    hand.end_turn();
    hand.shard.follow(0, 3, &mut hand.answered);
    hand.shard.accept(0, (3, 1), &mut hand.answered).unwrap();
    hand.perform_held();
    assert_eq!((hand.answer(write), hand.answer(read)), (Some(&Seen::Unknown), Some(&not_leader())));
    assert_eq!(hand.shard.groups[0].applied_index(), 0);
}

#[test]
fn entries_that_waited_and_were_overtaken_are_neither_answered_nor_kept() {
    let mut hand = led();
    let writes = [b"a", b"b", b"c"].map(|key| {
        let write = hand.send(put(key, b"mine"));
        hand.settle();
        write
    });
    let read = hand.send(Op::Get { key: b"c" });
    hand.settle();
    let bytes = hand.shard.held.bytes();
    hand.shard.follow(0, 3, &mut hand.answered);
    hand.shard.accept(0, (3, 2), &mut hand.answered).unwrap();
    assert_eq!(
        hand.answered.0,
        [(writes[1], Seen::Unknown), (writes[2], Seen::Unknown), (read, not_leader())]
    );
    assert_eq!(hand.shard.held.bytes(), bytes / 3);
    let kept: Vec<_> = hand.shard.held.entries_before(u64::MAX).collect();
    assert_eq!(kept, [(0, 1)]);
    // It leads again: of what waited, only the first is there.
    hand.shard.lead(0, 4);
    agree(&mut hand);
    assert_eq!(hand.answer(writes[0]), Some(&written(0)));
    assert_eq!(hand.get(b"a"), Seen::Value(b"mine".to_vec()));
    assert_eq!((hand.shard.held.is_idle(), hand.shard.held.bytes()), (true, 0));
    assert_eq!([hand.get(b"b"), hand.get(b"c")], [Seen::NotFound, Seen::NotFound]);
}
