//! Time: what expires takes its time whatever the wall clock does, and nothing that expired comes back.

use super::*;
use crate::clock::{ClockStamp, MARGIN_US};
use crate::log::{Batch, DumpItem, RecordKind, clock_behind, dump};
use crate::manifest::Manifest;
use crate::offline::ShardTime;

pub(super) const HOUR_US: u64 = 3_600_000_000;
pub(super) const YEARS_US: i64 = 10 * 365 * 24 * HOUR_US as i64;

impl Hand {
    /// Somebody sets the wall clock.
    pub(super) fn step(&mut self, us: i64) {
        self.now.unix_us = self.now.unix_us.saturating_add_signed(us);
    }

    /// Time passes, and the shard looks at the clocks meanwhile.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms / 1000 {
            self.advance_ms(1000);
            self.settle();
        }
        self.advance_ms(ms % 1000);
        self.settle();
    }

    /// The machine starts again; it was down for so long.
    fn reboot(mut self, down_us: u64) -> Hand {
        self.boot_anew(down_us);
        self.reopen()
    }

    pub(super) fn boot_anew(&mut self, down_us: u64) {
        self.now.unix_us += down_us;
        self.now.boot = BootTime { id: BootId([self.now.boot.id.0[0] + 1; 16]), us: 3_000_000 };
    }

    pub(super) fn has(&mut self, key: &[u8]) -> bool {
        self.get(key) != Seen::NotFound
    }

    pub(super) fn set_after(&mut self, key: &[u8], ms: u64) {
        self.ask(put_expiring(key, b"v", PutExpiry::After(ms)));
    }

    /// As EXPIREAT does: by the wall clock that the user has, which is right.
    fn set_at(&mut self, key: &[u8], wall_ms: u64) {
        self.ask(put_expiring(key, b"v", PutExpiry::At(wall_ms)));
    }
}

pub(super) fn settled() -> Hand {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.set_after(b"for long", 1 << 40);
    hand.pass_ms(61_000);
    hand
}

/// Steps of all sizes, both ways.
fn steps() -> impl Iterator<Item = i64> {
    [5_000_000, 60_000_000, HOUR_US as i64, YEARS_US].into_iter().flat_map(|us| [us, -us])
}

#[test]
fn a_relative_expiry_takes_its_time_although_the_wall_clock_was_wrong_for_a_moment() {
    for step in steps() {
        let mut hand = settled();
        hand.step(step);
        hand.pass_ms(300);
        hand.step(-step);
        hand.set_after(b"k", 1000);
        hand.pass_ms(999);
        assert!(hand.has(b"k"), "a step of {step} us");
        hand.pass_ms(1);
        assert!(!hand.has(b"k"), "a step of {step} us");
    }
}

#[test]
fn a_relative_expiry_takes_its_time_under_a_wall_clock_that_was_set_and_over_restarts() {
    for step in steps() {
        let mut hand = settled();
        hand.set_after(b"k", 100_000);
        hand.step(step);
        hand.pass_ms(70_000);
        let mut hand = hand.reopen();
        hand.step(-step);
        hand.pass_ms(20_000);
        let mut hand = hand.reopen();
        hand.pass_ms(9_999);
        assert!(hand.has(b"k"), "a step of {step} us");
        hand.pass_ms(1);
        assert!(!hand.has(b"k"), "a step of {step} us");
    }
}

#[test]
fn an_absolute_expiry_is_right_behind_a_moment_also_after_a_restart_and_on_another_machine() {
    for step in steps().filter(|step| step.unsigned_abs() > 10_000_000) {
        let mut hand = settled();
        hand.step(step);
        hand.pass_ms(300);
        // It is killed while the clock is wrong.
        let mut hand = hand.reopen();
        hand.step(-step);
        let wall_ms = hand.now.unix_us / 1000;
        hand.set_at(b"k", wall_ms + 60_000);
        hand.pass_ms(59_000);
        assert!(hand.has(b"k"), "a step of {step} us");
        let mut hand = hand.reboot(5_000_000);
        assert!(!hand.has(b"k"), "{step}: a minute has passed");
        let wall_ms = hand.now.unix_us / 1000;
        hand.set_at(b"k", wall_ms + 60_000);
        hand.pass_ms(59_999);
        assert!(hand.has(b"k"), "a step of {step} us");
        hand.pass_ms(1);
        assert!(!hand.has(b"k"), "a step of {step} us");
    }
}

#[test]
fn a_shard_at_rest_writes_down_once_which_wall_clock_is_believed() {
    for step in steps().filter(|step| step.unsigned_abs() > 10_000_000) {
        let mut hand = Hand::new(Durability::Sync, usual());
        let off_us = |hand: &Hand| hand.now.unix_us as i64 - hand.shard.clocks().wall_us as i64;
        hand.pass_ms(61_000);
        assert_eq!(hand.shard.stats().log_writes, 1, "that it has stood for a minute");
        hand.pass_ms(120_000);
        assert_eq!(hand.shard.stats().log_writes, 1, "nothing is new");
        hand.step(step);
        let mut hand = hand.reopen();
        assert_eq!(off_us(&hand), step, "it is wrong for the moment of the start");
        hand.pass_ms(61_000);
        assert_eq!((off_us(&hand), hand.shard.stats().log_writes), (0, 1), "it has been set");
        let hand = hand.reopen();
        assert_eq!((off_us(&hand), hand.shard.stats().log_writes), (0, 0), "by {step} us, and stays so");
    }
}

#[test]
fn a_key_that_expired_stays_gone_whatever_the_wall_clock_shows_after_a_reboot() {
    for step in steps().filter(|step| *step < 0) {
        let mut hand = settled();
        hand.set_after(b"k", 500);
        hand.pass_ms(300);
        hand.advance_ms(1100);
        assert_eq!(hand.get(b"k"), Seen::NotFound, "nobody wrote that to the log");
        hand.boot_anew(0);
        hand.step(step);
        let mut hand = hand.reopen();
        assert!(!hand.has(b"k"), "a step of {step} us");
        assert!(hand.has(b"for long"));
    }
}

#[test]
fn a_key_that_expired_by_a_wall_clock_that_was_wrong_at_a_start_stays_gone() {
    let mut hand = settled();
    hand.set_after(b"k", 600_000);
    hand.boot_anew(1_000_000);
    hand.step(HOUR_US as i64);
    let mut hand = hand.reopen();
    assert!(!hand.has(b"k"), "the clock says so");
    // It is killed before it wrote anything, and the clock is right again.
    hand.step(-(HOUR_US as i64));
    let hand = hand.reopen();
    let mut hand = hand.reboot(0);
    assert!(!hand.has(b"k"));
}

#[test]
fn a_day_that_only_the_wall_clock_knows_of_is_to_be_explained() {
    let hand_after = |jump| {
        let mut hand = settled();
        hand.set_after(b"hours", 10 * 3_600_000);
        hand.boot_anew(25 * HOUR_US);
        hand.options.time_jump = jump;
        hand
    };
    let mut refused = hand_after(TimeJump::Refuse);
    let outcome = Shard::open(&mut refused.dir, refused.options.clone(), refused.now);
    assert!(matches!(outcome, Err(crate::Error::TimeJump { hours: 25, .. })));
    let time = ShardTime::read(&refused.dir, [7; 16]).unwrap();
    assert!(time.holds_expiring);
    assert_eq!(time.stamp.unwrap().gap_us(&refused.now), Some(25 * HOUR_US as i64));
    assert!(hand_after(TimeJump::Ignore).reopen().has(b"hours"));
    assert!(!hand_after(TimeJump::Follow).reopen().has(b"hours"));
    assert!(hand_after(TimeJump::Follow).reopen().has(b"for long"));
}

#[test]
fn a_shard_that_holds_nothing_that_expires_opens_whatever_the_wall_clock_shows() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"k", b"v");
    hand.step(YEARS_US);
    let mut hand = hand.reboot(0);
    assert!(hand.has(b"k"));
}

#[test]
fn versions_rise_whatever_the_wall_clock_does() {
    let mut hand = settled();
    let mut last = Vec::new();
    for step in steps().chain(steps()) {
        hand.step(step);
        hand.pass_ms(61_000);
        last.push(hand.shard.groups[0].assigned);
        hand.put(b"k", b"v");
        hand = hand.reboot(5_000_000);
        assert!(hand.has(b"k"));
    }
    assert!(last.windows(2).all(|two| two[0] < two[1]), "{last:?}");
}

#[test]
fn the_manifest_knows_the_time_when_the_log_that_knew_it_is_gone() {
    let mut hand = settled();
    hand.shard.flush();
    hand.settle();
    assert_eq!(hand.shard.stats().frozen_memtables, 0);
    let manifest = Manifest::read(&hand.dir, [7; 16]).unwrap();
    assert_eq!(manifest.clock.map(|clock| clock.boot), Some(hand.now.boot));
    hand.set_after(b"k", 10_000);
    hand.step(-YEARS_US);
    hand.pass_ms(4_000);
    let mut hand = hand.reopen();
    hand.pass_ms(5_999);
    assert!(hand.has(b"k"));
    hand.pass_ms(1);
    assert!(!hand.has(b"k"));
}

#[test]
fn what_expired_while_nobody_looked_is_told_when_the_log_knows_how_long_that_was() {
    let mut hand = settled();
    hand.set_after(b"k", 5_000);
    hand.advance_ms(300_000);
    hand.shard.tick(hand.now);
    assert!(hand.shard.is_time_held(), "whoever asks waits");
    hand.settle();
    assert!(!hand.shard.is_time_held() && hand.shard.clocks().kept_us >= hand.shard.clocks().now_us - 1_000);
    assert!(!hand.has(b"k"));
    // The power fails, and the wall clock is set back: nothing comes back.
    hand.step(-YEARS_US);
    let mut hand = hand.reboot(1_000);
    assert!(!hand.has(b"k"));
}

#[test]
fn what_expired_while_a_shard_was_closed_is_written_down_before_it_is_told() {
    let mut hand = settled();
    hand.set_after(b"k", 5_000);
    hand.settle();
    hand.advance_ms(300_000);
    let mut hand = hand.reopen();
    let clocks = hand.shard.clocks();
    assert_eq!(clocks.kept_us, clocks.now_us);
    assert!(!hand.has(b"k"));
    hand.step(-YEARS_US);
    let mut hand = hand.reboot(1_000);
    assert!(!hand.has(b"k"));
}

#[test]
fn flushes_and_merges_judge_by_a_time_that_no_crash_takes_back() {
    let mut hand = settled();
    hand.set_after(b"k", 500);
    let known_us = hand.shard.clocks().kept_us;
    hand.shard.flush();
    hand.advance_ms(800);
    assert_eq!(hand.get(b"k"), Seen::NotFound);
    // The disk is slow: the log hasn't learned that half a second has passed.
    hand.end_turn();
    hand.run_jobs();
    assert_eq!(hand.shard.clocks().kept_us, known_us);
    hand.perform_held();
    hand.settle();
    assert_eq!(hand.shard.stats().expired, 0, "a replay would find it alive");
    hand.pass_ms(2_000);
    hand.put(b"l", b"v");
    hand.shard.flush();
    hand.pass_ms(2_000);
    assert_eq!(hand.get(b"k"), Seen::NotFound);
}

#[test]
fn the_log_says_all_clocks_when_it_begins_when_the_wall_clock_is_set_and_every_second() {
    let mut hand = settled();
    hand.step(HOUR_US as i64);
    hand.pass_ms(70_000);
    let mut stamps: Vec<ClockStamp> = Vec::new();
    let (mut before, mut last_us) = (None, 0);
    dump(&hand.dir, &mut |item| {
        let DumpItem::Record { record, .. } = item else { return Ok(()) };
        before = clock_behind(before, &record).unwrap();
        let clock_us = match record.kind {
            RecordKind::Clock => ClockStamp::from_bytes(record.payload.try_into().unwrap()).shard_us,
            _ => Batch::parse(record.payload).unwrap().clock_us(),
        };
        assert!(clock_us <= last_us + 1_100_000 || last_us == 0, "a second without a word");
        last_us = clock_us;
        match record.kind {
            RecordKind::Clock => stamps.push(before.unwrap()),
            _ => assert!(!stamps.is_empty(), "an entry came before the clocks"),
        }
        Ok(())
    })
    .unwrap();
    let leads: Vec<i64> = stamps.iter().map(|stamp| stamp.clocks().lead_ms()).collect();
    assert!(leads.contains(&0) && leads.contains(&3_600_000), "{leads:?}");
    assert!(stamps.iter().any(|stamp| !stamp.is_sure) && stamps.last().unwrap().is_sure);
}

/// What an older build left, whose one clock, which it kept with the groups, had gone so far.
fn of_one_clock(frozen_us: u64) -> Hand {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.set_after(b"for long", 1 << 40);
    hand.shard.flush();
    hand.settle();
    let state = Manifest::read(&hand.dir, [7; 16]).unwrap();
    let groups = state
        .groups
        .values()
        .map(|group| crate::manifest::GroupState { clock_us: frozen_us, ..group.clone() });
    let groups = groups.collect();
    let (mut manifest, _) = Manifest::recover(&mut hand.dir, [7; 16]).unwrap();
    let clock = Some(ClockStamp::of_one_clock(frozen_us));
    let edit = crate::manifest::Edit { groups, clock, ..Default::default() };
    crate::drive::blocking::publish(&mut hand.dir, &mut manifest, edit).unwrap();
    hand
}

#[test]
fn a_shard_of_an_older_build_stands_still_for_whoever_opens_it_at_the_moment_it_was_left() {
    let mut hand = of_one_clock(START_US + HOUR_US + 7);
    let stamp = ShardTime::read(&hand.dir, [7; 16]).unwrap().stamp.unwrap();
    hand.now = stamp.now();
    let bytes = |hand: &Hand| hand.dir.bytes(hand.shard.manifest.file()).to_vec();
    let before = bytes(&hand);
    for _ in 0..2 {
        hand = hand.reopen();
        assert_eq!(hand.shard.clocks().now_us, stamp.shard_us);
        assert!(bytes(&hand) == before, "nothing has passed that had to be told");
    }
}

#[test]
fn a_time_that_an_opening_told_stays_although_memtables_from_before_it_are_flushed_behind_it() {
    let mut tuning = usual();
    tuning.budgets.memtable = 48 << 10;
    let mut hand = Hand::new(Durability::Sync, tuning);
    for number in 0..150_u32 {
        hand.ask(put_expiring(&number.to_be_bytes(), &[7; 1000], PutExpiry::After(1 << 40)));
    }
    let mut hand = hand.reboot(HOUR_US);
    let clock_us =
        |hand: &Hand| Manifest::read(&hand.dir, [7; 16]).unwrap().clock.map(|clock| clock.shard_us);
    let told_us = clock_us(&hand);
    assert!(told_us >= Some(START_US + HOUR_US));
    hand.settle();
    assert!(hand.shard.stats().flushes > 0);
    assert!(clock_us(&hand) >= told_us);
}

#[test]
fn what_an_older_build_left_frozen_in_the_future_expires_again() {
    let frozen_us = START_US + YEARS_US as u64;
    let mut hand = of_one_clock(frozen_us).reopen();
    assert!(hand.shard.clocks().now_us >= frozen_us + MARGIN_US);
    hand.set_after(b"k", 1000);
    let in_a_minute = hand.now.unix_us / 1000 + 60_000;
    hand.set_at(b"l", in_a_minute);
    hand.pass_ms(1000);
    assert!(!hand.has(b"k") && hand.has(b"l"));
    hand.pass_ms(59_000);
    assert!(!hand.has(b"l"));
}
