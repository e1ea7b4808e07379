//! What the log must keep is copied to its head, so that old segments can go although a group comes no further.
//!
//! An entry that isn't committed, and a group's newest hard state, are needed however old they are. When the log has become long,
//! those in segments that nothing else needs are written again, marked as copies: they delete nothing ([`crate::group::tail`] reads them). Only
//! once the copies are durable do the first ones count for nothing, and the log's start can move on.

use super::Shard;
use super::held::Copying;
use crate::log::{LogPosition, Record, RecordKind};

/// So many bytes are copied with one log write at most.
const COPIED_BYTES_MAX: usize = 1 << 20;

/// A log isn't long where so large a part of it is needed.
const KEPT_PART: u64 = 4;

impl Shard {
    /// Whether a long log is kept for little, and what it is kept for isn't on its way to the head already. What is copied stays
    /// where it is until a flush has moved the log's start there, so that nothing is copied twice for one flush.
    pub(super) fn wants_copies(&self) -> bool {
        if self.held.is_idle() || self.held.copying.is_some() || !self.knows_its_log() {
            return false;
        }
        let worth = self.budgets.log.max(KEPT_PART * self.held.bytes() as u64);
        self.log.live_bytes() >= worth
            && self.held.needed_from(self.logged_end).segment < self.held.flushed_to.segment
    }

    /// Adds copies of what is kept of segments that nothing else needs to the log write that is about to begin.
    pub(super) fn append_copies(&mut self) {
        let segment = self.held.flushed_to.segment;
        let mut copying =
            Copying { began: self.logged_end, ended: None, entries: Vec::new(), hard: Vec::new() };
        let mut bytes = 0;
        for (place, index) in self.held.entries_before(segment) {
            let group = &self.groups[place];
            let Some(queued) = group.queue().and_then(|queue| queue.get(index)) else { continue };
            let entry = &queued.entry;
            if bytes > 0 && bytes + entry.payload.len() > COPIED_BYTES_MAX {
                break;
            }
            bytes += entry.payload.len();
            self.log.append(Record { is_copy: true, ..entry.record(group.id) });
            copying.entries.push((place, index));
        }
        // Behind the entries that they say are committed.
        for (place, term, hard) in self.held.hard_before(segment) {
            let payload = hard.to_bytes();
            let record = Record::writes(self.groups[place].id, term, 0, &payload);
            self.log.append(Record { kind: RecordKind::HardState, is_copy: true, ..record });
            copying.hard.push((place, term));
        }
        self.held.copying = Some(copying);
    }

    /// The log write is done that carried copies, if one did. They count when it is durable.
    pub(super) fn copies_written(&mut self, ended: LogPosition) {
        if let Some(copying) = self.held.copying.as_mut().filter(|copying| copying.ended.is_none()) {
            copying.ended = Some(ended);
        }
        self.settle_copies();
    }

    /// Copies that are durable take the place of what was copied.
    pub(super) fn settle_copies(&mut self) {
        let durable = self.log.durable();
        let is_durable = |copying: &mut Copying| copying.ended.is_some_and(|ended| ended <= durable);
        let Some(copying) = self.held.copying.take_if(is_durable) else { return };
        for (place, index) in copying.entries {
            self.held.entry_moved(place, index, copying.began);
        }
        for (place, term) in copying.hard {
            self.held.hard_moved(place, term, copying.began);
        }
    }
}
