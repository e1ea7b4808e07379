//! What an earlier life left in a file is never taken for log.

use super::*;
use crate::dir::Dir;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Three records of which the second starts at the part's second sector, the third at its third.
fn aligned_records(first: u64) -> [Written; 3] {
    let record = |at: u64, len| Written { index: first + at, len };
    [record(0, 440), record(1, 480), record(2, 480)]
}

/// Hands out the write of a part without performing it.
fn start(log: &mut Log, records: &[Written]) -> (FileName, u64, Vec<u8>) {
    for record in records {
        record.append_to(log);
    }
    let mut requests = Vec::new();
    log.write(true, &mut requests);
    match requests.pop() {
        Some(IoRequest::Write { file, offset, data, .. }) => (file, offset, data.to_vec()),
        other => panic!("not a write: {other:?}"),
    }
}

#[test]
fn old_records_behind_the_torn_sector_of_a_new_part_do_not_complete_it() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    for first in [1, 4, 7, 10] {
        part(&mut dir, &mut log, true, &aligned_records(first));
    }
    let from = log.end();
    log.release(from, &mut Vec::new());
    part(&mut dir, &mut log, true, &aligned_records(13));
    part(&mut dir, &mut log, true, &aligned_records(16));
    let (file, offset, data) = start(&mut log, &aligned_records(19));
    assert_eq!((file, offset), (FileName::Log(1), 0), "the first segment's file is used again");
    // Segment header and first sector of the part arrive; the old part's other sectors are still there.
    dir.write(file, 0, &data[..4096 + 512]).unwrap();
    dir.sync(file).unwrap();
    let (_, read) = reopen(&mut dir, from, options).unwrap();
    assert_eq!(read.iter().map(|(_, record)| record.index).collect::<Vec<_>>(), (13..19).collect::<Vec<_>>());
}

#[test]
fn stray_sectors_of_a_segment_whose_header_was_lost_never_become_log() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let mut job = log.prepare_segment();
    crate::drive::blocking::run_job(&mut dir, &mut job).unwrap();
    log.segment_ready(job.file());
    part(&mut dir, &mut log, true, &aligned_records(1));
    part(&mut dir, &mut log, true, &aligned_records(4));
    part(&mut dir, &mut log, true, &aligned_records(7));
    let (file, offset, data) = start(&mut log, &aligned_records(10));
    assert_eq!((file, offset), (job.file(), 0));
    // The whole part arrives, but not the header in front of it.
    dir.write(file, 4096, &data[4096..]).unwrap();
    dir.sync(file).unwrap();
    for _ in 0..3 {
        let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
        assert_eq!(read.len(), 9);
    }
}

#[test]
fn files_of_a_killed_preparation_are_not_called_damaged_later() {
    let options = options(true, 64 << 10);
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut dir = MemoryDir::new();
        let mut log = create(&mut dir, options);
        part(&mut dir, &mut log, true, &[Written { index: 1, len: 10 }]);
        for number in [2, 3] {
            dir.create(FileName::Log(number)).unwrap();
            dir.write(FileName::Log(number), 0, &[0; 64 << 10]).unwrap();
        }
        let (mut log, _) = reopen(&mut dir, LogPosition::default(), options).unwrap();
        part(&mut dir, &mut log, true, &[Written { index: 2, len: 50 << 10 }]);
        let (file, offset, data) = start(&mut log, &[Written { index: 3, len: 20 << 10 }]);
        assert_eq!((file, offset), (FileName::Log(3), 0));
        dir.write(file, offset, &data).unwrap();
        dir.crash(&mut rng);
        let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
        assert!(read.len() >= 2);
    }
}

#[test]
fn what_a_cut_left_behind_is_not_read_by_later_openings() {
    let options = options(false, 16 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    // Unsynced, so that the second may be lost and the third not.
    part(&mut dir, &mut log, false, &[Written { index: 1, len: 100 }]);
    let second = part(&mut dir, &mut log, false, &[Written { index: 2, len: 100 }]);
    part(&mut dir, &mut log, false, &[Written { index: 3, len: 100 }]);
    dir.flip(FileName::Log(1), second.offset as usize - 1, 0);
    for _ in 0..3 {
        let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
        assert_eq!(read.len(), 1);
        dir.flip(FileName::Log(1), second.offset as usize - 1, 0);
    }
}

/// The device never took the newest segment's first write, which has its header and its first part: what the file held
/// before (`used`: an older segment, otherwise zeros) is there again.
fn lose_first_write(used: bool) {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    if !used {
        let mut job = log.prepare_segment();
        crate::drive::blocking::run_job(&mut dir, &mut job).unwrap();
        log.segment_ready(job.file());
    }
    let mut first = 1;
    let mut next = |dir: &mut MemoryDir, log: &mut Log| {
        part(dir, log, true, &aligned_records(first));
        first += 3;
    };
    let mut from = LogPosition::default();
    if used {
        (0..4).for_each(|_| next(&mut dir, &mut log));
        from = log.end();
        log.release(from, &mut Vec::new());
    }
    let (file, before) = loop {
        let (before, segment) = (dir.clone(), log.end().segment);
        next(&mut dir, &mut log);
        if log.end().segment > segment {
            let is_changed = |file: &FileName| dir.bytes(*file)[..4096] != before.bytes(*file)[..4096];
            let file =
                log_files(&before).into_iter().find(is_changed).expect("a file that was there is used");
            break (file, before.bytes(file)[..8192].to_vec());
        }
    };
    assert_eq!(before.iter().all(|byte| *byte == 0), !used);
    let lose = |dir: &mut MemoryDir| {
        dir.write(file, 0, &before).unwrap();
        dir.sync(file).unwrap();
    };
    let mut with_one = dir.clone();
    lose(&mut with_one);
    reopen(&mut with_one, from, options).expect("one part may have been a write that was torn");
    next(&mut dir, &mut log);
    lose(&mut dir);
    match reopen(&mut dir, from, options) {
        Err(Error::Damaged { file: named, offset: 0, what }) => {
            assert_eq!(named, file);
            assert!(what.contains("is of an older one") && what.contains("`kvtool repair"), "{what}");
        }
        other => panic!("a lost write came to {other:?}"),
    }
}

#[test]
fn a_lost_first_write_of_a_used_file_is_damage_when_a_later_part_proves_it() {
    lose_first_write(true);
}

#[test]
fn a_lost_first_write_of_a_fresh_file_is_damage_when_a_later_part_proves_it() {
    lose_first_write(false);
}
