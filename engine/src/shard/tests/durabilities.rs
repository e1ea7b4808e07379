//! Groups of one shard whose writes count as done at different times.

use super::*;

/// Partition 0 waits for the device, partition 1 for the kernel.
fn mixed(other: Durability) -> Hand {
    let mut hand = Hand::new(other, small());
    hand.shard.groups[0].durability = Durability::Sync;
    hand
}

fn syncs(hand: &Hand) -> bool {
    hand.held.iter().any(|request| matches!(request, IoRequest::Write { sync: true, .. }))
}

#[test]
fn a_log_write_is_synced_if_one_of_its_groups_asks_for_it() {
    let mut hand = mixed(Durability::IntervalMs(1_000));
    // The header of the first segment goes with the first write, which is synced for that.
    hand.ask_of(1, put(b"first", b"v"));
    hand.advance_ms(1_500);
    hand.settle();
    for (partitions, synced) in
        [(&[1_u16][..], false), (&[0][..], true), (&[1, 0][..], true), (&[1][..], false)]
    {
        for &partition in partitions {
            hand.send_to(partition, put(b"k", b"v"));
        }
        hand.end_turn();
        assert_eq!(syncs(&hand), synced, "{partitions:?}");
        hand.settle();
    }
    assert_eq!(hand.shard.unsynced, Some(Durability::IntervalMs(1_000)));
    hand.send_to(0, put(b"k", b"w"));
    hand.settle();
    assert_eq!(hand.shard.unsynced, None, "what came before a sync is durable with it");
}

#[test]
fn a_group_that_waits_for_nothing_is_answered_at_once_beside_one_that_waits() {
    let mut hand = mixed(Durability::None);
    let (slow, quick) = (hand.send_to(0, put(b"k", b"v")), hand.send_to(1, put(b"k", b"v")));
    assert!(hand.answer(quick).is_some() && hand.answer(slow).is_none());
    hand.end_turn();
    assert!(syncs(&hand), "it isn't put off, for one of its groups waits");
    hand.settle();
    assert!(hand.answer(slow).is_some());
}

#[test]
fn what_a_group_acknowledged_as_durable_survives_a_loss_of_power_beside_others_that_do_not() {
    for seed in 0..20 {
        let mut random = rand::SeedableRng::seed_from_u64(seed);
        let mut hand = mixed(if seed % 2 == 0 { Durability::None } else { Durability::IntervalMs(100_000) });
        for n in 0..300_u32 {
            hand.send_to(1, put(&n.to_be_bytes(), &[1; 500]));
            if n % 3 == 0 {
                assert!(matches!(hand.ask_of(0, put(&n.to_be_bytes(), &[2; 300])), Seen::Written { .. }));
            }
            hand.advance_ms(1);
            if n % 20 == 0 {
                hand.settle();
            }
        }
        let mut hand = hand.crash(&mut random);
        assert_eq!(hand.items(0).len(), 100, "seed {seed}");
    }
}
