//! RocksDB, set up as its tuning guide advises for this much memory.

use super::engine::{Engine, Result, Writer};
use std::path::Path;
use std::sync::Arc;

pub fn open(dir: &Path, memory_bytes: usize) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Rocks(rocksdb::DB::open(&options(memory_bytes), dir)?)))
}

pub fn writers(dir: &Path, memory_bytes: usize, count: usize) -> Result<Vec<Box<dyn Writer>>> {
    let db = Arc::new(rocksdb::DB::open(&options(memory_bytes), dir)?);
    Ok((0..count).map(|_| Box::new(RocksWriter(db.clone())) as Box<dyn Writer>).collect())
}

fn options(memory_bytes: usize) -> rocksdb::Options {
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

struct RocksWriter(Arc<rocksdb::DB>);

impl Writer for RocksWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        Ok(self.0.put_opt(key, value, &options)?)
    }
}
