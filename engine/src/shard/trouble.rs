//! What fails in the background, how often it is told, and when writes are refused because of it.
//!
//! 1. Each kind of work that failed stays noted until work of its kind succeeds, or none is wanted. Trying again goes on all
//!    the while; the log hears of it when a kind of work begins to fail, or fails in another way.
//! 2. Work that fails costs room: in the log if segments can't be made, in memory if tables can't. A shard that has too
//!    little left refuses writes at once, before it asks for the delays that hold writers.
//! 3. It takes them again when there is clearly more room than at the limit: the log has its spare segment, and memtables
//!    were written out. So it doesn't go back and forth with every try.

use super::Shard;
use super::failing::{Shortage, Work};

/// Why writes are refused where the disk has no room for them.
const DISK_FULL: &str = "the disk is full; free some space, the shard goes on by itself";

impl Shard {
    /// Work of a kind succeeded.
    pub(super) fn succeeded(&mut self, work: Work) {
        self.background.failing.kinds.remove(&work);
        self.clear_trouble();
    }

    /// Forgets why work failed last, if nothing fails any more.
    pub(super) fn clear_trouble(&mut self) {
        if self.background.failing.kinds.is_empty() {
            self.background.trouble = None;
        }
    }

    /// Finds out whether work that fails leaves too little room for writes, or enough again.
    pub(super) fn note_shortage(&mut self) {
        if self.background.shortage.is_none() && self.background.failing.kinds.is_empty() {
            return;
        }
        let failing = &self.background.failing;
        let (memory, memtable) = (self.sources.memtable_bytes(), self.budgets.memtable);
        let is_full = failing.is_disk_full();
        let is_log_short = is_full && self.log.room_bytes() < 2 * self.budgets.log_write as u64;
        self.background.shortage = match self.background.shortage {
            None if is_log_short || (is_full && memory > 2 * memtable) => Some(Shortage::Disk),
            None if failing.keeps_memory() && memory > self.budgets.memtables / 10 * 9 => {
                Some(Shortage::Tables)
            }
            Some(Shortage::Disk)
                if self.doubt.is_none() && !is_log_short && !self.log.lacks_spare() && memory <= memtable =>
            {
                None
            }
            Some(Shortage::Tables) if memory <= 2 * memtable => None,
            as_before => as_before,
        };
    }

    /// Why writes are refused now, and what to do, if they are.
    pub fn read_only_reason(&self) -> Option<&'static str> {
        if self.defect.is_some() {
            return Some("the shard met a defect of ours; see the server's log, then restart it");
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.is_full) {
            return Some(DISK_FULL);
        }
        if self.doubt.is_some() {
            return Some(
                "a log write failed; the shard settles what it left and goes on by itself, see the server's log",
            );
        }
        Some(match self.background.shortage? {
            Shortage::Disk => DISK_FULL,
            Shortage::Tables => {
                "tables can't be written; see the server's log, the shard goes on by itself when they can"
            }
        })
    }
}
