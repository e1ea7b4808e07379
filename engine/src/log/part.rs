//! A part: what a log write puts into one segment, with one request.

use super::format::{PART_HEADER, PartHeader, Previous, SEGMENT_HEADER, STEP, Seed, SegmentHeader};
use super::format::{encode_record, record_bytes};
use super::options::LogOptions;
use super::position::LogPosition;
use super::record::Record;
use crate::aligned::{ALIGN, AlignedBuf};

/// Where the next part starts.
#[derive(Debug)]
pub(super) struct Tail {
    pub generation: u64,
    pub file: u64,
    pub offset: u32,
    /// Set until a part took it on: the segment's header is still to be written.
    pub start: Option<SegmentStart>,
    file_seed: Seed,
    segment_seed: Seed,
}

impl Tail {
    pub fn new(options: &LogOptions, generation: u64, file: u64, start: Option<SegmentStart>) -> Tail {
        let file_seed = Seed::of_file(&options.shard_id, file);
        let segment_seed = file_seed.of_segment(generation);
        Tail { generation, file, offset: SEGMENT_HEADER, start, file_seed, segment_seed }
    }
}

/// What the first part of a segment needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentStart {
    pub previous: Previous,
    pub prepared_bytes: u64,
    pub file: Made,
}

/// How far a file has come into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Still to be created.
    No,
    /// Created, its name not yet durable.
    Unsynced,
    /// There, for good.
    Yes,
}

/// A part: formed in the buffer that is written, at the offset it will have.
#[derive(Debug)]
pub(super) struct Part {
    pub generation: u64,
    pub file: u64,
    /// File offset of the buffer's first byte.
    pub offset: u32,
    pub start: Option<SegmentStart>,
    /// Where the part starts in the buffer: after the segment's header, if that goes with it.
    part_at: usize,
    records: u32,
    records_end: usize,
    /// File offset after the padding, once closed.
    pub end: u32,
    /// Gone while it is being written.
    buf: Option<AlignedBuf>,
    file_seed: Seed,
    segment_seed: Seed,
}

impl Part {
    /// An empty part at the tail, in a buffer whose content doesn't matter.
    pub fn open(tail: &mut Tail, mut buf: AlignedBuf) -> Part {
        let start = tail.start.take();
        let part_at = if start.is_some() { SEGMENT_HEADER as usize } else { 0 };
        buf.clear();
        buf.resize(part_at + PART_HEADER);
        Part {
            generation: tail.generation,
            file: tail.file,
            offset: tail.offset - offset_of(part_at),
            start,
            part_at,
            records: 0,
            records_end: buf.len(),
            end: tail.offset,
            buf: Some(buf),
            file_seed: tail.file_seed,
            segment_seed: tail.segment_seed,
        }
    }

    /// Where the file's log would end if another record with such a payload were added.
    pub fn end_with(&self, payload: usize, direct: bool) -> usize {
        padded(self.offset as usize + self.records_end + record_bytes(payload), direct)
    }

    pub fn push(&mut self, record: &Record<'_>) {
        let buf = self.buf.as_mut().expect("a part that is formed has its buffer");
        encode_record(record, self.segment_seed, u64::from(self.offset) + buf.len() as u64, buf);
        self.records += 1;
        self.records_end = buf.len();
    }

    /// Bytes of records.
    pub fn record_bytes(&self) -> usize {
        self.records_end - self.part_at - PART_HEADER
    }

    /// Pads the part; returns the file offset it ends at.
    pub fn close(&mut self, direct: bool) -> u32 {
        let buf = self.buf.as_mut().expect("a part that is formed has its buffer");
        buf.resize(padded(self.records_end, direct));
        self.end = self.offset + offset_of(buf.len());
        self.end
    }

    /// Writes the headers and hands out the bytes of a closed part, everything before `durable` being so. Where they are
    /// the first in a page of the page cache they are followed by zeros to its end: to write a part of a page that isn't
    /// cached the kernel reads it first, and a busy device lets the writer wait for that. The next part overwrites them.
    pub fn seal(&mut self, options: &LogOptions, durable: LogPosition) -> AlignedBuf {
        let mut buf = self.buf.take().expect("a part is sealed once, after it was closed");
        let part = PartHeader {
            generation: self.generation,
            durable,
            records: self.records,
            len: offset_of(self.record_bytes()),
            padded: offset_of(buf.len() - self.part_at),
        };
        let part_offset = u64::from(self.offset) + self.part_at as u64;
        debug_assert!(
            durable <= LogPosition { segment: self.generation, offset: offset_of(part_offset as usize) }
        );
        part.encode(self.file_seed, part_offset, &mut buf[self.part_at..]);
        if let Some(SegmentStart { previous, prepared_bytes, .. }) = self.start {
            let (file, generation) = (self.file, self.generation);
            let shard_id = options.shard_id;
            let header = SegmentHeader { shard_id, file, generation, previous, prepared_bytes, durable };
            header.encode(&mut buf[..SEGMENT_HEADER as usize]);
        }
        let (page, end) = ((self.end as usize).next_multiple_of(ALIGN), self.end as usize);
        if self.offset as usize + ALIGN <= page && page <= options.segment_bytes as usize {
            buf.resize(buf.len() + page - end);
        }
        buf
    }
}

/// Where a part that has records up to `end` ends. Works on file offsets and on buffers alike: both
/// start at a multiple.
pub(super) fn padded(end: usize, direct: bool) -> usize {
    end.next_multiple_of(if direct { ALIGN } else { STEP })
}

/// An offset in a segment's file.
pub(super) fn offset_of(len: usize) -> u32 {
    u32::try_from(len).expect("segments stay below 4 GiB: nominal sizes do, and a record is at most 1 GiB")
}
