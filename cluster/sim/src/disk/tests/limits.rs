//! Errors of reads, space, time, jobs, and the directory that a shard is opened from.

use super::super::{Crash, PAGE, Speed};
use super::hand::{FILE, disk_with};
use pinion_engine::dir::Dir;
use pinion_engine::io::{FileName::Table, IoCompletion, IoRequest, Token};
use pinion_engine::job::{Job, JobId, JobKind, JobOutput, JobStep, UnlinkJob};
use std::io::ErrorKind;

#[test]
fn reads_fail_as_often_as_they_should() {
    let mut hand = disk_with(1, &[1; 100]);
    hand.disk.faults().eio_read = 0.25;
    let read = |token| IoRequest::Read { token, file: FILE, offset: 10, len: 20 };
    let failed = (0..1000).filter(|_| hand.ask(read).is_err()).count();
    assert!((200..300).contains(&failed), "{failed}");
    assert_eq!(hand.disk.counters().read_errors, failed as u64);
    hand.disk.faults().eio_read = 0.0;
    let beyond = hand.ask(|token| IoRequest::Read { token, file: FILE, offset: 90, len: 20 });
    assert_eq!(beyond.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let missing = hand.ask(|token| IoRequest::Read { token, file: Table(9), offset: 0, len: 1 });
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_full_disk_takes_no_more_than_it_has() {
    let page = PAGE as u64;
    let mut hand = disk_with(1, &[1; 100]);
    hand.disk.set_space_left(Some(2 * page));
    hand.write(0, &[2; PAGE], true).unwrap();
    assert_eq!(hand.disk.space_left(), Some(2 * page), "it had that page already");
    hand.write(page, &[3; PAGE], true).unwrap();
    let full = hand.write(2 * page, &[4; 3 * PAGE], true).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert!(hand.disk.bytes() <= 3 * page, "what fitted may be there");
    hand.write(0, &[5; 2 * PAGE], true).unwrap();
    hand.disk.set_space_left(Some(0));
    assert_eq!(hand.create(Table(1)).unwrap_err().kind(), ErrorKind::StorageFull);
    hand.unlink(FILE).unwrap();
    hand.create(Table(1)).unwrap();
    hand.disk.set_space_left(None);
    assert_eq!(hand.disk.counters().full_errors, 2);
}

#[test]
fn what_a_power_loss_takes_leaves_room() {
    for seed in 0..50 {
        let page = PAGE as u64;
        let mut hand = disk_with(seed, &[1; PAGE]);
        hand.disk.set_space_left(Some(4 * page));
        hand.write(page, &[2; 3 * PAGE], false).unwrap();
        hand.crash(Crash::Power);
        assert_eq!(hand.disk.space_left().unwrap() + hand.disk.bytes(), 5 * page);
    }
}

#[test]
fn requests_take_their_time_and_overtake_each_other() {
    let mut hand = disk_with(1, &[1; 100]);
    hand.disk.faults().speed = Speed { write_us: 100..200, sync_us: 1000..2000, ..Speed::default() };
    let first: Vec<Token> = (0..20).map(|_| hand.submit_write(0, &[1], false)).collect();
    let synced = hand.submit_write(0, &[2], true);
    hand.now_us = 99;
    assert_eq!(hand.complete_due(), []);
    hand.now_us = 200;
    let done = hand.complete_due();
    assert!(done != first && done.len() == 20, "{done:?}");
    assert!(hand.disk.next_due_us().is_some_and(|due_us| (1100..=2200).contains(&due_us)));
    hand.now_us = 2200;
    assert_eq!(hand.complete_due(), [synced]);
}

#[test]
fn requests_stall_now_and_then() {
    let mut hand = disk_with(1, &[1; 100]);
    hand.disk.faults().speed =
        Speed { stalls_ppm: 100_000, stall_us: 1_000_000..1_000_001, ..Speed::default() };
    for _ in 0..1000 {
        hand.submit_write(0, &[1], false);
    }
    assert!((850..950).contains(&hand.complete_due().len()));
    hand.complete_all();
    assert_eq!(hand.now_us, 1_000_000);
}

#[test]
fn a_request_finds_the_file_that_its_name_meant_when_it_was_asked_for() {
    let mut hand = disk_with(1, &[1; 100]);
    hand.disk.faults().speed = Speed { read_us: 500..501, ..Speed::default() };
    let read = hand.submit(|token| IoRequest::Read { token, file: FILE, offset: 0, len: 100 });
    hand.submit(|token| IoRequest::Unlink { token, file: FILE });
    hand.submit(|token| IoRequest::SyncDir { token });
    hand.complete_all();
    assert!(hand.names().is_empty());
    assert!(hand.result(read).is_ok(), "drivers keep files open");
}

#[test]
fn jobs_go_on_a_little_at_a_time_beside_the_shard() {
    let mut hand = disk_with(1, &[1; 100]);
    let files = [1, 2, 3].map(Table);
    files.iter().for_each(|file| drop(hand.create(*file).unwrap()));
    hand.disk.faults().speed = Speed { name_us: 100..200, ..Speed::default() };
    hand.disk.start_job(JobId(1), Box::new(UnlinkJob::new(files.to_vec(), Vec::new())));
    let mut steps = 0;
    let result = loop {
        if hand.disk.can_step_background() {
            steps += 1;
            if let Some(done) = hand.disk.step_background(hand.now_us, &mut hand.rng) {
                break done;
            }
        } else {
            hand.now_us = hand.disk.next_due_us().unwrap();
            assert_eq!(hand.complete_due(), [], "requests of jobs aren't the shard's");
        }
    };
    assert!(matches!(result, (JobId(1), Ok(JobOutput::Nothing))));
    assert!(steps > 2);
    assert_eq!(hand.names(), [FILE]);
    assert!(hand.disk.is_idle());
}

#[test]
fn a_crash_ends_jobs_and_what_they_asked_for() {
    let mut hand = disk_with(1, &[1; 100]);
    hand.create(Table(1)).unwrap();
    hand.disk.start_job(JobId(1), Box::new(UnlinkJob::new(vec![Table(1)], Vec::new())));
    assert_eq!(hand.disk.running_jobs().collect::<Vec<_>>(), [JobKind::Housekeeping]);
    assert!(hand.disk.step_background(0, &mut hand.rng).is_none());
    assert_eq!(hand.disk.in_flight().collect::<Vec<_>>(), [("unlink", Some(Table(1)))]);
    hand.crash(Crash::Process);
    assert!(hand.disk.is_idle() && !hand.disk.can_step_background());
    assert_eq!(hand.disk.counters().caught_jobs, 1);
}

/// Waits although it asked for nothing.
struct Stuck;

impl Job for Stuck {
    fn kind(&self) -> JobKind {
        JobKind::Verify
    }

    fn step(&mut self, _: &mut Vec<IoCompletion>, _: &mut Vec<IoRequest>, _: usize) -> JobStep {
        JobStep::Waiting
    }
}

#[test]
#[should_panic(expected = "waits for nothing")]
fn a_job_that_waits_for_nothing_is_a_defect() {
    let mut hand = disk_with(1, &[1; 100]);
    hand.disk.start_job(JobId(1), Box::new(Stuck));
    hand.disk.step_background(0, &mut hand.rng);
}

#[test]
fn the_directory_crashes_after_so_many_changes() {
    let mut hand = disk_with(1, &[1; 100]);
    let mut dir = hand.disk.dir(Some(3), &mut hand.rng);
    dir.create(Table(1)).unwrap();
    dir.write(Table(1), 0, b"abc").unwrap();
    assert_eq!(dir.read(Table(1), 1, 2).unwrap(), b"bc");
    assert!(!dir.is_crashed());
    dir.sync(Table(1)).unwrap_err();
    assert!(dir.is_crashed());
    dir.sync_dir().unwrap_err();
    dir.list().unwrap_err();
    assert_eq!(dir.path(), "store/shard-000");
}
