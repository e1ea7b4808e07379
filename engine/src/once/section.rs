//! What a batch says of the requests that it has and that are to be done once, as bytes behind its operations, little-endian:
//! `floor u64 | count u32`, then for each `client 16 bytes | number u64 | lowest u64 | first sent u64 | length u32 | answer`.

use super::{Once, Table};
use crate::fields::{Malformed, Reader, Writer};

/// Bytes of a row without its answer.
const ROW_BYTES_MIN: usize = Once::BYTES + size_of::<u32>();
/// Where the count stands.
const COUNT_AT: usize = 8;

/// A request, and what it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Which one.
    pub once: Once,
    /// What it was answered, as the shard has it.
    pub answer: &'a [u8],
}

/// Packs the section of a batch; empty, it is none.
#[derive(Clone, Debug, Default)]
pub struct SectionBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl SectionBuilder {
    /// Adds a request.
    pub fn push(&mut self, once: &Once, answer: &[u8]) {
        self.begin();
        let mut writer = Writer(&mut self.bytes);
        once.encode(&mut writer);
        writer.bytes(answer);
        self.count += 1;
        self.bytes[COUNT_AT..COUNT_AT + 4].copy_from_slice(&self.count.to_le_bytes());
    }

    /// Has the group forget what was first sent at or before this time.
    pub fn raise_floor(&mut self, floor_us: u64) {
        self.begin();
        self.bytes[..COUNT_AT].copy_from_slice(&floor_us.to_le_bytes());
    }

    /// Whether it says that something is to be forgotten.
    pub fn raises_floor(&self) -> bool {
        self.bytes.iter().take(COUNT_AT).any(|&byte| byte != 0)
    }

    fn begin(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.resize(COUNT_AT + 4, 0);
        }
    }

    /// Whether there is nothing to say.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What it says.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties it and keeps its memory.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Memory that it holds, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back what it doesn't need now.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

/// The section of a batch, read in place.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// What was first sent at or before this time is forgotten; 0: nothing is, by this batch.
    pub floor_us: u64,
    left: usize,
    rest: Reader<'a>,
}

impl<'a> Section<'a> {
    /// Reads its head; rows are checked as they come.
    pub fn parse(bytes: &'a [u8]) -> Result<Section<'a>, Malformed> {
        let mut rest = Reader(bytes);
        let floor_us = rest.u64()?;
        if floor_us > Table::TIME_US_MAX {
            return Err(Malformed("requests are forgotten up to a time that none reaches"));
        }
        let left = rest.count(ROW_BYTES_MIN)?;
        Ok(Section { floor_us, left, rest })
    }

    fn row(&mut self) -> Result<Row<'a>, Malformed> {
        let (once, answer) = (Once::decode(&mut self.rest)?, self.rest.bytes()?);
        if once.first_sent_us > Table::TIME_US_MAX {
            return Err(Malformed("a request was sent at a time that none reaches"));
        }
        Ok(Row { once, answer })
    }
}

impl<'a> Iterator for Section<'a> {
    type Item = Result<Row<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let end = self.rest.end();
            self.rest.0 = &[];
            return end.err().map(Err);
        }
        self.left -= 1;
        let row = self.row();
        if row.is_err() {
            (self.left, self.rest.0) = (0, &[]);
        }
        Some(row)
    }
}
