//! What both faces of a store can do, in terms of one operation at a time.

use super::reply::{Item, Reply};
use crate::error::Error;
use crate::key::Version;
use crate::shard::request::{Condition, Op, PutExpiry, Scan, Update};
use std::time::Duration;

/// What both faces of a store can do. Keys are 1 to 65,535 bytes, values up to 16 MiB.
pub trait KeyValue {
    /// Performs one operation. A refusal or an unknown outcome comes as [`Reply::Failed`].
    fn call(&mut self, op: Op<'_>) -> Result<Reply, Error>;

    /// The value of a key.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.call(Op::Get { key })?.value()
    }

    /// The values of several keys, as of one moment.
    fn get_many(&mut self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.call(Op::GetMany { keys, values: true })?.values()
    }

    /// Sets a key.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Version, Error> {
        self.update(key, put(value, PutExpiry::Never))?.version()
    }

    /// Sets a key that expires after `ttl`.
    fn put_with_ttl(&mut self, key: &[u8], value: &[u8], ttl: Duration) -> Result<Version, Error> {
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.update(key, put(value, PutExpiry::After(ms)))?.version()
    }

    /// Removes a key; says whether it was there.
    fn delete(&mut self, key: &[u8]) -> Result<bool, Error> {
        let update = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
        Ok(self.update(key, update)?.existed()? > 0)
    }

    /// Adds to a decimal integer, 0 if absent; returns the sum.
    fn increment(&mut self, key: &[u8], by: i64) -> Result<i64, Error> {
        self.update(key, Update::Increment { by })?.integer()
    }

    /// Performs any update of one key.
    fn update(&mut self, key: &[u8], update: Update<'_>) -> Result<Reply, Error> {
        self.call(Op::Update { key, update })?.checked()
    }

    /// Performs puts and deletes atomically.
    fn write(&mut self, updates: &[(&[u8], Update<'_>)]) -> Result<Version, Error> {
        self.call(Op::UpdateMany { updates })?.version()
    }

    /// Up to `limit` items with `from <= key < to` in order; an empty `to` means to the end.
    fn scan(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Item>, Error> {
        const PAGE_BYTES: usize = 1 << 20;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (mut items, mut from) = (Vec::new(), from.to_vec());
        loop {
            let left = limit - items.len();
            let scan = Scan { from: &from, to, limit: left, limit_bytes: PAGE_BYTES, keys_only: false };
            let (mut page, next) = self.call(Op::Scan(scan))?.page()?;
            items.append(&mut page);
            match next {
                Some(next) if items.len() < limit => from = next,
                _ => return Ok(items),
            }
        }
    }

    /// Removes every key.
    fn clear(&mut self) -> Result<(), Error> {
        self.call(Op::Clear)?.checked().map(drop)
    }
}

/// An unconditional put.
pub fn put(value: &[u8], expiry: PutExpiry) -> Update<'_> {
    Update::Put { value, expiry, condition: Condition::None, want_old: false }
}

/// A delete that doesn't read.
pub fn delete() -> Update<'static> {
    Update::Delete { condition: Condition::None, want_old: false, want_existed: false }
}
