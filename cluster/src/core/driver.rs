//! Performs what the shard asks for: reads, writes and syncs on the reactor's ring, the rare rest in the background.

use super::sockets::Performer;
use pinion_engine::Error;
use pinion_engine::aligned::AlignedBuf;
use pinion_engine::drive::{Background, BackgroundEvent, Files, LogSync, OpenFile, ReadSpan, is_rare};
use pinion_engine::io::{IoCompletion, IoOutput, IoRequest, Token};
use pinion_engine::job::{Job, JobId};
use pinion_net::reactor::{FileSync, Io};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

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
    /// Requests that failed before they reached the kernel.
    failed: Vec<IoCompletion>,
}

impl Driver {
    /// The driver of the shard in `dir`.
    pub fn new(dir: &Path, direct: bool, background: Background) -> Result<Driver, Error> {
        let files = Files::new(dir, direct)?;
        Ok(Driver { files, background, ops: Vec::new(), free: Vec::new(), failed: Vec::new() })
    }

    /// How durable log writes are made.
    pub fn log_sync(&self) -> LogSync {
        self.files.log_sync()
    }

    fn start_hot(&mut self, ring: &mut Io<AlignedBuf>, request: IoRequest) -> io::Result<()> {
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
                let file = self.files.get(file)?;
                let (fd, span) = (file.as_raw_fd(), ReadSpan::new(offset, len));
                let slot = self.note(Op { token, file, kind: OpKind::Read(span) });
                ring.read_file(slot, fd, span.offset, AlignedBuf::zeroed(span.len));
            }
            IoRequest::Sync { token, file } => {
                let file = self.files.get(file)?;
                let fd = file.as_raw_fd();
                let slot = self.note(Op { token, file, kind: OpKind::Sync });
                ring.sync_file(slot, fd, AlignedBuf::with_capacity(0));
            }
            other => self.background.submit(other),
        }
        Ok(())
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
        drop(op.file);
        IoCompletion { token: op.token, result }
    }
}

impl Performer<Io<AlignedBuf>> for Driver {
    fn start(&mut self, ring: &mut Io<AlignedBuf>, request: IoRequest) {
        self.files.observe(&request);
        if is_rare(&request) {
            return self.background.submit(request);
        }
        let token = match &request {
            IoRequest::Write { token, .. }
            | IoRequest::Read { token, .. }
            | IoRequest::Sync { token, .. } => *token,
            _ => return self.background.submit(request),
        };
        if let Err(error) = self.start_hot(ring, request) {
            self.failed.push(IoCompletion { token, result: Err(error) });
        }
    }

    fn start_job(&mut self, id: JobId, job: Box<dyn Job>) {
        self.background.start(id, job);
    }

    /// The descriptors of files that a job removed are closed, so that their space comes back.
    fn next_event(&mut self) -> Option<BackgroundEvent> {
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
        self.ops.len() == self.free.len() && self.failed.is_empty()
    }

    fn is_dead(&mut self) -> bool {
        self.background.is_dead()
    }
}
