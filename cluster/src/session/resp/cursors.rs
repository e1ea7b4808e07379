//! SCAN's cursors: unsigned 64-bit handles for places in a scan, in a bounded table.
//!
//! A handle is `core + 1 (11 bits) | number (42 bits)`: never 0, so that any core knows whom to ask for it, and below 2^53, so
//! that a client whose numbers are doubles (JavaScript) gives it back as it was. Numbers count up from the clock in steps of
//! 16 us: a handle from before a restart finds nothing unless a core made more than 62,500 a second all its life, or two
//! years have passed. The table is a ring: the oldest entry makes room for the newest, by number and by bytes.

use crate::session::walk::resume_point::ResumePoint;
use pinion_engine::key::Partition;
use std::collections::VecDeque;

const ENTRIES_MAX: usize = 8192;
const BYTES_MAX: usize = 4 << 20;
/// Of a handle: the number of the entry; what is above it says which core.
const NUMBER_BITS: u32 = 42;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;
/// Microseconds between the numbers that two starts begin with.
const STEP_US: u64 = 16;

/// The cursors of one core.
pub struct Cursors {
    core: usize,
    /// The oldest first; the first one's number is `first`.
    entries: VecDeque<(Partition, Vec<u8>)>,
    first: u64,
    bytes: usize,
}

impl Cursors {
    /// An empty table of a core that starts at this time.
    pub fn new(core: usize, unix_us: u64) -> Cursors {
        Cursors { core, entries: VecDeque::new(), first: unix_us / STEP_US, bytes: 0 }
    }

    /// Keeps a place; the handle finds it until newer ones push it out.
    pub fn keep(&mut self, place: ResumePoint) -> u64 {
        self.bytes += place.1.len();
        self.entries.push_back(place);
        while self.entries.len() > ENTRIES_MAX || (self.bytes > BYTES_MAX && self.entries.len() > 1) {
            if let Some((_, key)) = self.entries.pop_front() {
                self.bytes -= key.len();
                self.first += 1;
            }
        }
        self.handle(self.first + self.entries.len() as u64 - 1)
    }

    fn handle(&self, number: u64) -> u64 {
        (self.core as u64 + 1) << NUMBER_BITS | number & NUMBER_MASK
    }

    /// The place of a handle that is still there. It stays: a client may ask again.
    pub fn take(&self, handle: u64) -> Option<ResumePoint> {
        // The newest entry with these low bits is the only one that can be in the table.
        let index = handle.wrapping_sub(self.first) & NUMBER_MASK;
        let index = usize::try_from(index).ok()?;
        let entry = self.entries.get(index)?;
        (self.handle(self.first + index as u64) == handle).then(|| entry.clone())
    }
}

/// The core that made a handle.
pub fn core_of(handle: u64) -> Option<usize> {
    ((handle >> NUMBER_BITS) as usize).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_finds_its_place_until_newer_ones_push_it_out() {
        let mut cursors = Cursors::new(3, 1_700_000_000_000_000);
        let first = cursors.keep((Partition(1), b"a".to_vec()));
        let second = cursors.keep((Partition(2), b"b".to_vec()));
        assert_eq!(core_of(first), Some(3));
        assert_eq!(cursors.take(first), Some((Partition(1), b"a".to_vec())));
        assert_eq!(cursors.take(first), cursors.take(first));
        for _ in 0..ENTRIES_MAX - 1 {
            cursors.keep((Partition(9), Vec::new()));
        }
        assert_eq!(cursors.take(first), None);
        assert_eq!(cursors.take(second), Some((Partition(2), b"b".to_vec())));
    }

    #[test]
    fn a_double_holds_the_handles_of_every_core() {
        for core in [0, 1, 63, 1023] {
            let mut cursors = Cursors::new(core, u64::MAX);
            for _ in 0..3 {
                let handle = cursors.keep((Partition(1), Vec::new()));
                assert!(handle < 1 << 53 && handle as f64 as u64 == handle, "{handle}");
                assert_eq!((core_of(handle), cursors.take(handle).is_some()), (Some(core), true));
            }
        }
    }

    #[test]
    fn long_keys_are_bounded_by_their_bytes() {
        let mut cursors = Cursors::new(0, 0);
        for _ in 0..1000 {
            cursors.keep((Partition(0), vec![0; 60_000]));
        }
        assert!(cursors.bytes <= BYTES_MAX && cursors.entries.len() > 50);
    }

    #[test]
    fn a_handle_of_another_life_or_nobody_finds_nothing() {
        let mut before = Cursors::new(0, 1_000_000);
        let old = before.keep((Partition(0), Vec::new()));
        let mut after = Cursors::new(0, 9_000_000);
        after.keep((Partition(0), Vec::new()));
        assert_eq!(after.take(old), None);
        assert_eq!(after.take(12_345), None);
        assert_eq!(core_of(0), None);
    }
}
