//! Direct descriptors: which connection, or which accept or attempt to connect, has which place in the ring's table.
//!
//! Connections in and connections out have shares of their own, so that a crowd that comes in doesn't keep this side from
//! beginning connections, nor the other way round. Among those that come in clients and peers share. A descriptor is taken before its operation is queued and given back once the
//! operation that closes it is queued: the ring's order keeps one from meeting the other.

/// Who began a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// Descriptors that one direction may have and has.
#[derive(Debug)]
struct Share {
    most: usize,
    taken: usize,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Descriptors {
    shares: [Share; 2],
    /// Descriptors that were given back. From `fresh` on they were never taken.
    free: Vec<u32>,
    fresh: u32,
}

impl Descriptors {
    /// As many for connections in and for connections out.
    pub fn new(most_in: usize, most_out: usize) -> Descriptors {
        let share = |most| Share { most, taken: 0 };
        Descriptors { shares: [share(most_in), share(most_out)], free: Vec::new(), fresh: 0 }
    }

    /// Whether one is left.
    pub fn has_free(&self, direction: Direction) -> bool {
        let share = &self.shares[direction as usize];
        share.taken < share.most
    }

    /// Takes one if one is left: the one that was given back last, so that their numbers stay small.
    pub fn take(&mut self, direction: Direction) -> Option<u32> {
        if !self.has_free(direction) {
            return None;
        }
        self.shares[direction as usize].taken += 1;
        Some(self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        }))
    }

    /// One is closed, or will be before anything else is put into it.
    pub fn give_back(&mut self, direction: Direction, slot: u32) {
        self.shares[direction as usize].taken -= 1;
        self.free.push(slot);
    }

    /// Whether nobody has any.
    pub fn are_all_free(&self) -> bool {
        self.shares.iter().all(|share| share.taken == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_has_its_share_and_descriptors_come_back() {
        let mut descriptors = Descriptors::new(2, 1);
        let (a, b) = (descriptors.take(Direction::In).unwrap(), descriptors.take(Direction::In).unwrap());
        assert_eq!(descriptors.take(Direction::In), None);
        let c = descriptors.take(Direction::Out).unwrap();
        assert_eq!(descriptors.take(Direction::Out), None);
        assert_eq!([a, b, c], [0, 1, 2]);
        descriptors.give_back(Direction::In, b);
        assert!(!descriptors.has_free(Direction::Out));
        assert_eq!(descriptors.take(Direction::In), Some(b));
        for (direction, slot) in [(Direction::In, a), (Direction::In, b), (Direction::Out, c)] {
            assert!(!descriptors.are_all_free());
            descriptors.give_back(direction, slot);
        }
        assert!(descriptors.are_all_free());
    }
}
