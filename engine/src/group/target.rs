//! What is applied, what it is applied to, and how far that came.

use crate::key::{Entry, RangeTombstone, Version};
use crate::log::EntryType;
use crate::table::BlockRef;
use smallvec::SmallVec;

/// What applied entries go to.
pub trait Target {
    /// Takes a value or a tombstone, under its stored key.
    fn insert(&mut self, entry: Entry<'_>);
    /// Takes a deletion of all stored keys of a range.
    fn insert_range_tombstone(&mut self, range: RangeTombstone);
    /// Whether there is something of a stored key at this version or above: a value, a tombstone, or a deletion of a range around it.
    fn newest(&mut self, key: &[u8], version: Version) -> Newest;
}

/// What is there of a key, beside a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// All of it is of versions below.
    Below,
    /// Something is of that version, or above.
    AtOrAbove,
    /// Only this block says.
    Needs(BlockRef),
    /// What says so can't be read now.
    Unread,
}

/// Blocks that are to be read.
pub type Blocks = SmallVec<[BlockRef; 4]>;

/// An entry to be applied.
#[derive(Clone, Copy, Debug)]
pub struct Applicable<'a> {
    /// Its place in the order.
    pub index: u64,
    /// What it is.
    pub entry: EntryType,
    /// Who took it in, if that was elsewhere.
    pub origin: u16,
    /// Its content.
    pub payload: &'a [u8],
}

/// What is known so far of the keys of an entry that has to look them up, in the order of its operations: whether each wins. It stays true while
/// the entry is the group's next.
pub type LookUps = Vec<bool>;

/// How far applying an entry came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is applied.
    Done {
        /// Whether any of its values expires.
        expires: bool,
    },
    /// Nothing is done, and more is known than before: these blocks are to be read first; none where something can't be read now,
    /// which is to be tried again.
    Needs(Blocks),
}
