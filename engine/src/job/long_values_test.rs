//! What jobs have under way of values that are much longer than a piece or a write.

use super::test_driver::{self, TestDriver};
use super::{FlushJob, Job, JobContext, JobOutput, JobStep, MergeJob};
use crate::io::IoRequest;
use crate::key::Kind;
use crate::memtable::Memtable;
use crate::table::Table;
use crate::tree::{Tree, TreeOptions};
use std::sync::Arc;

const VALUE: usize = 3 << 20;
const WRITE: usize = 128 << 10;
const TABLES: u64 = 3;

fn context(first_number: u64) -> JobContext {
    JobContext { table_bytes: 1 << 30, write_bytes: WRITE, ..test_driver::context(first_number) }
}

/// Values of six keys.
fn memtable(first_version: u64) -> Arc<Memtable> {
    test_driver::memtable(first_version, 0..6, Kind::Value, &vec![7; VALUE])
}

/// Runs a job on a disk that does nothing until the job waits for it; returns its tables, and the most bytes of reads and of
/// writes that were in flight at once.
fn run(driver: &mut TestDriver, job: &mut dyn Job) -> (Vec<Arc<Table>>, usize, usize) {
    let (mut requests, mut completions) = (Vec::new(), Vec::new());
    let (mut reads_max, mut writes_max) = (0, 0);
    loop {
        let step = job.step(&mut completions, &mut requests, 1 << 20);
        let (mut reads, mut writes) = (0, 0);
        for request in &requests {
            match request {
                IoRequest::Read { len, .. } => reads += len,
                IoRequest::Write { data, .. } => writes += data.len(),
                _ => {}
            }
        }
        (reads_max, writes_max) = (reads_max.max(reads), writes_max.max(writes));
        match step {
            JobStep::More => {}
            JobStep::Waiting => {
                completions.extend(requests.drain(..).map(|request| driver.perform(request)));
            }
            JobStep::Done(Ok(JobOutput::Tables { tables, .. })) => return (tables, reads_max, writes_max),
            JobStep::Done(other) => panic!("tables were expected, not {other:?}"),
        }
    }
}

#[test]
fn of_long_values_two_are_written_and_one_of_each_run_is_read_at_a_time_at_most() {
    let mut driver = TestDriver::new(1);
    let mut tree = Tree::new();
    for round in 0..TABLES {
        let mut job = FlushJob::new(vec![memtable(1 + 100 * round)], context(1 + 100 * round));
        let (tables, _, writes) = run(&mut driver, &mut job);
        assert!(writes <= 2 * VALUE + (64 << 10), "{} KiB of writes in a flush", writes >> 10);
        let added: Vec<_> = tables.into_iter().map(|table| (0, table)).collect();
        tree = tree.with(&[], &added);
    }
    let pick = |merge_blocks_max| {
        let options = TreeOptions { l0_trigger: 2, merge_blocks_max, ..TreeOptions::for_budget(1 << 30) };
        test_driver::pick(&tree, &options, &context(0).horizons).expect("the tables lie over each other")
    };
    assert_eq!(pick(3 * VALUE as u64).inputs.len(), 2, "a block of each is in memory at once");
    let plan = pick(4 * VALUE as u64);
    assert_eq!(plan.inputs.len(), TABLES as usize);
    let (tables, reads, writes) = run(&mut driver, &mut MergeJob::new(plan, context(1000)));
    assert_eq!(tables.iter().map(|table| table.meta().entries).sum::<u64>(), 6);
    assert!(reads <= TABLES as usize * (VALUE + (64 << 10)), "{} KiB of reads", reads >> 10);
    assert!(writes <= 2 * VALUE + (64 << 10), "{} KiB of writes in a merge", writes >> 10);
}
