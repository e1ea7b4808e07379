//! redb: a copy-on-write B-tree in one file, with a cache of its own.

use super::engine::{Engine, Result, Writer};
use super::pending::Pending;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use std::path::Path;
use std::sync::Arc;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("bench");

fn database(dir: &Path, memory_bytes: usize) -> Result<Database> {
    let database = Database::builder().set_cache_size(memory_bytes).create(dir.join("bench.redb"))?;
    let writing = database.begin_write()?;
    writing.open_table(TABLE)?;
    writing.commit()?;
    Ok(database)
}

pub fn open(dir: &Path, memory_bytes: usize) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Redb { database: database(dir, memory_bytes)?, pending: Pending::default() }))
}

pub fn writers(dir: &Path, memory_bytes: usize, count: usize) -> Result<Vec<Box<dyn Writer>>> {
    let database = Arc::new(database(dir, memory_bytes)?);
    Ok((0..count).map(|_| Box::new(RedbWriter(database.clone())) as Box<dyn Writer>).collect())
}

fn write<'a>(
    database: &Database,
    durability: Durability,
    pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<()> {
    let mut writing = database.begin_write()?;
    writing.set_durability(durability)?;
    {
        let mut table = writing.open_table(TABLE)?;
        for (key, value) in pairs {
            table.insert(key, value)?;
        }
    }
    Ok(writing.commit()?)
}

struct Redb {
    database: Database,
    pending: Pending,
}

impl Redb {
    fn write_pending(&mut self, durability: Durability) -> Result<()> {
        let pairs = self.pending.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        write(&self.database, durability, pairs)?;
        self.pending.0.clear();
        Ok(())
    }
}

impl Engine for Redb {
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| value.value().len()))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        write(&self.database, Durability::None, [(key, value)])
    }

    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.pending.push(key, value) { self.write_pending(Durability::None) } else { Ok(()) }
    }

    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut found = 0;
        for item in table.range(from..)?.take(count) {
            let (_key, _value) = item?;
            found += 1;
        }
        Ok(found)
    }

    fn settle(&mut self) -> Result<()> {
        self.write_pending(Durability::Immediate)
    }
}

struct RedbWriter(Arc<Database>);

impl Writer for RedbWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        write(&self.0, Durability::Immediate, [(key, value)])
    }
}
