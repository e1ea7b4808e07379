//! Log files of arbitrary bytes: recovered, replayed, dumped, repaired, written on.
//!
//! Bound on memory: 16 MiB and 64 bytes for each byte of input; the reader's window is 2 MiB, a new segment is filled by 1 MiB.
//!
//! - Recovery succeeds or fails without a change; replay says the same as recovery; damage names a file, an offset, a remedy.
//! - A recovered log recovers again to the same records, and takes more, which are there the next time.
//! - Repair leaves a sound log alone; a damaged log that was repaired recovers to the records that the report counts, a
//!   prefix of which recovery had read.
//! - Batches and clocks in records don't panic; time that is read never goes back, nor does one that goes on from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_engine::clock::{CLOCK_US_MAX, ClockStamp, Now, ShardClock, TimeJump};
use pinion_engine::dir::Dir;
use pinion_engine::drive::blocking::perform;
use pinion_engine::io::{FileName, IoRequest};
use pinion_engine::key::Expiry;
use pinion_engine::log::{
    Batch, DumpItem, Extent, Log, LogEvent, LogOptions, LogPosition, Reached, Record, clock_behind, dump, recover,
    repair, replay,
};
use pinion_engine::{Error, Partition};
use pinion_engine_fuzz::memory_dir::MemoryDir;
use pinion_engine_fuzz::{BLOCK, SHARD, bound, log_image, number};

type Found = Vec<(LogPosition, u64, Vec<u8>)>;

fuzz_target!(|input: &[u8]| {
    bound::within((16 << 20) + 64 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let (flags, dir) = log_image::expand(input);
    let options = LogOptions {
        segment_bytes: log_image::SEGMENT_BYTES as u32,
        ..LogOptions::new(SHARD, flags & log_image::DIRECT != 0)
    };
    let start = if flags & log_image::LATER_START != 0 { later_start(&dir) } else { LogPosition::default() };
    let reached = if flags & log_image::HEARD_OF != 0 { newest(&dir) } else { Reached::default() };
    let known = Extent { start, reached };
    let dumped = dump_all(&dir);
    let (replayed, replayed_found) = replay_all(&dir, known);
    let mut recovered = dir.clone();
    match recover_all(&mut recovered, known, options) {
        (Ok(log), found) => {
            assert_eq!(replayed.expect("what recovers replays"), found.len() as u64);
            assert_eq!(replayed_found, found, "replay reads what recovery reads");
            // A dump reads every segment from its beginning, and ends where a part is bad.
            assert!(start != LogPosition::default() || dumped >= found.len(), "a dump shows at least the log");
            leaves_a_sound_log_alone(&dir, known, options, &found);
            goes_on(recovered, log, known, options, found);
        }
        (Err(error), found) => {
            assert_eq!(recovered, dir, "a recovery that fails changes nothing: {error}");
            check_error(&error);
            if let Error::Damaged { .. } = error {
                assert!(
                    matches!(replayed, Err(Error::Damaged { .. })),
                    "recovery: {error}; replay: {replayed:?}"
                );
            }
            mends(dir, known, options, &error, &found);
        }
    }
}

/// The segment with the highest generation, by what its file says.
fn newest(dir: &MemoryDir) -> Reached {
    let segments = dir.files.iter().filter(|(_, bytes)| bytes.len() > BLOCK);
    let newest = segments.max_by_key(|(_, bytes)| number(bytes, 40, 8));
    newest.map_or(Reached::default(), |(name, bytes)| Reached {
        // One at the end of all generations would end every repair.
        generation: number(bytes, 40, 8).min(1 << 62),
        file: name.number(),
    })
}

/// Behind the first part of the segment with the lowest generation.
fn later_start(dir: &MemoryDir) -> LogPosition {
    let segments = dir.files.values().filter(|bytes| bytes.len() > BLOCK + 40);
    let oldest = segments.min_by_key(|bytes| number(bytes, 40, 8));
    oldest.map_or(LogPosition::default(), |bytes| LogPosition {
        segment: number(bytes, 40, 8),
        offset: (BLOCK as u32).wrapping_add(number(bytes, BLOCK + 36, 4) as u32),
    })
}

fn visit(found: &mut Found) -> impl FnMut(Record<'_>, LogPosition) -> Result<(), Error> {
    let mut stamp = None;
    move |record, position| {
        if let Ok(Some(newer)) = clock_behind(stamp, &record) {
            let before_us = stamp.map_or(0, |stamp| stamp.shard_us);
            assert!(newer.shard_us >= before_us, "time goes back");
            goes_on_in_time(newer);
            stamp = Some(newer);
        }
        if let Ok(batch) = Batch::parse(record.payload) {
            assert!(batch.ops().take_while(Result::is_ok).count() <= batch.len());
        }
        found.push((position, record.index, record.payload.to_vec()));
        Ok(())
    }
}

/// Time goes on from any stamp, in another boot and in its own.
fn goes_on_in_time(stamp: ClockStamp) {
    let least_us = stamp.shard_us.min(CLOCK_US_MAX);
    for now in [Now::default(), stamp.now()] {
        let mut clock = ShardClock::resume(Some(stamp), &now, TimeJump::Follow);
        assert!(clock.us() >= least_us, "an opening goes back");
        clock.tick(&Now { unix_us: u64::MAX, ..now });
        let clocks = clock.clocks(0);
        clocks.told_ms(clocks.expiry_at(u64::MAX));
        clocks.from_boot(clocks.to_boot(Expiry(u64::MAX)));
    }
}

fn recover_all(dir: &mut MemoryDir, known: Extent, options: LogOptions) -> (Result<Log, Error>, Found) {
    let mut found = Found::new();
    let log = recover(dir, known, options, &mut visit(&mut found));
    (log, found)
}

fn replay_all(dir: &MemoryDir, known: Extent) -> (Result<u64, Error>, Found) {
    let mut found = Found::new();
    let replayed = replay(dir, known, SHARD, &mut visit(&mut found));
    (replayed.map(|replayed| replayed.records), found)
}

fn dump_all(dir: &MemoryDir) -> usize {
    let mut records = 0;
    let dumped = dump(dir, &mut |item| {
        records += usize::from(matches!(item, DumpItem::Record { .. }));
        Ok(())
    });
    if let Err(error) = dumped {
        check_error(&error);
        return usize::MAX;
    }
    records
}

fn check_error(error: &Error) {
    let text = error.to_string();
    assert!(
        text.contains(".log") || text.contains("log segment") || text.contains("the log in"),
        "names no file: {text}"
    );
    if let Error::Damaged { .. } = error {
        assert!(text.contains("kvtool repair"), "names no remedy: {text}");
    }
}

fn leaves_a_sound_log_alone(dir: &MemoryDir, known: Extent, options: LogOptions, found: &Found) {
    let mut repaired = dir.clone();
    let report = repair(&mut repaired, known, options).expect("a log that recovers can be repaired");
    assert!(report.damage.is_empty(), "it recovers but is damaged: {:?}", report.damage);
    assert_eq!(report.kept_records, found.len() as u64);
    assert_eq!(repaired, *dir, "the repair of a sound log changes nothing");
}

fn goes_on(mut dir: MemoryDir, mut log: Log, known: Extent, options: LogOptions, mut found: Found) {
    let (again, same) = recover_all(&mut dir.clone(), known, options);
    if !recovers(again) {
        return;
    }
    assert_eq!(same, found, "a second recovery reads what the first read");
    let payload = vec![9; 100];
    log.append(Record::writes(Partition(1), 1, 77, &payload));
    let at = log.end();
    let mut requests = Vec::new();
    log.write(true, &mut requests).expect("something was appended");
    settle(&mut dir, &mut log, requests);
    found.push((at, 77, payload));
    let (again, longer) = recover_all(&mut dir, known, options);
    if !recovers(again) {
        return;
    }
    assert_eq!(longer, found, "what was appended after a recovery is there");
}

/// Whether what was recovered, repaired or written on recovers: it does, unless that took its last generation.
fn recovers(log: Result<Log, Error>) -> bool {
    log.inspect_err(|error| assert!(is_at_its_end(error), "it doesn't recover: {error}")).is_ok()
}

fn is_at_its_end(error: &Error) -> bool {
    error.to_string().contains("no generation is left")
}

fn settle(dir: &mut MemoryDir, log: &mut Log, mut requests: Vec<IoRequest>) {
    while !requests.is_empty() {
        let completion = perform(dir, requests.remove(0));
        let event = log.complete(completion, &mut requests);
        assert!(!matches!(event, LogEvent::Failed(..)), "nothing failed, and the log says: {event:?}");
    }
}

fn mends(mut dir: MemoryDir, known: Extent, options: LogOptions, error: &Error, found: &Found) {
    let before = dir.clone();
    let report = match repair(&mut dir, known, options) {
        Ok(report) => report,
        Err(refused) => {
            let refused_text = refused.to_string();
            let refusals = ["no generation is left", "a newer build wrote it"];
            let is_possible = !refusals.iter().any(|reason| refused_text.contains(reason));
            assert!(
                !is_possible || !matches!(error, Error::Damaged { .. }),
                "damage that isn't repaired: {error}; {refused}"
            );
            assert_eq!(dir, before, "a repair that refuses changes nothing");
            return check_error(&refused);
        }
    };
    if report.damage.is_empty() {
        assert_eq!(dir, before, "nothing is wrong, and the repair changes something");
        return assert!(!matches!(error, Error::Damaged { .. }), "damage that repair doesn't see: {error}");
    }
    // The repair may start elsewhere only if nothing of the log from there on is left.
    let (again, kept) = recover_all(&mut dir.clone(), known, options);
    if let Err(error) = again {
        if is_at_its_end(&error) {
            return;
        }
        assert!(report.kept_records == 0, "repaired, and it doesn't recover: {error}");
        let (again, kept) = recover_all(&mut dir, Extent { start: LogPosition::default(), ..known }, options);
        return assert!(!recovers(again) || kept.is_empty());
    }
    assert_eq!(kept.len() as u64, report.kept_records, "the report counts what stays");
    let common = kept.len().min(found.len());
    assert_eq!(kept[..common], found[..common], "what stays is what was read");
    assert!(dir.list().is_ok_and(|names| names.iter().all(|name| matches!(name, FileName::Log(_)))));
}
