//! What the log promises, against a directory that crashes, fails and rots.

mod crashes;
mod damage;
mod headers;
mod lost;
mod read_back;
mod remains;
mod repairs;
mod stale;
mod writing;

use super::{Extent, Log, LogEvent, LogOptions, LogPosition, Record, RecordKind, recover, replay};
use crate::Error;
use crate::dir::testing::MemoryDir;
use crate::drive::blocking::perform;
use crate::io::{FileName, IoRequest};
use crate::key::Partition;

const SHARD: [u8; 16] = [7; 16];

fn options(direct: bool, segment_bytes: u32) -> LogOptions {
    LogOptions { segment_bytes, ..LogOptions::new(SHARD, direct) }
}

/// A record as the tests remember it: its content follows from its index and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    index: u64,
    len: usize,
}

impl Written {
    fn payload(self) -> Vec<u8> {
        (0..self.len).map(|at| (self.index as usize * 31 + at * 7 + at / 251) as u8).collect()
    }

    fn append_to(self, log: &mut Log) {
        let payload = self.payload();
        let group = Partition((self.index % 5) as u16);
        log.append(Record::writes(group, 1, self.index, &payload));
    }

    fn read(record: Record<'_>) -> Written {
        let written = Written { index: record.index, len: record.payload.len() };
        assert_eq!(record.payload, written.payload(), "record {} has another's content", record.index);
        assert_eq!((record.group.0, record.term), ((record.index % 5) as u16, 1));
        written
    }
}

/// Recovers; the records with the positions of their parts. A replay before it reads the same.
fn reopen(
    dir: &mut MemoryDir,
    from: impl Into<Extent>,
    options: LogOptions,
) -> Result<(Log, Vec<(LogPosition, Written)>), Error> {
    let from = from.into();
    let (mut replayed, mut records) = (Vec::new(), Vec::new());
    let replay = replay(dir, from, options.shard_id, &mut |record, position| {
        replayed.push((position, Written::read(record)));
        Ok(())
    });
    let log = recover(dir, from, options, &mut |record, position| {
        records.push((position, Written::read(record)));
        Ok(())
    });
    match (&log, replay) {
        (Err(Error::Damaged { .. }), replay) => assert!(matches!(replay, Err(Error::Damaged { .. }))),
        (Err(_), _) => {}
        (Ok(_), replay) => {
            assert_eq!(replay.expect("a log that is recovered replays").records, records.len() as u64);
            assert_eq!(replayed, records);
        }
    }
    Ok((log?, records))
}

fn create(dir: &mut MemoryDir, options: LogOptions) -> Log {
    let (log, records) = reopen(dir, LogPosition::default(), options).unwrap();
    assert!(records.is_empty());
    log
}

/// Performs requests, and those that follow from them, until none is left.
fn settle(dir: &mut MemoryDir, log: &mut Log, mut requests: Vec<IoRequest>) -> Vec<LogEvent> {
    let mut events = Vec::new();
    while !requests.is_empty() {
        let completion = perform(dir, requests.remove(0));
        events.push(log.complete(completion, &mut requests));
    }
    events.retain(|event| !matches!(event, LogEvent::Other));
    events
}

/// Writes one part of such records and waits for it; its end.
fn part(dir: &mut MemoryDir, log: &mut Log, sync: bool, records: &[Written]) -> LogPosition {
    for record in records {
        record.append_to(log);
    }
    let mut requests = Vec::new();
    let id = log.write(sync, &mut requests).expect("something was appended");
    match settle(dir, log, requests).as_slice() {
        [LogEvent::Written(written, end)] if *written == id => *end,
        other => panic!("the part came to {other:?}"),
    }
}

fn log_files(dir: &MemoryDir) -> Vec<FileName> {
    crate::dir::Dir::list(dir).unwrap()
}
