//! Reading a whole table back: every checksum, and everything that readers rely on.
//!
//! Beyond checksums a [`Verifier`] checks what only damage before writing could break: entries rise, keys lie in the
//! block where the index looks for them, the filter and the tags know every key, counts and ranges are those of the properties. The blocks
//! are fed in order by whoever reads them, so that a background job can do it piece by piece.

use super::block::{Block, tag, tags};
use super::block_cursor::BlockCursor;
use super::filter;
use super::filter::key_hash;
use super::found::BlockRef;
use super::meta::TableMeta;
use super::reader::Table;
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use crate::key::Version;
use std::sync::Arc;

/// What a verification read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The table's properties, counted again.
    pub meta: TableMeta,
    /// Blocks of entries.
    pub blocks: u64,
}

/// Verifies a table block by block.
#[derive(Debug)]
pub struct Verifier {
    table: Arc<Table>,
    next: usize,
    counted: TableMeta,
    first_key: Vec<u8>,
    last: (Vec<u8>, Version),
}

impl Table {
    /// Reads a whole table's file back. An error names the offset of what is damaged.
    pub fn verify(dir: &dyn Dir, number: u64) -> Result<VerifyReport, Error> {
        let table = Arc::new(Table::open(dir, number, false)?);
        table.verify_padding(dir)?;
        let mut verifier = Verifier::new(table);
        while let Some(at) = verifier.wants() {
            verifier.check(&read(dir, number, at.offset, at.len as usize)?)?;
        }
        verifier.finish()
    }

    /// Checks that what lies between the parts of the file is zero, as it was written.
    pub fn verify_padding(&self, dir: &dyn Dir) -> Result<(), Error> {
        for (offset, len) in self.padding() {
            let bytes = read(dir, self.meta.number, offset, len)?;
            if let Some(i) = bytes.iter().position(|&byte| byte != 0) {
                return Err(self.damaged(offset + i as u64, "the padding between parts isn't zero"));
            }
        }
        Ok(())
    }

    /// What lies between the parts of the file: offset and length.
    fn padding(&self) -> Vec<(u64, usize)> {
        let footer = &self.footer;
        let footer_at = self.meta.file_bytes - super::footer::FOOTER_BYTES as u64;
        let ends = [
            footer.data_len.get(),
            footer.index().range.end,
            footer.filter().range.end,
            footer.meta().range.end,
        ];
        let starts =
            [footer.index().range.start, footer.filter().range.start, footer.meta().range.start, footer_at];
        ends.into_iter().zip(starts).map(|(end, start)| (end, start.saturating_sub(end) as usize)).collect()
    }
}

fn read(dir: &dyn Dir, number: u64, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let file = FileName::Table(number);
    dir.read(file, offset, len).map_err(|source| Error::io("read", file, dir.path(), source))
}

impl Verifier {
    /// Begins with the first block. Opening the table has verified everything else.
    pub fn new(table: Arc<Table>) -> Verifier {
        let counted = TableMeta::empty(table.meta.number);
        Verifier { table, next: 0, counted, first_key: Vec::new(), last: (Vec::new(), Version(0)) }
    }

    /// Where the next block lies; `None` after the last.
    pub fn wants(&self) -> Option<BlockRef> {
        (self.next < self.table.blocks()).then(|| self.table.block_ref(self.next))
    }

    /// Checks the next block, as it was read.
    pub fn check(&mut self, raw: &[u8]) -> Result<(), Error> {
        let Some(at) = self.wants() else { return Ok(()) };
        let block = Arc::new(self.table.decode_block(at, raw)?);
        self.check_entries(at, &block).map_err(|what| self.table.damaged(at.offset, what))?;
        self.next += 1;
        Ok(())
    }

    /// Checks what can be said only when all blocks were read.
    pub fn finish(mut self) -> Result<VerifyReport, Error> {
        let meta = &self.table.meta;
        self.counted.file_bytes = meta.file_bytes;
        self.counted.range_tombstones.clone_from(&meta.range_tombstones);
        self.counted.close(&self.first_key, &self.last.0);
        let complete = self.next == self.table.blocks() && self.counted == *meta;
        if !complete {
            let offset = self.table.footer.meta().range.start;
            return Err(self.table.damaged(offset, "the properties don't match the entries"));
        }
        Ok(VerifyReport { meta: self.counted, blocks: self.next as u64 })
    }

    fn check_entries(&mut self, at: BlockRef, block: &Arc<Block>) -> Result<(), &'static str> {
        let table = self.table.clone();
        let view = table.view();
        let tags = tags(block.bytes(), block.layout()).to_vec();
        let mut cursor = BlockCursor::new(block.clone());
        for expected in tags {
            let entry = cursor.entry().ok_or("an entry can't be read")?;
            let (key, version) = (entry.key, entry.stamp.version());
            let (last_key, last_version) = (self.last.0.as_slice(), self.last.1);
            let first = self.counted.entries == 0;
            if !first && (key < last_key || (key == last_key && version >= last_version)) {
                return Err("entries are out of order");
            }
            if table.index.find(view.index, key, version).map(|i| table.block_ref(i)) != Some(at) {
                return Err("an entry lies in a block where the index doesn't look for it");
            }
            let hash = key_hash(key);
            if tag(hash) != expected || !filter::contains(view.filter, hash) {
                return Err("the hash of a key is wrong");
            }
            if first {
                self.first_key = key.to_vec();
            }
            self.last.0.clear();
            self.last.0.extend_from_slice(key);
            self.last.1 = version;
            self.counted.count(&entry);
            cursor.next();
        }
        Ok(())
    }
}
