//! A block of entries, as it is stored and as it is read.
//!
//! ```text
//! 0  encoding u8 (0: these bytes as they are) | 0 u8 | entries n u16 | prefix length p u16
//! 6  n tags u8 | n offsets u16 | prefix | entries
//! ```
//!
//! The prefix is what all keys of the block share. Every entry is a restart point: offset `i` says where
//! entry `i` begins behind the prefix, so any entry is read without its neighbours. The tags are the hash
//! index: a byte of each key's hash, in the order of the entries, compared eight at a time; a point read looks
//! at the entries whose tag fits, which for 30 entries is the right one and, one time in nine, another.
//!
//! An entry is `stamp u64 | suffix length u8 | [suffix length u32, if the byte is 255] | [expiry u64, if
//! bit 7 of the stamp's kind is set] | suffix | value`; the value ends where the next entry begins.
//! Nothing here trusts the bytes: what doesn't fit together is [`Malformed`], never a panic.

use super::found::{BlockRef, Found};
use crate::aligned::AlignedBuf;
use crate::key::{Expiry, Kind, Stamp, Version};
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// First byte of a block: stored as it is.
pub(super) const RAW: u8 = 0;
/// First byte of a block: `1 | 0 0 0 | length u32 | lz4 block` of the raw block with that length.
pub(super) const LZ4: u8 = 1;
/// Bytes before the lz4 data.
pub(super) const LZ4_HEADER: usize = 8;
/// Stamp and suffix length: no entry takes less.
const ENTRY_BYTES_MIN: usize = 9;
/// Bytes before the tags.
pub(super) const HEADER: usize = 6;
/// In the kind of a stored stamp: an expiry follows.
pub(super) const EXPIRES: u64 = 0x80;
/// In place of a suffix length: the length follows as a u32.
pub(super) const LONG_SUFFIX: u8 = 255;

/// The tag of a key with this hash.
#[inline]
pub(super) fn tag(hash: u64) -> u8 {
    (hash >> 48) as u8
}

/// A block's bytes contradict themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where the parts of a raw block begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// How many entries there are, at least one.
    pub entries: usize,
    offsets: usize,
    prefix: usize,
    data: usize,
}

/// One entry in its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawEntry<'a> {
    pub stamp: Stamp,
    pub expiry: Expiry,
    pub suffix: &'a [u8],
    pub value: &'a [u8],
    /// Where the value begins in the block.
    pub value_at: usize,
}

impl Layout {
    #[inline]
    pub(super) fn of(block: &[u8]) -> Result<Layout, Malformed> {
        let header = block.first_chunk::<HEADER>().ok_or(Malformed)?;
        let entries = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let prefix_len = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let offsets = HEADER + entries;
        let prefix = offsets + 2 * entries;
        let data = prefix + prefix_len;
        if header[0] != RAW || entries == 0 || data >= block.len() {
            return Err(Malformed);
        }
        Ok(Layout { entries, offsets, prefix, data })
    }

    /// The least length of a block of so many entries with so long a prefix; `None` if its first entry isn't where
    /// the entries begin, so that this is no block.
    pub(super) fn least_len(self, block: &[u8]) -> Option<usize> {
        let starts_first = self.start(block, 0).ok()? == self.data;
        starts_first.then_some(self.data + self.entries * ENTRY_BYTES_MIN)
    }

    /// What all keys begin with.
    #[inline]
    pub(super) fn prefix(self, block: &[u8]) -> &[u8] {
        block.get(self.prefix..self.data).unwrap_or_default()
    }

    #[inline]
    fn start(self, block: &[u8], i: usize) -> Result<usize, Malformed> {
        let at = self.offsets + 2 * i;
        let bytes = block.get(at..at + 2).and_then(|bytes| bytes.first_chunk::<2>()).ok_or(Malformed)?;
        Ok(self.data + usize::from(u16::from_le_bytes(*bytes)))
    }

    /// Entry `i`, which is below `entries`.
    #[inline]
    pub(super) fn entry(self, block: &[u8], i: usize) -> Result<RawEntry<'_>, Malformed> {
        let start = self.start(block, i)?;
        let end = if i + 1 < self.entries { self.start(block, i + 1)? } else { block.len() };
        let mut rest = block.get(start..end).ok_or(Malformed)?;
        let stamp = u64::from_le_bytes(take(&mut rest)?);
        let [short] = take::<1>(&mut rest)?;
        let suffix_len = match short {
            LONG_SUFFIX => u32::from_le_bytes(take(&mut rest)?) as usize,
            len => usize::from(len),
        };
        let expiry = if stamp & EXPIRES == 0 { 0 } else { u64::from_le_bytes(take(&mut rest)?) };
        let (suffix, value) = rest.split_at_checked(suffix_len).ok_or(Malformed)?;
        let value_at = end - value.len();
        Ok(RawEntry { stamp: Stamp(stamp & !EXPIRES), expiry: Expiry(expiry), suffix, value, value_at })
    }

    /// The newest entry of `key` with a version at or below `at`, if it begins in this block.
    #[inline]
    pub(super) fn find<'a>(
        self,
        block: &'a [u8],
        key: &[u8],
        hash: u64,
        at: Version,
    ) -> Result<Option<Found<'a>>, Malformed> {
        let Some(suffix) = key.strip_prefix(self.prefix(block)) else { return Ok(None) };
        let pattern = u64::from(tag(hash)) * LOW_BITS;
        for base in (0..self.entries).step_by(8) {
            // The last word runs into the offsets; what fits there by chance is beyond the last entry.
            let word =
                block.get(HEADER + base..).and_then(|rest| rest.first_chunk::<8>()).ok_or(Malformed)?;
            let mut hits = zero_bytes(u64::from_le_bytes(*word) ^ pattern);
            while hits != 0 {
                let i = base + hits.trailing_zeros() as usize / 8;
                if i >= self.entries {
                    break;
                }
                let entry = self.entry(block, i)?;
                if entry.suffix == suffix && entry.stamp.version() <= at {
                    let RawEntry { stamp, expiry, value, .. } = entry;
                    return Ok(Some(Found { stamp, expiry, value }));
                }
                hits &= hits - 1;
            }
        }
        Ok(None)
    }

    /// Index of the first entry at or behind `key` and version `at` in storage order; `entries` if there is none.
    pub(super) fn seek(self, block: &[u8], key: &[u8], at: Version) -> Result<usize, Malformed> {
        let prefix = self.prefix(block);
        let Some(suffix) = key.strip_prefix(prefix) else {
            return Ok(if key < prefix { 0 } else { self.entries });
        };
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(block, middle)?;
            let before = match entry.suffix.cmp(suffix) {
                Ordering::Equal => entry.stamp.version() > at,
                order => order == Ordering::Less,
            };
            if before { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// Whether every entry can be read and is of a kind that blocks hold.
    pub(super) fn check(self, block: &[u8]) -> Result<(), Malformed> {
        if self.start(block, 0)? != self.data {
            return Err(Malformed);
        }
        for i in 0..self.entries {
            match self.entry(block, i)?.stamp.kind() {
                Some(Kind::Value | Kind::Tombstone) => {}
                Some(Kind::RangeTombstone) | None => return Err(Malformed),
            }
        }
        Ok(())
    }
}

/// The tags of a block, in the order of its entries.
pub(super) fn tags(block: &[u8], layout: Layout) -> &[u8] {
    block.get(HEADER..HEADER + layout.entries).unwrap_or_default()
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte that is zero. A byte above a zero one may be set too; callers check.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW_BITS) & !word & (LOW_BITS << 7)
}

#[inline]
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    *rest = tail;
    Ok(*head)
}

/// A decoded block of entries: its own memory, what it was read to, or a part of a resident file.
pub struct Block {
    at: BlockRef,
    layout: Layout,
    bytes: BlockBytes,
}

enum BlockBytes {
    Owned(Box<[u8]>),
    /// As it was read, without its checksum.
    Read(AlignedBuf),
    Resident(Arc<AlignedBuf>, Range<usize>),
}

impl Block {
    /// A raw block in memory; every entry of it is checked.
    pub(super) fn owned(at: BlockRef, bytes: Box<[u8]>) -> Result<Block, Malformed> {
        let layout = Layout::of(&bytes)?;
        layout.check(&bytes)?;
        Ok(Block { at, layout, bytes: BlockBytes::Owned(bytes) })
    }

    /// A raw block where it was read to, without its checksum; every entry of it is checked.
    pub(super) fn read(at: BlockRef, bytes: AlignedBuf) -> Result<Block, Malformed> {
        let layout = Layout::of(&bytes)?;
        layout.check(&bytes)?;
        Ok(Block { at, layout, bytes: BlockBytes::Read(bytes) })
    }

    /// A raw block of a resident file, without its checksum; every entry of it is checked.
    pub(super) fn resident(
        at: BlockRef,
        file: &Arc<AlignedBuf>,
        range: Range<usize>,
    ) -> Result<Block, Malformed> {
        let bytes = file.get(range.clone()).ok_or(Malformed)?;
        let layout = Layout::of(bytes)?;
        layout.check(bytes)?;
        Ok(Block { at, layout, bytes: BlockBytes::Resident(Arc::clone(file), range) })
    }

    /// Where it lies in its table.
    pub fn at(&self) -> BlockRef {
        self.at
    }

    /// How many entries it has, at least one.
    pub fn entries(&self) -> usize {
        self.layout.entries
    }

    /// Memory it owns, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let owned = match &self.bytes {
            BlockBytes::Owned(bytes) => bytes.len(),
            BlockBytes::Read(bytes) => bytes.capacity(),
            BlockBytes::Resident(..) => 0,
        };
        owned + size_of::<Block>()
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            BlockBytes::Owned(bytes) => bytes,
            BlockBytes::Read(bytes) => bytes,
            BlockBytes::Resident(file, range) => file.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} entries at {} of table {})", self.layout.entries, self.at.offset, self.at.table)
    }
}
