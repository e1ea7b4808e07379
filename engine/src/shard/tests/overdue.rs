//! Every request ends at its deadline, once, whatever doesn't come back.

use super::*;
use rand::SeedableRng;
use std::collections::HashMap;

const PATIENCE_MS: u64 = 50;

fn impatient(tuning: Tuning) -> Hand {
    Hand { patience_us: PATIENCE_MS * 1000, ..Hand::new(Durability::Sync, tuning) }
}

/// One whose key `k` lies in a block that isn't in memory.
fn with_a_cold_key() -> Hand {
    let mut hand = impatient(cold());
    hand.put(b"k", &[7; 3000]);
    (0..64_u32).for_each(|n| {
        hand.put(format!("z{n}").as_bytes(), &[8; 1000]);
    });
    hand.shard.flush();
    hand.settle();
    hand.answered.0.clear();
    hand
}

fn timed_out() -> Seen {
    Seen::Refused("TimedOut".to_owned())
}

#[test]
fn a_write_whose_log_write_hangs_is_unknown_and_what_only_waits_for_it_is_refused() {
    let mut hand = impatient(usual());
    let write = hand.send(put(b"k", b"v"));
    hand.end_turn();
    let (read, next) = (hand.send(Op::Get { key: b"k" }), hand.send(put(b"n", b"w")));
    let not_met = hand.send(Op::Update {
        key: b"k",
        update: Update::Delete { condition: Condition::Absent, want_old: false, want_existed: true },
    });
    hand.advance_ms(PATIENCE_MS);
    hand.end_turn();
    assert_eq!(hand.answered.0, [], "nobody's time is over yet");
    assert_eq!(hand.shard.next_deadline_us(), Some(PATIENCE_MS * 1000 + 1));
    hand.advance_ms(1);
    hand.end_turn();
    assert_eq!(hand.answer(write), Some(&Seen::Unknown));
    assert_eq!(hand.answer(next), Some(&Seen::Unknown), "it will be logged behind the first");
    assert_eq!((hand.answer(read), hand.answer(not_met)), (Some(&timed_out()), Some(&timed_out())));
    assert_eq!(hand.shard.stats().timed_out, 4);
    let answers = hand.answered.0.len();
    hand.settle();
    assert_eq!(hand.answered.0.len(), answers, "nobody is answered twice");
    assert_eq!((hand.get(b"k"), hand.get(b"n")), (Seen::Value(b"v".to_vec()), Seen::Value(b"w".to_vec())));
}

#[test]
fn what_waits_for_a_block_is_not_done_and_those_behind_it_go_on() {
    let mut hand = with_a_cold_key();
    let read = hand.send(Op::Get { key: b"k" });
    let update = hand.send(increment(b"k"));
    hand.end_turn();
    hand.patience_us = NO_DEADLINE;
    let behind = hand.send(put(b"k", b"1"));
    hand.advance_ms(PATIENCE_MS + 1);
    hand.end_turn();
    assert_eq!((hand.answer(read), hand.answer(update)), (Some(&timed_out()), Some(&timed_out())));
    hand.settle();
    assert_eq!(hand.answer(behind), Some(&Seen::Written { existed: 0, old: None }));
    assert_eq!(hand.answered.0.len(), 3);
    assert_eq!(hand.get(b"k"), Seen::Value(b"1".to_vec()));
    assert!(hand.shard.is_idle() && hand.shard.stats().parked_now == 0);
}

#[test]
fn a_scan_that_waits_for_a_block_ends_too() {
    let mut hand = with_a_cold_key();
    let scan = Scan { from: b"", to: b"", limit: 1000, limit_bytes: 1 << 20, keys_only: false };
    let page = hand.send(Op::Scan(scan));
    hand.end_turn();
    hand.advance_ms(PATIENCE_MS + 1);
    hand.end_turn();
    assert_eq!(hand.answer(page), Some(&timed_out()));
    hand.settle();
    assert_eq!(hand.answered.0.len(), 1);
    hand.patience_us = NO_DEADLINE;
    assert_eq!(hand.items(0).len(), 65);
}

#[test]
fn where_many_wait_their_deadlines_are_not_looked_at_one_by_one() {
    let mut hand = impatient(usual());
    hand.send(put(b"first", b""));
    hand.end_turn();
    (0..100_u64).for_each(|n| {
        hand.patience_us = 1000 + n;
        hand.send(put(&n.to_le_bytes(), b""));
    });
    let mut looks = 0;
    while let Some(due_us) = hand.shard.next_deadline_us()
        && hand.answered.0.len() < 100
    {
        hand.now.mono_us = hand.now.mono_us.max(due_us);
        hand.end_turn();
        looks += 1;
    }
    assert!(hand.answered.0.len() >= 100 && looks < 10, "{looks} looks");
}

/// Requests of all kinds with deadlines of all lengths, while I/O comes back in any order, late or after a long time.
#[test]
fn every_request_is_answered_once_and_hardly_later_than_its_deadline() {
    for seed in 0..30 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut hand = Hand::new(Durability::Sync, cold());
        let mut deadlines: HashMap<u64, u64> = HashMap::new();
        for step in 0..1500 {
            let key = [random.random_range(0..40_u8)];
            let value = vec![step as u8; random.random_range(0..1500)];
            hand.patience_us = random.random_range(0..20_000);
            let deadline_us = hand.now.mono_us + hand.patience_us;
            let number = match random.random_range(0..5) {
                0 => hand.send(put(&key, &value)),
                1 => hand.send(increment(&key)),
                2 => hand.send(delete(&key)),
                3 => hand.send(Op::GetMany { keys: &[&key, b"x"], values: true }),
                _ => hand.send(Op::Get { key: &key }),
            };
            deadlines.insert(number, deadline_us);
            // The device hangs for some time, now and then.
            if step % 300 < 200 {
                hand.go_on(&mut random);
            }
            hand.now.mono_us += random.random_range(0..2000);
            hand.end_turn();
            for (number, seen) in hand.answered.0.drain(..) {
                if matches!(seen, Seen::Item(0, _)) {
                    continue;
                }
                assert!(
                    deadlines.remove(&number).is_some(),
                    "seed {seed}: {number} is answered twice: {seen:?}"
                );
            }
            let now_us = hand.now.mono_us;
            let late = deadlines.iter().find(|(_, deadline_us)| **deadline_us + 2000 < now_us);
            assert_eq!(late, None, "seed {seed}: not answered at {now_us}");
        }
        hand.settle();
        hand.answered.0.iter().for_each(|(number, seen)| {
            let is_first = matches!(seen, Seen::Item(0, _)) || deadlines.remove(number).is_some();
            assert!(is_first, "seed {seed}: {number} is answered twice");
        });
        assert!(deadlines.is_empty(), "seed {seed}: {} without an answer", deadlines.len());
        assert!(hand.shard.stats().timed_out > 0, "seed {seed}: nothing was late");
    }
}

#[test]
fn nothing_that_is_over_is_done_when_its_turn_comes_by_that() {
    let mut hand = with_a_cold_key();
    let sent = [hand.send(increment(b"k")), hand.send(put(b"k", b"1")), hand.send(delete(b"k"))];
    hand.end_turn();
    hand.advance_ms(PATIENCE_MS + 1);
    hand.end_turn();
    assert_eq!(sent.map(|number| hand.answer(number).cloned()), [(); 3].map(|()| Some(timed_out())));
    hand.settle();
    assert_eq!((hand.answered.0.len(), hand.get(b"k")), (3, Seen::Value(vec![7; 3000])));
}

#[test]
fn newcomers_in_a_hurry_do_not_make_all_be_looked_at() {
    let mut hand = impatient(usual());
    hand.send(put(b"first", b""));
    hand.end_turn();
    hand.patience_us = 1_000_000;
    (0..8_000_u64).for_each(|n| {
        hand.send(put(&n.to_le_bytes(), b""));
    });
    hand.patience_us = 10;
    let mut looks = 0;
    for _ in 0..200 {
        hand.send(increment(b"hurry"));
        hand.now.mono_us += 100;
        let ended = hand.answered.0.len();
        hand.end_turn();
        looks += usize::from(hand.answered.0.len() > ended);
    }
    assert!((1..20).contains(&looks), "{looks} looks in 20 ms at 8,000 answers");
}

#[test]
fn those_who_ended_leave_the_block_that_does_not_come() {
    let mut hand = with_a_cold_key();
    for _ in 0..2000 {
        hand.send(Op::Get { key: b"k" });
        hand.end_turn();
        hand.advance_ms(PATIENCE_MS + 1);
        hand.end_turn();
    }
    assert_eq!(hand.answered.0.len(), 2000);
    assert!(hand.shard.parked.waiters() < 16, "{} wait", hand.shard.parked.waiters());
}

#[test]
fn a_kept_read_that_is_told_to_go_on_too_late_is_forgotten() {
    struct Narrow(Vec<Seen>);
    impl Answers for Narrow {
        fn answer(&mut self, _ticket: Ticket, answer: Answer<'_>) {
            self.0.push(Seen::new(answer));
        }

        fn has_room(&mut self, _ticket: Ticket, _given: usize, _bytes: usize) -> bool {
            false
        }
    }
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"k", &[1; 9000]);
    hand.advance_ms(1);
    hand.shard.tick(hand.now);
    let (mut narrow, get) = (Narrow(Vec::new()), Request::new(Partition(0), Op::Get { key: b"k" }));
    hand.shard.request(Ticket::default(), get, &mut narrow);
    assert!(!hand.shard.kept.is_empty());
    let late = Request::new(Partition(0), Op::GoOn { read: 1 }).until(0);
    hand.shard.request(Ticket::default(), late, &mut narrow);
    assert_eq!(narrow.0, [Seen::Waits { read: 1, bytes: 9000 }, timed_out()]);
    assert!(hand.shard.kept.is_empty());
}
