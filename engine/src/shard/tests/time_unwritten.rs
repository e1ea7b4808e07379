//! Time that has passed and can't be written down.

use super::time::{HOUR_US, YEARS_US, settled};
use super::*;

/// Found by `kvsim --profile swarm --seeds 3753..3754`.
#[test]
fn what_has_passed_and_cannot_be_written_down_counts_for_nothing() {
    for (step, jump) in [(HOUR_US as i64, TimeJump::Refuse), (YEARS_US, TimeJump::Follow)] {
        let mut hand = settled();
        hand.set_after(b"k", 600_000);
        hand.boot_anew(1_000_000);
        hand.step(step);
        hand.options.time_jump = jump;
        hand.dir.fill_after(0);
        let mut hand = hand.reopen();
        let there = hand.has(b"k");
        // The power goes, the disk has room, and nobody believes the clock any more.
        hand.dir.heal();
        hand.boot_anew(0);
        hand.step(-step);
        let mut hand = hand.reopen();
        assert!(there && hand.has(b"k"), "a step of {step} us: it was {there}");
        hand.pass_ms(700_000);
        assert!(!hand.has(b"k"), "it expires all the same");
    }
}

/// Found by `kvsim --profile swarm --seeds 1892..1893`.
#[test]
fn in_the_same_boot_a_full_disk_changes_nothing_of_what_is_known_of_the_time() {
    let mut hand = settled();
    hand.set_after(b"k", 5_000);
    hand.pass_ms(300);
    hand.step(HOUR_US as i64);
    hand.advance_ms(10_000);
    hand.dir.fill_after(0);
    let mut hand = hand.reopen();
    assert!(!hand.has(b"k"), "BOOTTIME says so");
    assert_eq!(hand.shard.clocks().wall_us, hand.now.unix_us - HOUR_US, "it hasn't stood yet");
}
