//! The keys of one command, by partition.

use pinion_engine::key::Partition;
use std::ops::Range;

/// Keys by partition: for each the partition and the places of its keys.
pub struct Groups {
    /// Places of the keys in the command, sorted by partition.
    pub order: Vec<u32>,
    /// Each partition, and where its keys are in `order`.
    pub parts: Vec<(Partition, Range<usize>)>,
}

impl Groups {
    /// Where each part begins in `order`, and the end of the last.
    pub fn starts(&self) -> Vec<u32> {
        self.parts.iter().map(|(_, places)| places.start as u32).chain([self.order.len() as u32]).collect()
    }
}
