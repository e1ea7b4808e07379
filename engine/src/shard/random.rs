//! A place in the order of keys that chance chooses, found without I/O.
//!
//! 1. A memtable or a table, each as likely as its share of the entries.
//! 2. In a memtable one of its keys, each as likely; in a table the beginning of one of its blocks, which are of about
//!    equal size.
//!
//! So every part of the data is met in proportion to what it holds, deleted and older entries counted: whoever wants a live
//! key goes on from the place until there is one, and a random number of keys further to reach the middle of blocks.

use super::Shard;
use crate::key::{Partition, Prefix, user_key};

impl Shard {
    /// The place that `dice`, a number of 64 random bits, chooses: a partition and a key in it. `None`: there is nothing.
    pub fn random_place(&self, dice: u64) -> Option<(Partition, Vec<u8>)> {
        let Shard { sources, .. } = self;
        let mut at = ((u128::from(dice) * u128::from(self.entries())) >> 64) as u64;
        let inner = dice.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        let memtables = std::iter::once(&sources.active);
        for memtable in memtables.chain(sources.frozen.iter().map(|frozen| &*frozen.memtable)) {
            match at.checked_sub(memtable.len() as u64) {
                Some(rest) => at = rest,
                None => return memtable.random_key(inner).map(place_of),
            }
        }
        for (_, table) in sources.tree.tables() {
            match at.checked_sub(table.meta().entries) {
                Some(rest) => at = rest,
                None => return table.random_block_key(inner).map(place_of),
            }
        }
        None
    }

    /// How many entries the memtables and tables have, deleted and older ones counted.
    pub fn entries(&self) -> u64 {
        let frozen: usize = self.sources.frozen.iter().map(|frozen| frozen.memtable.len()).sum();
        let tables: u64 = self.sources.tree.tables().map(|(_, table)| table.meta().entries).sum();
        (self.sources.active.len() + frozen) as u64 + tables
    }
}

/// Partition and key of a stored key, or of the beginning of one, which stands for the first key behind it.
fn place_of(stored_key: &[u8]) -> (Partition, Vec<u8>) {
    let mut prefix = [0; Prefix::LEN];
    let len = stored_key.len().min(Prefix::LEN);
    prefix[..len].copy_from_slice(&stored_key[..len]);
    let partition = Prefix::of(&prefix).map_or(Partition(0), Prefix::partition);
    (partition, user_key(stored_key).to_vec())
}
