//! Every kind of damage is found, and named with file and offset.

use super::checksum::checksum;
use super::footer::{FOOTER_BYTES, Footer};
use super::index::IndexLayout;
use super::test_dir::{MemoryDir, build};
use super::{BlockCursor, BlockRef, Compression, Table, TableBuilder, key_hash};
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use crate::key::{Entry, Expiry, Kind, RangeTombstone, Stamp, Version};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;

const NUMBER: u64 = 3;

fn fill(builder: &mut TableBuilder) {
    for i in 0..150_u64 {
        let key = format!("\0\0\0\u{1}\0\0\0\0user{:06}", i / 2);
        let kind = if i % 11 == 0 { Kind::Tombstone } else { Kind::Value };
        let stamp = Stamp::new(Version(1000 - i), kind);
        builder.add(Entry { key: key.as_bytes(), stamp, expiry: Expiry(i % 5), value: &[b'v'; 60] });
    }
    let range = RangeTombstone { start: b"a".to_vec(), end: b"b".to_vec(), version: Version(1) };
    builder.add_range_tombstone(range);
}

fn sample(compression: Compression) -> (MemoryDir, Table) {
    build(NUMBER, compression, fill)
}

fn bytes(dir: &mut MemoryDir) -> &mut Vec<u8> {
    dir.files.get_mut(&FileName::Table(NUMBER)).expect("the file is there")
}

/// The parts of the file that a checksum covers.
fn parts(table: &Table) -> Vec<Range<u64>> {
    let block = |i| {
        let at = table.block_ref(i);
        at.offset..at.offset + u64::from(at.len)
    };
    let footer: &Footer = &table.footer;
    let footer_at = table.meta.file_bytes - FOOTER_BYTES as u64;
    let rest =
        [footer.index().range, footer.filter().range, footer.meta().range, footer_at..table.meta.file_bytes];
    (0..table.blocks()).map(block).chain(rest).collect()
}

fn read_all_paged(dir: &MemoryDir) -> Result<(), Error> {
    let table = Table::open(dir, NUMBER, false)?;
    for i in 0..table.blocks() {
        let at = table.block_ref(i);
        let raw = dir.read(FileName::Table(NUMBER), at.offset, at.len as usize).expect("it lies in the file");
        table.decode_block(at, &raw)?;
    }
    Ok(())
}

#[test]
fn a_flipped_bit_in_any_byte_is_damage_with_its_place_or_lies_in_padding() {
    for compression in [Compression::None, Compression::Lz4] {
        let (mut dir, table) = sample(compression);
        let parts = parts(&table);
        for place in 0..table.meta().file_bytes {
            let bit = 1 << (place % 8);
            bytes(&mut dir)[place as usize] ^= bit;
            let part = parts.iter().find(|part| part.contains(&place));
            for found in [Table::open(&dir, NUMBER, true).map(drop), read_all_paged(&dir)] {
                match (found, part) {
                    (Err(Error::Damaged { file: FileName::Table(NUMBER), offset, .. }), Some(part)) => {
                        assert_eq!(offset, part.start, "bit {bit} of byte {place}");
                    }
                    (Ok(()), None) => {}
                    (found, part) => panic!("bit {bit} of byte {place} in {part:?}: {found:?}"),
                }
            }
            match Table::verify(&dir, NUMBER) {
                Err(Error::Damaged { offset, .. }) => {
                    assert_eq!(offset, part.map_or(place, |part| part.start));
                }
                other => panic!("byte {place}: {other:?}"),
            }
            bytes(&mut dir)[place as usize] ^= bit;
        }
        Table::verify(&dir, NUMBER).expect("all is as it was");
    }
}

#[test]
fn a_file_of_any_shorter_length_is_damage() {
    let (dir, table) = sample(Compression::None);
    for len in (0..table.meta().file_bytes as usize).rev().step_by(7).chain(0..200) {
        let mut cut = dir.clone();
        bytes(&mut cut).truncate(len);
        for resident in [false, true] {
            let opened = Table::open(&cut, NUMBER, resident);
            assert!(matches!(opened, Err(Error::Damaged { .. })), "{len} bytes: {opened:?}");
        }
    }
}

#[test]
fn a_longer_file_is_damage() {
    let (mut dir, _) = sample(Compression::None);
    bytes(&mut dir).extend_from_slice(&[0; 4096]);
    assert!(matches!(Table::open(&dir, NUMBER, false), Err(Error::Damaged { .. })));
    // Even when it ends in a footer: that footer lies elsewhere than it says.
    let len = bytes(&mut dir).len();
    bytes(&mut dir).copy_within(len - 4096 - FOOTER_BYTES..len - 4096, len - FOOTER_BYTES);
    assert!(matches!(Table::open(&dir, NUMBER, false), Err(Error::Damaged { .. })));
}

#[test]
fn a_block_in_the_place_of_another_is_damage() {
    let (mut dir, table) = sample(Compression::None);
    let (first, second) = (table.block_ref(0), table.block_ref(1));
    assert_eq!(first.len, second.len);
    let (from, to) = (first.offset as usize, second.offset as usize);
    bytes(&mut dir).copy_within(from..from + first.len as usize, to);
    match Table::open(&dir, NUMBER, true) {
        Err(Error::Damaged { offset, .. }) => assert_eq!(offset, second.offset),
        other => panic!("{other:?}"),
    }
    assert!(read_all_paged(&dir).is_err());
}

#[test]
fn a_block_of_another_table_is_damage_though_all_else_is_equal() {
    let (mut dir, table) = sample(Compression::None);
    let (other, _) = build(NUMBER + 1, Compression::None, fill);
    let other = &other.files[&FileName::Table(NUMBER + 1)];
    let at = table.block_ref(2);
    let range = at.offset as usize..at.offset as usize + at.len as usize;
    bytes(&mut dir)[range.clone()].copy_from_slice(&other[range]);
    assert!(
        matches!(Table::open(&dir, NUMBER, true), Err(Error::Damaged { offset, .. }) if offset == at.offset)
    );
}

#[test]
fn a_table_under_another_name_is_refused() {
    let (dir, _) = sample(Compression::None);
    let mut renamed = MemoryDir::default();
    renamed.files.insert(FileName::Table(9), dir.files[&FileName::Table(NUMBER)].clone());
    let error = Table::open(&renamed, 9, true).expect_err("it is another table");
    assert!(error.to_string().contains("this is table 3 under another name"), "{error}");
}

#[test]
fn a_later_format_is_named_as_such() {
    let (mut dir, table) = sample(Compression::None);
    let footer_at = table.meta().file_bytes - FOOTER_BYTES as u64;
    let footer = table.footer.seal_as(footer_at, 3);
    let file = bytes(&mut dir);
    let at = file.len() - FOOTER_BYTES;
    file[at..].copy_from_slice(zerocopy::IntoBytes::as_bytes(&footer));
    let error = Table::open(&dir, NUMBER, false).expect_err("it is too new");
    assert!(matches!(error, Error::Format { found: 3, supported: 2, .. }), "{error}");
}

#[test]
fn features_that_nobody_knows_here_are_refused_and_not_overlooked() {
    let (mut dir, table) = sample(Compression::None);
    let (mut footer, meta) = (table.footer, table.footer.meta().in_memory());
    let file = bytes(&mut dir);
    file[meta.start + 10 * 8] = 4;
    footer.meta_crc = checksum(NUMBER, meta.start as u64, &file[meta]).into();
    let at = file.len() - FOOTER_BYTES;
    file[at..].copy_from_slice(zerocopy::IntoBytes::as_bytes(&footer.seal(at as u64)));
    for is_resident in [true, false] {
        let error = Table::open(&dir, NUMBER, is_resident).expect_err("who knows what is in it");
        assert!(error.to_string().contains("features 0x4"), "{error}");
    }
}

#[test]
fn the_bytes_of_a_table_are_those_of_format_2() {
    let crc = |compression| crc32c::crc32c(&sample(compression).0.files[&FileName::Table(NUMBER)]);
    assert_eq!(crc(Compression::None), 3_201_376_607);
    let (mut dir, _) = sample(Compression::None);
    assert!(bytes(&mut dir).ends_with(b"PINIONST"));
}

#[test]
fn a_file_of_other_contents_is_refused() {
    let (_, table) = sample(Compression::None);
    let (other, _) = build(NUMBER, Compression::None, |builder| {
        fill(builder);
        builder.add_range_tombstone(RangeTombstone {
            start: b"c".to_vec(),
            end: b"d".to_vec(),
            version: Version(1),
        });
    });
    let file = other.files[&FileName::Table(NUMBER)].as_slice();
    assert!(matches!(table.with_residency(Some(file.into())), Err(Error::Damaged { .. })));
}

/// Bytes that are damaged at random, with a checksum that says they aren't.
fn resealed(raw: &[u8], at: BlockRef, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut stored = raw[..raw.len() - 4].to_vec();
    for &(place, byte) in changes {
        let place = if place % 3 == 0 { place % 64 } else { place } % stored.len();
        stored[place] = byte;
    }
    let crc = super::checksum::checksum(at.table, at.offset, &stored);
    stored.extend_from_slice(&crc.to_le_bytes());
    stored
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_of_a_block_make_a_reader_panic(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6), lz4: bool) {
        let (mut dir, table) = sample(if lz4 { Compression::Lz4 } else { Compression::None });
        let at = table.block_ref(1);
        let raw = dir.read(FileName::Table(NUMBER), at.offset, at.len as usize).expect("the file is there");
        let raw = resealed(&raw, at, &changes);
        bytes(&mut dir)[at.offset as usize..at.offset as usize + raw.len()].copy_from_slice(&raw);
        let key = b"\0\0\0\x01\0\0\0\0user000030";
        if let Ok(block) = table.decode_block(at, &raw) {
            let _ = block.layout().find(block.bytes(), key, key_hash(key), Version::MAX);
            let mut cursor = BlockCursor::new(Arc::new(block));
            let mut count = 0;
            while cursor.entry().is_some() {
                cursor.next();
                count += 1;
            }
            prop_assert_eq!(count, cursor.block().entries());
            cursor.seek(key);
        }
        let mut cache = super::BlockCache::new(1 << 20);
        if let Ok(table) = Table::open(&dir, NUMBER, true) {
            let _ = table.get(key, key_hash(key), Version::MAX, &mut cache);
            let _ = table.block(1, &mut cache);
        }
        let _ = Table::verify(&dir, NUMBER);
    }

    #[test]
    fn no_bytes_of_an_index_make_a_search_panic(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let (dir, table) = sample(Compression::None);
        let mut index = bytes(&mut dir.clone())[table.footer.index().in_memory()].to_vec();
        for (place, byte) in changes {
            let place = place % index.len();
            index[place] = byte;
        }
        if let Ok(layout) = IndexLayout::check(&index, table.blocks() as u64, table.footer.data_len.get()) {
            for key in [b"\0\0\0\x01\0\0\0\0user000030".as_slice(), b"", b"zzz"] {
                let found = layout.find(&index, key, Version(5));
                prop_assert!(found.is_none_or(|i| i < layout.blocks()));
                layout.seek(&index, key, Version(5));
            }
        }
    }
}

#[test]
fn a_compressed_block_that_claims_more_than_its_bytes_can_come_to_is_refused() {
    let (dir, table) = sample(Compression::Lz4);
    let at = table.block_ref(0);
    let mut raw = dir.read(FileName::Table(NUMBER), at.offset, at.len as usize).expect("the block is there");
    assert_eq!(raw[0], 1, "the block is compressed");
    let most = (raw.len() as u32 - 12) * 255;
    for (claimed, what) in [(most, "can't be decompressed"), (most + 1, "larger than it can be")] {
        raw[4..8].copy_from_slice(&claimed.to_le_bytes());
        let end = raw.len() - 4;
        let crc = super::checksum::checksum(NUMBER, at.offset, &raw[..end]);
        raw[end..].copy_from_slice(&crc.to_le_bytes());
        let error = table.decode_block(at, &raw).expect_err("no block of the file is so long").to_string();
        assert!(error.contains(what), "{error}");
    }
}
