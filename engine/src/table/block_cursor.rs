//! A position in a block, for ordered reading.

use super::block::{Block, Layout};
use crate::key::{Entry, Expiry, Stamp, Version};
use std::ops::Range;
use std::sync::Arc;

/// A position in a block, which it keeps alive. The key is put together in a buffer of its own: going on
/// replaces only what the block's keys don't share.
#[derive(Debug)]
pub struct BlockCursor {
    block: Arc<Block>,
    layout: Layout,
    /// The entry here; `layout.entries` behind the last.
    index: usize,
    key: Vec<u8>,
    prefix_len: usize,
    stamp: Stamp,
    expiry: Expiry,
    value: Range<usize>,
}

impl BlockCursor {
    /// At the block's first entry.
    pub fn new(block: Arc<Block>) -> BlockCursor {
        BlockCursor::with_buffer(block, Vec::new())
    }

    /// At the block's first entry; `buffer` is reused for keys.
    pub fn with_buffer(block: Arc<Block>, mut buffer: Vec<u8>) -> BlockCursor {
        let layout = block.layout();
        let prefix = layout.prefix(block.bytes());
        buffer.clear();
        buffer.extend_from_slice(prefix);
        let prefix_len = buffer.len();
        let (stamp, expiry) = (Stamp(0), Expiry::NEVER);
        let mut cursor =
            BlockCursor { block, layout, index: 0, key: buffer, prefix_len, stamp, expiry, value: 0..0 };
        cursor.go_to(0);
        cursor
    }

    /// Gives the key buffer back for the next block's cursor.
    pub fn into_buffer(self) -> Vec<u8> {
        self.key
    }

    /// The block.
    pub fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// To the first entry with a stored key at or behind `key`; behind the last if there is none.
    pub fn seek(&mut self, key: &[u8]) {
        self.seek_at(key, Version::MAX);
    }

    /// To the first entry of `key` with a version at or below `at`, or of a later key; behind the last if
    /// there is none.
    pub fn seek_at(&mut self, key: &[u8], at: Version) {
        let index = self.layout.seek(self.block.bytes(), key, at).unwrap_or(self.layout.entries);
        self.go_to(index);
    }

    /// To the next entry.
    pub fn next(&mut self) {
        self.go_to(self.index + 1);
    }

    /// The entry here; `None` behind the last.
    pub fn entry(&self) -> Option<Entry<'_>> {
        if self.index >= self.layout.entries {
            return None;
        }
        let value = self.block.bytes().get(self.value.clone())?;
        Some(Entry { key: &self.key, stamp: self.stamp, expiry: self.expiry, value })
    }

    fn go_to(&mut self, index: usize) {
        self.index = self.layout.entries;
        if index >= self.layout.entries {
            return;
        }
        // Entries were checked when the block was made; should a mapping have changed since, the block ends here.
        let Ok(entry) = self.layout.entry(self.block.bytes(), index) else { return };
        self.index = index;
        self.key.truncate(self.prefix_len);
        self.key.extend_from_slice(entry.suffix);
        (self.stamp, self.expiry) = (entry.stamp, entry.expiry);
        self.value = entry.value_at..entry.value_at + entry.value.len();
    }
}
