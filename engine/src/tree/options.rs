//! Sizes and thresholds of a tree.

use crate::table::Compression;

/// How a tree is shaped and kept in shape.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeOptions {
    /// A memtable is frozen at about this size, in bytes.
    pub memtable_bytes: usize,
    /// A table is cut at about this size, in bytes.
    pub table_bytes: u64,
    /// Largest target of the base level, in bytes: the level that level 0 is merged into.
    pub level_base_bytes: u64,
    /// Each level's target is so many times that of the level above.
    pub level_ratio: u64,
    /// Level 0 is merged when so many of its tables lie over each other.
    pub l0_trigger: usize,
    /// A merge takes in no more than about this many bytes.
    pub merge_bytes_max: u64,
    /// A merge has one block of each of its runs in memory: where it can choose, these have no more than about this many bytes
    /// together.
    pub merge_blocks_max: u64,
    /// A table is rewritten when this share of it is tombstones, expired, or deleted by range tombstones.
    pub garbage_ratio: f64,
    /// A store at rest is settled until at most this share of it lies above the bottom level.
    pub settled_ratio: f64,
    /// How blocks of tables that aren't resident are stored, below level 0. Resident ones are never compressed.
    pub compression: Compression,
}

const MIB: u64 = 1 << 20;

impl TreeOptions {
    /// Options that fit a shard which may use so many bytes of memory.
    pub fn for_budget(memory_bytes: usize) -> TreeOptions {
        let memtable = (memory_bytes as u64 / 8).clamp(MIB, 64 * MIB);
        let table = (memtable / 2).clamp(MIB, 32 * MIB);
        TreeOptions {
            memtable_bytes: memtable as usize,
            table_bytes: table,
            level_base_bytes: 8 * memtable,
            level_ratio: 8,
            l0_trigger: 4,
            merge_bytes_max: 24 * table,
            merge_blocks_max: memory_bytes as u64 / 4,
            garbage_ratio: 0.25,
            settled_ratio: 0.1,
            compression: Compression::Lz4,
        }
    }

    /// How a job that writes into `level` stores its blocks.
    pub fn compression_of(&self, level: usize, resident: bool) -> Compression {
        if resident || level == 0 { Compression::None } else { self.compression }
    }
}
