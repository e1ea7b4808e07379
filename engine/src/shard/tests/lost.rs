//! Files of a shard that were there and aren't, and a disk that is full when a shard is opened.

use super::super::failing::Shortage;
use super::*;
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use crate::manifest::Manifest;
use crate::offline::ShardTime;
use crate::shard::check_files;

const KEYS: u32 = 600;

/// A shard with tables and several segments of log, closed in good order.
fn closed() -> Hand {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.options.is_made = true;
    for number in 0..KEYS {
        assert!(matches!(hand.put(&number.to_be_bytes(), &[number as u8; 400]), Seen::Written { .. }));
        hand.run_jobs();
    }
    hand.shard.begin_shutdown();
    while !hand.shard.is_idle() {
        hand.end_turn();
        hand.perform_held();
    }
    hand
}

fn open(hand: &Hand, dir: &MemoryDir) -> Result<Hand, Error> {
    let mut made = dir.clone();
    Shard::open_tuned(&mut made, hand.options.clone(), hand.tuning.clone(), hand.now)?;
    Ok(Hand::open(dir.clone(), hand.options.clone(), hand.tuning.clone(), hand.now))
}

#[test]
fn every_file_that_is_missing_is_named_and_refused_unless_nothing_was_in_it() {
    let hand = closed();
    let files = hand.dir.list().unwrap();
    let (mut logs, mut tables) = (0, 0);
    for file in files {
        let mut dir = hand.dir.clone();
        dir.unlink(file).unwrap();
        let checked = check_files(&dir, hand.options.shard_id, true);
        match open(&hand, &dir) {
            Ok(mut opened) => {
                assert!(
                    matches!(file, FileName::Log(_)) && checked.is_ok(),
                    "{file} isn't missed: {checked:?}"
                );
                assert_eq!(opened.items(0).len(), KEYS as usize, "{file} isn't missed");
            }
            Err(error) => {
                let text = error.to_string();
                assert_eq!(checked.unwrap_err().to_string(), text);
                let named = match file {
                    FileName::Manifest(_) => "the manifest is missing".to_owned(),
                    file => format!("{file}, "),
                };
                assert!(text.contains(&named) && text.contains("is missing"), "{text}");
                assert!(text.contains("`kvtool repair store`") && !text.contains('\n'), "{text}");
                logs += u32::from(matches!(file, FileName::Log(_)));
                tables += u32::from(matches!(file, FileName::Table(_)));
            }
        }
    }
    assert!(logs > 1 && tables > 0, "{logs} segments and {tables} tables were missed");
}

#[test]
fn the_time_isnt_read_from_a_log_whose_newest_segment_is_missing() {
    let mut hand = closed();
    let id = hand.options.shard_id;
    assert!(ShardTime::read(&hand.dir, id).is_ok());
    let reached = Manifest::read(&hand.dir, id).unwrap().log_reached;
    hand.dir.unlink(FileName::Log(reached.file)).unwrap();
    let error = ShardTime::read(&hand.dir, id).unwrap_err().to_string();
    assert!(error.contains(&format!("{}, log segment", FileName::Log(reached.file))), "{error}");
}

#[test]
fn all_logs_or_all_files_that_are_missing_are_missed() {
    let hand = closed();
    for (only_logs, named) in [(true, "log segment"), (false, "all files of the shard are missing")] {
        let mut dir = hand.dir.clone();
        for file in dir.list().unwrap() {
            if !only_logs || matches!(file, FileName::Log(_)) {
                dir.unlink(file).unwrap();
            }
        }
        let error = open(&hand, &dir).map(drop).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("`kvtool repair store`"), "{error}");
        assert!(check_files(&dir, hand.options.shard_id, true).is_err());
    }
}

#[test]
fn a_shard_that_was_never_made_is_made_whatever_a_first_attempt_left() {
    for changes in 0..40 {
        let mut dir = MemoryDir::new();
        dir.fail_after(changes);
        let options = options(Durability::Sync, 16);
        let now = Now { unix_us: START_US, ..Now::default() };
        let first = Shard::open_tuned(&mut dir, options.clone(), small(), now);
        if first.is_ok() {
            return assert!(changes > 5, "an attempt takes more changes than {changes}");
        }
        drop(first);
        dir.heal();
        let mut hand = Hand::open(dir, options, small(), now);
        assert!(matches!(hand.put(b"k", b"v"), Seen::Written { .. }), "cut off after {changes} changes");
    }
    panic!("no attempt was whole");
}

/// A shard that was closed, and no file is left for the next segment of its log.
fn without_spares() -> Hand {
    let mut hand = closed();
    for file in hand.dir.list().unwrap() {
        let mut dir = hand.dir.clone();
        dir.unlink(file).unwrap();
        if matches!(file, FileName::Log(_)) && open(&hand, &dir).is_ok() {
            hand.dir = dir;
        }
    }
    hand
}

#[test]
fn a_shard_that_never_had_room_to_write_says_only_that_and_ends_without_a_failure() {
    let mut hand = without_spares();
    hand.dir.fill_after(0);
    let mut hand = hand.reopen();
    let said = hand.shard.failure().map(str::to_owned);
    assert!(said.as_ref().is_some_and(|why| why.contains("there is no room for the log in store/shard-000")));
    for _ in 0..3 {
        hand.advance_ms(1100);
        hand.end_turn();
        hand.perform_held();
        assert_eq!(hand.shard.failure(), said.as_deref(), "no write has failed");
        assert_eq!(hand.shard.background.shortage, Some(Shortage::Disk));
    }
    hand.shard.begin_shutdown();
    for _ in 0..3 {
        hand.end_turn();
        hand.perform_held();
    }
    assert!(hand.shard.is_idle());
    assert_eq!((hand.shard.failure(), hand.shard.failure_at_stop()), (said.as_deref(), None));
}

#[test]
fn a_shard_opened_on_a_full_disk_serves_reads_and_takes_writes_when_there_is_room() {
    let mut hand = without_spares();
    let files = hand.dir.list().unwrap();
    hand.dir.fill_after(0);
    for _ in 0..3 {
        hand = hand.reopen();
        assert_eq!(hand.dir.list().unwrap(), files, "an attempt leaves nothing");
    }
    assert_eq!(hand.get(&7_u32.to_be_bytes()), Seen::Value(vec![7; 400]));
    let Seen::Refused(why) = hand.put(b"k", b"v") else { panic!("written without room") };
    assert!(why.contains("the disk is full") && why.contains("free some space"), "{why}");
    assert!(hand.shard.read_only_reason().unwrap().contains("the disk is full"));
    for _ in 0..3 {
        hand.advance_ms(1100);
        hand.end_turn();
        hand.perform_held();
    }
    assert!(matches!(hand.put(b"k", b"v"), Seen::Refused(_)));
    hand.dir.heal();
    hand.advance_ms(1100);
    hand.settle();
    assert_eq!(hand.shard.read_only_reason(), None);
    assert!(matches!(hand.put(b"k", b"v"), Seen::Written { .. }));
    let mut hand = hand.reopen();
    assert_eq!(hand.get(b"k"), Seen::Value(b"v".to_vec()));
    assert_eq!(hand.items(0).len(), KEYS as usize + 1);
}
