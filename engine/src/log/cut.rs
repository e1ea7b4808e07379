//! After a failed write or sync: the log is cut where its last whole log write ended, and goes on behind the cut.
//!
//! The cut is made as every opening makes it: a segment of a new generation, whose header says where its
//! predecessor ended. Once that header is durable nothing of the failed log write is ever read again, whatever
//! became of it; until then a crash may bring it back. Every attempt takes a generation and a file of its
//! own, so one that failed, though its header may have arrived, says the same as the next.
//!
//! What was written without sync before the cut is in doubt after a failed sync, and stays so: the header
//! claims no more than was durable. So the log takes log writes again only when its owner says that nothing
//! depends on that stretch ([`Log::resume`]).

use super::flight::LogEvent;
use super::format::{Previous, SEGMENT_HEADER, SegmentHeader};
use super::part::{Made, Tail};
use super::position::LogPosition;
use super::segments::Segment;
use super::writer::Log;
use crate::aligned::AlignedBuf;
use crate::io::{FileName, IoOutput, IoRequest, Token};
use std::io;

/// How far a failed log is from taking log writes again.
#[derive(Debug, Default)]
pub(super) enum Cut {
    /// Not begun, or an attempt failed.
    #[default]
    No,
    /// The new segment is being made.
    Making(Making),
    /// The new segment's header is durable.
    Made,
}

/// A new segment in the making: its file, the file's name, its header.
#[derive(Debug)]
pub(super) struct Making {
    segment: Segment,
    file: Made,
    token: Token,
}

impl Making {
    /// Whether this is the token of the request in flight.
    pub fn waits_for(&self, token: Token) -> bool {
        self.token == token
    }
}

impl Log {
    /// Begins to cut a failed log behind its last whole log write, as soon as none of its requests is in flight
    /// any more; says whether it did. [`LogEvent::Cut`] follows, or [`LogEvent::Failed`]: then it can be
    /// tried again.
    pub fn cut(&mut self, requests: &mut Vec<IoRequest>) -> bool {
        if !self.failed || !matches!(self.cut, Cut::No) || self.tokens.in_flight() > 0 {
            return false;
        }
        let next = self.segments.take();
        let generation = self.tail.generation + 1;
        self.tail = Tail::new(&self.options, generation, next.file, None);
        let bytes = if next.prepared { u64::from(self.options.segment_bytes) } else { 0 };
        let segment = Segment { generation, file: next.file, prepared: next.prepared, bytes };
        let file = if next.prepared { Made::Yes } else { Made::No };
        self.make(Making { segment, file, token: Token(0) }, requests);
        true
    }

    /// Whether the log is cut: [`Log::resume`] is all it waits for.
    pub fn is_cut(&self) -> bool {
        matches!(self.cut, Cut::Made)
    }

    /// Takes log writes again after a cut. Only when all that was written before it is durable, or is needed
    /// by nobody because the durable manifest starts the log at the cut: later ones say so.
    pub fn resume(&mut self) {
        if self.is_cut() {
            (self.failed, self.cut) = (false, Cut::No);
            self.durable = self.written;
        }
    }

    /// Asks for the next step.
    fn make(&mut self, mut making: Making, requests: &mut Vec<IoRequest>) {
        let token = self.tokens.take();
        making.token = token;
        let file = FileName::Log(making.segment.file);
        requests.push(match making.file {
            Made::No => IoRequest::Create { token, file },
            Made::Unsynced => IoRequest::SyncDir { token },
            Made::Yes => {
                let data = self.cut_header(&making.segment);
                IoRequest::Write { token, file, offset: 0, data, sync: true }
            }
        });
        self.cut = Cut::Making(making);
    }

    fn cut_header(&self, segment: &Segment) -> AlignedBuf {
        let LogPosition { segment: generation, offset: end } = self.written;
        let file = self.segments.file_of(generation);
        let header = SegmentHeader {
            shard_id: self.options.shard_id,
            file: segment.file,
            generation: segment.generation,
            previous: Previous { generation, file, end },
            prepared_bytes: segment.bytes,
            durable: self.durable.min(self.written),
        };
        let mut block = AlignedBuf::zeroed(SEGMENT_HEADER as usize);
        header.encode(&mut block);
        block
    }

    /// Takes the end of a step of the cut.
    pub(super) fn complete_cut(
        &mut self,
        result: io::Result<IoOutput>,
        requests: &mut Vec<IoRequest>,
    ) -> LogEvent {
        let Cut::Making(making) = std::mem::take(&mut self.cut) else { return LogEvent::Other };
        if let Err(error) = result {
            // It isn't needed, and the next attempt may do without a file that can't be written.
            let (token, file) = (self.tokens.take(), FileName::Log(making.segment.file));
            requests.push(IoRequest::Unlink { token, file });
            return LogEvent::Failed(None, error);
        }
        match making.file {
            Made::No => self.make(Making { file: Made::Unsynced, ..making }, requests),
            Made::Unsynced => self.make(Making { file: Made::Yes, ..making }, requests),
            Made::Yes => return self.cut_done(making.segment, requests),
        }
        LogEvent::Other
    }

    /// The new segment takes the place of all that the failed log write touched.
    fn cut_done(&mut self, segment: Segment, requests: &mut Vec<IoRequest>) -> LogEvent {
        for abandoned in self.segments.cut(self.written.segment) {
            let token = self.tokens.take();
            requests.push(IoRequest::Unlink { token, file: FileName::Log(abandoned.file) });
        }
        self.segments.push_live(segment);
        self.written = LogPosition { segment: segment.generation, offset: SEGMENT_HEADER };
        self.cut = Cut::Made;
        LogEvent::Cut(self.written)
    }
}
