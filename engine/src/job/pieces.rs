//! Reading the blocks of tables in order, in large pieces. Behind a long piece none is read ahead.

use super::table_writer::io_error;
use crate::aligned::AlignedBuf;
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use crate::table::{BlockRef, Table};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// A piece is at least so long, unless the table ends.
const PIECE_BYTES: u64 = 256 << 10;
/// Pieces in memory or on their way, if none is much longer.
const PIECES_MAX: usize = 2;
/// Bytes of pieces from which on none is read ahead: a long value is a piece of its own.
const AHEAD_BYTES: u64 = PIECES_MAX as u64 * PIECE_BYTES;

/// Contiguous blocks of one table.
struct Piece {
    token: Token,
    table: usize,
    blocks: Range<usize>,
    /// Where the first block lies in the file.
    offset: u64,
    len: u64,
    bytes: Option<AlignedBuf>,
}

/// Reads the blocks of tables one behind the other, at most two pieces ahead.
pub(super) struct Pieces {
    tables: Vec<Arc<Table>>,
    /// Resident tables aren't read.
    skip_resident: bool,
    /// Table and block behind those that were asked for.
    ahead: (usize, usize),
    queue: VecDeque<Piece>,
    token: Token,
    in_flight: usize,
}

impl Pieces {
    /// A reader whose tokens rise from `token`.
    pub fn new(tables: Vec<Arc<Table>>, skip_resident: bool, token: Token) -> Pieces {
        Pieces { tables, skip_resident, ahead: (0, 0), queue: VecDeque::new(), token, in_flight: 0 }
    }

    /// The tables it reads.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Requests that have not completed.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Asks for the next pieces, while there is room.
    pub fn read_ahead(&mut self, requests: &mut Vec<IoRequest>) {
        while self.queue.len() < PIECES_MAX
            && self.queue.iter().map(|piece| piece.len).sum::<u64>() < AHEAD_BYTES
        {
            let (table, first) = self.ahead;
            let Some(source) = self.tables.get(table) else { return };
            if first >= source.blocks() || (self.skip_resident && source.is_resident()) {
                self.ahead = (table + 1, 0);
                continue;
            }
            let offset = source.block_ref(first).offset;
            let (mut end, mut len) = (first, 0);
            while end < source.blocks() && len < PIECE_BYTES {
                let block = source.block_ref(end);
                let is_long = u64::from(block.len) > PIECE_BYTES;
                if is_long && len > 0 {
                    break;
                }
                len = block.offset + u64::from(block.len) - offset;
                end += 1;
            }
            let (token, file) = (self.token, FileName::Table(source.meta().number));
            self.token.0 += 1;
            self.ahead = (table, end);
            self.in_flight += 1;
            requests.push(IoRequest::Read { token, file, offset, len: len as usize });
            self.queue.push_back(Piece { token, table, blocks: first..end, offset, len, bytes: None });
        }
    }

    /// Takes a completion of one of its reads.
    pub fn complete(&mut self, completion: IoCompletion) -> Result<(), Error> {
        self.in_flight -= 1;
        let Some(piece) = self.queue.iter_mut().find(|piece| piece.token == completion.token) else {
            return Ok(());
        };
        let file = FileName::Table(self.tables[piece.table].meta().number);
        match completion.result.map_err(|error| io_error("read", file, error))? {
            IoOutput::Data(bytes) => piece.bytes = Some(bytes),
            _ => return Err(Error::Unusable(format!("a read of {file} yielded no bytes"))),
        }
        Ok(())
    }

    /// The stored bytes of the next block, which is block `block` of table `table`; `None` until they arrive.
    pub fn raw(&self, table: usize, block: usize) -> Option<(BlockRef, &[u8])> {
        let piece = self.queue.front()?;
        debug_assert!(piece.table == table && piece.blocks.contains(&block));
        let place = self.tables[table].block_ref(block);
        let start = (place.offset - piece.offset) as usize;
        let bytes = piece.bytes.as_ref()?;
        // A piece spans its blocks, so the range lies within; should it not, the checksum of nothing fails.
        Some((place, bytes.get(start..start + place.len as usize).unwrap_or_default()))
    }

    /// The next block, as [`Pieces::raw`], with the memory that it was read to, if it is a long one: its piece is used.
    pub fn take_long(&mut self, table: usize, block: usize) -> Option<(BlockRef, AlignedBuf)> {
        let place = self.tables[table].block_ref(block);
        let piece = self.queue.front_mut()?;
        let bytes = piece.bytes.take_if(|_| piece.len > PIECE_BYTES && piece.blocks.len() == 1)?;
        self.queue.pop_front();
        Some((place, bytes))
    }

    /// Lets go of a piece once its last block was used.
    pub fn used(&mut self, block: usize) {
        if self.queue.front().is_some_and(|piece| block + 1 == piece.blocks.end) {
            self.queue.pop_front();
        }
    }
}
