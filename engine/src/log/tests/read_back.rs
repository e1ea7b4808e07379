//! Entries read back while the log is open.

use super::*;
use crate::drive::blocking::run_job;
use crate::job::JobOutput;
use std::ops::RangeInclusive;

const G: Partition = Partition(1);

/// A log that is written by hand, and what stands in it of a group: term and length of each entry.
struct Written {
    dir: MemoryDir,
    log: Log,
    stands: Vec<(u64, usize)>,
}

impl Written {
    fn new(direct: bool) -> Written {
        let mut dir = MemoryDir::new();
        let log = create(&mut dir, options(direct, 16 << 10));
        Written { dir, log, stands: Vec::new() }
    }

    fn append(&mut self, term: u64, index: u64, len: usize, is_copy: bool) {
        let payload = vec![term as u8; len];
        self.log.append(Record { is_copy, ..Record::writes(G, term, index, &payload) });
        if !is_copy {
            self.stands.truncate(index as usize - 1);
            self.stands.push((term, len));
        }
        // Another group's entries lie between them.
        self.log.append(Record::writes(Partition(2), 1, index, &[9; 50]));
    }

    fn write(&mut self) {
        let mut requests = Vec::new();
        self.log.write(false, &mut requests);
        settle(&mut self.dir, &mut self.log, requests);
    }

    fn read(&mut self, wanted: RangeInclusive<u64>, from: LogPosition) -> Result<Vec<(u64, usize)>, Error> {
        let mut job = self.log.read_back(G, wanted.clone(), from);
        let JobOutput::Entries(entries) = run_job(&mut self.dir, &mut job)? else { panic!("no entries") };
        assert!(entries.iter().map(|entry| entry.index).eq(wanted));
        assert!(entries.iter().all(|entry| entry.payload.iter().all(|&byte| u64::from(byte) == entry.term)));
        Ok(entries.iter().map(|entry| (entry.term, entry.payload.len())).collect())
    }
}

#[test]
fn what_stands_in_the_log_is_read_back_whatever_was_in_its_place() {
    for direct in [false, true] {
        let mut log = Written::new(direct);
        let mut positions = Vec::new();
        for index in 1..=40_u64 {
            positions.push(log.log.end());
            log.append(2, index, (index * 517 % 6_000) as usize, false);
            log.write();
        }
        // Another leader: from 30 on.
        for index in 30..=35 {
            log.append(3, index, 77, false);
        }
        log.write();
        let stands = log.stands.clone();
        assert_eq!(log.read(1..=35, LogPosition::default()).unwrap(), stands);
        for first in [1, 7, 20, 29] {
            let from = positions[first - 1];
            assert_eq!(log.read(first as u64..=33, from).unwrap(), stands[first - 1..33]);
        }
        let gone = log.read(30..=36, positions[29]).unwrap_err().to_string();
        assert!(gone.contains("entry 36"), "{gone}");
        // A copy at the head says what the first one said, once that is gone.
        log.append(2, 29, stands[28].1, true);
        log.write();
        assert_eq!(log.read(29..=31, positions[29]).unwrap(), stands[28..31]);
    }
}

#[test]
fn what_was_let_go_and_what_is_damaged_is_said() {
    let mut log = Written::new(true);
    for index in 1..=20 {
        log.append(2, index, 3_000, false);
        log.write();
    }
    let mut requests = Vec::new();
    let job = log.log.read_back(G, 1..=20, LogPosition::default());
    log.log.release(log.log.end(), &mut requests);
    settle(&mut log.dir, &mut log.log, requests);
    // The files of the first segments begin another life while the job is under way.
    for index in 21..=40 {
        log.append(2, index, 3_000, false);
        log.write();
    }
    let mut job = job;
    let error = run_job(&mut log.dir, &mut job).map(drop).unwrap_err();
    assert!(matches!(error, Error::Unusable(_) | Error::Io { .. }), "{error}");
    let reached = log.log.reached();
    log.dir.flip(FileName::Log(reached.file), 4096 + 200, 1);
    let from = LogPosition { segment: reached.generation, offset: 4096 };
    assert!(matches!(log.read(40..=40, from), Err(Error::Damaged { .. })));
}
