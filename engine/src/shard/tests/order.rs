//! Requests on one key take effect in the order they arrive, and nobody sees what a crash could take back.

use super::*;

fn hand() -> Hand {
    Hand::new(Durability::Sync, usual())
}

#[test]
fn two_pipelined_increments_give_one_and_two() {
    let mut hand = hand();
    let (first, second) = (hand.send(increment(b"n")), hand.send(increment(b"n")));
    hand.settle();
    assert_eq!(hand.answer(first), Some(&Seen::Integer(1)));
    assert_eq!(hand.answer(second), Some(&Seen::Integer(2)));
    assert_eq!(hand.get(b"n"), Seen::Value(b"2".to_vec()));
}

#[test]
fn an_increment_behind_one_that_is_being_logged_counts_on_from_it() {
    let mut hand = hand();
    let first = hand.send(increment(b"n"));
    hand.end_turn();
    let second = hand.send(increment(b"n"));
    hand.settle();
    assert_eq!((hand.answer(first), hand.answer(second)), (Some(&Seen::Integer(1)), Some(&Seen::Integer(2))));
}

#[test]
fn nothing_is_answered_before_its_commit_is_durable() {
    let mut hand = hand();
    let write = hand.send(put(b"k", b"v"));
    let read = hand.send(Op::Get { key: b"k" });
    let refused = hand.send(Op::Update {
        key: b"k",
        update: Update::Put {
            value: b"w",
            expiry: PutExpiry::Never,
            condition: Condition::Absent,
            want_old: false,
        },
    });
    hand.end_turn();
    assert!(!hand.held.is_empty(), "the commit is on its way");
    assert_eq!(hand.answered.0, [], "nobody knows of it yet");
    hand.settle();
    assert_eq!(hand.answer(write), Some(&Seen::Written { existed: 0, old: None }));
    assert_eq!(hand.answer(read), Some(&Seen::Value(b"v".to_vec())));
    assert_eq!(hand.answer(refused), Some(&Seen::NotMet));
}

#[test]
fn a_read_sees_the_write_before_it_and_not_the_one_behind_it() {
    let mut hand = hand();
    hand.send(put(b"k", b"1"));
    let between = hand.send(Op::Get { key: b"k" });
    hand.send(put(b"k", b"2"));
    let last = hand.send(Op::Get { key: b"k" });
    hand.settle();
    assert_eq!(hand.answer(between), Some(&Seen::Value(b"1".to_vec())));
    assert_eq!(hand.answer(last), Some(&Seen::Value(b"2".to_vec())));
}

#[test]
fn a_read_that_waits_for_a_commit_sees_no_more_expired_than_when_it_came() {
    let mut hand = hand();
    hand.send(put_expiring(b"k", b"v", PutExpiry::After(5)));
    let read = hand.send(Op::Get { key: b"k" });
    let several = hand.send(Op::GetMany { keys: &[b"k"], values: true });
    // It is evaluated at once, so it finds the key; the reads before it must have found it, too.
    let kept = hand.send(Op::Update {
        key: b"k",
        update: Update::Expire {
            expiry: PutExpiry::Never,
            condition: crate::shard::request::ExpireCondition::None,
            want_old: false,
        },
    });
    hand.end_turn();
    hand.advance_ms(10);
    hand.settle();
    assert_eq!(hand.answer(kept), Some(&Seen::Written { existed: 1, old: None }));
    assert_eq!(hand.answer(read), Some(&Seen::Value(b"v".to_vec())));
    assert_eq!(hand.answer(several), Some(&Seen::Item(0, Some(b"v".to_vec()))));
}

#[test]
fn reads_of_other_keys_do_not_wait_for_a_commit() {
    let mut hand = hand();
    hand.put(b"a", b"1");
    hand.send(put(b"b", b"2"));
    let read = hand.send(Op::Get { key: b"a" });
    assert_eq!(hand.answer(read), Some(&Seen::Value(b"1".to_vec())));
}

#[test]
fn a_pending_clear_hides_what_was_there_and_not_what_comes_behind() {
    let mut hand = hand();
    hand.put(b"old", b"1");
    hand.send(Op::Clear);
    let gone = hand.send(Op::Get { key: b"old" });
    hand.send(put(b"new", b"2"));
    let counted = hand.send(increment(b"old"));
    hand.settle();
    assert_eq!(hand.answer(gone), Some(&Seen::NotFound));
    assert_eq!(hand.answer(counted), Some(&Seen::Integer(1)));
    assert_eq!(hand.get(b"new"), Seen::Value(b"2".to_vec()));
    assert_eq!(hand.get(b"old"), Seen::Value(b"1".to_vec()));
}

#[test]
fn several_keys_are_read_as_of_one_moment() {
    let mut hand = hand();
    let both = [(&b"a"[..], "1"), (b"b", "1")];
    let updates: Vec<_> = both
        .iter()
        .map(|(key, value)| (*key, crate::store::put(value.as_bytes(), PutExpiry::Never)))
        .collect();
    hand.send(Op::UpdateMany { updates: &updates });
    hand.end_turn();
    let read = hand.send(Op::GetMany { keys: &[b"a", b"b", b"c"], values: true });
    hand.settle();
    let items: Vec<_> =
        hand.answered.0.iter().filter(|(number, _)| *number == read).map(|(_, seen)| seen).collect();
    let one = || Some(b"1".to_vec());
    assert_eq!(items, [&Seen::Item(0, one()), &Seen::Item(1, one()), &Seen::Item(2, None)]);
}

/// Puts keys into a table that is read from disk, block by block.
fn cold_hand() -> Hand {
    let mut hand = Hand::new(Durability::Sync, cold());
    for number in 0..500_u32 {
        hand.send(put(format!("k{number:05}").as_bytes(), b"7"));
    }
    hand.settle();
    hand.shard.flush();
    hand.settle();
    assert!(hand.shard.sources.tree.tables().all(|(_, table)| !table.is_resident()));
    hand
}

#[test]
fn a_cold_read_parks_and_sees_the_value_as_of_its_arrival() {
    let mut hand = cold_hand();
    let read = hand.send(Op::Get { key: b"k00100" });
    assert_eq!(hand.answer(read), None);
    assert_eq!(hand.put(b"k00100", b"new"), Seen::Written { existed: 0, old: None });
    assert_eq!(
        hand.answer(read),
        Some(&Seen::Value(b"7".to_vec())),
        "its block came with the commit's completion"
    );
    assert_eq!(hand.get(b"k00100"), Seen::Value(b"new".to_vec()));
    assert!(hand.shard.parked.is_empty() && hand.shard.parked.bytes() == 0);
}

#[test]
fn what_arrives_behind_a_cold_increment_takes_effect_after_it() {
    let mut hand = cold_hand();
    let sent = [
        hand.send(increment(b"k00100")),
        hand.send(Op::Get { key: b"k00100" }),
        hand.send(put(b"k00100", b"20")),
        hand.send(increment(b"k00100")),
        hand.send(Op::Get { key: b"k00100" }),
    ];
    hand.settle();
    let seen: Vec<_> = sent.iter().filter_map(|&number| hand.answer(number).cloned()).collect();
    let value = |text: &str| Seen::Value(text.as_bytes().to_vec());
    let written = Seen::Written { existed: 0, old: None };
    assert_eq!(seen, [Seen::Integer(8), value("8"), written, Seen::Integer(21), value("21")]);
    assert!(hand.shard.lines.is_empty());
}

#[test]
fn a_clear_behind_a_cold_increment_comes_after_it_and_before_what_follows() {
    let mut hand = cold_hand();
    let counted = hand.send(increment(b"k00100"));
    hand.send(Op::Clear);
    hand.send(put(b"other", b"stays"));
    let after = hand.send(Op::Get { key: b"k00100" });
    hand.settle();
    assert_eq!(hand.answer(counted), Some(&Seen::Integer(8)));
    assert_eq!(hand.answer(after), Some(&Seen::NotFound));
    assert_eq!(hand.get(b"other"), Seen::Value(b"stays".to_vec()));
    assert_eq!(hand.get(b"k00200"), Seen::NotFound);
    assert!(hand.shard.lines.is_empty());
}

#[test]
fn a_partition_of_another_shard_is_refused() {
    let mut hand = hand();
    let request = Request::new(Partition(9), Op::Get { key: b"k" });
    hand.shard.request(Ticket { owner: 1, request: 99 }, request, &mut hand.answered);
    assert_eq!(hand.answer(99), Some(&Seen::Refused("WrongShard".into())));
}

#[test]
fn keys_and_values_over_the_limits_are_refused_by_name() {
    let mut hand = hand();
    assert_eq!(hand.put(b"", b"v"), Seen::Refused("keys are 1 to 65,535 bytes long".into()));
    assert_eq!(hand.put(&[b'k'; 65_536], b"v"), Seen::Refused("keys are 1 to 65,535 bytes long".into()));
    let long = vec![0; (1 << 20) + 1];
    assert_eq!(hand.put(b"k", &long), Seen::Refused("the value is longer than the limit on values".into()));
    assert_eq!(hand.put(&[b'k'; 65_535], &long[1..]), Seen::Written { existed: 0, old: None });
}

#[test]
fn a_commit_that_nobody_waits_for_is_put_off_until_it_is_worth_a_write_or_old() {
    let mut hand = Hand::new(Durability::None, usual());
    assert_eq!(hand.put(b"a", b"1"), Seen::Written { existed: 0, old: None });
    hand.settle();
    let commits = hand.shard.stats().log_writes;
    hand.put(b"a", b"2");
    hand.end_turn();
    assert!(hand.held.is_empty(), "it waits for more");
    let due_us = hand.shard.next_deadline_us().expect("it doesn't wait for ever");
    hand.advance_ms((due_us - hand.now.mono_us).div_ceil(1000));
    hand.settle();
    assert!(hand.shard.stats().log_writes > commits);
    for key in 0..10 {
        hand.put(format!("k{key}").as_bytes(), &[7; 10_000]);
    }
    hand.end_turn();
    assert!(!hand.held.is_empty(), "it is large enough");
}

#[test]
fn a_commit_is_not_put_off_when_the_log_is_to_learn_the_time() {
    let mut hand = Hand::new(Durability::None, usual());
    hand.ask(put_expiring(b"k", b"v", PutExpiry::After(60_000)));
    hand.end_turn_late();
    hand.settle();
    hand.advance_ms(1500);
    hand.put(b"a", b"1");
    hand.end_turn();
    let is_due = hand.shard.next_deadline_us().is_some_and(|due_us| due_us <= hand.now.mono_us);
    assert!(!is_due, "it would run again at once, and do nothing, until the commit is old");
}

#[test]
fn small_requests_that_make_long_values_are_refused_before_they_fill_the_memory() {
    for durability in [Durability::Sync, Durability::None] {
        let mut hand = Hand::new(durability, usual());
        assert!(matches!(hand.put(b"a", &vec![7; 900 << 10]), Seen::Written { .. }));
        hand.settle();
        let append = Update::Append { suffix: b"x" };
        let sent: Vec<_> = (0..40).map(|_| hand.send(Op::Update { key: b"a", update: append })).collect();
        assert!(hand.shard.forming_bytes() <= hand.shard.budgets.log_write + (64 << 10));
        assert!(hand.shard.kept_bytes() <= hand.shard.budgets.memtables + (64 << 10));
        assert!(hand.shard.value_scratch.capacity() <= 64 << 10, "a long value doesn't keep its memory");
        hand.settle();
        let is_done = |number: &&u64| matches!(hand.answer(**number), Some(Seen::Integer(_)));
        let done = sent.iter().filter(is_done).count();
        assert!((1..40).contains(&done), "{done} are done, the first: {:?}", hand.answer(sent[0]));
        let Seen::Value(value) = hand.get(b"a") else { panic!("it is there") };
        assert_eq!(value.len(), (900 << 10) + done, "who was refused changed nothing");
    }
}
