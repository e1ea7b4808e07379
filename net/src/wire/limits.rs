//! How long the parts of a frame may be.

use super::error::WireError;
use super::header::{Flags, HEADER_BYTES, ONCE_BYTES, Opcode, RESPONSE_BIT};

/// Limits of one side. The server tells its own in HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest value in bytes.
    pub value_bytes_max: u32,
    /// Longest batch or list of keys in bytes, its framing included.
    pub batch_bytes_max: u32,
    /// Requests that one connection may have unanswered; more are not read until some are answered.
    pub in_flight_max: u32,
}

impl Limits {
    /// Longest key in bytes; what its length field holds.
    pub const KEY_BYTES_MAX: usize = 65_535;
    /// The most that [`Limits::value_bytes_max`] and [`Limits::batch_bytes_max`] can be: 16 MiB.
    pub const BYTES_MAX: u32 = 16 << 20;
    /// Longest value part of a request that is neither a put, nor a batch, nor a list of keys: HELLO, PING, ranges.
    pub const CONTROL_BYTES_MAX: u32 = 512 << 10;
    /// Most keys of a MULTI-GET: so many are looked up without keeping others waiting.
    pub const KEYS_MAX: usize = 4096;
    /// Most operations of a batch: what belongs to one partition of it is done in one piece.
    pub const OPS_MAX: usize = 4096;
    /// Longest value part of a response: a largest value beside the framing of as many results as a MULTI-GET may
    /// have, or beside a key and a cursor.
    pub const RESPONSE_BYTES_MAX: u32 = Limits::BYTES_MAX + (2 << 20);
    /// Longest frame of all, in bytes.
    pub const FRAME_BYTES_MAX: usize =
        HEADER_BYTES + Limits::KEY_BYTES_MAX + Limits::RESPONSE_BYTES_MAX as usize + 16;

    /// The longest value part of a frame with this opcode, and what the limit is called.
    fn value_part(&self, opcode: u8) -> (u32, &'static str) {
        if opcode & RESPONSE_BIT != 0 {
            return (Limits::RESPONSE_BYTES_MAX, "response");
        }
        match Opcode::from_byte(opcode) {
            Some(Opcode::Put) => (self.value_bytes_max.min(Limits::BYTES_MAX), "value"),
            Some(Opcode::Batch) => (self.batch_bytes_max.min(Limits::BYTES_MAX), "batch"),
            Some(Opcode::MultiGet) => (self.batch_bytes_max.min(Limits::BYTES_MAX), "list of keys"),
            _ => (Limits::CONTROL_BYTES_MAX, "request"),
        }
    }
}

impl Limits {
    /// Checks the length of the value part of a frame. What a write carries so that it is done once doesn't count.
    pub(super) fn check_value_part(
        &self,
        id: u64,
        opcode: u8,
        flags: Flags,
        bytes: usize,
    ) -> Result<(), WireError> {
        let (limit, what) = self.value_part(opcode);
        let is_numbered = flags.has(Flags::ONCE) && opcode & RESPONSE_BIT == 0;
        let bytes = bytes.saturating_sub(if is_numbered { ONCE_BYTES } else { 0 });
        if bytes <= limit as usize {
            return Ok(());
        }
        Err(WireError::TooLong { id, opcode, what, bytes: bytes as u64, limit: limit.into() })
    }

    /// Checks the length of a value that lies inside a list.
    pub(super) fn check_value(&self, value: &[u8]) -> Result<(), WireError> {
        self.check_value_part(0, Opcode::Put as u8, Flags::NONE, value.len())
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            value_bytes_max: Limits::BYTES_MAX,
            batch_bytes_max: Limits::BYTES_MAX,
            in_flight_max: 65_536,
        }
    }
}
