//! The names of a directory: those that the kernel shows, those that a power loss leaves, and the changes in between.

use super::file::Sequence;
use pinion_engine::io::FileName;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Identifies a file whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inode(pub u64);

/// Which of the name changes that no sync of the directory covered survive a power loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameOrder {
    /// The first so many, as in a file system that journals its metadata in order (ext4, XFS).
    #[default]
    Prefix,
    /// Any of them, but for one name in order: what POSIX leaves open.
    Any,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Link(FileName, Inode),
    Rename(FileName, FileName),
    Unlink(FileName),
}

impl Change {
    fn names(self) -> [FileName; 2] {
        match self {
            Change::Link(name, _) | Change::Unlink(name) => [name, name],
            Change::Rename(from, to) => [from, to],
        }
    }

    fn apply(self, names: &mut BTreeMap<FileName, Inode>) {
        match self {
            Change::Link(name, inode) => {
                names.insert(name, inode);
            }
            Change::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
            Change::Unlink(name) => {
                names.remove(&name);
            }
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<FileName, Inode>,
    durable: BTreeMap<FileName, Inode>,
    changes: Vec<(Sequence, Change)>,
}

impl Names {
    pub fn find(&self, name: FileName) -> Option<Inode> {
        self.now.get(&name).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileName, Inode)> {
        self.now.iter().map(|(name, inode)| (*name, *inode))
    }

    pub fn link(&mut self, at: Sequence, name: FileName, inode: Inode) {
        self.change(at, Change::Link(name, inode));
    }

    pub fn rename(&mut self, at: Sequence, from: FileName, to: FileName) {
        self.change(at, Change::Rename(from, to));
    }

    pub fn unlink(&mut self, at: Sequence, name: FileName) {
        self.change(at, Change::Unlink(name));
    }

    fn change(&mut self, at: Sequence, change: Change) {
        change.apply(&mut self.now);
        self.changes.push((at, change));
    }

    /// Makes the changes until `upto` durable.
    pub fn sync(&mut self, upto: Sequence) {
        let count = self.changes.partition_point(|(at, _)| *at <= upto);
        self.keep_first(count);
    }

    /// Some names are gone for good; all other changes are durable now.
    pub fn lose(&mut self, mut which: impl FnMut(FileName) -> bool) {
        self.keep_first(self.changes.len());
        self.durable.retain(|&name, _| !which(name));
        self.now = self.durable.clone();
    }

    /// A sync that fails: some of the changes are durable, the others wait for the next one. A journal that can't be
    /// written stops its file system, so none says later that it made durable what it had forgotten.
    pub fn fail_sync(&mut self, rng: &mut impl Rng) {
        self.keep_first(rng.random_range(0..=self.changes.len()));
    }

    fn keep_first(&mut self, count: usize) {
        for (_, change) in self.changes.drain(..count) {
            change.apply(&mut self.durable);
        }
    }

    /// The power goes. Returns how many changes are lost.
    pub fn lose_power(&mut self, order: NameOrder, rng: &mut impl Rng) -> u64 {
        let count = self.changes.len();
        let mut lost = 0;
        match order {
            NameOrder::Prefix => {
                // The ends are what happens most: the journal is written at once, or nothing of it is.
                let kept = match rng.random_range(0..4) {
                    0 => 0,
                    1 => count,
                    _ => rng.random_range(0..=count),
                };
                self.keep_first(kept);
                lost = (count - kept) as u64;
            }
            NameOrder::Any => {
                let mut behind = BTreeSet::new();
                for (_, change) in std::mem::take(&mut self.changes) {
                    let names = change.names();
                    if names.iter().any(|name| behind.contains(name)) || rng.random() {
                        behind.extend(names);
                        lost += 1;
                    } else {
                        change.apply(&mut self.durable);
                    }
                }
            }
        }
        self.changes.clear();
        self.now = self.durable.clone();
        lost
    }

    /// Every file that has a name, had one that a power loss may bring back, or may get one.
    pub fn inodes(&self) -> BTreeSet<Inode> {
        let linked = self.changes.iter().filter_map(|(_, change)| match change {
            Change::Link(_, inode) => Some(*inode),
            _ => None,
        });
        self.now.values().chain(self.durable.values()).copied().chain(linked).collect()
    }
}
