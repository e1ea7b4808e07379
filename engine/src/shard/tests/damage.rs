//! A damaged block: what is refused, and what is served beside it.

use super::*;
use crate::dir::Dir;
use crate::io::FileName;
use rand::SeedableRng;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const KEYS: u32 = 400;

/// A shard with one damaged block in its largest table, of which nothing is in memory.
fn damaged() -> Hand {
    let mut hand = Hand::new(Durability::Sync, cold());
    for number in 0..KEYS {
        hand.put(&number.to_be_bytes(), &[number as u8; 200]);
        hand.run_jobs();
    }
    hand.shard.flush();
    hand.settle();
    let mut hand = hand.reopen();
    let tables = hand.dir.list().unwrap().into_iter().filter(|file| matches!(file, FileName::Table(_)));
    let largest = tables.max_by_key(|&file| hand.dir.len(file).unwrap()).unwrap();
    hand.dir.flip(largest, 100, 3);
    hand
}

fn scan(hand: &mut Hand, from: u32, to: &[u8]) -> Seen {
    let from = from.to_be_bytes();
    hand.ask(Op::Scan(Scan { from: &from, to, limit: 1000, limit_bytes: 1 << 20, keys_only: false }))
}

#[test]
fn beside_a_damaged_block_all_other_keys_and_ranges_are_served() {
    let mut hand = damaged();
    let mut lost = Vec::new();
    for number in 0..KEYS {
        match hand.get(&number.to_be_bytes()) {
            Seen::Value(value) => assert_eq!(value, [number as u8; 200]),
            Seen::Refused(why) => {
                assert!(why.contains(".sst is damaged at offset") && why.contains("`kvtool repair"), "{why}");
                lost.push(number);
            }
            other => panic!("{number}: {other:?}"),
        }
    }
    let (first, last) = (lost[0], lost[lost.len() - 1]);
    assert!(lost.len() as u32 == last - first + 1 && lost.len() < 100, "one block: {lost:?}");
    assert!(hand.shard.stats().damage.unwrap().contains("`kvtool verify"));
    let Seen::Page(before, None) = scan(&mut hand, 0, &first.to_be_bytes()) else {
        panic!("before the block")
    };
    let Seen::Page(behind, None) = scan(&mut hand, last + 1, b"") else { panic!("behind the block") };
    assert_eq!(before.len() + behind.len() + lost.len(), KEYS as usize);
    assert!(matches!(scan(&mut hand, 0, b""), Seen::Refused(why) if why.contains("is damaged")));
    assert!(matches!(hand.put(&first.to_be_bytes(), b"new"), Seen::Written { .. }));
    assert_eq!(hand.get(&first.to_be_bytes()), Seen::Value(b"new".to_vec()));
}

#[test]
fn a_table_that_does_not_read_back_is_written_again_and_is_no_damage() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"k", b"v");
    hand.shard.flush();
    hand.end_turn();
    let random = &mut SmallRng::seed_from_u64(1);
    let is_reading = |request: &IoRequest| matches!(request, IoRequest::Read { .. });
    while !hand.jobs[0].requests.iter().any(is_reading) {
        hand.step_job(0, random);
    }
    let table =
        hand.dir.list().unwrap().into_iter().rfind(|file| matches!(file, FileName::Table(_))).unwrap();
    hand.dir.tamper(table, |bytes| bytes.fill(7));
    hand.settle();
    let stats = hand.shard.stats();
    assert_eq!((stats.job_errors, stats.flushes, stats.damage), (1, 0, None));
    assert!(stats.trouble.is_some_and(|trouble| trouble.contains("it is written again")));
    hand.advance_ms(1100);
    hand.settle();
    let stats = hand.shard.stats();
    assert_eq!((stats.flushes, stats.trouble, stats.damage), (1, None, None));
    assert_eq!(hand.get(b"k"), Seen::Value(b"v".to_vec()));
}

#[test]
fn a_merge_that_meets_damage_holds_nothing_else_up() {
    let mut hand = damaged();
    for round in 0..20 {
        for number in 0..KEYS {
            hand.put(&number.to_be_bytes(), &[round; 200]);
            hand.run_jobs();
        }
        hand.shard.flush();
        hand.settle();
    }
    let before = hand.shard.stats();
    assert!(before.job_errors > 0 && before.damage.is_some(), "a merge has met it: {before:?}");
    // No time passes, so nothing that rests comes back to work.
    hand.put(b"k", b"v");
    hand.shard.flush();
    hand.settle();
    let stats = hand.shard.stats();
    assert_eq!((stats.flushes, stats.trouble, stats.read_only), (before.flushes + 1, None, None));
}

#[test]
fn reads_of_one_damaged_block_are_logged_once_and_then_by_their_number() {
    let mut hand = damaged();
    let lost = (0..KEYS).find(|number| matches!(hand.get(&number.to_be_bytes()), Seen::Refused(_))).unwrap();
    let mut hand = hand.reopen();
    let lines = logged(|| {
        for _ in 0..1000 {
            assert!(matches!(hand.get(&lost.to_be_bytes()), Seen::Refused(_)));
        }
    });
    assert!(lines.len() == 1 && lines[0].contains("is damaged at offset"), "{lines:?}");
    assert_eq!(hand.shard.stats().read_errors, 1000, "all are counted");
    hand.advance_ms(11_000);
    let lines = logged(|| assert!(matches!(hand.get(&lost.to_be_bytes()), Seen::Refused(_))));
    assert!(lines.len() == 2 && lines[0].contains("999 more reads failed within 10 s"), "{lines:?}");
    hand.advance_ms(11_000);
    assert_eq!(logged(|| hand.end_turn()), [""; 0], "there is nothing more to tell of");
}

/// What is logged of errors meanwhile.
fn logged(what: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), what);
    lines.0.lock().unwrap().clone()
}

/// Keeps the messages of errors.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                line = format!("{value:?}");
            }
        });
        self.0.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
