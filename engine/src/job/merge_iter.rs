//! A k-way merge: a tournament tree of losers over cursors that are in storage order.
//!
//! Each inner node remembers who lost there, so replacing the winner costs one comparison per level of the tree.
//! Of every cursor's key 16 bytes are kept as two integers, taken behind what all keys begin with; keys
//! are compared only where those are equal.

use crate::key::Entry;
use crate::tree::head::Head;
use std::cmp::Ordering;

/// Something that stands at an entry and can move on, in storage order.
pub trait Cursor {
    /// Where it stands; `None` at the end (or while it waits for data).
    fn entry(&self) -> Option<Entry<'_>>;
}

/// Finds the first of several cursors, again and again.
#[derive(Debug)]
pub struct LoserTree {
    /// What all keys begin with, except some that come after all that do.
    shared: Vec<u8>,
    heads: Vec<Head>,
    /// `nodes[0]` is the winner, the others are losers of their match.
    nodes: Vec<usize>,
}

impl LoserTree {
    /// Plays all matches between the cursors as they stand. They are named by their index from now on. Keys
    /// that don't begin with `shared` must come after all that do.
    pub fn new<C: Cursor>(cursors: &[C], shared: &[u8]) -> LoserTree {
        let nodes = vec![usize::MAX; cursors.len().max(1)];
        let mut tree = LoserTree { shared: shared.to_vec(), heads: Vec::new(), nodes };
        tree.heads = cursors.iter().map(|cursor| tree.head_of(cursor)).collect();
        for cursor in 0..cursors.len() {
            tree.enter(cursors, cursor);
        }
        tree
    }

    /// The cursor at the first entry, and that entry: the smallest key, of equal keys the newest version, of equal
    /// versions the lowest index. `None` if all are at their end.
    pub fn winner<'c, C: Cursor>(&self, cursors: &'c [C]) -> Option<(usize, Entry<'c>)> {
        let winner = *self.nodes.first()?;
        Some((winner, cursors.get(winner)?.entry()?))
    }

    /// Plays the winner's matches again after it moved on.
    pub fn winner_moved<C: Cursor>(&mut self, cursors: &[C]) {
        let mut winner = self.nodes[0];
        self.heads[winner] = self.head_of(&cursors[winner]);
        let mut node = (winner + self.nodes.len()) / 2;
        while node > 0 {
            if self.is_before(cursors, self.nodes[node], winner) {
                std::mem::swap(&mut self.nodes[node], &mut winner);
            }
            node /= 2;
        }
        self.nodes[0] = winner;
    }

    /// Plays a cursor's matches while the tree is being filled: it waits at the first empty node.
    fn enter<C: Cursor>(&mut self, cursors: &[C], cursor: usize) {
        let mut winner = cursor;
        let mut node = (cursor + self.nodes.len()) / 2;
        while node > 0 {
            let waiting = self.nodes[node];
            if waiting == usize::MAX {
                self.nodes[node] = winner;
                return;
            }
            if self.is_before(cursors, waiting, winner) {
                self.nodes[node] = std::mem::replace(&mut winner, waiting);
            }
            node /= 2;
        }
        self.nodes[0] = winner;
    }

    fn head_of<C: Cursor>(&self, cursor: &C) -> Head {
        match cursor.entry() {
            Some(entry) if entry.key.starts_with(&self.shared) => Head::behind(entry.key, self.shared.len()),
            _ => Head::LAST,
        }
    }

    fn is_before<C: Cursor>(&self, cursors: &[C], a: usize, b: usize) -> bool {
        match self.heads[a].cmp(&self.heads[b]) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => match (cursors[a].entry(), cursors[b].entry()) {
                (Some(left), Some(right)) => storage_order(&left, &right).then(a.cmp(&b)).is_lt(),
                (left, right) => left.is_some() && right.is_none(),
            },
        }
    }
}

/// Keys rising, of one key the newest version first.
pub fn storage_order(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    a.key.cmp(b.key).then_with(|| b.stamp.version().cmp(&a.stamp.version()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Expiry, Kind, Stamp, Version};
    use proptest::prelude::*;

    struct List(Vec<(Vec<u8>, u64)>);

    impl Cursor for List {
        fn entry(&self) -> Option<Entry<'_>> {
            self.0.last().map(|(key, version)| Entry {
                key,
                stamp: Stamp::new(Version(*version), Kind::Value),
                expiry: Expiry::NEVER,
                value: b"",
            })
        }
    }

    fn lists() -> impl Strategy<Value = Vec<Vec<(Vec<u8>, u64)>>> {
        let key = prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..20);
        prop::collection::vec(prop::collection::vec((key, 0_u64..4), 0..20), 0..9)
    }

    proptest! {
        #[test]
        fn cursors_come_out_as_one_sorted_list(lists in lists()) {
            let order = |a: &(Vec<u8>, u64), b: &(Vec<u8>, u64)| a.0.cmp(&b.0).then(b.1.cmp(&a.1));
            let mut expected: Vec<_> = lists.concat();
            expected.sort_by(order);
            let mut cursors: Vec<List> = lists
                .into_iter()
                .map(|mut list| {
                    list.sort_by(|a, b| order(b, a));
                    List(list)
                })
                .collect();
            let shared = match expected.first() {
                Some((first, _)) if first.first() == Some(&1) => &[1][..],
                _ => &[],
            };
            let mut tree = LoserTree::new(&cursors, shared);
            let mut merged = Vec::new();
            while let Some((winner, _)) = tree.winner(&cursors) {
                merged.extend(cursors[winner].0.pop());
                tree.winner_moved(&cursors);
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
