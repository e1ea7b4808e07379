//! A table as an input: `flags u8 | bytes`. The last 96 bytes are the footer; zeros before it make the file's length a multiple of 4096.

use crate::memory_dir::MemoryDir;
use crate::{BLOCK, crc, number, put_u32};
use pinion_engine::io::FileName;

/// Flag of an input: checksums are made right.
pub const SEAL: u8 = 1;
/// Flag of an input: the table is salvaged even if it doesn't verify.
pub const SALVAGE: u8 = 2;
/// The number of the table.
pub const NUMBER: u64 = 7;

const FOOTER: usize = 96;
const FANOUT: usize = 32;

/// The directory that an input stands for.
pub fn expand(input: &[u8]) -> MemoryDir {
    let (flags, rest) = input.split_first().map_or((0, input), |(flags, rest)| (*flags, rest));
    let (body, footer) = rest.split_at(rest.len().saturating_sub(FOOTER));
    let mut bytes = body.to_vec();
    bytes.resize((body.len() + FOOTER).next_multiple_of(BLOCK) - FOOTER, 0);
    bytes.extend_from_slice(footer);
    if flags & SEAL != 0 && footer.len() == FOOTER {
        seal(&mut bytes);
    }
    MemoryDir { files: [(FileName::Table(NUMBER), bytes)].into() }
}

/// The input that stands for a table's file.
pub fn compact(flags: u8, bytes: &[u8]) -> Vec<u8> {
    let (body, footer) = bytes.split_at(bytes.len() - FOOTER);
    let end = number(footer, 56, 8) + number(footer, 64, 4);
    [&[flags], &body[..end as usize], footer].concat()
}

/// Makes the checksums of blocks, parts and footer right, as far as they can be found.
fn seal(bytes: &mut [u8]) {
    let at = bytes.len() - FOOTER;
    let footer = bytes[at..].to_vec();
    let field = |offset| usize::try_from(number(&footer, offset, 8)).unwrap_or(usize::MAX);
    let (index, index_len) = (field(24), field(32));
    seal_blocks(bytes, field(16), index, index_len);
    let parts = [
        (index, index_len, 68),
        (field(40), field(48), 72),
        (field(56), number(&footer, 64, 4) as usize, 76),
    ];
    for (offset, len, place) in parts {
        if let Some(part) = bytes.get(offset..offset.saturating_add(len)) {
            let sum = checksum(offset, part);
            put_u32(bytes, at + place, sum);
        }
    }
    let own = number(&footer, 0, 8).to_le_bytes();
    let sum = crc(&[&own, &(at as u64).to_le_bytes(), &bytes[at..at + 84]]);
    put_u32(bytes, at + 84, sum);
}

fn seal_blocks(bytes: &mut [u8], blocks: usize, index: usize, index_len: usize) {
    // Nodes above the leaves come first in the index.
    let (mut above, mut nodes) = (0, blocks.div_ceil(FANOUT));
    while nodes > 1 {
        nodes = nodes.div_ceil(FANOUT);
        above += nodes * FANOUT;
    }
    let mut start = 0;
    for block in 0..blocks.min(index_len / 8) {
        let word = above + block / FANOUT * 2 * FANOUT + FANOUT + block % FANOUT;
        let end = number(bytes, index.saturating_add(8 * word), 8) as usize;
        let Some(stored) = end.checked_sub(4).and_then(|end| bytes.get(start..end)) else { return };
        let sum = checksum(start, stored);
        put_u32(bytes, end - 4, sum);
        start = end;
    }
}

fn checksum(offset: usize, bytes: &[u8]) -> u32 {
    crc(&[&NUMBER.to_le_bytes(), &(offset as u64).to_le_bytes(), bytes])
}
