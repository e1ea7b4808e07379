//! Makes a zero-filled file for a segment to come.
//!
//! Zero-filled means that a later part only overwrites blocks that exist: its fdatasync has no metadata
//! to write, which halves its cost. The file counts as a spare only when it and its name are durable. One
//! that couldn't be finished is removed, so that a full disk isn't filled further by every attempt.

use crate::aligned::{ALIGN, AlignedBuf};
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use crate::job::{Job, JobKind, JobOutput, JobStep};
use crate::{Error, error};

const CHUNK_BYTES: u64 = 256 << 10;
const WRITES_MAX: usize = 2;

/// The job: create, fill in chunks, sync, sync the directory.
#[derive(Debug)]
pub struct SegmentJob {
    file: FileName,
    bytes: u64,
    written: u64,
    stage: Stage,
    in_flight: usize,
    buffers: Vec<AlignedBuf>,
    failed: Option<error::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Create,
    Fill,
    Sync,
    SyncDir,
    Remove,
    Done,
}

impl SegmentJob {
    pub(super) fn new(number: u64, bytes: u32) -> SegmentJob {
        SegmentJob {
            file: FileName::Log(number),
            bytes: bytes.into(),
            written: 0,
            stage: Stage::Create,
            in_flight: 0,
            buffers: Vec::new(),
            failed: None,
        }
    }

    /// The file it makes.
    pub fn file(&self) -> FileName {
        self.file
    }

    fn take(&mut self, completion: IoCompletion) {
        self.in_flight -= 1;
        match completion.result {
            Ok(IoOutput::Written(buf)) => self.buffers.push(buf),
            Ok(_) => {}
            Err(source) => {
                let failure = Error::io("prepare", self.file, "the shard's directory", source);
                self.failed.get_or_insert(failure);
            }
        }
    }

    fn request(&mut self, requests: &mut Vec<IoRequest>, request: IoRequest) {
        self.in_flight += 1;
        requests.push(request);
    }

    fn fill(&mut self, requests: &mut Vec<IoRequest>, budget: &mut u64) {
        while self.written < self.bytes && self.in_flight < WRITES_MAX && *budget > 0 {
            let len = CHUNK_BYTES.min(self.bytes - self.written);
            let mut data = self.buffers.pop().unwrap_or_else(|| AlignedBuf::zeroed(CHUNK_BYTES as usize));
            data.truncate(len as usize);
            let (offset, file) = (self.written, self.file);
            self.written += len;
            *budget = budget.saturating_sub(len);
            self.request(
                requests,
                IoRequest::Write { token: Token(offset), file, offset, data, sync: false },
            );
        }
    }
}

impl Job for SegmentJob {
    fn kind(&self) -> JobKind {
        JobKind::Segment
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep {
        for completion in completions.drain(..) {
            self.take(completion);
        }
        if self.failed.is_some() && self.in_flight == 0 {
            if matches!(self.stage, Stage::Remove | Stage::Done) {
                return JobStep::Done(self.failed.take().map_or(Ok(JobOutput::Nothing), Err));
            }
            self.stage = Stage::Remove;
            self.request(requests, IoRequest::Unlink { token: Token(u64::MAX), file: self.file });
        }
        if self.failed.is_some() || (self.in_flight > 0 && self.stage != Stage::Fill) {
            return JobStep::Waiting;
        }
        let (token, file) = (Token(u64::MAX), self.file);
        match self.stage {
            Stage::Create => {
                self.request(requests, IoRequest::Create { token, file });
                self.stage = Stage::Fill;
            }
            Stage::Fill if self.written == self.bytes && self.in_flight == 0 => {
                self.request(requests, IoRequest::Sync { token, file });
                self.stage = Stage::Sync;
            }
            Stage::Fill => {
                let mut budget = budget_bytes.max(ALIGN) as u64;
                self.fill(requests, &mut budget);
                if budget == 0 && self.in_flight < WRITES_MAX && self.written < self.bytes {
                    return JobStep::More;
                }
            }
            Stage::Sync => {
                self.request(requests, IoRequest::SyncDir { token });
                self.stage = Stage::SyncDir;
            }
            Stage::SyncDir => self.stage = Stage::Done,
            Stage::Remove | Stage::Done => {}
        }
        if self.stage == Stage::Done { JobStep::Done(Ok(JobOutput::Segment(file))) } else { JobStep::Waiting }
    }
}
