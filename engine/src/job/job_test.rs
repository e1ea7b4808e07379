//! Jobs against files in memory: what they ask for, and how they end.

use super::test_driver::{self, TestDriver, context};
use super::{
    FlushJob, Horizon, Horizons, Job, JobContext, JobOutput, JobStep, MergeJob, ResidencyJob, UnlinkJob,
    VerifyJob,
};
use crate::Error;
use crate::io::{FileName, IoRequest};
use crate::key::{Kind, Version};
use crate::memtable::Memtable;
use crate::table::Table;
use crate::tree::{MergePlan, Tree, TreeOptions};
use std::sync::Arc;

/// A memtable of `count` values whose keys are `step` apart.
fn memtable(first_version: u64, count: u64, step: u64, kind: Kind) -> Arc<Memtable> {
    let value = if kind == Kind::Value { &[7; 200][..] } else { &[] };
    test_driver::memtable(first_version, (0..count).map(|i| i * step), kind, value)
}

fn tables(output: Result<JobOutput, Error>) -> Vec<Arc<Table>> {
    match output.expect("the job succeeds") {
        JobOutput::Tables { tables, .. } => tables,
        other => panic!("tables were expected, not {other:?}"),
    }
}

fn flush(driver: &mut TestDriver, memtable: Arc<Memtable>, context: JobContext) -> Vec<Arc<Table>> {
    tables(driver.run(&mut FlushJob::new(vec![memtable], context)))
}

/// The horizon of a partition whose entries go on beyond its floor.
fn with_floor(floor: Version) -> Horizons {
    test_driver::horizons(&[(0, Horizon { floor, ..test_driver::settled(0) })])
}

fn options() -> TreeOptions {
    TreeOptions { l0_trigger: 2, ..TreeOptions::for_budget(64 << 20) }
}

fn pick(tree: &Tree, floor: Version) -> Option<MergePlan> {
    test_driver::pick(tree, &options(), &with_floor(floor))
}

#[test]
fn a_flush_cuts_tables_at_their_size_and_in_key_order() {
    let mut driver = TestDriver::new(1);
    let tables = flush(&mut driver, memtable(1, 20_000, 1, Kind::Value), context(1));
    assert_eq!(tables.len(), 5);
    assert!(tables.iter().all(|table| table.meta().file_bytes <= (1 << 20) + (64 << 10)));
    assert!(tables.windows(2).all(|pair| pair[0].meta().max_key < pair[1].meta().min_key));
    assert_eq!(tables.iter().map(|table| table.meta().entries).sum::<u64>(), 20_000);
    assert_eq!(driver.durable_names.len(), 5);
}

#[test]
fn with_too_few_numbers_the_last_table_grows() {
    let mut driver = TestDriver::new(1);
    let context = JobContext { numbers: 1..3, ..context(1) };
    let tables = flush(&mut driver, memtable(1, 20_000, 1, Kind::Value), context);
    assert_eq!(tables.len(), 2);
    assert_eq!(tables.iter().map(|table| table.meta().entries).sum::<u64>(), 20_000);
}

#[test]
fn a_flush_of_nothing_makes_nothing() {
    let mut driver = TestDriver::new(1);
    assert!(flush(&mut driver, Arc::new(Memtable::new()), context(1)).is_empty());
    assert_eq!(driver.performed, 0);
}

#[test]
fn tables_come_resident_as_far_as_there_is_room() {
    let mut driver = TestDriver::new(1);
    let roomy = JobContext { resident_bytes: u64::MAX, ..context(1) };
    let tables = flush(&mut driver, memtable(1, 8000, 1, Kind::Value), roomy);
    assert!(tables.len() > 1 && tables.iter().all(|table| table.is_resident()));
    let tight = JobContext { resident_bytes: tables[0].meta().file_bytes, ..context(200) };
    let tables = flush(&mut driver, memtable(1, 8000, 1, Kind::Value), tight);
    assert_eq!(tables.iter().filter(|table| table.is_resident()).count(), 1);
}

#[test]
fn a_merge_keeps_few_requests_in_flight_and_writes_long_runs() {
    let mut driver = TestDriver::new(1);
    let mut tree = Tree::new();
    for round in 0..3 {
        let memtable = memtable(1 + round * 20_000, 20_000, 1, Kind::Value);
        let added: Vec<_> =
            flush(&mut driver, memtable, context(1 + round * 100)).into_iter().map(|t| (0, t)).collect();
        tree = tree.with(&[], &added);
    }
    let plan = pick(&tree, Version::MAX).expect("three tables lie over each other");
    assert_eq!((plan.inputs.len(), plan.bottom, plan.moves), (15, true, false));
    let mut job = MergeJob::new(plan, context(1000));
    let (mut reads_max, mut writes_max, mut small_writes) = (0, 0, 0);
    let (mut requests, mut completions) = (Vec::new(), Vec::new());
    let output = loop {
        match job.step(&mut completions, &mut requests, 1 << 20) {
            JobStep::Done(output) => break output,
            JobStep::More | JobStep::Waiting => {}
        }
        let reads = requests.iter().filter(|r| matches!(r, IoRequest::Read { .. })).count();
        let writes = requests.iter().filter(|r| matches!(r, IoRequest::Write { .. })).count();
        (reads_max, writes_max) = (reads_max.max(reads), writes_max.max(writes));
        let small = |r: &&IoRequest| matches!(r, IoRequest::Write { data, .. } if data.len() < 1 << 20);
        small_writes += requests.iter().filter(small).count();
        completions.extend(requests.drain(..).map(|request| driver.perform(request)));
    };
    let merged = tables(output);
    assert_eq!(merged.iter().map(|table| table.meta().entries).sum::<u64>(), 20_000);
    assert!(reads_max <= 2 * 15 && writes_max <= 4, "{reads_max} reads and {writes_max} writes");
    assert!(small_writes <= merged.len(), "only the tail of a table is short");
}

#[test]
fn tombstones_above_the_floor_outlive_a_merge_at_the_bottom() {
    let mut driver = TestDriver::new(1);
    let mut tree = Tree::new();
    for (round, kind) in [(0, Kind::Value), (1, Kind::Tombstone)] {
        let memtable = memtable(1 + round * 1000, 1000, 1, kind);
        let added: Vec<_> =
            flush(&mut driver, memtable, context(1 + round * 100)).into_iter().map(|t| (0, t)).collect();
        tree = tree.with(&[], &added);
    }
    let floor = Version(1500);
    let plan = pick(&tree, floor).expect("two tables lie over each other");
    let context = JobContext { horizons: with_floor(floor), ..context(1000) };
    let merged = tables(driver.run(&mut MergeJob::new(plan, context)));
    let (entries, tombstones) = (merged[0].meta().entries, merged[0].meta().tombstones);
    assert_eq!((entries, tombstones), (500, 500));
    let added: Vec<_> = merged.into_iter().map(|t| (6, t)).collect();
    assert!(pick(&Tree::new().with(&[], &added), floor).is_none(), "they can't be dropped yet");
    assert!(pick(&Tree::new().with(&[], &added), Version::MAX).is_some(), "now they can");
}

#[test]
fn damage_in_an_input_ends_a_merge_without_files() {
    let mut driver = TestDriver::new(1);
    let mut tree = Tree::new();
    for round in 0..2 {
        let memtable = memtable(1 + round * 9000, 9000, 1, Kind::Value);
        let added: Vec<_> =
            flush(&mut driver, memtable, context(1 + round * 100)).into_iter().map(|t| (0, t)).collect();
        tree = tree.with(&[], &added);
    }
    let victim = *driver.files.keys().last().expect("there are files");
    driver.files.get_mut(&victim).expect("it is there")[300_000] ^= 1;
    let before = driver.files.clone();
    let plan = pick(&tree, Version::MAX).expect("two tables lie over each other");
    let error = driver.run(&mut MergeJob::new(plan, context(1000))).expect_err("a block is damaged");
    assert!(matches!(error, Error::Damaged { file, .. } if file == victim), "{error}");
    assert!(driver.files == before);
}

#[test]
fn a_full_device_ends_a_flush_without_files() {
    let mut driver = TestDriver::new(1);
    driver.capacity = 3 << 20;
    let memtable = memtable(1, 20_000, 1, Kind::Value);
    let error = driver.run(&mut FlushJob::new(vec![memtable.clone()], context(1))).expect_err("no room");
    assert!(error.to_string().starts_with("write 00000"), "{error}");
    assert!(driver.files.is_empty());
    driver.capacity = usize::MAX;
    assert_eq!(flush(&mut driver, memtable, context(10)).len(), 5);
}

#[test]
fn a_job_survives_the_failure_of_any_of_its_requests() {
    let memtable = memtable(1, 20_000, 1, Kind::Value);
    for fails_at in 0.. {
        let mut driver = TestDriver::new(fails_at as u64);
        driver.fails_at = Some(fails_at);
        let context = JobContext { resident_bytes: u64::MAX, ..context(1) };
        let mut job = FlushJob::new(vec![memtable.clone()], context);
        match driver.run(&mut job) {
            Err(_) => assert!(driver.files.is_empty(), "request {fails_at}"),
            Ok(_) => {
                assert!(fails_at >= 20);
                return;
            }
        }
    }
}

#[test]
fn residency_changes_both_ways() {
    let mut driver = TestDriver::new(1);
    let paged = flush(&mut driver, memtable(1, 9000, 1, Kind::Value), context(1));
    let mut reopened = |tables, resident| match driver.run(&mut ResidencyJob::new(tables, resident)) {
        Ok(JobOutput::Reopened(tables)) => tables,
        other => panic!("{other:?}"),
    };
    let resident = reopened(paged.clone(), true);
    assert!(resident.iter().all(|table| table.is_resident()));
    let paged_again = reopened(resident, false);
    assert!(paged_again.iter().all(|table| !table.is_resident()));
    let numbers = |tables: &[Arc<Table>]| tables.iter().map(|t| t.meta().number).collect::<Vec<_>>();
    assert_eq!(numbers(&paged), numbers(&paged_again));
}

#[test]
fn files_are_unlinked_even_if_one_is_gone_already() {
    let mut driver = TestDriver::new(1);
    let tables = flush(&mut driver, memtable(1, 9000, 1, Kind::Value), context(1));
    let mut files: Vec<_> = driver.files.keys().copied().collect();
    files.push(FileName::Table(99));
    assert!(matches!(driver.run(&mut UnlinkJob::new(files, tables)), Ok(JobOutput::Nothing)));
    assert!(driver.files.is_empty());
}

#[test]
fn verification_passes_whole_tables_and_names_a_damaged_one() {
    let mut driver = TestDriver::new(1);
    let tables = flush(&mut driver, memtable(1, 20_000, 1, Kind::Value), context(1));
    assert!(matches!(driver.run(&mut VerifyJob::new(tables.clone())), Ok(JobOutput::Nothing)));
    driver.files.get_mut(&FileName::Table(3)).expect("it is there")[500_000] ^= 8;
    let error = driver.run(&mut VerifyJob::new(tables)).expect_err("a block is damaged");
    assert!(matches!(error, Error::Damaged { file: FileName::Table(3), .. }), "{error}");
}
