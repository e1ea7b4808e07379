//! The last 96 bytes of a table: what it is and where its parts lie.

use super::checksum::checksum;
use crate::Error;
use crate::io::FileName;
use std::ops::Range;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a footer. Its length, version, checksum and magic keep their places in all versions.
pub(super) const FOOTER_BYTES: usize = 96;
/// Version of the format that this build writes and reads.
pub(super) const FORMAT: u32 = 2;
/// The last bytes of every table.
pub(super) const MAGIC: [u8; 8] = *b"PINIONST";
/// Index and filter begin at multiples of this many bytes: a filter's line is a cache line.
pub(super) const PART_ALIGN: u64 = 64;
/// Bytes that the footer's checksum covers: all before it. The magic behind it is compared.
const CHECKED: usize = 84;

/// A footer as it is stored.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Footer {
    pub number: U64,
    pub data_len: U64,
    pub blocks: U64,
    pub index_offset: U64,
    pub index_len: U64,
    pub filter_offset: U64,
    pub filter_len: U64,
    pub meta_offset: U64,
    pub meta_len: U32,
    pub index_crc: U32,
    pub filter_crc: U32,
    pub meta_crc: U32,
    pub version: U32,
    pub crc: U32,
    pub magic: [u8; 8],
}

/// A part of a table: its bytes in the file and their checksum.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub name: &'static str,
    pub range: Range<u64>,
    pub crc: u32,
}

impl Footer {
    /// Fills in checksum and magic of a footer that will lie at `offset`.
    pub(super) fn seal(self, offset: u64) -> Footer {
        self.seal_as(offset, FORMAT)
    }

    /// [`Footer::seal`] for any version of the format.
    pub(super) fn seal_as(mut self, offset: u64, version: u32) -> Footer {
        self.version = version.into();
        self.magic = MAGIC;
        self.crc = checksum(self.number.get(), offset, &self.as_bytes()[..CHECKED]).into();
        self
    }

    /// Reads the footer of table `number` from the last bytes of a file of `file_bytes`.
    pub(super) fn read(number: u64, file_bytes: u64, last: &[u8]) -> Result<Footer, Error> {
        let file = FileName::Table(number);
        let damaged = |offset, what: &str| Error::Damaged { file, offset, what: what.to_owned() };
        let offset = file_bytes.saturating_sub(FOOTER_BYTES as u64);
        let footer = match last.last_chunk::<FOOTER_BYTES>() {
            Some(bytes) => Footer::read_from_bytes(bytes).ok(),
            None => None,
        };
        let footer = footer.ok_or_else(|| damaged(0, "too short for a table"))?;
        if footer.magic != MAGIC {
            return Err(damaged(
                offset,
                "it doesn't end as a table does: cut short, overwritten, or no table",
            ));
        }
        if footer.crc.get() != checksum(footer.number.get(), offset, &footer.as_bytes()[..CHECKED]) {
            return Err(damaged(offset, "the footer's checksum is wrong"));
        }
        if footer.version.get() != FORMAT {
            return Err(Error::Format { file, found: footer.version.get(), supported: FORMAT });
        }
        if footer.number.get() != number {
            return Err(damaged(offset, &format!("this is table {} under another name", footer.number)));
        }
        if !footer.is_consistent(offset) {
            return Err(damaged(offset, "the footer's parts don't fit the file"));
        }
        Ok(footer)
    }

    /// The index.
    pub(super) fn index(&self) -> Part {
        let start = self.index_offset.get();
        Part { name: "index", range: start..start + self.index_len.get(), crc: self.index_crc.get() }
    }

    /// The filter.
    pub(super) fn filter(&self) -> Part {
        let start = self.filter_offset.get();
        Part { name: "filter", range: start..start + self.filter_len.get(), crc: self.filter_crc.get() }
    }

    /// The properties.
    pub(super) fn meta(&self) -> Part {
        let start = self.meta_offset.get();
        Part {
            name: "properties",
            range: start..start + u64::from(self.meta_len.get()),
            crc: self.meta_crc.get(),
        }
    }

    /// Parts follow each other with less than an alignment between them.
    fn is_consistent(&self, footer_offset: u64) -> bool {
        let parts = [
            (self.index_offset, self.index_len.get()),
            (self.filter_offset, self.filter_len.get()),
            (self.meta_offset, u64::from(self.meta_len.get())),
        ];
        let mut end = self.data_len.get();
        for (offset, len) in parts {
            if end > footer_offset || offset.get() != end.next_multiple_of(PART_ALIGN) {
                return false;
            }
            end = offset.get().saturating_add(len);
        }
        end <= footer_offset
    }
}

impl Part {
    /// Checks the bytes of this part of table `number`.
    pub(super) fn check(&self, number: u64, bytes: &[u8]) -> Result<(), Error> {
        if checksum(number, self.range.start, bytes) == self.crc {
            return Ok(());
        }
        let what = format!("the checksum of the {} is wrong", self.name);
        Err(Error::Damaged { file: FileName::Table(number), offset: self.range.start, what })
    }

    /// Where it lies in a slice of the whole file.
    pub(super) fn in_memory(&self) -> Range<usize> {
        self.range.start as usize..self.range.end as usize
    }
}
