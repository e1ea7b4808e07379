//! Blocks as they are stored: with a checksum behind them, and packed.

use super::block::{LZ4, LZ4_HEADER};

/// Length of the checksum behind a block.
pub(super) const CRC: usize = 4;
/// No block is longer when decompressed: the largest key and value, with room.
pub(super) const BLOCK_BYTES_MAX: usize = 64 << 20;
/// A byte of lz4 stands for no more bytes than it can add to a length.
const LZ4_RATIO_MAX: usize = 255;

/// What is said of a block whose parts contradict each other.
pub(super) const MALFORMED: &str = "a block contradicts itself";

/// A block without its checksum, decompressed if it must be. Believes no length that the bytes can't come to.
pub(super) fn decompressed(stored: &[u8]) -> Result<Box<[u8]>, &'static str> {
    let Some((&[LZ4, 0, 0, 0, len @ ..], packed)) = stored.split_first_chunk::<LZ4_HEADER>() else {
        return Ok(stored.into());
    };
    let len = u32::from_le_bytes(len) as usize;
    if len > BLOCK_BYTES_MAX.min(packed.len() * LZ4_RATIO_MAX) {
        return Err("a block claims to be larger than it can be");
    }
    let mut raw = vec![0; len];
    match lz4_flex::block::decompress_into(packed, &mut raw) {
        Ok(written) if written == len => Ok(raw.into()),
        _ => Err("a block can't be decompressed"),
    }
}
