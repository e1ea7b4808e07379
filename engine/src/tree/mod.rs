//! The LSM tree of a shard: its tables in levels, point reads, scans, and what to merge next.
//!
//! A [`Tree`] is immutable; every flush and merge makes a new one. Level 0 takes flushes as they come, deeper
//! levels are sorted and disjoint. Levels fill from the bottom: the last one holds nearly everything, the one above
//! about a tenth of it, and so on up to the *base* level, into which level 0 is merged; so a small shard has
//! two levels, and superseded entries take about a tenth of the space at most.
//!
//! Two invariants carry reads and merges: of one key, every entry in a level is newer than those in deeper
//! levels; and a range tombstone stays in some table for as long as any table may hold older entries in its
//! range. Range tombstones stand in tables of their own, so they never widen the key range of another table.

pub(crate) mod core;
mod count;
pub(crate) mod head;
pub(crate) mod key_ranges;
pub(crate) mod level;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod range_tombstones;
pub(crate) mod read_pins;
mod scan;
mod scan_source;
mod shape;
mod stats;
mod strategy;
mod stream;

#[cfg(test)]
mod model_test;
#[cfg(test)]
mod pick_test;
#[cfg(test)]
mod scan_test;
#[cfg(test)]
mod test_store;

pub use self::core::{LEVELS, Tree};
pub use count::{CountStop, Counted, count};
pub use key_ranges::KeyRanges;
pub use level::Level;
pub use options::TreeOptions;
pub use plan::{MergePlan, MergeReason};
pub use range_tombstones::{Fragment, RangeTombstones, covering};
pub use read_pins::ReadPins;
pub use scan::{Lane, READ_BYTES_MAX, Scan, ScanLimits, ScanStep};
pub use shape::Shape;
pub use stats::{LevelStats, TreeStats};
pub use strategy::{Choice, Leveled, Picking, Strategy};
pub use stream::{ScanData, ScanRange};
