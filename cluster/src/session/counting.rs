//! Counting keys: each core counts its partitions, one after the other, a slice at a time.

use pinion_engine::key::Partition;
use std::rc::Rc;

/// A count under way.
#[derive(Default)]
pub struct Counting {
    lanes: Vec<Lane>,
    keys: u64,
    expiring: u64,
}

struct Lane {
    partitions: Rc<[Partition]>,
    /// The partition and key to go on from.
    first: usize,
    place: Vec<u8>,
    asked: bool,
}

/// What to ask of a lane: its partitions, the first that is still to be counted, and from which key on.
pub type CountAsk = (usize, Rc<[Partition]>, usize, Vec<u8>);

impl Counting {
    /// A count over groups of partitions, each of one core.
    pub fn new(groups: Vec<Rc<[Partition]>>, from: &[u8]) -> Counting {
        let lane = |partitions| Lane { partitions, first: 0, place: from.to_vec(), asked: false };
        Counting { lanes: groups.into_iter().map(lane).collect(), keys: 0, expiring: 0 }
    }

    /// The next lane that can be asked.
    pub fn ask(&mut self) -> Option<CountAsk> {
        let index = self.lanes.iter().position(|lane| !lane.asked && lane.first < lane.partitions.len())?;
        let lane = &mut self.lanes[index];
        lane.asked = true;
        Some((index, Rc::clone(&lane.partitions), lane.first, lane.place.clone()))
    }

    /// Takes in a slice.
    pub fn take(&mut self, lane: usize, (keys, expiring): (u64, u64), next: Option<(Partition, &[u8])>) {
        self.keys += keys;
        self.expiring += expiring;
        let lane = &mut self.lanes[lane];
        lane.asked = false;
        let place = next.and_then(|(partition, key)| {
            let at = lane.partitions[lane.first..].iter().position(|&other| other == partition)?;
            Some((lane.first + at, key))
        });
        match place {
            Some((first, key)) => {
                lane.first = first;
                key.clone_into(&mut lane.place);
            }
            None => lane.first = lane.partitions.len(),
        }
    }

    /// A lane's answer failed.
    pub fn fail(&mut self, lane: usize) {
        self.lanes[lane].asked = false;
    }

    /// Whether an answer is missing.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| lane.asked)
    }

    /// Whether everything has been counted.
    pub fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.first >= lane.partitions.len())
    }

    /// Keys so far, and how many of them will expire.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys, self.expiring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_goes_on_by_itself_until_all_are_counted() {
        let group = |partitions: &[u16]| partitions.iter().map(|&p| Partition(p)).collect();
        let mut counting = Counting::new(vec![group(&[0, 2, 4]), group(&[1])], b"from");
        let (lane, _, first, place) = counting.ask().expect("nothing is asked yet");
        assert_eq!((lane, first, place), (0, 0, b"from".to_vec()));
        assert_eq!(counting.ask().expect("one is left").0, 1);
        assert!(counting.ask().is_none() && counting.is_waiting());
        counting.take(1, (5, 1), None);
        counting.take(0, (7, 0), Some((Partition(2), b"key")));
        assert!(!counting.is_done() && !counting.is_waiting());
        let (lane, _, first, place) = counting.ask().expect("the first isn't through");
        assert_eq!((lane, first, place), (0, 1, b"key".to_vec()));
        counting.take(0, (1, 1), Some((Partition(4), b"")));
        assert_eq!(counting.ask().expect("a partition is left").2, 2);
        counting.take(0, (0, 0), None);
        assert!(counting.is_done() && counting.keys() == (13, 2));
    }
}
