//! Directories and tables for tests.

use super::{BlockCache, Compression, Found, Lookup, Table, TableBuilder, key_hash};
use crate::dir::Dir;
use crate::io::FileName;
use crate::key::{Entry, Expiry, Kind, Stamp, Version};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

/// Key and version to kind, expiry and value.
pub(super) type Model = BTreeMap<(Vec<u8>, Reverse<u64>), (Kind, u64, Vec<u8>)>;

/// Entries of a model in storage order.
pub(super) fn entries(model: &Model) -> impl Iterator<Item = Entry<'_>> {
    model.iter().map(|((key, Reverse(version)), (kind, expiry, value))| Entry {
        key,
        stamp: Stamp::new(Version(*version), *kind),
        expiry: Expiry(*expiry),
        value,
    })
}

/// A table's file, taken from the builder in small runs, beside the paged table it gave.
pub(super) fn build(
    number: u64,
    compression: Compression,
    fill: impl FnOnce(&mut TableBuilder),
) -> (MemoryDir, Table) {
    let mut builder = TableBuilder::new(number, compression, 10);
    fill(&mut builder);
    let mut file = Vec::new();
    while let Some(run) = builder.take_output(1) {
        assert_eq!(run.len() % crate::aligned::ALIGN, 0);
        file.extend_from_slice(&run);
    }
    let mut finished = builder.finish();
    assert_eq!(finished.tail_offset, file.len() as u64);
    file.extend_from_slice(&finished.take_tail());
    assert_eq!(finished.meta.file_bytes, file.len() as u64);
    let mut dir = MemoryDir::default();
    dir.files.insert(FileName::Table(number), file);
    (dir, finished.into_paged())
}

/// Reads as a shard does: what is missing is read, decoded and cached.
pub(super) fn get(
    dir: &MemoryDir,
    table: &Table,
    key: &[u8],
    at: Version,
    cache: &mut BlockCache,
) -> Option<(Stamp, Expiry, Vec<u8>)> {
    let hash = key_hash(key);
    let needed = match table.get(key, hash, at, cache).expect("the table is whole") {
        Lookup::Absent => return None,
        Lookup::Found(Found { stamp, expiry, value }) => return Some((stamp, expiry, value.to_vec())),
        Lookup::NeedsRead(needed) => needed,
    };
    assert!(!table.is_resident());
    let raw = dir
        .read(FileName::Table(needed.table), needed.offset, needed.len as usize)
        .expect("the file is there");
    cache.insert(needed, table.decode_block(needed, &raw).expect("the block is whole"));
    match table.get(key, hash, at, cache).expect("the table is whole") {
        Lookup::Absent => None,
        Lookup::Found(Found { stamp, expiry, value }) => Some((stamp, expiry, value.to_vec())),
        Lookup::NeedsRead(_) => panic!("the block was just put into the cache"),
    }
}

/// Files in memory.
#[derive(Clone, Default)]
pub(super) struct MemoryDir {
    pub files: BTreeMap<FileName, Vec<u8>>,
}

impl MemoryDir {
    fn file(&self, file: FileName) -> Result<&Vec<u8>> {
        self.files.get(&file).ok_or_else(|| Error::from(ErrorKind::NotFound))
    }
}

impl Dir for MemoryDir {
    fn list(&self) -> Result<Vec<FileName>> {
        Ok(self.files.keys().copied().collect())
    }

    fn len(&self, file: FileName) -> Result<u64> {
        Ok(self.file(file)?.len() as u64)
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        let bytes = self.file(file)?.get(offset as usize..offset as usize + len);
        Ok(bytes.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?.to_vec())
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        self.files.insert(file, Vec::new());
        Ok(())
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        let bytes = self.files.entry(file).or_default();
        bytes.resize(bytes.len().max(offset as usize + data.len()), 0);
        bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self, _file: FileName) -> Result<()> {
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<()> {
        Ok(())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        let bytes = self.files.remove(&from).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        self.files.insert(to, bytes);
        Ok(())
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.files.remove(&file).map(drop).ok_or_else(|| Error::from(ErrorKind::NotFound))
    }

    fn path(&self) -> String {
        "memory".into()
    }
}
