//! What the shard does beside requests: when it wants to run, what it syncs, maps and lets go of.

use super::*;
use crate::manifest::Edit;

#[test]
fn what_is_written_all_the_time_is_synced_all_the_same() {
    let mut hand = Hand::new(Durability::IntervalMs(50), usual());
    let mut syncs = 0;
    for number in 0..100_u32 {
        hand.send(put(&number.to_be_bytes(), b"v"));
        hand.end_turn();
        syncs += hand.held.iter().filter(|request| matches!(request, IoRequest::Sync { .. })).count();
        hand.send(put(b"more", b"v"));
        hand.perform_held();
        hand.advance_ms(10);
    }
    assert!((15..=25).contains(&syncs), "{syncs} syncs in a second");
}

/// Whether the turn that ends now begins to write a commit.
fn writes_log(hand: &mut Hand) -> bool {
    let before = hand.shard.stats().log_writes;
    hand.shard.end_turn();
    hand.held.extend(hand.shard.take_requests());
    hand.shard.stats().log_writes > before
}

#[test]
fn a_long_commit_is_written_in_a_turn_of_its_own() {
    let value = vec![b'v'; 1 << 20];
    let put_one =
        Update::Put { value: &value, expiry: PutExpiry::Never, condition: Condition::None, want_old: false };
    let updates = [b"a", b"b", b"c"].map(|key| (&key[..], put_one));
    let long = Op::UpdateMany { updates: &updates };
    for durability in [Durability::Sync, Durability::IntervalMs(50), Durability::None] {
        let mut hand = Hand::new(durability, Tuning { segment_bytes: 8 << 20, ..Tuning::new(256 << 20) });
        hand.put(b"first", b"the log has its segments");
        hand.end_turn_late();
        hand.settle();
        // Whatever comes meanwhile, it is put off once.
        for turn in 0..2 {
            hand.send(long);
            assert_eq!(writes_log(&mut hand), turn == 1, "turn {turn} under {durability:?}");
            let due_us = hand.shard.next_deadline_us();
            let is_due = due_us.is_some_and(|due_us| due_us <= hand.now.mono_us);
            assert!(turn == 1 || is_due, "the next turn comes at once, not at {due_us:?}");
        }
        hand.settle();
        assert_eq!(hand.get(b"c"), Seen::Value(value.clone()));
        // A short one isn't put off, nor is the last.
        hand.send(put(b"short", &value));
        assert!(writes_log(&mut hand), "under {durability:?}");
        hand.settle();
        hand.shard.begin_shutdown();
        hand.send(long);
        assert!(writes_log(&mut hand), "under {durability:?}");
        hand.settle();
    }
}

#[test]
fn a_shard_is_idle_only_when_its_last_sync_is_done() {
    let mut hand = Hand::new(Durability::None, usual());
    hand.put(b"k", b"v");
    hand.shard.begin_shutdown();
    for _ in 0..2 {
        hand.end_turn();
        let is_syncing = hand.held.iter().any(|request| matches!(request, IoRequest::Sync { .. }));
        if is_syncing {
            assert!(!hand.shard.is_idle(), "the sync is on its way");
        }
        hand.perform_held();
    }
    assert!(hand.shard.is_idle());
    hand.dir.crash_losing_all();
    assert_eq!(hand.reopen().get(b"k"), Seen::Value(b"v".to_vec()));
}

#[test]
fn a_shard_at_rest_wants_to_run_once_more_to_settle_and_then_never() {
    let mut hand = Hand::new(Durability::Sync, small());
    for round in 0..3_u8 {
        for number in 0..200_u32 {
            hand.put(&number.to_be_bytes(), &[round; 100]);
        }
        hand.shard.flush();
        hand.settle();
    }
    let mut turns = 0;
    while let Some(deadline_us) = hand.shard.next_deadline_us() {
        assert!(deadline_us > hand.now.mono_us, "a deadline that is past makes a driver spin");
        hand.advance_ms((deadline_us - hand.now.mono_us).div_ceil(1000));
        hand.settle();
        turns += 1;
        assert!(turns < 10, "it never rests");
    }
    assert!(turns > 0, "nobody asked it to settle");
}

#[test]
fn a_shard_whose_values_have_expired_stops_telling_the_log_the_time() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.ask(put_expiring(b"k", &[1; 100], PutExpiry::After(500)));
    hand.shard.flush();
    hand.settle();
    for _ in 0..60 {
        hand.advance_ms(1000);
        hand.settle();
    }
    assert_eq!((hand.table_bytes(), hand.shard.next_deadline_us()), (0, None));
}

#[test]
fn a_log_of_nothing_but_clock_readings_does_not_grow_without_end() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.ask(put_expiring(b"k", b"v", PutExpiry::After(1 << 40)));
    hand.shard.flush();
    hand.settle();
    for _ in 0..20_000 {
        hand.advance_ms(1000);
        hand.end_turn();
        hand.perform_held();
        hand.run_jobs();
    }
    let log_bytes = hand.shard.stats().log_bytes;
    assert!(log_bytes <= 512 << 10, "{log_bytes}");
    let mut again = hand.reopen();
    assert_eq!(again.get(b"k"), Seen::Value(b"v".to_vec()));
}

#[test]
fn an_edit_that_does_not_fit_is_never_written() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"k", b"v");
    hand.shard.flush();
    hand.settle();
    let bad = Edit { removed: vec![77], ..Edit::default() };
    assert!(hand.shard.manifest.check(&bad).is_err());
    let number = hand.shard.sources.tree.tables().next().unwrap().1.meta().number;
    let out = Edit { removed: vec![number], ..Edit::default() };
    let mut io = Vec::new();
    hand.shard.manifest.check(&out).unwrap();
    hand.shard.manifest.append(out.clone(), &mut io);
    assert!(hand.shard.manifest.check(&out).is_err(), "an edit on its way counts");
}

#[test]
fn a_segment_that_cannot_be_prepared_leaves_nothing_on_a_full_disk() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.settle();
    let files = |hand: &Hand| crate::dir::Dir::list(&hand.dir).unwrap().len();
    let before = files(&hand);
    hand.dir.fill_after(0);
    for number in 0..30_u32 {
        hand.put(&number.to_be_bytes(), &[1; 800]);
        hand.end_turn();
        hand.run_jobs();
        hand.advance_ms(1001);
    }
    assert!(hand.shard.stats().job_errors > 3, "it was tried again and again");
    assert!(files(&hand) <= before, "{} files, {before} before", files(&hand));
}

#[test]
fn flushing_goes_on_while_writes_never_pause() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.shard.flush();
    for number in 0..20_u32 {
        hand.send(put(&number.to_be_bytes(), b"v"));
        hand.end_turn();
        hand.send(put(b"more", b"v"));
        hand.perform_held();
    }
    assert!(!hand.shard.sources.frozen.is_empty() || !hand.jobs.is_empty());
}

#[test]
fn tables_beyond_the_budget_for_residency_are_paged() {
    let mut hand = Hand::new(Durability::Sync, small());
    for number in 0..400_u32 {
        hand.put(&number.to_be_bytes(), &[1; 200]);
    }
    hand.shard.flush();
    hand.settle();
    assert!(hand.shard.stats().resident_bytes > 0);
    hand.shard.budgets.resident = 0;
    hand.put(b"one more", b"v");
    hand.shard.flush();
    hand.settle();
    assert_eq!(hand.shard.stats().resident_bytes, 0);
}

#[test]
fn a_memtable_that_opening_filled_is_flushed_without_waiting_for_a_write() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"k", &[7; 200 << 10]);
    let mut hand = hand.reopen();
    assert!(hand.shard.write_delay_us() > 0, "writers are held back until there is room");
    hand.settle();
    assert_eq!((hand.shard.write_delay_us(), hand.shard.stats().flushes), (0, 1));
}
