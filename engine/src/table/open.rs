//! Opening a table and changing its residency: where every part's checksum is verified.

use super::block::{Layout, RAW};
use super::footer::{FOOTER_BYTES, Footer, Part};
use super::index::IndexLayout;
use super::meta::TableMeta;
use super::reader::{Parts, Table};
use super::stored::MALFORMED;
use crate::Error;
use crate::aligned::AlignedBuf;
use crate::dir::Dir;
use crate::io::FileName;
use std::sync::Arc;

impl Table {
    /// Opens a table's file. Reads and verifies footer, properties, index and filter; if it is to be `resident`,
    /// reads the whole file and verifies every block.
    pub fn open(dir: &dyn Dir, number: u64, resident: bool) -> Result<Table, Error> {
        let file = FileName::Table(number);
        let failed = |operation, source| Error::io(operation, file, dir.path(), source);
        let file_bytes = dir.len(file).map_err(|error| failed("measure", error))?;
        let read = |offset, len| dir.read(file, offset, len).map_err(|error| failed("read", error));
        if resident {
            return Table::from_file(number, read(0, file_bytes as usize)?.as_slice().into());
        }
        let last_len = file_bytes.min(FOOTER_BYTES as u64);
        let footer = Footer::read(number, file_bytes, &read(file_bytes - last_len, last_len as usize)?)?;
        let part = |part: Part| -> Result<Vec<u8>, Error> {
            let bytes = read(part.range.start, (part.range.end - part.range.start) as usize)?;
            part.check(number, &bytes)?;
            Ok(bytes)
        };
        let meta = decode_meta(&footer, file_bytes, &part(footer.meta())?)?;
        let index = AlignedBuf::from(part(footer.index())?.as_slice());
        let filter = AlignedBuf::from(part(footer.filter())?.as_slice());
        let layout = check_index(&footer, &index)?;
        Ok(Table { meta, footer, index: layout, parts: Parts::Paged { index, filter } })
    }

    /// The same table with another residency: in place in these bytes, its whole file as it was read, every checksum of
    /// which is verified; or with index and filter alone in memory.
    pub fn with_residency(&self, file: Option<AlignedBuf>) -> Result<Table, Error> {
        if let Some(bytes) = file {
            let table = Table::from_file(self.meta.number, bytes)?;
            return match table.meta == self.meta {
                true => Ok(table),
                false => Err(self.damaged(self.footer.meta().range.start, "the properties have changed")),
            };
        }
        let view = self.view();
        let parts =
            Parts::Paged { index: AlignedBuf::from(view.index), filter: AlignedBuf::from(view.filter) };
        Ok(Table { meta: self.meta.clone(), footer: self.footer, index: self.index.clone(), parts })
    }

    /// A table that was just built, with index and filter in memory.
    pub(super) fn from_parts(
        meta: TableMeta,
        footer: Footer,
        index: AlignedBuf,
        filter: AlignedBuf,
    ) -> Table {
        let layout = check_index(&footer, &index).expect("the builder makes an index that fits together");
        Table { meta, footer, index: layout, parts: Parts::Paged { index, filter } }
    }

    fn from_file(number: u64, bytes: AlignedBuf) -> Result<Table, Error> {
        let bytes = Arc::new(bytes);
        let file: &[u8] = &bytes;
        let file_bytes = file.len() as u64;
        let footer = Footer::read(number, file_bytes, file)?;
        let part = |part: Part| -> Result<&[u8], Error> {
            // The footer was checked to lie behind its parts.
            let bytes = file.get(part.in_memory()).unwrap_or_default();
            part.check(number, bytes).map(|()| bytes)
        };
        part(footer.filter())?;
        let meta = decode_meta(&footer, file_bytes, part(footer.meta())?)?;
        let index = check_index(&footer, part(footer.index())?)?;
        let table = Table { meta, footer, index, parts: Parts::Resident(Arc::clone(&bytes)) };
        for i in 0..table.blocks() {
            table.check_in_place(file, i)?;
        }
        Ok(table)
    }

    fn check_in_place(&self, file: &[u8], i: usize) -> Result<(), Error> {
        let at = self.block_ref(i);
        let raw = file.get(at.offset as usize..at.offset as usize + at.len as usize).unwrap_or_default();
        let stored = self.check_block(at, raw)?;
        if stored.first() == Some(&RAW) {
            let checked = Layout::of(stored).and_then(|layout| layout.check(stored));
            return checked.map_err(|_| self.damaged(at.offset, MALFORMED));
        }
        Ok(())
    }
}

fn decode_meta(footer: &Footer, file_bytes: u64, bytes: &[u8]) -> Result<TableMeta, Error> {
    let number = footer.number.get();
    let damaged = |what: &str| Error::Damaged {
        file: FileName::Table(number),
        offset: footer.meta_offset.get(),
        what: what.to_owned(),
    };
    let meta = TableMeta::decode(bytes).map_err(damaged)?;
    if meta.number != number || meta.file_bytes != file_bytes {
        return Err(damaged("the properties are those of another table"));
    }
    if meta.features != 0 {
        let (file, what) = (FileName::Table(number), format!("features {:#x}", meta.features));
        return Err(Error::Newer {
            file,
            dir: "its directory".to_owned(),
            offset: footer.meta_offset.get(),
            what,
        });
    }
    Ok(meta)
}

fn check_index(footer: &Footer, bytes: &[u8]) -> Result<IndexLayout, Error> {
    IndexLayout::check(bytes, footer.blocks.get(), footer.data_len.get()).map_err(|what| Error::Damaged {
        file: FileName::Table(footer.number.get()),
        offset: footer.index_offset.get(),
        what: format!("the index contradicts itself: {what}"),
    })
}
