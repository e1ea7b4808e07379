//! Makes a table: sorted entries in, the file's bytes out, no I/O.
//!
//! Finished bytes leave in aligned runs while entries arrive ([`TableBuilder::take_output`]); memory held is
//! the current run, the current block, the index, and 8 bytes a key for the filter, which is built at the
//! end, when the number of keys is known.

use super::block::{LZ4, LZ4_HEADER};
use super::block_builder::BlockBuilder;
use super::checksum::checksum;
use super::filter::{Filter, key_hash};
use super::footer::{FOOTER_BYTES, Footer, PART_ALIGN};
use super::index::IndexBuilder;
use super::meta::{Compression, TableMeta};
use super::reader::Table;
use crate::Error;
use crate::aligned::{ALIGN, AlignedBuf, align_up};
use crate::key::{Entry, RangeTombstone, Version};
use zerocopy::{FromZeros, IntoBytes};

/// Room for hashes that is reserved on the caller's word alone.
const RESERVED_HASHES_MAX: usize = 1 << 20;
/// First room for output.
const OUTPUT_BYTES: usize = 64 << 10;

/// Makes a table's bytes from sorted entries; no I/O.
pub struct TableBuilder {
    meta: TableMeta,
    compression: Compression,
    block: BlockBuilder,
    index: IndexBuilder,
    /// One for each different key.
    hashes: Vec<u64>,
    first_key: Vec<u8>,
    /// The last entry of the last finished block.
    before: Option<(Vec<u8>, Version)>,
    /// Finished bytes that weren't taken yet; they begin at `taken` in the file.
    output: AlignedBuf,
    taken: u64,
    raw: Vec<u8>,
}

/// A table whose last bytes are still to be written.
pub struct FinishedTable {
    /// Its properties.
    pub meta: TableMeta,
    /// The last bytes, to be written behind all that was taken before.
    pub tail: AlignedBuf,
    /// Where in the file `tail` belongs.
    pub tail_offset: u64,
    footer: Footer,
    index: AlignedBuf,
    filter: AlignedBuf,
}

impl TableBuilder {
    /// A table with this file number. `expected_entries` only sizes memory.
    pub fn new(number: u64, compression: Compression, expected_entries: usize) -> TableBuilder {
        TableBuilder {
            meta: TableMeta::empty(number),
            compression,
            block: BlockBuilder::default(),
            index: IndexBuilder::default(),
            hashes: Vec::with_capacity(expected_entries.min(RESERVED_HASHES_MAX)),
            first_key: Vec::new(),
            before: None,
            output: AlignedBuf::with_capacity(OUTPUT_BYTES),
            taken: 0,
            raw: Vec::new(),
        }
    }

    /// Adds an entry, behind all others in storage order.
    pub fn add(&mut self, entry: Entry<'_>) {
        if !self.block.has_room(&entry) {
            self.finish_block();
        }
        let same_key = self.meta.entries > 0 && self.last().0 == entry.key;
        debug_assert!(
            self.meta.entries == 0
                || self.last() < (entry.key, Version(0))
                || same_key && self.last().1 > entry.stamp.version(),
            "entries are added in storage order"
        );
        let hash = match self.hashes.last() {
            Some(&hash) if same_key => hash,
            _ => {
                let hash = key_hash(entry.key);
                self.hashes.push(hash);
                hash
            }
        };
        if self.meta.entries == 0 {
            self.first_key = entry.key.to_vec();
        }
        self.block.add(&entry, hash);
        self.meta.count(&entry);
    }

    /// Adds a range tombstone, at any time before the end.
    pub fn add_range_tombstone(&mut self, tombstone: RangeTombstone) {
        self.meta.range_tombstones.push(tombstone);
    }

    /// About how long the file would be if it ended now.
    pub fn file_bytes(&self) -> u64 {
        let filter = self.hashes.len() * 10 / 8;
        let rest = self.block.bytes() + self.index.bytes() + filter + self.meta.heap_bytes() + FOOTER_BYTES;
        align_up((self.taken + self.output.len() as u64) as usize + rest) as u64
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.meta.entries == 0 && self.meta.range_tombstones.is_empty()
    }

    /// Finished bytes of the file, a multiple of [`ALIGN`] and at least `min`, if there are so many. Each call
    /// goes on in the file where the last one ended, beginning at 0.
    pub fn take_output(&mut self, min: usize) -> Option<AlignedBuf> {
        let len = self.output.len() / ALIGN * ALIGN;
        if len < min.max(ALIGN) {
            return None;
        }
        let mut next = AlignedBuf::with_capacity(min + OUTPUT_BYTES);
        next.extend_from_slice(&self.output[len..]);
        let mut run = std::mem::replace(&mut self.output, next);
        run.truncate(len);
        self.taken += len as u64;
        Some(run)
    }

    /// Ends the table.
    pub fn finish(mut self) -> FinishedTable {
        if !self.block.is_empty() {
            self.finish_block();
        }
        let last_key = self.before.take().map_or_else(Vec::new, |(key, _)| key);
        let mut footer = Footer::new_zeroed();
        footer.number = self.meta.number.into();
        footer.data_len = self.end().into();
        footer.blocks = (self.index.blocks() as u64).into();

        let index = std::mem::take(&mut self.index).finish(&last_key);
        let (offset, crc) = self.put_part(&index);
        (footer.index_offset, footer.index_len) = (offset.into(), (index.len() as u64).into());
        footer.index_crc = crc.into();

        let mut filter = Filter::new(self.hashes.len());
        self.hashes.iter().for_each(|&hash| filter.insert(hash));
        let filter = filter.into_bytes();
        let (offset, crc) = self.put_part(&filter);
        (footer.filter_offset, footer.filter_len) = (offset.into(), (filter.len() as u64).into());
        footer.filter_crc = crc.into();

        self.meta.close(&self.first_key, &last_key);
        let meta_at = self.end().next_multiple_of(PART_ALIGN) as usize;
        // The length of the properties doesn't depend on the numbers in them.
        let file_bytes = align_up(meta_at + self.meta.encode().len() + FOOTER_BYTES) as u64;
        self.meta.file_bytes = file_bytes;
        let meta = self.meta.encode();
        let (offset, crc) = self.put_part(&meta);
        footer.meta_offset = offset.into();
        footer.meta_len = u32::try_from(meta.len()).expect("properties are far below 4 GiB").into();
        footer.meta_crc = crc.into();

        let footer_at = file_bytes - FOOTER_BYTES as u64;
        self.output.resize((footer_at - self.taken) as usize);
        let footer = footer.seal(footer_at);
        self.output.extend_from_slice(footer.as_bytes());
        FinishedTable { meta: self.meta, tail: self.output, tail_offset: self.taken, footer, index, filter }
    }

    /// Where the next byte goes in the file.
    fn end(&self) -> u64 {
        self.taken + self.output.len() as u64
    }

    fn last(&self) -> (&[u8], Version) {
        match &self.before {
            Some((key, version)) if self.block.is_empty() => (key, *version),
            _ => self.block.last(),
        }
    }

    fn finish_block(&mut self) {
        let start = self.end();
        let first_key = self.block.first_key().to_vec();
        let (last_key, last_version) = self.block.last();
        let last = (last_key.to_vec(), last_version);
        self.block.finish(&mut self.raw);
        let place = self.output.len();
        if self.compression != Compression::Lz4 || !compress(&self.raw, &mut self.output) {
            self.output.extend_from_slice(&self.raw);
        }
        let checksum = checksum(self.meta.number, start, &self.output[place..]);
        self.output.extend_from_slice(&checksum.to_le_bytes());
        let end = self.end();
        self.index.add(
            self.before.as_ref().map(|(key, version)| (key.as_slice(), *version)),
            &first_key,
            end,
        );
        self.before = Some(last);
        // One huge value must not hold its memory for the rest of the table.
        self.raw.clear();
        self.raw.shrink_to(OUTPUT_BYTES);
    }

    /// Appends a part at the next aligned place; returns where, and its checksum.
    fn put_part(&mut self, bytes: &[u8]) -> (u64, u32) {
        let start = self.end().next_multiple_of(PART_ALIGN);
        self.output.resize((start - self.taken) as usize);
        self.output.extend_from_slice(bytes);
        (start, checksum(self.meta.number, start, bytes))
    }
}

impl FinishedTable {
    /// Takes the tail out, to write it.
    pub fn take_tail(&mut self) -> AlignedBuf {
        std::mem::replace(&mut self.tail, AlignedBuf::with_capacity(0))
    }

    /// The table, read in place in the bytes of its file. Every checksum of them is verified.
    pub fn into_resident(self, bytes: AlignedBuf) -> Result<Table, Error> {
        let table = self.into_paged();
        table.with_residency(Some(bytes))
    }

    /// The table, its blocks read when they are needed.
    pub fn into_paged(self) -> Table {
        Table::from_parts(self.meta, self.footer, self.index, self.filter)
    }
}

/// Appends a raw block to `out`, compressed; `false` and nothing if that doesn't save an eighth.
fn compress(raw: &[u8], out: &mut AlignedBuf) -> bool {
    let start = out.len();
    let body = start + LZ4_HEADER;
    out.resize(body + lz4_flex::block::get_maximum_output_size(raw.len()));
    let len = lz4_flex::block::compress_into(raw, &mut out[body..]);
    let Some(len) = len.ok().filter(|len| LZ4_HEADER + len <= raw.len() - raw.len() / 8) else {
        out.truncate(start);
        return false;
    };
    out.truncate(body + len);
    out[start..start + 4].copy_from_slice(&[LZ4, 0, 0, 0]);
    out[start + 4..body].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    true
}
