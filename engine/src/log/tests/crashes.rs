//! Random appends, parts, syncs, releases and crashes over many generations of reused segments: what
//! comes back is every durable part, perhaps complete later ones, in order, and nothing else.

use super::*;
use crate::dir::testing::Change;
use crate::drive::blocking::run_job;
use crate::io::IoRequest;
use crate::job::JobOutput;
use crate::log::LogWriteId;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Clone, Debug)]
enum Step {
    Append {
        len: usize,
    },
    Write {
        sync: bool,
    },
    /// Performs some of what was asked for.
    Perform {
        requests: usize,
    },
    Sync,
    /// The manifest moves the log's start to an end that was reported, this far from the newest.
    Release {
        back: usize,
    },
    PrepareSegment,
    /// Some of what is in flight reaches the disk unsynced, then the power goes.
    Crash,
    /// The process is killed and started again: the kernel keeps what it has.
    Kill,
    /// The disk refuses everything for a while, then the log is cut, or recovered.
    Fail {
        passing: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop_oneof![0_usize..200, 0_usize..6000, 0_usize..20_000].prop_map(|len| Step::Append { len }),
        6 => any::<bool>().prop_map(|sync| Step::Write { sync }),
        6 => (1_usize..4).prop_map(|requests| Step::Perform { requests }),
        1 => Just(Step::Sync),
        2 => (0_usize..4).prop_map(|back| Step::Release { back }),
        1 => Just(Step::PrepareSegment),
        1 => Just(Step::Crash),
        1 => Just(Step::Kill),
        1 => (0_u64..3).prop_map(|passing| Step::Fail { passing }),
    ]
}

/// The log beside a model of it.
struct World {
    dir: MemoryDir,
    log: Log,
    options: LogOptions,
    rng: StdRng,
    in_flight: Vec<IoRequest>,
    always_sync: bool,
    /// Where the manifest says the log starts.
    from: LogPosition,
    /// Every record since `from` in the order of the log, and to which part of this opening it belongs.
    records: Vec<(Option<LogWriteId>, Written)>,
    /// Ends of finished parts since `from`, with the number of records before them.
    ends: Vec<(LogPosition, usize)>,
    /// So many of the records must survive.
    durable: usize,
    next_index: u64,
}

impl World {
    fn new(options: LogOptions, always_sync: bool, seed: u64) -> World {
        let mut dir = MemoryDir::new();
        let log = create(&mut dir, options);
        let from = LogPosition::default();
        let rng = StdRng::seed_from_u64(seed);
        let (records, ends, in_flight) = (Vec::new(), Vec::new(), Vec::new());
        World {
            dir,
            log,
            options,
            rng,
            in_flight,
            always_sync,
            from,
            records,
            ends,
            durable: 0,
            next_index: 1,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { len } => {
                let record = Written { index: self.next_index, len };
                self.next_index += 1;
                self.records.push((Some(self.log.forming_write()), record));
                record.append_to(&mut self.log);
            }
            Step::Write { sync } => {
                self.log.write(sync || self.always_sync, &mut self.in_flight);
            }
            Step::Perform { requests } => {
                for _ in 0..requests {
                    self.perform_one();
                }
            }
            Step::Sync => {
                self.log.sync(&mut self.in_flight);
            }
            Step::Release { back } => self.release(back),
            Step::PrepareSegment => {
                if self.log.wants_segment() {
                    let mut job = self.log.prepare_segment();
                    match run_job(&mut self.dir, &mut job).unwrap() {
                        JobOutput::Segment(file) => self.log.segment_ready(file),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Step::Crash => {
                self.perform_some_unsynced();
                self.dir.crash(&mut self.rng);
                self.recover();
            }
            Step::Kill => {
                self.perform_some_unsynced();
                self.recover();
            }
            Step::Fail { passing } => {
                self.dir.fail_after(passing);
                while !self.in_flight.is_empty() {
                    self.perform_one();
                }
                self.dir.heal();
                if self.log.is_failed() {
                    self.settle();
                }
            }
        }
    }

    fn perform_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.in_flight.len());
        let completion = perform(&mut self.dir, self.in_flight.remove(at));
        match self.log.complete(completion, &mut self.in_flight) {
            LogEvent::Written(id, end) => {
                let before = self.records.iter().take_while(|(of, _)| of.is_none_or(|of| of <= id)).count();
                self.ends.push((end, before));
            }
            LogEvent::Synced(_) | LogEvent::Failed(..) | LogEvent::Cut(_) | LogEvent::Other => {}
        }
        let durable = self.log.durable();
        let counted = self.ends.iter().rev().find(|(end, _)| *end <= durable);
        self.durable = self.durable.max(counted.map_or(0, |(_, before)| *before));
    }

    fn release(&mut self, back: usize) {
        let Some(at) = self.ends.len().checked_sub(1 + back) else { return };
        let (position, before) = self.ends[at];
        self.from = position;
        self.records.drain(..before);
        self.ends.drain(..=at);
        for (_, count) in &mut self.ends {
            *count -= before;
        }
        self.durable = self.durable.saturating_sub(before);
        self.log.release(position, &mut self.in_flight);
    }

    /// The failed log is cut and goes on, after attempts that failed, unless a crash comes before.
    fn settle(&mut self) {
        while !self.log.is_cut() {
            if self.rng.random_ratio(1, 6) {
                self.dir.heal();
                let is_power_loss: bool = self.rng.random();
                return self.step(if is_power_loss { Step::Crash } else { Step::Kill });
            }
            match self.rng.random_range(0..3) {
                0 => self.dir.heal(),
                1 => self.dir.fail_after(self.rng.random_range(0..3)),
                _ => self.dir.fail_now_and_then(self.rng.random(), 2, Change::ALL.to_vec()),
            }
            self.log.cut(&mut self.in_flight);
            for _ in 0..self.rng.random_range(0..6) {
                self.perform_one();
            }
        }
        self.dir.heal();
        let kept = self.ends.last().map_or(0, |(_, before)| *before);
        self.records.truncate(kept);
        self.ends.push((self.log.end(), kept));
        if self.rng.random_ratio(1, 6) {
            return self.step(Step::Crash);
        }
        if !self.always_sync {
            // What a failed sync may have lost is brought to safety elsewhere.
            self.release(0);
        }
        self.log.resume();
        self.durable = self.records.len();
    }

    /// A crash finds requests half done: each may or may not have been started, none was synced.
    fn perform_some_unsynced(&mut self) {
        for mut request in std::mem::take(&mut self.in_flight) {
            let harmless = match &mut request {
                IoRequest::Write { sync, .. } => {
                    *sync = false;
                    true
                }
                IoRequest::Create { .. } | IoRequest::Unlink { .. } => true,
                _ => false,
            };
            if harmless && self.rng.random_ratio(2, 3) {
                perform(&mut self.dir, request);
            }
        }
    }

    /// Recovers, sometimes after attempts that were themselves cut off.
    fn recover(&mut self) {
        while self.rng.random_ratio(1, 3) {
            self.dir.fail_after(self.rng.random_range(0..10));
            if let Ok((log, read)) = reopen(&mut self.dir, self.from, self.options) {
                self.check(log, &read);
            }
            self.dir.heal();
            if self.rng.random_ratio(1, 2) {
                self.dir.crash(&mut self.rng);
            }
        }
        let (log, read) = reopen(&mut self.dir, self.from, self.options)
            .unwrap_or_else(|error| panic!("a crash isn't damage: {error}"));
        self.check(log, &read);
    }

    fn check(&mut self, log: Log, read: &[(LogPosition, Written)]) {
        self.in_flight.clear();
        assert!(read.len() >= self.durable, "{} of {} durable records came back", read.len(), self.durable);
        assert!(read.len() <= self.records.len());
        for ((_, expected), (_, found)) in self.records.iter().zip(read) {
            assert_eq!(expected, found);
        }
        assert!(log.end() > self.from);
        self.log = log;
        self.records = read.iter().map(|(_, record)| (None, *record)).collect();
        self.ends.clear();
        for (before, pair) in (1..).zip(read.windows(2)) {
            if pair[0].0 < pair[1].0 {
                self.ends.push((pair[1].0, before));
            }
        }
        self.ends.push((self.log.end(), read.len()));
        // What recovery handed out is durable from then on.
        self.durable = read.len();
    }
}

fn run(options: LogOptions, always_sync: bool, seed: u64, steps: Vec<Step>) {
    let mut world = World::new(options, always_sync, seed);
    for step in steps {
        world.step(step);
    }
    world.step(Step::Crash);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn synced_parts_survive_and_nothing_else_appears(
        direct in any::<bool>(),
        seed in any::<u64>(),
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        run(options(direct, 32 << 10), true, seed, steps);
    }

    #[test]
    fn unsynced_parts_survive_as_a_prefix(
        direct in any::<bool>(),
        seed in any::<u64>(),
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        run(options(direct, 32 << 10), false, seed, steps);
    }
}
