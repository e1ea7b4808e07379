//! What a leveled choice is made of: levels over their targets, and what goes down with a table.

use super::super::Picking;
use crate::table::Table;
use crate::tree::core::{LEVELS, Tree};
use crate::tree::plan::{MergePlan, MergeReason};
use crate::tree::shape::Shape;
use std::sync::Arc;

/// Level 0 is merged too when it has so many times its trigger of tables, though none lie over each other.
const L0_TABLES_PER_TRIGGER: usize = 3;

pub(super) struct Picker<'a> {
    pub tree: &'a Tree,
    pub picking: &'a Picking<'a>,
    pub shape: Shape,
}

impl<'a> Picker<'a> {
    pub fn new(tree: &'a Tree, picking: &'a Picking<'a>) -> Picker<'a> {
        Picker { tree, picking, shape: Shape::of(tree, picking.options) }
    }

    pub fn is_busy(&self, table: &Table) -> bool {
        self.picking.busy.contains(&table.meta().number)
    }

    pub fn any_busy(&self, tables: &[Arc<Table>]) -> bool {
        tables.iter().any(|table| self.is_busy(table))
    }

    /// A merge of the level that is furthest over its target and not busy.
    pub fn oversized_level(&self) -> Option<MergePlan> {
        let mut scores: Vec<(f64, usize)> = (self.shape.base..LEVELS - 1)
            .map(|i| {
                let idle = self.tree.levels()[i].tables().iter().filter(|t| !self.is_busy(t));
                let bytes: u64 = idle.map(|t| t.meta().file_bytes).sum();
                (bytes as f64 / self.shape.targets[i] as f64, i)
            })
            .collect();
        scores.push((self.level0_score(), 0));
        scores.retain(|&(score, _)| score >= 1.0);
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        scores.into_iter().find_map(|(_, i)| match i {
            0 => self.level0(MergeReason::Level0),
            i => self.level(i, MergeReason::LevelSize),
        })
    }

    fn level0_score(&self) -> f64 {
        let trigger = self.picking.options.l0_trigger.max(1);
        let depth = self.tree.l0_depth() as f64 / trigger as f64;
        let count = self.tree.levels()[0].tables().len() as f64;
        depth.max(count / (L0_TABLES_PER_TRIGGER * trigger) as f64)
    }

    /// Merges the table of level `i` that costs least per byte into the next level.
    pub fn level(&self, i: usize, reason: MergeReason) -> Option<MergePlan> {
        let candidates = self.tree.levels()[i].tables().iter().enumerate();
        let cheapest = candidates
            .filter_map(|(at, table)| {
                let overlap = self.free_overlap(i + 1, table, table)?;
                let below: u64 = overlap.iter().map(|t| t.meta().file_bytes).sum();
                (!self.is_busy(table)).then(|| (below as f64 / table.meta().file_bytes.max(1) as f64, at))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0));
        self.downwards(i, cheapest?.1, reason)
    }

    /// The tables of `level` within the hull of two tables; `None` if one of them is busy.
    fn free_overlap(&self, level: usize, first: &Table, last: &Table) -> Option<&'a [Arc<Table>]> {
        let overlap = self.tree.levels()[level].overlapping(&first.meta().min_key, &last.meta().max_key);
        (!self.any_busy(overlap)).then_some(overlap)
    }

    /// Merges table `at` of level `i`, and neighbours that cost nothing more, into the next level.
    pub fn downwards(&self, i: usize, at: usize, reason: MergeReason) -> Option<MergePlan> {
        let tables = self.tree.levels()[i].tables();
        let overlap = self.free_overlap(i + 1, &tables[at], &tables[at])?;
        let (mut first, mut last) = (at, at);
        let mut bytes: u64 = overlap.iter().chain([&tables[at]]).map(|t| t.meta().file_bytes).sum();
        let mut grow = |first: usize, last: usize, added: &Arc<Table>| {
            let more = bytes + added.meta().file_bytes;
            let same = self.free_overlap(i + 1, &tables[first], &tables[last]);
            let free = !self.is_busy(added) && same.is_some_and(|same| same.len() == overlap.len());
            let fits = more <= self.picking.options.merge_bytes_max;
            if free && fits && !overlap.is_empty() {
                bytes = more;
                return true;
            }
            false
        };
        while last + 1 < tables.len() && grow(first, last + 1, &tables[last + 1]) {
            last += 1;
        }
        while first > 0 && grow(first - 1, last, &tables[first - 1]) {
            first -= 1;
        }
        let upper = &tables[first..=last];
        let inputs = upper.iter().map(|t| (i, Arc::clone(t)));
        let inputs = inputs.chain(overlap.iter().map(|t| (i + 1, Arc::clone(t)))).collect();
        let mut plan = MergePlan::new(self.tree, inputs, i + 1, reason);
        plan.moves = overlap.is_empty() && self.can_move(upper);
        Some(plan)
    }

    /// Whether tables may go down as they are: disjoint, worth keeping apart, and with little to drop.
    pub fn can_move(&self, tables: &[Arc<Table>]) -> bool {
        let mut sorted: Vec<_> = tables.iter().map(|t| t.meta()).collect();
        sorted.sort_by(|a, b| a.min_key.cmp(&b.min_key));
        let disjoint = sorted.windows(2).all(|pair| pair[0].max_key < pair[1].min_key);
        let large = tables.len() == 1 || !tables.iter().any(|t| self.is_small(t));
        let clean = tables.iter().all(|t| self.garbage_share(t) < self.picking.options.garbage_ratio);
        disjoint && large && clean
    }

    pub fn is_small(&self, table: &Table) -> bool {
        table.meta().file_bytes < self.picking.options.table_bytes / 2
    }
}
