//! Pages that wait for blocks.

use super::queue::Waiting;
use super::view::View;
use crate::group::groups::Place;
use crate::key::Version;
use crate::tree;
use std::collections::VecDeque;

/// A page that waits for blocks, and what its readers see.
#[derive(Debug)]
pub(super) struct ParkedScan {
    pub scan: tree::Scan,
    /// What of the memtables it sees, up to the highest version of its readers.
    pub view: View,
    /// Merges that start meanwhile keep what these see.
    pub readers: Vec<(Place, Version)>,
}

/// Pages that need large blocks: one reads, the others wait.
#[derive(Debug, Default)]
pub(super) struct LargeScans {
    pub now: Option<Waiting>,
    pub waiting: VecDeque<Waiting>,
}

impl ParkedScan {
    /// Memory it takes, about, bytes.
    pub fn bytes(&self) -> usize {
        const LANE: usize = 256;
        size_of::<ParkedScan>() + self.readers.len() * LANE + self.scan.page().bytes()
    }
}
