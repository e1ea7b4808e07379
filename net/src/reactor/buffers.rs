//! Memory that is shared with the kernel: buffers lent to one operation, and the ring of receive buffers.

use super::ring::Ring;
use io_uring::types::BufRingEntry;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Something whose bytes stay where they are when it is moved.
///
/// # Safety
/// Moving the value must not move or free its bytes.
pub(super) unsafe trait StableBytes {}
// SAFETY: a vector's bytes are on the heap.
unsafe impl StableBytes for Vec<u8> {}
// SAFETY: what is in a box doesn't move with the box.
unsafe impl<T> StableBytes for Box<T> {}

/// A value that an operation in the kernel may be using.
///
/// [`Ring`] lends it when it queues the operation; whoever sees the completion gives it back. While it is lent
/// it can't be changed, and dropping it leaks it: a leak is harmless, a buffer freed under the kernel isn't.
pub(super) struct Lent<T> {
    value: ManuallyDrop<T>,
    lent: bool,
}

impl<T> Lent<T> {
    pub fn new(value: T) -> Lent<T> {
        Lent { value: ManuallyDrop::new(value), lent: false }
    }

    pub fn get(&self) -> &T {
        &self.value
    }

    /// The value to change. Panics if it is lent.
    pub fn get_mut(&mut self) -> &mut T {
        assert!(!self.lent, "a buffer that the kernel uses was about to be changed");
        &mut self.value
    }

    /// The value. Panics if it is lent.
    pub fn into_inner(mut self) -> T {
        assert!(!self.lent, "a buffer that the kernel uses was about to be taken");
        self.lent = true;
        // SAFETY: `lent` keeps Drop from touching the value again.
        unsafe { ManuallyDrop::take(&mut self.value) }
    }

    /// The operation that used the value has ended: its completion was seen, or it was never submitted.
    pub fn give_back(&mut self) {
        self.lent = false;
    }

    pub(super) fn lend(&mut self) -> &mut T
    where
        T: StableBytes,
    {
        self.lent = true;
        &mut self.value
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        if !self.lent {
            // SAFETY: the value is dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// An anonymous private mapping.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Mapping> {
        // SAFETY: a new anonymous mapping touches no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Mapping { start, bytes }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Receive buffers in a ring that the kernel takes from and this side gives back to.
///
/// Must be dropped after the [`Ring`] it is registered with: receives run only while the ring is entered, so that
/// none writes here once the ring is closed.
pub(super) struct ReceiveBuffers {
    /// The ring of free buffers, shared with the kernel.
    entries: Mapping,
    /// The buffers.
    memory: Mapping,
    count: u16,
    size: usize,
    /// How many buffers were ever given back, modulo 2^16; the kernel sees it after [`ReceiveBuffers::publish`].
    tail: u16,
}

// SAFETY: the mappings are owned; nothing in here belongs to a thread.
unsafe impl Send for ReceiveBuffers {}

impl ReceiveBuffers {
    /// Makes `count` buffers (a power of two) of `size` bytes and registers them as the ring's only group.
    pub fn new(ring: &Ring, count: u16, size: u32) -> io::Result<ReceiveBuffers> {
        let size = size as usize;
        let entries = Mapping::new(usize::from(count) * std::mem::size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * size)?;
        // SAFETY: the entries are page-aligned, hold `count` entries, and outlive the ring.
        unsafe { ring.register_buffers(entries.start.as_ptr() as u64, count)? };
        let mut buffers = ReceiveBuffers { entries, memory, count, size, tail: 0 };
        for id in 0..count {
            buffers.give_back(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `len` bytes of a buffer that the kernel filled and that was not yet given back.
    pub fn bytes(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < self.count && len <= self.size, "the kernel names buffers that exist");
        // SAFETY: inside the mapping (asserted); the kernel doesn't write to a buffer that it has handed over, and
        // `give_back` needs `&mut self`.
        unsafe {
            std::slice::from_raw_parts(self.memory.start.as_ptr().add(usize::from(id) * self.size), len)
        }
    }

    /// Returns a buffer to the kernel, visible to it after [`ReceiveBuffers::publish`].
    pub fn give_back(&mut self, id: u16) {
        assert!(id < self.count, "the kernel names buffers that exist");
        let place = usize::from(self.tail & (self.count - 1));
        // SAFETY: `place` is below `count`. The kernel reads only entries before the published tail, so this one
        // is ours; its fields are set one by one because the tail lies in the first entry's reserved bytes.
        unsafe {
            let entry = &mut *self.entries.start.as_ptr().cast::<BufRingEntry>().add(place);
            entry.set_addr(self.memory.start.as_ptr().add(usize::from(id) * self.size) as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given back.
    pub fn publish(&mut self) {
        // SAFETY: the tail is an aligned u16 in the first entry, written only here and read by the kernel.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.start.as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_lent_value_is_leaked_and_a_returned_one_is_dropped() {
        let witness = Rc::new(());
        let mut lent = Lent::new(Box::new(witness.clone()));
        lent.lend();
        drop(lent);
        assert_eq!(Rc::strong_count(&witness), 2);
        let mut lent = Lent::new(Box::new(witness.clone()));
        lent.lend();
        lent.give_back();
        drop(lent);
        assert_eq!(Rc::strong_count(&witness), 2);
    }

    #[test]
    fn a_value_that_was_not_lent_comes_back() {
        let lent = Lent::new(vec![1, 2, 3]);
        assert_eq!(lent.into_inner(), [1, 2, 3]);
    }
}
