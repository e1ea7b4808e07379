//! Levels, each sorted and a part of the next: what is over its target is merged downwards.
//!
//! In order: tables that range tombstones delete whole (they cost nothing to drop); range tombstones with
//! nothing left to hide; levels over their targets, the worst first; tables full of garbage; and tables that keep a
//! range tombstone alive by spanning its range. Several merges may run at once: a plan never touches a busy
//! table, and since its inputs are all tables of two levels within one range of keys, two plans never
//! write into the same range of a level. Level 0 is merged by one plan at a time.

mod garbage;
mod level0;
mod picker;

use super::{Choice, Picking, Strategy};
use crate::tree::core::{LEVELS, Tree};
use crate::tree::plan::MergeReason;
use picker::Picker;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leveled;

impl Strategy for Leveled {
    fn choose(&self, levels: &Tree, picking: &Picking<'_>) -> Choice {
        let picker = Picker::new(levels, picking);
        picker
            .covered_tables()
            .or_else(|| picker.spent_range_tombstones())
            .or_else(|| picker.oversized_level())
            .or_else(|| picker.garbage())
            .or_else(|| picker.spanning_table())
    }

    /// Superseded entries wait in upper levels: they are merged down although nothing is over its target.
    fn choose_at_rest(&self, levels: &Tree, picking: &Picking<'_>) -> Choice {
        let picker = Picker::new(levels, picking);
        let bytes = &picker.shape.bytes;
        let upper: u64 = bytes[..LEVELS - 1].iter().sum();
        let bottom = bytes[LEVELS - 1];
        if (upper as f64) <= picking.options.settled_ratio * (upper + bottom) as f64 {
            return None;
        }
        let deeper = || (picker.shape.base..LEVELS - 1).find_map(|i| picker.level(i, MergeReason::Settling));
        picker.level0(MergeReason::Settling).or_else(deeper)
    }
}
