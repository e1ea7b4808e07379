//! What a walk asks of shards: pages and counts.

use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::shard::request::{Count, Op, Request, Scan};
use std::rc::Rc;

/// Bytes of a page of one partition that a walk asks for.
const PAGE_BYTES: usize = 128 << 10;

/// A request to a shard.
pub struct Ask {
    /// Which of the walk's lanes.
    pub lane: usize,
    pub(super) what: What,
    pub(super) from: Vec<u8>,
    pub(super) to: Rc<[u8]>,
}

pub(super) enum What {
    Page { partition: Partition, limit: usize },
    Merged { partitions: Rc<[Partition]>, limit: usize, limit_bytes: usize, keys_only: bool, oversized: bool },
    Count { partitions: Rc<[Partition]>, first: usize, place: Vec<u8> },
}

impl Ask {
    /// The request that it stands for.
    pub fn request(&self, keyspace: Keyspace) -> Request<'_> {
        let Ask { what, from, to, .. } = self;
        let scan = |limit, limit_bytes, keys_only| Scan { from, to, limit, limit_bytes, keys_only };
        let (partition, op) = match what {
            What::Page { partition, limit } => (*partition, Op::Scan(scan(*limit, PAGE_BYTES, true))),
            What::Merged { partitions, limit, limit_bytes, keys_only, oversized } => {
                let scan = scan(*limit, *limit_bytes, *keys_only);
                (partitions[0], Op::ScanMany { partitions, scan, oversized: *oversized })
            }
            What::Count { partitions, first, place } => {
                let partitions = &partitions[*first..];
                (partitions[0], Op::Count(Count { partitions, place, from, to }))
            }
        };
        Request { keyspace, ..Request::new(partition, op) }
    }
}
