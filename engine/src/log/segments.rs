//! Which files the log's segments lie in: the live ones, and spares ready for their next life.

use crate::io::FileName;
use std::collections::VecDeque;

/// At most so many files wait for reuse; more are removed.
pub(super) const SPARES_MAX: usize = 2;

/// A live segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub generation: u64,
    pub file: u64,
    /// The file was zero-filled to the nominal size.
    pub prepared: bool,
    /// Length of the file, as far as known.
    pub bytes: u64,
}

/// A file for the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextFile {
    pub file: u64,
    /// Zero-filled; otherwise it is still to be created.
    pub prepared: bool,
}

/// Live segments, spares, and the numbers of files to come.
#[derive(Debug)]
pub(super) struct Segments {
    /// Oldest first; the last one takes new parts.
    live: VecDeque<Segment>,
    spares: Vec<u64>,
    preparing: bool,
    next_file: u64,
    segment_bytes: u64,
}

impl Segments {
    pub fn new(segment_bytes: u32, next_file: u64, live: VecDeque<Segment>, spares: Vec<u64>) -> Segments {
        Segments { live, spares, preparing: false, next_file, segment_bytes: segment_bytes.into() }
    }

    /// A number no log file has or had since the log was opened.
    pub fn number(&mut self) -> u64 {
        let number = self.next_file;
        self.next_file += 1;
        number
    }

    /// The file for the next segment: a spare, or a new number.
    pub fn take(&mut self) -> NextFile {
        match self.spares.pop() {
            Some(file) => NextFile { file, prepared: true },
            None => NextFile { file: self.number(), prepared: false },
        }
    }

    /// The live segments, oldest first.
    pub fn live(&self) -> impl Iterator<Item = Segment> {
        self.live.iter().copied()
    }

    pub fn push_live(&mut self, segment: Segment) {
        self.live.push_back(segment);
    }

    /// Notes that the newest segment's file reaches at least to `end`.
    pub fn grow(&mut self, end: u32) {
        if let Some(segment) = self.live.back_mut() {
            segment.bytes = segment.bytes.max(end.into());
        }
    }

    /// File bytes of all segments before the newest.
    pub fn bytes_before_newest(&self) -> u64 {
        self.live.iter().rev().skip(1).map(|segment| segment.bytes).sum()
    }

    /// Takes the oldest segment out if it lies wholly below `generation`; `busy` files stay. The newest one
    /// always stays.
    pub fn pop_below(&mut self, generation: u64, busy: impl Fn(u64) -> bool) -> Option<Segment> {
        let oldest = self.live.front()?;
        if self.live.len() == 1 || oldest.generation >= generation || busy(oldest.file) {
            return None;
        }
        self.live.pop_front()
    }

    /// The file of a live segment; 0 if there is none, which no file's number is.
    pub fn file_of(&self, generation: u64) -> u64 {
        self.live.iter().find(|segment| segment.generation == generation).map_or(0, |segment| segment.file)
    }

    /// Takes out the segments behind `generation`, where the log is cut after a failure. Neither they nor the
    /// one that is cut are used again: their files may be what fails.
    pub fn cut(&mut self, generation: u64) -> Vec<Segment> {
        if let Some(last) = self.live.iter_mut().find(|segment| segment.generation == generation) {
            last.prepared = false;
        }
        let kept = self.live.partition_point(|segment| segment.generation <= generation);
        self.live.drain(kept..).collect()
    }

    /// Keeps a released file as a spare; `false` if it is to be removed instead.
    pub fn recycle(&mut self, segment: Segment) -> bool {
        let room = self.spares.len() + usize::from(self.preparing) < SPARES_MAX;
        let keep = room && segment.prepared && segment.bytes == self.segment_bytes;
        if keep {
            self.spares.push(segment.file);
        }
        keep
    }

    /// Whether a spare should be prepared, the newest segment being filled up to `offset`: in time, and at once
    /// where that one wasn't prepared itself.
    pub fn wants_spare(&self, offset: u32) -> bool {
        self.lacks_spare(offset) && !self.preparing
    }

    /// Whether there should be a spare by now, and is none.
    pub fn lacks_spare(&self, offset: u32) -> bool {
        let is_bare = self.live.back().is_some_and(|segment| segment.bytes < self.segment_bytes);
        let is_due = is_bare || u64::from(offset) >= self.segment_bytes / 4;
        self.spares.is_empty() && is_due
    }

    /// Bytes that can be written without taking more of the disk, the newest segment being filled up to `offset`.
    pub fn room_bytes(&self, offset: u32) -> u64 {
        let newest = self.live.back().filter(|segment| segment.prepared);
        let left = newest.map_or(0, |segment| segment.bytes.saturating_sub(offset.into()));
        left + self.spares.len() as u64 * self.segment_bytes
    }

    pub fn start_preparing(&mut self) -> u64 {
        self.preparing = true;
        self.number()
    }

    pub fn stop_preparing(&mut self, made: Option<FileName>) {
        self.preparing = false;
        self.spares.extend(made.map(FileName::number));
    }
}
