//! A B+-tree of a memtable's cells, for order: inserts of new keys and ordered reads.
//!
//! Nodes hold references to cells, and beside each the 8 bytes of its key that tell the node's keys apart: its
//! *head*, a number that compares as those bytes do. All keys that can ever reach a node lie between its
//! fences (the separators around it), so they share the fences' common prefix; heads begin after it. Keys
//! that share a long prefix ("user...", a partition's 8 bytes) therefore still differ in their heads, and a
//! search reads whole keys only where heads are equal. Outermost nodes lack a fence; they use the prefix that
//! all keys of the tree share, which only shrinks (and then their heads are made again).

use super::arena::{Arena, Ref};
use super::record;
use crate::key::{common_len, head};
use smallvec::SmallVec;
use std::mem::size_of;

/// Keys of a leaf.
const LEAF: usize = 32;
/// Separators of an inner node.
const INNER: usize = 63;
/// Nodes are allocated so many at a time.
const POOL: usize = 16;

/// Sorted cells with their heads, laid out so that a search begins in the line that says how many there are.
#[repr(C)]
struct Keys<const N: usize> {
    len: usize,
    /// Bytes that all keys of this node share; heads begin after them.
    skip: usize,
    heads: [u64; N],
    cells: [Ref; N],
}

/// Lowest level: every key once, in order, leaves chained.
struct Leaf {
    keys: Keys<LEAF>,
    next: Option<u32>,
}

/// `children[i]` holds the keys from separator `i - 1` to below separator `i`.
struct Inner {
    keys: Keys<INNER>,
    children: [u32; INNER + 1],
}

/// Nodes by number, in chunks that don't move.
struct Pool<T>(Vec<Vec<T>>);

/// The tree.
pub(super) struct Tree {
    leaves: Pool<Leaf>,
    inners: Pool<Inner>,
    root: u32,
    /// Levels of inner nodes above the leaves.
    height: usize,
    /// What all keys begin with.
    common: Vec<u8>,
}

/// A place between two keys: a leaf and how many of its keys lie before.
#[derive(Clone, Copy)]
pub(super) struct LeafSlot {
    leaf: Option<u32>,
    slot: usize,
}

/// Inner nodes from the root down, each with the child taken.
type Path = SmallVec<[(u32, usize); 8]>;

impl Tree {
    /// No keys yet.
    pub(super) fn new() -> Tree {
        Tree { leaves: Pool(Vec::new()), inners: Pool(Vec::new()), root: 0, height: 0, common: Vec::new() }
    }

    /// Adds the cell of a key that isn't there yet.
    pub(super) fn insert(&mut self, arena: &Arena, cell: Ref) {
        let key = record::key(arena, cell);
        if self.leaves.0.is_empty() {
            self.common = key.to_vec();
            self.root = self.leaves.add(Leaf { keys: Keys::new(key.len()), next: None });
        }
        let shared = common_len(&self.common, key);
        if shared < self.common.len() {
            self.shrink_common(arena, shared);
        }
        let (leaf, path) = self.descend(arena, key);
        let keys = &self.leaves.get(leaf).keys;
        let slot = keys.rank(arena, key, false);
        if keys.len < LEAF {
            self.leaves.get_mut(leaf).keys.insert(arena, slot, cell);
        } else {
            self.split_leaf(arena, leaf, path, slot, cell);
        }
    }

    /// Before the first key at or after `key`.
    pub(super) fn seek(&self, arena: &Arena, key: &[u8]) -> LeafSlot {
        if self.leaves.0.is_empty() || common_len(&self.common, key) < self.common.len() {
            let all_before = self.common.as_slice() < key;
            return if all_before { LeafSlot { leaf: None, slot: 0 } } else { self.first() };
        }
        let (leaf, _) = self.descend(arena, key);
        LeafSlot { leaf: Some(leaf), slot: self.leaves.get(leaf).keys.rank(arena, key, false) }
    }

    /// One of the cells, each as likely as the others: any place of any leaf, drawn again while it is empty. Leaves are half
    /// full at least, but for the first, so few draws are needed.
    pub(super) fn random(&self, mut dice: u64) -> Option<Ref> {
        const DRAWS: usize = 64;
        let leaves = self.leaves.len() as u64;
        for _ in 0..DRAWS * usize::from(leaves > 0) {
            let place = ((u128::from(dice) * u128::from(leaves * LEAF as u64)) >> 64) as u64;
            let keys = &self.leaves.get((place / LEAF as u64) as u32).keys;
            let slot = (place % LEAF as u64) as usize;
            if slot < keys.len {
                return Some(keys.cells[slot]);
            }
            dice =
                dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f).rotate_left(23);
        }
        // A tree of one leaf with a single key may take more.
        self.leaves.0.first()?.first()?.keys.cells.first().copied()
    }

    /// Before all keys.
    pub(super) fn first(&self) -> LeafSlot {
        // A split keeps the left half in its place, so the first leaf stays the first that was made.
        LeafSlot { leaf: (!self.leaves.0.is_empty()).then_some(0), slot: 0 }
    }

    /// The cell behind a place, which moves on.
    pub(super) fn next(&self, place: &mut LeafSlot) -> Option<Ref> {
        loop {
            let leaf = self.leaves.get(place.leaf?);
            if place.slot < leaf.keys.len {
                place.slot += 1;
                return Some(leaf.keys.cells[place.slot - 1]);
            }
            *place = LeafSlot { leaf: leaf.next, slot: 0 };
        }
    }

    /// Memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.leaves.bytes() + self.inners.bytes() + self.common.capacity()
    }

    fn descend(&self, arena: &Arena, key: &[u8]) -> (u32, Path) {
        let mut path = Path::new();
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let slot = inner.keys.rank(arena, key, true);
            path.push((node, slot));
            node = inner.children[slot];
        }
        (node, path)
    }

    fn split_leaf(&mut self, arena: &Arena, leaf: u32, mut path: Path, slot: usize, cell: Ref) {
        let (low, high) = self.fences(&path);
        // Keys that arrive in order fill leaves to the brim.
        let cut = if slot == LEAF { LEAF } else { LEAF / 2 };
        let separator = if cut == LEAF { cell } else { self.leaves.get(leaf).keys.cells[cut] };
        let left_skip = self.skip_between(arena, low, Some(separator));
        let right_skip = self.skip_between(arena, Some(separator), high);

        let left = self.leaves.get_mut(leaf);
        let mut right = Leaf { keys: left.keys.split_off(cut), next: left.next };
        left.keys.set_skip(arena, left_skip);
        right.keys.set_skip(arena, right_skip);
        if slot <= cut && cut < LEAF {
            left.keys.insert(arena, slot, cell);
        } else {
            right.keys.insert(arena, slot - cut, cell);
        }
        let right = self.leaves.add(right);
        self.leaves.get_mut(leaf).next = Some(right);
        self.add_child(arena, &mut path, separator, right);
    }

    /// Puts a new child to the right of the one that `path` ends with; splits what is full.
    fn add_child(&mut self, arena: &Arena, path: &mut Path, separator: Ref, child: u32) {
        let (mut separator, mut child) = (separator, child);
        while let Some((node, slot)) = path.pop() {
            if self.inners.get(node).keys.len < INNER {
                self.inners.get_mut(node).insert(arena, slot, separator, child);
                return;
            }
            (separator, child) = self.split_inner(arena, (node, slot), path, separator, child);
        }
        let mut root = Inner { keys: Keys::new(self.common.len()), children: [0; INNER + 1] };
        root.children[0] = self.root;
        root.insert(arena, 0, separator, child);
        self.root = self.inners.add(root);
        self.height += 1;
    }

    /// Splits a full inner node, adds the child to one half, and returns what goes up.
    fn split_inner(
        &mut self,
        arena: &Arena,
        (node, slot): (u32, usize),
        path: &Path,
        separator: Ref,
        child: u32,
    ) -> (Ref, u32) {
        let (low, high) = self.fences(path);
        let cut = if slot == INNER { INNER - 1 } else { INNER / 2 };
        let middle = self.inners.get(node).keys.cells[cut];
        let left_skip = self.skip_between(arena, low, Some(middle));
        let right_skip = self.skip_between(arena, Some(middle), high);

        let left = self.inners.get_mut(node);
        let mut right = Inner { keys: left.keys.split_off(cut + 1), children: [0; INNER + 1] };
        right.children[..INNER - cut].copy_from_slice(&left.children[cut + 1..]);
        left.keys.len = cut;
        left.keys.set_skip(arena, left_skip);
        right.keys.set_skip(arena, right_skip);
        if slot <= cut {
            left.insert(arena, slot, separator, child);
        } else {
            right.insert(arena, slot - cut - 1, separator, child);
        }
        (middle, self.inners.add(right))
    }

    /// The separators around the node that a path leads to.
    fn fences(&self, path: &Path) -> (Option<Ref>, Option<Ref>) {
        let (mut low, mut high) = (None, None);
        for &(node, slot) in path {
            let keys = &self.inners.get(node).keys;
            if slot > 0 {
                low = Some(keys.cells[slot - 1]);
            }
            if slot < keys.len {
                high = Some(keys.cells[slot]);
            }
        }
        (low, high)
    }

    fn skip_between(&self, arena: &Arena, low: Option<Ref>, high: Option<Ref>) -> usize {
        match (low, high) {
            (Some(low), Some(high)) => common_len(record::key(arena, low), record::key(arena, high)),
            _ => self.common.len(),
        }
    }

    /// A key arrived that shares less: the outermost nodes of both sides make their heads again.
    fn shrink_common(&mut self, arena: &Arena, len: usize) {
        self.common.truncate(len);
        for last in [false, true] {
            let mut node = self.root;
            for _ in 0..self.height {
                let inner = self.inners.get_mut(node);
                inner.keys.set_skip(arena, len);
                node = inner.children[if last { inner.keys.len } else { 0 }];
            }
            self.leaves.get_mut(node).keys.set_skip(arena, len);
        }
    }
}

impl Inner {
    fn insert(&mut self, arena: &Arena, slot: usize, separator: Ref, child: u32) {
        let len = self.keys.len;
        self.children.copy_within(slot + 1..len + 1, slot + 2);
        self.children[slot + 1] = child;
        self.keys.insert(arena, slot, separator);
    }
}

impl<const N: usize> Keys<N> {
    fn new(skip: usize) -> Keys<N> {
        Keys { len: 0, skip, heads: [0; N], cells: [Ref::NONE; N] }
    }

    /// How many keys lie before `key`, an equal one included or not.
    fn rank(&self, arena: &Arena, key: &[u8], with_equal: bool) -> usize {
        let head = head(key, self.skip);
        let heads = &self.heads[..self.len];
        let first = heads.partition_point(|&other| other < head);
        if heads.get(first) != Some(&head) {
            return first;
        }
        let ties = heads[first..].partition_point(|&other| other == head);
        let cells = &self.cells[first..first + ties];
        first
            + cells.partition_point(|&cell| {
                let other = record::key(arena, cell);
                other < key || (with_equal && other == key)
            })
    }

    fn insert(&mut self, arena: &Arena, slot: usize, cell: Ref) {
        self.heads.copy_within(slot..self.len, slot + 1);
        self.cells.copy_within(slot..self.len, slot + 1);
        self.heads[slot] = head(record::key(arena, cell), self.skip);
        self.cells[slot] = cell;
        self.len += 1;
    }

    fn split_off(&mut self, cut: usize) -> Keys<N> {
        let mut right = Keys::new(self.skip);
        right.len = self.len - cut;
        right.heads[..right.len].copy_from_slice(&self.heads[cut..self.len]);
        right.cells[..right.len].copy_from_slice(&self.cells[cut..self.len]);
        self.len = cut;
        right
    }

    fn set_skip(&mut self, arena: &Arena, skip: usize) {
        if self.skip == skip {
            return;
        }
        self.skip = skip;
        for (place, &cell) in self.heads.iter_mut().zip(&self.cells[..self.len]) {
            *place = head(record::key(arena, cell), skip);
        }
    }
}

impl<T> Pool<T> {
    fn get(&self, index: u32) -> &T {
        &self.0[index as usize / POOL][index as usize % POOL]
    }

    fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.0[index as usize / POOL][index as usize % POOL]
    }

    fn add(&mut self, node: T) -> u32 {
        if self.0.last().is_none_or(|chunk| chunk.len() == POOL) {
            self.0.push(Vec::with_capacity(POOL));
        }
        let chunks = self.0.len();
        let chunk = &mut self.0[chunks - 1];
        chunk.push(node);
        ((chunks - 1) * POOL + chunk.len() - 1) as u32
    }

    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * POOL + last.len())
    }

    fn bytes(&self) -> usize {
        self.0.len() * (POOL * size_of::<T>() + size_of::<Vec<T>>())
    }
}
