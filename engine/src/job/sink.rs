//! Where the sorted entries of a flush or a merge go: judged, then written.

use super::context::JobContext;
use super::retention::{Retention, RetentionRule, Verdict};
use super::table_writer::TableWriter;
use crate::io::IoRequest;
use crate::key::{Entry, Kind, Stamp};

/// Finished bytes are handed on every so many bytes of entries.
const HAND_ON_BYTES: usize = 64 << 10;

/// Judges entries and writes those that survive.
pub(super) struct Sink {
    retention: Retention,
    pub writer: TableWriter,
    /// Keys at which tables are cut, rising.
    cuts: Vec<Vec<u8>>,
    cuts_passed: usize,
    pending_bytes: usize,
    /// Expired values among those taken that did not stay.
    pub expired: u64,
}

impl Sink {
    pub fn new(
        rule: RetentionRule,
        context: &JobContext,
        expected_entries: usize,
        cuts: Vec<Vec<u8>>,
    ) -> Sink {
        let writer = TableWriter::new(context, expected_entries);
        Sink { retention: Retention::new(rule), writer, cuts, cuts_passed: 0, pending_bytes: 0, expired: 0 }
    }

    /// Takes the next entry in storage order; returns about how many bytes of work it was.
    pub fn take(&mut self, entry: Entry<'_>, requests: &mut Vec<IoRequest>) -> usize {
        let begins_key = !self.retention.is_same_key(entry.key);
        let verdict = self.retention.judge(&entry);
        self.expired += u64::from(verdict != Verdict::Keep && self.retention.is_expired(&entry));
        let bytes = entry.key.len() + entry.value.len() + size_of::<Stamp>();
        if begins_key && (self.passes_cut(entry.key) || self.writer.is_full()) {
            self.writer.end_table(requests);
        }
        match verdict {
            Verdict::Drop => return bytes,
            Verdict::Keep => self.writer.add(entry, requests),
            Verdict::Bury => {
                let stamp = Stamp::new(entry.stamp.version(), Kind::Tombstone);
                let buried = Entry { stamp, expiry: crate::key::Expiry::NEVER, value: b"", ..entry };
                self.writer.add(buried, requests);
            }
        }
        self.pending_bytes += bytes;
        if self.pending_bytes >= HAND_ON_BYTES {
            self.pending_bytes = 0;
            self.writer.flush_output(requests);
        }
        bytes
    }

    fn passes_cut(&mut self, key: &[u8]) -> bool {
        let before = self.cuts_passed;
        while self.cuts.get(self.cuts_passed).is_some_and(|cut| cut.as_slice() <= key) {
            self.cuts_passed += 1;
        }
        self.cuts_passed > before
    }
}
