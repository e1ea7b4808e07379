//! Writes sorted entries as tables: the part of flushes and merges that emits requests.
//!
//! 1. A table's file is created when its first entry arrives; writes wait for that completion.
//! 2. Finished bytes leave in chunks of [`JobContext::write_bytes`], at most four of them in flight over all tables. The caller
//!    asks [`TableWriter::has_room`] before adding more, which bounds memory: a chunk with a long value counts as its bytes.
//! 3. A full table is written to its end and synced while the next one is being built.
//! 4. When all are synced the directory is synced once, then tables that shall be resident are read back whole, one
//!    after the other, and verified. What readers get is what the device holds, not what was meant to be written.
//! 5. After an error nothing new is asked for; once every request in flight has completed, all files made so
//!    far are removed and the error is handed out. Nothing half-made stays behind.

use crate::aligned::AlignedBuf;
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use crate::job::context::JobContext;
use crate::key::{Entry, RangeTombstone};
use crate::table::{Compression, FinishedTable, Table, TableBuilder};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// So many writes may be in flight.
const WRITES_MAX: usize = 4;
/// Tokens of a writer have this bit, so that their owner can tell them from its own.
pub(super) const WRITER_TOKEN: u64 = 1 << 63;
/// The directory's token; those of files are below.
const DIR_TOKEN: Token = Token(WRITER_TOKEN | 1 << 62);

/// What a file waits for.
#[derive(Debug)]
enum Stage {
    /// Entries.
    Building,
    /// Its last writes.
    Draining,
    /// fdatasync.
    Syncing,
    /// The other files, then the directory.
    Synced,
    /// Its bytes.
    Loading,
    /// Nothing any more.
    Ready(Arc<Table>),
}

struct OutputFile {
    number: u64,
    created: bool,
    /// Where the next write goes, in bytes.
    offset: u64,
    queue: VecDeque<AlignedBuf>,
    writes: usize,
    finished: Option<FinishedTable>,
    stage: Stage,
}

/// What the writer came to.
pub(super) enum Progress {
    /// Requests are in flight, or more entries are wanted.
    Working,
    /// All tables are ready.
    Done(Vec<Arc<Table>>),
    /// It failed, and cleaned up.
    Failed(Error),
}

/// Makes tables out of sorted entries.
pub(super) struct TableWriter {
    numbers: Range<u64>,
    table_bytes: u64,
    /// Bytes that may still be made resident.
    resident_bytes: u64,
    write_bytes: usize,
    compression: Compression,
    expected_entries: usize,
    builder: Option<TableBuilder>,
    files: Vec<OutputFile>,
    in_flight: usize,
    writes: usize,
    /// Writes that wait for others to complete.
    queued: usize,
    /// Bytes of all these.
    unwritten_bytes: usize,
    ended: bool,
    dir_synced: Option<bool>,
    failure: Option<Error>,
    unlinking: bool,
}

impl TableWriter {
    /// A writer with nothing written. `expected_entries` is for one table.
    pub fn new(context: &JobContext, expected_entries: usize) -> TableWriter {
        TableWriter {
            numbers: context.numbers.clone(),
            table_bytes: context.table_bytes,
            resident_bytes: context.resident_bytes,
            write_bytes: context.write_bytes,
            compression: context.compression,
            expected_entries,
            builder: None,
            files: Vec::new(),
            in_flight: 0,
            writes: 0,
            queued: 0,
            unwritten_bytes: 0,
            ended: false,
            dir_synced: None,
            failure: None,
            unlinking: false,
        }
    }

    /// Whether more entries may be added now.
    pub fn has_room(&self) -> bool {
        let has_room = self.queued < WRITES_MAX && self.unwritten_bytes <= 2 * WRITES_MAX * self.write_bytes;
        self.failure.is_none() && has_room
    }

    /// Adds an entry, in storage order.
    pub fn add(&mut self, entry: Entry<'_>, requests: &mut Vec<IoRequest>) {
        if self.builder.is_none() {
            self.begin_table(requests);
        }
        if let Some(builder) = &mut self.builder {
            builder.add(entry);
        }
    }

    /// Hands finished bytes of the growing table on. To be called every so many entries.
    pub fn flush_output(&mut self, requests: &mut Vec<IoRequest>) {
        while let Some(output) = self.builder.as_mut().and_then(|b| b.take_output(self.write_bytes)) {
            self.queue(output);
        }
        self.pump(requests);
    }

    /// Whether the growing table has its size. It may end before a new key: [`TableWriter::end_table`].
    pub fn is_full(&self) -> bool {
        let full = |builder: &TableBuilder| builder.file_bytes() >= self.table_bytes;
        self.builder.as_ref().is_some_and(full)
    }

    /// Ends the growing table, if there is one and a number for the next.
    pub fn end_table(&mut self, requests: &mut Vec<IoRequest>) {
        if !self.numbers.is_empty() {
            self.close_builder(requests);
        }
    }

    /// No more entries come. Range tombstones get a table of their own.
    pub fn end(&mut self, range_tombstones: Vec<RangeTombstone>, requests: &mut Vec<IoRequest>) {
        if !range_tombstones.is_empty() {
            self.end_table(requests);
            if self.builder.is_none() {
                self.begin_table(requests);
            }
            if let Some(builder) = &mut self.builder {
                range_tombstones.into_iter().for_each(|tombstone| builder.add_range_tombstone(tombstone));
            }
        }
        self.close_builder(requests);
        self.ended = true;
        self.pump(requests);
    }

    fn begin_table(&mut self, requests: &mut Vec<IoRequest>) {
        let Some(number) = self.numbers.next() else {
            self.fail(Error::Unusable("a job was given no file number; this is a defect".into()));
            return;
        };
        self.builder = Some(TableBuilder::new(number, self.compression, self.expected_entries));
        let token = self.file_token(self.files.len());
        self.files.push(OutputFile {
            number,
            created: false,
            offset: 0,
            queue: VecDeque::new(),
            writes: 0,
            finished: None,
            stage: Stage::Building,
        });
        self.request(requests, IoRequest::Create { token, file: FileName::Table(number) });
    }

    fn close_builder(&mut self, requests: &mut Vec<IoRequest>) {
        let Some(builder) = self.builder.take() else { return };
        let mut finished = builder.finish();
        self.queue(finished.take_tail());
        let file = self.files.last_mut().expect("a builder has a file");
        file.finished = Some(finished);
        file.stage = Stage::Draining;
        self.pump(requests);
    }

    /// Has bytes of the growing table written when it is their turn.
    fn queue(&mut self, bytes: AlignedBuf) {
        let file = self.files.last_mut().expect("a builder has a file");
        self.unwritten_bytes += bytes.len();
        self.queued += 1;
        file.queue.push_back(bytes);
    }

    fn file_token(&self, index: usize) -> Token {
        Token(WRITER_TOKEN | index as u64)
    }

    fn request(&mut self, requests: &mut Vec<IoRequest>, request: IoRequest) {
        self.in_flight += 1;
        requests.push(request);
    }

    /// Issues what can be issued: writes of created files, syncs of written ones, the directory.
    fn pump(&mut self, requests: &mut Vec<IoRequest>) {
        if self.failure.is_some() {
            return;
        }
        for index in 0..self.files.len() {
            self.pump_file(index, requests);
        }
        let all_synced = self.ended && self.files.iter().all(|f| matches!(f.stage, Stage::Synced));
        if all_synced && self.dir_synced.is_none() && !self.files.is_empty() {
            self.dir_synced = Some(false);
            self.request(requests, IoRequest::SyncDir { token: DIR_TOKEN });
        }
    }

    fn pump_file(&mut self, index: usize, requests: &mut Vec<IoRequest>) {
        let token = self.file_token(index);
        let file = &mut self.files[index];
        let name = FileName::Table(file.number);
        while file.created && self.writes < WRITES_MAX {
            let Some(data) = file.queue.pop_front() else { break };
            let offset = file.offset;
            file.offset += data.len() as u64;
            file.writes += 1;
            self.queued -= 1;
            self.writes += 1;
            self.in_flight += 1;
            requests.push(IoRequest::Write { token, file: name, offset, data, sync: false });
        }
        if matches!(file.stage, Stage::Draining) && file.created && file.writes == 0 && file.queue.is_empty()
        {
            file.stage = Stage::Syncing;
            self.request(requests, IoRequest::Sync { token, file: name });
        }
    }

    /// Takes a completion of one of its requests (those with [`WRITER_TOKEN`]).
    pub fn complete(&mut self, completion: IoCompletion, requests: &mut Vec<IoRequest>) {
        self.in_flight -= 1;
        if self.unlinking {
            return;
        }
        if completion.token == DIR_TOKEN {
            match completion.result {
                Ok(_) => {
                    self.dir_synced = Some(true);
                    self.load_next(requests);
                }
                Err(error) => self.fail(io_error("sync", "the shard's directory", error)),
            }
            return;
        }
        let index = (completion.token.0 & !WRITER_TOKEN) as usize;
        let step = self.file_completed(index, completion.result);
        match step {
            Ok(()) if self.dir_synced == Some(true) => self.load_next(requests),
            Ok(()) => self.pump(requests),
            Err(error) => self.fail(error),
        }
    }

    fn file_completed(&mut self, index: usize, result: std::io::Result<IoOutput>) -> Result<(), Error> {
        let file = &mut self.files[index];
        let name = FileName::Table(file.number);
        if !file.created {
            result.map_err(|error| io_error("create", name, error))?;
            file.created = true;
            return Ok(());
        }
        match file.stage {
            Stage::Building | Stage::Draining => {
                file.writes -= 1;
                self.writes -= 1;
                if let IoOutput::Written(bytes) = result.map_err(|error| io_error("write", name, error))? {
                    self.unwritten_bytes -= bytes.len();
                }
            }
            Stage::Syncing => {
                result.map_err(|error| io_error("sync", name, error))?;
                file.stage = Stage::Synced;
            }
            Stage::Synced | Stage::Loading | Stage::Ready(_) => {
                let output = result.map_err(|error| io_error("read", name, error))?;
                let (Some(finished), IoOutput::Data(bytes)) = (file.finished.take(), output) else {
                    return Err(Error::Unusable(format!("a read of {name} yielded no data")));
                };
                file.stage = Stage::Ready(Arc::new(finished.into_resident(bytes)?));
            }
        }
        Ok(())
    }

    /// Loads the next table that shall be resident; those before it for which there is no room are ready as they are.
    fn load_next(&mut self, requests: &mut Vec<IoRequest>) {
        for index in 0..self.files.len() {
            let (token, file) = (self.file_token(index), &mut self.files[index]);
            let Some(finished) = file.finished.take_if(|_| matches!(file.stage, Stage::Synced)) else {
                continue;
            };
            let bytes = finished.meta.file_bytes;
            if bytes > self.resident_bytes {
                file.stage = Stage::Ready(Arc::new(finished.into_paged()));
                continue;
            }
            self.resident_bytes -= bytes;
            let name = FileName::Table(file.number);
            file.finished = Some(finished);
            file.stage = Stage::Loading;
            return self
                .request(requests, IoRequest::Read { token, file: name, offset: 0, len: bytes as usize });
        }
    }

    /// Stops everything because of an error, here or of the caller; the first one counts.
    pub fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Whether it stopped because of an error.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// How it stands. `others_in_flight`: requests of the caller that a failed job must wait for.
    pub fn progress(&mut self, others_in_flight: usize, requests: &mut Vec<IoRequest>) -> Progress {
        if self.failure.is_some() {
            return self.clean_up(others_in_flight, requests);
        }
        let ready = self.files.iter().all(|f| matches!(f.stage, Stage::Ready(_)));
        if !self.ended || !ready || self.in_flight + others_in_flight > 0 {
            return Progress::Working;
        }
        let tables = self.files.drain(..).filter_map(|file| match file.stage {
            Stage::Ready(table) => Some(table),
            _ => None,
        });
        Progress::Done(tables.collect())
    }

    fn clean_up(&mut self, others_in_flight: usize, requests: &mut Vec<IoRequest>) -> Progress {
        if self.in_flight + others_in_flight > 0 {
            return Progress::Working;
        }
        self.builder = None;
        if !self.unlinking && !self.files.is_empty() {
            self.unlinking = true;
            for index in 0..self.files.len() {
                let (token, number) = (self.file_token(index), self.files[index].number);
                self.files[index].queue.clear();
                self.request(requests, IoRequest::Unlink { token, file: FileName::Table(number) });
            }
            return Progress::Working;
        }
        self.files.clear();
        let closed = || Error::Unusable("the job was stepped after its end".into());
        Progress::Failed(self.failure.take().unwrap_or_else(closed))
    }
}

/// Wraps an error of a job's request; a job doesn't know its directory.
pub(super) fn io_error(operation: &'static str, file: impl ToString, error: std::io::Error) -> Error {
    Error::io(operation, file, "the shard's directory", error)
}
