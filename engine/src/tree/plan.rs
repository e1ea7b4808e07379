//! A merge that was decided on: its inputs, and what it must know of the rest of the tree.

use super::core::{LEVELS, Tree};
use super::key_ranges::KeyRanges;
use super::options::TreeOptions;
use super::range_tombstones::RangeTombstones;
use crate::job::retention::Outside;
use crate::key::common_len;
use crate::table::{Table, TableMeta};
use std::sync::Arc;

/// Why a merge was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MergeReason {
    /// Range tombstones delete all of the inputs: they go without being read.
    Covered,
    /// Range tombstones that hide nothing any more, or many tables of them.
    RangeTombstones,
    /// Too many tables in level 0.
    Level0,
    /// A level is over its target.
    LevelSize,
    /// Tombstones, expired values, or entries under range tombstones.
    Garbage,
    /// The store is at rest and worth tidying.
    Settling,
}

/// A merge of tables into one level.
#[derive(Clone, Debug)]
pub struct MergePlan {
    /// What goes in, with the levels; all of it is removed when the outputs are installed.
    pub inputs: Vec<(usize, Arc<Table>)>,
    /// Where the outputs go.
    pub output_level: usize,
    /// Nothing older lies below, in the range of the inputs.
    pub bottom: bool,
    /// The inputs only change their level: no job, one manifest edit.
    pub moves: bool,
    /// Why.
    pub reason: MergeReason,
    /// Where older entries than those of the inputs may lie.
    pub(crate) below: KeyRanges,
    /// The range tombstones of the whole tree that reach into the inputs.
    pub(crate) range_tombstones: RangeTombstones,
    /// Tables outside that a range tombstone of the inputs may still have to hide entries of.
    pub(crate) outside: Vec<Outside>,
    /// Keys at which outputs are cut although they aren't full.
    pub(crate) cuts: Vec<Vec<u8>>,
}

impl MergePlan {
    /// A merge of `inputs` (whose hull includes all tables of the output level that it touches).
    pub(crate) fn new(
        tree: &Tree,
        inputs: Vec<(usize, Arc<Table>)>,
        output_level: usize,
        reason: MergeReason,
    ) -> MergePlan {
        let below = older_than(tree, &inputs, output_level);
        let range_tombstones = match hull(inputs.iter().map(|(_, t)| t.meta())) {
            Some((min, max)) => tree.range_tombstones().within(min, max),
            None => RangeTombstones::default(),
        };
        MergePlan {
            bottom: below.is_empty(),
            outside: outside(tree, &inputs),
            cuts: Vec::new(),
            moves: false,
            inputs,
            output_level,
            reason,
            below,
            range_tombstones,
        }
    }

    /// Numbers of the tables that go in.
    pub fn input_numbers(&self) -> impl Iterator<Item = u64> {
        self.inputs.iter().map(|(_, table)| table.meta().number)
    }

    /// Bytes of the files that go in.
    pub fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(|(_, table)| table.meta().file_bytes).sum()
    }

    /// What all keys of the inputs begin with.
    pub(crate) fn shared_prefix(&self) -> &[u8] {
        let hull = hull(self.inputs.iter().map(|(_, table)| table.meta()));
        hull.map_or(&[], |(min, max)| &min[..common_len(min, max)])
    }

    /// The longest block of its inputs, bytes.
    pub fn longest_block(&self) -> u64 {
        self.inputs.iter().map(|(_, table)| table.longest_block()).max().unwrap_or(0)
    }

    /// How many file numbers its job should have; with fewer its last table grows beyond its size.
    pub fn numbers_needed(&self, options: &TreeOptions) -> u64 {
        2 + self.cuts.len() as u64 + 2 * self.input_bytes() / options.table_bytes.max(1)
    }
}

/// The smallest and largest key of some tables; `None` without entries or range tombstones.
pub(crate) fn hull<'a>(tables: impl IntoIterator<Item = &'a TableMeta>) -> Option<(&'a [u8], &'a [u8])> {
    tables.into_iter().fold(None, |hull, meta| {
        let (min, max) = hull.unwrap_or((&meta.min_key, &meta.max_key));
        Some((min.min(&meta.min_key), max.max(&meta.max_key)))
    })
}

/// Where entries lie that are older than those of a merge: the levels below its output. An input that stays
/// in the output level doesn't count.
fn older_than(tree: &Tree, inputs: &[(usize, Arc<Table>)], output_level: usize) -> KeyRanges {
    let Some((min, max)) = hull(inputs.iter().map(|(_, t)| t.meta()).filter(|m| m.entries > 0)) else {
        return KeyRanges::none();
    };
    let deeper = tree.levels()[(output_level + 1).min(LEVELS)..].iter();
    let overlapping = deeper.flat_map(|level| level.overlapping(min, max));
    KeyRanges::new(overlapping.map(|t| (t.meta().min_key.as_slice(), t.meta().max_key.as_slice())))
}

/// Tables that aren't inputs but may hold entries older than a range tombstone of the inputs.
fn outside(tree: &Tree, inputs: &[(usize, Arc<Table>)]) -> Vec<Outside> {
    let carriers = || inputs.iter().flat_map(|(_, t)| &t.meta().range_tombstones);
    if carriers().next().is_none() {
        return Vec::new();
    }
    let is_input = |number| inputs.iter().any(|(_, t)| t.meta().number == number);
    let others = tree.tables().map(|(_, t)| t.meta()).filter(|m| m.entries > 0 && !is_input(m.number));
    let hidden = others.filter(|meta| {
        carriers().any(|t| meta.min_version < t.version && meta.min_key < t.end && t.start <= meta.max_key)
    });
    hidden
        .map(|meta| Outside {
            min_key: meta.min_key.clone(),
            max_key: meta.max_key.clone(),
            min_version: meta.min_version,
        })
        .collect()
}
