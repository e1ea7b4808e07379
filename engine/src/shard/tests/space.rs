//! Space and memory stay bounded, and come back.

use super::*;
use crate::shard::owned::OwnedOp;

#[test]
fn deleting_everything_gives_the_space_back() {
    let mut hand = Hand::new(Durability::None, usual());
    let value = [7; 1000];
    for round in 0..3 {
        for number in 0..8000_u32 {
            hand.send(put(&number.to_be_bytes(), &value));
            if number % 500 == 0 {
                hand.settle();
            }
        }
        hand.shard.flush();
        hand.settle();
        let bytes = hand.shard.stats().levels.iter().map(|level| level.bytes).sum::<u64>();
        assert!(bytes < 8000 * 1100 * 2, "round {round}: {bytes} bytes for 8 MB of live data");
    }
    for number in 0..8000_u32 {
        let sent = hand.send(delete(&number.to_be_bytes()));
        if number % 500 == 0 {
            hand.settle();
            assert!(matches!(hand.answer(sent), Some(Seen::Written { existed: 1, .. })));
        }
    }
    hand.shard.flush();
    hand.settle();
    hand.advance_ms(11_000);
    hand.settle();
    assert_eq!(hand.shard.stats().refused, 0);
    let bytes = hand.table_bytes();
    assert!(bytes < 100_000, "{bytes} bytes of tables hold nothing");
}

#[test]
fn writers_meet_pressure_and_then_a_refusal_but_never_unbounded_memory() {
    let mut hand = Hand::new(Durability::None, usual());
    let value = vec![7; 10_000];
    let (mut delayed, mut refused) = (0, 0);
    for number in 0..2000_u32 {
        let sent = hand.send(put(&number.to_be_bytes(), &value));
        hand.end_turn();
        hand.perform_held();
        delayed += u32::from(hand.shard.write_delay_us() > 0);
        refused += u32::from(hand.answer(sent) == Some(&Seen::Refused("Busy".into())));
    }
    assert!(delayed > 0, "pressure is felt before the limit");
    assert!(refused > 0, "the limit holds while no flush runs");
    assert!(hand.shard.stats().memtable_bytes < 8 << 20, "{}", hand.shard.stats().memtable_bytes);
    hand.settle();
    assert_eq!(hand.shard.write_delay_us(), 0);
    assert!(matches!(hand.put(b"k", b"v"), Seen::Written { .. }));
}

#[test]
fn a_waiting_request_costs_what_its_copy_costs() {
    let small = OwnedOp::new(&Op::Get { key: b"k" }).bytes();
    let large = OwnedOp::new(&put(b"k", &[0; 100_000])).bytes();
    assert!(small < 500);
    assert!((100_000..101_000).contains(&large));
}
