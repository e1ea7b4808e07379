//! The writer of the manifest: one edit in flight at a time, and the rewrite between two edits.
//!
//! A write that failed leaves in doubt what is in its file. So nothing more is written there: the durable
//! state goes to a new file with a higher number, and the edit is made again in that one, which counts
//! whatever became of it in the old one. That is tried when the owner says so ([`Manifest::retry`]), each
//! time under a number of its own.

use super::format::{FileIdentity, RecordKind};
use super::state::{Edit, ManifestState};
use crate::aligned::AlignedBuf;
use crate::dir::Dir;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use std::collections::VecDeque;
use std::io;

/// A file smaller than this isn't worth a rewrite, nor is one less than so many times its state.
const REWRITE_BYTES_MIN: u64 = 1 << 20;
const REWRITE_RATIO: u64 = 4;
const TOKEN_TOP: u64 = 0x02;

/// What a completion meant.
#[derive(Debug)]
pub enum ManifestEvent {
    /// This edit is durable. Edits become so in the order they were appended.
    Durable(Edit),
    /// A write failed. The edit in flight may or may not survive a crash, those behind it don't. Nothing is
    /// lost: [`Manifest::retry`] goes on with them, in a new file.
    Stalled(io::Error),
}

/// The manifest's writer. Does no I/O itself.
#[derive(Debug)]
pub struct Manifest {
    place: FileIdentity,
    /// Where the next edit goes.
    end: u64,
    sequence: u64,
    /// All durable edits applied.
    state: ManifestState,
    /// From which file length on a rewrite is worth it, and the least that may be.
    rewrite_bytes: u64,
    rewrite_bytes_min: u64,
    /// The state with all edits, those included that aren't durable yet.
    planned: ManifestState,
    queue: VecDeque<Edit>,
    /// The file may end in a torn edit, or not be the one that counts: nothing more is written to it.
    is_doubtful: bool,
    /// Number of the file that a rewrite makes: none that an earlier attempt used.
    next_number: u64,
    /// Nothing is started before [`Manifest::retry`].
    is_stalled: bool,
    step: Step,
    token: u64,
    buffer: Option<AlignedBuf>,
}

/// What is in flight.
#[derive(Debug)]
enum Step {
    Idle,
    Append {
        edit: Box<Edit>,
        bytes: u64,
    },
    /// Making the temporary file of a rewrite.
    Create,
    /// Writing the state into it, this many bytes.
    WriteState {
        bytes: u64,
    },
    Rename {
        bytes: u64,
    },
    SyncDir {
        bytes: u64,
    },
}

impl Manifest {
    /// The writer of a sound file whose last record, with this sequence number, ends at `end`.
    pub(super) fn new(place: FileIdentity, end: u64, sequence: u64, state: ManifestState) -> Manifest {
        // Late completions of an earlier opening (a rewrite or more ago, or in any case other edits) must
        // not be taken for ours.
        let token = TOKEN_TOP << 56 | (place.number & 0xffff) << 40 | (sequence & 0xffff) << 24;
        let mut manifest = Manifest {
            place,
            end,
            sequence,
            planned: state.clone(),
            state,
            rewrite_bytes: 0,
            rewrite_bytes_min: REWRITE_BYTES_MIN,
            queue: VecDeque::new(),
            is_doubtful: false,
            next_number: place.number + 1,
            is_stalled: false,
            step: Step::Idle,
            token,
            buffer: None,
        };
        manifest.rewrite_bytes = manifest.rewrite_threshold();
        manifest
    }

    /// Nothing more is written to the file as it is: the state goes to another one, of this number, first.
    pub(super) fn move_before_next_edit(&mut self, number: u64) {
        self.is_doubtful = true;
        self.next_number = number;
    }

    /// Whether an edit fits what the manifest will say once all edits before it are durable; the error says
    /// why not. One that doesn't would make the shard impossible to open: ask before appending.
    pub fn check(&self, edit: &Edit) -> Result<(), String> {
        self.planned.check(edit)
    }

    /// Writes an edit after those appended before it.
    pub fn append(&mut self, edit: Edit, requests: &mut Vec<IoRequest>) {
        self.planned.apply(&edit);
        self.queue.push_back(edit);
        self.issue(requests);
    }

    /// Writes an edit by blocking calls, before anything else is under way. If that fails the manifest says what it said,
    /// and goes on in a new file; so it fails where one is due already.
    pub fn append_at_once(&mut self, dir: &mut dyn Dir, edit: &Edit) -> io::Result<()> {
        if self.is_doubtful {
            return Err(io::Error::other("there was no room yet for the new file that edits go to"));
        }
        let mut data = self.take_buffer();
        self.place.encode(RecordKind::Edit, self.sequence + 1, edit, self.end, &mut data);
        let file = self.file();
        let written = dir.write(file, self.end, &data).and_then(|()| dir.sync(file));
        self.is_doubtful |= written.is_err();
        if written.is_ok() {
            self.end += data.len() as u64;
            self.sequence += 1;
            self.state.apply(edit);
            self.planned.apply(edit);
        }
        self.buffer = Some(data);
        written
    }

    /// Takes the completion of one of the manifest's requests; goes on with what is queued.
    pub fn complete(
        &mut self,
        completion: IoCompletion,
        requests: &mut Vec<IoRequest>,
    ) -> Option<ManifestEvent> {
        if completion.token != Token(self.token) || matches!(self.step, Step::Idle) {
            return None;
        }
        let event = match completion.result {
            Ok(output) => self.advance(output, requests),
            Err(error) => self.fall_back(error, requests),
        };
        self.issue(requests);
        event
    }

    /// Whether the completion of this token is for [`Manifest::complete`].
    pub fn owns(&self, token: Token) -> bool {
        token.0 >> 56 == TOKEN_TOP
    }

    /// Whether an edit or a rewrite is in flight or queued.
    pub fn is_busy(&self) -> bool {
        !matches!(self.step, Step::Idle) || !self.queue.is_empty()
    }

    /// Whether it waits for [`Manifest::retry`] because a write failed.
    pub fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Tries again after [`ManifestEvent::Stalled`].
    pub fn retry(&mut self, requests: &mut Vec<IoRequest>) {
        self.is_stalled = false;
        self.issue(requests);
    }

    /// The state with all durable edits.
    pub fn state(&self) -> &ManifestState {
        &self.state
    }

    /// The state with all edits, those included that aren't durable yet.
    pub fn planned(&self) -> &ManifestState {
        &self.planned
    }

    /// The file that counts.
    pub fn file(&self) -> FileName {
        FileName::Manifest(self.place.number)
    }

    /// Makes rewrites come early.
    #[cfg(test)]
    pub(super) fn rewrite_from(&mut self, bytes: u64) {
        self.rewrite_bytes_min = bytes;
        self.rewrite_bytes = self.rewrite_threshold();
    }

    fn next_place(&self) -> FileIdentity {
        FileIdentity::new(self.place.shard_id, self.next_number)
    }

    fn temp(&self) -> FileName {
        FileName::ManifestTemp(self.next_place().number)
    }

    fn next_token(&mut self) -> Token {
        self.token += 1;
        Token(self.token)
    }

    fn take_buffer(&mut self) -> AlignedBuf {
        let mut buf = self.buffer.take().unwrap_or_else(|| AlignedBuf::with_capacity(1));
        buf.clear();
        buf
    }

    fn rewrite_threshold(&mut self) -> u64 {
        let mut buf = self.take_buffer();
        self.place.encode(RecordKind::State, 0, &self.state.as_edit(), 0, &mut buf);
        let bytes = buf.len() as u64;
        self.buffer = Some(buf);
        self.rewrite_bytes_min.max(bytes * REWRITE_RATIO)
    }

    /// Starts what is due, if nothing is in flight.
    fn issue(&mut self, requests: &mut Vec<IoRequest>) {
        if self.is_stalled || !matches!(self.step, Step::Idle) {
            return;
        }
        if !self.is_doubtful && self.end > self.rewrite_bytes {
            self.rewrite_bytes = self.rewrite_threshold();
        }
        if self.is_doubtful || self.end > self.rewrite_bytes {
            let token = self.next_token();
            requests.push(IoRequest::Create { token, file: self.temp() });
            self.step = Step::Create;
            return;
        }
        let Some(edit) = self.queue.pop_front() else { return };
        let mut data = self.take_buffer();
        self.place.encode(RecordKind::Edit, self.sequence + 1, &edit, self.end, &mut data);
        let (token, file) = (self.next_token(), self.file());
        self.step = Step::Append { edit: Box::new(edit), bytes: data.len() as u64 };
        requests.push(IoRequest::Write { token, file, offset: self.end, data, sync: true });
    }

    /// The step in flight succeeded.
    fn advance(&mut self, output: IoOutput, requests: &mut Vec<IoRequest>) -> Option<ManifestEvent> {
        if let IoOutput::Written(buf) = output {
            self.buffer = Some(buf);
        }
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Idle => {}
            Step::Append { edit, bytes } => {
                self.state.apply(&edit);
                self.end += bytes;
                self.sequence += 1;
                return Some(ManifestEvent::Durable(*edit));
            }
            Step::Create => {
                let mut data = self.take_buffer();
                encode_file(self.next_place(), self.sequence + 1, &self.state, &mut data);
                let (token, file) = (self.next_token(), self.temp());
                self.step = Step::WriteState { bytes: data.len() as u64 };
                requests.push(IoRequest::Write { token, file, offset: 0, data, sync: true });
            }
            Step::WriteState { bytes } => {
                let (token, from) = (self.next_token(), self.temp());
                self.step = Step::Rename { bytes };
                let to = FileName::Manifest(from.number());
                requests.push(IoRequest::Rename { token, from, to });
            }
            Step::Rename { bytes } => {
                let token = self.next_token();
                self.step = Step::SyncDir { bytes };
                requests.push(IoRequest::SyncDir { token });
            }
            Step::SyncDir { bytes } => {
                let old = self.file();
                self.place = self.next_place();
                self.next_number += 1;
                self.end = bytes;
                self.sequence += 1;
                self.is_doubtful = false;
                let token = self.next_token();
                requests.push(IoRequest::Unlink { token, file: old });
            }
        }
        None
    }

    /// The step in flight failed. A rewrite that couldn't make its file, and wasn't needed, is given up until
    /// the old file has doubled. Everything else leaves in doubt what is on disk, and waits.
    fn fall_back(&mut self, error: io::Error, requests: &mut Vec<IoRequest>) -> Option<ManifestEvent> {
        let is_unnamed = match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Create | Step::WriteState { .. } => {
                self.give_up_number(false, requests);
                true
            }
            Step::Rename { .. } | Step::SyncDir { .. } => {
                self.give_up_number(true, requests);
                false
            }
            Step::Append { edit, .. } => {
                self.queue.push_front(*edit);
                false
            }
            Step::Idle => return None,
        };
        if is_unnamed && !self.is_doubtful {
            self.rewrite_bytes = self.end * 2;
            return None;
        }
        (self.is_doubtful, self.is_stalled) = (true, true);
        Some(ManifestEvent::Stalled(error))
    }

    /// Removes what a rewrite left. It says what the file that counts says, so it does no harm if it stays.
    fn give_up_number(&mut self, may_be_named: bool, requests: &mut Vec<IoRequest>) {
        let temp = self.temp();
        let named = may_be_named.then_some(FileName::Manifest(temp.number()));
        for file in [Some(temp), named].into_iter().flatten() {
            let token = self.next_token();
            requests.push(IoRequest::Unlink { token, file });
        }
        self.next_number += 1;
    }
}

/// Writes a whole file that says `state` into `buf`.
pub(super) fn encode_file(place: FileIdentity, sequence: u64, state: &ManifestState, buf: &mut AlignedBuf) {
    place.encode_header(buf);
    let offset = buf.len() as u64;
    place.encode(RecordKind::State, sequence, &state.as_edit(), offset, buf);
}
