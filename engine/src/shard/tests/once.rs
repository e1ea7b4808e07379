//! Requests that are to be done once: sent again at every step, across crashes, flushes and groups that wait, each is done
//! once and answered the same.

use super::*;
use crate::shard::request::Once;
use rand::SeedableRng;

const CLIENT: u128 = 1 << 90;

impl Hand {
    /// The request with this number, sent first now.
    pub(super) fn once(&self, number: u64) -> Once {
        let first_sent_us = self.now.unix_us;
        Once { client: CLIENT, number, lowest: 1, first_sent_us, is_again: false }
    }

    pub(super) fn send_once(&mut self, once: &Once, op: Op<'_>) -> u64 {
        self.next += 1;
        let ticket = Ticket { owner: 1, request: self.next };
        let request = Request::new(Partition(0), op).once(Some(once));
        self.shard.tick(self.now);
        self.shard.request(ticket, request, &mut self.answered);
        self.next
    }

    pub(super) fn ask_once(&mut self, once: &Once, op: Op<'_>) -> Seen {
        let number = self.send_once(once, op);
        while self.answer(number).is_none() {
            self.end_turn();
            self.perform_held();
        }
        self.answer(number).unwrap().clone()
    }

    pub(super) fn remembered(&self) -> usize {
        self.shard.groups[0].once().map_or(0, |table| table.answers())
    }
}

pub(super) fn again(once: Once) -> Once {
    Once { is_again: true, ..once }
}

pub(super) fn add() -> Op<'static> {
    increment(b"n")
}

pub(super) fn one() -> Seen {
    Seen::Value(b"1".to_vec())
}

fn not_there(key: &[u8]) -> Op<'_> {
    let update = Update::Put {
        value: b"mine",
        expiry: PutExpiry::Never,
        condition: Condition::Absent,
        want_old: false,
    };
    Op::Update { key, update }
}

#[test]
fn what_was_done_is_answered_again_also_after_a_restart_and_from_the_manifest() {
    for durability in [Durability::Sync, Durability::None] {
        let mut hand = Hand::new(durability, small());
        let once = hand.once(1);
        assert_eq!(hand.ask_once(&once, add()), Seen::Integer(1));
        assert_eq!(hand.ask_once(&again(once), add()), Seen::Integer(1));
        assert_eq!(hand.ask_once(&once, add()), Seen::Integer(1), "a copy that was late");
        hand.settle();
        let mut hand = hand.reopen();
        assert_eq!(hand.ask_once(&again(once), add()), Seen::Integer(1), "{durability:?}, from the log");
        hand.shard.flush();
        hand.settle();
        assert_eq!(hand.shard.stats().flushes, 1);
        let mut hand = hand.reopen();
        assert_eq!(hand.ask_once(&again(once), add()), Seen::Integer(1), "{durability:?}, from the manifest");
        assert_eq!((hand.get(b"n"), hand.shard.stats().repeated), (one(), 1));
        let other = Once { client: 7, ..once };
        assert_eq!(hand.ask_once(&other, add()), Seen::Integer(2), "another client has numbers of its own");
    }
}

#[test]
fn a_copy_waits_for_the_one_that_is_on_its_way() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let once = hand.once(1);
    let first = hand.send_once(&once, add());
    let forming = hand.send_once(&again(once), add());
    hand.end_turn();
    let writing = hand.send_once(&again(once), add());
    assert_eq!(hand.answered.0, []);
    hand.perform_held();
    let all = [first, forming, writing].map(|number| (number, Seen::Integer(1)));
    assert_eq!(hand.answered.0, all);
    assert_eq!(hand.get(b"n"), one());
}

#[test]
fn what_a_crash_took_back_is_done_by_the_next_copy() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let once = hand.once(1);
    hand.send_once(&once, add());
    hand.end_turn();
    hand.held.clear();
    let mut hand = hand.crash(&mut SmallRng::seed_from_u64(1));
    assert_eq!(hand.ask_once(&again(once), add()), Seen::Integer(1));
    assert_eq!(hand.get(b"n"), one());
}

#[test]
fn copies_that_wait_for_a_block_are_done_once() {
    let mut hand = Hand::new(Durability::Sync, cold());
    hand.put(b"n", b"0");
    (0..64_u32).for_each(|n| {
        hand.put(format!("z{n}").as_bytes(), &[8; 1000]);
    });
    hand.shard.flush();
    hand.settle();
    let once = hand.once(1);
    let copies = [hand.send_once(&once, add()), hand.send_once(&again(once), add())];
    assert!(hand.shard.stats().parked_now > 0);
    hand.settle();
    assert_eq!(
        copies.map(|number| hand.answer(number).cloned()),
        [Some(Seen::Integer(1)), Some(Seen::Integer(1))]
    );
    assert_eq!(hand.get(b"n"), one());
}

#[test]
fn a_verdict_is_remembered_if_it_was_sent_before() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"k", b"theirs");
    let writes = hand.shard.stats().log_writes;
    let first = hand.once(1);
    assert_eq!(hand.ask_once(&first, not_there(b"k")), Seen::NotMet);
    assert_eq!((hand.shard.stats().log_writes, hand.remembered()), (writes, 0), "it changed nothing");
    assert_eq!(hand.ask_once(&again(first), not_there(b"k")), Seen::NotMet);
    assert_eq!((hand.shard.stats().log_writes, hand.remembered()), (writes + 1, 1));
    let mut hand = hand.reopen();
    hand.ask(delete(b"k"));
    assert_eq!(hand.ask_once(&first, not_there(b"k")), Seen::NotMet, "the first copy comes late");
    assert_eq!(hand.get(b"k"), Seen::NotFound);
    // A refusal isn't: nothing was done, and it may be done yet.
    hand.put(b"t", b"text");
    let second = again(hand.once(2));
    assert_eq!(hand.ask_once(&second, increment(b"t")), Seen::Refused("NotAnInteger".into()));
    hand.put(b"t", b"4");
    assert_eq!(hand.ask_once(&second, increment(b"t")), Seen::Refused("NotAnInteger".into()), "a verdict");
    let long = vec![0; (1 << 20) + 1];
    let third = again(hand.once(3));
    assert!(matches!(hand.ask_once(&third, put(b"t", &long)), Seen::Refused(_)));
    assert_eq!(hand.ask_once(&third, put(b"t", b"short")), Seen::Written { existed: 0, old: None });
}

#[test]
fn batches_and_clears_are_done_once() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let batch = hand.once(1);
    let unset = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
    let put =
        Update::Put { value: b"v", expiry: PutExpiry::Never, condition: Condition::None, want_old: false };
    let updates: [(&[u8], Update<'_>); 2] = [(b"a", put), (b"b", unset)];
    let op = Op::UpdateMany { updates: &updates };
    let done = Seen::Written { existed: 0, old: None };
    assert_eq!(hand.ask_once(&batch, op), done);
    hand.ask(delete(b"a"));
    assert_eq!(hand.ask_once(&again(batch), op), done);
    assert_eq!(hand.get(b"a"), Seen::NotFound, "it isn't put back");
    let clear = hand.once(2);
    assert_eq!(hand.ask_once(&clear, Op::Clear), done);
    hand.put(b"later", b"v");
    assert_eq!(hand.ask_once(&again(clear), Op::Clear), done);
    assert_eq!(hand.get(b"later"), Seen::Value(b"v".to_vec()));
}

#[test]
fn old_values_are_answered_again_unless_they_are_long() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let swap = |value| {
        let update =
            Update::Put { value, expiry: PutExpiry::Never, condition: Condition::None, want_old: true };
        Op::Update { key: b"k", update }
    };
    hand.put(b"k", b"first");
    let once = hand.once(1);
    let old = Seen::Written { existed: 1, old: Some(b"first".to_vec()) };
    assert_eq!(hand.ask_once(&once, swap(&[7; 5000])), old);
    assert_eq!(hand.ask_once(&again(once), swap(&[7; 5000])), old);
    let once = hand.once(2);
    assert_eq!(hand.ask_once(&once, swap(b"x")), Seen::Written { existed: 1, old: Some(vec![7; 5000]) });
    assert_eq!(
        hand.ask_once(&again(once), swap(b"x")),
        Seen::Unknown,
        "it was done; nobody knows the old value"
    );
    assert_eq!(hand.get(b"k"), Seen::Value(b"x".to_vec()));
}

#[test]
fn what_its_client_has_the_answer_to_is_never_done_again() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let first = hand.once(1);
    hand.ask_once(&first, add());
    let next = Once { lowest: 2, ..hand.once(2) };
    assert_eq!(hand.ask_once(&next, add()), Seen::Integer(2));
    assert_eq!(hand.remembered(), 1);
    assert_eq!(hand.ask_once(&again(first), add()), Seen::Unknown);
    assert_eq!(hand.ask_once(&first, add()), Seen::Refused("WrongTime".into()));
    assert_eq!(hand.get(b"n"), Seen::Value(b"2".to_vec()));
}

#[test]
fn one_that_was_sent_in_the_future_is_refused() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let late = Once { first_sent_us: hand.now.unix_us + 500_001, ..hand.once(1) };
    assert_eq!(hand.ask_once(&late, add()), Seen::Refused("WrongTime".into()));
    let in_time = Once { first_sent_us: hand.now.unix_us + 400_000, ..hand.once(1) };
    assert_eq!(hand.ask_once(&in_time, add()), Seen::Integer(1));
}

#[test]
fn a_copy_of_what_waits_to_be_committed_waits_too_and_is_done_if_another_takes_its_place() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.shard.groups[0].lead(2);
    let once = hand.once(1);
    let first = hand.send_once(&once, add());
    hand.settle();
    let copy = hand.send_once(&again(once), add());
    hand.settle();
    assert_eq!(hand.answered.0, []);
    let index = hand.shard.groups[0].appended_index();
    hand.shard.groups[0].follow(3);
    hand.shard.accept(0, (3, index), &mut hand.answered).unwrap();
    assert_eq!(hand.answered.0, [(first, Seen::Unknown), (copy, Seen::Unknown)]);
    // This replica leads again: what was overwritten was never done.
    hand.answered.0.clear();
    hand.shard.groups[0].lead(4);
    let third = hand.send_once(&again(once), add());
    hand.settle();
    let fourth = hand.send_once(&again(once), add());
    hand.agree(0, u64::MAX);
    assert_eq!(hand.answered.0, [(third, Seen::Integer(1)), (fourth, Seen::Integer(1))]);
}

#[test]
fn whatever_happens_a_request_that_is_sent_until_it_is_answered_is_done_once() {
    for seed in 0..60 {
        let mut random = SmallRng::seed_from_u64(seed);
        let durability = if seed % 3 == 0 { Durability::None } else { Durability::Sync };
        let mut hand = Hand::new(durability, cold());
        let (mut done, mut open) = (0, 0);
        for number in 1..=60 {
            let mut once = Once { lowest: number, ..hand.once(number) };
            loop {
                let copies = random.random_range(1..3);
                let sent: Vec<_> = (0..copies)
                    .map(|_| {
                        let sent = hand.send_once(&once, add());
                        once.is_again = true;
                        sent
                    })
                    .collect();
                (0..random.random_range(0..12)).for_each(|_| hand.go_on(&mut random));
                if durability == Durability::Sync && random.random_ratio(1, 5) {
                    hand.answered.0.clear();
                    hand = hand.crash(&mut random);
                    open += 1;
                    continue;
                }
                if random.random_ratio(1, 20) {
                    hand.shard.flush();
                }
                hand.settle();
                let answers: Vec<_> = sent.iter().map(|&sent| hand.answer(sent).cloned()).collect();
                done += 1;
                let expected = Some(Seen::Integer(done));
                assert!(
                    answers.iter().all(|answer| *answer == expected),
                    "seed {seed}, {number}: {answers:?}, not {done}"
                );
                break;
            }
            hand.put(&number.to_be_bytes(), &[1; 700]);
        }
        assert_eq!(hand.get(b"n"), Seen::Value(b"60".to_vec()), "seed {seed}");
        assert!(open > 0 || durability == Durability::None);
    }
}
