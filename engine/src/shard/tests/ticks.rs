//! Expiry in a group with replicas: by a time that all of them share. Nobody is told that a key has expired before the log says so.

use super::consent::entry_at;
use super::replicas::with_replicas;
use super::time::HOUR_US;
use super::*;
use crate::clock::CLOCK_US_MAX;
use crate::key::Expiry;
use crate::log::{Batch, BatchBuilder, Entry, EntryType};

/// A shard whose first group is led, with keys of which one expires in a second.
fn led() -> Hand {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.shard.lead(0, 2);
    hand.send(put_expiring(b"k", b"v", PutExpiry::After(1_000)));
    hand.send(put(b"stays", b"v"));
    hand.settle();
    hand.agree(0, u64::MAX);
    hand.answered.0.clear();
    hand
}

/// Whether the newest entry of the group is a tick.
fn ends_with_a_tick(hand: &Hand) -> bool {
    let queue = hand.shard.groups[0].queue();
    queue.and_then(|queue| queue.entries().last()).is_some_and(|entry| entry.entry == EntryType::Tick)
}

/// What an operation is answered, which waits for a tick.
fn after_a_tick(hand: &mut Hand, op: Op<'_>) -> Seen {
    let asked = hand.send(op);
    hand.settle();
    assert_eq!((hand.answer(asked), ends_with_a_tick(hand)), (None, true), "{op:?}");
    hand.agree(0, u64::MAX);
    hand.answer(asked).unwrap().clone()
}

#[test]
fn whoever_finds_a_key_expired_waits_until_the_log_says_so() {
    let scan = Scan { from: b"", to: b"", limit: 9, limit_bytes: 1 << 20, keys_only: false };
    let present =
        Update::Put { value: b"v", expiry: PutExpiry::Never, condition: Condition::Present, want_old: false };
    let gone = Seen::Written { existed: 0, old: None };
    let asked = [
        (Op::Get { key: b"k" }, Seen::NotFound),
        (Op::GetMany { keys: &[b"k"], values: true }, Seen::Item(0, None)),
        (Op::Scan(scan), Seen::Page(vec![(b"stays".to_vec(), b"v".to_vec())], None)),
        (delete(b"k"), gone),
        (Op::Update { key: b"k", update: present }, Seen::NotMet),
    ];
    for (op, seen) in asked {
        let mut hand = led();
        assert_eq!(hand.get(b"k"), Seen::Value(b"v".to_vec()));
        hand.advance_ms(1_001);
        assert_eq!(after_a_tick(&mut hand, op), seen);
        let applied = hand.shard.progress(0).1;
        // It says so now, and nobody waits for what isn't a matter of time.
        assert_eq!(hand.get(b"k"), Seen::NotFound);
        hand.advance_ms(1);
        let at_once = [hand.get(b"k"), hand.get(b"never"), hand.get(b"stays"), hand.ask(delete(b"never"))];
        assert_eq!(at_once[..3], [Seen::NotFound, Seen::NotFound, Seen::Value(b"v".to_vec())]);
        assert_eq!(hand.shard.progress(0).1, applied, "no more entries");
    }
}

#[test]
fn a_write_says_the_time_for_those_who_found_a_key_expired_beside_it() {
    let mut hand = led();
    hand.advance_ms(1_001);
    let read = hand.send(Op::Get { key: b"k" });
    hand.end_turn();
    let write = hand.send(put(b"other", b"v"));
    hand.settle();
    let queue: Vec<_> = hand.shard.groups[0].queue().unwrap().entries().map(|entry| entry.entry).collect();
    assert_eq!(queue, [EntryType::Normal]);
    hand.agree(0, u64::MAX);
    assert_eq!(hand.answer(read), Some(&Seen::NotFound));
    assert!(hand.answer(write).is_some());
}

#[test]
fn who_waits_for_a_tick_is_ended_in_time_and_when_another_leads() {
    let mut hand = led();
    hand.advance_ms(1_001);
    hand.patience_us = 50_000;
    let late = hand.send(Op::Get { key: b"k" });
    hand.settle();
    hand.advance_ms(51);
    hand.end_turn();
    assert_eq!(hand.answer(late), Some(&Seen::Refused("TimedOut".to_owned())));
    let mut hand = led();
    hand.advance_ms(1_001);
    let (tick, asked) = (hand.shard.progress(0).1 + 1, hand.send(Op::Get { key: b"k" }));
    hand.settle();
    hand.shard.follow(0, 3, &mut hand.answered);
    let entry =
        Entry { term: 3, index: tick, entry: EntryType::NoOp, origin: 0, payload: Default::default() };
    hand.shard.append(0, &[entry], None, tick, &mut hand.answered).unwrap();
    assert_eq!(hand.answer(asked), Some(&super::consent::not_leader()));
}

/// Its leader's shard was made at another time than this one's, a day before or behind.
#[test]
fn a_replica_goes_by_its_leaders_time_also_behind_a_restart() {
    for day_us in [-86_400_000_000, 86_400_000_000] {
        let mut hand = with_replicas(Durability::Sync, small());
        hand.shard.follow(0, 2, &mut hand.answered);
        let time_us = hand.shard.clocks().now_us.saturating_add_signed(day_us);
        let append = |hand: &mut Hand, entry: Entry| {
            let index = entry.index;
            hand.shard.append(0, &[entry], None, index, &mut hand.answered).unwrap();
            hand.settle();
            hand.agree(0, u64::MAX);
        };
        append(&mut hand, entry_at(1, time_us, b"k", (b"v", Expiry(time_us / 1_000 + 1_000))));
        let has = |hand: &mut Hand, key| hand.ask_at(Level::Eventual, 0, Op::Get { key }) != Seen::NotFound;
        hand.advance_ms(990);
        assert!(has(&mut hand, b"k"), "{day_us}");
        hand.advance_ms(20);
        assert!(!has(&mut hand, b"k"), "{day_us}: time passes here, too");
        // What is in the log and not committed counts for who leads next, and so does what passed since, by BOOTTIME.
        append(&mut hand, entry_at(2, time_us + 1_100_000, b"k", (b"v", Expiry(time_us / 1_000 + 2_000))));
        let tail = entry_at(3, time_us + 2_000_000, b"other", (b"v", Expiry::NEVER));
        hand.shard.append(0, &[tail], None, 3, &mut hand.answered).unwrap();
        hand.settle();
        let logged_us = time_us + 2_000_000;
        let own_us = proposed_at(&mut hand, 3);
        assert!((logged_us..logged_us + 1_000).contains(&own_us), "{day_us}: {own_us}");
        for _ in 0..5 {
            hand.advance_ms(1_000);
            hand.settle();
        }
        let mut hand = hand.reopen();
        let own_us = proposed_at(&mut hand, 4);
        assert!((logged_us + 3_900_000..=logged_us + 5_000_000).contains(&own_us), "{day_us}: {own_us}");
        // In another boot the wall clock says that hours have passed, or hasn't any idea.
        for (term, down_us) in [(5, 5 * HOUR_US), (6, 0)] {
            hand.boot_anew(down_us);
            hand = hand.reopen();
            let again_us = proposed_at(&mut hand, term);
            assert!((own_us..own_us + 100_000).contains(&again_us), "{day_us}: {again_us} behind {own_us}");
        }
    }
}

/// The log has times of two boots, and nothing says how long the machine was down but the wall clock.
#[test]
fn what_a_boot_didnt_count_isnt_counted_by_the_next_opening_either() {
    let mut hand = with_replicas(Durability::Sync, small());
    let before_us = proposed_at(&mut hand, 2);
    hand.agree(0, u64::MAX);
    hand.pass_ms(2_000);
    hand.boot_anew(5 * HOUR_US);
    let mut hand = hand.reopen();
    proposed_at(&mut hand, 3);
    hand.agree(0, u64::MAX);
    hand.pass_ms(2_000);
    for term in [4, 5] {
        hand = hand.reopen();
        let again_us = proposed_at(&mut hand, term);
        assert!((before_us..before_us + 5_000_000).contains(&again_us), "{again_us} behind {before_us}");
    }
}

/// Nothing expires, so for hours the log learns no time of the shard's; then comes more than a memtable holds, and a crash.
#[test]
fn a_memtable_that_was_frozen_while_the_log_was_read_isnt_of_the_time_of_an_old_record() {
    let mut hand = with_replicas(Durability::Sync, small());
    hand.shard.follow(0, 2, &mut hand.answered);
    hand.ask_of(1, put(b"beside", b"v"));
    // The wall clock is believed, which the log learns once.
    hand.pass_ms(61_000);
    hand.ask_of(1, put(b"beside", b"v"));
    hand.advance_ms(5 * 3_600_000);
    hand.shard.tick(hand.now);
    let time_us = hand.shard.clocks().now_us;
    for index in 1..=60 {
        let entry = entry_at(index, time_us, &[index as u8], (&[1; 1000], Expiry::NEVER));
        hand.shard.append(0, &[entry], None, index, &mut hand.answered).unwrap();
        hand.end_turn();
        hand.perform_held();
    }
    super::replicas::keep_hard_state(&mut hand, 60);
    hand.end_turn();
    hand.perform_held();
    hand.ask_of(1, put(b"behind", b"v"));
    let mut hand = hand.reopen();
    assert!(!hand.shard.sources.frozen.is_empty());
    hand.settle();
    let mut hand = hand.reopen();
    assert_eq!(hand.shard.sources.frozen.len(), 0);
    let own_us = proposed_at(&mut hand, 3);
    assert!((time_us..time_us + 1_000_000).contains(&own_us), "{own_us} behind {time_us}");
}

#[test]
fn time_goes_no_further_than_entries_may_say() {
    let mut hand = with_replicas(Durability::Sync, small());
    hand.shard.hear_time(0, CLOCK_US_MAX);
    hand.advance_ms(60_000);
    let own_us = proposed_at(&mut hand, 2);
    assert_eq!(own_us, CLOCK_US_MAX);
    assert_eq!(crate::group::apply::check(EntryType::Tick, 0, BatchBuilder::new(own_us).bytes()), Ok(()));
    assert!(crate::group::apply::check(EntryType::Tick, 0, BatchBuilder::new(own_us + 1).bytes()).is_err());
}

/// Its round was confirmed while it led; what it is told has waited for an entry that another leader commits.
#[test]
fn who_led_when_a_read_came_and_follows_when_it_is_answered_takes_nothing_for_expired_that_the_log_doesnt_say()
 {
    let mut hand = led();
    hand.advance_ms(900);
    hand.send(put(b"other", b"v"));
    hand.settle();
    hand.advance_ms(101);
    let read = hand.send(Op::Get { key: b"k" });
    hand.settle();
    hand.shard.follow(0, 3, &mut hand.answered);
    hand.agree(0, u64::MAX);
    assert_eq!(hand.answer(read), Some(&super::consent::not_leader()));
}

/// The time of what the group proposes as its leader.
fn proposed_at(hand: &mut Hand, term: u64) -> u64 {
    hand.shard.follow(0, term, &mut hand.answered);
    hand.shard.lead(0, term);
    hand.send(put_expiring(b"own", b"v", PutExpiry::After(1 << 40)));
    hand.settle();
    let own = hand.shard.groups[0].queue().unwrap().entries().last().unwrap().clone();
    Batch::parse(&own.payload).unwrap().clock_us()
}
