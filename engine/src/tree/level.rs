//! The tables of one level.

use super::head::Head;
use crate::table::Table;
use std::sync::Arc;

/// Tables with the heads of their key ranges side by side, so that a search rarely leaves one array.
#[derive(Clone, Debug, Default)]
pub struct Level {
    tables: Vec<Arc<Table>>,
    ranges: Vec<(Head, Head)>,
    bytes: u64,
}

impl Level {
    /// A level of tables in the order given.
    pub fn new(tables: Vec<Arc<Table>>) -> Level {
        let ranges =
            tables.iter().map(|t| (Head::of(&t.meta().min_key), Head::of(&t.meta().max_key))).collect();
        let bytes = tables.iter().map(|t| t.meta().file_bytes).sum();
        Level { tables, ranges, bytes }
    }

    /// The tables: in level 0 the newest first, else in key order.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Length of all its files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether table `i` may hold `key`, whose head is `head`.
    pub fn may_hold(&self, i: usize, head: Head, key: &[u8]) -> bool {
        let (min, max) = self.ranges[i];
        min <= head
            && head <= max
            && (min != head || self.tables[i].meta().min_key.as_slice() <= key)
            && (max != head || key <= self.tables[i].meta().max_key.as_slice())
    }

    /// In a level of disjoint tables: index of the first that ends at or after `key`.
    pub fn first_ending_at(&self, head: Head, key: &[u8]) -> usize {
        let mut i = self.ranges.partition_point(|&(_, max)| max < head);
        while self.ranges.get(i).is_some_and(|&(_, max)| max == head)
            && self.tables[i].meta().max_key.as_slice() < key
        {
            i += 1;
        }
        i
    }

    /// In a level of disjoint tables: those that share keys with `min..=max`.
    pub fn overlapping(&self, min: &[u8], max: &[u8]) -> &[Arc<Table>] {
        let from = self.tables.partition_point(|t| t.meta().max_key.as_slice() < min);
        let rest = &self.tables[from..];
        &rest[..rest.partition_point(|t| t.meta().min_key.as_slice() <= max)]
    }

    /// How many tables lie over each other at the worst place.
    pub fn depth(&self) -> usize {
        let mut ends: Vec<(&[u8], bool)> = Vec::with_capacity(2 * self.tables.len());
        for table in &self.tables {
            ends.push((&table.meta().min_key, false));
            ends.push((&table.meta().max_key, true));
        }
        ends.sort_unstable();
        let (mut open, mut depth) = (0_usize, 0);
        for (_, closes) in ends {
            open = if closes { open - 1 } else { open + 1 };
            depth = depth.max(open);
        }
        depth
    }

    /// The first two tables that aren't in order or overlap, if any.
    pub fn disorder(&self) -> Option<(&Table, &Table)> {
        let pair = self.tables.windows(2).find(|pair| pair[0].meta().max_key >= pair[1].meta().min_key)?;
        Some((&pair[0], &pair[1]))
    }
}
