//! Reads one segment: its parts in order, and what lies behind a bad one.

use super::format::{PART_HEADER, PART_MAGIC, PartHeader, STEP, Seed};
use super::position::LogPosition;
use super::record::Record;
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;

const READ_BYTES: u64 = 2 << 20;

/// A window that moves over a segment's file.
pub(super) struct SegmentReader<'d> {
    dir: &'d dyn Dir,
    file: FileName,
    len: u64,
    generation: u64,
    file_seed: Seed,
    segment_seed: Seed,
    window: Vec<u8>,
    window_start: u64,
}

/// A part that doesn't check out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// Where the part should start.
    pub part: u32,
    /// Where exactly it goes wrong.
    pub offset: u64,
    pub what: String,
}

impl<'d> SegmentReader<'d> {
    pub fn new(dir: &'d dyn Dir, shard_id: [u8; 16], file: u64, len: u64, generation: u64) -> Self {
        let file_seed = Seed::of_file(&shard_id, file);
        SegmentReader {
            dir,
            file: FileName::Log(file),
            // Offsets have 32 bits; nothing of ours lies beyond.
            len: len.min(u32::MAX.into()),
            generation,
            file_seed,
            segment_seed: file_seed.of_segment(generation),
            window: Vec::new(),
            window_start: 0,
        }
    }

    pub fn file(&self) -> FileName {
        self.file
    }

    /// `len` bytes at `offset`, or `None` if the file ends before.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, Error> {
        let end = offset + len as u64;
        if end > self.len {
            return Ok(None);
        }
        if offset < self.window_start || end > self.window_start + self.window.len() as u64 {
            let want = READ_BYTES.max(len as u64).min(self.len - offset);
            self.window = self
                .dir
                .read(self.file, offset, want as usize)
                .map_err(|error| Error::io("read", self.file, self.dir.path(), error))?;
            self.window_start = offset;
        }
        let start = (offset - self.window_start) as usize;
        Ok(Some(&self.window[start..start + len]))
    }

    /// The part at `offset` if it is sound and ends at or before `end`.
    pub fn part(&mut self, offset: u32, end: Option<u32>) -> Result<Result<PartHeader, Bad>, Error> {
        let bad = |at, what: &str| Ok(Err(Bad { part: offset, offset: at, what: what.to_owned() }));
        let (at, generation) = (u64::from(offset), self.generation);
        let (file_seed, segment_seed) = (self.file_seed, self.segment_seed);
        let header = self.bytes(at, PART_HEADER)?.and_then(|bytes| PartHeader::parse(file_seed, at, bytes));
        let Some(part) = header.filter(|part| part.generation == generation) else {
            return bad(at, "there is no sound part header");
        };
        let limit = end.map_or(self.len, u64::from);
        if at + u64::from(part.padded) > limit {
            return bad(at, "a part reaches past the end of its segment");
        }
        let Some(bytes) = self.bytes(at, part.padded as usize)? else {
            return bad(at, "a part reaches past the end of the file");
        };
        Ok(match part.verify(segment_seed, at, bytes) {
            Ok(()) => Ok(part),
            Err((at, what)) => Err(Bad { part: offset, offset: at, what }),
        })
    }

    /// Hands out the records of a part that [`SegmentReader::part`] found sound.
    pub fn visit(
        &mut self,
        offset: u32,
        part: &PartHeader,
        visit: &mut dyn FnMut(Record<'_>, LogPosition) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (file, at, segment, dir) = (self.file, u64::from(offset), self.generation, self.dir);
        let Some(bytes) = self.bytes(at, part.padded as usize)? else { return Ok(()) };
        for record in part.records(bytes) {
            let record = record.map_err(|unknown| unknown.error(file, dir.path(), at))?;
            visit(record, LogPosition { segment, offset })?;
        }
        Ok(())
    }

    /// Calls `found` for every sound part header of any generation in `from..to`, without regard to what
    /// lies between; stops when it answers `false`.
    pub fn scan(
        &mut self,
        from: u32,
        to: Option<u32>,
        found: &mut dyn FnMut(u32, PartHeader) -> bool,
    ) -> Result<(), Error> {
        let end = to.map_or(self.len, u64::from).min(self.len);
        let mut at = u64::from(from).next_multiple_of(STEP as u64);
        while at + PART_HEADER as u64 <= end {
            let len = (end - at).min(READ_BYTES) as usize;
            let file_seed = self.file_seed;
            let Some(bytes) = self.bytes(at, len)? else { return Ok(()) };
            let starts = (0..=len - PART_HEADER).step_by(STEP);
            let mut next = 0;
            for start in starts {
                next = start + STEP;
                if bytes[start..start + 4] != PART_MAGIC.to_le_bytes() {
                    continue;
                }
                let offset = at + start as u64;
                if let Some(part) = PartHeader::parse(file_seed, offset, &bytes[start..])
                    && !found(offset as u32, part)
                {
                    return Ok(());
                }
            }
            at += next as u64;
        }
        Ok(())
    }
}
