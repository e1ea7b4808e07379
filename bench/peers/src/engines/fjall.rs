//! fjall, with its defaults but for the cache.

use super::engine::{Engine, Result, Writer};
use std::path::Path;

pub fn open(dir: &Path, memory_bytes: usize) -> Result<Box<dyn Engine>> {
    let database = fjall::Database::builder(dir).cache_size(memory_bytes as u64 / 2).open()?;
    let keyspace = database.keyspace("bench", fjall::KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { keyspace }))
}

pub fn writers(dir: &Path, memory_bytes: usize, count: usize) -> Result<Vec<Box<dyn Writer>>> {
    let database = fjall::Database::builder(dir).cache_size(memory_bytes as u64 / 2).open()?;
    let keyspace = database.keyspace("bench", fjall::KeyspaceCreateOptions::default)?;
    let writer = || FjallWriter { database: database.clone(), keyspace: keyspace.clone() };
    Ok((0..count).map(|_| Box::new(writer()) as Box<dyn Writer>).collect())
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
