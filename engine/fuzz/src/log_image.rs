//! Log files as an input: `flags u8`, then per file `number u8 | flags u8 | length u16 | bytes`.
//!
//! The first 96 of a file's bytes begin its header block, the others lie behind that block.

use crate::memory_dir::MemoryDir;
use crate::{BLOCK, SHARD, crc, number, put_u32, seal_block, take};
use pinion_engine::io::FileName;

/// Flag of an input: checksums are made right.
pub const SEAL: u8 = 1;
/// Flag of an input: the log is written with O_DIRECT.
pub const DIRECT: u8 = 2;
/// Flag of an input: parts are of the generation that their segment's header says.
pub const SAME_GENERATION: u8 = 4;
/// Flag of an input: the log start lies behind the first part of the oldest file.
pub const LATER_START: u8 = 8;
/// Flag of an input: the manifest heard of the newest segment.
pub const HEARD_OF: u8 = 16;
/// Flag of a file: it is zero-filled to a segment's size.
pub const PREPARED: u8 = 1;
/// Bytes of a segment: the least that is possible.
pub const SEGMENT_BYTES: usize = 4 * BLOCK;

const HEAD: usize = 96;
const PART_HEADER: usize = 40;
const RECORD_HEADER: usize = 32;

/// The directory that an input stands for.
pub fn expand(input: &[u8]) -> (u8, MemoryDir) {
    let (flags, mut rest) = input.split_first().map_or((0, input), |(flags, rest)| (*flags, rest));
    let mut dir = MemoryDir::default();
    while rest.len() >= 4 && dir.files.len() < 4 {
        let head = take(&mut rest, 4);
        let file = u64::from(head[0] % 8);
        let mut body = take(&mut rest, number(head, 2, 2) as usize);
        let mut bytes = take(&mut body, HEAD).to_vec();
        if bytes.len() == HEAD || head[1] & PREPARED != 0 {
            bytes.resize(BLOCK, 0);
        }
        bytes.extend_from_slice(body);
        if head[1] & PREPARED != 0 && bytes.len() < SEGMENT_BYTES {
            bytes.resize(SEGMENT_BYTES, 0);
        }
        if flags & SEAL != 0 {
            seal(file, flags & SAME_GENERATION != 0, &mut bytes);
        }
        dir.files.insert(FileName::Log(file), bytes);
    }
    (flags, dir)
}

/// The input that stands for the log files of a directory.
pub fn compact(flags: u8, dir: &MemoryDir) -> Vec<u8> {
    let mut out = vec![flags];
    for (name, bytes) in &dir.files {
        let FileName::Log(file) = name else { continue };
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| (last + 1).next_multiple_of(8));
        let (head, body) = (&bytes[..HEAD], bytes.get(BLOCK..end).unwrap_or_default());
        out.extend_from_slice(&[*file as u8, PREPARED]);
        out.extend_from_slice(&((HEAD + body.len()) as u16).to_le_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(body);
    }
    out
}

/// Makes the checksums of a segment right.
fn seal(file: u64, same_generation: bool, bytes: &mut [u8]) {
    if bytes.len() < BLOCK {
        return;
    }
    if bytes[..BLOCK].iter().any(|&byte| byte != 0) {
        seal_block(&mut bytes[..BLOCK]);
    }
    let generation: [u8; 8] = bytes[40..48].try_into().expect("8 bytes");
    let file = file.to_le_bytes();
    let mut at = BLOCK;
    while at + PART_HEADER <= bytes.len() {
        if !bytes[at..].starts_with(b"PLpt") {
            at += 8;
            continue;
        }
        if same_generation {
            bytes[at + 8..at + 16].copy_from_slice(&generation);
        }
        let (len, padded) = (number(bytes, at + 32, 4) as usize, number(bytes, at + 36, 4) as usize);
        let header = &bytes[at + 8..at + PART_HEADER];
        let sum = crc(&[&SHARD, &file, &(at as u64).to_le_bytes(), header]);
        put_u32(bytes, at + 4, sum);
        let end = (at + PART_HEADER + len).min(bytes.len());
        let mut record = at + PART_HEADER;
        while record + RECORD_HEADER <= end {
            let payload = number(bytes, record + 4, 4) as usize;
            let next = record + (RECORD_HEADER + payload).next_multiple_of(8);
            let Some(body) = bytes.get(record + 4..next) else { break };
            let sum = crc(&[&SHARD, &file, &generation, &(record as u64).to_le_bytes(), body]);
            put_u32(bytes, record, sum);
            record = next;
        }
        at += if padded >= PART_HEADER && padded % 8 == 0 { padded } else { 8 };
    }
}
