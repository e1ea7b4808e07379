//! The bytes of replies that wait for an earlier one: one growing buffer instead of an allocation a reply.
//!
//! Released bytes are garbage until nothing is held, or until the owner compacts; [`Held::is_wasteful`] says
//! when that pays, so that the cost stays proportional to what was stored.

use std::ops::Range;

/// Where a stored reply lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    len: usize,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    live: usize,
}

/// An empty buffer above this size is given back.
pub(super) const KEEP_BYTES_MAX: usize = 4 << 10;

impl Held {
    /// Stores what `write` appends.
    pub(super) fn store(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - start;
        self.live += len;
        Span { start, len }
    }

    /// Appends a stored reply to `out` and releases it.
    pub(super) fn take(&mut self, span: Span, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[span.range()]);
        self.release(span);
    }

    pub(super) fn release(&mut self, span: Span) {
        self.live -= span.len;
        if self.live == 0 {
            self.bytes.clear();
            if self.bytes.capacity() > KEEP_BYTES_MAX {
                self.bytes = Vec::new();
            }
        }
    }

    /// Bytes in memory, garbage included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Memory behind them.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether so much is garbage that visiting `slots` slots to compact it is paid for.
    pub(super) fn is_wasteful(&self, slots: usize) -> bool {
        self.bytes.len() > 2 * self.live + 4096 + 16 * slots
    }

    /// Drops the garbage; `spans` are all that is live.
    pub(super) fn compact<'s>(&mut self, spans: impl Iterator<Item = &'s mut Span>) {
        let mut kept = Vec::with_capacity(self.live);
        for span in spans {
            let start = kept.len();
            kept.extend_from_slice(&self.bytes[span.range()]);
            span.start = start;
        }
        debug_assert_eq!(kept.len(), self.live, "a live span was not visited");
        self.bytes = kept;
    }
}
