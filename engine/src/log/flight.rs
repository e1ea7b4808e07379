//! A log write in flight, and syncs: what the log has asked for and what the completions mean.

use super::cut::Cut;
use super::part::{Made, Part};
use super::position::LogPosition;
use super::writer::Log;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;

/// Numbers the log writes of an open log, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogWriteId(pub u64);

/// What a completion meant.
#[derive(Debug)]
pub enum LogEvent {
    /// A log write is done, and durable if it was written with `sync`; it ends at this position.
    Written(LogWriteId, LogPosition),
    /// A write or sync failed: the log write in flight, if there was one, may or may not be in the log, and
    /// the log takes no more until it is cut and resumed. Or a cut failed.
    Failed(Option<LogWriteId>, io::Error),
    /// [`Log::cut`] is done: the log goes on at this position, and what failed is never read again.
    Cut(LogPosition),
    /// [`Log::sync`] is done: everything before this position is durable.
    Synced(LogPosition),
    /// Nothing that concerns the caller.
    Other,
}

/// A log write in flight.
#[derive(Debug)]
pub(super) struct Writing {
    id: LogWriteId,
    sync: bool,
    parts: VecDeque<Part>,
    /// Requests of the first part in flight, of those with these tokens.
    outstanding: usize,
    tokens: Range<u64>,
    /// Other files that are synced beside it.
    files: Vec<u64>,
}

impl Writing {
    /// Whether a sync of this file is in flight as part of it.
    pub fn syncs(&self, file: u64) -> bool {
        self.files.contains(&file)
    }
}

/// A round of syncs in flight.
#[derive(Debug)]
pub(super) struct Syncing {
    pub files: Vec<u64>,
    outstanding: usize,
    tokens: Range<u64>,
    target: LogPosition,
}

/// Hands out tokens: `0x01`, the opening's number (16 bits, so that late completions of an earlier opening
/// aren't taken for ours), a sequence (40 bits).
#[derive(Debug)]
pub(super) struct Tokens {
    next: u64,
    /// Those whose requests haven't completed.
    in_flight: u64,
}

impl Tokens {
    const TOP: u64 = 0x01;

    pub fn new(generation: u64) -> Tokens {
        let opening = generation >> 32 & 0xffff;
        Tokens { next: Tokens::TOP << 56 | opening << 40, in_flight: 0 }
    }

    pub fn take(&mut self) -> Token {
        self.next += 1;
        self.in_flight += 1;
        Token(self.next)
    }

    /// How many requests haven't completed.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Takes note of a completion; `false` if it is one of an earlier opening.
    fn give_back(&mut self, token: u64) -> bool {
        let is_ours = token >> 40 == self.next >> 40;
        self.in_flight -= u64::from(is_ours && self.in_flight > 0);
        is_ours
    }

    /// From the token taken next.
    fn mark(&self) -> u64 {
        self.next + 1
    }
}

impl Log {
    /// Whether a log write is in flight.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether a round of [`Log::sync`] is in flight.
    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// Whether a write or a sync failed. Such a log takes nothing until it is cut ([`Log::cut`]) and resumed, or
    /// recovered again, which must wait until all its requests have completed.
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// Whether the completion of this token is for [`Log::complete`].
    pub fn owns(&self, token: Token) -> bool {
        token.0 >> 56 == Tokens::TOP
    }

    /// Syncs what was written without `sync` so far; [`LogEvent::Synced`] follows. Does nothing, and says
    /// so with `false`, if there is nothing to sync or a round is in flight.
    pub fn sync(&mut self, requests: &mut Vec<IoRequest>) -> bool {
        if self.failed || self.syncing.is_some() || self.dirty.is_empty() {
            return false;
        }
        let files = std::mem::take(&mut self.dirty);
        let from = self.tokens.mark();
        for &file in &files {
            requests.push(IoRequest::Sync { token: self.tokens.take(), file: FileName::Log(file) });
        }
        let tokens = from..self.tokens.mark();
        self.syncing = Some(Syncing { outstanding: files.len(), files, tokens, target: self.written });
        true
    }

    /// Takes the completion of one of the log's requests. May ask for more: a log write that spans segments
    /// goes on by itself.
    pub fn complete(&mut self, completion: IoCompletion, requests: &mut Vec<IoRequest>) -> LogEvent {
        let token = completion.token.0;
        if !self.tokens.give_back(token) {
            return LogEvent::Other;
        }
        if matches!(&self.cut, Cut::Making(making) if making.waits_for(completion.token)) {
            return self.complete_cut(completion.result, requests);
        }
        if self.writing.as_ref().is_some_and(|writing| writing.tokens.contains(&token)) {
            return self.complete_write(completion.result, requests);
        }
        if self.syncing.as_ref().is_some_and(|syncing| syncing.tokens.contains(&token)) {
            return self.complete_sync(completion.result);
        }
        LogEvent::Other
    }

    /// Puts the closed, forming parts in flight.
    pub(super) fn start_writing(&mut self, sync: bool, requests: &mut Vec<IoRequest>) {
        self.writing = Some(Writing {
            id: self.last_write,
            sync,
            parts: std::mem::take(&mut self.forming),
            outstanding: 0,
            tokens: 0..0,
            files: Vec::new(),
        });
        self.issue(requests);
    }

    /// Asks for the next step of the first part: its file, the file's name, or the write.
    fn issue(&mut self, requests: &mut Vec<IoRequest>) {
        let Some(writing) = &mut self.writing else { return };
        let Some(part) = writing.parts.front_mut() else { return };
        let (from, file) = (self.tokens.mark(), FileName::Log(part.file));
        let token = self.tokens.take();
        writing.outstanding = 1;
        match part.start.map_or(Made::Yes, |start| start.file) {
            Made::No => requests.push(IoRequest::Create { token, file }),
            Made::Unsynced => requests.push(IoRequest::SyncDir { token }),
            Made::Yes => {
                let sync = writing.sync || part.start.is_some();
                let data = part.seal(&self.options, self.durable);
                requests.push(IoRequest::Write { token, file, offset: part.offset.into(), data, sync });
                if writing.sync {
                    writing.files.clear();
                    writing.files.append(&mut self.dirty);
                    writing.files.extend(self.syncing.iter().flat_map(|syncing| &syncing.files));
                    writing.files.retain(|&other| other != part.file);
                    writing.outstanding += writing.files.len();
                    for &other in &writing.files {
                        let file = FileName::Log(other);
                        requests.push(IoRequest::Sync { token: self.tokens.take(), file });
                    }
                }
            }
        }
        writing.tokens = from..self.tokens.mark();
    }

    fn complete_write(&mut self, result: io::Result<IoOutput>, requests: &mut Vec<IoRequest>) -> LogEvent {
        match result {
            Ok(IoOutput::Written(buf)) => self.reuse(buf),
            Ok(_) => {}
            Err(error) => return self.fail(error),
        }
        let Some(writing) = &mut self.writing else { return LogEvent::Other };
        writing.outstanding -= 1;
        if writing.outstanding > 0 {
            return LogEvent::Other;
        }
        if let Some(start) = writing.parts.front_mut().and_then(|part| part.start.as_mut()) {
            match start.file {
                Made::No => start.file = Made::Unsynced,
                Made::Unsynced => start.file = Made::Yes,
                Made::Yes => return self.finish_part(requests),
            }
            self.issue(requests);
            return LogEvent::Other;
        }
        self.finish_part(requests)
    }

    fn finish_part(&mut self, requests: &mut Vec<IoRequest>) -> LogEvent {
        let Some(writing) = &mut self.writing else { return LogEvent::Other };
        let Some(part) = writing.parts.pop_front() else { return LogEvent::Other };
        writing.files.clear();
        let end = LogPosition { segment: part.generation, offset: part.end };
        let synced = writing.sync || part.start.is_some();
        if !synced && self.dirty.last() != Some(&part.file) {
            self.dirty.push(part.file);
        }
        if writing.sync || (synced && self.dirty.is_empty() && self.syncing.is_none()) {
            self.durable = end;
        }
        if writing.parts.is_empty() {
            let id = writing.id;
            (self.writing, self.written) = (None, end);
            return LogEvent::Written(id, end);
        }
        self.issue(requests);
        LogEvent::Other
    }

    fn complete_sync(&mut self, result: io::Result<IoOutput>) -> LogEvent {
        if let Err(error) = result {
            return self.fail(error);
        }
        let Some(syncing) = &mut self.syncing else { return LogEvent::Other };
        syncing.outstanding -= 1;
        if syncing.outstanding > 0 {
            return LogEvent::Other;
        }
        self.durable = self.durable.max(syncing.target);
        self.syncing = None;
        LogEvent::Synced(self.durable)
    }

    fn fail(&mut self, error: io::Error) -> LogEvent {
        let write = self.writing.take().map(|writing| writing.id);
        self.failed = true;
        self.forming.clear();
        self.forming_bytes = 0;
        self.dirty.clear();
        self.syncing = None;
        LogEvent::Failed(write, error)
    }
}
