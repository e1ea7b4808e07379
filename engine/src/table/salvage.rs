//! What can be saved of a table that can't be opened, or has damaged blocks.
//!
//! 1. Blocks lie back to back from the file's beginning, each followed by a checksum over (table, offset, bytes).
//!    Given a block's start, its end is the place where the running checksum equals the four bytes that
//!    follow; so blocks are found without an index. A false match (one in 2^32 places) would have to be a
//!    well-formed block too.
//! 2. Behind a damaged block the search goes on at every byte that could begin a block, as far as a block of
//!    usual length reaches; then it gives up looking for ends farther away.
//! 3. Entries come out in the order of the file, which is storage order. Where footer and properties are sound the
//!    range tombstones come out too; otherwise they are lost.

use super::block::{Block, LZ4, LZ4_HEADER, Layout, RAW};
use super::checksum::checksum;
use super::footer::Footer;
use super::found::BlockRef;
use super::meta::TableMeta;
use super::stored::{BLOCK_BYTES_MAX, CRC, decompressed};
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use std::sync::Arc;

/// How far behind a possible start the end of a block is looked for, once the chain of blocks is lost.
const SEARCH_BYTES: usize = 32 << 10;

/// What [`salvage`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Sound blocks.
    pub blocks: u64,
    /// Bytes of the file that should have been blocks and aren't, as offset and length. Without a sound footer
    /// the last one reaches over what may have been index and filter.
    pub gaps: Vec<(u64, u64)>,
    /// The properties, if they can be read.
    pub meta: Option<TableMeta>,
}

/// Hands out every sound block of a table, in order.
pub fn salvage(
    dir: &dyn Dir,
    number: u64,
    visit: &mut dyn FnMut(Arc<Block>) -> Result<(), Error>,
) -> Result<Salvage, Error> {
    let name = FileName::Table(number);
    let failed = |source| Error::io("read", name, dir.path(), source);
    let len = dir.len(name).map_err(failed)?;
    let bytes = dir.read(name, 0, len as usize).map_err(failed)?;
    let file = bytes.as_slice();
    let footer = Footer::read(number, file.len() as u64, file).ok();
    let data = footer.as_ref().and_then(|footer| file.get(..footer.data_len.get() as usize)).unwrap_or(file);
    let mut salvage =
        Salvage { meta: footer.and_then(|footer| read_meta(&footer, file)), ..Salvage::default() };
    let mut at = 0;
    // A block that begins where the last one ended may be of any length; one that is guessed may not.
    let mut reach = BLOCK_BYTES_MAX;
    let mut gap = None;
    while at < data.len() {
        match block_at(number, data, at, reach) {
            Some((block, len)) => {
                if let Some(start) = gap.take() {
                    salvage.gaps.push((start as u64, (at - start) as u64));
                }
                visit(Arc::new(block))?;
                salvage.blocks += 1;
                at += len;
                reach = BLOCK_BYTES_MAX;
            }
            None => {
                gap.get_or_insert(at);
                at += 1;
                reach = SEARCH_BYTES;
            }
        }
    }
    salvage.gaps.extend(gap.map(|start| (start as u64, (data.len() - start) as u64)));
    Ok(salvage)
}

fn read_meta(footer: &Footer, file: &[u8]) -> Option<TableMeta> {
    let part = footer.meta();
    let bytes = file.get(part.in_memory())?;
    part.check(footer.number.get(), bytes).ok()?;
    TableMeta::decode(bytes).ok()
}

/// The block that begins at `at`, and how far it reaches with its checksum.
fn block_at(number: u64, data: &[u8], at: usize, reach: usize) -> Option<(Block, usize)> {
    let rest = &data[at..];
    let least = least_len(rest)?;
    let most = rest.len().min(reach).checked_sub(CRC)?;
    let mut crc = checksum(number, at as u64, rest.get(..least)?);
    for len in least..=most {
        if rest[len..len + CRC] == crc.to_le_bytes()
            && let Some(block) = decode(number, at as u64, &rest[..len])
        {
            return Some((block, len + CRC));
        }
        crc = crc32c::crc32c_append(crc, &rest[len..=len]);
    }
    None
}

/// The least length of a block that begins like this; `None` if none does.
fn least_len(rest: &[u8]) -> Option<usize> {
    match *rest.first()? {
        LZ4 if rest.starts_with(&[LZ4, 0, 0, 0]) => Some(LZ4_HEADER + 1),
        RAW => Layout::of(rest).ok()?.least_len(rest),
        _ => None,
    }
}

fn decode(number: u64, offset: u64, stored: &[u8]) -> Option<Block> {
    let at = BlockRef { table: number, offset, len: u32::try_from(stored.len() + CRC).ok()? };
    Block::owned(at, decompressed(stored).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{BlockCursor, Compression, Table, TableBuilder};
    use super::*;
    use crate::dir::testing::MemoryDir;
    use crate::key::{Entry, Expiry, Kind, RangeTombstone, Stamp, Version};

    const FILE: FileName = FileName::Table(7);

    fn key(i: u32) -> Vec<u8> {
        format!("\0\0\0\0\0\0\0\0key{i:05}").into_bytes()
    }

    fn table(compression: Compression) -> (MemoryDir, u32) {
        let mut builder = TableBuilder::new(7, compression, 0);
        for i in 0..2000 {
            let value = vec![i as u8; if i == 1000 { 200_000 } else { 20 }];
            let stamp = Stamp::new(Version(u64::from(i) + 1), Kind::Value);
            builder.add(Entry { key: &key(i), stamp, expiry: Expiry(5), value: &value });
        }
        let (start, end) = (key(5), key(9));
        builder.add_range_tombstone(RangeTombstone { start, end, version: Version(9000) });
        let finished = builder.finish();
        let mut dir = MemoryDir::new();
        dir.create(FILE).unwrap();
        dir.write(FILE, 0, &finished.tail).unwrap();
        (dir, 2000)
    }

    fn keys_of(dir: &MemoryDir) -> (Salvage, Vec<Vec<u8>>) {
        let mut keys = Vec::new();
        let found = salvage(dir, 7, &mut |block| {
            let mut cursor = BlockCursor::new(block);
            while let Some(entry) = cursor.entry() {
                keys.push(entry.key.to_vec());
                cursor.next();
            }
            Ok(())
        });
        (found.unwrap(), keys)
    }

    #[test]
    fn every_entry_is_found_though_the_footer_is_gone() {
        for compression in [Compression::None, Compression::Lz4] {
            let (mut dir, entries) = table(compression);
            let len = dir.len(FILE).unwrap();
            dir.tamper(FILE, |bytes| bytes[len as usize - 96..].fill(0));
            assert!(Table::open(&dir, 7, false).is_err());
            let (found, keys) = keys_of(&dir);
            assert_eq!(found.meta, None);
            assert_eq!(keys, (0..entries).map(key).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_damaged_block_costs_only_its_own_entries() {
        for compression in [Compression::None, Compression::Lz4] {
            let (mut dir, entries) = table(compression);
            let lost = Table::open(&dir, 7, false).unwrap().block_ref(3);
            dir.flip(FILE, lost.offset as usize + 100, 3);
            let (found, keys) = keys_of(&dir);
            assert_eq!(found.gaps, [(lost.offset, u64::from(lost.len))]);
            assert_eq!(found.meta.unwrap().range_tombstones.len(), 1);
            assert!(keys.len() < entries as usize && keys.is_sorted());
        }
    }

    #[test]
    fn a_file_that_was_never_a_table_yields_nothing() {
        let mut dir = MemoryDir::new();
        dir.create(FILE).unwrap();
        dir.write(FILE, 0, &[0x5a; 10_000]).unwrap();
        let (found, keys) = keys_of(&dir);
        assert_eq!((found.blocks, keys.len()), (0, 0));
        assert_eq!(found.gaps, [(0, 10_000)]);
    }
}
