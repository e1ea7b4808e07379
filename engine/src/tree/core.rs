//! The tree: which tables there are, and how a point read goes through them.

use super::head::Head;
use super::level::Level;
use super::range_tombstones::RangeTombstones;
use crate::Error;
use crate::io::FileName;
use crate::key::Version;
use crate::table::{BlockCache, Lookup, Probe, Table, key_hash};
use std::cmp::Reverse;
use std::sync::Arc;

/// Number of levels. Level 0 takes flushes; the last is always the bottom, and levels fill from there.
pub const LEVELS: usize = 7;

/// All tables of a shard at one moment; immutable.
///
/// Tables of level 0 may overlap, the newest (highest number) first; those of a deeper level are disjoint and in key
/// order. Of one key every entry of a level is newer than those of deeper levels. Tables that hold only
/// range tombstones stand beside the levels.
#[derive(Clone, Debug)]
pub struct Tree {
    levels: Vec<Level>,
    range_tables: Vec<(usize, Arc<Table>)>,
    range_tombstones: RangeTombstones,
    l0_depth: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// A tree without tables.
    pub fn new() -> Tree {
        Tree::build(Vec::new())
    }

    /// A tree of tables with their levels, in any order.
    ///
    /// # Errors
    /// A level does not exist, or tables of a deeper level overlap: the manifest doesn't fit the tables.
    pub fn from_tables(tables: Vec<(usize, Arc<Table>)>) -> Result<Tree, Error> {
        if let Some((level, table)) = tables.iter().find(|(level, _)| *level >= LEVELS) {
            let what = format!("it is recorded in level {level}, but there are {LEVELS}");
            return Err(Error::Damaged { file: FileName::Table(table.meta().number), offset: 0, what });
        }
        let tree = Tree::build(tables);
        for (i, level) in tree.levels.iter().enumerate().skip(1) {
            if let Some((left, right)) = level.disorder() {
                let other = FileName::Table(right.meta().number);
                let what = format!("its keys overlap those of {other}, also in level {i}");
                return Err(Error::Damaged { file: FileName::Table(left.meta().number), offset: 0, what });
            }
        }
        Ok(tree)
    }

    /// The tree after an edit. Adding a table whose number is already there replaces it.
    pub fn with(&self, removed: &[u64], added: &[(usize, Arc<Table>)]) -> Tree {
        let replaced = |number: u64| added.iter().any(|(_, t)| t.meta().number == number);
        let kept = self
            .tables()
            .filter(|(_, t)| !removed.contains(&t.meta().number) && !replaced(t.meta().number))
            .map(|(level, table)| (level, Arc::clone(table)));
        let tree = Tree::build(kept.chain(added.iter().cloned()).collect());
        debug_assert!(tree.levels[1..].iter().all(|level| level.disorder().is_none()));
        tree
    }

    fn build(tables: Vec<(usize, Arc<Table>)>) -> Tree {
        let range_tombstones =
            RangeTombstones::new(tables.iter().flat_map(|(_, t)| &t.meta().range_tombstones));
        let (range_tables, tables): (Vec<_>, Vec<_>) =
            tables.into_iter().partition(|(_, t)| t.meta().entries == 0);
        let mut levels = vec![Vec::new(); LEVELS];
        for (level, table) in tables {
            levels[level].push(table);
        }
        levels[0].sort_by_key(|t| Reverse(t.meta().number));
        for level in &mut levels[1..] {
            level.sort_by(|a, b| a.meta().min_key.cmp(&b.meta().min_key));
        }
        let levels: Vec<Level> = levels.into_iter().map(Level::new).collect();
        let l0_depth = levels[0].depth();
        Tree { levels, range_tables, range_tombstones, l0_depth }
    }

    /// The levels, from 0; tables without entries are not in them.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// How many tables of level 0 lie over each other at the worst place.
    pub fn l0_depth(&self) -> usize {
        self.l0_depth
    }

    /// Tables that hold only range tombstones, with the level they are recorded in.
    pub fn range_tables(&self) -> &[(usize, Arc<Table>)] {
        &self.range_tables
    }

    /// All tables with their levels.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        let levels = self.levels.iter().enumerate();
        let leveled = levels.flat_map(|(i, level)| level.tables().iter().map(move |table| (i, table)));
        leveled.chain(self.range_tables.iter().map(|(level, table)| (*level, table)))
    }

    /// The range tombstones of all tables.
    pub fn range_tombstones(&self) -> &RangeTombstones {
        &self.range_tombstones
    }

    /// The newest entry of `key` with a version at or below `at`, of any kind. Range tombstones
    /// are the caller's business: [`Tree::range_tombstones`].
    pub fn get<'a>(
        &'a self,
        key: &[u8],
        at: Version,
        cache: &'a mut BlockCache,
    ) -> Result<Lookup<'a>, Error> {
        self.get_hashed(key, key_hash(key), at, cache)
    }

    /// [`Tree::get`] for a caller that knows `key_hash(key)` already.
    pub fn get_hashed<'a>(
        &'a self,
        key: &[u8],
        hash: u64,
        at: Version,
        cache: &'a mut BlockCache,
    ) -> Result<Lookup<'a>, Error> {
        for table in self.candidates(key) {
            match table.probe(key, hash, at, cache)? {
                Probe::Lookup(Lookup::Absent) => {}
                Probe::Lookup(lookup) => return Ok(lookup),
                Probe::Cached(cached) => return Ok(Lookup::Found(cache.resolve(cached))),
            }
        }
        Ok(Lookup::Absent)
    }

    /// The tables whose key range holds `key`, newest first: all such of level 0, one of each level below.
    fn candidates<'a>(&'a self, key: &[u8]) -> impl Iterator<Item = &'a Table> {
        let head = Head::of(key);
        let (newest, deeper) = self.levels.split_first().expect("a tree has LEVELS levels");
        let overlapping = (0..newest.tables().len()).filter(move |&i| newest.may_hold(i, head, key));
        let disjoint = deeper.iter().filter_map(move |level| {
            let i = level.first_ending_at(head, key);
            (i < level.tables().len() && level.may_hold(i, head, key)).then(|| &*level.tables()[i])
        });
        overlapping.map(|i| &*newest.tables()[i]).chain(disjoint)
    }
}
