//! A k-way merge: a tournament tree of losers over cursors that are in storage order.
//!
//! Each inner node remembers who lost there, so replacing the winner costs one comparison per level of
//! the tree. The first 16 bytes of every head key are kept as two integers; full keys are compared only where those are equal.

use crate::key::Entry;
use crate::tree::Head;
use std::cmp::Ordering;

/// Something that stands at an entry and can move on, in storage order.
pub trait Cursor {
    /// Where it stands; `None` at the end (or while it waits for data).
    fn entry(&self) -> Option<Entry<'_>>;
}

/// Finds the first of several cursors, again and again.
#[derive(Debug)]
pub struct LoserTree {
    heads: Vec<Head>,
    /// `nodes[0]` is the winner, the others are losers of their match.
    nodes: Vec<usize>,
}

impl LoserTree {
    /// Plays all matches between the cursors as they stand. They are named by their index from now on.
    pub fn new<C: Cursor>(cursors: &[C]) -> LoserTree {
        let heads = cursors.iter().map(head_of).collect();
        let mut tree = LoserTree { heads, nodes: vec![usize::MAX; cursors.len().max(1)] };
        for cursor in 0..cursors.len() {
            tree.enter(cursors, cursor);
        }
        tree
    }

    /// The cursor at the first entry: the smallest key, of equal keys the newest version, of equal versions the
    /// lowest index. `None` if all are at their end.
    pub fn winner<C: Cursor>(&self, cursors: &[C]) -> Option<usize> {
        let winner = *self.nodes.first()?;
        cursors.get(winner)?.entry().map(|_| winner)
    }

    /// Plays the winner's matches again after it moved on.
    pub fn winner_moved<C: Cursor>(&mut self, cursors: &[C]) {
        let mut winner = self.nodes[0];
        self.heads[winner] = head_of(&cursors[winner]);
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

fn head_of<C: Cursor>(cursor: &C) -> Head {
    cursor.entry().map_or(Head::LAST, |entry| Head::of(entry.key))
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

    proptest! {
        #[test]
        fn cursors_come_out_as_one_sorted_list(
            lists in prop::collection::vec(
                prop::collection::vec((prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..20), 0_u64..4), 0..20),
                0..9,
            ),
        ) {
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
            let mut tree = LoserTree::new(&cursors);
            let mut merged = Vec::new();
            while let Some(winner) = tree.winner(&cursors) {
                merged.extend(cursors[winner].0.pop());
                tree.winner_moved(&cursors);
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
