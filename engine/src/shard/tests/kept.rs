//! Reads that whoever asked has no room for.

use super::*;

/// Somebody with room for so many bytes of values at a time.
struct Narrow {
    room: usize,
    seen: Vec<Seen>,
}

impl Answers for Narrow {
    fn answer(&mut self, _: Ticket, answer: Answer<'_>) {
        self.seen.push(Seen::new(answer));
    }

    fn has_room(&mut self, _: Ticket, given: usize, bytes: usize) -> bool {
        given + bytes <= self.room
    }

    fn has_room_for_old(&mut self, _: Ticket, bytes: usize) -> bool {
        bytes <= self.room
    }
}

impl Narrow {
    /// What has come since the last time: the values, and the name of the read that waits.
    fn take(&mut self) -> (Vec<Vec<u8>>, Option<u64>) {
        let (mut values, mut waits) = (Vec::new(), None);
        for seen in self.seen.drain(..) {
            match seen {
                Seen::Item(_, Some(value)) | Seen::Value(value) => values.push(value),
                Seen::Waits { read, .. } => waits = Some(read),
                other => panic!("{other:?}"),
            }
        }
        (values, waits)
    }
}

impl Hand {
    fn ask_narrowly(&mut self, op: Op<'_>, narrow: &mut Narrow) {
        let ticket = Ticket { owner: 2, request: 7 };
        self.shard.request(ticket, Request::new(Partition(0), op), narrow);
    }

    /// Performs everything; what reads need of it is answered to `narrow`.
    fn settle_narrowly(&mut self, narrow: &mut Narrow) {
        while narrow.seen.is_empty() {
            self.end_turn();
            for request in std::mem::take(&mut self.held) {
                let completion = perform(&mut self.dir, request);
                self.shard.complete(completion, narrow);
            }
            self.run_jobs();
        }
    }
}

const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];

fn value(version: u8) -> Vec<u8> {
    vec![version; 8 << 10]
}

fn reads_at_one_moment(tuning: Tuning) {
    let mut hand = Hand::new(Durability::Sync, tuning);
    KEYS.iter().for_each(|key| drop(hand.put(key, &value(1))));
    hand.shard.flush();
    hand.settle();
    let mut narrow = Narrow { room: 17 << 10, seen: Vec::new() };
    hand.ask_narrowly(Op::GetMany { keys: &KEYS, values: true }, &mut narrow);
    let mut all = Vec::new();
    for round in 2.. {
        hand.settle_narrowly(&mut narrow);
        let (values, waits) = narrow.take();
        assert!(values.len() <= 2, "no more leaves than there is room for");
        all.extend(values);
        let Some(read) = waits else { break };
        // Meanwhile everything is written again, and what was there is merged away.
        KEYS.iter().for_each(|key| drop(hand.put(key, &value(round))));
        hand.shard.flush();
        hand.settle();
        hand.ask_narrowly(Op::GoOn { read }, &mut narrow);
    }
    assert_eq!(all, vec![value(1); KEYS.len()]);
    assert!(hand.shard.kept.is_empty());
}

#[test]
fn keys_are_read_at_one_moment_however_slowly_their_values_leave() {
    reads_at_one_moment(small());
    reads_at_one_moment(cold());
}

#[test]
fn a_value_waits_for_room_and_one_that_nobody_waits_for_is_forgotten() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"a", &value(1));
    let mut narrow = Narrow { room: 0, seen: Vec::new() };
    hand.ask_narrowly(Op::Get { key: b"a" }, &mut narrow);
    assert_eq!(narrow.seen.pop(), Some(Seen::Waits { read: 1, bytes: 8 << 10 }));
    assert!(!hand.shard.kept.is_empty());
    hand.ask_narrowly(Op::GoOn { read: 1 }, &mut narrow);
    assert_eq!(narrow.take(), (vec![], Some(2)), "there is no room yet");
    hand.shard.forget(2);
    assert!(hand.shard.kept.is_empty());
    hand.ask_narrowly(Op::GoOn { read: 2 }, &mut narrow);
    assert!(matches!(narrow.seen.pop(), Some(Seen::Refused(_))));
}

/// What an update of `a` that answers the old value comes to where there is room for so many bytes of it.
fn updated_narrowly(hand: &mut Hand, room: usize) -> Seen {
    let update =
        Update::Put { value: b"new", expiry: PutExpiry::Never, condition: Condition::None, want_old: true };
    let mut narrow = Narrow { room, seen: Vec::new() };
    hand.ask_narrowly(Op::Update { key: b"a", update }, &mut narrow);
    hand.settle_narrowly(&mut narrow);
    narrow.seen.pop().expect("it settled")
}

#[test]
fn an_update_whose_old_value_has_no_room_changes_nothing() {
    for tuning in [small(), cold()] {
        let mut hand = Hand::new(Durability::Sync, tuning);
        hand.put(b"a", &value(1));
        hand.shard.flush();
        hand.settle();
        assert!(matches!(updated_narrowly(&mut hand, 8191), Seen::Refused(_)));
        assert_eq!(hand.get(b"a"), Seen::Value(value(1)));
        let old = Some(value(1));
        assert_eq!(updated_narrowly(&mut hand, 8192), Seen::Written { existed: 1, old });
        assert_eq!(updated_narrowly(&mut hand, 0), Seen::Written { existed: 1, old: Some(b"new".to_vec()) });
    }
}

#[test]
fn keys_whose_values_nobody_wants_need_no_room_for_them() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"a", &value(1));
    let mut narrow = Narrow { room: 0, seen: Vec::new() };
    hand.ask_narrowly(Op::GetMany { keys: &[b"a", b"z"], values: false }, &mut narrow);
    assert_eq!(narrow.seen, [Seen::Item(0, Some(vec![])), Seen::Item(1, None)]);
}

fn reads_what_expires_meanwhile(tuning: Tuning, is_flushed: bool) {
    let mut hand = Hand::new(Durability::Sync, tuning);
    KEYS.iter().for_each(|key| drop(hand.ask(put_expiring(key, &value(1), PutExpiry::After(5_000)))));
    if is_flushed {
        hand.shard.flush();
        hand.settle();
    }
    let mut narrow = Narrow { room: 17 << 10, seen: Vec::new() };
    hand.ask_narrowly(Op::GetMany { keys: &KEYS, values: true }, &mut narrow);
    let mut all = Vec::new();
    loop {
        hand.settle_narrowly(&mut narrow);
        let (values, waits) = narrow.take();
        all.extend(values);
        let Some(read) = waits else { break };
        // Meanwhile the log learns that they have expired, and what lies there is flushed and merged.
        for _ in 0..12 {
            hand.advance_ms(1_000);
            hand.put(b"z", b"v");
            hand.shard.flush();
            hand.settle();
        }
        assert_eq!(hand.get(b"e"), Seen::NotFound);
        hand.ask_narrowly(Op::GoOn { read }, &mut narrow);
    }
    assert_eq!(all, vec![value(1); KEYS.len()]);
    for _ in 0..12 {
        hand.advance_ms(1_000);
        hand.settle();
    }
    assert!(hand.shard.stats().expired > 0, "nobody waits for them any more");
}

#[test]
fn a_read_that_nobody_takes_holds_what_expires_for_ten_minutes_at_most() {
    let mut hand = Hand::new(Durability::Sync, small());
    KEYS.iter().for_each(|key| drop(hand.ask(put_expiring(key, &value(1), PutExpiry::After(5_000)))));
    hand.shard.flush();
    hand.settle();
    let mut narrow = Narrow { room: 0, seen: Vec::new() };
    hand.ask_narrowly(Op::GetMany { keys: &KEYS, values: true }, &mut narrow);
    let (_, waits) = narrow.take();
    let pass = |hand: &mut Hand, seconds: u32| {
        for _ in 0..seconds {
            hand.advance_ms(1_000);
            hand.put(b"z", b"v");
            hand.settle();
        }
        hand.shard.flush();
        hand.settle();
    };
    (0..9).for_each(|_| pass(&mut hand, 60));
    assert_eq!(hand.shard.stats().expired, 0);
    (0..4).for_each(|_| pass(&mut hand, 60));
    assert!(hand.shard.stats().expired > 0 && hand.shard.kept.is_empty());
    hand.ask_narrowly(Op::GoOn { read: waits.unwrap() }, &mut narrow);
    assert!(matches!(narrow.seen.pop(), Some(Seen::Refused(_))));
}

#[test]
fn a_key_that_expires_while_others_of_its_read_wait_for_room_is_in_the_answer() {
    for is_flushed in [false, true] {
        reads_what_expires_meanwhile(small(), is_flushed);
        reads_what_expires_meanwhile(cold(), is_flushed);
    }
}

/// A shard that lets one request wait, with [`KEYS`] on disk.
fn crowded() -> Hand {
    let mut tuning = cold();
    tuning.budgets.parked = 0;
    let mut hand = Hand::new(Durability::Sync, tuning);
    KEYS.iter().for_each(|key| drop(hand.put(key, &value(1))));
    hand
}

#[test]
fn a_read_that_needs_blocks_behind_its_first_keys_is_refused_where_too_many_wait() {
    let mut hand = crowded();
    let warm: Vec<[u8; 3]> = (0..64).map(|number| [b'A', number / 8, number % 8]).collect();
    warm.iter().for_each(|key| drop(hand.put(key, b"v")));
    hand.shard.flush();
    hand.settle();
    let mut keys: Vec<&[u8]> = warm.iter().map(<[u8; 3]>::as_slice).collect();
    hand.ask(Op::GetMany { keys: &keys, values: true });
    keys.push(b"c");
    let [first, second] = [(); 2].map(|()| hand.send(Op::GetMany { keys: &keys, values: true }));
    let of = |hand: &Hand, number| -> Vec<Seen> {
        hand.answered.0.iter().filter(|(n, _)| *n == number).map(|(_, seen)| seen.clone()).collect()
    };
    assert_eq!((of(&hand, first).len(), hand.shard.parked.len()), (64, 1));
    assert_eq!(of(&hand, second)[64..], [Seen::Refused("Busy".into())]);
    hand.settle();
    assert_eq!(of(&hand, first)[64..], [Seen::Item(0, Some(value(1)))], "the first of what was left");
}

#[test]
fn reads_that_wait_for_room_and_requests_that_wait_for_blocks_share_the_memory_for_that() {
    let mut hand = crowded();
    hand.shard.flush();
    hand.settle();
    hand.put(b"new", &value(2));
    let mut narrow = Narrow { room: 0, seen: Vec::new() };
    hand.ask_narrowly(Op::Get { key: b"new" }, &mut narrow);
    let (_, Some(read)) = narrow.take() else { panic!("there is room") };
    let busy = Seen::Refused("Busy".into());
    assert_eq!(hand.get(b"a"), busy);
    hand.ask_narrowly(Op::Get { key: b"new" }, &mut narrow);
    assert_eq!(narrow.seen.pop(), Some(busy.clone()));
    hand.shard.forget(read);
    let sent = hand.send(Op::Get { key: b"a" });
    hand.ask_narrowly(Op::Get { key: b"new" }, &mut narrow);
    assert_eq!((hand.answer(sent), narrow.seen.pop()), (None, Some(busy)));
    hand.settle();
    assert_eq!(hand.answer(sent), Some(&Seen::Value(value(1))));
}
