//! The io_uring: queueing typed operations, entering, reaping.
//!
//! Every operation carries a [`Tag`] that comes back with its completion. Operations that use memory take a
//! [`Lent`], mark it lent, and leave giving it back to whoever sees the completion.

use super::address::Address;
use super::buffers::{Lent, StableBytes};
use super::connects::Attempt;
use super::syscalls;
use super::tag::{Kind, Tag};
use io_uring::types::{DestinationSlot, Fd, Fixed, FsyncFlags};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::thread::ThreadId;
use std::time::Duration;

const BUFFER_GROUP: u16 = 0;
/// Attempts to submit when the kernel has no memory for it.
const SUBMIT_ATTEMPTS: u32 = 10_000;
/// Most bytes one operation moves, because results are signed 32-bit numbers.
const OPERATION_BYTES_MAX: usize = 1 << 30;

/// A completion, copied out of the queue.
#[derive(Clone, Copy)]
pub(super) struct Completion {
    pub tag: Tag,
    pub result: i32,
    flags: u32,
}

impl Completion {
    /// Whether the operation goes on and will complete again.
    pub fn has_more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The receive buffer that it filled.
    pub fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    /// The result as the standard library has it.
    pub fn as_result(&self) -> io::Result<usize> {
        if self.result < 0 {
            Err(io::Error::from_raw_os_error(-self.result))
        } else {
            Ok(self.result as usize)
        }
    }
}

/// How long an enter waits for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    Forever,
    AtMost(Duration),
}

/// How a send behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SendMode {
    /// Doesn't wait for room; completes only if it couldn't send everything.
    TrySilently,
    /// Doesn't wait for room; always completes.
    Try,
    /// Waits for room until everything is sent.
    Wait,
}

/// How a write becomes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    No,
    /// By a linked fdatasync, which completes with this tag.
    Linked(Tag),
    /// By RWF_DSYNC.
    WriteThrough,
}

pub(super) struct Ring {
    ring: IoUring,
    /// Index of the ring's registered descriptor, and the thread that it is registered with.
    registered: Option<(RawFd, ThreadId)>,
    flags: EnterFlags,
    /// How often the kernel was entered.
    pub enters: u64,
}

impl Ring {
    /// Makes a ring that any thread may set up; the one that calls [`Ring::start`] owns it from then on.
    pub fn new(entries: u32, descriptors: u32) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_r_disabled()
            .setup_cqsize(entries.saturating_mul(4))
            .setup_clamp()
            .dontfork()
            .build(entries)?;
        if descriptors > 0 {
            ring.submitter().register_files_sparse(descriptors)?;
        }
        let mut flags = EnterFlags::empty();
        if ring.params().is_feature_no_iowait() {
            flags |= EnterFlags::NO_IOWAIT;
        }
        Ok(Ring { ring, registered: None, flags, enters: 0 })
    }

    /// The calling thread takes the ring over.
    pub fn start(&mut self) -> io::Result<()> {
        self.ring.submitter().register_enable_rings()?;
        let index = syscalls::register_ring_fd(self.ring.as_raw_fd())?;
        self.registered = Some((index, std::thread::current().id()));
        self.flags |= EnterFlags::REGISTERED_RING;
        Ok(())
    }

    /// The descriptor other rings send messages to.
    pub fn fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Registers the ring of receive buffers.
    ///
    /// # Safety
    /// `entries` must be the page-aligned address of `count` entries that outlive this ring.
    pub unsafe fn register_buffers(&self, entries: u64, count: u16) -> io::Result<()> {
        // SAFETY: promised by the caller.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(entries, count, BUFFER_GROUP, 0) }
    }

    /// Submits what is queued and waits for a completion.
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let (wanted, timeout) = match wait {
            Wait::No => (0, None),
            Wait::Forever => (1, None),
            Wait::AtMost(time) => (1, Some(time)),
        };
        for _ in 0..SUBMIT_ATTEMPTS {
            let queued = self.ring.submission().len() as u32;
            self.enters += 1;
            let fd = self.registered.map_or_else(|| self.ring.as_raw_fd(), |(index, _)| index);
            let result = syscalls::enter_ring(fd, queued, wanted, self.flags, timeout);
            if let Err(error) = result {
                match error.raw_os_error() {
                    Some(libc::ETIME | libc::EINTR) => {}
                    // The completion queue overflowed: the caller reaps, and the rest is submitted next time.
                    Some(libc::EBUSY) => return Ok(()),
                    Some(libc::EAGAIN | libc::ENOMEM) => std::thread::yield_now(),
                    _ => return Err(error),
                }
            }
            if self.ring.submission().is_empty() {
                return Ok(());
            }
        }
        Err(io::Error::other("the kernel has no memory for new operations"))
    }

    /// Copies all completions out; loops until everything that was queued is submitted and no completion
    /// is held back by an overflowing queue.
    pub fn reap(&mut self, into: &mut Vec<Completion>) -> io::Result<()> {
        loop {
            into.extend(self.ring.completion().map(|entry| Completion {
                tag: Tag(entry.user_data()),
                result: entry.result(),
                flags: entry.flags(),
            }));
            let queue = self.ring.submission();
            if queue.is_empty() && !queue.cq_overflow() {
                return Ok(());
            }
            drop(queue);
            self.enter(Wait::No)?;
        }
    }

    /// Whether an enter would find something to do; looks without entering.
    pub fn has_work(&mut self) -> bool {
        self.ring.submission().taskrun() || !self.ring.completion().is_empty()
    }

    /// Makes room for `count` operations in a row.
    fn make_room(&mut self, count: usize) -> io::Result<()> {
        let queue = self.ring.submission();
        if queue.capacity() - queue.len() >= count {
            return Ok(());
        }
        drop(queue);
        self.enter(Wait::No)?;
        if self.ring.submission().is_empty() {
            return Ok(());
        }
        Err(io::Error::other("the kernel takes no operations while its completion queue overflows"))
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        self.make_room(1)?;
        // SAFETY: the memory an entry refers to is lent to it (see `Lent`), or there is none.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|_| io::Error::other("the submission queue is full after it was emptied"))
    }

    /// Receives into the shared buffers until it is cancelled, fails, or they run out.
    pub fn receive(&mut self, slot: u32, tag: Tag) -> io::Result<()> {
        self.push(opcode::RecvMulti::new(Fixed(slot), BUFFER_GROUP).build().user_data(tag.0))
    }

    /// Sends a buffer from `from` on.
    pub fn send(
        &mut self,
        slot: u32,
        buffer: &mut Lent<Vec<u8>>,
        from: usize,
        mode: SendMode,
        tag: Tag,
    ) -> io::Result<()> {
        let bytes = &buffer.lend()[from..];
        let len = bytes.len().min(OPERATION_BYTES_MAX) as u32;
        let mut flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        if mode != SendMode::Wait {
            flags |= libc::MSG_DONTWAIT;
        }
        let mut entry = opcode::Send::new(Fixed(slot), bytes.as_ptr(), len).flags(flags).build();
        if mode == SendMode::TrySilently {
            entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        }
        self.push(entry.user_data(tag.0))
    }

    /// Accepts one connection into this direct descriptor.
    pub fn accept(
        &mut self,
        listener: RawFd,
        slot: u32,
        address: &mut Lent<Box<Address>>,
        tag: Tag,
    ) -> io::Result<()> {
        let (bytes, len) = address.lend().as_mut_pointers();
        let entry = opcode::Accept::new(Fd(listener), bytes.cast(), len);
        let slot = DestinationSlot::try_from_slot_target(slot)
            .map_err(|_| io::Error::other("no ring has so many descriptors"))?;
        self.push(entry.file_index(Some(slot)).build().user_data(tag.0))
    }

    /// Makes an attempt's socket this direct descriptor, and connects it; completes with ECANCELED when its time is over. The
    /// first of the three is done as it is submitted, behind everything that was queued before; should it fail, so does
    /// connecting.
    pub fn connect(&mut self, slot: u32, attempt: &mut Lent<Box<Attempt>>, tag: Tag) -> io::Result<()> {
        let attempt = attempt.lend();
        let (address, len) = attempt.address();
        let install = opcode::FilesUpdate::new(attempt.descriptor(), 1).offset(slot as i32);
        let connect = opcode::Connect::new(Fixed(slot), address, len);
        let time_out = opcode::LinkTimeout::new(attempt.time());
        self.make_room(3)?;
        self.push_ignored(install.build())?;
        self.push(connect.build().flags(squeue::Flags::IO_LINK).user_data(tag.0))?;
        self.push_ignored(time_out.build())
    }

    /// Gives a connection a second descriptor, one of the process. Kernels before 6.8 can't.
    pub fn locate(&mut self, slot: u32, tag: Tag) -> io::Result<()> {
        self.push(opcode::FixedFdInstall::new(Fixed(slot), 0).build().user_data(tag.0))
    }

    /// Reads into a buffer from `from` on.
    pub fn read<B: AsMut<[u8]>>(
        &mut self,
        fd: RawFd,
        offset: u64,
        buffer: &mut Lent<Box<B>>,
        from: usize,
        tag: Tag,
    ) -> io::Result<()>
    where
        Box<B>: StableBytes,
    {
        let bytes = &mut buffer.lend().as_mut().as_mut()[from..];
        let len = bytes.len().min(OPERATION_BYTES_MAX) as u32;
        let entry = opcode::Read::new(Fd(fd), bytes.as_mut_ptr(), len).offset(offset).build();
        self.push(entry.user_data(tag.0))
    }

    /// Writes a buffer from `from` on; with [`Sync::Linked`] it completes by the fdatasync linked to it, or by
    /// itself if it wrote less.
    pub fn write<B: AsRef<[u8]>>(
        &mut self,
        fd: RawFd,
        offset: u64,
        buffer: &mut Lent<Box<B>>,
        from: usize,
        tag: Tag,
        sync: Sync,
    ) -> io::Result<()> {
        let bytes = &(**buffer.lend()).as_ref()[from..];
        let len = bytes.len().min(OPERATION_BYTES_MAX) as u32;
        let flags = if sync == Sync::WriteThrough { libc::RWF_DSYNC } else { 0 };
        let entry = opcode::Write::new(Fd(fd), bytes.as_ptr(), len).offset(offset).rw_flags(flags);
        let entry = entry.build().user_data(tag.0);
        let Sync::Linked(sync_tag) = sync else {
            return self.push(entry);
        };
        self.make_room(2)?;
        self.push(entry.flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS))?;
        self.sync(fd, sync_tag)
    }

    /// Opens a file: its completion is a descriptor of the process.
    pub fn open(&mut self, path: &mut Lent<CString>, flags: i32, tag: Tag) -> io::Result<()> {
        let entry =
            opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.lend().as_ptr()).flags(flags | libc::O_CLOEXEC);
        self.push(entry.build().user_data(tag.0))
    }

    /// fdatasync.
    pub fn sync(&mut self, fd: RawFd, tag: Tag) -> io::Result<()> {
        self.push(opcode::Fsync::new(Fd(fd)).flags(FsyncFlags::DATASYNC).build().user_data(tag.0))
    }

    /// Completes each time the eventfd is written.
    pub fn watch_event(&mut self, fd: RawFd, tag: Tag) -> io::Result<()> {
        self.push(opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build().user_data(tag.0))
    }

    /// Wakes the reactor behind another ring; completes here only if that failed.
    pub fn wake(&mut self, ring: RawFd, failed: Tag) -> io::Result<()> {
        let there = Tag::new(Kind::Wake, 0, 0);
        let entry = opcode::MsgRingData::new(Fd(ring), 0, there.0, None).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(failed.0))
    }

    /// Cancels an operation, which then completes with ECANCELED (or as it did before).
    pub fn cancel(&mut self, tag: Tag) -> io::Result<()> {
        self.push_ignored(opcode::AsyncCancel::new(tag.0).build())
    }

    /// Tells the client that nothing more comes.
    pub fn shutdown_write(&mut self, slot: u32) -> io::Result<()> {
        self.push_ignored(opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR).build())
    }

    /// Frees a direct descriptor.
    pub fn close(&mut self, slot: u32) -> io::Result<()> {
        self.push_ignored(opcode::Close::new(Fixed(slot)).build())
    }

    fn push_ignored(&mut self, entry: squeue::Entry) -> io::Result<()> {
        let tag = Tag::new(Kind::Ignored, 0, 0);
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(tag.0))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // With another thread the index would mean another ring; that thread's end undoes the registration.
        if let Some((index, thread)) = self.registered
            && thread == std::thread::current().id()
        {
            syscalls::unregister_ring_fd(self.ring.as_raw_fd(), index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_run_more_rings_in_its_life_than_it_can_register() {
        for _ in 0..40 {
            let mut ring = Ring::new(8, 0).unwrap();
            ring.start().unwrap();
            ring.enter(Wait::No).unwrap();
        }
    }
}
