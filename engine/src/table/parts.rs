//! Where the parts of a table lie in its file, for inspection.

use super::footer::FOOTER_BYTES;
use super::reader::Table;
use std::ops::Range;

/// A part of a table's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePart {
    /// What it is.
    pub name: &'static str,
    /// Where it lies, in bytes.
    pub range: Range<u64>,
}

impl Table {
    /// The parts of the file in order: blocks, index, filter, properties, footer.
    pub fn parts(&self) -> Vec<TablePart> {
        let part = |name, range| TablePart { name, range };
        let file_bytes = self.meta.file_bytes;
        let mut parts = vec![part("blocks", 0..self.footer.data_len.get())];
        for at in [self.footer.index(), self.footer.filter(), self.footer.meta()] {
            parts.push(part(at.name, at.range));
        }
        parts.push(part("footer", file_bytes - FOOTER_BYTES as u64..file_bytes));
        parts
    }
}
