//! Logs of groups with replicas, read again: whatever the order in which entries, copies and hard states lie there.

use super::tail::Tails;
use super::*;
use crate::key::{Expiry, Keyspace, Version};
use crate::log::batch::BatchBuilder;
use crate::log::{HardState, LogPosition, Record, RecordKind};
use crate::manifest::GroupState;
use crate::memtable::Memtable;
use proptest::prelude::*;

/// Entries: index and term.
type Places = Vec<(u64, u64)>;

/// A log and the group that it is read into.
struct Reading {
    tails: Tails,
    group: Group,
    memtable: Memtable,
    at: u32,
}

impl Reading {
    /// Of a group of which everything up to entry 4, of term 2, is in tables.
    fn new() -> Reading {
        let state = GroupState { applied_index: 4, applied_term: 2, ..GroupState::default() };
        let (tails, group, memtable) = (Tails::default(), Group::restored(&state), Memtable::new());
        let mut reading = Reading { tails, group, memtable, at: 0 };
        reading.hard(2, 4);
        reading
    }

    fn take(&mut self, record: Record<'_>) -> Result<bool, String> {
        self.at += 1;
        let at = LogPosition { segment: 1, offset: self.at };
        self.tails.take(&mut self.group, &record, at, &mut self.memtable)
    }

    fn hard(&mut self, term: u64, commit: u64) {
        let payload = HardState { vote: 1, commit }.to_bytes();
        let record = Record::writes(Partition(0), term, 0, &payload);
        self.take(Record { kind: RecordKind::HardState, ..record }).unwrap();
    }

    fn entry(&mut self, term: u64, index: u64, is_copy: bool) -> Result<bool, String> {
        let mut batch = BatchBuilder::new(0);
        // What it says tells where and when it was written.
        batch.put(Keyspace(0), &index.to_be_bytes(), Version(term), Expiry::NEVER, b"v");
        self.take(Record { is_copy, ..Record::writes(Partition(0), term, index, batch.bytes()) })
    }

    /// Index and term of what was applied, and of what waits.
    fn found(&self) -> (Places, Places) {
        let index = |key: &[u8]| u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap());
        let applied = self.memtable.iter().map(|entry| (index(entry.key), entry.stamp.version().0)).collect();
        let held = (5..100).filter_map(|index| Some((index, self.group.queue()?.get(index)?.term)));
        (applied, held.collect())
    }
}

#[test]
fn what_is_committed_is_applied_and_the_rest_waits() {
    let mut log = Reading::new();
    for index in 3..=8 {
        log.entry(2, index, false).unwrap();
    }
    log.hard(2, 6);
    assert_eq!(log.found(), (vec![(5, 2), (6, 2)], vec![(7, 2), (8, 2)]));
    assert_eq!(log.group.order(), Order::Following { term: 2 });
    let tails = log.tails.finish().unwrap();
    let tail = &tails[&Partition(0)];
    assert_eq!(tail.held.iter().map(|&(index, _)| index).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(tail.hard.map(|(term, hard, _)| (term, hard.commit)), Some((2, 6)));
}

#[test]
fn another_leaders_entry_deletes_what_was_at_and_behind_its_index() {
    let mut log = Reading::new();
    for (term, index) in [(2, 5), (2, 6), (2, 7), (3, 6)] {
        log.entry(term, index, false).unwrap();
    }
    log.hard(3, 6);
    assert_eq!(log.found(), (vec![(5, 2), (6, 3)], vec![]));
    // What is committed is never taken back: a log that says so isn't believed.
    assert!(log.entry(4, 6, false).is_ok(), "it is applied, and so it is in tables as far as anyone knows");
    log.hard(4, 6);
    log.entry(4, 7, false).unwrap();
    log.hard(4, 7);
    assert!(log.entry(3, 8, false).is_err(), "terms don't fall");
}

#[test]
fn a_copy_deletes_nothing_and_fills_a_gap_that_its_old_segment_left() {
    let mut log = Reading::new();
    // 5 and 6 lay in a segment that is gone; 7 to 9 came before they were copied.
    for index in 7..=9 {
        log.entry(2, index, false).unwrap();
    }
    log.hard(2, 8);
    assert_eq!(log.found(), (vec![], vec![]));
    log.entry(2, 6, true).unwrap();
    log.entry(2, 5, true).unwrap();
    assert_eq!(log.found(), (vec![(5, 2), (6, 2), (7, 2), (8, 2)], vec![(9, 2)]));
    log.entry(2, 9, true).unwrap();
    log.entry(2, 5, true).unwrap();
    assert_eq!(log.found().1, [(9, 2)]);
}

#[test]
fn a_copy_never_takes_the_place_of_an_entry_of_a_higher_term() {
    let mut log = Reading::new();
    log.entry(3, 6, false).unwrap();
    log.entry(2, 6, true).unwrap();
    log.entry(2, 5, true).unwrap();
    log.hard(3, 6);
    assert_eq!(log.found().0, [(5, 2), (6, 3)]);
}

#[test]
fn a_hole_that_no_copy_fills_is_refused_by_its_name() {
    let mut log = Reading::new();
    log.entry(2, 5, false).unwrap();
    log.entry(2, 7, true).unwrap();
    let error = log.tails.finish().unwrap_err();
    assert!(error.contains("partition 0 goes on with entry 7"), "{error}");
}

#[test]
fn a_write_of_an_origin_that_nobody_knows_here_is_refused() {
    let mut log = Reading::new();
    let payload = BatchBuilder::new(0);
    let record = Record { origin: 3, ..Record::writes(Partition(0), 2, 5, payload.bytes()) };
    assert!(log.take(record).unwrap_err().contains("origin 3"));
}

/// One step of a replica's life.
#[derive(Clone, Debug)]
enum Step {
    /// It appends so many entries.
    Append(u64),
    /// A new leader takes over behind so many of the entries that aren't committed.
    Overwrite(u64),
    /// More is known to be committed.
    Commit(u64),
    /// So many of the entries that aren't committed, and the hard state, are copied.
    Copy(usize),
    /// What is committed comes to tables, and the log's start moves as far as it may.
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4_u64).prop_map(Step::Append),
        (0..4_u64).prop_map(Step::Overwrite),
        (0..4_u64).prop_map(Step::Commit),
        (0..4_usize).prop_map(Step::Copy),
        Just(Step::Release),
    ]
}

/// A record as a model has it: `None` is a hard state, of this term and commit index.
#[derive(Clone, Copy, Debug)]
struct Logged {
    entry: Option<u64>,
    term: u64,
    commit: u64,
    is_copy: bool,
}

/// A replica that lives in memory, and its log.
struct Model {
    /// The terms of the entries behind 4, and where in the log they lie.
    entries: Vec<(u64, usize)>,
    term: u64,
    commit: u64,
    log: Vec<Logged>,
    /// Where the newest hard state lies.
    hard: usize,
    start: usize,
    in_tables: u64,
}

impl Model {
    fn new() -> Model {
        let mut model =
            Model { entries: vec![], term: 2, commit: 4, log: vec![], hard: 0, start: 0, in_tables: 4 };
        model.hard(false);
        model
    }

    fn newest(&self) -> u64 {
        4 + self.entries.len() as u64
    }

    fn term_of(&self, index: u64) -> u64 {
        if index > 4 { self.entries[(index - 5) as usize].0 } else { 2 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append(count) => (0..count).for_each(|_| self.append()),
            Step::Overwrite(after) => {
                self.term += 1;
                self.entries.truncate((self.commit + after).min(self.newest()) as usize - 4);
                self.hard(false);
                self.append();
            }
            Step::Commit(more) => {
                self.commit = (self.commit + more).min(self.newest());
                self.hard(false);
            }
            Step::Copy(count) => {
                for index in (self.commit + 1..=self.newest()).take(count) {
                    let (term, at) = &mut self.entries[(index - 5) as usize];
                    *at = self.log.len();
                    self.log.push(Logged { entry: Some(index), term: *term, commit: 0, is_copy: true });
                }
                self.hard(true);
            }
            Step::Release => {
                let held = self.entries[(self.commit - 4) as usize..].iter().map(|&(_, at)| at);
                self.start = held.chain([self.hard]).min().unwrap();
                self.in_tables = self.commit;
            }
        }
    }

    fn append(&mut self) {
        self.entries.push((self.term, self.log.len()));
        let entry = Some(self.newest());
        self.log.push(Logged { entry, term: self.term, commit: 0, is_copy: false });
    }

    fn hard(&mut self, is_copy: bool) {
        self.hard = self.log.len();
        self.log.push(Logged { entry: None, term: self.term, commit: self.commit, is_copy });
    }
}

proptest! {
    #[test]
    fn a_replica_is_read_back_as_it_was_wherever_its_log_starts(steps in proptest::collection::vec(step(), 0..40)) {
        let mut model = Model::new();
        steps.iter().for_each(|step| model.step(step));
        let mut log = Reading::new();
        let (applied_index, applied_term) = (model.in_tables, model.term_of(model.in_tables));
        log.group = Group::restored(&GroupState { applied_index, applied_term, ..GroupState::default() });
        log.group.follow(applied_term);
        for record in &model.log[model.start..] {
            match record.entry {
                Some(index) => drop(log.entry(record.term, index, record.is_copy).unwrap()),
                None => log.hard(record.term, record.commit),
            }
        }
        let expected = |range: std::ops::RangeInclusive<u64>| -> Places {
            range.map(|index| (index, model.term_of(index))).collect()
        };
        let found = log.found();
        prop_assert_eq!(found.0, expected(model.in_tables + 1..=model.commit));
        prop_assert_eq!(found.1, expected(model.commit + 1..=model.newest()));
        prop_assert!(log.tails.finish().is_ok());
    }
}
