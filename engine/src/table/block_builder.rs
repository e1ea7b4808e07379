//! Puts a block together: gathers entries until it is full, then writes it in one go, because what all
//! keys share is known only with the last one.

use super::block::{EXPIRES, HEADER, LONG_SUFFIX, RAW, tag};
use crate::key::{Entry, Expiry, Version, common_len};

/// Bytes that a block is filled to; only one with a single entry is larger.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Bytes of an entry besides suffix, value and expiry: tag, offset, stamp, suffix length.
const ENTRY_OVERHEAD: usize = 1 + 2 + 8 + 1;

/// The block being filled.
#[derive(Default)]
pub(super) struct BlockBuilder {
    keys: Vec<u8>,
    values: Vec<u8>,
    entries: Vec<Pending>,
    /// Length of what all keys share.
    shared: usize,
    /// All bytes of entries, as if nothing were shared.
    entry_bytes: usize,
}

struct Pending {
    stamp: u64,
    expiry: Expiry,
    tag: u8,
    key_end: usize,
    value_end: usize,
}

impl BlockBuilder {
    /// Whether it has no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About how long the block would be now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_with(self.entries.len(), self.shared, self.entry_bytes)
    }

    /// Whether an entry may join: the first always may, others while the block isn't full.
    pub(super) fn has_room(&self, entry: &Entry<'_>) -> bool {
        if self.entries.is_empty() {
            return true;
        }
        let shared = common_len(&self.first_key()[..self.shared], entry.key);
        let bytes =
            self.bytes_with(self.entries.len() + 1, shared, self.entry_bytes + entry_bytes(entry, shared));
        bytes <= BLOCK_BYTES
    }

    /// Adds an entry behind all others.
    pub(super) fn add(&mut self, entry: &Entry<'_>, hash: u64) {
        self.shared = match self.entries.is_empty() {
            true => entry.key.len().min(usize::from(u16::MAX)),
            false => common_len(&self.first_key()[..self.shared], entry.key),
        };
        self.entry_bytes += entry_bytes(entry, self.shared);
        self.keys.extend_from_slice(entry.key);
        self.values.extend_from_slice(entry.value);
        self.entries.push(Pending {
            stamp: entry.stamp.0,
            expiry: entry.expiry,
            tag: tag(hash),
            key_end: self.keys.len(),
            value_end: self.values.len(),
        });
    }

    /// The first key; the block isn't empty.
    pub(super) fn first_key(&self) -> &[u8] {
        self.entries.first().map_or(&[], |first| &self.keys[..first.key_end])
    }

    /// The last key and its version; the block isn't empty.
    pub(super) fn last(&self) -> (&[u8], Version) {
        let start = match self.entries.len() {
            0 | 1 => 0,
            len => self.entries[len - 2].key_end,
        };
        let version = self.entries.last().map_or(Version(0), |last| Version(last.stamp >> 8));
        (&self.keys[start..], version)
    }

    /// Appends the raw block to `out` and begins the next.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let count =
            u16::try_from(self.entries.len()).expect("an entry has more than one of a block's 4096 bytes");
        let shared = u16::try_from(self.shared).expect("the prefix was cut to a u16");
        out.extend_from_slice(&[RAW, 0]);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&shared.to_le_bytes());
        out.extend(self.entries.iter().map(|entry| entry.tag));
        let offsets = out.len();
        out.resize(offsets + 2 * self.entries.len(), 0);
        out.extend_from_slice(&self.keys[..self.shared]);
        let data = out.len();
        let (mut key_start, mut value_start) = (0, 0);
        for (i, entry) in self.entries.iter().enumerate() {
            let offset = u16::try_from(out.len() - data).expect("a block of several entries has 4096 bytes");
            out[offsets + 2 * i..offsets + 2 * i + 2].copy_from_slice(&offset.to_le_bytes());
            let suffix = &self.keys[key_start + self.shared..entry.key_end];
            write_entry(out, entry, suffix, &self.values[value_start..entry.value_end]);
            (key_start, value_start) = (entry.key_end, entry.value_end);
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        // One huge value must not hold its memory for the rest of the table.
        self.values.shrink_to(16 * BLOCK_BYTES);
        self.entries.clear();
        (self.shared, self.entry_bytes) = (0, 0);
    }

    fn bytes_with(&self, entries: usize, shared: usize, entry_bytes: usize) -> usize {
        // The prefix is stored once instead of in every entry.
        HEADER + (entry_bytes + shared).saturating_sub(entries * shared)
    }
}

fn entry_bytes(entry: &Entry<'_>, shared: usize) -> usize {
    let long = if entry.key.len() - shared < usize::from(LONG_SUFFIX) { 0 } else { 4 };
    let expiry = if entry.expiry == Expiry::NEVER { 0 } else { 8 };
    ENTRY_OVERHEAD + long + expiry + entry.key.len() + entry.value.len()
}

fn write_entry(out: &mut Vec<u8>, entry: &Pending, suffix: &[u8], value: &[u8]) {
    let expires = entry.expiry != Expiry::NEVER;
    out.extend_from_slice(&(entry.stamp | if expires { EXPIRES } else { 0 }).to_le_bytes());
    match u8::try_from(suffix.len()) {
        Ok(len) if len < LONG_SUFFIX => out.push(len),
        _ => {
            out.push(LONG_SUFFIX);
            out.extend_from_slice(&(suffix.len() as u32).to_le_bytes());
        }
    }
    if expires {
        out.extend_from_slice(&entry.expiry.0.to_le_bytes());
    }
    out.extend_from_slice(suffix);
    out.extend_from_slice(value);
}
