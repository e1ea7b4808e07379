//! What a job that makes tables must know of its shard.

use super::horizons::Horizons;
use crate::table::Compression;
use crate::tree::options::TreeOptions;
use crate::tree::read_pins::ReadPins;
use std::ops::Range;

/// What a flush or a merge depends on besides its inputs.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// Numbers for the files it makes, reserved for it alone; at least one. See
    /// [`crate::tree::MergePlan::numbers_needed`] and [`JobContext::numbers_for_flush`]. With fewer the last table just grows.
    pub numbers: Range<u64>,
    /// Open pins. Those opened later see all that is in tables now, so they need nothing more.
    pub pins: ReadPins,
    /// What of each partition may be let go of.
    pub horizons: Horizons,
    /// Tables are cut at about this size, in bytes.
    pub table_bytes: u64,
    /// How much of the new tables may be made resident before they are handed over, in bytes of their files. What goes
    /// beyond it stays paged.
    pub resident_bytes: u64,
    /// About how long its writes are, bytes.
    pub write_bytes: usize,
    /// How blocks are stored.
    pub compression: Compression,
}

impl JobContext {
    /// How many file numbers a flush of memtables with so many bytes together should have.
    pub fn numbers_for_flush(memtable_bytes: usize, options: &TreeOptions) -> u64 {
        3 + 2 * memtable_bytes as u64 / options.table_bytes.max(1)
    }
}
