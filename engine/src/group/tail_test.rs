//! Logs of groups with replicas, read again: whatever the order in which entries, copies and hard states lie there.

use super::tail::Tails;
use super::*;
use crate::key::{Expiry, Keyspace, Version};
use crate::log::Taken;
use crate::log::batch::BatchBuilder;
use crate::log::{EntryType, HardState, LogPosition, Record, RecordKind};
use crate::manifest::{ConfState, GroupState};
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
        let conf = Some(Box::new(ConfState { voters: vec![1, 2, 3], ..ConfState::default() }));
        let state = GroupState { applied_index: 4, applied_term: 2, conf, ..GroupState::default() };
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
        let held = (5..100).filter_map(|index| Some((index, self.group.queue()?.get(index)?.entry.term)));
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
    log.hard(4, 6);
    log.entry(4, 7, false).unwrap();
    assert!(log.entry(3, 8, false).is_err(), "terms don't fall");
    log.hard(4, 7);
    assert_eq!(log.found(), (vec![(5, 2), (6, 3), (7, 4)], vec![]));
}

/// What deleted it is in tables, and lies behind it in a log that others keep from being shorter.
#[test]
fn what_was_deleted_stays_so_although_what_deleted_it_is_in_tables() {
    for (term, index) in [(2, 5), (2, 6), (3, 5), (3, 6)] {
        let mut log = Reading::new();
        let state = GroupState { applied_index: 4, applied_term: 3, ..log.group.state(0) };
        log.group = Group::restored(&state);
        log.group.follow(3);
        log.entry(term, index, false).unwrap();
        log.entry(3, 3, false).unwrap();
        log.entry(3, 4, false).unwrap();
        assert_eq!(log.found(), (vec![], vec![]), "entry {index} of term {term} lives");
        log.entry(4, 5, false).unwrap();
        assert_eq!(log.found().1, [(5, 4)]);
        log.tails.finish().unwrap();
    }
}

/// A new leader may bring back what one before it had: of a lower term than what stands in its place.
#[test]
fn an_entry_of_a_lower_term_may_take_the_place_of_one_that_was_never_committed() {
    let mut log = Reading::new();
    for (term, index) in [(3, 5), (2, 5), (4, 6)] {
        log.entry(term, index, false).unwrap();
    }
    log.hard(4, 6);
    assert_eq!(log.found().0, [(5, 2), (6, 4)]);
}

#[test]
fn what_cannot_be_applied_is_refused_before_it_waits() {
    let take = |kind, payload: &[u8]| {
        let mut log = Reading::new();
        log.take(Record { kind, ..Record::writes(Partition(0), 2, 5, payload) }).unwrap_err()
    };
    let mut batch = BatchBuilder::new(0);
    batch.put(Keyspace(0), b"k", Version(1), Expiry::NEVER, b"v");
    let mut flags = batch.bytes().to_vec();
    flags[12] = 1;
    assert!(take(RecordKind::WRITES, &flags).contains("flags"));
    let mut kind = batch.bytes().to_vec();
    kind[16] = 16;
    assert!(take(RecordKind::WRITES, &kind).contains("kind 16"));
    for entry in [EntryType::Normal, EntryType::ConfChange, EntryType::Tick, EntryType::Floor] {
        take(RecordKind::Entry(entry), b"short");
    }
    assert!(take(RecordKind::Entry(EntryType::Tick), batch.bytes()).contains("operations"));
    assert!(take(RecordKind::Entry(EntryType::Floor), &u64::MAX.to_le_bytes()).contains("none reaches"));
}

#[test]
fn a_group_that_orders_itself_has_only_its_own_writes_until_it_gets_replicas() {
    let take = |record: Record<'_>| {
        let (mut tails, mut group) = (Tails::default(), Group::<()>::new(Partition(0)));
        tails.take(&mut group, &record, LogPosition::default(), &mut Memtable::new()).map(|_| group)
    };
    let payload = BatchBuilder::new(0);
    let writes = Record::writes(Partition(0), 1, 1, payload.bytes());
    assert!(take(writes).is_ok());
    for strange in [
        Record { term: 2, ..writes },
        Record { is_copy: true, ..writes },
        Record { kind: RecordKind::Entry(EntryType::NoOp), ..writes },
        Record { kind: RecordKind::HardState, payload: &[0; 16], ..writes },
        Record { index: u64::MAX, ..writes },
    ] {
        assert!(take(strange).is_err(), "{strange:?}");
    }
    let conf = ConfState { voters: vec![1, 2, 3], ..ConfState::default() }.to_bytes();
    let group =
        take(Record { kind: RecordKind::Entry(EntryType::ConfChange), payload: &conf, ..writes }).unwrap();
    assert_eq!(group.order(), Order::Following { term: 1 });
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
fn a_write_of_an_origin_is_applied_when_it_is_committed_and_refused_where_nobody_else_can_take_it_in() {
    let mut log = Reading::new();
    let mut batch = BatchBuilder::new(0);
    batch.put(Keyspace(0), &5_u64.to_be_bytes(), Version(2), Expiry::NEVER, b"v");
    let payload = Taken { start: 77, number: 1 }.payload(batch.bytes());
    let record = Record { origin: 3, ..Record::writes(Partition(0), 2, 5, &payload) };
    log.take(record).unwrap();
    assert_eq!(log.found(), (vec![], vec![(5, 2)]));
    log.hard(2, 5);
    assert_eq!(log.found(), (vec![(5, 2)], vec![]));
    assert!(log.take(Record { index: 6, payload: b"bad", ..record }).is_err());
    let mut alone = Reading { group: Group::new(Partition(0)), ..Reading::new() };
    assert!(alone.take(Record { term: 1, index: 1, ..record }).unwrap_err().contains("origin 3"));
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
    /// What is committed comes to tables, and the log's start moves as far as it may, but for so many records.
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4_u64).prop_map(Step::Append),
        (0..4_u64).prop_map(Step::Overwrite),
        (0..4_u64).prop_map(Step::Commit),
        (0..4_usize).prop_map(Step::Copy),
        (0..30_usize).prop_map(Step::Release),
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
            Step::Release(behind) => {
                let held = self.entries[(self.commit - 4) as usize..].iter().map(|&(_, at)| at);
                let start = held.chain([self.hard]).min().unwrap();
                // Other groups may need it from further back, but what went doesn't come back.
                self.start = self.start.max(start.saturating_sub(behind));
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
        log.group = Group::restored(&GroupState { applied_index, applied_term, ..log.group.state(0) });
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
