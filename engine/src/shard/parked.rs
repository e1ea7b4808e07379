//! Requests that wait for blocks from disk.
//!
//! A parked request owns its keys and the version it reads at; merges that start meanwhile keep what it
//! can see. The blocks it was given stay pinned in it, so a small cache can't make it wait forever.

use super::Target;
use super::owned::OwnedOp;
use super::partition::Place;
use super::queue::Waiting;
use crate::io::{IoRequest, Token};
use crate::key::Version;
use crate::table::{Block, BlockRef, Table};
use std::collections::HashMap;
use std::sync::Arc;

/// The top byte of the tokens of block reads.
const TOKEN_READ: u64 = 0x03 << 56;

/// Who holds a block that nobody pinned yet: the cache, the caller that hands it out, and the new pin.
const BLOCK_OWNERS: usize = 3;

/// A request that owns its bytes.
#[derive(Debug)]
pub(super) struct OwnedRequest {
    pub target: Target,
    pub op: OwnedOp,
}

/// A request that waits: for blocks, for its turn on a key, or both.
#[derive(Debug)]
pub(super) struct Parked {
    pub request: OwnedRequest,
    /// What a read sees; updates see the newest state when their turn comes.
    pub at: Version,
    /// The lines it stands in; empty for reads that only wait for blocks.
    pub lines: Vec<Box<[u8]>>,
    /// Blocks it still waits for.
    missing: usize,
    /// Blocks it was given.
    pins: Vec<Arc<Block>>,
    pinned_bytes: usize,
}

struct BlockRead {
    table: Arc<Table>,
    block: BlockRef,
    waiters: Vec<Waiting>,
}

/// All requests that wait, and the block reads in flight.
#[derive(Default)]
pub(super) struct ParkedRequests {
    requests: HashMap<Waiting, Parked>,
    reads: HashMap<(u64, u64), (Token, Vec<Waiting>)>,
    tokens: HashMap<Token, BlockRead>,
    next: u64,
    bytes: usize,
    /// How often a request parked for a block, ever.
    pub count: u64,
}

impl Parked {
    /// Memory it is charged with, bytes.
    fn bytes(&self) -> usize {
        self.request.op.bytes()
            + self.lines.iter().map(|key| key.len() + 32).sum::<usize>()
            + size_of::<Parked>()
            + self.pinned_bytes
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

    /// Memory of the waiting requests, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a request in.
    pub fn insert(&mut self, request: OwnedRequest, at: Version, lines: Vec<Box<[u8]>>) -> Waiting {
        self.next += 1;
        let parked = Parked { request, at, lines, missing: 0, pins: Vec::new(), pinned_bytes: 0 };
        self.bytes += parked.bytes();
        self.requests.insert(self.next, parked);
        self.next
    }

    pub fn get(&self, waiting: Waiting) -> Option<&Parked> {
        self.requests.get(&waiting)
    }

    /// Whether it waits for no block.
    pub fn has_its_blocks(&self, waiting: Waiting) -> bool {
        self.requests.get(&waiting).is_some_and(|parked| parked.missing == 0)
    }

    /// Takes a request out, with its pins: dropping it lets its blocks go.
    pub fn remove(&mut self, waiting: Waiting) -> Option<Parked> {
        let parked = self.requests.remove(&waiting)?;
        self.bytes -= parked.bytes();
        Some(parked)
    }

    /// Puts a request back that needs more blocks.
    pub fn put_back(&mut self, waiting: Waiting, parked: Parked) {
        self.bytes += parked.bytes();
        self.requests.insert(waiting, parked);
    }

    /// Makes a request wait for a block, asking for it unless somebody did.
    pub fn wait_for(
        &mut self,
        waiting: Waiting,
        table: &Arc<Table>,
        block: BlockRef,
        io: &mut Vec<IoRequest>,
    ) {
        let Some(parked) = self.requests.get_mut(&waiting) else { return };
        parked.missing += 1;
        self.count += 1;
        let next = &mut self.next;
        let (token, waiters) = self.reads.entry((block.table, block.offset)).or_insert_with(|| {
            *next += 1;
            let token = Token(TOKEN_READ | *next);
            io.push(IoRequest::Read {
                token,
                file: super::sources::Sources::file_of(block),
                offset: block.offset,
                len: block.len as usize,
            });
            (token, Vec::new())
        });
        waiters.push(waiting);
        self.tokens.entry(*token).or_insert_with(|| BlockRead {
            table: table.clone(),
            block,
            waiters: Vec::new(),
        });
    }

    /// The block a completion is about, its table, and who waits for it.
    pub fn read_done(&mut self, token: Token) -> Option<(Arc<Table>, BlockRef, Vec<Waiting>)> {
        let mut read = self.tokens.remove(&token)?;
        if let Some((_, waiters)) = self.reads.remove(&(read.block.table, read.block.offset)) {
            read.waiters = waiters;
        }
        Some((read.table, read.block, read.waiters))
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

    /// The versions that merges must keep for waiting reads.
    pub fn snapshots(&self) -> impl Iterator<Item = (Place, Version)> {
        self.requests.values().map(|parked| (parked.request.target.place, parked.at))
    }
}
