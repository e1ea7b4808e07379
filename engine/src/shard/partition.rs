//! What a shard knows of each partition it owns: the place in its log, and its versions.

use crate::key::{Incarnation, Keyspace, Partition, Prefix, Version};
use crate::manifest::GroupState;

/// The term of a solo group, which never has an election.
pub(super) const SOLO_TERM: u64 = 1;

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionState {
    pub id: Partition,
    pub incarnation: Incarnation,
    /// Index of the newest entry in the log, applied or not.
    pub logged_index: u64,
    /// Index of the newest entry in the memtables.
    pub applied_index: u64,
    /// Highest version given out.
    pub assigned: Version,
    /// Highest version applied.
    pub applied: Version,
}

impl PartitionState {
    fn new(id: Partition) -> PartitionState {
        PartitionState {
            id,
            incarnation: Incarnation(0),
            logged_index: 0,
            applied_index: 0,
            assigned: Version(0),
            applied: Version(0),
        }
    }

    /// The version of the next write, at wall clock `clock_us`: above all before it.
    pub fn assign(&mut self, clock_us: u64) -> Version {
        self.assigned = Version((self.assigned.0 + 1).max(clock_us));
        self.assigned
    }

    /// Notes that everything up to `index` and `version` is in the memtables.
    pub fn applied(&mut self, index: u64, version: Version) {
        self.applied_index = self.applied_index.max(index);
        self.logged_index = self.logged_index.max(index);
        self.applied = self.applied.max(version);
        self.assigned = self.assigned.max(version);
    }

    pub fn prefix(&self, keyspace: Keyspace) -> Prefix {
        Prefix::new(keyspace, self.id, self.incarnation)
    }

    /// What the manifest keeps beside the data, at shard time `clock_us`. Solo: nothing older than `applied` is still to come, so it is the floor.
    pub fn group_state(&self, clock_us: u64) -> GroupState {
        GroupState {
            partition: self.id,
            incarnation: self.incarnation,
            applied_index: self.applied_index,
            applied_term: SOLO_TERM,
            max_version: self.applied,
            floor: self.applied,
            clock_us,
        }
    }
}

/// The partitions of a shard, found by number in one step.
#[derive(Debug)]
pub(super) struct Partitions {
    states: Vec<PartitionState>,
    places: Vec<u16>,
}

/// Place of a partition within its shard.
pub(super) type Place = usize;

impl Partitions {
    const NOT_OURS: u16 = u16::MAX;

    pub fn new(owned: &[Partition]) -> Partitions {
        let length = owned.iter().map(|p| p.0 as usize + 1).max().unwrap_or(0);
        let mut places = vec![Partitions::NOT_OURS; length];
        for (place, partition) in owned.iter().enumerate() {
            places[partition.0 as usize] = u16::try_from(place).expect("there are at most 16,384 partitions");
        }
        Partitions { states: owned.iter().map(|&id| PartitionState::new(id)).collect(), places }
    }

    /// Takes over what the manifest knew; `false` if the partition isn't ours.
    pub fn restore(&mut self, group: &GroupState) -> bool {
        let Some(place) = self.place(group.partition) else { return false };
        let state = &mut self.states[place];
        state.incarnation = group.incarnation;
        state.applied(group.applied_index, group.max_version);
        true
    }

    pub fn place(&self, partition: Partition) -> Option<Place> {
        let place = *self.places.get(partition.0 as usize)?;
        (place != Partitions::NOT_OURS).then_some(place as Place)
    }

    /// Entries that were logged and not applied are given up: their indexes are free again. Their versions aren't.
    pub fn forget_unapplied(&mut self) {
        for state in &mut self.states {
            state.logged_index = state.applied_index;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.states.iter()
    }
}

impl std::ops::Index<Place> for Partitions {
    type Output = PartitionState;

    fn index(&self, place: Place) -> &PartitionState {
        &self.states[place]
    }
}

impl std::ops::IndexMut<Place> for Partitions {
    fn index_mut(&mut self, place: Place) -> &mut PartitionState {
        &mut self.states[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_even_if_the_clock_does_not() {
        let mut state = PartitionState::new(Partition(0));
        assert_eq!(state.assign(100), Version(100));
        assert_eq!(state.assign(100), Version(101));
        assert_eq!(state.assign(50), Version(102));
        assert_eq!(state.assign(500), Version(500));
    }

    #[test]
    fn only_owned_partitions_have_a_place() {
        let partitions = Partitions::new(&[Partition(3), Partition(1)]);
        assert_eq!(partitions.place(Partition(3)), Some(0));
        assert_eq!(partitions.place(Partition(1)), Some(1));
        assert_eq!(partitions.place(Partition(2)), None);
        assert_eq!(partitions.place(Partition(9)), None);
    }
}
