//! The stores behind one face, each set up with the same memory.

mod fjall;
mod lmdb;
mod pinion;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;

use clap::ValueEnum;
use std::error::Error;
use std::fmt;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

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

/// Puts that the stores with transactions get as one while they are loaded.
const LOAD_BATCH: usize = 1_000;

/// One thread's use of a store.
pub trait Engine {
    /// Reads a key; the length of its value.
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>>;
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
    /// Puts one of very many; it is there at the latest after [`Engine::settle`].
    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value)
    }
    /// Reads up to `count` items in order; returns how many.
    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize>;
    /// Waits until flushes and merges have nothing to do.
    fn settle(&mut self) -> Result<()>;
}

/// Many threads' durable writes.
pub trait Writer: Send {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
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

/// Puts that wait to be written together.
#[derive(Default)]
struct Pending(Vec<(Vec<u8>, Vec<u8>)>);

impl Pending {
    /// Keeps a put; true when it is time to write them.
    fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.0.push((key.to_vec(), value.to_vec()));
        self.0.len() >= LOAD_BATCH
    }
}
