//! Repairing and dumping.

use super::*;
use crate::dir::Dir;
use crate::log::format::{PartHeader, Seed};
use crate::log::{DumpItem, RepairReport, dump, repair};

fn write(dir: &mut MemoryDir, options: LogOptions, lens: &[usize]) -> Vec<LogPosition> {
    let mut log = create(dir, options);
    let part =
        |(index, &len): (usize, &usize)| part(dir, &mut log, true, &[Written { index: index as u64, len }]);
    lens.iter().enumerate().map(part).collect()
}

#[test]
fn a_sound_log_is_left_alone() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    write(&mut dir, options, &[100; 5]);
    let before = dir.bytes(FileName::Log(1)).to_vec();
    let report = repair(&mut dir, LogPosition::default(), options).unwrap();
    let kept_clock_us = report.kept_clock_us;
    let expected = RepairReport { kept_parts: 5, kept_records: 5, kept_clock_us, ..RepairReport::default() };
    assert_eq!(report, expected);
    assert_eq!(dir.bytes(FileName::Log(1)), before);
    assert_eq!(log_files(&dir).len(), 2);
}

#[test]
fn what_comes_before_the_damage_stays_and_the_rest_is_counted() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    let ends = write(&mut dir, options, &[100; 9]);
    dir.flip(FileName::Log(2), 4096 + 60, 3);
    let report = repair(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!((report.kept_parts, report.kept_records), (3, 3));
    assert_eq!(report.dropped.iter().map(|dropped| dropped.parts).sum::<u64>(), 6);
    assert!(report.damage[0].contains("000002.log is damaged at offset 4136"), "{:?}", report.damage);
    let (mut log, records) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(records.len(), 3);
    assert!(log.end() > ends[8], "positions go on rising");
    part(&mut dir, &mut log, true, &[Written { index: 100, len: 10 }]);
    let (_, records) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(records.last().unwrap().1.index, 100);
}

#[test]
fn a_damaged_segment_header_costs_nothing() {
    let options = options(true, 16 << 10);
    for victim in [1, 2, 3] {
        let mut dir = MemoryDir::new();
        write(&mut dir, options, &[100; 9]);
        dir.flip(FileName::Log(victim), 40, 0);
        let error = reopen(&mut dir, LogPosition::default(), options).map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("{} is damaged", FileName::Log(victim))), "{error}");
        let report = repair(&mut dir, LogPosition::default(), options).unwrap();
        assert_eq!((report.kept_parts, report.dropped.len()), (9, 0), "{report:?}");
        assert_eq!(report.lost_behind, None);
        assert_eq!((report.damage.len(), report.restored.as_slice()), (1, &[FileName::Log(victim)][..]));
        let (_, records) = reopen(&mut dir, LogPosition::default(), options).unwrap();
        assert_eq!(records.len(), 9);
        let again = repair(&mut dir, LogPosition::default(), options).unwrap();
        assert!(again.damage.is_empty(), "{again:?}");
    }
}

/// The indices of the one group that a log has.
fn indices(dir: &mut MemoryDir, options: LogOptions) -> (Log, Vec<u64>) {
    let mut indices = Vec::new();
    let log = recover(dir, LogPosition::default(), options, &mut |record, _| {
        indices.push(record.index);
        Ok(())
    });
    (log.unwrap(), indices)
}

#[test]
fn all_segment_headers_damaged_at_once_cost_nothing_either() {
    let options = options(false, 16 << 10);
    let mut dir = MemoryDir::new();
    for round in 0..3 {
        let (mut log, _) = indices(&mut dir, options);
        for index in round * 9 + 1..=round * 9 + 9 {
            log.append(Record::writes(Partition(3), 1, index, &[7; 3000]));
            let mut requests = Vec::new();
            log.write(true, &mut requests);
            settle(&mut dir, &mut log, requests);
        }
    }
    for file in log_files(&dir) {
        dir.flip(file, 30, 1);
    }
    let report = repair(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(report.kept_parts, 27, "{report:?}");
    assert_eq!(indices(&mut dir, options).1, (1..=27).collect::<Vec<u64>>());
}

/// A failed part may be whole on disk; behind the cut its indices are given again.
#[test]
fn a_restored_header_keeps_what_was_cut_off_cut_off() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    part(&mut dir, &mut log, true, &[Written { index: 1, len: 50 }]);
    Written { index: 6, len: 70 }.append_to(&mut log);
    let mut requests = Vec::new();
    log.write(true, &mut requests).unwrap();
    for request in std::mem::take(&mut requests) {
        let mut completion = perform(&mut dir, request);
        completion.result = Err(std::io::Error::other("EIO"));
        log.complete(completion, &mut requests);
    }
    assert!(log.cut(&mut requests));
    settle(&mut dir, &mut log, requests);
    log.resume();
    part(&mut dir, &mut log, true, &[Written { index: 6, len: 90 }]);
    let expected = reopen(&mut dir.clone(), LogPosition::default(), options).unwrap().1;
    assert_eq!(expected.iter().map(|(_, written)| written.len).collect::<Vec<_>>(), [50, 90]);
    dir.flip(FileName::Log(2), 50, 0);
    repair(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(reopen(&mut dir, LogPosition::default(), options).unwrap().1, expected);
}

/// An empty part of generation 9 << 32 that says that the log was durable up to the beginning of this generation.
fn forge(durable: u64) -> PartHeader {
    let durable = LogPosition { segment: durable, offset: 4096 };
    PartHeader { generation: 9 << 32, durable, records: 0, len: 0, padded: 4096 }
}

/// Found by fuzzing: such a part, in a file that isn't log any more, was believed again behind every repair.
#[test]
fn a_part_that_knows_what_comes_later_proves_nothing() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    write(&mut dir, options, &[100; 2]);
    let (spare, mut bytes) = (FileName::Log(9), vec![0; 16 << 10]);
    forge(u64::MAX).encode(Seed::of_file(&SHARD, 9), 4096, &mut bytes[4096..]);
    dir.create(spare).unwrap();
    dir.write(spare, 0, &bytes).unwrap();
    assert_eq!(repair(&mut dir, LogPosition::default(), options).unwrap().damage, [""; 0]);
    let (_, records) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(records.len(), 2);
}

/// Found by fuzzing: a segment that an opening replaces wasn't searched, and only the next opening met what is in it.
#[test]
fn what_an_empty_newest_segment_holds_is_damage_at_once() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    write(&mut dir, options, &[100]);
    drop(reopen(&mut dir, LogPosition::default(), options).unwrap());
    let newest = *log_files(&dir).iter().max().unwrap();
    let seed = Seed::of_file(&SHARD, newest.number());
    dir.tamper(newest, |bytes| forge(9 << 32).encode(seed, 8192, &mut bytes[8192..]));
    let error = reopen(&mut dir, LogPosition::default(), options).map(drop).unwrap_err().to_string();
    assert!(error.contains(&format!("{newest} is damaged")), "{error}");
    assert_eq!(repair(&mut dir, LogPosition::default(), options).unwrap().kept_records, 1);
    let (_, records) = reopen(&mut dir, LogPosition::default(), options).unwrap();
    assert_eq!(records.len(), 1);
}

#[test]
fn a_log_whose_start_is_lost_opens_empty_after_repair() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    let ends = write(&mut dir, options, &[100; 9]);
    let from = ends[6];
    dir.tamper(FileName::Log(3), |bytes| bytes.fill(0xee));
    let report = repair(&mut dir, from, options).unwrap();
    assert_eq!((report.kept_parts, report.damage.len()), (0, 1), "{report:?}");
    let (_, records) = reopen(&mut dir, from, options).unwrap();
    assert!(records.is_empty());
}

#[test]
fn a_dump_shows_segments_parts_and_records_in_order() {
    let options = options(true, 16 << 10);
    let mut dir = MemoryDir::new();
    write(&mut dir, options, &[100; 4]);
    let mut shown = Vec::new();
    dump(&dir, &mut |item| {
        shown.push(match item {
            DumpItem::Segment { file, .. } => file.to_string(),
            DumpItem::Part { at, records, .. } => format!("part {} of {records}", at.offset),
            DumpItem::Record { record, .. } => format!("record {}", Written::read(record).index),
            DumpItem::End { at, .. } => format!("end {}", at.offset),
            DumpItem::Unused { file } => format!("unused {file}"),
        });
        Ok(())
    })
    .unwrap();
    let expected = "000001.log,part 4096 of 1,record 0,part 8192 of 1,record 1,part 12288 of 1,record 2,\
                    end 16384,000002.log,part 4096 of 1,record 3,end 8192";
    assert_eq!(shown.join(","), expected);
}
