//! The table of docs/decisions/0006: what passes for a shard, and what its wall clock shows.

use super::*;

const HOUR_US: u64 = 3_600_000_000;
const YEARS_US: i64 = 10 * 365 * 24 * HOUR_US as i64;
const START_US: u64 = 1_700_000_000_000_000;

/// A machine: its clocks, as a test sets them.
#[derive(Clone, Copy)]
struct Machine {
    now: Now,
}

impl Machine {
    fn new() -> Machine {
        let boot = BootTime { id: BootId([1; 16]), us: 100_000_000 };
        Machine { now: Now { unix_us: START_US, mono_us: 0, boot } }
    }

    fn pass(&mut self, us: u64) {
        self.now.unix_us += us;
        self.now.boot.us += us;
    }

    fn step(&mut self, us: i64) {
        self.now.unix_us = self.now.unix_us.saturating_add_signed(us);
    }

    fn reboot(&mut self, down_us: u64) {
        self.now.unix_us += down_us;
        self.now.boot = BootTime { id: BootId([self.now.boot.id.0[0] + 1; 16]), us: 5_000_000 };
    }
}

/// A shard's clock on a machine, looked at as often as a shard does.
struct Seen {
    machine: Machine,
    clock: ShardClock,
}

impl Seen {
    fn new() -> Seen {
        let machine = Machine::new();
        Seen { machine, clock: ShardClock::resume(None, &machine.now, TimeJump::Refuse) }
    }

    /// A clock that has been believed for long.
    fn settled() -> Seen {
        let mut seen = Seen::new();
        seen.pass(10 * 60_000_000);
        assert!(seen.clock.stamp().is_sure);
        seen
    }

    fn pass(&mut self, us: u64) {
        let mut left = us;
        while left > 0 {
            let step = left.min(LOOK_US);
            self.machine.pass(step);
            self.clock.tick(&self.machine.now);
            left -= step;
        }
    }

    fn step(&mut self, us: i64) {
        self.machine.step(us);
        self.clock.tick(&self.machine.now);
    }

    fn reopen(&mut self, jump: TimeJump) {
        self.clock = ShardClock::resume(Some(self.clock.stamp()), &self.machine.now, jump);
    }

    /// How far the wall clock that counts is from the one that the machine shows.
    fn wall_is_off_us(&self) -> i64 {
        self.clock.wall_us() as i64 - self.machine.now.unix_us as i64
    }
}

/// Steps of all sizes, both ways.
fn steps() -> impl Iterator<Item = i64> {
    [1_000_000, 9_000_000, 11_000_000, HOUR_US as i64, YEARS_US].into_iter().flat_map(|us| [us, -us])
}

#[test]
fn shard_time_goes_on_by_what_passes_whatever_the_wall_clock_does() {
    for step in steps() {
        let mut seen = Seen::settled();
        let before_us = seen.clock.us();
        seen.step(step);
        seen.pass(1_000_000);
        seen.step(-step);
        seen.pass(1_000_000);
        seen.step(step);
        seen.pass(120_000_000);
        assert_eq!(seen.clock.us() - before_us, 122_000_000, "a step of {step} us");
    }
}

#[test]
fn a_wall_clock_that_is_wrong_for_a_moment_has_no_effect() {
    for step in steps().filter(|step| step.unsigned_abs() > 10_000_000) {
        let mut seen = Seen::settled();
        let at_ms = seen.machine.now.unix_us / 1000 + 60_000;
        let right = seen.clock.clocks(0).expiry_at(at_ms);
        seen.step(step);
        assert_eq!(seen.clock.clocks(0).expiry_at(at_ms), right, "while it is off by {step} us");
        seen.pass(59_000_000);
        assert_eq!(seen.clock.clocks(0).expiry_at(at_ms), right);
        seen.step(-step);
        seen.pass(1_000_000);
        assert_eq!((seen.clock.clocks(0).expiry_at(at_ms), seen.wall_is_off_us()), (right, 0));
    }
}

#[test]
fn a_step_that_stands_counts_after_a_minute_and_a_small_one_at_once() {
    for step in steps() {
        let mut seen = Seen::settled();
        let is_small = step.unsigned_abs() <= 10_000_000;
        seen.step(step);
        assert_eq!(seen.wall_is_off_us() == 0, is_small);
        seen.pass(50_000_000);
        assert_eq!(seen.wall_is_off_us() == 0, is_small);
        seen.pass(10_000_000);
        assert_eq!(seen.wall_is_off_us(), 0, "a step of {step} us has stood for a minute");
    }
}

#[test]
fn a_clock_that_comes_and_goes_never_stands() {
    let mut seen = Seen::settled();
    for _ in 0..10 {
        seen.step(YEARS_US);
        seen.pass(40_000_000);
        seen.step(-YEARS_US);
        seen.pass(1_000_000);
        assert_eq!(seen.wall_is_off_us(), 0);
    }
}

#[test]
fn a_step_stands_only_while_somebody_looks() {
    for step in steps().filter(|step| step.unsigned_abs() > 10_000_000) {
        let mut seen = Seen::settled();
        let right = seen.clock.wall_us() - seen.machine.now.boot.us;
        seen.step(step);
        // It is set to yet another time; nobody looks, for the machine falls asleep, and wakes with the clock as it was.
        seen.machine.step(-(HOUR_US as i64) / 2);
        seen.machine.pass(80_000_000);
        seen.machine.step(HOUR_US as i64 / 2 + 3_000_000 * step.signum());
        seen.clock.tick(&seen.machine.now);
        assert_eq!(seen.clock.wall_us() - seen.machine.now.boot.us, right, "a step of {step} us");
        seen.pass(50_000_000);
        assert_eq!(seen.clock.wall_us() - seen.machine.now.boot.us, right, "a step of {step} us");
        seen.pass(10_000_000);
        assert_eq!(seen.wall_is_off_us(), 0, "now it has stood for a minute");
    }
}

#[test]
fn the_first_clock_of_a_boot_gives_way_at_once() {
    for step in steps() {
        let mut seen = Seen::new();
        seen.pass(300_000);
        seen.step(step);
        assert_eq!(seen.wall_is_off_us(), 0, "it was wrong, or is now: nobody knows");
        seen.pass(59_000_000);
        seen.step(-step);
        assert_eq!(seen.wall_is_off_us(), 0, "the second one hasn't stood for a minute either");
    }
}

#[test]
fn an_opening_in_the_same_boot_goes_on_by_boottime() {
    for step in steps() {
        let mut seen = Seen::settled();
        let (before_us, at_ms) = (seen.clock.us(), seen.machine.now.unix_us / 1000 + 60_000);
        let right = seen.clock.clocks(0).expiry_at(at_ms);
        seen.machine.pass(5_000_000);
        seen.machine.step(step);
        seen.reopen(TimeJump::Refuse);
        assert_eq!(seen.clock.us() - before_us, 5_000_000, "a step of {step} us while it was closed");
        let counts = step.unsigned_abs() <= 10_000_000;
        assert_eq!(seen.clock.clocks(0).expiry_at(at_ms) == right, !counts);
        seen.step(-step);
        assert_eq!(seen.clock.clocks(0).expiry_at(at_ms), right, "it was for a moment");
    }
}

#[test]
fn a_clock_that_was_wrong_when_a_boot_began_isnt_believed_because_it_was_logged() {
    let mut seen = Seen::new();
    seen.step(YEARS_US);
    let stamp = seen.clock.stamp();
    assert!(!stamp.is_sure);
    seen.machine.step(-YEARS_US);
    seen.reopen(TimeJump::Refuse);
    assert_eq!(seen.wall_is_off_us(), 0);
}

#[test]
fn an_opening_in_another_boot_goes_on_by_the_wall_clock_and_never_back() {
    for (step, passed_us) in [
        (0, 100_000_000),
        (HOUR_US as i64, 100_000_000 + HOUR_US),
        (-(HOUR_US as i64), MARGIN_US),
        (-YEARS_US, MARGIN_US),
    ] {
        let mut seen = Seen::settled();
        let before_us = seen.clock.us();
        seen.machine.reboot(100_000_000);
        seen.machine.step(step);
        let gap_us = seen.clock.stamp().gap_us(&seen.machine.now);
        assert_eq!(gap_us, Some(100_000_000 + step));
        seen.reopen(TimeJump::Refuse);
        let went_us = seen.clock.us() - before_us;
        assert!((passed_us..passed_us + 1000).contains(&went_us), "{went_us} us, a step of {step}");
        assert_eq!(seen.wall_is_off_us(), 0);
    }
}

#[test]
fn a_long_gap_is_followed_or_ignored() {
    for (jump, passed_us) in [(TimeJump::Follow, 25 * HOUR_US), (TimeJump::Ignore, MARGIN_US)] {
        let mut seen = Seen::settled();
        let before_us = seen.clock.us();
        seen.machine.reboot(25 * HOUR_US);
        seen.reopen(jump);
        assert!((passed_us..passed_us + 1000).contains(&(seen.clock.us() - before_us)), "{jump:?}");
    }
    let mut seen = Seen::settled();
    let before_us = seen.clock.us();
    seen.machine.reboot(HOUR_US);
    seen.reopen(TimeJump::Ignore);
    assert!(seen.clock.us() - before_us >= HOUR_US, "an hour isn't a jump that anybody has to explain");
}

#[test]
fn another_boot_is_told_by_its_id_by_a_boottime_that_went_back_and_by_none() {
    let seen = Seen::settled();
    let (stamp, now) = (seen.clock.stamp(), seen.machine.now);
    assert_eq!(stamp.gap_us(&now), None);
    let earlier = Now { boot: BootTime { us: now.boot.us - 1, ..now.boot }, ..now };
    assert_eq!(stamp.gap_us(&earlier), Some(0), "a virtual machine that went back to a snapshot");
    assert_eq!(ClockStamp::of_one_clock(stamp.shard_us).gap_us(&now), Some(0));
    let nowhere = Now { boot: BootTime { id: BootId::UNKNOWN, us: now.boot.us + 1 }, ..now };
    let stamp = ClockStamp { boot: BootTime { us: now.boot.us, ..nowhere.boot }, ..stamp };
    assert_eq!(stamp.gap_us(&nowhere), Some(0));
}

#[test]
fn the_moment_of_a_stamp_is_no_other_boot_whether_that_is_known_or_not() {
    let known = Seen::settled().clock.stamp();
    for stamp in [known, ClockStamp::of_one_clock(known.shard_us + 7)] {
        assert_eq!(stamp.gap_us(&stamp.now()), None);
        let clock = ShardClock::resume(Some(stamp), &stamp.now(), TimeJump::Refuse);
        assert_eq!((clock.us(), clock.wall_us()), (stamp.shard_us, stamp.wall_us));
        // Another shard of the store was last written to a second later.
        let later = Now { unix_us: stamp.wall_us + 1_000_000, boot: BootTime::default(), ..stamp.now() };
        assert_eq!(stamp.gap_us(&later), Some(1_000_000));
    }
}

#[test]
fn what_an_older_build_froze_in_the_future_goes_on_from_there() {
    let machine = Machine::new();
    let frozen_us = START_US + YEARS_US as u64;
    let mut seen = Seen {
        machine,
        clock: ShardClock::resume(Some(ClockStamp::of_one_clock(frozen_us)), &machine.now, TimeJump::Refuse),
    };
    let before_us = seen.clock.us();
    assert!(before_us > frozen_us);
    seen.pass(1_000_000);
    assert_eq!(seen.clock.us() - before_us, 1_000_000);
    let in_a_minute = seen.clock.clocks(0).expiry_at(seen.machine.now.unix_us / 1000 + 60_000);
    assert_eq!(in_a_minute.0 - seen.clock.us() / 1000, 60_000);
}

#[test]
fn a_time_that_is_named_is_told_again_to_the_millisecond_also_by_another_shard() {
    let mut here = Seen::settled();
    let mut there = Seen::new();
    there.machine.now = here.machine.now;
    there.clock = ShardClock::resume(
        Some(ClockStamp::of_one_clock(START_US + 7 * HOUR_US + 123_457)),
        &there.machine.now,
        TimeJump::Refuse,
    );
    for us in [0, 1, 999, 1_000, 123_456_789] {
        here.pass(us);
        there.machine.now = here.machine.now;
        there.clock.tick(&there.machine.now);
        let (mine, theirs) = (here.clock.clocks(0), there.clock.clocks(0));
        for at_ms in [START_US / 1000 + 1, START_US / 1000 + 600_000] {
            let expiry = theirs.expiry_at(at_ms);
            assert_eq!(theirs.told_ms(expiry), at_ms);
            let moved = mine.from_boot(theirs.to_boot(expiry));
            assert_eq!(mine.told_ms(moved), at_ms);
            assert_eq!(
                moved.0 as i64 - mine.now_ms() as i64,
                expiry.0 as i64 - theirs.now_ms() as i64,
                "so much is left"
            );
        }
    }
    let clocks = here.clock.clocks(0);
    assert_eq!(clocks.told_ms(Expiry::NEVER), 0);
    assert_eq!(clocks.from_boot(clocks.to_boot(Expiry::NEVER)), Expiry::NEVER);
    assert!(clocks.from_boot(clocks.to_boot(Expiry(u64::MAX))).0 > 1 << 62, "for ever stays for ever");
}

#[test]
fn a_stamp_goes_on_with_the_entries_behind_it_and_survives_its_bytes() {
    let mut seen = Seen::settled();
    let stamp = seen.clock.stamp();
    assert_eq!(ClockStamp::from_bytes(&stamp.to_bytes()), stamp);
    seen.pass(3_000_000);
    assert_eq!(ClockStamp::behind_entry(Some(stamp), seen.clock.us()), Some(seen.clock.stamp()));
    assert_eq!(ClockStamp::behind_entry(Some(stamp), 5), Some(stamp), "entries of a commit may be older");
    let early = ClockStamp { shard_us: 5, ..stamp };
    assert_eq!((early.or_newer(Some(stamp)), stamp.or_newer(Some(early))), (stamp, stamp));
}
