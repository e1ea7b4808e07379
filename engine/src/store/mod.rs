//! The engine for Rust programs, without a server: [`LocalStore`] and [`Store`].
//!
//! A [`LocalStore`] is driven by the thread that owns it: the fastest way, one caller. A [`Store`] is a
//! cloneable handle to a thread that owns one: many callers, whose writes share log commits. Both are
//! used through [`KeyValue`]. Both hold the directory's lock; flushes and merges run on a thread beside.
//!
//! ```
//! use pinion_engine::store::{KeyValue, LocalStore, StoreOptions};
//!
//! # fn main() -> Result<(), pinion_engine::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! let mut store = LocalStore::open(dir.path(), StoreOptions::default())?;
//! store.put(b"user:1", b"Ada")?;
//! assert_eq!(store.get(b"user:1")?.as_deref(), Some(&b"Ada"[..]));
//! assert_eq!(store.increment(b"visits", 2)?, 2);
//! assert!(store.delete(b"user:1")?);
//! # Ok(())
//! # }
//! ```
//!
//! ```
//! use pinion_engine::store::{KeyValue, Store, StoreOptions};
//!
//! # fn main() -> Result<(), pinion_engine::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! let store = Store::open(dir.path(), StoreOptions::default())?;
//! let writers: Vec<_> = (0..4)
//!     .map(|writer: u32| {
//!         let mut store = store.clone();
//!         std::thread::spawn(move || store.put(&writer.to_be_bytes(), b"x").map(drop))
//!     })
//!     .collect();
//! for writer in writers {
//!     writer.join().expect("no writer panics")?;
//! }
//! assert_eq!(store.clone().scan(b"", b"", 10)?.len(), 4);
//! # Ok(())
//! # }
//! ```

mod driver;
mod local;
mod reply;
mod shared;
#[cfg(test)]
mod tests;

pub use crate::drive::LogSync;
pub use local::LocalStore;
pub use reply::{Item, Reply};
pub use shared::Store;

pub use crate::clock::TimeJump;
use crate::drive::StoreFile;
use crate::error::Error;
use crate::key::{Partition, Version};
use crate::shard::request::{Condition, Op, PutExpiry, Request, Scan, Update};
use crate::shard::{Durability, ShardOptions};
use std::time::Duration;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// When writes return. Default: when they are on the device.
    pub durability: Durability,
    /// Memory for everything the store holds, bytes; at least 16 MiB. Default: 256 MiB.
    pub memory_bytes: usize,
    /// The CPU of the background thread. Default: any.
    pub background_cpu: Option<usize>,
    /// How durable log writes are made. Default: as the directory's device is best at.
    pub log_sync: Option<LogSync>,
    /// What to make of a wall clock that shows over 24 hours more than when the store was last written to, in another boot
    /// of the machine, if values in it expire. Default: the store doesn't open ([`Error::TimeJump`]), so that a
    /// clock that is wrong deletes nothing.
    pub time_jump: TimeJump,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            durability: Durability::Sync,
            memory_bytes: 256 << 20,
            background_cpu: None,
            log_sync: None,
            time_jump: TimeJump::Refuse,
        }
    }
}

impl StoreOptions {
    fn check(&self) -> Result<(), Error> {
        if self.memory_bytes >= ShardOptions::MEMORY_BYTES_MIN {
            return Ok(());
        }
        Err(Error::Unusable(format!(
            "a store needs at least 16 MiB of memory: memory_bytes is {}, the least is {}",
            self.memory_bytes,
            ShardOptions::MEMORY_BYTES_MIN
        )))
    }

    fn shard(&self, store: &StoreFile, direct: bool) -> ShardOptions {
        ShardOptions {
            shard_id: store.shard_id(0),
            partitions: vec![PARTITION],
            durability: self.durability,
            memory_bytes: self.memory_bytes,
            direct,
            value_bytes_max: ShardOptions::VALUE_BYTES_MAX,
            membership: Some(store.membership(0)),
            is_made: store.is_made,
            time_jump: self.time_jump,
        }
    }
}

/// The embedded store has one partition.
const PARTITION: Partition = Partition(0);

fn request(op: Op<'_>) -> Request<'_> {
    Request::new(PARTITION, op)
}

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
