//! Keys and values that make tables alike: each entry has a block of its own, which fills a page. A block that was written
//! to another's place, or read from there, fits where it ends up; only its checksum knows that it doesn't belong there.

use super::request::Key;
use crate::disk::PAGE;
use pinion_engine::key::Prefix;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore};

/// So few that many tables have the same ones.
const KEYS: u32 = 24;
const KEY_BYTES: usize = 3;
/// What a block of one entry takes besides its key and its value (docs/formats/sstable.md): a header of 6 bytes, a tag of 1,
/// an offset of 2, the version of 8, the suffix's length of 1, the checksum of 4.
const BLOCK_OVERHEAD: usize = 6 + 1 + 2 + 8 + 1 + 4;
const VALUE_BYTES: usize = PAGE - BLOCK_OVERHEAD - Prefix::LEN - KEY_BYTES;

/// One of the keys.
pub(super) fn key(rng: &mut SmallRng) -> Key {
    format!("a{:02}", rng.random_range(0..KEYS)).into_bytes().into()
}

/// A value that begins with the name of its write, and doesn't compress.
pub(super) fn value(write: &str, rng: &mut SmallRng) -> Vec<u8> {
    let mut bytes = vec![0; VALUE_BYTES];
    rng.fill_bytes(&mut bytes);
    bytes[..write.len()].copy_from_slice(write.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::key::{Entry, Expiry, Incarnation, Kind, Stamp, user_key};
    use pinion_engine::table::{Compression, TableBuilder};
    use pinion_engine::{Keyspace, Partition, Version};
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    #[test]
    fn each_entry_fills_a_page_with_a_block_of_its_own() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut stored = BTreeMap::new();
        for partition in 0..4 {
            let prefix = Prefix::new(Keyspace(1), Partition(partition), Incarnation(u32::from(partition)));
            for made in 0..20 {
                let mut full = Vec::new();
                prefix.stored_key(&key(&mut rng), &mut full);
                stored.insert(full, value(&format!("3.{made}:"), &mut rng));
            }
        }
        for compression in [Compression::None, Compression::Lz4] {
            let mut builder = TableBuilder::new(7, compression, stored.len());
            for (key, value) in &stored {
                assert_eq!(user_key(key).len(), KEY_BYTES);
                let stamp = Stamp::new(Version(5), Kind::Value);
                builder.add(Entry { key, stamp, expiry: Expiry::NEVER, value });
            }
            let table = builder.finish().into_paged();
            assert_eq!(table.blocks(), stored.len());
            for i in 0..table.blocks() {
                let at = table.block_ref(i);
                assert_eq!((at.offset as usize, at.len as usize), (i * PAGE, PAGE));
            }
        }
    }
}
