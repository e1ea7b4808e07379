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
        self.shard.request(ticket, Request { keyspace: Keyspace(0), partition: Partition(0), op }, narrow);
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
    hand.ask_narrowly(Op::Forget { read: 2 }, &mut narrow);
    assert_eq!(narrow.seen.pop(), Some(Seen::NotFound));
    assert!(hand.shard.kept.is_empty());
    hand.ask_narrowly(Op::GoOn { read: 2 }, &mut narrow);
    assert!(matches!(narrow.seen.pop(), Some(Seen::Refused(_))));
}

#[test]
fn keys_whose_values_nobody_wants_need_no_room_for_them() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"a", &value(1));
    let mut narrow = Narrow { room: 0, seen: Vec::new() };
    hand.ask_narrowly(Op::GetMany { keys: &[b"a", b"z"], values: false }, &mut narrow);
    assert_eq!(narrow.seen, [Seen::Item(0, Some(vec![])), Seen::Item(1, None)]);
}
