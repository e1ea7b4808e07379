//! A table of arbitrary bytes: opened paged and resident, read by key, scanned, verified, salvaged.
//!
//! Bound on memory: 16 MiB and 1 KiB for each byte of the file; lz4 makes at most 255 bytes of one.
//!
//! - What opens resident opens paged; keys and blocks read the same either way.
//! - What verifies, reads: entries in order, every one of them found by its key, counted as the properties say, and salvaged.
//! - Errors name the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use pinion_engine::table::{BlockCache, BlockCursor, Lookup, Table, key_hash, salvage};
use pinion_engine::{Error, Version};
use pinion_engine_fuzz::memory_dir::MemoryDir;
use pinion_engine_fuzz::table_image::{NUMBER, SALVAGE, expand};
use pinion_engine_fuzz::{BLOCK, bound};

type Found = (Vec<u8>, u64, u64, Vec<u8>);

fuzz_target!(|input: &[u8]| {
    bound::within((16 << 20) + 1024 * (input.len() + BLOCK), || run(input));
});

fn run(input: &[u8]) {
    let dir = expand(input);
    let verified = Table::verify(&dir, NUMBER);
    // Looking for blocks behind damage takes long.
    let is_salvaged = verified.is_ok() || input.first().is_some_and(|flags| flags & SALVAGE != 0);
    let salvaged = if is_salvaged { salvage_all(&dir) } else { Vec::new() };
    let paged = Table::open(&dir, NUMBER, false);
    let resident = Table::open(&dir, NUMBER, true);
    for error in [paged.as_ref().err(), resident.as_ref().err(), verified.as_ref().err()].into_iter().flatten()
    {
        check_error(error);
    }
    let Ok(paged) = paged else {
        assert!(resident.is_err() && verified.is_err(), "it opens resident or verifies, and doesn't open paged");
        return;
    };
    let mut cache = BlockCache::new(1 << 20);
    let scanned = scan(&dir, &paged, &mut cache);
    if let Ok(resident) = &resident {
        let read = scan(&dir, resident, &mut BlockCache::new(1 << 20));
        if let (Ok(scanned), Ok(read)) = (&scanned, &read) {
            assert_eq!(scanned, read, "both residencies hold the same entries");
        }
        same_answers(&dir, &paged, resident, read.as_deref().unwrap_or_default(), input);
        assert_eq!(resident.meta(), paged.meta());
    }
    let Ok(report) = verified else { return };
    let entries = scanned.expect("what verifies can be scanned");
    assert_eq!(report.meta.entries, entries.len() as u64);
    assert!(entries.is_sorted_by(|a, b| (&a.0, b.1) < (&b.0, a.1)), "what verifies is in order");
    for (key, version, expiry, value) in &entries {
        let found = get(&dir, &paged, key, Version(*version), &mut cache).expect("what verifies can be read");
        assert_eq!(found, Some((*version, *expiry, value.clone())), "what verifies is found");
    }
    assert_eq!(salvaged, entries, "what verifies is salvaged whole");
}

fn check_error(error: &Error) {
    let text = error.to_string();
    assert!(text.contains("000007.sst"), "names no file: {text}");
}

/// Reads and decodes block `i` if it isn't there.
fn block(dir: &MemoryDir, table: &Table, i: usize, cache: &mut BlockCache) -> Result<BlockCursor, Error> {
    if let Some(block) = table.block(i, cache)? {
        return Ok(BlockCursor::new(block));
    }
    let at = table.block_ref(i);
    let raw = dir.read(FileName::Table(NUMBER), at.offset, at.len as usize).expect("blocks lie in the file");
    let block = table.decode_block(at, &raw)?;
    Ok(BlockCursor::new(cache.insert(at, block)))
}

fn entries_of(mut cursor: BlockCursor, entries: &mut Vec<Found>) {
    let first = entries.len();
    while let Some(entry) = cursor.entry() {
        let (key, version) = (entry.key.to_vec(), entry.stamp.version());
        entries.push((key, version.0, entry.expiry.0, entry.value.to_vec()));
        cursor.next();
    }
    assert_eq!(
        entries.len() - first,
        cursor.block().entries(),
        "a block that was checked can be read to its end"
    );
}

fn scan(dir: &MemoryDir, table: &Table, cache: &mut BlockCache) -> Result<Vec<Found>, Error> {
    let mut entries = Vec::new();
    for i in 0..table.blocks() {
        entries_of(block(dir, table, i, cache)?, &mut entries);
    }
    Ok(entries)
}

fn salvage_all(dir: &MemoryDir) -> Vec<Found> {
    let mut entries = Vec::new();
    let report = salvage(dir, NUMBER, &mut |block| {
        entries_of(BlockCursor::new(block), &mut entries);
        Ok(())
    });
    report.expect("salvaging fails only where reading does");
    entries
}

fn get(
    dir: &MemoryDir,
    table: &Table,
    key: &[u8],
    at: Version,
    cache: &mut BlockCache,
) -> Result<Option<(u64, u64, Vec<u8>)>, Error> {
    for _ in 0..2 {
        match table.get(key, key_hash(key), at, cache)? {
            Lookup::Absent => return Ok(None),
            Lookup::Found(found) => {
                return Ok(Some((found.stamp.version().0, found.expiry.0, found.value.to_vec())));
            }
            Lookup::NeedsRead(at) => {
                let raw =
                    dir.read(FileName::Table(NUMBER), at.offset, at.len as usize).expect("it lies inside");
                cache.insert(at, table.decode_block(at, &raw)?);
            }
        }
    }
    panic!("a block that was just read must be read again");
}

/// Asks for keys that are there and for keys made of the input.
fn same_answers(dir: &MemoryDir, paged: &Table, resident: &Table, entries: &[Found], input: &[u8]) {
    let (mut one, mut other) = (BlockCache::new(1 << 20), BlockCache::new(1 << 20));
    let there = entries.iter().map(|(key, version, ..)| (key.as_slice(), Version(*version)));
    let guessed = input.chunks(9).take(20).map(|key| (key, Version(u64::from(key[0]))));
    for (key, at) in there.chain(guessed) {
        let (a, b) = (get(dir, paged, key, at, &mut one), get(dir, resident, key, at, &mut other));
        if let (Ok(a), Ok(b)) = (&a, &b) {
            assert_eq!(a, b, "both residencies answer the same");
        }
        if let Some(i) = paged.find_block_at(key, at) {
            assert_eq!(resident.find_block_at(key, at), Some(i));
            if let Ok(mut cursor) = block(dir, paged, i, &mut one) {
                cursor.seek_at(key, at);
                let _ = cursor.entry();
            }
        }
    }
}
