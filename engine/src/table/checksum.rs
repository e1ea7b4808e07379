//! The checksum of every part of a table: CRC-32C over the file's number, the part's offset, and its bytes, so
//! that good bytes in a wrong place are as wrong as bad ones.

/// The checksum of `bytes` that lie at `offset` of table `number`.
pub(super) fn checksum(number: u64, offset: u64, bytes: &[u8]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&number.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), bytes)
}
