//! The index of a table: which block may hold a key.
//!
//! Between two blocks stands a *separator*, a key and version that is above all of the first and not above any
//! of the second. Separators are searched through a static tree of nodes of 32 words, laid out in place: word 0
//! says how many bytes all keys under the node share, words 1..32 are the 8 bytes after them (the *heads*) of
//! the separators between its up to 32 children. Searching a node compares numbers; whole keys are read
//! only where heads are equal. So keys may share any prefix without slowing the search, and four cache lines a
//! level are all it touches: three levels cover 32,768 blocks. The ends of a leaf's blocks lie right behind it.
//!
//! ```text
//! nodes, root first, a level after the other, each leaf (32 words) before the ends of its blocks (32 words)
//! | n + 1 separator ends u64 | separators
//! ```
//!
//! A separator is stored as `key | version u64`. Number 0 is the first key of the table with the highest version,
//! number n its last key with version 0: the fences that every search stays between.

use crate::aligned::AlignedBuf;
use crate::key::{Version, common_len, head};
use smallvec::SmallVec;
use std::ops::Range;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, IntoBytes};

/// Children of a node.
const FANOUT: usize = 32;
/// Words of a leaf: the node, and where each of its blocks ends.
const LEAF_WORDS: usize = 2 * FANOUT;
/// Bytes of a word.
const WORD: usize = 8;
/// Before all versions of a key.
const NEWEST: u64 = u64::MAX;

/// Where the parts of an index lie in its bytes.
#[derive(Clone, Debug)]
pub(super) struct IndexLayout {
    blocks: usize,
    /// Root first, the leaves' level last.
    levels: SmallVec<[Level; 4]>,
    /// In words.
    separator_ends: usize,
    /// In bytes.
    separators: usize,
    /// Length of the longest block, bytes; known where the index was checked.
    longest_block: u64,
}

/// Nodes of equal depth.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// First word.
    start: usize,
    /// Words from a node to the next.
    stride: usize,
    /// Of all its nodes.
    children: usize,
    /// How many blocks lie under a child.
    span: usize,
}

/// Gathers separators and block ends.
#[derive(Default)]
pub(super) struct IndexBuilder {
    separators: Vec<u8>,
    separator_ends: Vec<U64>,
    block_ends: Vec<U64>,
}

impl IndexBuilder {
    /// Adds a block: the last entry before it (none for the first block), its first key, and where it ends.
    pub(super) fn add(&mut self, before: Option<(&[u8], Version)>, first_key: &[u8], end: u64) {
        match before {
            None => self.add_separator(first_key, NEWEST),
            Some((last, version)) if last == first_key => {
                self.add_separator(first_key, version.0.saturating_sub(1));
            }
            Some((last, _)) => {
                let len = common_len(last, first_key) + 1;
                self.add_separator(first_key.get(..len).unwrap_or(first_key), NEWEST);
            }
        }
        self.block_ends.push(end.into());
    }

    /// About how long the index would be.
    pub(super) fn bytes(&self) -> usize {
        self.separators.len() + self.block_ends.len() * WORD * 4
    }

    /// How many blocks were added.
    pub(super) fn blocks(&self) -> usize {
        self.block_ends.len()
    }

    /// The index, given the table's last key. Empty if there are no blocks.
    pub(super) fn finish(mut self, last_key: &[u8]) -> AlignedBuf {
        if self.block_ends.is_empty() {
            return AlignedBuf::with_capacity(0);
        }
        self.add_separator(last_key, 0);
        let layout = IndexLayout::new(self.blocks());
        let mut words = vec![U64::new(0); layout.separator_ends];
        for level in &layout.levels {
            for node in 0..level.children.div_ceil(FANOUT) {
                let at = level.start + node * level.stride;
                self.fill_node(&mut words[at..at + FANOUT], node * FANOUT, level);
            }
        }
        for (i, end) in self.block_ends.iter().enumerate() {
            words[layout.end_word(i)] = *end;
        }
        let mut out = AlignedBuf::with_capacity(layout.separators + self.separators.len());
        for part in [words.as_bytes(), self.separator_ends.as_bytes()] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.separators);
        out
    }

    /// A node's children are `first_child..` of its level.
    fn fill_node(&self, words: &mut [U64], first_child: usize, level: &Level) {
        let end_child = (first_child + FANOUT).min(level.children);
        let high = (end_child * level.span).min(self.blocks());
        let skip = common_len(self.key(first_child * level.span), self.key(high));
        words[0] = U64::new(skip as u64);
        for (word, child) in words[1..].iter_mut().zip(first_child + 1..end_child) {
            *word = U64::new(head(self.key(child * level.span), skip));
        }
    }

    fn key(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.separator_ends[i - 1].get() as usize };
        &self.separators[start..self.separator_ends[i].get() as usize - WORD]
    }

    fn add_separator(&mut self, key: &[u8], version: u64) {
        self.separators.extend_from_slice(key);
        self.separators.extend_from_slice(&version.to_le_bytes());
        self.separator_ends.push(U64::new(self.separators.len() as u64));
    }
}

impl IndexLayout {
    fn new(blocks: usize) -> IndexLayout {
        let mut counts: SmallVec<[usize; 4]> = SmallVec::new();
        let mut children = blocks;
        while children > FANOUT {
            counts.push(children);
            children = children.div_ceil(FANOUT);
        }
        if children > 0 {
            counts.push(children);
        }
        let mut levels = SmallVec::new();
        let mut separator_ends = 0;
        for (depth, &children) in counts.iter().rev().enumerate() {
            let above_leaves = counts.len() - 1 - depth;
            let stride = if above_leaves == 0 { LEAF_WORDS } else { FANOUT };
            let span = FANOUT.pow(above_leaves as u32);
            levels.push(Level { start: separator_ends, stride, children, span });
            separator_ends += children.div_ceil(FANOUT) * stride;
        }
        let separators = (separator_ends + blocks + 1) * WORD;
        IndexLayout { blocks, levels, separator_ends, separators, longest_block: 0 }
    }

    /// Checks that the parts of an index fit together, so that searching it can't leave it.
    pub(super) fn check(bytes: &[u8], blocks: u64, data_len: u64) -> Result<IndexLayout, String> {
        if blocks == 0 {
            let empty = bytes.is_empty() && data_len == 0;
            let layout = IndexLayout::new(0);
            return if empty { Ok(layout) } else { Err("data without an index".into()) };
        }
        // Every block takes more than 32 bytes of the index: what passes here is no larger than the file.
        let blocks = usize::try_from(blocks).ok().filter(|&blocks| blocks <= bytes.len() / 16);
        let mut layout = IndexLayout::new(blocks.ok_or("more blocks than the index has room for")?);
        if bytes.len() < layout.separators {
            return Err("shorter than its parts".into());
        }
        let ends = (0..layout.blocks).map(|i| layout.word(bytes, layout.end_word(i)));
        if !fills(ends, data_len, 1, u64::from(u32::MAX)) {
            return Err("blocks don't fill the data".into());
        }
        let separators = (0..=layout.blocks).map(|i| layout.word(bytes, layout.separator_ends + i));
        if !fills(separators, (bytes.len() - layout.separators) as u64, WORD as u64, u64::MAX) {
            return Err("separators don't fill their part".into());
        }
        let lens =
            (0..layout.blocks).map(|i| layout.block_range(bytes, i)).map(|range| range.end - range.start);
        layout.longest_block = lens.max().unwrap_or(0);
        Ok(layout)
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Length of the longest block, bytes.
    pub(super) fn longest_block(&self) -> u64 {
        self.longest_block
    }

    /// Where block `i` lies in the file, its checksum included.
    #[inline]
    pub(super) fn block_range(&self, bytes: &[u8], i: usize) -> Range<u64> {
        let end = |i| self.word(bytes, self.end_word(i));
        if i == 0 { 0..end(0) } else { end(i - 1)..end(i) }
    }

    /// The one block that may hold `key` at `at`; `None` if the key is outside the table.
    #[inline]
    pub(super) fn find(&self, bytes: &[u8], key: &[u8], at: Version) -> Option<usize> {
        if self.blocks == 0 || key < self.separator(bytes, 0).0 || key > self.separator(bytes, self.blocks).0
        {
            return None;
        }
        Some(self.descend(bytes, key, at))
    }

    /// The block where a scan for the first entry at or behind `key` and `at` begins; `None`: behind the table.
    pub(super) fn seek(&self, bytes: &[u8], key: &[u8], at: Version) -> Option<usize> {
        if self.blocks == 0 || key > self.separator(bytes, self.blocks).0 {
            return None;
        }
        let before = key < self.separator(bytes, 0).0;
        Some(if before { 0 } else { self.descend(bytes, key, at) })
    }

    /// Separator `i` of `blocks + 1`: a key and a version.
    #[inline]
    pub(super) fn separator<'a>(&self, bytes: &'a [u8], i: usize) -> (&'a [u8], u64) {
        let end =
            |i: usize| self.words(bytes, self.separator_ends + i, 1).first().map_or(0, |word| word.get());
        let start = if i == 0 { 0 } else { end(i - 1) } as usize;
        let record =
            bytes.get(self.separators + start..self.separators + end(i) as usize).unwrap_or_default();
        match record.split_last_chunk::<WORD>() {
            Some((key, version)) => (key, u64::from_le_bytes(*version)),
            None => (&[], NEWEST),
        }
    }

    #[inline]
    fn descend(&self, bytes: &[u8], key: &[u8], at: Version) -> usize {
        let mut node = 0;
        for level in &self.levels {
            let first_child = node * FANOUT;
            let count = (level.children - first_child).min(FANOUT);
            let words = self.words(bytes, level.start + node * level.stride, count);
            let (skip, heads) = words.split_first().map_or((0, words), |(skip, heads)| (skip.get(), heads));
            let head = head(key, skip as usize);
            let mut child = heads.partition_point(|other| other.get() < head);
            if heads.get(child).is_some_and(|other| other.get() == head) {
                let ties = heads[child..].partition_point(|other| other.get() == head);
                child += self.before(bytes, first_child + child + 1, ties, level.span, key, at);
            }
            node = first_child + child;
        }
        node.min(self.blocks - 1)
    }

    /// How many of `count` children from `first` on begin at or before a key and version.
    fn before(
        &self,
        bytes: &[u8],
        first: usize,
        count: usize,
        span: usize,
        key: &[u8],
        at: Version,
    ) -> usize {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            let (other, version) = self.separator(bytes, (first + middle) * span);
            if other < key || (other == key && version >= at.0) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Which word says where block `i` ends.
    #[inline]
    fn end_word(&self, i: usize) -> usize {
        let leaves = self.levels.last().map_or(0, |leaves| leaves.start);
        leaves + i / FANOUT * LEAF_WORDS + FANOUT + i % FANOUT
    }

    #[inline]
    fn word(&self, bytes: &[u8], at: usize) -> u64 {
        self.words(bytes, at, 1).first().map_or(0, |word| word.get())
    }

    #[inline]
    fn words<'a>(&self, bytes: &'a [u8], first: usize, count: usize) -> &'a [U64] {
        let bytes = bytes.get(first * WORD..(first + count) * WORD).unwrap_or_default();
        <[U64]>::ref_from_bytes(bytes).unwrap_or_default()
    }
}

/// Whether consecutive things that end here, each of `least..=most` bytes, come to `total` bytes.
fn fills(ends: impl Iterator<Item = u64>, total: u64, least: u64, most: u64) -> bool {
    let mut start = 0;
    for end in ends {
        match end.checked_sub(start) {
            Some(len) if (least..=most).contains(&len) => start = end,
            _ => return false,
        }
    }
    start == total
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index over keys that each fill a block of 10 bytes.
    fn index_of(keys: &[Vec<u8>]) -> (AlignedBuf, IndexLayout) {
        let mut builder = IndexBuilder::default();
        let mut before = None;
        for (i, key) in keys.iter().enumerate() {
            builder.add(before, key, (i as u64 + 1) * 10);
            before = Some((key.as_slice(), Version(1)));
        }
        let bytes = builder.finish(keys.last().expect("there are keys"));
        let layout = IndexLayout::check(&bytes, keys.len() as u64, keys.len() as u64 * 10)
            .expect("a fresh index fits together");
        (bytes, layout)
    }

    #[test]
    fn every_key_is_found_in_its_block_whatever_they_share() {
        let prefixes: [&[u8]; 3] = [b"", b"\0\0\0\x01\0\0\0\0user", &[b'x'; 300]];
        for count in [1, 2, 31, 32, 33, 1024, 1025, 3000] {
            let mut keys: Vec<Vec<u8>> =
                (0..count).map(|i| [prefixes[i % 3], format!("{:09}", i * 7).as_bytes()].concat()).collect();
            keys.sort();
            let (bytes, layout) = index_of(&keys);
            for (i, key) in keys.iter().enumerate() {
                assert_eq!(layout.find(&bytes, key, Version::MAX), Some(i));
                assert_eq!(layout.find(&bytes, key, Version(0)), Some(i));
                assert_eq!(layout.block_range(&bytes, i), i as u64 * 10..i as u64 * 10 + 10);
            }
            assert_eq!(layout.seek(&bytes, b"", Version::MAX), Some(0));
            assert_eq!(layout.seek(&bytes, b"y", Version::MAX), None);
            assert_eq!(layout.find(&bytes, b"y", Version::MAX), None);
        }
    }

    #[test]
    fn versions_of_one_key_are_told_apart() {
        let mut builder = IndexBuilder::default();
        let mut before = None;
        for i in 0..100_u64 {
            builder.add(before, b"hot", i + 1);
            before = Some((b"hot".as_slice(), Version(1000 - 10 * i)));
        }
        let bytes = builder.finish(b"hot");
        let layout = IndexLayout::check(&bytes, 100, 100).expect("a fresh index fits together");
        // Block i ends at version 1000 - 10 i.
        for at in 11..=1000 {
            assert_eq!(layout.find(&bytes, b"hot", Version(at)), Some((1000 - at).div_ceil(10) as usize));
        }
    }

    #[test]
    fn an_index_that_does_not_fit_together_is_refused() {
        let keys: Vec<Vec<u8>> = (0..40).map(|i| format!("key{i:02}").into_bytes()).collect();
        let (bytes, _) = index_of(&keys);
        assert!(IndexLayout::check(&bytes, 39, 400).is_err());
        assert!(IndexLayout::check(&bytes, u64::MAX, 400).is_err());
        assert!(IndexLayout::check(&bytes, 40, 401).is_err());
        assert!(IndexLayout::check(&bytes[..bytes.len() - 1], 40, 400).is_err());
        assert!(IndexLayout::check(&bytes[..50], 1, 400).is_err());
        assert!(IndexLayout::check(&[], 0, 0).is_ok());
    }
}
