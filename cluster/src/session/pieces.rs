//! A list that is collected for a reply and then leaves piece by piece, so that neither its growth nor its end is a long turn.
//!
//! Elements are kept as they will be written. No piece is longer than [`Pieces::BYTES`], and none is ever moved: a list grows
//! by another piece, and what has left is free at once.

use pinion_net::resp::{Encoder, Protocol};
use std::collections::VecDeque;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    len: usize,
    bytes: usize,
}

/// What a bulk string has around its bytes, at most.
const FRAMING_BYTES: usize = 26;

impl Pieces {
    /// Length of a piece at most: so much is copied in some ten microseconds.
    pub const BYTES: usize = 256 << 10;

    /// One long element, cut into pieces.
    pub fn of(element: &[u8]) -> Pieces {
        let mut pieces = Pieces { len: 1, bytes: element.len(), ..Pieces::default() };
        pieces.pieces.extend(element.chunks(Self::BYTES).map(<[u8]>::to_vec));
        pieces
    }

    /// Appends an element as it is.
    pub fn push(&mut self, element: &[u8]) {
        self.with_room_for(element.len()).extend_from_slice(element);
        self.note(element.len());
    }

    /// Appends a bulk string.
    pub fn push_bulk(&mut self, element: &[u8]) {
        let piece = self.with_room_for(element.len() + FRAMING_BYTES);
        let before = piece.len();
        // It is written alike in both versions.
        Encoder::new(piece, Protocol::Resp2).bulk(element);
        let bytes = piece.len() - before;
        self.note(bytes);
    }

    fn with_room_for(&mut self, bytes: usize) -> &mut Vec<u8> {
        debug_assert!(bytes <= Self::BYTES, "keys and lines are shorter");
        let is_full = self.pieces.back().is_none_or(|piece| piece.len() + bytes > Self::BYTES);
        if is_full {
            // Most lists are short; those that aren't have room for whole pieces.
            let room = if self.pieces.is_empty() { 0 } else { Self::BYTES };
            self.pieces.push_back(Vec::with_capacity(room));
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }

    fn note(&mut self, bytes: usize) {
        self.len += 1;
        self.bytes += bytes;
    }

    /// How many elements were appended.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that haven't left.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory of these.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.pieces.back().map_or(0, |piece| piece.capacity() - piece.len())
    }

    /// Whether they leave in more than one piece.
    pub fn is_long(&self) -> bool {
        self.pieces.len() > 1
    }

    /// Whether all have left.
    pub fn is_gone(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends the next piece to `out`.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if let Some(piece) = self.pieces.pop_front() {
            self.bytes -= piece.len();
            out.extend_from_slice(&piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_leaves_in_its_order_piece_by_piece() {
        let (mut list, mut whole) = (Pieces::default(), Vec::new());
        for number in 0..100_000 {
            let key = format!("key:{number}");
            list.push_bulk(key.as_bytes());
            Encoder::new(&mut whole, Protocol::Resp3).bulk(key.as_bytes());
        }
        assert_eq!((list.len(), list.bytes()), (100_000, whole.len()));
        let (mut out, mut pieces) = (Vec::new(), 0);
        while !list.is_gone() {
            let (before, left) = (out.len(), list.memory_bytes());
            list.leave(&mut out);
            let piece = out.len() - before;
            assert!(piece <= Pieces::BYTES, "{piece} bytes in one piece");
            assert!(list.memory_bytes() + piece <= left, "what has left is free");
            pieces += 1;
        }
        assert!(out == whole, "nothing is lost or moved");
        assert_eq!((pieces, list.memory_bytes()), (whole.len().div_ceil(Pieces::BYTES), 0));
    }

    #[test]
    fn a_long_element_leaves_in_pieces_as_it_was() {
        let element: Vec<u8> = (0..700_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut pieces, mut out) = (Pieces::of(&element), Vec::new());
        assert_eq!((pieces.len(), pieces.bytes(), pieces.memory_bytes()), (1, 700_000, 700_000));
        pieces.leave(&mut out);
        assert_eq!((out.len(), pieces.memory_bytes()), (Pieces::BYTES, 700_000 - Pieces::BYTES));
        while !pieces.is_gone() {
            pieces.leave(&mut out);
        }
        assert!(out == element && pieces.memory_bytes() == 0);
    }

    #[test]
    fn a_short_list_costs_little() {
        let mut list = Pieces::default();
        list.push(b"line\n");
        assert!(!list.is_long() && list.memory_bytes() < 100, "{} bytes", list.memory_bytes());
    }
}
