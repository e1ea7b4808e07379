//! Writes sorted entries as tables of the bottom level, with plain blocking calls.

use crate::Error;
use crate::aligned::AlignedBuf;
use crate::dir::Dir;
use crate::io::FileName;
use crate::key::{Entry, RangeTombstone, Version};
use crate::manifest::TableEntry;
use crate::table::{Compression, TableBuilder};
use crate::tree::LEVELS;

/// Tables are cut at about this size.
const TABLE_BYTES: u64 = 32 << 20;
/// Writes are about so long.
const WRITE_BYTES: usize = 1 << 20;
/// The level of the tables: below it is nothing, so whatever they hold is in its place.
const BOTTOM: u8 = LEVELS as u8 - 1;

/// Makes tables out of entries that arrive in storage order.
pub struct TableSink<'d> {
    dir: &'d mut dyn Dir,
    compression: Compression,
    next_number: u64,
    open: Option<OpenTable>,
    last: (Vec<u8>, Version),
    tables: Vec<TableEntry>,
    entries: u64,
}

struct OpenTable {
    file: FileName,
    builder: TableBuilder,
    offset: u64,
}

impl<'d> TableSink<'d> {
    /// A sink that numbers its tables from `first` on.
    pub fn new(dir: &'d mut dyn Dir, first: u64, compression: Compression) -> TableSink<'d> {
        let last = (Vec::new(), Version(0));
        TableSink { dir, compression, next_number: first, open: None, last, tables: Vec::new(), entries: 0 }
    }

    /// Adds an entry; one that equals the last in key and version is left out.
    pub fn add(&mut self, entry: Entry<'_>) -> Result<(), Error> {
        let version = entry.stamp.version();
        let is_same_key = self.open.is_some() && self.last.0 == entry.key;
        if is_same_key && self.last.1 == version {
            return Ok(());
        }
        // Never between two versions of a key.
        if !is_same_key && self.open.as_ref().is_some_and(|open| open.builder.file_bytes() >= TABLE_BYTES) {
            self.close()?;
        }
        self.entries += 1;
        let table = self.table()?;
        table.builder.add(entry);
        let output = table.builder.take_output(WRITE_BYTES);
        self.last.0.clear();
        self.last.0.extend_from_slice(entry.key);
        self.last.1 = version;
        match output {
            Some(output) => self.write(&output),
            None => Ok(()),
        }
    }

    /// How many entries were taken.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Ends: range tombstones get a table of their own, which widens no other's key range. Everything is
    /// durable when this returns the tables and the number after the last.
    pub fn finish(mut self, ranges: Vec<RangeTombstone>) -> Result<(Vec<TableEntry>, u64), Error> {
        self.close()?;
        if !ranges.is_empty() {
            let table = self.table()?;
            ranges.into_iter().for_each(|range| table.builder.add_range_tombstone(range));
            self.close()?;
        }
        self.dir.sync_dir().map_err(|source| Error::io("sync", "names", self.dir.path(), source))?;
        Ok((self.tables, self.next_number))
    }

    fn table(&mut self) -> Result<&mut OpenTable, Error> {
        if self.open.is_none() {
            let file = FileName::Table(self.next_number);
            self.dir.create(file).map_err(|source| Error::io("create", file, self.dir.path(), source))?;
            let builder = TableBuilder::new(self.next_number, self.compression, 0);
            self.next_number += 1;
            self.open = Some(OpenTable { file, builder, offset: 0 });
        }
        Ok(self.open.as_mut().expect("it was just opened"))
    }

    fn write(&mut self, output: &AlignedBuf) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = self.dir.write(open.file, open.offset, output);
        open.offset += output.len() as u64;
        written.map_err(|source| Error::io("write", open.file, self.dir.path(), source))
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let finished = open.builder.finish();
        let written = self.dir.write(open.file, finished.tail_offset, &finished.tail);
        written
            .and_then(|()| self.dir.sync(open.file))
            .map_err(|source| Error::io("write", open.file, self.dir.path(), source))?;
        let (number, file_bytes) = (finished.meta.number, finished.meta.file_bytes);
        self.tables.push(TableEntry { number, level: BOTTOM, file_bytes });
        Ok(())
    }
}
