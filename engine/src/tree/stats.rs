//! Figures of a tree for metrics.

use super::core::Tree;

/// Figures of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Tables.
    pub tables: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Entries that are tombstones.
    pub tombstones: u64,
}

/// Figures of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// The levels, from 0.
    pub levels: Vec<LevelStats>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the files of resident tables.
    pub resident_bytes: u64,
    /// Memory owned for indexes, filters and properties.
    pub metadata_bytes: usize,
    /// Disjoint ranges covered by range tombstones.
    pub range_fragments: usize,
}

impl Tree {
    /// Counts everything; costs a visit to each table.
    pub fn stats(&self) -> TreeStats {
        let mut stats = TreeStats {
            levels: vec![LevelStats::default(); self.levels().len()],
            range_fragments: self.range_tombstones().fragments().len(),
            ..TreeStats::default()
        };
        for (level, table) in self.tables() {
            let meta = table.meta();
            let counted = &mut stats.levels[level];
            counted.tables += 1;
            counted.bytes += meta.file_bytes;
            counted.entries += meta.entries;
            counted.tombstones += meta.tombstones;
            stats.bytes += meta.file_bytes;
            stats.metadata_bytes += table.metadata_bytes();
            if table.is_resident() {
                stats.resident_bytes += meta.file_bytes;
            }
        }
        stats
    }
}
