//! The io_uring: queueing typed operations, entering, reaping.
//!
//! Every operation carries a [`Tag`] that comes back with its completion. Operations that use memory take a
//! [`Lent`], mark it lent, and leave giving it back to whoever sees the completion.

use super::buffers::{Lent, StableBytes};
use super::listener::Address;
use super::syscalls;
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

/// What a completion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Bytes of a connection.
    Receive,
    /// A connection's output.
    Send,
    /// A new connection.
    Accept,
    /// A descriptor by which to ask where a connection came in.
    Locate,
    /// A file was read.
    FileRead,
    /// A file was written.
    FileWrite,
    /// A file was synced.
    FileSync,
    /// A file was opened.
    FileOpen,
    /// This reactor's eventfd was written.
    Event,
    /// Another reactor woke this one.
    Wake,
    /// Waking another reactor failed.
    WakeFailed,
    /// Something whose outcome doesn't matter: cancel, shutdown, close.
    Ignored,
}

/// Kind (8 bits), generation (its low 24 bits) and index (32 bits) in an operation's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u64);

impl Tag {
    pub fn new(kind: Kind, index: u32, generation: u32) -> Tag {
        Tag(u64::from(index) | u64::from(generation & 0xff_ffff) << 32 | (kind as u64) << 56)
    }

    pub fn kind(self) -> Kind {
        match (self.0 >> 56) as u8 {
            0 => Kind::Receive,
            1 => Kind::Send,
            2 => Kind::Accept,
            3 => Kind::Locate,
            4 => Kind::FileRead,
            5 => Kind::FileWrite,
            6 => Kind::FileSync,
            7 => Kind::FileOpen,
            8 => Kind::Event,
            9 => Kind::Wake,
            10 => Kind::WakeFailed,
            _ => Kind::Ignored,
        }
    }

    pub fn index(self) -> u32 {
        self.0 as u32
    }

    /// Whether the tag was made with this generation.
    pub fn is_of(self, generation: u32) -> bool {
        (self.0 >> 32) as u32 & 0xff_ffff == generation & 0xff_ffff
    }
}

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

    /// Accepts one connection into a free direct descriptor.
    pub fn accept(&mut self, listener: RawFd, address: &mut Lent<Box<Address>>, tag: Tag) -> io::Result<()> {
        let address = address.lend();
        let (bytes, len) = address.as_mut_pointers();
        let entry = opcode::Accept::new(Fd(listener), bytes.cast(), len)
            .file_index(Some(DestinationSlot::auto_target()))
            .build();
        self.push(entry.user_data(tag.0))
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
    fn a_tag_keeps_what_it_was_made_of() {
        for kind in [
            Kind::Receive,
            Kind::Send,
            Kind::Locate,
            Kind::FileSync,
            Kind::FileOpen,
            Kind::WakeFailed,
            Kind::Ignored,
        ] {
            let tag = Tag::new(kind, u32::MAX - 1, 0x0123_4567);
            assert_eq!((tag.kind(), tag.index()), (kind, u32::MAX - 1));
            assert!(tag.is_of(0x0123_4567) && !tag.is_of(0x0123_4568));
        }
    }

    #[test]
    fn a_thread_may_run_more_rings_in_its_life_than_it_can_register() {
        for _ in 0..40 {
            let mut ring = Ring::new(8, 0).unwrap();
            ring.start().unwrap();
            ring.enter(Wait::No).unwrap();
        }
    }
}
