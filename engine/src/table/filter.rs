//! The bloom filter of a table: one cache line a probe, read in place.
//!
//! A split-block filter (Putze, Sanders and Singler, "Cache-, hash- and space-efficient bloom filters", 2007)
//! with lines of 512 bits: the upper half of a key's hash picks a line, and eight groups of 6 bits of its lower 48 pick
//! one bit in each of the line's eight words. At 10 bits a key about 1% of absent keys pass. No word of the
//! hash is multiplied twice and nothing depends on the build: the bits are part of the file format.

use crate::aligned::AlignedBuf;

/// Bits of a filter for each key.
const BITS_PER_KEY: usize = 10;
/// Bytes of a line: what one probe reads.
pub(super) const LINE: usize = 64;

/// The hash of a stored key that filters and block indexes use: xxh3, 64 bits.
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// A filter that is being filled.
#[derive(Debug)]
pub struct Filter {
    lines: AlignedBuf,
}

impl Filter {
    /// An empty filter for so many different keys.
    pub fn new(keys: usize) -> Filter {
        let lines = (keys * BITS_PER_KEY).div_ceil(LINE * 8);
        Filter { lines: AlignedBuf::zeroed(lines * LINE) }
    }

    /// Adds a key by its [`key_hash`]. A filter for no keys stays empty.
    pub fn insert(&mut self, hash: u64) {
        let Some(start) = line_of(self.lines.len(), hash) else { return };
        for (i, word) in self.lines[start..start + LINE].chunks_exact_mut(8).enumerate() {
            let byte = bit(hash, i) as usize / 8;
            word[byte] |= 1 << (bit(hash, i) % 8);
        }
    }

    /// Whether the key with this [`key_hash`] may have been added; `false` is certain.
    pub fn contains(&self, hash: u64) -> bool {
        contains(&self.lines, hash)
    }

    /// The filter as it is stored.
    pub fn into_bytes(self) -> AlignedBuf {
        self.lines
    }
}

/// Whether the key with this [`key_hash`] may be in the filter that is stored in these bytes.
#[inline]
pub(super) fn contains(filter: &[u8], hash: u64) -> bool {
    let Some(line) = line_of(filter.len(), hash).and_then(|start| filter.get(start..start + LINE)) else {
        return false;
    };
    let mut all = 1;
    for (i, word) in line.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().expect("chunks have 8 bytes"));
        all &= word >> bit(hash, i);
    }
    all & 1 == 1
}

#[inline]
fn line_of(len: usize, hash: u64) -> Option<usize> {
    let lines = (len / LINE) as u64;
    (lines > 0).then(|| (((hash >> 32) * lines) >> 32) as usize * LINE)
}

#[inline]
fn bit(hash: u64, word: usize) -> u32 {
    (hash >> (6 * word)) as u32 & 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_was_added_is_found() {
        for keys in [1, 7, 1000, 50_000_u64] {
            let mut filter = Filter::new(keys as usize);
            (0..keys).for_each(|i| filter.insert(key_hash(&i.to_le_bytes())));
            assert!((0..keys).all(|i| filter.contains(key_hash(&i.to_le_bytes()))));
        }
    }

    #[test]
    fn about_one_in_a_hundred_absent_keys_passes() {
        let mut filter = Filter::new(100_000);
        (0..100_000_u64).for_each(|i| filter.insert(key_hash(&i.to_le_bytes())));
        let passed = (100_000..300_000_u64).filter(|i| filter.contains(key_hash(&i.to_le_bytes()))).count();
        assert!((1000..2600).contains(&passed), "{passed} of 200,000");
    }

    #[test]
    fn a_filter_without_keys_contains_nothing() {
        let mut filter = Filter::new(0);
        filter.insert(5);
        assert!(!filter.contains(5));
        assert!(filter.into_bytes().is_empty());
    }

    #[test]
    fn the_bits_are_those_of_the_format() {
        let mut filter = Filter::new(100);
        filter.insert(0xFEDC_BA98_7654_3210);
        let bytes = filter.into_bytes();
        assert_eq!(bytes.len(), 128);
        let set: Vec<usize> = (0..1024).filter(|i| bytes[i / 8] >> (i % 8) & 1 == 1).collect();
        assert_eq!(set, [528, 584, 643, 725, 822, 865, 937, 1006]);
    }
}
