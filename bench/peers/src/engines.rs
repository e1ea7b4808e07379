//! The stores behind one face, each set up with the same memory.

use clap::ValueEnum;
use pinion_engine::shard::Durability;
use pinion_engine::store::{KeyValue, LocalStore, Store, StoreOptions};
use std::error::Error;
use std::fmt;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A store to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Peer {
    Pinion,
    Rocksdb,
    Fjall,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Peer::Pinion => "pinion",
            Peer::Rocksdb => "rocksdb",
            Peer::Fjall => "fjall",
        })
    }
}

/// One thread's use of a store.
pub trait Engine {
    /// Reads a key; the length of its value.
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>>;
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
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
    Ok(match peer {
        Peer::Pinion => {
            let options = StoreOptions { durability: Durability::None, memory_bytes, ..StoreOptions::default() };
            Box::new(LocalStore::open(dir, options)?)
        }
        Peer::Rocksdb => Box::new(Rocks(rocksdb::DB::open(&rocks_options(memory_bytes), dir)?)),
        Peer::Fjall => {
            let database = fjall::Database::builder(dir).cache_size(memory_bytes as u64 / 2).open()?;
            let keyspace = database.keyspace("bench", fjall::KeyspaceCreateOptions::default)?;
            Box::new(Fjall { keyspace })
        }
    })
}

/// `count` writers of one store, each of whose puts is on the device when it returns.
pub fn open_writers(peer: Peer, dir: &Path, memory_bytes: usize, count: usize) -> Result<Vec<Box<dyn Writer>>> {
    Ok(match peer {
        Peer::Pinion => {
            let store = Store::open(dir, StoreOptions { memory_bytes, ..StoreOptions::default() })?;
            (0..count).map(|_| Box::new(store.clone()) as Box<dyn Writer>).collect()
        }
        Peer::Rocksdb => {
            let db = std::sync::Arc::new(rocksdb::DB::open(&rocks_options(memory_bytes), dir)?);
            (0..count).map(|_| Box::new(RocksWriter(db.clone())) as Box<dyn Writer>).collect()
        }
        Peer::Fjall => {
            let database = fjall::Database::builder(dir).open()?;
            let keyspace = database.keyspace("bench", fjall::KeyspaceCreateOptions::default)?;
            let writer = || FjallWriter { database: database.clone(), keyspace: keyspace.clone() };
            (0..count).map(|_| Box::new(writer()) as Box<dyn Writer>).collect()
        }
    })
}

impl Engine for LocalStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.get_with(key, |value| value.map(<[u8]>::len))?)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        KeyValue::put(self, key, value)?;
        Ok(())
    }

    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize> {
        Ok(KeyValue::scan(self, from, b"", count)?.len())
    }

    fn settle(&mut self) -> Result<()> {
        Ok(LocalStore::settle(self)?)
    }
}

impl Writer for Store {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        KeyValue::put(self, key, value)?;
        Ok(())
    }
}

/// Half of the memory is block cache, a quarter write buffers; lz4 below level 1, 10-bit blooms, as its guide advises.
fn rocks_options(memory_bytes: usize) -> rocksdb::Options {
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_block_cache(&rocksdb::Cache::new_lru_cache(memory_bytes / 2));
    table.set_bloom_filter(10.0, false);
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(64 << 20);
    options.set_max_write_buffer_number(4);
    options.set_max_background_jobs(2);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}

struct Rocks(rocksdb::DB);

impl Engine for Rocks {
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.0.get_pinned(key)?.map(|value| value.len()))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.put(key, value)?)
    }

    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize> {
        let mode = rocksdb::IteratorMode::From(from, rocksdb::Direction::Forward);
        Ok(self.0.iterator(mode).take(count).filter(std::result::Result::is_ok).count())
    }

    fn settle(&mut self) -> Result<()> {
        self.0.flush()?;
        let mut options = rocksdb::WaitForCompactOptions::default();
        options.set_flush(true);
        Ok(self.0.wait_for_compact(&options)?)
    }
}

struct RocksWriter(std::sync::Arc<rocksdb::DB>);

impl Writer for RocksWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        Ok(self.0.put_opt(key, value, &options)?)
    }
}

struct Fjall {
    keyspace: fjall::Keyspace,
}

impl Engine for Fjall {
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.keyspace.get(key)?.map(|value| value.len()))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.keyspace.insert(key, value)?)
    }

    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize> {
        let mut found = 0;
        for guard in self.keyspace.range(from..).take(count) {
            let (_key, _value) = guard.into_inner()?;
            found += 1;
        }
        Ok(found)
    }

    fn settle(&mut self) -> Result<()> {
        // fjall doesn't say when its compactions are done: give them time.
        std::thread::sleep(std::time::Duration::from_secs(5));
        Ok(())
    }
}

struct FjallWriter {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

impl Writer for FjallWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.keyspace.insert(key, value)?;
        Ok(self.database.persist(fjall::PersistMode::SyncData)?)
    }
}
