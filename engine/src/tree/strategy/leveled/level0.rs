//! Picking what of level 0 is merged into the base level.

use super::picker::Picker;
use crate::table::Table;
use crate::tree::level::Level;
use crate::tree::options::TreeOptions;
use crate::tree::plan::{MergePlan, MergeReason, hull};
use std::sync::Arc;

impl Picker<'_> {
    /// Merges the oldest table of level 0, and what of level 0 belongs with it, into the base level.
    pub fn level0(&self, reason: MergeReason) -> Option<MergePlan> {
        let newest_first = self.tree.levels()[0].tables();
        if newest_first.is_empty() || self.any_busy(newest_first) {
            return None;
        }
        let base = &self.tree.levels()[self.shape.base];
        let mut choice = Choice::oldest_of(newest_first, base);
        while choice.grow(self.picking.options, |table| self.is_small(table)) {}
        let chosen = choice.tables();
        let (min, max) = hull(chosen.iter().map(|t| t.meta()))?;
        let overlap = base.overlapping(min, max);
        if self.any_busy(overlap) {
            return None;
        }
        let upper = chosen.iter().map(|t| (0, Arc::clone(t)));
        let lower = overlap.iter().map(|t| (self.shape.base, Arc::clone(t)));
        let mut plan = MergePlan::new(self.tree, upper.chain(lower).collect(), self.shape.base, reason);
        plan.moves = overlap.is_empty() && self.can_move(&chosen);
        Some(plan)
    }
}

/// A choice of tables of level 0 beneath which nothing older stays behind.
struct Choice<'a> {
    newest_first: &'a [Arc<Table>],
    base: &'a Level,
    chosen: Vec<bool>,
}

impl<'a> Choice<'a> {
    fn oldest_of(newest_first: &'a [Arc<Table>], base: &'a Level) -> Choice<'a> {
        let mut chosen = vec![false; newest_first.len()];
        if let Some(oldest) = chosen.last_mut() {
            *oldest = true;
        }
        Choice { newest_first, base, chosen }
    }

    fn tables(&self) -> Vec<Arc<Table>> {
        self.members().map(|i| Arc::clone(&self.newest_first[i])).collect()
    }

    fn members(&self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.chosen.len()).filter(|&i| self.chosen[i])
    }

    /// Takes in one more table, the oldest that overlaps the choice or is small; `false` if there is none
    /// or no room.
    fn grow(&mut self, options: &TreeOptions, is_small: impl Fn(&Table) -> bool) -> bool {
        let candidates = (0..self.chosen.len()).rev().filter(|&i| !self.chosen[i]);
        let next = candidates.into_iter().find(|&i| {
            let table = &self.newest_first[i];
            let belongs = self.members().any(|j| overlap(table, &self.newest_first[j]));
            let at_no_cost = || is_small(table) && self.bytes_below(Some(i)) == self.bytes_below(None);
            (belongs || at_no_cost()) && self.nothing_older_stays(i) && self.fits(i, options)
        });
        if let Some(i) = next {
            self.chosen[i] = true;
        }
        next.is_some()
    }

    fn nothing_older_stays(&self, i: usize) -> bool {
        let older = i + 1..self.chosen.len();
        older.filter(|&j| overlap(&self.newest_first[i], &self.newest_first[j])).all(|j| self.chosen[j])
    }

    /// Whether the choice with table `i` stays within the bytes of a merge, where level 0 may have half of
    /// them whatever lies below; and within what it may have in memory.
    fn fits(&self, i: usize, options: &TreeOptions) -> bool {
        let members = || self.members().chain([i]).map(|j| &self.newest_first[j]);
        let bytes: u64 = members().map(|table| table.meta().file_bytes).sum();
        let blocks: u64 = members().map(|table| table.longest_block()).sum();
        let bytes_max = options.merge_bytes_max;
        bytes <= bytes_max.saturating_sub(self.bytes_below(Some(i))).max(bytes_max / 2)
            && blocks <= options.merge_blocks_max
    }

    /// Bytes of the base level's tables within the hull of the choice and one more table.
    fn bytes_below(&self, more: Option<usize>) -> u64 {
        let members = self.members().chain(more);
        let Some((min, max)) = hull(members.map(|j| self.newest_first[j].meta())) else { return 0 };
        self.base.overlapping(min, max).iter().map(|t| t.meta().file_bytes).sum()
    }
}

fn overlap(a: &Table, b: &Table) -> bool {
    a.meta().min_key <= b.meta().max_key && b.meta().min_key <= a.meta().max_key
}
