//! The writer by itself.

use super::*;
use crate::aligned::ALIGN;
use crate::dir::Dir;
use crate::drive::blocking::run_job;
use crate::job::JobOutput;
use std::collections::HashSet;

fn record(index: u64, len: usize) -> Written {
    Written { index, len }
}

fn only_write(requests: &[IoRequest]) -> (FileName, u64, usize, bool) {
    match requests {
        [IoRequest::Write { file, offset, data, sync, .. }] => (*file, *offset, data.len(), *sync),
        other => panic!("not one write: {other:?}"),
    }
}

#[test]
fn what_is_appended_while_a_part_is_in_flight_forms_the_next() {
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(true, 1 << 20));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    assert_eq!(log.write(true, &mut first), None, "nothing to write");
    record(1, 10).append_to(&mut log);
    let id = log.forming_write();
    assert_eq!(log.write(true, &mut first), Some(id));
    record(2, 10).append_to(&mut log);
    assert!(log.is_writing() && log.forming_bytes() > 0);
    assert_eq!(log.write(true, &mut second), None);
    assert!(second.is_empty());
    settle(&mut dir, &mut log, first);
    assert!(log.write(true, &mut second) > Some(id));
    settle(&mut dir, &mut log, second);
    let (_, records) = reopen(&mut dir, LogPosition::default(), options(true, 1 << 20)).unwrap();
    let indexes: Vec<u64> = records.iter().map(|(_, record)| record.index).collect();
    assert_eq!(indexes, [1, 2]);
}

#[test]
fn direct_parts_are_whole_blocks_and_buffered_ones_are_not() {
    for (direct, step) in [(true, ALIGN), (false, 8)] {
        let mut dir = MemoryDir::new();
        let mut log = create(&mut dir, options(direct, 1 << 20));
        for index in 0..5 {
            record(index, 100).append_to(&mut log);
            let mut requests = Vec::new();
            log.write(true, &mut requests);
            let (_, offset, len, sync) = only_write(&requests);
            assert!(
                (offset as usize).is_multiple_of(step)
                    && len.is_multiple_of(step)
                    && len <= 2 * ALIGN
                    && sync
            );
            settle(&mut dir, &mut log, requests);
            assert_eq!(log.end().offset as usize / ALIGN == 1, !direct, "the next follows in the same block");
        }
    }
}

/// The kernel reads a page before a part of it is written, unless it is cached.
#[test]
fn a_buffered_write_that_begins_a_page_covers_it() {
    const SEGMENT: u32 = 16 << 20;
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(false, SEGMENT));
    let (mut covered, mut began) = (ALIGN, 0);
    for index in 0..3000 {
        record(index, 10 + index as usize * 37 % 5000).append_to(&mut log);
        let mut requests = Vec::new();
        log.write(false, &mut requests);
        for request in &requests {
            let IoRequest::Write { offset, data, .. } = request else { continue };
            let (offset, end) = (*offset as usize, *offset as usize + data.len());
            assert!(offset <= covered, "{offset} follows {covered}");
            if end > covered {
                assert!(
                    end.is_multiple_of(ALIGN) && end <= SEGMENT as usize,
                    "{offset}..{end} ends in a new page"
                );
                (covered, began) = (end, began + 1);
            }
        }
        settle(&mut dir, &mut log, requests);
    }
    assert!(began > 1000, "{began}");
    let (_, records) = reopen(&mut dir, LogPosition::default(), options(false, SEGMENT)).unwrap();
    assert_eq!(records.len(), 3000);
}

#[test]
fn header_and_first_part_of_a_segment_are_one_write_and_always_synced() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let job_file = match run_job(&mut dir, &mut log.prepare_segment()).unwrap() {
        JobOutput::Segment(file) => file,
        other => panic!("{other:?}"),
    };
    log.segment_ready(job_file);
    part(&mut dir, &mut log, false, &[record(1, 40 << 10)]);
    record(2, 40 << 10).append_to(&mut log);
    let mut requests = Vec::new();
    log.write(false, &mut requests);
    let (file, offset, len, sync) = only_write(&requests);
    assert_eq!((file, offset, sync), (job_file, 0, true));
    assert_eq!(len, ALIGN + (40 << 10) + ALIGN);
}

#[test]
fn without_a_prepared_segment_the_log_makes_one_itself() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let records: Vec<Written> = (1..20).map(|index| record(index, 20 << 10)).collect();
    for record in &records {
        part(&mut dir, &mut log, true, &[*record]);
    }
    dir.crash_losing_all();
    let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(read.iter().map(|(_, record)| *record).collect::<Vec<_>>(), records);
}

#[test]
fn one_part_may_span_segments() {
    let options = options(false, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let records: Vec<Written> = (1..30).map(|index| record(index, 15_000)).collect();
    let end = part(&mut dir, &mut log, true, &records);
    assert_eq!((log.end(), log.durable()), (end, end));
    dir.crash_losing_all();
    let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(read.iter().map(|(_, record)| *record).collect::<Vec<_>>(), records);
}

#[test]
fn records_of_sixteen_megabytes_fit_default_segments() {
    let options = LogOptions::new(SHARD, true);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let large = (16 << 20) + (64 << 10) + 100;
    part(&mut dir, &mut log, true, &[record(1, large), record(2, large), record(3, 10)]);
    dir.crash_losing_all();
    let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    let read: Vec<_> = read.iter().map(|(position, record)| (position.offset, record.index)).collect();
    assert_eq!(read, [(4096, 1), (4096, 2), (4096, 3)]);
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own_that_is_not_reused() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let records = [record(1, 10), record(2, 300 << 10), record(3, 10)];
    let end = part(&mut dir, &mut log, true, &records);
    let (mut log, read) = {
        dir.crash_losing_all();
        reopen(&mut dir, LogPosition::default(), options).unwrap()
    };
    assert_eq!(read.iter().map(|(_, record)| *record).collect::<Vec<_>>(), records);
    assert!(log.end() > end);
    let mut requests = Vec::new();
    log.release(log.end(), &mut requests);
    let large = FileName::Log(2);
    assert_eq!(dir.len(large).unwrap(), 4096 + 4096 + (300 << 10));
    assert!(
        requests.iter().any(|request| matches!(request, IoRequest::Unlink { file, .. } if *file == large))
    );
}

#[test]
fn buffers_go_round() {
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(true, 1 << 20));
    let mut seen = HashSet::new();
    let mut in_flight = Vec::new();
    for index in 0..200 {
        record(index, 900).append_to(&mut log);
        if log.is_writing() {
            settle(&mut dir, &mut log, std::mem::take(&mut in_flight));
        }
        log.write(true, &mut in_flight);
        for request in &in_flight {
            if let IoRequest::Write { data, .. } = request {
                seen.insert(data.as_ptr() as usize);
            }
        }
    }
    assert!(seen.len() <= 2, "{} buffers for one part in flight and one forming", seen.len());
}

#[test]
fn a_failed_write_or_sync_fails_the_log_until_it_is_recovered() {
    for passing in 0..2 {
        let mut dir = MemoryDir::new();
        let mut log = create(&mut dir, options(true, 1 << 20));
        part(&mut dir, &mut log, true, &[record(1, 10)]);
        record(2, 10).append_to(&mut log);
        let mut requests = Vec::new();
        let id = log.write(true, &mut requests);
        dir.fail_after(passing);
        let events = settle(&mut dir, &mut log, requests);
        assert!(matches!(events.as_slice(), [LogEvent::Failed(failed, _)] if *failed == id));
        dir.heal();
        assert!(log.is_failed() && !log.is_writing());
        let mut requests = Vec::new();
        record(3, 10).append_to(&mut log);
        assert_eq!((log.write(true, &mut requests), log.forming_bytes()), (None, 0));
        assert!(!log.sync(&mut requests) && requests.is_empty());
        let (mut log, records) = reopen(&mut dir, LogPosition::default(), options(true, 1 << 20)).unwrap();
        assert!(records.len() <= 2, "the failed part may be there, what came after isn't");
        part(&mut dir, &mut log, true, &[record(4, 10)]);
    }
}

#[test]
fn a_cut_log_goes_on_behind_its_last_whole_part_and_keeps_none_of_the_files_that_failed() {
    let options = options(true, 32 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    part(&mut dir, &mut log, true, &[record(1, 20_000)]);
    // Two parts: the first is written and synced, the second one's segment isn't.
    record(2, 2_000).append_to(&mut log);
    record(3, 20_000).append_to(&mut log);
    let mut requests = Vec::new();
    log.write(true, &mut requests);
    dir.fail_after(3);
    let events = settle(&mut dir, &mut log, requests);
    assert!(matches!(events.as_slice(), [LogEvent::Failed(Some(_), _)]), "{events:?}");
    let before = dir.list().unwrap();
    assert_eq!(before.len(), 2, "the second segment was created");
    let mut requests = Vec::new();
    assert!(log.cut(&mut requests) && !log.cut(&mut requests), "once at a time");
    let events = settle(&mut dir, &mut log, requests);
    assert!(matches!(events.as_slice(), [LogEvent::Failed(None, _)]), "the disk is still broken");
    dir.heal();
    let mut requests = Vec::new();
    assert!(log.cut(&mut requests));
    let events = settle(&mut dir, &mut log, requests);
    assert!(matches!(events.as_slice(), [LogEvent::Cut(at)] if *at == log.end()), "{events:?}");
    assert_eq!((log.write(true, &mut Vec::new()), log.is_failed()), (None, true), "it waits to be resumed");
    log.resume();
    part(&mut dir, &mut log, true, &[record(2, 500)]);
    let now = dir.list().unwrap();
    assert!(now.contains(&before[0]) && !now.contains(&before[1]), "{now:?}");
    dir.crash_losing_all();
    let (_, records) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    let records: Vec<_> = records.into_iter().map(|(_, record)| (record.index, record.len)).collect();
    assert_eq!(records, [(1, 20_000), (2, 500)]);
}

#[test]
fn a_round_of_syncs_makes_all_earlier_parts_durable() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let mut end = log.end();
    for index in 1..12 {
        end = part(&mut dir, &mut log, false, &[record(index, 20 << 10)]);
    }
    assert!(log.durable() < end);
    let mut requests = Vec::new();
    assert!(log.sync(&mut requests));
    assert!(!log.sync(&mut requests), "one round at a time");
    let events = settle(&mut dir, &mut log, requests);
    assert!(matches!(events.as_slice(), [LogEvent::Synced(position)] if *position == end));
    assert!(!log.sync(&mut Vec::new()), "nothing is left to sync");
    dir.crash_losing_all();
    let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(read.len(), 11);
}

#[test]
fn a_synced_part_makes_the_unsynced_ones_before_it_durable_across_segments() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    for index in 1..8 {
        part(&mut dir, &mut log, false, &[record(index, 20 << 10)]);
    }
    let end = part(&mut dir, &mut log, true, &[record(8, 10)]);
    assert_eq!(log.durable(), end);
    dir.crash_losing_all();
    let (_, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(read.len(), 8);
}

#[test]
fn released_segments_become_spares_up_to_two_and_the_rest_goes() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    for index in 1..40 {
        if log.wants_segment() {
            let job = run_job(&mut dir, &mut log.prepare_segment()).unwrap();
            let JobOutput::Segment(file) = job else { panic!("{job:?}") };
            log.segment_ready(file);
        }
        part(&mut dir, &mut log, true, &[record(index, 20 << 10)]);
    }
    let before = log.live_bytes();
    let mut requests = Vec::new();
    log.release(log.end(), &mut requests);
    settle(&mut dir, &mut log, requests);
    assert!(log.live_bytes() <= 64 << 10 && before > 10 * (64 << 10));
    assert!(log_files(&dir).len() <= 4, "the newest, two spares, and one that was being prepared");
    assert!(!log.wants_segment());
}

#[test]
fn the_log_wants_a_segment_before_it_needs_one_and_only_once() {
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(true, 64 << 10));
    assert!(!log.wants_segment());
    part(&mut dir, &mut log, true, &[record(1, 20 << 10)]);
    assert!(log.wants_segment());
    let job = log.prepare_segment();
    assert!(!log.wants_segment());
    log.segment_failed();
    assert!(log.wants_segment());
    assert!(log.prepare_segment().file() != job.file(), "numbers aren't used twice");
}

#[test]
fn a_prepared_segment_is_zero_filled_and_durable_with_its_name() {
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(true, 3 << 20));
    let mut job = log.prepare_segment();
    let output = run_job(&mut dir, &mut job).unwrap();
    assert!(matches!(output, JobOutput::Segment(file) if file == job.file()));
    dir.crash_losing_all();
    assert_eq!(dir.bytes(job.file()), vec![0; 3 << 20]);
}

#[test]
fn a_job_that_cannot_write_ends_with_the_error() {
    for passing in 0..7 {
        let mut dir = MemoryDir::new();
        let mut log = create(&mut dir, options(true, 4 << 20));
        dir.fail_after(passing);
        let error = run_job(&mut dir, &mut log.prepare_segment()).unwrap_err();
        assert!(error.to_string().contains("000002.log"), "{error}");
    }
}

#[test]
fn openings_without_writes_do_not_make_the_log_grow() {
    let options = options(true, 64 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    part(&mut dir, &mut log, true, &[record(1, 10)]);
    let mut end = LogPosition::default();
    for _ in 0..10 {
        let (log, read) = reopen(&mut dir, LogPosition::default(), options).unwrap();
        assert_eq!(read.len(), 1);
        assert!(log.end() > end);
        end = log.end();
    }
    assert!(log_files(&dir).len() <= 3);
}

#[test]
fn completions_of_others_mean_nothing() {
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(true, 64 << 10));
    record(1, 10).append_to(&mut log);
    let mut requests = Vec::new();
    log.write(true, &mut requests);
    let stale = crate::io::Token(0x01 << 56 | 12_345);
    assert!(log.owns(stale) && !log.owns(crate::io::Token(0x02 << 56 | 1)));
    let completion = crate::io::IoCompletion { token: stale, result: Err(std::io::Error::other("late")) };
    assert!(matches!(log.complete(completion, &mut requests), LogEvent::Other));
    assert!(log.is_writing() && !log.is_failed());
}

#[test]
fn the_bytes_are_those_that_the_documentation_draws() {
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options(true, 64 << 10));
    let records = [record(1, 3), record(2, 8)];
    part(&mut dir, &mut log, true, &records);
    let bytes = dir.bytes(FileName::Log(1));
    let generation = 1_u64 << 32;
    let u64s = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let u32s = |values: &[u32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();

    let mut header =
        [&b"PinLogSg"[..], &u32s(&[2, 0]), &SHARD, &u64s(&[1, generation, 0, 0, 0, 64 << 10])].concat();
    header.resize(4096, 0);
    let crc = crc32c::crc32c(&header).to_le_bytes();
    header[12..16].copy_from_slice(&crc);
    assert_eq!(&bytes[..4096], header);

    let file = [&SHARD[..], &1_u64.to_le_bytes()].concat();
    let body = [u64s(&[generation, generation]), u32s(&[4096, 2, 80, 4096])].concat();
    let crc = crc32c::crc32c(&[&file[..], &4096_u64.to_le_bytes(), &body].concat());
    assert_eq!(bytes[4096..4136], [&b"PLpt"[..], &crc.to_le_bytes(), &body].concat());

    for (record, at) in records.iter().zip([4136_usize, 4176]) {
        let mut body = [u32s(&[record.len as u32]), u64s(&[1, record.index])].concat();
        body.extend([record.index as u8, 0, 1, 1, 0, 0, 0, 0]);
        body.extend(record.payload());
        body.resize(36, 0);
        let salt = [&file[..], &u64s(&[generation, at as u64])].concat();
        let crc = crc32c::crc32c(&[&salt[..], &body].concat()).to_le_bytes();
        assert_eq!(bytes[at..at + 40], [&crc[..], &body].concat(), "record {}", record.index);
    }
    assert!(bytes[4216..].iter().all(|&byte| byte == 0));
}
