//! LMDB: a B+-tree in a mapping. It has one writer at a time and no log; each commit copies the pages on a path.

use super::engine::{Engine, Result, Writer};
use super::pending::Pending;
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};
use std::ops::Bound;
use std::path::Path;

/// Address space, not memory: more than any set that is measured.
const MAP_BYTES: usize = 256 << 30;

type Tree = Database<'static, Bytes, Bytes>;

fn tree(dir: &Path, flags: EnvFlags) -> Result<(Env, Tree)> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(256);
    // SAFETY: NO_SYNC only weakens what a power loss leaves, and the directory is opened once, by this process alone,
    // whose files nobody else changes.
    let env = unsafe { options.flags(flags).open(dir)? };
    let writing = env.write_txn()?;
    let tree = env
        .create_databases_and_commit(writing, |creator, writing| {
            creator.create_database::<Bytes, Bytes>(writing, None).map(CommitOrAbort::<_, ()>::Commit)
        })?
        .unwrap_commit();
    Ok((env, tree))
}

pub fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let (env, tree) = tree(dir, EnvFlags::NO_SYNC)?;
    Ok(Box::new(Lmdb { env, tree, pending: Pending::default() }))
}

pub fn writers(dir: &Path, count: usize) -> Result<Vec<Box<dyn Writer>>> {
    let (env, tree) = tree(dir, EnvFlags::empty())?;
    Ok((0..count).map(|_| Box::new(LmdbWriter { env: env.clone(), tree }) as Box<dyn Writer>).collect())
}

struct Lmdb {
    env: Env,
    tree: Tree,
    pending: Pending,
}

impl Lmdb {
    fn write_pending(&mut self) -> Result<()> {
        let mut writing = self.env.write_txn()?;
        for (key, value) in self.pending.0.drain(..) {
            self.tree.put(&mut writing, &key, &value)?;
        }
        Ok(writing.commit()?)
    }
}

impl Engine for Lmdb {
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>> {
        let reading = self.env.read_txn()?;
        Ok(self.tree.get(&reading, key)?.map(<[u8]>::len))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut writing = self.env.write_txn()?;
        self.tree.put(&mut writing, key, value)?;
        Ok(writing.commit()?)
    }

    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.pending.push(key, value) { self.write_pending() } else { Ok(()) }
    }

    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize> {
        let reading = self.env.read_txn()?;
        let range = (Bound::Included(from), Bound::Unbounded);
        let mut found = 0;
        for item in self.tree.range(&reading, &range)?.take(count) {
            let (_key, _value) = item?;
            found += 1;
        }
        Ok(found)
    }

    fn settle(&mut self) -> Result<()> {
        self.write_pending()?;
        Ok(self.env.force_sync()?)
    }
}

struct LmdbWriter {
    env: Env,
    tree: Tree,
}

impl Writer for LmdbWriter {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut writing = self.env.write_txn()?;
        self.tree.put(&mut writing, key, value)?;
        Ok(writing.commit()?)
    }
}
