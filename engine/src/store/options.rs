//! How a store is opened.

use crate::clock::TimeJump;
use crate::drive::LogSync;
use crate::error::Error;
use crate::shard::{Durability, ShardOptions};

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
    /// Whether a store can be opened so.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.memory_bytes >= ShardOptions::MEMORY_BYTES_MIN {
            return Ok(());
        }
        Err(Error::Unusable(format!(
            "a store needs at least 16 MiB of memory: memory_bytes is {}, the least is {}",
            self.memory_bytes,
            ShardOptions::MEMORY_BYTES_MIN
        )))
    }
}
