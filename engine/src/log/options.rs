//! How a log is written.

use crate::Error;
use crate::aligned::ALIGN;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Identifies the shard's directory; a file of another shard is refused.
    pub shard_id: [u8; 16],
    /// Writes start and end at multiples of 4096 bytes (O_DIRECT); otherwise of 8.
    pub direct: bool,
    /// Size of a segment in bytes, a multiple of 4096; at least twice the largest record, or large records
    /// get segments of their own size that aren't recycled.
    pub segment_bytes: u32,
    /// Buffers up to this size are kept for reuse, bytes.
    pub kept_bytes: usize,
}

impl LogOptions {
    /// Segments of 32 MiB.
    pub const SEGMENT_BYTES: u32 = 32 << 20;

    /// The defaults.
    pub fn new(shard_id: [u8; 16], direct: bool) -> LogOptions {
        let segment_bytes = LogOptions::SEGMENT_BYTES;
        LogOptions { shard_id, direct, segment_bytes, kept_bytes: 4 << 20 }
    }

    /// Refuses sizes that can't work.
    pub(super) fn check(&self) -> Result<(), Error> {
        let bytes = self.segment_bytes;
        if !bytes.is_multiple_of(ALIGN as u32) || !(4 * ALIGN as u32..=1 << 31).contains(&bytes) {
            return Err(Error::Limit(format!(
                "a log segment of {bytes} bytes isn't possible; choose a multiple of 4096 from 16 KiB to 2 GiB"
            )));
        }
        Ok(())
    }
}
