//! Headers that a repair doesn't put together again, or not as they seem.

use super::*;
use crate::dir::Dir;
use crate::log::repair;

const G: u16 = 6;
const H: u16 = 7;

/// A log of segments with three parts each, of one record each.
struct Parts {
    dir: MemoryDir,
    options: LogOptions,
    log: Log,
}

/// Group, index and length of a payload.
type Seen = Vec<(u16, u64, usize)>;

impl Parts {
    fn new() -> Parts {
        let (mut dir, options) = (MemoryDir::new(), options(true, 16 << 10));
        let log = create(&mut dir, options);
        Parts { dir, options, log }
    }

    fn write(&mut self, kind: RecordKind, sync: bool, (group, index): (u16, u64)) -> Vec<IoRequest> {
        self.log.append(Record { kind, ..Record::writes(Partition(group), 1, index, &[1; 70]) });
        let mut requests = Vec::new();
        self.log.write(sync, &mut requests).expect("something was appended");
        requests
    }

    fn part(&mut self, sync: bool, entries: &[(u16, u64)]) {
        for &entry in entries {
            let requests = self.write(RecordKind::WRITES, sync, entry);
            settle(&mut self.dir, &mut self.log, requests);
        }
    }

    /// A part that comes to the disk whole, and fails; the log is cut, and goes on behind the cut.
    fn fail(&mut self, entry: (u16, u64)) {
        let mut requests = self.write(RecordKind::WRITES, true, entry);
        for request in std::mem::take(&mut requests) {
            let mut completion = perform(&mut self.dir, request);
            completion.result = Err(std::io::Error::other("EIO"));
            self.log.complete(completion, &mut requests);
        }
        assert!(self.log.cut(&mut requests));
        settle(&mut self.dir, &mut self.log, requests);
        self.log.resume();
    }

    /// What the manifest knows if it starts the log there.
    fn known(&self, start: LogPosition) -> Extent {
        Extent { start, reached: self.log.reached() }
    }

    fn flip_header(&mut self, file: u64) {
        self.dir.flip(FileName::Log(file), 50, 0);
    }

    fn seen(&self, known: Extent) -> Seen {
        let mut seen = Vec::new();
        let log = recover(&mut self.dir.clone(), known, self.options, &mut |record, _| {
            seen.push((record.group.0, record.index, record.payload.len()));
            Ok(())
        });
        log.unwrap();
        seen
    }

    /// Repair ends the log where the header is missing, and says that something is lost.
    #[track_caller]
    fn not_restored(&mut self, known: Extent, kept: u64) {
        let report = repair(&mut self.dir, known, self.options).unwrap();
        assert_eq!((report.kept_parts, report.restored.len()), (kept, 0), "{report:?}");
        assert!(report.lost_behind.is_some(), "{report:?}");
    }
}

#[test]
fn a_failed_part_stays_cut_off_also_where_only_a_later_segment_gives_its_index_again() {
    let mut parts = Parts::new();
    parts.part(true, &[(G, 5)]);
    parts.fail((G, 6));
    parts.part(true, &[(H, 1), (H, 2), (H, 3), (G, 6), (G, 7)]);
    let known = parts.known(LogPosition::default());
    let expected = parts.seen(known);
    assert_eq!(expected.len(), 6);
    parts.flip_header(2);
    let report = repair(&mut parts.dir, known, parts.options).unwrap();
    assert_eq!(report.restored, [FileName::Log(2)], "{report:?}");
    assert_eq!(parts.seen(known), expected);
}

/// The segment between two is missing, and a group that it doesn't hold goes on from the one to the other.
#[test]
fn a_header_isnt_restored_over_a_segment_that_is_missing() {
    for (sync, third) in [(true, &[(H, 2)][..]), (false, &[(H, 2), (G, 6)]), (false, &[(G, 6), (H, 2)])] {
        let mut parts = Parts::new();
        parts.part(sync, &[(G, 1), (H, 1), (G, 2), (G, 3), (G, 4), (G, 5)]);
        parts.part(sync, third);
        let known = parts.known(LogPosition::default());
        assert_eq!(parts.seen(known).len(), 6 + third.len());
        parts.dir.unlink(FileName::Log(2)).unwrap();
        parts.flip_header(3);
        parts.not_restored(known, 3);
    }
}

#[test]
fn a_segment_isnt_the_first_only_because_it_has_no_entries_or_every_groups_first() {
    for (kind, starts_before) in [(RecordKind::Clock, false), (RecordKind::WRITES, true)] {
        let mut parts = Parts::new();
        parts.part(true, &[(G, 1), (G, 2)]);
        let before = parts.log.reached().generation;
        parts.log =
            recover(&mut parts.dir, LogPosition::default(), parts.options, &mut |_, _| Ok(())).unwrap();
        let requests = parts.write(kind, true, (H, 1));
        settle(&mut parts.dir, &mut parts.log, requests);
        let segment = if starts_before { before } else { 0 };
        let known = parts.known(LogPosition { segment, offset: 0 });
        assert_eq!(parts.seen(known).len(), 3);
        parts.dir.unlink(FileName::Log(1)).unwrap();
        parts.flip_header(known.reached.file);
        parts.not_restored(known, 0);
    }
}
