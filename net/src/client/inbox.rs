//! Received bytes on their way to frames.
//!
//! One buffer per connection. Frames are parsed where they lie; a partial one is moved to the front
//! when room is needed, and the buffer grows only as far as a frame within the limits needs.

use zerocopy::FromBytes;

use crate::wire::{self, Frame, Header, Limits, Parsed, WireError};

const READ_BYTES: usize = 64 << 10;
/// A buffer that grew for a large frame is given back once it holds less than this.
const KEEP_BYTES: usize = 1 << 20;

/// Where a connection's received bytes are collected.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// Room for what is received next; never empty. Grows beyond one frame only for frames that wait
    /// for [`Inbox::next`].
    pub(super) fn room(&mut self) -> &mut [u8] {
        let pending = self.end - self.start;
        if pending == 0 {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEEP_BYTES {
                self.buffer = Vec::new();
            }
        }
        let wanted = self.needed().unwrap_or(pending * 2).max(READ_BYTES);
        if self.start + wanted > self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, pending);
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were received into the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
        debug_assert!(self.end <= self.buffer.len());
    }

    /// How many bytes [`Inbox::next`] needs to have something to say; `None` if it has.
    fn needed(&self) -> Option<usize> {
        let bytes = &self.buffer[self.start..self.end];
        // The usual case costs no checksum: `next` checks.
        if let Ok((header, _)) = Header::ref_from_prefix(bytes)
            && header.frame_bytes() <= bytes.len()
        {
            return None;
        }
        match wire::parse(bytes, &Limits::default()) {
            Parsed::Incomplete { need } => Some(need),
            Parsed::Frame(..) | Parsed::Invalid(_) => None,
        }
    }

    /// Whether [`Inbox::next`] has something to say without more bytes.
    pub(super) fn is_ready(&self) -> bool {
        self.needed().is_none()
    }

    /// The next frame, if it is all there.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        match wire::parse(&self.buffer[self.start..self.end], &Limits::default()) {
            Parsed::Frame(frame, consumed) => {
                self.start += consumed;
                Ok(Some(frame))
            }
            Parsed::Incomplete { .. } => Ok(None),
            Parsed::Invalid(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Opcode, Responder};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_out_whole_however_their_bytes_come_in(
            lengths in prop::collection::vec(prop_oneof![0..300usize, 60_000..70_000usize], 1..12),
            pieces in prop::collection::vec(1..40_000usize, 1..20),
        ) {
            let mut bytes = Vec::new();
            for (id, &len) in lengths.iter().enumerate() {
                Responder::for_parts(id as u64, Opcode::Ping as u8, false).bytes(&mut bytes, &vec![id as u8; len]);
            }
            let (mut inbox, mut sent, mut found) = (Inbox::default(), 0, 0);
            let mut pieces = pieces.iter().cycle();
            while sent < bytes.len() {
                let room = inbox.room();
                let piece = (*pieces.next().unwrap()).min(room.len()).min(bytes.len() - sent);
                room[..piece].copy_from_slice(&bytes[sent..sent + piece]);
                inbox.filled(piece);
                sent += piece;
                loop {
                    let ready = inbox.is_ready();
                    let frame = inbox.next().unwrap();
                    prop_assert_eq!(ready, frame.is_some());
                    let Some(frame) = frame else { break };
                    prop_assert_eq!(frame.id(), found);
                    prop_assert_eq!(frame.value, vec![found as u8; lengths[found as usize]]);
                    found += 1;
                }
            }
            prop_assert_eq!(found as usize, lengths.len());
        }
    }
}
