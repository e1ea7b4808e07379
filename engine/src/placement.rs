//! Where a key lives: slot, partition, core.
//!
//! - A key's *slot* is Redis Cluster's (CRC16 mod 16384); whoever speaks a protocol computes it.
//! - A *partition* is a contiguous range of slots. Their number is a power of two, fixed when a store is made.
//! - A partition's *core* comes from consistent hashing with bounded load: the placement over `n + 1` cores is
//!   the one over `n` cores after the new core has taken its exact share, one partition at a time, always from
//!   the fullest core, and of its partitions always the one with the lowest hash for the new core.
//!
//! Guarantees, by induction over the cores: no core has more than one partition more than another; adding a core
//! moves only partitions to that core, and exactly its share (the least possible); the result depends on nothing
//! but the two numbers. The hash is part of the store's format: changing it would look for data on other cores.

use crate::key::Partition;
use std::ops::Range;
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// Number of hash slots, as in Redis Cluster.
pub const SLOTS: usize = 16384;

/// The number of partitions of a store unless told otherwise.
pub const PARTITIONS_DEFAULT: usize = 64;

/// The map from slots to partitions and from partitions to cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The core of each partition.
    owners: Vec<u16>,
    cores: usize,
    /// A slot shifted right by this is its partition.
    shift: u32,
}

impl Placement {
    /// Places `partitions` (a power of two up to [`SLOTS`]) over `cores` (at least one).
    ///
    /// # Panics
    /// If the numbers aren't as said; [`crate::drive::StoreFile`] only has such.
    pub fn new(partitions: usize, cores: usize) -> Placement {
        assert!(
            partitions.is_power_of_two() && partitions <= SLOTS,
            "partitions: a power of two up to 16384"
        );
        assert!((1..=partitions).contains(&cores), "cores: at least one, at most one a partition");
        let mut owners = vec![0_u16; partitions];
        for newcomer in 1..cores {
            settle(&mut owners, newcomer);
        }
        Placement { owners, cores, shift: SLOTS.trailing_zeros() - partitions.trailing_zeros() }
    }

    /// The partition of a slot.
    #[inline]
    pub fn partition_of_slot(&self, slot: u16) -> Partition {
        Partition((slot % SLOTS as u16) >> self.shift)
    }

    /// The core of a partition; partitions that don't exist belong to core 0.
    #[inline]
    pub fn core_of(&self, partition: Partition) -> usize {
        self.owners.get(partition.0 as usize).map_or(0, |&core| core as usize)
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.owners.len()
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The partitions of a core, in order.
    pub fn partitions_of(&self, core: usize) -> Vec<Partition> {
        self.all().filter(|&partition| self.core_of(partition) == core).collect()
    }

    /// These partitions in groups: those of each core that has any.
    pub fn by_core(&self, partitions: &[Partition]) -> Vec<Rc<[Partition]>> {
        let mut groups: Vec<Vec<Partition>> = vec![Vec::new(); self.cores];
        for &partition in partitions {
            groups[self.core_of(partition)].push(partition);
        }
        groups.into_iter().filter(|group| !group.is_empty()).map(Rc::from).collect()
    }

    /// All partitions, in order.
    pub fn all(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.owners.len()).map(|index| Partition(index as u16))
    }

    /// The slots of a partition.
    pub fn slots_of(&self, partition: Partition) -> Range<u32> {
        let first = u32::from(partition.0) << self.shift;
        first..first + (1 << self.shift)
    }
}

/// Gives core `newcomer` its share of what cores `0..newcomer` have.
fn settle(owners: &mut [u16], newcomer: usize) {
    let mut holdings: Vec<Vec<usize>> = vec![Vec::new(); newcomer];
    for (partition, &core) in owners.iter().enumerate() {
        holdings[core as usize].push(partition);
    }
    for held in &mut holdings {
        // The one to give next comes last.
        held.sort_unstable_by_key(|&partition| std::cmp::Reverse(score(partition, newcomer)));
    }
    for _ in 0..owners.len() / (newcomer + 1) {
        let fullest = (0..newcomer).max_by_key(|&core| (holdings[core].len(), std::cmp::Reverse(core)));
        let given = fullest.and_then(|core| holdings[core].pop());
        let given = given.expect("the newcomer's share is less than what the others hold");
        owners[given] = newcomer as u16;
    }
}

fn score(partition: usize, core: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(partition as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(core as u32).to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loads(placement: &Placement) -> Vec<usize> {
        (0..placement.cores()).map(|core| placement.partitions_of(core).len()).collect()
    }

    proptest! {
        #[test]
        fn no_core_has_more_than_one_partition_more_than_another(bits in 0_u32..11, cores in 1_usize..70) {
            let partitions = 1 << bits;
            prop_assume!(cores <= partitions);
            let loads = loads(&Placement::new(partitions, cores));
            let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{loads:?}");
        }

        #[test]
        fn a_new_core_takes_exactly_its_share_and_nothing_else_moves(bits in 1_u32..11, cores in 1_usize..40) {
            let partitions = 1_usize << bits;
            prop_assume!(cores < partitions);
            let (before, after) = (Placement::new(partitions, cores), Placement::new(partitions, cores + 1));
            let moved: Vec<_> =
                before.all().filter(|&p| before.core_of(p) != after.core_of(p)).collect();
            prop_assert_eq!(moved.len(), partitions / (cores + 1));
            prop_assert!(moved.iter().all(|&p| after.core_of(p) == cores));
        }

        #[test]
        fn every_slot_lies_in_the_partition_that_lists_it(bits in 0_u32..15, slot in 0_u16..16384) {
            let placement = Placement::new(1 << bits, 1);
            let partition = placement.partition_of_slot(slot);
            prop_assert!(placement.slots_of(partition).contains(&u32::from(slot)));
        }
    }

    #[test]
    fn the_placement_of_stores_that_exist_stays_as_it_is() {
        let placement = Placement::new(16, 3);
        let owners: Vec<_> = placement.all().map(|p| placement.core_of(p)).collect();
        assert_eq!(owners, GOLDEN);
    }

    const GOLDEN: [usize; 16] = [0, 2, 1, 0, 1, 0, 1, 1, 0, 2, 2, 0, 2, 2, 1, 1];
}
