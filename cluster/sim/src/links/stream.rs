//! What one end of a connection has sent and the other hasn't received: pieces in their order, and how it ends.

use std::collections::VecDeque;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The sender closed it.
    Closed,
    /// The sender is gone.
    Reset,
}

/// What is on its way, bytes, is no more than this: then the sender waits.
pub const WINDOW_BYTES: usize = 64 << 10;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Stream {
    /// Bytes, and when they arrive.
    pieces: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// How it ends behind all pieces, and when that arrives.
    finish: Option<(u64, Finish)>,
    /// The newest arrival: none comes before it.
    last_us: u64,
}

impl Stream {
    /// So many more bytes fit on the way.
    pub fn room(&self) -> usize {
        if self.finish.is_some() { 0 } else { WINDOW_BYTES.saturating_sub(self.bytes) }
    }

    /// Bytes leave, which arrive then, but behind all others.
    pub fn push(&mut self, at_us: u64, bytes: Vec<u8>) {
        self.last_us = self.last_us.max(at_us);
        self.bytes += bytes.len();
        self.pieces.push_back((self.last_us, bytes));
    }

    /// Nothing more leaves.
    pub fn finish(&mut self, at_us: u64, finish: Finish) {
        self.last_us = self.last_us.max(at_us);
        self.finish.get_or_insert((self.last_us, finish));
    }

    /// When the next piece or the end arrives.
    pub fn due_us(&self) -> Option<u64> {
        self.pieces.front().map(|piece| piece.0).or(self.finish.map(|finish| finish.0))
    }

    /// Whether that is now.
    pub fn is_due(&self, now_us: u64) -> bool {
        self.due_us().is_some_and(|due_us| due_us <= now_us)
    }

    /// When the sender gives up, if it waits no longer than so for bytes to be acknowledged.
    pub fn stuck_us(&self, patience_us: u64) -> Option<u64> {
        self.pieces.front().map(|piece| piece.0 + patience_us)
    }

    /// Whether that is now.
    pub fn is_stuck(&self, now_us: u64, patience_us: u64) -> bool {
        self.stuck_us(patience_us).is_some_and(|us| us <= now_us)
    }

    /// Whether bytes are on their way.
    pub fn has_bytes(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Takes up to `most` bytes of the next piece.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let Some((_, piece)) = self.pieces.front_mut() else { return Vec::new() };
        let taken: Vec<u8> = piece.drain(..most.min(piece.len())).collect();
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.bytes -= taken.len();
        taken
    }

    /// How it ends, when all bytes have arrived.
    pub fn end(&self) -> Option<Finish> {
        self.finish.filter(|_| self.pieces.is_empty()).map(|finish| finish.1)
    }

    /// All of it is thrown away.
    pub fn clear(&mut self) {
        (self.bytes, self.finish) = (0, None);
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_their_order_however_long_each_takes_and_the_end_comes_last() {
        let mut stream = Stream::default();
        stream.push(50, b"ab".to_vec());
        stream.push(10, b"c".to_vec());
        stream.finish(5, Finish::Closed);
        assert!(!stream.is_due(49) && stream.is_due(50) && stream.end().is_none());
        assert_eq!(
            (stream.take(1), stream.take(9), stream.take(9)),
            (b"a".to_vec(), b"b".to_vec(), b"c".to_vec())
        );
        assert_eq!((stream.end(), stream.due_us(), stream.room()), (Some(Finish::Closed), Some(50), 0));
    }

    #[test]
    fn a_sender_waits_for_room_and_for_its_patience_to_end() {
        let mut stream = Stream::default();
        stream.push(7, vec![0; WINDOW_BYTES]);
        assert_eq!(stream.room(), 0);
        assert!(!stream.is_stuck(106, 100) && stream.is_stuck(107, 100));
        stream.clear();
        assert_eq!((stream.room(), stream.due_us()), (WINDOW_BYTES, None));
    }
}
