//! Long batches under way, and the connections whose batch waits for them to end.
//!
//! Each costs its shards milliseconds, and other requests come behind those parts of it that lie in the mesh or in the forming
//! commit already. So one core has so many operations of them under way at once; one batch of any length always may be.

use pinion_net::reactor::ConnId;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Operations of long batches that a core has under way at most, if there is more than one batch.
const OPS_MAX: usize = 4096;

/// Batches up to this length never wait.
const SHORT_OPS: usize = 256;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Bulk {
    ops: Rc<Cell<usize>>,
    waiting: VecDeque<ConnId>,
}

/// One batch's part of what is under way, until it is dropped.
#[derive(Debug)]
pub struct Share {
    ops: usize,
    all: Rc<Cell<usize>>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.ops);
    }
}

impl Bulk {
    /// Whether a batch of so many operations may begin beside those under way.
    pub fn has_room(&self, ops: usize) -> bool {
        ops <= SHORT_OPS || self.ops.get() == 0 || self.ops.get() + ops <= OPS_MAX
    }

    /// A batch begins.
    pub fn begin(&mut self, ops: usize) -> Share {
        let ops = if ops <= SHORT_OPS { 0 } else { ops };
        self.ops.set(self.ops.get() + ops);
        Share { ops, all: Rc::clone(&self.ops) }
    }

    /// A connection waits for [`Bulk::has_room`]. It is told by [`Bulk::next`], and asks again then.
    pub fn wait(&mut self, conn: ConnId) {
        self.waiting.push_back(conn);
    }

    /// The connection that has waited longest, if its batch may begin whatever its length.
    pub fn next(&mut self) -> Option<ConnId> {
        if self.ops.get() == 0 { self.waiting.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_batch_begins_at_a_time_and_short_ones_always() {
        let mut bulk = Bulk::default();
        let (one, other) = (ConnId::from_u64(1), ConnId::from_u64(2));
        assert!(bulk.has_room(20_000));
        let long = bulk.begin(20_000);
        assert!(!bulk.has_room(SHORT_OPS + 1) && bulk.has_room(SHORT_OPS));
        bulk.wait(one);
        bulk.wait(other);
        assert_eq!(bulk.next(), None);
        drop(bulk.begin(SHORT_OPS));
        assert_eq!(bulk.next(), None, "the long one is still there");
        drop(long);
        assert_eq!([bulk.next(), bulk.next(), bulk.next()], [Some(one), Some(other), None]);
    }

    #[test]
    fn batches_that_are_together_no_longer_than_one_may_be_go_side_by_side() {
        let mut bulk = Bulk::default();
        let shares = [bulk.begin(OPS_MAX / 2), bulk.begin(OPS_MAX / 4)];
        assert!(bulk.has_room(OPS_MAX / 4) && !bulk.has_room(OPS_MAX / 4 + 1));
        drop(shares);
        assert!(bulk.has_room(OPS_MAX));
    }
}
