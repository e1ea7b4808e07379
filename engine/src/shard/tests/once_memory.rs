//! Memory for requests that are to be done once ends: what is forgotten then, and what never is; and the time that ages go by.

use super::once::{add, again, one};
use super::*;
use crate::shard::request::Once;

/// Many clients that never say that they have their answers.
fn crowd(hand: &mut Hand, clients: std::ops::Range<u64>) {
    for client in clients {
        hand.advance_ms(2);
        let once = Once { client: client.into(), ..hand.once(1) };
        hand.send_once(&once, put(b"k", b"v"));
        if client % 16 == 0 {
            hand.end_turn();
            hand.perform_held();
        }
    }
    hand.settle();
}

#[test]
fn memory_for_it_ends_and_what_is_forgotten_is_never_done_again() {
    let mut tuning = small();
    tuning.budgets.once = 200 << 10;
    for durability in [Durability::Sync, Durability::None] {
        let mut hand = Hand::new(durability, tuning.clone());
        let first = hand.once(1);
        assert_eq!(hand.ask_once(&first, add()), Seen::Integer(1));
        crowd(&mut hand, 0..1000);
        assert_eq!(hand.ask_once(&again(first), add()), Seen::Integer(1), "there was room for all");
        crowd(&mut hand, 1000..5000);
        let most = hand.tuning.budgets.once * 7 / 4;
        assert!(hand.shard.stats().once_bytes < most, "{} bytes", hand.shard.stats().once_bytes);
        let lately = Once { client: 4999, first_sent_us: hand.now.unix_us, ..again(first) };
        assert_eq!(hand.ask_once(&lately, put(b"k", b"v")), Seen::Written { existed: 0, old: None });
        let mut hand = hand.reopen();
        assert_eq!(hand.ask_once(&again(first), add()), Seen::Unknown, "{durability:?}");
        assert_eq!(hand.ask_once(&first, add()), Seen::Refused("WrongTime".into()));
        assert_eq!(hand.get(b"n"), one());
        let table = hand.shard.groups[0].once().unwrap();
        assert_eq!(hand.shard.stats().once_bytes, table.bytes());
        assert!(table.floor_us() < hand.now.unix_us - 1_000_000);
    }
}

#[test]
fn nothing_is_forgotten_that_was_sent_just_now_rather_others_are_refused() {
    let mut tuning = small();
    tuning.budgets.once = 64 << 10;
    let mut hand = Hand::new(Durability::Sync, tuning);
    let mut busy = 0;
    for client in 0..3000_u64 {
        let once = Once { client: client.into(), ..hand.once(1) };
        busy += u32::from(hand.ask_once(&once, add()) == Seen::Refused("Busy".into()));
    }
    assert!((1000..2000).contains(&busy), "{busy}");
    assert!(hand.shard.stats().once_bytes <= hand.tuning.budgets.once * 4 + 1000);
    assert_eq!(hand.ask(add()), Seen::Integer(i64::from(3000 - busy) + 1), "others go on");
    hand.advance_ms(1001);
    let next = Once { client: 1 << 70, ..hand.once(1) };
    assert_eq!(hand.ask_once(&next, add()), Seen::Refused("Busy".into()), "it has room made");
    hand.settle();
    assert_eq!(hand.ask_once(&next, add()), Seen::Integer(i64::from(3000 - busy) + 2));
}

#[test]
fn a_group_that_nobody_writes_to_any_more_gives_its_room_to_others() {
    let mut tuning = small();
    tuning.budgets.once = 64 << 10;
    let mut hand = Hand::new(Durability::Sync, tuning);
    for client in 0..3000_u64 {
        let once = Once { client: client.into(), ..hand.once(1) };
        hand.ask_once(&once, add());
    }
    let mut done = 0;
    for number in 0..1000_u64 {
        hand.advance_ms(10);
        let once = Once { client: u128::from(number) + (1 << 70), ..hand.once(1) };
        let request = Request::new(Partition(1), add()).once(Some(&once));
        hand.next += 1;
        hand.shard.tick(hand.now);
        hand.shard.request(Ticket { owner: 1, request: hand.next }, request, &mut hand.answered);
        hand.settle();
        done += u32::from(matches!(hand.answer(hand.next), Some(Seen::Integer(_))));
    }
    assert!(done > 850, "{done} of 1000");
    assert!(hand.remembered() < 1000, "{}", hand.remembered());
}

#[test]
fn where_the_clock_goes_back_behind_what_is_forgotten_new_requests_are_done_all_the_same() {
    let mut tuning = small();
    tuning.budgets.once = 100 << 10;
    let mut hand = Hand::new(Durability::Sync, tuning);
    crowd(&mut hand, 0..3000);
    let floor_us = hand.shard.groups[0].once().unwrap().floor_us();
    assert!(floor_us > START_US);
    // The wall clock is set back by an hour, in another boot: the one that is found is believed.
    hand.now.unix_us -= 3_600_000_000;
    hand.now.boot = BootTime { id: BootId([2; 16]), us: 0 };
    let mut hand = hand.reopen();
    for number in 1..100 {
        let first_sent_us = hand.shard.server_us();
        assert!(first_sent_us > floor_us);
        let once = Once { client: 1 << 70, first_sent_us, ..hand.once(number) };
        assert_eq!(hand.ask_once(&once, add()), Seen::Integer(number as i64));
        hand.advance_ms(100);
    }
    let old = Once { client: 1 << 71, first_sent_us: floor_us, ..again(hand.once(1)) };
    assert_eq!(hand.ask_once(&old, add()), Seen::Unknown);
}

#[test]
fn a_client_that_heard_of_what_was_open_is_let_in_again() {
    let mut tuning = usual();
    tuning.budgets.once = 64 << 20;
    let mut hand = Hand::new(Durability::None, tuning);
    for number in 1..=crate::once::OPEN_MAX as u64 {
        let once = Once { first_sent_us: hand.now.unix_us, ..hand.once(number) };
        hand.send_once(&once, put(b"k", b"v"));
        if number % 1000 == 0 {
            hand.settle();
        }
    }
    let next = hand.once(crate::once::OPEN_MAX as u64 + 1);
    let Seen::Refused(why) = hand.ask_once(&next, add()) else { panic!("it has too many open") };
    assert!(why.contains("16,384 requests open"), "{why}");
    let next = Once { lowest: next.number, ..next };
    assert_eq!(hand.ask_once(&next, add()), Seen::Integer(1));
    assert_eq!(hand.remembered(), 1);
}
