//! Widening a read to what O_DIRECT allows, and cutting the result back.

use crate::aligned::{ALIGN, AlignedBuf, align_up};

/// The aligned part of a file that covers an unaligned read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSpan {
    /// Where to read, a multiple of [`ALIGN`].
    pub offset: u64,
    /// How many bytes to read, a multiple of [`ALIGN`].
    pub len: usize,
    skip: usize,
    wanted: usize,
}

impl ReadSpan {
    /// The span that covers `wanted` bytes at `offset`.
    pub fn new(offset: u64, wanted: usize) -> ReadSpan {
        let start = offset - offset % ALIGN as u64;
        let skip = (offset - start) as usize;
        ReadSpan { offset: start, len: align_up(skip + wanted), skip, wanted }
    }

    /// Whether the first `filled` bytes of the span hold all that is wanted. A file may end inside the
    /// span's last block, so reading less than `len` can be enough.
    pub fn is_covered_by(&self, filled: usize) -> bool {
        filled >= self.skip + self.wanted
    }

    /// Cuts a buffer that holds the span down to the bytes that are wanted.
    pub fn cut(&self, mut buf: AlignedBuf) -> AlignedBuf {
        buf.truncate(self.skip + self.wanted);
        if self.skip > 0 {
            buf.drain_front(self.skip);
        }
        buf
    }
}

/// How much of `done` bytes counts before going on with a direct transfer that stopped short.
pub(super) fn aligned_progress(done: usize, direct: bool) -> usize {
    if direct { done - done % ALIGN } else { done }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_span_is_aligned_and_cuts_to_exactly_the_wanted_bytes(offset in 0_usize..20_000, wanted in 0_usize..20_000) {
            let file: Vec<u8> = (0..49_152_u32).map(|i| (i % 251) as u8).collect();
            let span = ReadSpan::new(offset as u64, wanted);
            prop_assert_eq!(span.offset % ALIGN as u64, 0);
            prop_assert_eq!(span.len % ALIGN, 0);
            prop_assert!(span.is_covered_by(span.len));
            let start = span.offset as usize;
            let cut = span.cut(AlignedBuf::from(&file[start..start + span.len]));
            prop_assert_eq!(&cut[..], &file[offset..offset + wanted]);
        }
    }
}
