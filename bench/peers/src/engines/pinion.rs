//! Ours.

use super::engine::{Engine, Result, Writer};
use pinion_engine::shard::Durability;
use pinion_engine::store::{KeyValue, LocalStore, Store, StoreOptions};
use std::path::Path;

pub fn open(dir: &Path, memory_bytes: usize) -> Result<Box<dyn Engine>> {
    let options = StoreOptions { durability: Durability::None, memory_bytes, ..StoreOptions::default() };
    Ok(Box::new(LocalStore::open(dir, options)?))
}

pub fn writers(dir: &Path, memory_bytes: usize, count: usize) -> Result<Vec<Box<dyn Writer>>> {
    let store = Store::open(dir, StoreOptions { memory_bytes, ..StoreOptions::default() })?;
    Ok((0..count).map(|_| Box::new(store.clone()) as Box<dyn Writer>).collect())
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
