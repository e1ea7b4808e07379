//! The embedded store's io_uring: reads, writes and syncs of one shard's files.
//!
//! A write that syncs is two linked entries, write and fdatasync, so the sync never runs after a write
//! that failed or stopped short; the write posts a completion only then, so each attempt completes
//! exactly once. Where the device can ([`super::LogSync`]), a log write that syncs is one entry with
//! RWF_DSYNC instead. A transfer that stops short goes on where it stopped. Rare requests are performed at
//! once by plain calls. Every buffer and descriptor stays with the ring until its completion.

mod op;
#[cfg(test)]
mod tests;

use self::op::{Durable, Op, Progress, entries};
use super::device::LogSync;
use super::files::{Files, OpenFile};
use super::span::ReadSpan;
use super::{limits, rare, syscalls};
use crate::aligned::AlignedBuf;
use crate::error::Error;
use crate::io::{IoCompletion, IoRequest};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Submission entries; each operation takes at most two.
const ENTRIES: u32 = 128;
/// Operations in flight at most; others wait their turn.
const OPS_MAX: usize = ENTRIES as usize / 2;
/// The user data of the read that waits for a [`RingWaker`].
const WAKE: u64 = u64::MAX;

/// A driver for one shard's requests. Not shared: its owner submits, waits and takes completions.
pub struct Ring {
    ring: IoUring,
    dir: PathBuf,
    files: Files,
    ops: Vec<Option<Op>>,
    free: Vec<usize>,
    waiting: VecDeque<IoRequest>,
    done: VecDeque<IoCompletion>,
    waker: Arc<RingWaker>,
    wake_count: Box<u64>,
    wake_armed: bool,
    woken: bool,
}

/// Ends a [`Ring::wait`] from another thread.
#[derive(Debug)]
pub struct RingWaker {
    event: File,
    pending: AtomicBool,
}

impl RingWaker {
    /// Makes the ring's current or next wait return. Cheap while an earlier wake-up is still pending.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::SeqCst) {
            // A counter that is never above 1 takes every write.
            let written = io::Write::write(&mut &self.event, &1_u64.to_ne_bytes());
            debug_assert!(written.is_ok_and(|len| len == 8));
        }
    }
}

impl Ring {
    /// A ring for the files in `dir`, opened with O_DIRECT if `direct` and where the file system has it.
    pub fn new(dir: &Path, direct: bool) -> Result<Ring, Error> {
        let refused = |source: io::Error| Error::Unusable(limits::explain("an io_uring", &source));
        let files = Files::new(dir, direct)?;
        let ring = IoUring::builder().setup_clamp().build(ENTRIES).map_err(refused)?;
        if !ring.params().is_feature_skip_cqe_on_success() {
            return Err(refused(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        let event = syscalls::event_counter().map_err(refused)?;
        Ok(Ring {
            ring,
            dir: dir.to_owned(),
            files,
            ops: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            done: VecDeque::new(),
            waker: Arc::new(RingWaker { event, pending: AtomicBool::new(false) }),
            wake_count: Box::new(0),
            wake_armed: false,
            woken: false,
        })
    }

    /// Whether files are opened with O_DIRECT.
    pub fn is_direct(&self) -> bool {
        self.files.is_direct()
    }

    /// How durable log writes are made.
    pub fn log_sync(&self) -> LogSync {
        self.files.log_sync()
    }

    /// Makes durable log writes another way than the device seems best at.
    pub fn set_log_sync(&mut self, log_sync: LogSync) {
        self.files.set_log_sync(log_sync);
    }

    /// Has all of the log written through the page cache.
    pub fn buffer_log(&mut self) {
        self.files.buffer_log();
    }

    /// A handle with which other threads end a wait.
    pub fn waker(&self) -> Arc<RingWaker> {
        Arc::clone(&self.waker)
    }

    /// Queues a request; the kernel gets it at the next [`Ring::poll`] or [`Ring::wait`]. A rare request
    /// is performed before this returns.
    pub fn submit(&mut self, request: IoRequest) {
        self.files.observe(&request);
        if rare::is_rare(&request) {
            self.done.push_back(rare::perform(&self.dir, &request));
        } else if self.in_kernel() >= OPS_MAX {
            self.waiting.push_back(request);
        } else {
            self.begin(request);
        }
    }

    /// Drops the descriptors that a request makes stale which somebody else performs on these files.
    pub fn observe(&mut self, request: &IoRequest) {
        self.files.observe(request);
    }

    /// See [`Files::take_unlinked`].
    pub fn take_unlinked(&mut self) -> Vec<OpenFile> {
        self.files.take_unlinked()
    }

    /// See [`Files::take_dropped`].
    pub fn take_dropped(&mut self) -> Vec<OpenFile> {
        self.files.take_dropped()
    }

    /// How many requests have neither completed nor failed.
    pub fn in_flight(&self) -> usize {
        self.in_kernel() + self.waiting.len()
    }

    /// The next completion, if there is one.
    pub fn try_next(&mut self) -> Option<IoCompletion> {
        self.done.pop_front()
    }

    /// Hands queued requests to the kernel and collects what has completed, without waiting.
    pub fn poll(&mut self) -> io::Result<()> {
        self.enter(0, None)?;
        self.reap();
        self.flush()
    }

    /// Waits until `min` completions are there or all requests have completed, but no longer than
    /// `timeout`, nor beyond a [`RingWaker::wake`]. Returns whether it was woken. With nothing in flight
    /// and `min` above 0 it waits for the waker or the timeout.
    pub fn wait(&mut self, min: usize, timeout: Option<Duration>) -> io::Result<bool> {
        self.arm_waker();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            self.reap();
            let woken = std::mem::take(&mut self.woken);
            let idle = self.in_flight() == 0;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let enough = self.done.len() >= min || (idle && !self.done.is_empty());
            if woken || enough || left.is_some_and(|left| left.is_zero()) {
                self.flush()?;
                return Ok(woken);
            }
            self.enter(1, left)?;
        }
    }

    fn in_kernel(&self) -> usize {
        self.ops.len() - self.free.len()
    }

    fn begin(&mut self, request: IoRequest) {
        match self.open(request) {
            Ok(op) => self.start(op),
            Err(failed) => self.done.push_back(failed),
        }
    }

    fn open(&mut self, request: IoRequest) -> Result<Op, IoCompletion> {
        let failed = |token| move |error| IoCompletion { token, result: Err(error) };
        match request {
            IoRequest::Write { token, file: name, offset, data, sync } => {
                let file = self.files.for_write(name, offset, data.len()).map_err(failed(token))?;
                let sync = match sync {
                    false => Durable::No,
                    true if self.files.writes_through(name, &file, offset, data.len()) => Durable::Through,
                    true => Durable::Linked,
                };
                Ok(Op::Write { token, file, offset, data, written: 0, sync })
            }
            IoRequest::Read { token, file, offset, len } => {
                let file = self.files.get(file).map_err(failed(token))?;
                let span = ReadSpan::new(offset, len);
                Ok(Op::Read { token, file, span, buf: AlignedBuf::zeroed(span.len), filled: 0 })
            }
            IoRequest::Sync { token, file } => {
                let file = self.files.get(file).map_err(failed(token))?;
                Ok(Op::Sync { token, file })
            }
            rare => Err(rare::perform(&self.dir, &rare)),
        }
    }

    fn start(&mut self, op: Op) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.ops.push(None);
            self.ops.len() - 1
        });
        let (first, linked) = entries(self.ops[index].insert(op), index);
        match linked {
            Some(linked) => self.push(&[first.flags(Flags::IO_LINK | Flags::SKIP_SUCCESS), linked]),
            None => self.push(&[first]),
        }
    }

    fn push(&mut self, entries: &[Entry]) {
        // SAFETY: what the entries point to belongs to the operation in `ops` (or to the ring itself, for
        // the waker), stays at its address, and is kept until the completion has been reaped.
        while unsafe { self.ring.submission().push_multiple(entries) }.is_err() {
            // The queue is full: hand it over. It takes at least an entry, or reports why at the next enter.
            if self.ring.submit().is_err() {
                self.reap_completions();
            }
        }
    }

    fn arm_waker(&mut self) {
        if !self.wake_armed {
            self.wake_armed = true;
            let count = (&raw mut *self.wake_count).cast();
            let event = Fd(self.waker.event.as_raw_fd());
            self.push(&[opcode::Read::new(event, count, 8).build().user_data(WAKE)]);
        }
    }

    /// Hands over what was queued while completions were handled.
    fn flush(&mut self) -> io::Result<()> {
        if self.ring.submission().is_empty() { Ok(()) } else { self.enter(0, None) }
    }

    /// Enters the kernel to hand over entries and to wait for `want` completions or the timeout.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> io::Result<()> {
        let entered = match timeout.filter(|_| want > 0) {
            None => self.ring.submit_and_wait(want),
            Some(timeout) => {
                let time = Timespec::from(timeout);
                self.ring.submitter().submit_with_args(want, &SubmitArgs::new().timespec(&time))
            }
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The timeout, a signal, or completions to be reaped first: the caller looks again.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn reap(&mut self) {
        self.reap_completions();
        while self.in_kernel() < OPS_MAX
            && let Some(request) = self.waiting.pop_front()
        {
            self.begin(request);
        }
    }

    fn next_entry(&mut self) -> Option<io_uring::cqueue::Entry> {
        self.ring.completion().next()
    }

    fn reap_completions(&mut self) {
        while let Some(entry) = self.next_entry() {
            if entry.user_data() == WAKE {
                self.wake_armed = false;
                self.woken = true;
                // Before the owner looks at what it was woken for: a later wake must not be swallowed.
                self.waker.pending.store(false, Ordering::SeqCst);
                continue;
            }
            let index = (entry.user_data() >> 1) as usize;
            let is_linked_sync = entry.user_data() & 1 == 1;
            let op = self.ops[index].take().expect("each attempt of an operation completes once");
            self.free.push(index);
            match op.progress(entry.result(), is_linked_sync) {
                Progress::Done(completion) => self.done.push_back(completion),
                Progress::Again(op) => self.start(op),
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.waiting.clear();
        while self.in_kernel() > 0 {
            if self.enter(1, None).is_err() {
                // The kernel may still use the buffers, so they must outlive us.
                std::mem::forget(std::mem::take(&mut self.ops));
                break;
            }
            self.reap_completions();
        }
        if self.wake_armed {
            self.waker.wake();
            while self.wake_armed && self.enter(1, None).is_ok() {
                self.reap_completions();
            }
            if self.wake_armed {
                std::mem::forget(std::mem::take(&mut self.wake_count));
            }
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({}, {} in flight)", self.dir.display(), self.in_flight())
    }
}
