//! Byte buffers aligned for O_DIRECT.
//!
//! Large ones are anonymous maps: what wasn't written takes no memory, they grow without being copied, and when they are
//! gone nothing of them stays in the allocator.

use memmap2::{MmapMut, RemapOptions};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of buffers, and of offsets and lengths in direct I/O, in bytes.
pub const ALIGN: usize = 4096;

/// Buffers from this capacity on are maps, bytes.
const MAPPED_BYTES_MIN: usize = 128 << 10;

/// Rounds up to a multiple of [`ALIGN`].
pub const fn align_up(len: usize) -> usize {
    len.div_ceil(ALIGN) * ALIGN
}

/// A growable byte buffer whose memory starts at a multiple of [`ALIGN`] and whose capacity is one.
pub struct AlignedBuf {
    memory: NonNull<u8>,
    capacity: usize,
    len: usize,
    /// Whose `memory` is, if it isn't the allocator's.
    map: Option<MmapMut>,
}

// SAFETY: the buffer owns its memory exclusively, as a Vec<u8> does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access is read-only, as with a Vec<u8>.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer with room for at least `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> AlignedBuf {
        let capacity = align_up(capacity.max(1));
        if capacity < MAPPED_BYTES_MIN {
            return AlignedBuf { memory: allocate(capacity), capacity, len: 0, map: None };
        }
        let map = MmapMut::map_anon(capacity).unwrap_or_else(|_| handle_alloc_error(layout(capacity)));
        AlignedBuf { memory: start(&map), capacity, len: 0, map: Some(map) }
    }

    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> AlignedBuf {
        let mut buf = AlignedBuf::with_capacity(len);
        buf.len = len;
        buf
    }

    /// How many bytes fit before it grows.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Cuts to `len` bytes, if it is longer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Drops the first `count` bytes by moving the rest to the front.
    pub fn drain_front(&mut self, count: usize) {
        let count = count.min(self.len);
        self.copy_within(count.., 0);
        self.len -= count;
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.reserve(bytes.len());
        self.len += bytes.len();
        self[start..].copy_from_slice(bytes);
    }

    /// Grows or cuts to `len`, new bytes being zero.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            let start = self.len;
            self.reserve(len - start);
            self.len = len;
            self[start..].fill(0);
        }
        self.len = len;
    }

    /// Zero-fills up to the next multiple of [`ALIGN`].
    pub fn pad(&mut self) {
        self.resize(align_up(self.len));
    }

    /// Makes room for `more` bytes.
    pub fn reserve(&mut self, more: usize) {
        let needed = self.len.checked_add(more).expect("a buffer is far smaller than the address space");
        if needed <= self.capacity {
            return;
        }
        let capacity = align_up(needed.max(self.capacity * 2));
        if let Some(map) = &mut self.map {
            // SAFETY: nobody has a reference into the map: they would have borrowed this buffer.
            let grown = unsafe { map.remap(capacity, RemapOptions::new().may_move(true)) };
            grown.unwrap_or_else(|_| handle_alloc_error(layout(capacity)));
            (self.memory, self.capacity) = (start(map), capacity);
            return;
        }
        let mut grown = AlignedBuf::with_capacity(capacity);
        grown.len = self.len;
        grown.copy_from_slice(self);
        *self = grown;
    }
}

fn start(map: &MmapMut) -> NonNull<u8> {
    NonNull::new(map.as_ptr().cast_mut()).expect("nothing is mapped at address 0")
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, ALIGN)
        .expect("capacity is below isize::MAX and ALIGN is a power of two")
}

fn allocate(capacity: usize) -> NonNull<u8> {
    let layout = layout(capacity);
    // SAFETY: the layout's size is not zero: capacity is at least ALIGN.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.map.is_some() {
            return;
        }
        // SAFETY: the memory was allocated with this very layout and is not used afterwards.
        unsafe { dealloc(self.memory.as_ptr(), layout(self.capacity)) }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialised (zeroed at allocation) and owned.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for AlignedBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl From<&[u8]> for AlignedBuf {
    fn from(bytes: &[u8]) -> AlignedBuf {
        let mut buf = AlignedBuf::with_capacity(bytes.len());
        buf.extend_from_slice(bytes);
        buf
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_grows_without_losing_bytes() {
        let mut buf = AlignedBuf::with_capacity(10);
        for i in 0..3000_u32 {
            buf.extend_from_slice(&i.to_le_bytes());
        }
        assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
        assert_eq!(buf.len(), 12_000);
        assert_eq!(buf[11_996..], 2999_u32.to_le_bytes());
        buf.pad();
        assert_eq!(buf.len(), 12_288);
        assert!(buf[12_000..].iter().all(|&b| b == 0));
        buf.drain_front(11_996);
        assert_eq!(buf[..4], 2999_u32.to_le_bytes());
    }

    #[test]
    fn a_large_buffer_grows_into_more_memory_that_is_aligned_and_zero() {
        let mut buf = AlignedBuf::with_capacity(MAPPED_BYTES_MIN - ALIGN);
        buf.extend_from_slice(b"first");
        for len in [MAPPED_BYTES_MIN, 3 * MAPPED_BYTES_MIN + 1, 100 * MAPPED_BYTES_MIN] {
            buf.resize(len);
            assert_eq!((buf.as_ptr() as usize % ALIGN, buf.capacity() % ALIGN), (0, 0));
            assert!(&buf[..5] == b"first" && buf[5..].iter().all(|&byte| byte == 0), "{len}");
            *buf.last_mut().expect("it isn't empty") = 0;
        }
        let moved = std::thread::spawn(move || buf.len()).join().expect("a buffer may go to another thread");
        assert_eq!(moved, 100 * MAPPED_BYTES_MIN);
    }

    #[test]
    fn a_reused_buffer_shows_nothing_of_its_past() {
        let mut buf = AlignedBuf::from(&b"secret"[..]);
        buf.clear();
        buf.resize(6);
        assert_eq!(&buf[..], [0; 6]);
    }
}
