//! Performs what the shard asks for: reads, writes and syncs on the reactor's ring, the rare rest in the background.
//!
//! A read whose file isn't open waits for the ring to open it, together with all others that come for the file meanwhile. The
//! background thread, which flushes and merges, wouldn't come to it for tens of milliseconds. It closes what the cache of
//! descriptors has no room for: to close the last one of a file that was removed takes up to a second. Where it is behind with
//! that, it opens files too, in the order of the commands. The log and the manifest are opened here: that is rare, and what
//! they are written for waits anyway.

use super::performer::Performer;
use pinion_engine::Error;
use pinion_engine::aligned::AlignedBuf;
use pinion_engine::drive::{
    Background, BackgroundEvent, Files, LogSync, OpenFile, Opened, ReadSpan, is_rare,
};
use pinion_engine::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use pinion_engine::job::{Job, JobId};
use pinion_net::reactor::{FileSync, Io};
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

/// Takes operations on files to the kernel. Their ends come to [`Driver::done`].
pub trait FileRing {
    /// Writes all of `data`.
    fn write_file(&mut self, slot: u64, fd: RawFd, offset: u64, data: AlignedBuf, sync: FileSync);
    /// Fills `buf`, if the file is long enough.
    fn read_file(&mut self, slot: u64, fd: RawFd, offset: u64, buf: AlignedBuf);
    /// Syncs a file's data.
    fn sync_file(&mut self, slot: u64, fd: RawFd);
    /// Opens a file, whose end comes to [`Driver::file_opened`].
    fn open_file(&mut self, number: u64, path: CString, flags: i32);
}

/// A read that waits for its file.
struct Read {
    token: Token,
    offset: u64,
    len: usize,
}

/// An operation that the kernel works on. Keeps its file open.
struct Op {
    token: Token,
    file: Arc<OpenFile>,
    kind: OpKind,
}

enum OpKind {
    Write { len: usize },
    Read(ReadSpan),
    Sync,
}

/// The I/O of one shard.
pub struct Driver {
    files: Files,
    background: Background,
    ops: Vec<Option<Op>>,
    free: Vec<u32>,
    /// The files that are being opened, with the reads that wait for them. Reads are of tables, which stay what they are
    /// under their names: a descriptor is still right when it comes.
    opening: HashMap<FileName, Vec<Read>>,
    /// Requests that failed before they reached the kernel.
    failed: Vec<IoCompletion>,
}

impl Driver {
    /// The driver of the shard in `dir`.
    pub fn new(dir: &Path, direct: bool, background: Background) -> Result<Driver, Error> {
        let files = Files::new(dir, direct)?;
        Ok(Driver {
            files,
            background,
            ops: Vec::new(),
            free: Vec::new(),
            opening: HashMap::new(),
            failed: Vec::new(),
        })
    }

    /// How durable log writes are made.
    pub fn log_sync(&self) -> LogSync {
        self.files.log_sync()
    }

    /// Has all of the log written through the page cache.
    pub fn buffer_log(&mut self) {
        self.files.buffer_log();
    }

    fn start_hot(&mut self, ring: &mut impl FileRing, request: IoRequest) -> io::Result<()> {
        match request {
            IoRequest::Write { token, file: name, offset, data, sync } => {
                let file = self.files.for_write(name, offset, data.len())?;
                let sync = match sync {
                    false => FileSync::No,
                    true if self.files.writes_through(name, &file, offset, data.len()) => {
                        FileSync::WriteThrough
                    }
                    true => FileSync::Linked,
                };
                let (fd, kind) = (file.as_raw_fd(), OpKind::Write { len: data.len() });
                let slot = self.note(Op { token, file, kind });
                ring.write_file(slot, fd, offset, data, sync);
            }
            IoRequest::Read { token, file, offset, len } => {
                let read = Read { token, offset, len };
                match self.files.find(file) {
                    Some(open) => self.read(ring, open, &read),
                    None => self.wait_for(ring, file, read),
                }
            }
            IoRequest::Sync { token, file } => {
                let file = self.files.get(file)?;
                let fd = file.as_raw_fd();
                let slot = self.note(Op { token, file, kind: OpKind::Sync });
                ring.sync_file(slot, fd);
            }
            other => self.background.submit(other),
        }
        Ok(())
    }

    fn read(&mut self, ring: &mut impl FileRing, file: Arc<OpenFile>, read: &Read) {
        let (fd, span) = (file.as_raw_fd(), ReadSpan::new(read.offset, read.len));
        let slot = self.note(Op { token: read.token, file, kind: OpKind::Read(span) });
        ring.read_file(slot, fd, span.offset, AlignedBuf::zeroed(span.len));
    }

    /// Has a file opened, unless it is being opened already.
    fn wait_for(&mut self, ring: &mut impl FileRing, file: FileName, read: Read) {
        let may_open = self.files.may_open(self.opening.len() + 1);
        let waiting = self.opening.entry(file).or_default();
        if waiting.is_empty() {
            let way = if may_open { self.files.way_to(file) } else { None };
            match (file, way) {
                (FileName::Table(number), Some((path, flags))) => ring.open_file(number, path, flags),
                _ => self.background.open(file, self.files.is_direct()),
            }
        }
        waiting.push(read);
    }

    /// Takes in the table with this number, which the ring opened, or couldn't.
    pub fn file_opened(&mut self, ring: &mut impl FileRing, number: u64, result: io::Result<OwnedFd>) {
        let result = result.and_then(|fd| OpenFile::of(fd, self.files.is_direct()));
        self.opened(ring, Opened { file: FileName::Table(number), result });
        self.close_dropped();
    }

    /// Starts the reads that waited for a file, or ends them if it couldn't be opened.
    fn opened(&mut self, ring: &mut impl FileRing, Opened { file, result }: Opened) {
        let reads = self.opening.remove(&file).unwrap_or_default();
        match result {
            Ok(open) => {
                let open = self.files.insert(file, open);
                reads.iter().for_each(|read| self.read(ring, Arc::clone(&open), read));
                self.files.let_go(open);
            }
            Err(error) => self.failed.extend(
                reads.iter().map(|read| IoCompletion { token: read.token, result: Err(another(&error)) }),
            ),
        }
    }

    /// Has the background thread close what nobody needs open any more.
    fn close_dropped(&mut self) {
        self.background.close(self.files.take_dropped());
    }

    fn note(&mut self, op: Op) -> u64 {
        match self.free.pop() {
            Some(slot) => {
                self.ops[slot as usize] = Some(op);
                u64::from(slot)
            }
            None => {
                self.ops.push(Some(op));
                self.ops.len() as u64 - 1
            }
        }
    }

    /// Takes in the end of an operation: the completion of its request.
    pub fn done(&mut self, slot: u64, result: io::Result<usize>, buf: AlignedBuf) -> IoCompletion {
        let op = self.ops[slot as usize].take().expect("the reactor ends each operation once");
        self.free.push(slot as u32);
        let result = result.and_then(|count| match op.kind {
            OpKind::Write { len } if count < len => Err(io::ErrorKind::WriteZero.into()),
            OpKind::Write { .. } => Ok(IoOutput::Written(buf)),
            OpKind::Read(span) if span.is_covered_by(count) => Ok(IoOutput::Data(span.cut(buf))),
            OpKind::Read(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            OpKind::Sync => Ok(IoOutput::Done),
        });
        self.files.let_go(op.file);
        self.close_dropped();
        IoCompletion { token: op.token, result }
    }
}

impl<R: FileRing> Performer<R> for Driver {
    fn start(&mut self, ring: &mut R, request: IoRequest) {
        self.files.observe(&request);
        // Before the name goes: whoever closes a removed file last gives its space back, which takes long.
        self.close_dropped();
        let token = request.token();
        if is_rare(&request) {
            self.background.submit(request);
        } else if let Err(error) = self.start_hot(ring, request) {
            self.failed.push(IoCompletion { token, result: Err(error) });
        }
    }

    fn start_job(&mut self, id: JobId, job: Box<dyn Job>) {
        self.background.start(id, job);
    }

    /// The descriptors of files that a job removed are closed, so that their space comes back.
    fn next_event(&mut self, ring: &mut R) -> Option<BackgroundEvent> {
        while let Some(opened) = self.background.next_opened() {
            self.opened(ring, opened);
        }
        self.close_dropped();
        let event = self.background.try_next()?;
        if matches!(event, BackgroundEvent::JobDone(..)) {
            self.background.close_later(self.files.take_unlinked());
        }
        Some(event)
    }

    fn next_failed(&mut self) -> Option<IoCompletion> {
        self.failed.pop()
    }

    fn is_idle(&self) -> bool {
        self.ops.len() == self.free.len() && self.opening.is_empty() && self.failed.is_empty()
    }

    fn is_dead(&mut self) -> bool {
        self.background.is_dead()
    }
}

impl FileRing for Io<AlignedBuf> {
    #[inline]
    fn write_file(&mut self, slot: u64, fd: RawFd, offset: u64, data: AlignedBuf, sync: FileSync) {
        Io::write_file(self, slot, fd, offset, data, sync);
    }

    #[inline]
    fn read_file(&mut self, slot: u64, fd: RawFd, offset: u64, buf: AlignedBuf) {
        Io::read_file(self, slot, fd, offset, buf);
    }

    #[inline]
    fn sync_file(&mut self, slot: u64, fd: RawFd) {
        Io::sync_file(self, slot, fd, AlignedBuf::with_capacity(0));
    }

    fn open_file(&mut self, number: u64, path: CString, flags: i32) {
        Io::open_file(self, number, path, flags);
    }
}

/// The same error once more.
fn another(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
#[path = "driver_test.rs"]
mod tests;
