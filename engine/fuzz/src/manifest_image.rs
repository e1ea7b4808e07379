//! Manifest files as an input: `flags u8`, then per file `number u8 | chunks u8`, and per chunk `length u16 | bytes`.
//!
//! A chunk is padded to whole blocks: the first is the file's header, each other one a record.

use crate::memory_dir::MemoryDir;
use crate::{BLOCK, SHARD, crc, number, put_u32, seal_block, take};
use pinion_engine::io::FileName;

/// Flag of an input: checksums are made right.
pub const SEAL: u8 = 1;
/// Flag of an input: lengths in records are made those of their chunks.
pub const FIT: u8 = 2;
/// Flag of a file, in its number: it is a temporary one.
pub const TEMP: u8 = 0x80;

const RECORD_HEADER: usize = 32;

/// The directory that an input stands for.
pub fn expand(input: &[u8]) -> MemoryDir {
    let (flags, mut rest) = input.split_first().map_or((0, input), |(flags, rest)| (*flags, rest));
    let mut dir = MemoryDir::default();
    while rest.len() >= 2 && dir.files.len() < 4 {
        let head = take(&mut rest, 2);
        let file = u64::from(head[0] % 8);
        let mut bytes = Vec::new();
        for chunk in 0..head[1] % 16 {
            let len = take(&mut rest, 2);
            let body = take(&mut rest, number(len, 0, 2) as usize);
            let start = bytes.len();
            bytes.extend_from_slice(body);
            bytes.resize((start + body.len()).next_multiple_of(BLOCK), 0);
            match chunk {
                0 if flags & SEAL != 0 => seal_block(&mut bytes[start..]),
                0 => {}
                _ => seal(flags, file, body.len(), start, &mut bytes),
            }
        }
        let name = if head[0] & TEMP != 0 { FileName::ManifestTemp } else { FileName::Manifest };
        dir.files.insert(name(file), bytes);
    }
    dir
}

/// The input that stands for a manifest.
pub fn compact(flags: u8, dir: &MemoryDir) -> Vec<u8> {
    let mut out = vec![flags];
    for (name, bytes) in &dir.files {
        let FileName::Manifest(file) = name else { continue };
        let mut chunks: Vec<&[u8]> = vec![&bytes[..48]];
        let mut at = BLOCK;
        while at < bytes.len() {
            let len = RECORD_HEADER + number(bytes, at + 16, 4) as usize;
            chunks.push(&bytes[at..at + len]);
            at += len.next_multiple_of(BLOCK);
        }
        out.extend_from_slice(&[*file as u8, chunks.len() as u8]);
        for chunk in chunks {
            out.extend_from_slice(&(chunk.len() as u16).to_le_bytes());
            out.extend_from_slice(chunk);
        }
    }
    out
}

fn seal(flags: u8, file: u64, len: usize, start: usize, bytes: &mut [u8]) {
    if flags & FIT != 0 {
        put_u32(bytes, start + 16, len.saturating_sub(RECORD_HEADER) as u32);
        let padded = bytes.len() - start;
        put_u32(bytes, start + 20, padded as u32);
    }
    let padded = number(bytes, start + 20, 4) as usize;
    if flags & SEAL == 0 {
        return;
    }
    if let Some(body) = bytes.get(start + 8..start.saturating_add(padded)) {
        let sum = crc(&[&SHARD, &file.to_le_bytes(), &(start as u64).to_le_bytes(), body]);
        put_u32(bytes, start + 4, sum);
    }
}
