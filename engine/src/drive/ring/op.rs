//! An operation of the ring, from its first attempt to its completion.

use crate::aligned::AlignedBuf;
use crate::drive::files::OpenFile;
use crate::drive::span::{ReadSpan, aligned_progress};
use crate::io::{IoCompletion, IoOutput, Token};
use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::{Fd, FsyncFlags};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// How a write becomes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// Not by itself.
    No,
    /// By an fdatasync linked to it.
    Linked,
    /// As it is written: RWF_DSYNC.
    Through,
}

/// An operation that the kernel works on; it owns what the kernel uses.
pub(super) enum Op {
    Write { token: Token, file: Arc<OpenFile>, offset: u64, data: AlignedBuf, written: usize, sync: Durable },
    Read { token: Token, file: Arc<OpenFile>, span: ReadSpan, buf: AlignedBuf, filled: usize },
    Sync { token: Token, file: Arc<OpenFile> },
}

/// What a completion made of its operation.
pub(super) enum Progress {
    Done(IoCompletion),
    Again(Op),
}

/// The kernel's form of an operation's next attempt, and the sync linked to it.
pub(super) fn entries(op: &mut Op, index: usize) -> (Entry, Option<Entry>) {
    let id = (index as u64) << 1;
    match op {
        Op::Write { file, offset, data, written, sync, .. } => {
            let fd = Fd(file.as_raw_fd());
            let rest = &data[*written..];
            let write = opcode::Write::new(fd, rest.as_ptr(), len_of(rest))
                .offset(*offset + *written as u64)
                .rw_flags(if *sync == Durable::Through { libc::RWF_DSYNC } else { 0 })
                .build()
                .user_data(id);
            (write, (*sync == Durable::Linked).then(|| fdatasync(fd, id | 1)))
        }
        Op::Read { file, span, buf, filled, .. } => {
            let offset = span.offset + *filled as u64;
            let rest = &mut buf[*filled..];
            let read = opcode::Read::new(Fd(file.as_raw_fd()), rest.as_mut_ptr(), len_of(rest));
            (read.offset(offset).build().user_data(id), None)
        }
        Op::Sync { file, .. } => (fdatasync(Fd(file.as_raw_fd()), id), None),
    }
}

/// Length of one transfer; what is longer goes on as if it had stopped short.
fn len_of(bytes: &[u8]) -> u32 {
    bytes.len().min(1 << 30) as u32
}

fn fdatasync(fd: Fd, id: u64) -> Entry {
    opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build().user_data(id)
}

impl Op {
    /// Takes the result of an attempt (of its linked sync, if `is_linked_sync`).
    pub(super) fn progress(self, result: i32, is_linked_sync: bool) -> Progress {
        match self {
            Op::Sync { token, .. } => done(token, check(result).map(|_| IoOutput::Done)),
            Op::Write { token, data, .. } if is_linked_sync => {
                done(token, check(result).map(|_| IoOutput::Written(data)))
            }
            Op::Write { token, file, offset, data, written, sync } => {
                let end = match check(result) {
                    Ok(count) => written + count,
                    Err(error) if is_transient(&error) => written,
                    Err(error) => return done(token, Err(error)),
                };
                if end == data.len() && sync != Durable::Linked {
                    return done(token, Ok(IoOutput::Written(data)));
                }
                let progress = aligned_progress(end, file.is_direct());
                if result >= 0 && progress <= written {
                    return done(token, Err(ErrorKind::WriteZero.into()));
                }
                Progress::Again(Op::Write { token, file, offset, data, written: progress, sync })
            }
            Op::Read { token, file, span, buf, filled } => {
                let end = match check(result) {
                    Ok(count) => filled + count,
                    Err(error) if is_transient(&error) => filled,
                    Err(error) => return done(token, Err(error)),
                };
                if span.is_covered_by(end) {
                    return done(token, Ok(IoOutput::Data(span.cut(buf))));
                }
                let progress = aligned_progress(end, file.is_direct());
                if result >= 0 && progress <= filled {
                    return done(token, Err(ErrorKind::UnexpectedEof.into()));
                }
                Progress::Again(Op::Read { token, file, span, buf, filled: progress })
            }
        }
    }
}

fn done(token: Token, result: io::Result<IoOutput>) -> Progress {
    Progress::Done(IoCompletion { token, result })
}

fn check(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN))
}
