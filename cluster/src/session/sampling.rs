//! RANDOMKEY: a key by chance, wherever it lies.
//!
//! 1. A core, each as likely as its share of the entries.
//! 2. It names a random place in its data (`Shard::random_place`).
//! 3. From there some keys further, up to [`STEPS`], round and round over the partitions of the core: that reaches the
//!    middle of blocks, and makes up for gaps.
//! 4. A core whose entries are all deleted or expired passes to the next; when all have passed there is no key.
//!
//! Each key is about as likely as any other. Where tables lie over each other, keys of which older versions or tombstones
//! are still there weigh more, and so do keys behind large gaps of deleted ones.

use super::walk::resume_point::ResumePoint;
use pinion_engine::key::Partition;
use pinion_engine::shard::request::Page;

/// Keys that are passed from a random place on, at most.
const STEPS: u64 = 32;

/// What is needed next.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// A random place of a core.
    ResumePoint(usize),
    /// Keys of a partition from one on, so many at most.
    Page(Partition, Vec<u8>, usize),
}

/// The search under way.
pub struct Sampling {
    dice: u64,
    /// Cores that are still to be asked, the last first, with their partitions.
    cores: Vec<(usize, Vec<Partition>)>,
    round: Option<Round>,
    found: Page,
}

/// One way round over the partitions of a core.
struct Round {
    partitions: Vec<Partition>,
    /// ResumePoint of the first partition, and the key that it began with.
    start: usize,
    first_key: Vec<u8>,
    /// Partitions that are behind; the first comes again at the end, up to the first key.
    passed: usize,
    from: Vec<u8>,
}

impl Round {
    fn is_over(&self) -> bool {
        self.passed > self.partitions.len()
            || (self.passed == self.partitions.len() && self.first_key.is_empty())
    }

    fn partition(&self) -> Partition {
        self.partitions[(self.start + self.passed) % self.partitions.len()]
    }
}

impl Sampling {
    /// A search in these cores, of which `first` comes first.
    pub fn new(dice: u64, mut cores: Vec<(usize, Vec<Partition>)>, first: usize) -> Sampling {
        cores.retain(|(_, partitions)| !partitions.is_empty());
        let place = cores.iter().position(|&(core, _)| core == first).unwrap_or_default();
        cores.rotate_left(place);
        cores.reverse();
        Sampling { dice, cores, round: None, found: Page::default() }
    }

    /// What chance decides by.
    pub fn dice(&self) -> u64 {
        self.dice
    }

    fn wanted(&self) -> usize {
        1 + (self.dice % STEPS) as usize
    }

    /// What it needs; `None`: it is over.
    pub fn need(&self) -> Option<Need> {
        if self.found.len() >= self.wanted() {
            return None;
        }
        match &self.round {
            Some(round) if !round.is_over() => {
                let limit = self.wanted() - self.found.len();
                Some(Need::Page(round.partition(), round.from.clone(), limit))
            }
            Some(_) if !self.found.is_empty() => None,
            _ => self.cores.last().map(|(core, _)| Need::ResumePoint(*core)),
        }
    }

    /// Takes in the place that a core named; `None`: it has nothing.
    pub fn take_place(&mut self, place: Option<ResumePoint>) {
        let Some((_, partitions)) = self.cores.pop() else { return };
        self.round = place.map(|(partition, key)| {
            let start = partitions.iter().position(|&each| each >= partition).unwrap_or_default();
            let first_key = if partitions[start] == partition { key } else { Vec::new() };
            Round { from: first_key.clone(), partitions, start, first_key, passed: 0 }
        });
    }

    /// Takes in a page of keys.
    pub fn take_page(&mut self, page: &Page, next: Option<&[u8]>) {
        let (wanted, Some(round)) = (self.wanted(), &mut self.round) else { return };
        let is_last = round.passed == round.partitions.len();
        for (key, value) in page.iter() {
            if is_last && key >= round.first_key.as_slice() {
                round.passed += 1;
                return;
            }
            if self.found.len() < wanted {
                self.found.push(key, value);
            }
        }
        match next {
            Some(next) => next.clone_into(&mut round.from),
            None => {
                round.passed += 1;
                round.from.clear();
            }
        }
    }

    /// Bytes that were collected.
    pub fn bytes(&self) -> usize {
        self.found.bytes()
    }

    /// The key, if there is one: that so many steps from the place, round and round.
    pub fn into_page(self) -> Page {
        let step = (self.dice % STEPS) as usize % self.found.len().max(1);
        let mut page = Page::default();
        if let Some((key, value)) = self.found.iter().nth(step) {
            page.push(key, value);
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::key::{Expiry, Version};
    use pinion_engine::shard::request::Value;
    use std::collections::BTreeMap;

    /// Keys by partition; core 0 has the even partitions, core 1 the odd ones.
    type Data = BTreeMap<u16, Vec<&'static str>>;

    fn run(
        data: &Data,
        dice: u64,
        first: usize,
        place: impl Fn(usize) -> Option<(u16, &'static str)>,
    ) -> String {
        let partitions = |core: u16| (0..4).map(|n| Partition(n * 2 + core)).collect();
        let mut sampling = Sampling::new(dice, vec![(0, partitions(0)), (1, partitions(1))], first);
        while let Some(need) = sampling.need() {
            match need {
                Need::ResumePoint(core) => {
                    let place = place(core).map(|(number, key)| (Partition(number), key.as_bytes().to_vec()));
                    sampling.take_place(place);
                }
                Need::Page(partition, from, limit) => {
                    let keys = data.get(&partition.0).cloned().unwrap_or_default();
                    let mut rest = keys.into_iter().filter(|key| key.as_bytes() >= from.as_slice());
                    let mut page = Page::default();
                    let value = Value { bytes: b"", version: Version(0), expiry: Expiry::NEVER };
                    rest.by_ref().take(limit.min(2)).for_each(|key| page.push(key.as_bytes(), value));
                    sampling.take_page(&page, rest.next().map(str::as_bytes));
                }
            }
        }
        let page = sampling.into_page();
        page.iter().next().map_or(String::new(), |(key, _)| String::from_utf8(key.to_vec()).unwrap())
    }

    #[test]
    fn from_any_place_the_steps_go_round_over_the_core_and_meet_every_key_as_often() {
        let data =
            Data::from([(0, vec!["a", "b"]), (2, vec!["c"]), (6, vec!["d", "e", "f"]), (1, vec!["x"])]);
        let keys = ["a", "b", "c", "d", "e", "f"];
        let places = [(0, "a"), (0, "b"), (2, "c"), (6, "d"), (6, "e"), (6, "f")];
        let mut counts = BTreeMap::new();
        for (at, place) in places.into_iter().enumerate() {
            for dice in 0..STEPS {
                let key = run(&data, dice, 0, |core| (core == 0).then_some(place));
                assert_eq!(key, keys[(at + dice as usize) % 6], "{place:?} and {dice} further");
                *counts.entry(key).or_insert(0) += 1;
            }
        }
        assert!(counts.values().all(|&count| count == STEPS));
    }

    #[test]
    fn a_core_without_live_keys_passes_to_the_next() {
        let data = Data::from([(3, vec!["x"])]);
        let place = |core| Some(if core == 0 { (4, "gone") } else { (5, "gone") });
        assert_eq!(run(&data, 7, 0, place), "x");
        assert_eq!(run(&data, 7, 1, place), "x");
        assert_eq!(run(&Data::new(), 7, 0, place), "");
        assert_eq!(run(&data, 7, 0, |core| (core == 1).then_some((3, "zzz"))), "x");
    }
}
