//! The writer of the log: forms log writes and keeps account of segments. What happens to one once it is
//! closed is in `flight.rs`.
//!
//! It is formed in place, in the buffer that is written. Where a record doesn't fit the segment any
//! more, it goes on in the next segment as another part; its parts are written one after the other
//! and the log write is done with the last. The first part of a segment carries the segment's header in the
//! same write, which is always synced, so that a position that was ever handed out leads to its header.

use super::cut::Cut;
use super::flight::{LogWriteId, Syncing, Tokens, Writing};
use super::format::{PART_HEADER, Previous, SEGMENT_HEADER, record_bytes};
use super::options::LogOptions;
use super::part::{Made, Part, SegmentStart, Tail, padded};
use super::position::{LogPosition, Reached};
use super::record::Record;
use super::segment_job::SegmentJob;
use super::segments::{NextFile, Segment, Segments};
use crate::aligned::AlignedBuf;
use crate::io::{FileName, IoRequest};
use std::collections::VecDeque;

/// So many buffers are kept for reuse.
const BUFFERS_MAX: usize = 2;
const BUFFER_BYTES_MIN: usize = 64 << 10;
const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// The log's writer. Does no I/O itself.
#[derive(Debug)]
pub struct Log {
    pub(super) options: LogOptions,
    pub(super) tokens: Tokens,
    /// Parts of the forming log write; the last one is open.
    pub(super) forming: VecDeque<Part>,
    pub(super) writing: Option<Writing>,
    /// End of the last log write that is done.
    pub(super) written: LogPosition,
    pub(super) durable: LogPosition,
    /// Files written without sync since they were last synced.
    pub(super) dirty: Vec<u64>,
    pub(super) syncing: Option<Syncing>,
    pub(super) failed: bool,
    pub(super) cut: Cut,
    pub(super) last_write: LogWriteId,
    pub(super) forming_bytes: usize,
    pub(super) tail: Tail,
    pub(super) segments: Segments,
    buffers: Vec<AlignedBuf>,
}

impl Log {
    /// The writer at the start of a new segment, whose header is durable and which holds nothing else.
    pub(super) fn new(options: LogOptions, segments: Segments, newest: Segment) -> Log {
        let mut segments = segments;
        segments.push_live(newest);
        let start = LogPosition { segment: newest.generation, offset: SEGMENT_HEADER };
        Log {
            tokens: Tokens::new(newest.generation),
            written: start,
            durable: start,
            tail: Tail::new(&options, newest.generation, newest.file, None),
            ..Log::with(options, segments)
        }
    }

    /// A writer that is nowhere yet.
    fn with(options: LogOptions, segments: Segments) -> Log {
        Log {
            options,
            tokens: Tokens::new(0),
            forming: VecDeque::new(),
            writing: None,
            written: LogPosition::default(),
            durable: LogPosition::default(),
            dirty: Vec::new(),
            syncing: None,
            failed: false,
            cut: Cut::No,
            last_write: LogWriteId(0),
            forming_bytes: 0,
            tail: Tail::new(&options, 0, 0, None),
            segments,
            buffers: Vec::new(),
        }
    }

    /// The writer of a log that ends at `end` and has no room for the next segment, of this generation: one that has
    /// failed, and takes log writes when it is cut.
    pub(super) fn without_room(
        options: LogOptions,
        segments: Segments,
        generation: u64,
        end: LogPosition,
    ) -> Log {
        Log {
            tokens: Tokens::new(generation),
            written: end,
            durable: end,
            failed: true,
            tail: Tail::new(&options, generation - 1, 0, None),
            ..Log::with(options, segments)
        }
    }

    /// Copies a record into the forming log write. A failed log drops it.
    pub fn append(&mut self, record: Record<'_>) {
        let payload = record.payload.len();
        assert!(payload <= PAYLOAD_BYTES_MAX, "payloads are limited to 1 GiB");
        if self.failed {
            return;
        }
        let (direct, segment_bytes) = (self.options.direct, self.options.segment_bytes as usize);
        let fits = |part: &Part| part.end_with(payload, direct) <= segment_bytes;
        if !self.forming.back().is_some_and(fits) {
            self.open_part(payload);
        }
        self.forming.back_mut().expect("there was a part, or one was opened").push(&record);
        self.forming_bytes += record_bytes(payload);
    }

    /// The log write that [`Log::append`] adds to now: what [`Log::write`] will return for it.
    pub fn forming_write(&self) -> LogWriteId {
        LogWriteId(self.last_write.0 + 1)
    }

    /// Bytes of records in the forming log write.
    pub fn forming_bytes(&self) -> usize {
        self.forming_bytes
    }

    /// Closes the forming log write and hands out its request, unless one is in flight or there is nothing to
    /// write. With `sync` the log write, and everything before it, is durable when it is done.
    pub fn write(&mut self, sync: bool, requests: &mut Vec<IoRequest>) -> Option<LogWriteId> {
        if self.failed || self.writing.is_some() || self.forming.is_empty() {
            return None;
        }
        self.close_part();
        self.last_write = self.forming_write();
        self.forming_bytes = 0;
        self.start_writing(sync, requests);
        Some(self.last_write)
    }

    /// The end of what has been written: the next log write starts here, or in the next segment.
    pub fn end(&self) -> LogPosition {
        self.written
    }

    /// The segment that [`Log::end`] lies in. Its header is durable.
    pub fn reached(&self) -> Reached {
        let generation = self.written.segment;
        Reached { generation, file: self.segments.file_of(generation) }
    }

    /// Everything before this position is durable.
    pub fn durable(&self) -> LogPosition {
        self.durable
    }

    /// Bytes that can be written without taking more of the disk: what is left of the newest segment, and spares.
    pub fn room_bytes(&self) -> u64 {
        self.segments.room_bytes(self.end().offset)
    }

    /// Bytes of log files from the oldest segment that wasn't released to the end.
    pub fn live_bytes(&self) -> u64 {
        self.segments.bytes_before_newest() + u64::from(self.tail.offset)
    }

    /// Lets go of every segment that lies wholly before `below`, which the durable manifest says is where
    /// the log starts: each becomes a spare, or is removed.
    pub fn release(&mut self, below: LogPosition, requests: &mut Vec<IoRequest>) {
        let generation = below.segment.min(self.written.segment);
        loop {
            let (writing, syncing) = (&self.writing, &self.syncing);
            let syncs = |file| {
                writing.as_ref().is_some_and(|writing| writing.syncs(file))
                    || syncing.as_ref().is_some_and(|syncing| syncing.files.contains(&file))
            };
            let Some(segment) = self.segments.pop_below(generation, syncs) else { return };
            self.dirty.retain(|&file| file != segment.file);
            if !self.segments.recycle(segment) {
                let token = self.tokens.take();
                requests.push(IoRequest::Unlink { token, file: FileName::Log(segment.file) });
            }
        }
    }

    /// Whether [`Log::prepare_segment`] should be called, so that the next segment is there in time.
    pub fn wants_segment(&self) -> bool {
        !self.failed && self.segments.wants_spare(self.tail.offset)
    }

    /// Whether a spare segment should be there by now, and isn't.
    pub fn lacks_spare(&self) -> bool {
        self.segments.lacks_spare(self.tail.offset)
    }

    /// The job that prepares a segment; its end is told by [`Log::segment_ready`] or
    /// [`Log::segment_failed`].
    pub fn prepare_segment(&mut self) -> SegmentJob {
        SegmentJob::new(self.segments.start_preparing(), self.options.segment_bytes)
    }

    /// Takes the file that a [`SegmentJob`] made.
    pub fn segment_ready(&mut self, file: FileName) {
        self.segments.stop_preparing(Some(file));
    }

    /// A [`SegmentJob`] failed. The log goes on without: it creates the file itself when it needs one.
    pub fn segment_failed(&mut self) {
        self.segments.stop_preparing(None);
    }

    /// Keeps a buffer for the next part.
    pub(super) fn reuse(&mut self, buf: AlignedBuf) {
        if self.buffers.len() < BUFFERS_MAX && buf.capacity() <= self.options.kept_bytes {
            self.buffers.push(buf);
        }
    }

    /// Opens a part for a first record, in the next segment if this one hasn't the room.
    fn open_part(&mut self, payload: usize) {
        self.close_part();
        let end = self.tail.offset as usize + PART_HEADER + record_bytes(payload);
        let fits = padded(end, self.options.direct) <= self.options.segment_bytes as usize;
        if !fits && self.tail.offset > SEGMENT_HEADER {
            self.next_segment();
        }
        let buf = self.buffers.pop().unwrap_or_else(|| AlignedBuf::with_capacity(BUFFER_BYTES_MIN));
        self.forming.push_back(Part::open(&mut self.tail, buf));
    }

    /// Closes the open part, if there is one, and moves the tail behind it.
    fn close_part(&mut self) {
        if let Some(part) = self.forming.back_mut() {
            self.tail.offset = part.close(self.options.direct);
            self.segments.grow(self.tail.offset);
        }
    }

    fn next_segment(&mut self) {
        let next = self.segments.take();
        let Tail { generation, file, offset: end, .. } = self.tail;
        let prepared_bytes = if next.prepared { u64::from(self.options.segment_bytes) } else { 0 };
        let start = SegmentStart {
            previous: Previous { generation, file, end },
            prepared_bytes,
            file: if next.prepared { Made::Yes } else { Made::No },
        };
        let generation = generation + 1;
        let NextFile { file, prepared } = next;
        self.segments.push_live(Segment { generation, file, prepared, bytes: prepared_bytes });
        self.tail = Tail::new(&self.options, generation, file, Some(start));
    }
}
