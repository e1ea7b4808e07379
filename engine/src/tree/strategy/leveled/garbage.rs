//! Picking merges that give space back: tombstones, expired values, and what range tombstones delete.

use super::picker::Picker;
use crate::job::retention::surviving_range_tombstones;
use crate::key::{RangeTombstone, Version};
use crate::table::{Table, TableMeta};
use crate::tree::core::LEVELS;
use crate::tree::plan::{MergePlan, MergeReason, hull};
use crate::tree::range_tombstones::Fragment;
use std::sync::Arc;

/// So many tables of range tombstones are merged into one.
const RANGE_TABLES_MAX: usize = 4;
/// One plan drops no more covered tables than this.
const COVERED_TABLES_MAX: usize = 256;
/// A table is rewritten for expired values once in this time, whatever the lifetimes.
const EXPIRY_SLACK_MS_MAX: u64 = 3_600_000;

impl Picker<'_> {
    /// Tables of which every entry is deleted by range tombstones, for every reader.
    pub fn covered_tables(&self) -> Option<MergePlan> {
        if self.tree.range_tombstones().is_empty() {
            return None;
        }
        let covered = self.tree.tables().filter(|(_, t)| !self.is_busy(t) && self.is_covered(t.meta()));
        let inputs: Vec<_> =
            covered.take(COVERED_TABLES_MAX).map(|(level, table)| (level, Arc::clone(table))).collect();
        (!inputs.is_empty()).then(|| MergePlan::new(self.tree, inputs, 0, MergeReason::Covered))
    }

    fn is_covered(&self, meta: &TableMeta) -> bool {
        let fragments = self.tree.range_tombstones().covering_all(&meta.min_key, &meta.max_key);
        meta.entries > 0
            && fragments
                .is_some_and(|fragments| fragments.iter().all(|f| self.hides_since(f, meta).is_some()))
    }

    /// The version of a tombstone of `fragment` that hides entries of a table from every reader, whatever
    /// their versions.
    fn hides_since(&self, fragment: &Fragment, meta: &TableMeta) -> Option<Version> {
        let version = fragment.oldest_above(meta.max_version)?;
        (!self.picking.pins.any_within(meta.min_version..version)).then_some(version)
    }

    /// Tables of range tombstones of which some have nothing left to hide, or which are many.
    pub fn spent_range_tombstones(&self) -> Option<MergePlan> {
        let idle = self.tree.range_tables().iter().filter(|(_, table)| !self.is_busy(table));
        let inputs: Vec<_> = idle.cloned().collect();
        if inputs.is_empty() {
            return None;
        }
        let all: Vec<RangeTombstone> =
            inputs.iter().flat_map(|(_, t)| t.meta().range_tombstones.iter().cloned()).collect();
        let tables = inputs.len();
        let plan = MergePlan::new(self.tree, inputs, 0, MergeReason::RangeTombstones);
        let (pins, horizons) = (self.picking.pins, self.picking.horizons);
        let survivors = surviving_range_tombstones(&all, pins, horizons, Some(&plan.outside));
        (survivors.len() < all.len() || tables >= RANGE_TABLES_MAX).then_some(plan)
    }

    /// The table with the largest share of garbage, if that is worth a merge.
    pub fn garbage(&self) -> Option<MergePlan> {
        let tables = self.tree.tables().filter(|(_, t)| t.meta().entries > 0 && !self.is_busy(t));
        let mut shares: Vec<(f64, usize, &Arc<Table>)> =
            tables.map(|(level, table)| (self.garbage_share(table), level, table)).collect();
        shares.retain(|&(share, ..)| share >= self.picking.options.garbage_ratio);
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        shares.into_iter().find_map(|(_, level, table)| match level {
            0 => self.level0(MergeReason::Garbage),
            i if i == LEVELS - 1 => Some(self.in_place(i, table, Vec::new())),
            i => {
                let tables = self.tree.levels()[i].tables();
                let at = tables.iter().position(|t| Arc::ptr_eq(t, table))?;
                self.downwards(i, at, MergeReason::Garbage)
            }
        })
    }

    /// The share of a table's entries that a merge could drop now, as far as its properties tell.
    pub fn garbage_share(&self, table: &Table) -> f64 {
        let meta = table.meta();
        let horizon = self.picking.horizons.for_picking(&meta.min_key, &meta.max_key);
        let held =
            meta.max_version > horizon.floor || self.picking.pins.any_within(Version(0)..meta.max_version);
        if held || meta.entries == 0 {
            return 0.0;
        }
        let expired = if is_expiry_due(meta, horizon.now_ms) { meta.expiring } else { 0 };
        let dead = (meta.tombstones + expired) as f64 / meta.entries as f64;
        dead.max(self.covered_share(table))
    }

    /// The share of a table's blocks that range tombstones delete whole.
    fn covered_share(&self, table: &Table) -> f64 {
        let meta = table.meta();
        let fragments = self.tree.range_tombstones().overlapping(&meta.min_key, &meta.max_key);
        let hiding = fragments.iter().filter(|f| self.hides_since(f, meta).is_some());
        let covered: usize = hiding
            .map(|fragment| {
                let end = table.find_block(&fragment.end).unwrap_or(table.blocks());
                let start = match fragment.start.as_slice() <= meta.min_key.as_slice() {
                    true => 0,
                    false => table.find_block(&fragment.start).map_or(table.blocks(), |block| block + 1),
                };
                end.saturating_sub(start)
            })
            .sum();
        covered as f64 / table.blocks().max(1) as f64
    }

    /// A table that keeps a range tombstone alive because its range spans the tombstone's: rewritten with
    /// cuts at the tombstone's ends, it doesn't any more.
    pub fn spanning_table(&self) -> Option<MergePlan> {
        let all = self.tree.range_tombstones();
        if all.is_empty() {
            return None;
        }
        for (level, table) in self.tree.tables().filter(|(level, t)| *level > 0 && !self.is_busy(t)) {
            let meta = table.meta();
            let cuts: Vec<Vec<u8>> = all
                .overlapping(&meta.min_key, &meta.max_key)
                .iter()
                .filter(|f| self.is_kept_by(f, meta))
                .flat_map(|f| [f.start.clone(), f.end.clone()])
                .collect();
            if meta.entries > 0 && !cuts.is_empty() {
                return Some(self.in_place(level, table, cuts));
            }
        }
        None
    }

    fn is_kept_by(&self, fragment: &Fragment, meta: &TableMeta) -> bool {
        let pins = self.picking.pins;
        let floor = self.picking.horizons.floor_within(&fragment.start, &fragment.end);
        let free = |version: Version| version <= floor && !pins.any_within(Version(0)..version);
        fragment.oldest_above(meta.min_version).is_some_and(free)
    }

    fn in_place(&self, level: usize, table: &Arc<Table>, cuts: Vec<Vec<u8>>) -> MergePlan {
        debug_assert!(hull([table.meta()]).is_some());
        let reason = if cuts.is_empty() { MergeReason::Garbage } else { MergeReason::RangeTombstones };
        let mut plan = MergePlan::new(self.tree, vec![(level, Arc::clone(table))], level, reason);
        plan.cuts = cuts;
        plan
    }
}

/// Whether it is time to rewrite a table for its expired values. Lifetimes differ within a table, so some time is let
/// pass after the earliest: in proportion to what is known of the lifetimes.
fn is_expiry_due(meta: &TableMeta, now_ms: u64) -> bool {
    let earliest = meta.earliest_expiry;
    if !earliest.is_past(now_ms) {
        return false;
    }
    let slack = match (meta.min_version.written_ms(), meta.max_version.written_ms()) {
        (Some(oldest_ms), Some(newest_ms)) => {
            (earliest.0.saturating_sub(newest_ms)).max(newest_ms - oldest_ms) / 4
        }
        _ => 0,
    };
    now_ms >= earliest.0.saturating_add(slack.min(EXPIRY_SLACK_MS_MAX))
}
