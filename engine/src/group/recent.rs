//! Entries that are applied and still in the log: what a replica that was started again has for others who are behind.

use crate::log::Entry;
use std::collections::BTreeMap;

/// They take so much memory at most, bytes.
const BYTES_MAX: usize = 1 << 20;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Recent {
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
}

fn bytes_of(entry: &Entry) -> usize {
    Entry::BYTES + entry.payload.len()
}

impl Recent {
    /// The log goes on with an entry: it takes the place of what was there, and of all behind it. A copy takes no place of an entry
    /// of its term or a higher one, and deletes nothing.
    pub fn take(&mut self, entry: Entry, is_copy: bool) {
        let is_known = self.entries.get(&entry.index).is_some_and(|known| known.term >= entry.term);
        if is_copy && is_known {
            return;
        }
        let deleted = if is_copy {
            self.entries.remove(&entry.index).map_or(0, |old| bytes_of(&old))
        } else {
            self.entries.split_off(&entry.index).values().map(bytes_of).sum()
        };
        self.bytes = self.bytes + bytes_of(&entry) - deleted;
        self.entries.insert(entry.index, entry);
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.entries.pop_first()
        {
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// Those that lie one behind the other and end with the entry that is applied last, which has this index and term.
    pub fn up_to(mut self, applied: (u64, u64)) -> Vec<Entry> {
        let mut kept = Vec::new();
        let (mut index, mut term) = applied;
        while let Some(entry) = self
            .entries
            .remove(&index)
            .filter(|entry| if kept.is_empty() { entry.term == term } else { entry.term <= term })
        {
            (index, term) = (entry.index - 1, entry.term);
            kept.push(entry);
        }
        kept.reverse();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::EntryType;
    use bytes::Bytes;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { term, index, entry: EntryType::NoOp, origin: 0, payload: Bytes::new() }
    }

    fn places(recent: Recent, applied: (u64, u64)) -> Vec<(u64, u64)> {
        recent.up_to(applied).iter().map(|entry| (entry.index, entry.term)).collect()
    }

    #[test]
    fn what_was_deleted_or_came_early_is_not_among_them() {
        let mut recent = Recent::default();
        for (index, term) in [(3, 1), (4, 1), (5, 1), (4, 2), (5, 2), (6, 2)] {
            recent.take(entry(index, term), false);
        }
        recent.take(entry(5, 1), true);
        recent.take(entry(9, 2), true);
        assert_eq!(places(recent, (6, 2)), [(3, 1), (4, 2), (5, 2), (6, 2)]);
        let mut recent = Recent::default();
        recent.take(entry(4, 1), false);
        assert_eq!(places(recent, (4, 2)), [], "the one that is applied isn't in the log any more");
    }

    #[test]
    fn their_memory_is_bounded() {
        let mut recent = Recent::default();
        for index in 1..=100 {
            let payload = Bytes::from(vec![0; 100_000]);
            recent.take(Entry { payload, ..entry(index, 1) }, false);
        }
        assert!(recent.bytes <= BYTES_MAX);
        assert_eq!(places(recent, (100, 1)).len(), 10);
    }
}
