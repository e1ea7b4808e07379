//! What the engine's fuzz targets share.
//!
//! Every format of the engine is checksummed, and no mutation of bytes gets past a checksum. So an input is a compact
//! image of files with a byte of flags in front, one of which asks for the checksums to be made right again after
//! the mutation. [`log_image`], [`manifest_image`] and [`table_image`] do that by what docs/formats says, not by the engine's code: where
//! the two disagree, no seed gets anywhere.

pub mod bound;
pub mod log_image;
pub mod manifest_image;
pub mod memory_dir;
pub mod table_image;

/// The shard that all files belong to.
pub const SHARD: [u8; 16] = [7; 16];

/// Size of a block in all formats, and of the alignment of files.
pub const BLOCK: usize = 4096;

/// The little-endian number of 2, 4 or 8 bytes at an offset; 0 beyond the end.
pub fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let field = bytes.get(at..at.saturating_add(len)).unwrap_or_default();
    field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Writes 4 bytes if they lie inside.
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(field) = bytes.get_mut(at..at.saturating_add(4)) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// CRC-32C over parts, one behind the other.
pub fn crc(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// Seals a block whose bytes 12..16 are its checksum, computed with these as zero.
pub fn seal_block(block: &mut [u8]) {
    put_u32(block, 12, 0);
    let sum = crc(&[block]);
    put_u32(block, 12, sum);
}

/// Takes a part of so many bytes, or what is there of it.
pub fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (part, after) = rest.split_at(len.min(rest.len()));
    *rest = after;
    part
}
