//! What is read of a log of which no manifest says where it starts.

use super::*;
use crate::Version;
use crate::dir::Dir;
use crate::key::{Expiry, Keyspace};
use crate::log::{Batch, BatchBuilder, Reached, Remains, read_remains};
use crate::manifest::ManifestState;
use crate::offline::Contents;

/// A log with three parts a segment, each of one entry: version by version, from 1 on, in one group.
struct Logged {
    dir: MemoryDir,
    options: LogOptions,
    log: Log,
    written: u64,
}

impl Logged {
    fn new() -> Logged {
        let (mut dir, options) = (MemoryDir::new(), options(true, 16 << 10));
        let log = create(&mut dir, options);
        Logged { dir, options, log, written: 0 }
    }

    fn append(&mut self, group: u16, index: u64) -> Vec<IoRequest> {
        self.written += 1;
        let mut batch = BatchBuilder::new(self.written);
        let key = format!("{group}/{index}");
        batch.put(Keyspace(0), key.as_bytes(), Version(self.written), Expiry::NEVER, b"v");
        self.log.append(Record::writes(Partition(group), 1, index, batch.bytes()));
        let mut requests = Vec::new();
        self.log.write(true, &mut requests).expect("something was appended");
        requests
    }

    fn put(&mut self, group: u16, index: u64) {
        let requests = self.append(group, index);
        settle(&mut self.dir, &mut self.log, requests);
    }

    fn puts(&mut self, count: u64) {
        (0..count).for_each(|_| self.put(1, self.written + 1));
    }

    /// Segments of versions 7 to 9 in file 3, and of 10 to 12 in file 2, which was let go before; so was
    /// file 1, of versions 1 to 3.
    fn with_a_file_used_again() -> Logged {
        let mut logged = Logged::new();
        for _ in 0..2 {
            logged.puts(1);
            let mut job = logged.log.prepare_segment();
            crate::drive::blocking::run_job(&mut logged.dir, &mut job).unwrap();
            logged.log.segment_ready(job.file());
            logged.puts(2);
        }
        logged.puts(2);
        logged.release();
        logged.puts(4);
        assert_eq!(log_files(&logged.dir), [1, 2, 3].map(FileName::Log));
        logged
    }

    /// All that was logged is in tables.
    fn release(&mut self) {
        let mut requests = Vec::new();
        self.log.release(self.log.end(), &mut requests);
        settle(&mut self.dir, &mut self.log, requests);
    }

    /// The versions that are read, and what is said of them.
    fn remains(&self, in_tables: u64) -> (Vec<u64>, Remains) {
        self.remains_knowing(Extent::default(), in_tables)
    }

    fn remains_knowing(&self, known: Extent, in_tables: u64) -> (Vec<u64>, Remains) {
        let mut versions = Vec::new();
        let shard_id = self.options.shard_id;
        let remains = read_remains(&self.dir, known, Version(in_tables), shard_id, &mut |record, _| {
            versions.extend(Batch::parse(record.payload).unwrap().ops().map(|op| op.unwrap().version.0));
            Ok(())
        });
        let remains = remains.unwrap();
        assert_eq!(remains.read.records, versions.len() as u64);
        (versions, remains)
    }

    /// These versions are all there is, and nothing else is missed.
    #[track_caller]
    fn reads_all(&self, in_tables: u64, expected: std::ops::RangeInclusive<u64>) {
        let (versions, remains) = self.remains(in_tables);
        assert_eq!(versions, expected.collect::<Vec<_>>());
        assert_eq!(remains.holes, [], "nothing is lost");
    }
}

#[test]
fn a_log_whose_first_segments_are_used_again_is_read_from_the_oldest_on() {
    let logged = Logged::with_a_file_used_again();
    for in_tables in [0, 8, 12] {
        logged.reads_all(in_tables, 7..=12);
    }
    assert_eq!(logged.remains(8).1.start, Some(FileName::Log(3)));
}

#[test]
fn segments_that_were_let_go_and_not_used_again_are_no_part_of_a_log_that_they_dont_lead_to() {
    let mut logged = Logged::new();
    logged.puts(14);
    logged.release();
    // A spare, of versions 1 to 3; the files of the next three segments were removed.
    assert_eq!(log_files(&logged.dir), [1, 5].map(FileName::Log));
    logged.reads_all(14, 13..=14);
    logged.reads_all(3, 13..=14);
    logged.puts(1);
    // What of the manifest can be read says it, too.
    let start = LogPosition { segment: (1 << 32) + 4, offset: 4096 };
    let (versions, remains) = logged.remains_knowing(start.into(), 0);
    assert_eq!((versions, remains.holes), ((13..=15).collect(), Vec::new()));
}

#[test]
fn a_segment_that_is_missing_is_told_and_both_sides_of_it_stay_unless_tables_have_what_comes_before() {
    let mut logged = Logged::new();
    logged.puts(12);
    logged.dir.unlink(FileName::Log(2)).unwrap();
    let (versions, remains) = logged.remains(2);
    assert_eq!(versions, [1, 2, 3, 7, 8, 9, 10, 11, 12]);
    let [hole] = &remains.holes[..] else { panic!("{remains:?}") };
    assert!(hole.damage.starts_with("000002.log, log segment "), "{hole:?}");
    assert_eq!(hole.after, Some(LogPosition { segment: 1 << 32, offset: 16 << 10 }));
    assert_eq!(hole.after_clock_us, 3);
    assert_eq!(hole.before, Some(LogPosition { segment: (1 << 32) + 2, offset: 4096 }));
    logged.reads_all(7, 7..=12);
}

#[test]
fn a_part_that_is_damaged_is_told_unless_tables_have_what_comes_behind() {
    let mut logged = Logged::new();
    logged.puts(12);
    logged.dir.flip(FileName::Log(2), 8192 + 60, 3);
    for in_tables in [0, 3, 6] {
        let (versions, remains) = logged.remains(in_tables);
        assert_eq!(versions, [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]);
        let [hole] = &remains.holes[..] else { panic!("{remains:?}") };
        assert!(hole.damage.contains("000002.log is damaged at offset 8232"), "{hole:?}");
        assert_eq!(hole.after, Some(LogPosition { segment: (1 << 32) + 1, offset: 8192 }));
    }
    logged.reads_all(7, 7..=12);
}

#[test]
fn a_damaged_part_at_the_end_is_told_where_a_later_one_proves_it_and_is_the_tail_otherwise() {
    for (offset, kept, holes) in [(4096, 9, 1), (8192, 10, 0)] {
        let mut logged = Logged::new();
        logged.puts(11);
        logged.dir.flip(FileName::Log(4), offset + 60, 3);
        let (versions, remains) = logged.remains(0);
        assert_eq!((versions, remains.holes.len()), ((1..=kept).collect(), holes), "{:?}", remains.holes);
        assert!(remains.holes.iter().all(|hole| hole.before.is_none()));
    }
}

#[test]
fn a_damaged_header_costs_nothing_also_that_of_the_oldest_segment() {
    for file in [2, 3].map(FileName::Log) {
        let mut logged = Logged::with_a_file_used_again();
        logged.dir.flip(file, 40, 0);
        logged.reads_all(8, 7..=12);
        assert_eq!(logged.remains(8).1.restored, [file]);
    }
}

#[test]
fn an_oldest_segment_that_cant_be_read_is_told_unless_tables_have_what_comes_behind() {
    let mut logged = Logged::new();
    logged.puts(8);
    logged.dir.tamper(FileName::Log(1), |bytes| bytes.fill(0xee));
    let (versions, remains) = logged.remains(3);
    assert_eq!(versions, (4..=8).collect::<Vec<_>>());
    let [hole] = &remains.holes[..] else { panic!("{remains:?}") };
    assert_eq!((hole.after, hole.before.map(|at| at.segment)), (None, Some((1 << 32) + 1)));
    logged.reads_all(4, 4..=8);
}

#[test]
fn a_newest_segment_that_the_manifest_heard_of_and_a_log_of_which_no_file_is_there_are_told() {
    let mut logged = Logged::new();
    logged.puts(8);
    let known = Extent { start: LogPosition::default(), reached: logged.log.reached() };
    assert_eq!(known.reached, Reached { generation: (1 << 32) + 2, file: 3 });
    logged.dir.unlink(FileName::Log(3)).unwrap();
    let (versions, remains) = logged.remains_knowing(known, 0);
    assert_eq!((versions, remains.holes.len()), ((1..=6).collect(), 1));
    for file in log_files(&logged.dir) {
        logged.dir.unlink(file).unwrap();
    }
    let (_, remains) = logged.remains(5);
    assert!(remains.holes[0].damage.starts_with("no file of the log is in "), "{remains:?}");
    assert_eq!(logged.remains(0).1, Remains::default(), "a shard that was never written to");
}

/// Where the log was cut is in the segment that is missing, so the failed part counts again; the one that was given its
/// index is there all the same.
#[test]
fn an_index_that_is_given_again_behind_a_hole_is_no_reason_to_leave_an_entry_out() {
    let mut logged = Logged::new();
    logged.put(1, 1);
    let mut requests = logged.append(1, 2);
    for request in std::mem::take(&mut requests) {
        let mut completion = perform(&mut logged.dir, request);
        completion.result = Err(std::io::Error::other("EIO"));
        logged.log.complete(completion, &mut requests);
    }
    assert!(logged.log.cut(&mut requests));
    settle(&mut logged.dir, &mut logged.log, requests);
    logged.log.resume();
    (1..=3).for_each(|index| logged.put(2, index));
    logged.put(1, 2);
    logged.dir.unlink(FileName::Log(2)).unwrap();
    let state = ManifestState::default();
    let (contents, remains) =
        Contents::without_manifest(&logged.dir, logged.options.shard_id, state).unwrap();
    assert_eq!(remains.holes.len(), 1);
    let mut merge = contents.merge(&logged.dir);
    merge.seek(&[]).unwrap();
    let mut versions = Vec::new();
    while let Some(entry) = merge.entry() {
        versions.push(entry.stamp.version().0);
        merge.advance().unwrap();
    }
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 6]);
}
