//! Requests that wait for blocks from disk.
//!
//! A parked request owns its keys and the view it reads; merges that start meanwhile keep what it
//! can see. The blocks it was given stay pinned in it, so a small cache can't make it wait forever.
//! Blocks that lie side by side in a table are read as one piece. Long blocks, each of which is a value, wait for each other:
//! what is being read of them is bounded, however many requests need one.

use super::flow::Target;
use super::owned::OwnedOp;
use super::parked_scan::ParkedScan;
use super::queue::Waiting;
use super::request::{NO_DEADLINE, Once};
use super::view::Moment;
use crate::group::groups::Place;
use crate::io::{IoRequest, Token};
use crate::key::Version;
use crate::table::{Block, BlockRef, Table};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The top byte of the tokens of block reads.
const TOKEN_READ: u64 = 0x03 << 56;

/// Who holds a block that nobody pinned yet: the cache, the caller that hands it out, and the new pin.
const BLOCK_OWNERS: usize = 3;

/// One read is so long at most, if no single block is longer.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// Whether blocks that are read together are one long block.
pub(super) fn is_long(piece: &[BlockRef]) -> bool {
    matches!(piece, [block] if block.len as usize > PIECE_BYTES_MAX)
}

/// A request that owns its bytes.
#[derive(Debug)]
pub(super) struct OwnedRequest {
    pub target: Target,
    pub once: Option<Box<Once>>,
    pub work: Work,
}

/// What a parked request does.
#[derive(Debug)]
pub(super) enum Work {
    /// All of it, once it has its blocks and its turn.
    Op(OwnedOp),
    /// It goes on with a page.
    Scan(Box<ParkedScan>),
    /// Nobody's request: its group goes on with applying what is committed.
    Apply,
}

/// A request that waits: for blocks, for its turn on a key, or both.
#[derive(Debug)]
pub(super) struct Parked {
    pub request: OwnedRequest,
    /// What a read sees; updates see the newest state when their turn comes.
    pub at: Moment,
    /// The lines it stands in; empty for reads that only wait for blocks.
    pub lines: Vec<Box<[u8]>>,
    /// Blocks it still waits for.
    missing: usize,
    /// Blocks it was given.
    pins: Vec<Arc<Block>>,
    pinned_bytes: usize,
}

/// A read in flight, or one that waits for others, of blocks side by side.
struct Piece {
    table: Arc<Table>,
    blocks: Vec<BlockRef>,
}

impl Piece {
    fn bytes(&self) -> usize {
        BlockRef::total_bytes(&self.blocks)
    }

    /// What counts of it as long.
    fn long_bytes(&self) -> usize {
        if is_long(&self.blocks) { self.bytes() } else { 0 }
    }
}

#[derive(Default)]
struct BlockWaiters {
    is_under_way: bool,
    waiters: Vec<Waiting>,
}

/// All requests that wait, and the block reads in flight.
#[derive(Default)]
pub(super) struct ParkedRequests {
    requests: HashMap<Waiting, Parked>,
    /// Who waits for a block, by table and offset; nobody, if it is read ahead.
    reads: HashMap<(u64, u64), BlockWaiters>,
    pieces: HashMap<Token, Piece>,
    /// Long pieces in flight, bytes; and those that wait for them.
    long_bytes: usize,
    long: VecDeque<Piece>,
    /// Those that have all they waited for, and go on in another turn.
    left_over: VecDeque<Waiting>,
    /// Those that have a deadline, the earliest first.
    deadlines: BTreeSet<(u64, Waiting)>,
    next: u64,
    bytes: usize,
    /// How often a request parked for a block, ever.
    pub count: u64,
}

impl Parked {
    /// Memory it is charged with, bytes.
    fn bytes(&self) -> usize {
        let work = match &self.request.work {
            Work::Op(op) => op.bytes(),
            Work::Scan(scan) => scan.bytes(),
            Work::Apply => 0,
        };
        let once = self.request.once.as_ref().map_or(0, |_| size_of::<Once>());
        work + once
            + self.lines.iter().map(|key| key.len() + 32).sum::<usize>()
            + size_of::<Parked>()
            + self.pinned_bytes
    }

    fn is_update(&self) -> bool {
        matches!(&self.request.work, Work::Op(op) if op.is_update())
    }

    /// Bytes of blocks that it pays for.
    pub fn pinned_bytes(&self) -> usize {
        self.pinned_bytes
    }

    /// Lets its blocks go.
    pub fn unpin(&mut self) {
        self.pins.clear();
        self.pinned_bytes = 0;
    }

    /// Its lines' keys.
    pub fn line_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().map(|key| &**key)
    }
}

impl ParkedRequests {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// How many places those take who wait for blocks.
    #[cfg(test)]
    pub fn waiters(&self) -> usize {
        self.reads.values().map(|read| read.waiters.len()).sum()
    }

    /// Memory of the waiting requests, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a request in.
    pub fn insert(&mut self, request: OwnedRequest, at: Moment, lines: Vec<Box<[u8]>>) -> Waiting {
        self.next += 1;
        let parked = Parked { request, at, lines, missing: 0, pins: Vec::new(), pinned_bytes: 0 };
        self.put_back(self.next, parked);
        self.next
    }

    pub fn get(&self, waiting: Waiting) -> Option<&Parked> {
        self.requests.get(&waiting)
    }

    /// Lets the blocks of a request go.
    pub fn unpin(&mut self, waiting: Waiting) {
        if let Some(parked) = self.requests.get_mut(&waiting) {
            self.bytes -= parked.pinned_bytes;
            parked.unpin();
        }
    }

    /// Whether it waits for no block.
    pub fn has_its_blocks(&self, waiting: Waiting) -> bool {
        self.requests.get(&waiting).is_some_and(|parked| parked.missing == 0)
    }

    /// Takes a request out, with its pins: dropping it lets its blocks go.
    pub fn remove(&mut self, waiting: Waiting) -> Option<Parked> {
        let parked = self.requests.remove(&waiting)?;
        self.bytes -= parked.bytes();
        self.deadlines.remove(&(parked.request.target.deadline_us, waiting));
        Some(parked)
    }

    /// The earliest deadline, and whose it is.
    pub fn first_deadline(&self) -> Option<(u64, Waiting)> {
        self.deadlines.first().copied()
    }

    /// Puts a request back that needs more blocks.
    pub fn put_back(&mut self, waiting: Waiting, parked: Parked) {
        self.bytes += parked.bytes();
        let deadline_us = parked.request.target.deadline_us;
        if deadline_us != NO_DEADLINE {
            self.deadlines.insert((deadline_us, waiting));
        }
        self.requests.insert(waiting, parked);
    }

    /// Leaves a request that may go on for another turn, if it is an update: a read asks for its part of the turn itself.
    pub fn leave_over(&mut self, waiting: Waiting) -> bool {
        let is_update = self.requests.get(&waiting).is_some_and(Parked::is_update);
        if is_update {
            self.left_over.push_back(waiting);
        }
        is_update
    }

    /// The first of those that were left over.
    pub fn next_left_over(&mut self) -> Option<Waiting> {
        self.left_over.pop_front()
    }

    /// Whether some were left over.
    pub fn has_left_over(&self) -> bool {
        !self.left_over.is_empty()
    }

    /// Makes a request wait for blocks, which somebody must [`ParkedRequests::read`].
    pub fn wait_for(&mut self, waiting: Waiting, blocks: &[BlockRef]) {
        let Some(parked) = self.requests.get_mut(&waiting) else { return };
        parked.missing += blocks.len();
        self.count += blocks.len() as u64;
        for block in blocks {
            let waiters = &mut self.reads.entry((block.table, block.offset)).or_default().waiters;
            // Those that were ended meanwhile would add up behind a block that doesn't come.
            if waiters.len() == waiters.capacity() {
                waiters.retain(|other| self.requests.contains_key(other));
            }
            waiters.push(waiting);
        }
    }

    /// Those of these blocks that aren't being read, in pieces to be read as one.
    pub fn pieces(&self, blocks: &[BlockRef]) -> Vec<Vec<BlockRef>> {
        let mut pieces: Vec<Vec<BlockRef>> = Vec::new();
        let mut bytes = 0;
        for &block in blocks {
            let read = self.reads.get(&(block.table, block.offset));
            if read.is_some_and(|read| read.is_under_way) {
                continue;
            }
            let len = block.len as usize;
            match pieces.last_mut() {
                Some(piece) if bytes + len <= PIECE_BYTES_MAX && is_next(piece, block) => {
                    piece.push(block);
                    bytes += len;
                }
                _ => {
                    pieces.push(vec![block]);
                    bytes = len;
                }
            }
        }
        pieces
    }

    /// Reads a piece: at once, or if it is long, when all that are in flight with it have no more than so many bytes together.
    /// One always may.
    pub fn read(
        &mut self,
        table: &Arc<Table>,
        blocks: Vec<BlockRef>,
        long_bytes_max: usize,
        io: &mut Vec<IoRequest>,
    ) {
        for block in &blocks {
            self.reads.entry((block.table, block.offset)).or_default().is_under_way = true;
        }
        let piece = Piece { table: table.clone(), blocks };
        if piece.long_bytes() == 0 {
            return self.start(piece, io);
        }
        self.long.push_back(piece);
        self.read_long(long_bytes_max, io);
    }

    /// Reads those of the long pieces that wait for which there is room now.
    pub fn read_long(&mut self, bytes_max: usize, io: &mut Vec<IoRequest>) {
        let fits = |next: &Piece, under_way| under_way == 0 || under_way + next.bytes() <= bytes_max;
        while self.long.front().is_some_and(|next| fits(next, self.long_bytes)) {
            let Some(piece) = self.long.pop_front() else { break };
            self.start(piece, io);
        }
    }

    fn start(&mut self, piece: Piece, io: &mut Vec<IoRequest>) {
        let Some(&first) = piece.blocks.first() else { return };
        self.next += 1;
        let token = Token(TOKEN_READ | self.next);
        self.long_bytes += piece.long_bytes();
        let file = super::sources::Sources::file_of(first);
        io.push(IoRequest::Read { token, file, offset: first.offset, len: piece.bytes() });
        self.pieces.insert(token, piece);
    }

    /// The blocks that a completion is about, and their table.
    pub fn read_done(&mut self, token: Token) -> Option<(Arc<Table>, Vec<BlockRef>)> {
        let piece = self.pieces.remove(&token)?;
        self.long_bytes -= piece.long_bytes();
        Some((piece.table, piece.blocks))
    }

    /// Who waits for a block that was read.
    pub fn take_waiters(&mut self, block: BlockRef) -> Vec<Waiting> {
        self.reads.remove(&(block.table, block.offset)).map_or_else(Vec::new, |read| read.waiters)
    }

    /// Gives a block to a waiter; `true` if it has all it waited for.
    pub fn give(&mut self, waiting: Waiting, block: &Arc<Block>, bytes: u32) -> bool {
        let Some(parked) = self.requests.get_mut(&waiting) else { return false };
        parked.pins.push(block.clone());
        // Whoever pins a block first pays for it.
        if Arc::strong_count(block) <= BLOCK_OWNERS {
            parked.pinned_bytes += bytes as usize;
            self.bytes += bytes as usize;
        }
        parked.missing -= 1;
        parked.missing == 0
    }

    /// The earliest time that a waiting read sees, milliseconds.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.requests.values().map(|parked| parked.at.now_ms).min()
    }

    /// The versions that merges must keep for waiting reads.
    pub fn pins(&self) -> impl Iterator<Item = (Place, Version)> {
        self.requests.values().flat_map(|parked| {
            let lanes = match &parked.request.work {
                Work::Scan(scan) => scan.readers.as_slice(),
                Work::Op(_) | Work::Apply => &[],
            };
            lanes.iter().copied().chain([(parked.request.target.place, parked.at.view.version)])
        })
    }
}

/// Whether a block lies right behind a piece.
fn is_next(piece: &[BlockRef], block: BlockRef) -> bool {
    piece
        .last()
        .is_some_and(|last| last.table == block.table && last.offset + u64::from(last.len) == block.offset)
}
