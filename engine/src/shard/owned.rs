//! Operations that own their bytes: for requests that outlive the buffer they came in.

use super::request::{Count, Op, Scan, Update};
use crate::key::Partition;

/// An [`Op`] that owns its bytes.
#[derive(Debug)]
pub struct OwnedOp(Shape);

#[derive(Debug)]
enum Shape {
    Get { key: Box<[u8]> },
    GetMany { keys: Vec<Box<[u8]>>, values: bool, from: usize },
    GoOn { read: u64 },
    Forget { read: u64 },
    Update { key: Box<[u8]>, update: OwnedUpdate },
    UpdateMany { updates: Vec<(Box<[u8]>, OwnedUpdate)> },
    Scan(OwnedScan),
    ScanMany { partitions: Box<[Partition]>, scan: OwnedScan, oversized: bool },
    Count { partitions: Box<[Partition]>, place: Box<[u8]>, from: Box<[u8]>, to: Box<[u8]> },
    Clear,
}

#[derive(Debug)]
struct OwnedScan {
    from: Box<[u8]>,
    to: Box<[u8]>,
    limit: usize,
    limit_bytes: usize,
    keys_only: bool,
}

impl OwnedScan {
    fn new(scan: &Scan<'_>) -> OwnedScan {
        let Scan { from, to, limit, limit_bytes, keys_only } = *scan;
        OwnedScan { from: from.into(), to: to.into(), limit, limit_bytes, keys_only }
    }

    fn borrow(&self) -> Scan<'_> {
        let OwnedScan { from, to, limit, limit_bytes, keys_only } = self;
        Scan { from, to, limit: *limit, limit_bytes: *limit_bytes, keys_only: *keys_only }
    }
}

/// An update whose bytes are apart from its shape.
#[derive(Debug)]
struct OwnedUpdate {
    shape: Update<'static>,
    bytes: Box<[u8]>,
}

impl OwnedUpdate {
    fn new(update: &Update<'_>) -> OwnedUpdate {
        let (shape, bytes) = match *update {
            Update::Put { value, expiry, condition, want_old } => {
                (Update::Put { value: &[], expiry, condition, want_old }, value)
            }
            Update::Append { suffix } => (Update::Append { suffix: &[] }, suffix),
            Update::Delete { condition, want_old, want_existed } => {
                (Update::Delete { condition, want_old, want_existed }, &[][..])
            }
            Update::Increment { by } => (Update::Increment { by }, &[][..]),
            Update::Expire { expiry, condition, want_old } => {
                (Update::Expire { expiry, condition, want_old }, &[][..])
            }
        };
        OwnedUpdate { shape, bytes: bytes.into() }
    }

    fn borrow(&self) -> Update<'_> {
        match self.shape {
            Update::Put { expiry, condition, want_old, .. } => {
                Update::Put { value: &self.bytes, expiry, condition, want_old }
            }
            Update::Append { .. } => Update::Append { suffix: &self.bytes },
            other => other,
        }
    }
}

impl OwnedOp {
    /// Whether it changes keys that it names.
    pub fn is_update(&self) -> bool {
        matches!(self.0, Shape::Update { .. } | Shape::UpdateMany { .. })
    }

    /// Copies an operation.
    pub fn new(op: &Op<'_>) -> OwnedOp {
        OwnedOp(match *op {
            Op::Get { key } => Shape::Get { key: key.into() },
            Op::GetMany { keys, values } => {
                Shape::GetMany { keys: keys.iter().map(|&key| key.into()).collect(), values, from: 0 }
            }
            Op::GoOn { read } => Shape::GoOn { read },
            Op::Forget { read } => Shape::Forget { read },
            Op::Update { key, update } => {
                Shape::Update { key: key.into(), update: OwnedUpdate::new(&update) }
            }
            Op::UpdateMany { updates } => {
                let own = |(key, update): &(&[u8], Update<'_>)| ((*key).into(), OwnedUpdate::new(update));
                Shape::UpdateMany { updates: updates.iter().map(own).collect() }
            }
            Op::Scan(scan) => Shape::Scan(OwnedScan::new(&scan)),
            Op::ScanMany { partitions, scan, oversized } => {
                Shape::ScanMany { partitions: partitions.into(), scan: OwnedScan::new(&scan), oversized }
            }
            Op::Count(Count { partitions, place, from, to }) => Shape::Count {
                partitions: partitions.into(),
                place: place.into(),
                from: from.into(),
                to: to.into(),
            },
            Op::Clear => Shape::Clear,
        })
    }

    /// Lends the operation.
    pub fn with<R>(&self, use_it: impl FnOnce(Op<'_>) -> R) -> R {
        match &self.0 {
            Shape::Get { key } => use_it(Op::Get { key }),
            Shape::GetMany { keys, values, from } => {
                let keys: Vec<&[u8]> = keys[*from..].iter().map(|key| &**key).collect();
                use_it(Op::GetMany { keys: &keys, values: *values })
            }
            Shape::GoOn { read } => use_it(Op::GoOn { read: *read }),
            Shape::Forget { read } => use_it(Op::Forget { read: *read }),
            Shape::Update { key, update } => use_it(Op::Update { key, update: update.borrow() }),
            Shape::UpdateMany { updates } => {
                let updates: Vec<_> = updates.iter().map(|(key, update)| (&**key, update.borrow())).collect();
                use_it(Op::UpdateMany { updates: &updates })
            }
            Shape::Scan(scan) => use_it(Op::Scan(scan.borrow())),
            Shape::ScanMany { partitions, scan, oversized } => {
                use_it(Op::ScanMany { partitions, scan: scan.borrow(), oversized: *oversized })
            }
            Shape::Count { partitions, place, from, to } => {
                use_it(Op::Count(Count { partitions, place, from, to }))
            }
            Shape::Clear => use_it(Op::Clear),
        }
    }

    /// Leaves out the first `count` keys of a read of several: they are answered.
    pub fn skip(&mut self, count: usize) {
        if let Shape::GetMany { from, .. } = &mut self.0 {
            *from += count;
        }
    }

    /// Memory it takes, about, bytes.
    pub fn bytes(&self) -> usize {
        const BOX: usize = 48;
        let payload = match &self.0 {
            Shape::Get { key } => key.len(),
            Shape::GetMany { keys, .. } => keys.iter().map(|key| key.len() + BOX).sum(),
            Shape::Update { key, update } => key.len() + update.bytes.len(),
            Shape::UpdateMany { updates } => {
                updates.iter().map(|(key, update)| key.len() + update.bytes.len() + 2 * BOX).sum()
            }
            Shape::Scan(scan) => scan.from.len() + scan.to.len(),
            Shape::ScanMany { partitions, scan, .. } => {
                size_of_val(&**partitions) + scan.from.len() + scan.to.len()
            }
            Shape::Count { partitions, place, from, to } => {
                size_of_val(&**partitions) + place.len() + from.len() + to.len()
            }
            Shape::Clear | Shape::GoOn { .. } | Shape::Forget { .. } => 0,
        };
        size_of::<OwnedOp>() + BOX + payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::request::{Condition, PutExpiry};

    #[test]
    fn an_owned_operation_lends_what_was_copied() {
        let put = Update::Put {
            value: b"v",
            expiry: PutExpiry::Keep,
            condition: Condition::Absent,
            want_old: true,
        };
        let updates =
            [(&b"a"[..], put), (b"b", Update::Append { suffix: b"s" }), (b"c", Update::Increment { by: 7 })];
        let keys = [&b"x"[..], b"y"];
        let scan = Scan { from: b"f", to: b"t", limit: 3, limit_bytes: 4, keys_only: true };
        let ops = [
            Op::Get { key: b"k" },
            Op::GetMany { keys: &keys, values: true },
            Op::GoOn { read: 5 },
            Op::Forget { read: 6 },
            Op::Update { key: b"k", update: put },
            Op::UpdateMany { updates: &updates },
            Op::Scan(scan),
            Op::ScanMany { partitions: &[Partition(3), Partition(1)], scan, oversized: true },
            Op::Count(Count { partitions: &[Partition(2)], place: b"p", from: b"f", to: b"t" }),
            Op::Clear,
        ];
        for op in ops {
            let lent = OwnedOp::new(&op).with(|lent| format!("{lent:?}"));
            assert_eq!(lent, format!("{op:?}"));
        }
        let mut rest = OwnedOp::new(&Op::GetMany { keys: &keys, values: false });
        rest.skip(1);
        let lent = rest.with(|lent| format!("{lent:?}"));
        assert_eq!(lent, format!("{:?}", Op::GetMany { keys: &keys[1..], values: false }));
    }
}
