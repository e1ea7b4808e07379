//! Counting the keys of a range, in slices of bounded work.
//!
//! A count keeps nothing of what it passes, so it ends wherever it likes and goes on from a key. Keys and values lie in
//! the same blocks, so each block of the range is read once, in long pieces, ahead of the count.

use super::scan::Ahead;
use super::stream::{ScanData, ScanRange, Stand, Stream};
use crate::Error;
use crate::key::Expiry;
use crate::table::{BlockCache, BlockRef};

/// Bytes that are read ahead of a count, in several pieces; not more, because point reads wait behind them in the device.
const AHEAD: Ahead = Ahead { entries: usize::MAX, bytes: 768 << 10 };

/// How far a count has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountStop {
    /// Through the range.
    End,
    /// Enough was looked at.
    Tired,
    /// The next block isn't in memory.
    Missing,
}

/// What a slice of a count came to.
#[derive(Debug)]
pub struct Counted {
    /// Keys that its reader sees.
    pub keys: u64,
    /// Of these, keys that will expire.
    pub expiring: u64,
    /// Where it stopped.
    pub stop: CountStop,
    /// The stored key to go on from.
    pub next: Vec<u8>,
    /// Blocks to read: the one it misses first, if it misses one, then those it will come to.
    pub blocks: Vec<BlockRef>,
}

/// Counts what a reader sees of a range, looking at no more than `work` entries.
pub fn count(
    data: &ScanData<'_>,
    range: &ScanRange<'_>,
    work: &mut usize,
    cache: &mut BlockCache,
) -> Result<Counted, Error> {
    let mut counted = Counted {
        keys: 0,
        expiring: 0,
        stop: CountStop::Missing,
        next: range.from.to_vec(),
        blocks: Vec::new(),
    };
    let Some(mut stream) = Stream::open(data, range, range.to, AHEAD, cache, &mut counted.blocks)? else {
        return Ok(counted);
    };
    counted.stop = loop {
        match stream.settle(work, cache)? {
            Stand::Entry => {
                counted.keys += 1;
                let expires = stream.item().is_some_and(|(_, value)| value.expiry != Expiry::NEVER);
                counted.expiring += u64::from(expires);
                stream.pass();
            }
            Stand::End => return Ok(Counted { stop: CountStop::End, ..counted }),
            Stand::Tired => break CountStop::Tired,
            Stand::Missing => break CountStop::Missing,
        }
    };
    stream.wanted(Ahead { entries: 0, bytes: 0 }, cache, &mut counted.blocks);
    let missing = counted.blocks.first().copied();
    let mut coming = Vec::new();
    stream.coming(AHEAD, cache, &mut coming);
    counted.blocks.extend(coming.into_iter().filter(|&block| Some(block) != missing));
    stream.bound().clone_into(&mut counted.next);
    Ok(counted)
}
