//! Segments that were there and aren't, and logs that have no room for the next one.

use super::*;
use crate::dir::Dir;
use crate::log::repair;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const SEGMENT: u32 = 16 << 10;

/// A log of four segments with three parts each, and what the manifest knows of it.
fn full() -> (MemoryDir, Extent, LogOptions) {
    let options = options(true, SEGMENT);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    for index in 0..12 {
        part(&mut dir, &mut log, true, &[Written { index, len: 100 }]);
    }
    (dir, Extent { start: LogPosition::default(), reached: log.reached() }, options)
}

#[test]
fn every_segment_that_is_missing_is_named_and_refused_and_repair_keeps_what_comes_before() {
    for (victim, kept) in [(1, 0), (2, 3), (3, 6), (4, 9)] {
        let (mut dir, known, options) = full();
        let file = FileName::Log(victim);
        dir.unlink(file).unwrap();
        let error = reopen(&mut dir, known, options).map(drop).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{file}, log segment ")) && error.contains("is missing"),
            "{error}"
        );
        assert!(error.contains("was in it") && error.contains("`kvtool repair store`"), "{error}");
        let report = repair(&mut dir, known, options).unwrap();
        assert_eq!((report.kept_parts, report.damage.len()), (kept, 1), "{report:?}");
        let dropped: u64 = report.dropped.iter().map(|dropped| dropped.parts).sum();
        assert!(report.lost_behind.is_some());
        assert_eq!(dropped, 12 - kept - 3, "those behind the hole; those in it nobody can count");
        let (log, records) = reopen(&mut dir, known, options).unwrap();
        assert_eq!(records.len() as u64, kept);
        assert!(log.end() > LogPosition { segment: known.reached.generation, offset: 0 });
    }
}

#[test]
fn a_log_that_is_missing_as_a_whole_is_named_and_refused() {
    let (mut dir, known, options) = full();
    log_files(&dir).into_iter().for_each(|file| dir.unlink(file).unwrap());
    let error = reopen(&mut dir, known, options).map(drop).unwrap_err().to_string();
    assert!(
        error.starts_with("000004.log, log segment") && error.contains("all of the log was in it"),
        "{error}"
    );
    let report = repair(&mut dir, known, options).unwrap();
    assert_eq!((report.kept_parts, report.lost_behind), (0, Some(LogPosition::default())));
    assert!(reopen(&mut dir, known, options).unwrap().1.is_empty());
}

#[test]
fn a_newest_segment_that_is_of_an_earlier_life_again_is_named() {
    let (mut dir, known, options) = full();
    dir.tamper(FileName::Log(4), |bytes| bytes.fill(0));
    let error = reopen(&mut dir, known, options).map(drop).unwrap_err().to_string();
    assert!(error.contains("000004.log") && error.contains("`kvtool repair store`"), "{error}");
}

/// The header that an opening replaces is all that shows how far the log came until the next one is durable.
#[test]
fn an_opening_that_is_cut_off_at_any_change_never_makes_the_log_miss_a_segment() {
    for seed in 0..200 {
        let random = &mut SmallRng::seed_from_u64(seed);
        let (mut dir, mut known, options) = full();
        let mut parts = 12;
        for round in 0..6 {
            dir.fail_after((seed + round * 7) % 12);
            if let Ok((mut log, records)) = reopen(&mut dir, known, options) {
                assert_eq!(records.len(), parts);
                dir.heal();
                known.reached = log.reached();
                if (seed + round) % 3 == 0 {
                    part(&mut dir, &mut log, true, &[Written { index: 12, len: 10 }]);
                    parts += 1;
                }
            }
            dir.crash(random);
        }
        let records = reopen(&mut dir, known, options).unwrap_or_else(|error| panic!("{seed}: {error}")).1;
        assert_eq!(records.len(), parts);
    }
}

#[test]
fn openings_alone_use_two_files_in_turn() {
    let (mut dir, known, options) = full();
    for _ in 0..10 {
        drop(reopen(&mut dir, known, options).unwrap());
    }
    assert_eq!(log_files(&dir).len(), 6);
}

#[test]
fn a_log_without_room_is_read_leaves_nothing_behind_and_goes_on_when_there_is() {
    let (mut dir, known, options) = full();
    // What earlier builds left when they tried.
    for number in [7, 8] {
        dir.create(FileName::Log(number)).unwrap();
        dir.write(FileName::Log(number), 0, &[0; 5000]).unwrap();
    }
    for allowed in [0, 1, 2] {
        dir.fill_after(allowed);
        let (log, records) = reopen(&mut dir, known, options).unwrap();
        assert_eq!((log.is_failed(), records.len()), (true, 12));
        assert_eq!(log_files(&dir), [1, 2, 3, 4].map(FileName::Log), "nothing is left");
    }
    let (mut log, _) = reopen(&mut dir, known, options).unwrap();
    let mut requests = Vec::new();
    assert!(log.cut(&mut requests));
    let events = settle(&mut dir, &mut log, requests);
    assert!(matches!(events.as_slice(), [LogEvent::Failed(None, _)]), "{events:?}");
    dir.heal();
    let mut requests = Vec::new();
    assert!(log.cut(&mut requests));
    let events = settle(&mut dir, &mut log, requests);
    assert!(matches!(events.as_slice(), [LogEvent::Cut(_)]), "{events:?}");
    log.resume();
    part(&mut dir, &mut log, true, &[Written { index: 12, len: 10 }]);
    let known = Extent { reached: log.reached(), ..known };
    assert_eq!(reopen(&mut dir, known, options).unwrap().1.len(), 13);
}

#[test]
fn a_repair_that_finds_no_room_for_the_cut_fails_and_is_made_up_for_when_there_is() {
    let (mut dir, known, options) = full();
    // All files stay log, so the cut needs a new one; the part behind proves that this one was durable.
    log_files(&dir).into_iter().skip(4).for_each(|spare| dir.unlink(spare).unwrap());
    dir.flip(FileName::Log(4), 8192 + 60, 3);
    dir.fill_after(0);
    let error = repair(&mut dir, known, options).unwrap_err().to_string();
    assert!(error.contains("free some space, and repair again"), "{error}");
    dir.heal();
    let report = repair(&mut dir, known, options).unwrap();
    assert_eq!((report.kept_parts, report.lost_behind.is_some()), (10, true));
    assert_eq!(reopen(&mut dir, known, options).unwrap().1.len(), 10);
}
