//! Disks that fail and heal while the shard stays open: it comes back by itself, and what it said stays true.

use super::crashes::{Change, History};
use super::*;
use crate::dir::testing::Change as Kind;
use rand::SeedableRng;

/// A shard on a flaky disk, with what was sent to each partition.
struct Ordeal {
    hand: Hand,
    histories: [History; 2],
    /// What must be there after any crash: everything up to this request.
    safe: [u64; 2],
    was_failed: bool,
    context: String,
}

impl Ordeal {
    fn new(seed: u64, durability: Durability, tuning: Tuning) -> Ordeal {
        Ordeal {
            hand: Hand::new(durability, tuning),
            histories: [History::default(), History::default()],
            safe: [0; 2],
            was_failed: false,
            context: format!("seed {seed}, {durability:?}"),
        }
    }

    /// After every step: when the shard takes writes again, the unknown ones are certainly not there.
    fn watch(&mut self) {
        let is_failed = self.hand.shard.failure().is_some();
        if self.was_failed && !is_failed {
            let answered = &self.hand.answered.0;
            let answers: BTreeMap<u64, &Seen> =
                answered.iter().map(|(number, seen)| (*number, seen)).collect();
            for (history, safe) in self.histories.iter_mut().zip(&mut self.safe) {
                history.sent.retain(|(number, _)| answers.get(number) != Some(&&Seen::Unknown));
                let is_done = |number: &u64| matches!(answers.get(number), Some(Seen::Written { .. }));
                let newest = history.sent.iter().map(|(number, _)| *number).filter(is_done).max();
                *safe = newest.unwrap_or(*safe);
            }
        }
        self.was_failed = is_failed;
    }

    fn write(&mut self, random: &mut SmallRng) {
        let partition = random.random_range(0..2);
        let change = Change::random(random);
        let number = change.send(&mut self.hand, partition);
        self.histories[partition as usize].sent.push((number, change));
    }

    fn live(&mut self, random: &mut SmallRng) {
        for _ in 0..random.random_range(10..500) {
            self.write(random);
            for _ in 0..random.random_range(0..10) {
                self.hand.go_on(random);
                self.watch();
            }
            match random.random_range(0..120) {
                0..3 => self.hand.dir.fail_after(random.random_range(0..20)),
                3..6 => {
                    let one_in = random.random_range(1..8);
                    let kinds = Kind::ALL.into_iter().filter(|_| random.random_ratio(1, 3)).collect();
                    self.hand.dir.fail_now_and_then(random.random(), one_in, kinds);
                }
                6..14 => self.hand.dir.heal(),
                14 => self.hand.shard.flush(),
                15..19 => self.hand.advance_ms(random.random_range(0..40_000)),
                _ => self.hand.advance_ms(random.random_range(0..20)),
            }
        }
    }

    /// The disk works again: so does the shard, within its longest pause.
    fn heal(&mut self) {
        self.hand.dir.heal();
        for _ in 0..4 {
            self.hand.settle();
            self.watch();
            self.hand.advance_ms(31_000);
        }
        assert_eq!(self.hand.shard.failure(), None, "{}", self.context);
        let stats = self.hand.shard.stats();
        assert_eq!((stats.read_only, stats.trouble), (None, None), "{}", self.context);
        assert!(self.hand.shard.is_settled(), "{}", self.context);
        for partition in 0..2 {
            let number = self.hand.send_to(partition, put(b"back", b"1"));
            self.hand.settle();
            let seen = self.hand.answer(number);
            assert!(matches!(seen, Some(Seen::Written { .. })), "{}: {seen:?}", self.context);
            let change = Change::Set(vec![(b"back".to_vec(), Some(b"1".to_vec()))]);
            self.histories[partition as usize].sent.push((number, change));
        }
    }

    /// Compares what is there; `least` of the writes from the first on must be.
    fn check(&mut self, least: [usize; 2], what: &str) {
        for (partition, least) in least.into_iter().enumerate() {
            let found = self.hand.items(partition as u16);
            let context = format!("{}, {what}, partition {partition}", self.context);
            self.histories[partition].check(found, least, &context);
        }
    }

    /// How many writes of each partition have been acknowledged.
    fn done(&mut self) -> [usize; 2] {
        let answered = &self.hand.answered.0;
        self.histories.each_mut().map(|history| history.settle(answered))
    }

    /// How many of them must survive a crash.
    fn promised(&mut self) -> [usize; 2] {
        let done = self.done();
        if self.hand.options.durability == Durability::Sync {
            return done;
        }
        let safe = self.safe;
        [0, 1].map(|place: usize| {
            let sent = &self.histories[place].sent;
            sent.iter().rposition(|(number, _)| *number <= safe[place]).map_or(0, |last| last + 1)
        })
    }

    fn reopened(mut self, hand: impl FnOnce(Hand) -> Hand, least: [usize; 2], what: &str) -> Ordeal {
        self.hand = hand(self.hand);
        (self.was_failed, self.safe) = (false, [0; 2]);
        self.check(least, what);
        self
    }
}

/// Lives on a disk that fails and heals at any step, some ended by a power failure.
fn run(seed: u64, durability: Durability, tuning: Tuning) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut ordeal = Ordeal::new(seed, durability, tuning);
    for life in 0..6 {
        ordeal.live(&mut random);
        if random.random() {
            ordeal.heal();
            let done = ordeal.done();
            let all = [0, 1].map(|place: usize| ordeal.histories[place].sent.len());
            assert_eq!(done, all, "{}: every caller has an answer", ordeal.context);
            // A look changes nothing: a crash may still take back what wasn't synced.
            let histories = ordeal.histories.clone();
            ordeal.check(done, &format!("life {life}, healed"));
            ordeal.histories = histories;
            if random.random() {
                continue;
            }
        }
        let promised = ordeal.promised();
        let what = format!("life {life}, after a power failure");
        ordeal = ordeal.reopened(|hand| hand.crash(&mut random), promised, &what);
    }
}

#[test]
fn a_shard_comes_back_by_itself_and_keeps_what_it_acknowledged() {
    for seed in 0..40 {
        run(seed, Durability::Sync, if seed % 2 == 0 { small() } else { cold() });
    }
}

#[test]
fn a_shard_that_syncs_behind_comes_back_and_what_it_acknowledged_before_is_safe() {
    for seed in 100..120 {
        run(seed, Durability::IntervalMs(50), if seed % 2 == 0 { small() } else { cold() });
        run(seed, Durability::None, if seed % 2 == 0 { small() } else { cold() });
    }
}

/// Ends turns until what nobody waits for is being written, and fails it.
fn fail_log_writes_that_arrive_late(hand: &mut Hand) {
    hand.end_turn_late();
    fail_log_writes_that_arrive(hand);
}

/// Performs what is held; writes of the log fail although they arrive whole.
fn fail_log_writes_that_arrive(hand: &mut Hand) {
    for request in std::mem::take(&mut hand.held) {
        let is_log_write = matches!(request, IoRequest::Write { file: crate::io::FileName::Log(_), .. });
        let mut completion = perform(&mut hand.dir, request);
        if is_log_write {
            completion.result = Err(std::io::Error::other("the device is gone"));
        }
        hand.shard.complete(completion, &mut hand.answered);
    }
}

#[test]
fn a_write_that_failed_but_arrived_comes_back_only_by_a_crash_before_the_cut() {
    for crashes_before in [true, false] {
        let mut hand = Hand::new(Durability::Sync, usual());
        hand.put(b"a", b"1");
        let lost = hand.send(put(b"a", b"2"));
        hand.end_turn();
        fail_log_writes_that_arrive(&mut hand);
        assert_eq!(hand.answer(lost), Some(&Seen::Unknown));
        assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()), "nobody sees it");
        assert!(matches!(hand.put(b"b", b"3"), Seen::Refused(why) if why.contains("by itself")));
        if !crashes_before {
            hand.advance_ms(1000);
            hand.settle();
            assert_eq!(hand.shard.failure(), None);
            assert_eq!(hand.put(b"b", b"3"), Seen::Written { existed: 0, old: None });
        }
        hand.dir.crash_losing_all();
        let mut again = hand.reopen();
        let expected = if crashes_before { b"2" } else { b"1" };
        assert_eq!(again.get(b"a"), Seen::Value(expected.to_vec()));
        let other = if crashes_before { Seen::NotFound } else { Seen::Value(b"3".to_vec()) };
        assert_eq!(again.get(b"b"), other);
    }
}

#[test]
fn a_disk_that_stays_broken_is_tried_less_and_less_often_and_reads_go_on() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"a", b"1");
    hand.dir.fail_after(0);
    hand.send(put(b"a", b"2"));
    hand.settle();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let deadline_us = hand.shard.doubt_due_us().expect("it wants to try again");
        pauses.push((deadline_us - hand.now.mono_us) / 1_000_000);
        assert!(hand.shard.next_deadline_us() <= Some(deadline_us));
        hand.now.mono_us = deadline_us;
        hand.settle();
        assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()));
        assert!(matches!(hand.put(b"b", b"3"), Seen::Refused(_)));
        assert!(hand.shard.stats().read_only.unwrap().contains("injected failure"));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    let files = crate::dir::Dir::list(&hand.dir).unwrap().len();
    assert!(files < 8, "{files} files: attempts leave nothing behind");
    hand.dir.heal();
    hand.advance_ms(30_000);
    hand.settle();
    assert_eq!(hand.put(b"b", b"3"), Seen::Written { existed: 0, old: None });
    assert_eq!(hand.shard.stats().log_failures, 1);
}

#[test]
fn the_log_is_not_cut_while_a_request_of_the_failed_one_may_still_write() {
    let mut hand = Hand::new(Durability::IntervalMs(50), usual());
    hand.put(b"a", b"1");
    hand.advance_ms(60);
    hand.end_turn();
    let sync = hand.held.pop().expect("what was written is due to be synced");
    hand.send(put(b"a", b"2"));
    hand.end_turn();
    let IoRequest::Sync { token, .. } = sync else { panic!("{sync:?}") };
    let result = Err(std::io::Error::other("the device is gone"));
    hand.shard.complete(IoCompletion { token, result }, &mut hand.answered);
    let late = std::mem::take(&mut hand.held);
    assert!(matches!(late[..], [IoRequest::Write { .. }]));
    hand.advance_ms(5000);
    hand.settle();
    assert!(hand.shard.failure().is_some(), "the kernel has a write that it may still do");
    hand.held = late;
    hand.settle();
    assert_eq!(hand.shard.failure(), None);
    assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()));
    hand.dir.crash_losing_all();
    assert_eq!(hand.reopen().get(b"a"), Seen::Value(b"1".to_vec()), "flushed before writes were taken");
}

#[test]
fn a_flush_asked_for_in_doubt_does_not_mix_with_what_the_log_brings_back() {
    let mut hand = Hand::new(Durability::None, usual());
    hand.put(b"a", b"1");
    hand.end_turn_late();
    hand.settle();
    hand.put(b"a", b"2");
    hand.end_turn_late();
    hand.put(b"a", b"3");
    hand.put(b"b", b"4");
    fail_log_writes_that_arrive(&mut hand);
    hand.shard.flush();
    hand.settle();
    // Killed before the cut.
    let mut again = Hand::open(hand.dir.clone(), hand.options.clone(), hand.tuning.clone(), hand.now);
    assert_eq!(again.get(b"a"), Seen::Value(b"2".to_vec()));
    assert_eq!(again.get(b"b"), Seen::NotFound, "what came first is there, and nothing behind a gap");
    hand.advance_ms(1000);
    hand.settle();
    hand.dir.crash_losing_all();
    let mut again = hand.reopen();
    assert_eq!(again.get(b"a"), Seen::Value(b"3".to_vec()));
    assert_eq!(again.get(b"b"), Seen::Value(b"4".to_vec()));
}

#[test]
fn closing_tries_once_to_save_what_was_acknowledged_and_says_if_it_could_not() {
    for heals in [true, false] {
        let mut hand = Hand::new(Durability::None, usual());
        hand.put(b"a", b"1");
        hand.dir.fail_after(0);
        hand.end_turn_late();
        hand.settle();
        assert!(hand.shard.failure().is_some());
        if heals {
            hand.dir.heal();
        }
        hand.shard.begin_shutdown();
        hand.settle();
        assert!(hand.shard.is_idle(), "closing ends");
        assert_eq!(hand.shard.failure().is_none(), heals);
        if heals {
            hand.dir.crash_losing_all();
            assert_eq!(hand.reopen().get(b"a"), Seen::Value(b"1".to_vec()));
        }
    }
}

#[test]
fn a_manifest_that_failed_goes_on_in_a_new_file_while_writes_are_taken() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"a", b"1");
    hand.shard.flush();
    hand.end_turn();
    hand.run_jobs();
    hand.end_turn();
    let before = hand.shard.manifest.file();
    let manifest = hand.held.remove(0);
    hand.dir.fail_after(0);
    let completion = perform(&mut hand.dir, manifest);
    hand.shard.complete(completion, &mut hand.answered);
    hand.dir.heal();
    assert_eq!(hand.put(b"b", b"2"), Seen::Written { existed: 0, old: None });
    assert!(hand.shard.stats().trouble.is_some() && hand.shard.failure().is_none());
    hand.advance_ms(1000);
    hand.settle();
    assert_ne!(hand.shard.manifest.file(), before);
    assert!(hand.shard.is_settled() && hand.shard.stats().trouble.is_none());
    assert_eq!(hand.shard.stats().levels[0].tables, 1);
    hand.dir.crash_losing_all();
    let mut again = hand.reopen();
    assert_eq!(again.get(b"a"), Seen::Value(b"1".to_vec()));
    assert_eq!(again.get(b"b"), Seen::Value(b"2".to_vec()));
}

#[test]
fn closing_tries_once_more_however_often_it_failed_before() {
    for durability in [Durability::None, Durability::IntervalMs(50)] {
        let mut hand = Hand::new(durability, usual());
        hand.put(b"a", b"1");
        hand.end_turn_late();
        hand.settle();
        hand.dir.fail_after(0);
        hand.send(put(b"b", b"2"));
        hand.end_turn_late();
        for _ in 0..4 {
            hand.settle();
            hand.advance_ms(31_000);
        }
        hand.settle();
        assert!(hand.shard.failure().is_some());
        hand.dir.heal();
        hand.shard.begin_shutdown();
        hand.settle();
        assert!(hand.shard.is_idle() && hand.shard.failure().is_none(), "{durability:?}");
        hand.dir.crash_losing_all();
        let mut again = hand.reopen();
        assert_eq!(again.get(b"a"), Seen::Value(b"1".to_vec()), "{durability:?}");
        let newer = if durability == Durability::None { Seen::Value(b"2".to_vec()) } else { Seen::NotFound };
        assert_eq!(again.get(b"b"), newer, "{durability:?}");
    }
}

#[test]
fn closing_ends_although_a_defect_keeps_a_shard_in_doubt_from_saving() {
    let mut hand = Hand::new(Durability::None, usual());
    hand.put(b"a", b"1");
    hand.end_turn();
    fail_log_writes_that_arrive_late(&mut hand);
    hand.shard.defect = Some("an edit that doesn't fit".into());
    hand.shard.begin_shutdown();
    hand.settle();
    assert!(hand.shard.is_idle() && hand.shard.failure().is_some());
}

#[test]
fn a_log_whose_commits_fail_and_whose_cuts_do_not_takes_no_more_of_the_disk_than_a_long_one() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"a", b"1");
    for _ in 0..60 {
        hand.send(put(b"a", b"2"));
        hand.end_turn();
        fail_log_writes_that_arrive(&mut hand);
        assert!(hand.shard.failure().is_some());
        hand.advance_ms(31_000);
        hand.settle();
        assert_eq!(hand.shard.failure(), None);
    }
    let log_bytes = hand.shard.stats().log_bytes;
    let most = hand.tuning.budgets.log + 2 * u64::from(hand.tuning.segment_bytes);
    assert!(log_bytes <= most, "{log_bytes} bytes");
    assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()));
    hand.dir.crash_losing_all();
    assert_eq!(hand.reopen().get(b"a"), Seen::Value(b"1".to_vec()));
}
