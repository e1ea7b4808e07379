//! How large the levels are, and how large they should be.
//!
//! Targets follow the largest level: going up from the bottom each level should be a `level_ratio`-th of the
//! one below, up to the first whose target fits `level_base_bytes`: the base. No level above the base
//! holds anything, so level 0 can be merged straight into it.

use super::core::{LEVELS, Tree};
use super::options::TreeOptions;

/// The sizes of a tree's levels beside their targets, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The level that level 0 is merged into.
    pub base: usize,
    /// What each level holds.
    pub bytes: [u64; LEVELS],
    /// What each level should hold at most; no limit for the last, and none that counts for level 0.
    pub targets: [u64; LEVELS],
    overdue_l0: bool,
}

impl Shape {
    /// Measures a tree.
    pub fn of(tree: &Tree, options: &TreeOptions) -> Shape {
        let bytes: [u64; LEVELS] = std::array::from_fn(|i| tree.levels()[i].bytes());
        let last = LEVELS - 1;
        let first = (1..last).find(|&i| bytes[i] > 0).unwrap_or(last);
        let largest = bytes[1..].iter().copied().max().unwrap_or(0);
        let ratio = options.level_ratio.max(2);
        let mut base = first;
        let mut size = (first..last).fold(largest, |size, _| size / ratio);
        while base > 1 && size > options.level_base_bytes {
            base -= 1;
            size /= ratio;
        }
        let smallest = options.level_base_bytes / ratio;
        let mut targets = [u64::MAX; LEVELS];
        let mut target = size.clamp(smallest.max(1), options.level_base_bytes.max(1));
        for slot in &mut targets[base..last] {
            *slot = target;
            target = target.saturating_mul(ratio);
        }
        Shape { base, bytes, targets, overdue_l0: tree.l0_depth() >= options.l0_trigger }
    }

    /// Bytes that merges are behind: level 0 once it is due, and what other levels hold beyond their targets.
    pub fn debt_bytes(&self) -> u64 {
        let l0 = if self.overdue_l0 { self.bytes[0] } else { 0 };
        let over = (self.base..LEVELS).map(|i| self.bytes[i].saturating_sub(self.targets[i]));
        l0 + over.sum::<u64>()
    }
}

impl Tree {
    /// Bytes that merges are behind; what writers are slowed by.
    pub fn debt_bytes(&self, options: &TreeOptions) -> u64 {
        Shape::of(self, options).debt_bytes()
    }
}
