//! Long batches under way, and the connections whose batch waits for them to end.
//!
//! Each costs its shards milliseconds, and other requests come behind those parts of it that lie in the mesh or in the forming
//! commit already. So one core has so many operations of batches under way at once; one batch of any length always may be.
//! Those that wait begin in the order of arrival, and none that comes later begins before them. Who is held for another reason
//! when its turn has come (a shard that is nearly full, a core without credit) waits anew.
//!
//! A batch counts until it is answered, or its connection is gone; what its shards still have to do then counts no more.

use pinion_net::reactor::ConnId;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Operations of batches that a core has under way at most, if there is more than one long batch.
const OPS_MAX: usize = 4096;

/// Batches up to this length never wait.
pub const SHORT_OPS: usize = 256;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Bulk {
    ops: Rc<Cell<usize>>,
    waiting: VecDeque<(ConnId, usize)>,
    /// For those who were told to go on, until the end of the next turn.
    granted: Vec<(ConnId, Share)>,
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
    /// A connection's batch of so many operations begins, if it may.
    pub fn begin(&mut self, ops: usize, conn: ConnId) -> Option<Share> {
        if let Some(at) = self.granted.iter().position(|(granted, _)| *granted == conn) {
            return Some(self.granted.swap_remove(at).1);
        }
        let may_begin = ops <= SHORT_OPS || self.waiting.is_empty() && self.has_room(ops);
        may_begin.then(|| self.share(ops))
    }

    fn has_room(&self, ops: usize) -> bool {
        self.ops.get() == 0 || self.ops.get() + ops <= OPS_MAX
    }

    fn share(&self, ops: usize) -> Share {
        self.ops.set(self.ops.get() + ops);
        Share { ops, all: Rc::clone(&self.ops) }
    }

    /// A connection waits with a batch of so many operations until [`Bulk::grant`] names it.
    pub fn wait(&mut self, ops: usize, conn: ConnId) {
        self.waiting.push_back((conn, ops));
    }

    /// The connections that go on now and whose batch begins in the next turn, in the order of arrival. Those that are not
    /// there any more are passed over.
    pub fn grant(&mut self, mut is_there: impl FnMut(ConnId) -> bool) -> Vec<ConnId> {
        // Whoever didn't begin in the turn that it was given for asks anew.
        self.granted.clear();
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.waiting.retain(|&(conn, _)| is_there(conn));
        while let Some(&(conn, ops)) = self.waiting.front()
            && self.has_room(ops)
        {
            self.waiting.pop_front();
            self.granted.push((conn, self.share(ops)));
        }
        self.granted.iter().map(|&(conn, _)| conn).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conns() -> [ConnId; 4] {
        [1, 2, 3, 4].map(ConnId::from_u64)
    }

    #[test]
    fn one_long_batch_is_under_way_and_short_ones_always_may_be() {
        let (mut bulk, [a, b, c, _]) = (Bulk::default(), conns());
        let long = bulk.begin(20_000, a);
        assert!(long.is_some() && bulk.begin(SHORT_OPS + 1, b).is_none());
        assert!(bulk.begin(SHORT_OPS, b).is_some());
        bulk.wait(20_000, b);
        bulk.wait(300, c);
        assert_eq!(bulk.grant(|_| true), []);
        drop(long);
        assert_eq!(bulk.grant(|_| true), [b], "behind it there is no room");
        let long = bulk.begin(20_000, b);
        assert!(long.is_some());
        assert_eq!(bulk.grant(|_| true), []);
        drop(long);
        assert_eq!(bulk.grant(|_| true), [c]);
    }

    #[test]
    fn nobody_begins_before_one_who_waits() {
        let (mut bulk, [a, b, c, d]) = (Bulk::default(), conns());
        let first = bulk.begin(OPS_MAX / 2, a);
        assert!(bulk.begin(OPS_MAX, b).is_none());
        bulk.wait(OPS_MAX, b);
        assert!(bulk.begin(OPS_MAX / 2, c).is_none(), "there would be room");
        bulk.wait(OPS_MAX / 2, c);
        bulk.wait(OPS_MAX / 2, d);
        drop(first);
        assert_eq!(bulk.grant(|_| true), [b]);
        assert!(bulk.begin(OPS_MAX / 2, a).is_none(), "what was granted counts");
        assert_eq!(bulk.grant(|conn| conn != c), [d], "b didn't begin, and c is gone");
        assert!(bulk.begin(OPS_MAX / 2, d).is_some());
        assert_eq!(bulk.ops.get(), 0);
    }

    #[test]
    fn batches_that_are_together_no_longer_than_one_may_be_go_side_by_side() {
        let (mut bulk, [a, b, c, _]) = (Bulk::default(), conns());
        let shares = [bulk.begin(OPS_MAX / 2, a), bulk.begin(OPS_MAX / 2, b)];
        assert!(shares.iter().all(Option::is_some));
        assert!(bulk.begin(OPS_MAX / 2, c).is_none());
        bulk.wait(OPS_MAX / 2, c);
        let [first, _second] = shares;
        drop(first);
        assert_eq!(bulk.grant(|_| true), [c]);
    }
}
