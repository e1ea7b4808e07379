//! Byte buffers aligned for O_DIRECT.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of buffers, and of offsets and lengths in direct I/O, in bytes.
pub const ALIGN: usize = 4096;

/// Rounds up to a multiple of [`ALIGN`].
pub const fn align_up(len: usize) -> usize {
    len.div_ceil(ALIGN) * ALIGN
}

/// A growable byte buffer whose memory starts at a multiple of [`ALIGN`] and whose capacity is one.
pub struct AlignedBuf {
    memory: NonNull<u8>,
    capacity: usize,
    len: usize,
}

// SAFETY: the buffer owns its memory exclusively, as a Vec<u8> does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access is read-only, as with a Vec<u8>.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer with room for at least `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> AlignedBuf {
        let capacity = align_up(capacity.max(1));
        AlignedBuf { memory: allocate(capacity), capacity, len: 0 }
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
        let mut grown = AlignedBuf::with_capacity(needed.max(self.capacity * 2));
        grown.len = self.len;
        grown.copy_from_slice(self);
        *self = grown;
    }
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
    fn a_reused_buffer_shows_nothing_of_its_past() {
        let mut buf = AlignedBuf::from(&b"secret"[..]);
        buf.clear();
        buf.resize(6);
        assert_eq!(&buf[..], [0; 6]);
    }
}
