//! The stores behind one face, each set up with the same memory.

mod engine;
mod fjall;
mod lmdb;
mod pending;
mod pinion;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;

use clap::ValueEnum;
pub use engine::{Engine, Result, Writer};
use std::fmt;
use std::path::Path;

/// A store to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Peer {
    Pinion,
    /// Another build of it: `--against`.
    #[value(skip)]
    Other,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    Fjall,
    Lmdb,
    Redb,
}

impl Peer {
    /// Those that this program measures if it isn't told which.
    pub fn all() -> Vec<Peer> {
        Peer::value_variants().to_vec()
    }

    /// How it is set up, for the report.
    pub fn settings(self) -> &'static str {
        match self {
            Peer::Pinion => "all memory is its budget; `none` without fsync, `sync` for the durable writers",
            Peer::Other => "another build of ours, with the same settings",
            #[cfg(feature = "rocksdb")]
            Peer::Rocksdb => {
                "11.8; half of the memory is block cache, 4 write buffers of 64 MiB, 10-bit blooms, lz4, 2 background \
                 jobs; its log to the page cache, `sync` for the durable writers"
            }
            Peer::Fjall => {
                "3.1; half of the memory is cache, else its defaults (lz4, 64 MiB memtables); its journal to the page \
                 cache, SyncData for the durable writers"
            }
            Peer::Lmdb => {
                "0.9 (heed 0.23), B+-tree in a mapping of any size: the memory isn't bounded; NOSYNC, a transaction an \
                 operation, 1,000 puts a transaction in the load; synced commits for the durable writers"
            }
            Peer::Redb => {
                "4.4; all memory is cache; Durability::None, a transaction an operation, 1,000 puts a transaction in \
                 the load; Durability::Immediate for the durable writers"
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Peer::Pinion => "pinion",
            Peer::Other => "other",
            #[cfg(feature = "rocksdb")]
            Peer::Rocksdb => "rocksdb",
            Peer::Fjall => "fjall",
            Peer::Lmdb => "lmdb",
            Peer::Redb => "redb",
        })
    }
}

pub fn open(peer: Peer, dir: &Path, memory_bytes: usize) -> Result<Box<dyn Engine>> {
    match peer {
        Peer::Pinion | Peer::Other => pinion::open(dir, memory_bytes),
        #[cfg(feature = "rocksdb")]
        Peer::Rocksdb => rocks::open(dir, memory_bytes),
        Peer::Fjall => fjall::open(dir, memory_bytes),
        Peer::Lmdb => lmdb::open(dir),
        Peer::Redb => redb::open(dir, memory_bytes),
    }
}

/// `count` writers of one store, each of whose puts is on the device when it returns.
pub fn open_writers(
    peer: Peer,
    dir: &Path,
    memory_bytes: usize,
    count: usize,
) -> Result<Vec<Box<dyn Writer>>> {
    match peer {
        Peer::Pinion | Peer::Other => pinion::writers(dir, memory_bytes, count),
        #[cfg(feature = "rocksdb")]
        Peer::Rocksdb => rocks::writers(dir, memory_bytes, count),
        Peer::Fjall => fjall::writers(dir, memory_bytes, count),
        Peer::Lmdb => lmdb::writers(dir, count),
        Peer::Redb => redb::writers(dir, memory_bytes, count),
    }
}
