//! A shard whose first group has replicas: what a restart finds of it, and what the log keeps for it.

use super::*;
use crate::log::{BatchBuilder, HardState, LogPosition, Record};
use crate::manifest::{ConfState, Edit, GroupState, Manifest};

/// A shard whose first group is led, and whose log says so.
fn led(durability: Durability) -> Hand {
    led_with(durability, small())
}

/// A shard whose first group has replicas, and follows.
pub(super) fn with_replicas(durability: Durability, tuning: Tuning) -> Hand {
    let (mut dir, now) = (MemoryDir::new(), Hand::new(durability, small()).now);
    let (mut manifest, _) = Manifest::recover(&mut dir, [7; 16]).unwrap();
    let conf = Some(Box::new(ConfState { voters: vec![1, 2, 3], ..ConfState::default() }));
    let group = GroupState { applied_term: 1, conf, ..GroupState::default() };
    let edit = Edit { groups: vec![group], ..Edit::default() };
    crate::drive::blocking::publish(&mut dir, &mut manifest, edit).unwrap();
    Hand::open(dir, options(durability, 16), tuning, now)
}

/// As [`led`], with sizes.
pub(super) fn led_with(durability: Durability, tuning: Tuning) -> Hand {
    let mut hand = with_replicas(durability, tuning);
    hand.shard.groups[0].lead(2);
    keep_hard_state(&mut hand, 0);
    assert_eq!(hand.ask_of(1, put(b"first", b"v")), Seen::Written { existed: 0, old: None });
    hand
}

/// Logs that everything up to here is committed.
pub(super) fn keep_hard_state(hand: &mut Hand, commit: u64) {
    let hard = HardState { vote: 1, commit };
    hand.shard.append(0, &[], Some((2, hard)), 0, &mut hand.answered).unwrap();
}

#[test]
fn a_restart_finds_what_waits_for_others_and_applies_what_they_agreed_on() {
    let mut hand = led(Durability::Sync);
    for n in 0..9_u8 {
        hand.send(put(&[n], b"v"));
        hand.settle();
    }
    keep_hard_state(&mut hand, 4);
    hand.ask_of(1, put(b"second", b"v"));
    let mut hand = hand.reopen();
    assert_eq!(hand.items(0).len(), 4);
    assert_eq!(hand.shard.groups[0].queue().map(|queue| queue.len()), Some(5));
    assert_eq!(hand.shard.groups[0].order(), crate::group::Order::Following { term: 2 });
    let refused = hand.shard.refuse_replicas().unwrap_err().to_string();
    assert!(refused.contains("partition 0 has replicas"), "{refused}");
    hand.agree(0, 9);
    assert_eq!((hand.items(0).len(), hand.shard.held.is_empty()), (9, true));
}

/// Without copies the log would keep all that came behind the first entry that waits.
#[test]
fn the_log_stays_short_although_a_group_comes_no_further() {
    for durability in [Durability::Sync, Durability::IntervalMs(20)] {
        let mut hand = led(durability);
        for n in 0..20_u8 {
            hand.send(put(&[n], &[n; 1000]));
            hand.settle();
        }
        let mut longest = 0;
        for n in 0..4000_u32 {
            hand.send_to(1, put(&(n % 300).to_be_bytes(), &[2; 1000]));
            if n % 10 == 0 {
                hand.advance_ms(30);
                hand.settle();
                longest = longest.max(hand.shard.stats().log_bytes);
            }
        }
        hand.settle();
        let stats = hand.shard.stats();
        assert!(stats.written_bytes > 3 << 20 && longest < 1 << 20, "{durability:?}: {longest}, {stats:?}");
        // All that waited is there after a loss of power, and as it was.
        let mut hand = hand.reopen();
        assert_eq!((hand.items(0).len(), hand.items(1).len()), (0, 301));
        hand.agree(0, 20);
        let items = hand.items(0);
        assert!((0..20_u8).all(|n| items[&vec![n]] == [n; 1000]), "{durability:?}");
    }
}

#[test]
fn copies_that_fail_count_for_nothing() {
    let mut hand = led(Durability::Sync);
    for n in 0..20_u8 {
        hand.send(put(&[n], &[n; 1000]));
        hand.settle();
    }
    let mut failed = 0;
    for n in 0..4000_u32 {
        hand.send_to(1, put(&(n % 300).to_be_bytes(), &[2; 1000]));
        loop {
            hand.end_turn();
            if hand.shard.held.copying.is_some() && failed < 3 {
                failed += 1;
                hand.dir.fail_after(0);
                hand.perform_held();
                hand.dir.heal();
                hand.advance_ms(40_000);
            } else if hand.held.is_empty() && hand.jobs.is_empty() {
                break;
            }
            hand.perform_held();
            hand.run_jobs();
        }
    }
    assert_eq!(failed, 1, "copies were on their way, and none are made of what the log may not have");
    let mut hand = hand.reopen();
    hand.agree(0, 20);
    assert_eq!((hand.items(0).len(), hand.items(1).len()), (20, 301));
}

#[test]
fn what_is_in_the_log_of_a_partition_that_left_is_skipped_and_of_a_strange_one_refused() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.ask_of(0, put(b"stays", b"v"));
    let strange = BatchBuilder::new(0);
    hand.shard.log.append(Record::writes(Partition(9), 1, 1, strange.bytes()));
    hand.ask_of(1, put(b"stays", b"v"));
    let Hand { mut dir, options, tuning, now, .. } = hand;
    let error =
        Shard::open_tuned(&mut dir, options.clone(), tuning.clone(), now).map(drop).unwrap_err().to_string();
    assert!(error.contains("partition 9"), "{error}");
    let (mut manifest, state) = Manifest::recover(&mut dir, options.shard_id).unwrap();
    let left = GroupState {
        partition: Partition(9),
        has_left: true,
        log_from: LogPosition { segment: u64::MAX, offset: 0 },
        ..GroupState::default()
    };
    let edit = Edit { groups: vec![left], log_start: Some(state.log_start), ..Edit::default() };
    crate::drive::blocking::publish(&mut dir, &mut manifest, edit).unwrap();
    let shard = Shard::open_tuned(&mut dir, options, tuning, now).unwrap();
    assert_eq!(shard.groups.iter().map(|group| group.applied_index()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn entries_before_the_position_from_which_a_group_counts_are_of_an_earlier_copy_of_it() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"earlier", b"v");
    let at = hand.shard.logged_end;
    let state =
        GroupState { log_from: at, applied_index: 6, applied_term: 1, ..hand.shard.groups[0].state(1) };
    let (mut dir, id) = (hand.dir.clone(), hand.options.shard_id);
    let (mut manifest, _) = Manifest::recover(&mut dir, id).unwrap();
    let edit = Edit { groups: vec![state], ..Edit::default() };
    crate::drive::blocking::publish(&mut dir, &mut manifest, edit).unwrap();
    let Hand { options, tuning, now, .. } = hand;
    let shard = Shard::open_tuned(&mut dir, options, tuning, now).unwrap();
    assert_eq!(shard.groups[0].applied_index(), 6);
    assert!(shard.sources.active.is_empty());
}

#[test]
fn a_flush_tells_the_manifest_of_groups_that_changed_and_of_no_other() {
    let mut hand = Hand::new(Durability::Sync, usual());
    let told = |hand: &mut Hand| {
        hand.shard.flush();
        hand.settle();
        let mut newest = Vec::new();
        Manifest::dump(&hand.dir, &mut |record| {
            if !record.edit.added.is_empty() {
                newest = record.edit.groups.iter().map(|group| group.partition.0).collect();
            }
        })
        .unwrap();
        newest
    };
    hand.ask_of(1, put(b"k", b"v"));
    assert_eq!(told(&mut hand), [1]);
    hand.ask_of(0, put(b"k", b"v"));
    assert_eq!(told(&mut hand), [0]);
    hand.ask_of(0, put(b"k", b"w"));
    hand.ask_of(1, put(b"k", b"w"));
    assert_eq!(told(&mut hand), [0, 1]);
    let hand = hand.reopen();
    assert_eq!(hand.shard.groups.iter().map(|group| group.applied_index()).collect::<Vec<_>>(), [2, 2]);
}
