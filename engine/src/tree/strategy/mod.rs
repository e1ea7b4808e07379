//! What to merge next: a strategy, behind one trait, each in a file of its own.
//!
//! A strategy decides by what the tree is like and does nothing. Several merges may run at once: a choice never touches a busy
//! table, and what it writes lies in a range of a level that no other choice writes to.

mod leveled;

use super::core::Tree;
use super::options::TreeOptions;
use super::plan::MergePlan;
use super::read_pins::ReadPins;
use crate::job::Horizons;
use std::collections::HashSet;
use std::fmt::Debug;

pub use leveled::Leveled;

/// What choosing depends on besides the tree.
#[derive(Clone, Copy, Debug)]
pub struct Picking<'a> {
    /// Sizes and thresholds.
    pub options: &'a TreeOptions,
    /// Numbers of tables that running jobs have as inputs.
    pub busy: &'a HashSet<u64>,
    /// Open pins.
    pub pins: &'a ReadPins,
    /// What of each partition may be let go of.
    pub horizons: &'a Horizons,
}

/// A merge, or that there is none to start now.
pub type Choice = Option<MergePlan>;

/// Says what to merge.
pub trait Strategy: Debug + Send {
    /// The most useful merge there is to start now. Bounded work: some comparisons per table.
    fn choose(&self, levels: &Tree, picking: &Picking<'_>) -> Choice;

    /// A merge that makes a store at rest smaller although nothing asks for one. For a shard that hasn't been written to for a
    /// while, when [`Strategy::choose`] finds nothing.
    fn choose_at_rest(&self, levels: &Tree, picking: &Picking<'_>) -> Choice;
}
