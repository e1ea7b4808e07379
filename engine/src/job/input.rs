//! The tables of a merge as cursors.
//!
//! A run is a list of tables one behind the other. Blocks of paged tables come in large pieces and are never put into
//! the shard's cache; every checksum is verified. A resident table is read from memory.

use super::merge_iter::Cursor;
use super::pieces::Pieces;
use crate::error::Error;
use crate::io::{IoCompletion, IoRequest, Token};
use crate::key::Entry;
use crate::table::{Block, BlockCache, BlockCursor, Table};
use std::sync::Arc;

/// A cursor over a run.
pub(super) struct RunInput {
    pieces: Pieces,
    /// Table and block that come next.
    next: (usize, usize),
    cursor: Option<BlockCursor>,
    key_buffer: Vec<u8>,
    /// Where compressed blocks of resident tables are decoded; holds only the newest.
    scratch: BlockCache,
}

impl RunInput {
    /// A run of disjoint tables in key order, before its first entry: call [`RunInput::go_on`].
    pub fn new(run: u32, tables: Vec<Arc<Table>>) -> RunInput {
        RunInput {
            pieces: Pieces::new(tables, true, Token(u64::from(run) << 32)),
            next: (0, 0),
            cursor: None,
            key_buffer: Vec::new(),
            scratch: BlockCache::new(0),
        }
    }

    /// The run that a token belongs to.
    pub fn run_of(token: Token) -> usize {
        (token.0 >> 32) as usize
    }

    /// Requests that have not completed.
    pub fn in_flight(&self) -> usize {
        self.pieces.in_flight()
    }

    /// Takes a completion of one of its reads.
    pub fn complete(&mut self, completion: IoCompletion) -> Result<(), Error> {
        self.pieces.complete(completion)
    }

    /// Whether it stands nowhere only because blocks haven't arrived.
    pub fn is_waiting(&self) -> bool {
        self.cursor.is_none() && self.next.0 < self.pieces.tables().len()
    }

    /// To the next entry, or into waiting, or to the end.
    pub fn advance(&mut self, requests: &mut Vec<IoRequest>) -> Result<(), Error> {
        if let Some(cursor) = &mut self.cursor {
            cursor.next();
            if cursor.entry().is_some() {
                return Ok(());
            }
        }
        if let Some(cursor) = self.cursor.take() {
            self.key_buffer = cursor.into_buffer();
        }
        self.go_on(requests)
    }

    /// Enters the next block if it is there, and asks for what should come after.
    pub fn go_on(&mut self, requests: &mut Vec<IoRequest>) -> Result<(), Error> {
        while self.is_waiting() {
            self.pieces.read_ahead(requests);
            let (table, block) = self.next;
            if block >= self.pieces.tables()[table].blocks() {
                self.next = (table + 1, 0);
                continue;
            }
            let Some(decoded) = self.decode(table, block)? else { return Ok(()) };
            self.next = (table, block + 1);
            let cursor = BlockCursor::with_buffer(decoded, std::mem::take(&mut self.key_buffer));
            if cursor.entry().is_some() {
                self.cursor = Some(cursor);
            }
        }
        Ok(())
    }

    fn decode(&mut self, table: usize, block: usize) -> Result<Option<Arc<Block>>, Error> {
        let source = &self.pieces.tables()[table];
        if source.is_resident() {
            return source.block(block, &mut self.scratch);
        }
        if let Some((place, raw)) = self.pieces.take_long(table, block) {
            return Ok(Some(Arc::new(self.pieces.tables()[table].take_block(place, raw)?)));
        }
        let source = &self.pieces.tables()[table];
        let Some((place, raw)) = self.pieces.raw(table, block) else { return Ok(None) };
        let decoded = Arc::new(source.decode_block(place, raw)?);
        self.pieces.used(block);
        Ok(Some(decoded))
    }
}

impl Cursor for RunInput {
    fn entry(&self) -> Option<Entry<'_>> {
        self.cursor.as_ref()?.entry()
    }
}
