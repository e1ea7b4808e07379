//! What the fuzz targets of the protocols share.

#[path = "../../../engine/fuzz/src/bound.rs"]
pub mod bound;

/// Flag of an input of frames: checksums are made right, by what docs/protocol.md says.
pub const SEAL: u8 = 1;
/// Flag of an input of frames: each begins as a frame of this version does.
pub const MAGIC: u8 = 2;

const HEADER: usize = 48;
const CHECKED: u8 = 1;

/// The bytes that an input of frames stands for: a byte of flags, then frames.
pub fn frames(input: &[u8]) -> (u8, Vec<u8>) {
    let (&flags, rest) = input.split_first().unwrap_or((&0, b""));
    let mut bytes = rest.to_vec();
    let mut at = 0;
    while flags & SEAL != 0 && at + HEADER <= bytes.len() {
        if flags & MAGIC != 0 {
            bytes[at..at + 3].copy_from_slice(&[0xb1, b'P', 1]);
        }
        let header = &mut bytes[at..at + HEADER];
        let crc = crc32c::crc32c(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        let key = u16::from_le_bytes([header[10], header[11]]) as usize;
        let value = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let checked = header[4] & CHECKED != 0;
        let (start, end) = (at + HEADER, at + HEADER + key + value);
        at = start + (key + value).next_multiple_of(8);
        if !checked {
            continue;
        }
        if at + 8 <= bytes.len() {
            let crc = crc32c::crc32c(&bytes[start..end]);
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
        at += 8;
    }
    (flags, bytes)
}
