//! The groups of a shard, found by partition in one step.

use super::Group;
use super::durability::Durability;
use crate::key::Partition;
use crate::manifest::GroupState;

/// Where a group stands among those of its shard.
pub type Place = usize;

/// See the module's text.
#[derive(Debug)]
pub struct Groups<W = ()> {
    groups: Vec<Group<W>>,
    places: Vec<u16>,
}

impl<W> Groups<W> {
    const NOT_OURS: u16 = u16::MAX;

    /// New groups of these partitions, whose writes count as done then.
    pub fn new(owned: &[Partition], durability: Durability) -> Groups<W> {
        let length = owned.iter().map(|partition| partition.0 as usize + 1).max().unwrap_or(0);
        let mut places = vec![Groups::<W>::NOT_OURS; length];
        for (place, partition) in owned.iter().enumerate() {
            places[partition.0 as usize] = u16::try_from(place).expect("there are at most 16,384 partitions");
        }
        let group = |&id| Group { durability, ..Group::new(id) };
        Groups { groups: owned.iter().map(group).collect(), places }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes over what the manifest knew of a partition that is ours.
    pub fn restore(&mut self, state: &GroupState) {
        let Some(place) = self.place(state.partition) else { return };
        let durability = self.groups[place].durability;
        self.groups[place] = Group { durability, ..Group::restored(state) };
    }

    /// Where the group of a partition stands, if it is ours.
    pub fn place(&self, partition: Partition) -> Option<Place> {
        let place = *self.places.get(partition.0 as usize)?;
        (place != Groups::<W>::NOT_OURS).then_some(place as Place)
    }

    /// What the manifest is to know of those that have changed since they were asked last, at shard time `clock_us`.
    pub fn news(&mut self, clock_us: u64) -> Vec<GroupState> {
        self.groups.iter_mut().filter_map(|group| group.news(clock_us)).collect()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Group<W>> {
        self.groups.iter()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group<W>> {
        self.groups.iter_mut()
    }
}

impl<W> std::ops::Index<Place> for Groups<W> {
    type Output = Group<W>;

    fn index(&self, place: Place) -> &Group<W> {
        &self.groups[place]
    }
}

impl<W> std::ops::IndexMut<Place> for Groups<W> {
    fn index_mut(&mut self, place: Place) -> &mut Group<W> {
        &mut self.groups[place]
    }
}
