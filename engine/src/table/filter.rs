//! The bloom filter of a table.

/// The hash of a stored key that filters and block indexes use: xxh3, 64 bits.
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}
