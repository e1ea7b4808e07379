//! What the arena holds: a cell per key, and the chain of its versions, newest first.
//!
//! ```text
//! cell     key_len u32 | newest Ref | key
//! version  stamp u64 | value_len and flag u32 | next Ref | jump Ref | depth u32 | [expiry u64] | value
//! ```
//!
//! A new key's cell and first version are one allocation, so a read of them is one stretch of memory.
//! Besides `next`, every version has a `jump` to an older one, laid out as a skew-binary list (Myers, "An
//! applicative random-access stack", 1983): putting a newer version in front costs O(1), finding the
//! newest at or below a given one O(log n). A version that arrives late is linked in where it
//! belongs; jumps over it stay right because a search only ever jumps to versions above its target and
//! always arrives by `next`. For the same reason a second entry of an equal version simply hides the first.

use super::arena::{Arena, End, Ref};
use crate::key::{Entry, Expiry, Stamp, Version};

const KEY_LEN: usize = 0;
const NEWEST: usize = 4;
const KEY: usize = 8;

const VALUE_LEN: usize = 8;
const NEXT: usize = 12;
const JUMP: usize = 16;
const DEPTH: usize = 20;
const REST: usize = 24;

/// In the word of the value's length: an expiry lies before the value.
const EXPIRES: u32 = 1 << 31;

/// The key of a cell.
#[inline]
pub(super) fn key(arena: &Arena, cell: Ref) -> &[u8] {
    let tail = arena.tail(cell);
    &tail[KEY..KEY + word(tail, KEY_LEN) as usize]
}

/// The newest version of a cell before `end`, or [`Ref::NONE`].
#[inline]
pub(super) fn newest(arena: &Arena, cell: Ref, end: End) -> Ref {
    first_before(arena, Ref(arena.word(cell, NEWEST)), end)
}

/// The version behind this one and before `end`: the next older, or [`Ref::NONE`]. Hidden ones are passed over.
pub(super) fn older(arena: &Arena, at: Ref, end: End) -> Ref {
    let hidden = version(arena, at);
    let mut next = Ref(arena.word(at, NEXT));
    while next != Ref::NONE && (version(arena, next) == hidden || end.is_passed_by(next)) {
        next = Ref(arena.word(next, NEXT));
    }
    next
}

/// This version, or the first behind it that was inserted before `end`. What is passed over came late, which little does.
#[inline]
fn first_before(arena: &Arena, at: Ref, end: End) -> Ref {
    let mut at = at;
    while end.is_passed_by(at) && at != Ref::NONE {
        at = Ref(arena.word(at, NEXT));
    }
    at
}

/// An entry, given its cell's key and its version.
#[inline]
pub(super) fn entry<'a>(arena: &'a Arena, key: &'a [u8], at: Ref) -> Entry<'a> {
    let tail = arena.tail(at);
    let stamp = Stamp(long(tail, 0));
    let len_word = word(tail, VALUE_LEN);
    let len = (len_word & !EXPIRES) as usize;
    if len_word & EXPIRES == 0 {
        return Entry { key, stamp, expiry: Expiry::NEVER, value: &tail[REST..REST + len] };
    }
    let expiry = Expiry(long(tail, REST));
    Entry { key, stamp, expiry, value: &tail[REST + 8..REST + 8 + len] }
}

/// The entry of the newest version of a cell at or below `at` and before `end`.
#[inline]
pub(super) fn find(arena: &Arena, cell: Ref, at: Version, end: End) -> Option<Entry<'_>> {
    let newest = newest(arena, cell, End::NEVER);
    let found = match version(arena, newest) <= at {
        true => newest,
        false => Ref(arena.word(last_above(arena, newest, at), NEXT)),
    };
    let found = first_before(arena, found, end);
    (found != Ref::NONE).then(|| entry(arena, key(arena, cell), found))
}

/// Makes a cell for a new key with its first version.
pub(super) fn add_key(arena: &mut Arena, entry: Entry<'_>) -> Ref {
    let cell_len = KEY + entry.key.len().next_multiple_of(4);
    let (cell, chunk) = arena.reserve(cell_len + version_len(entry));
    let newest = cell.plus(cell_len);
    let end = chunk.len() + cell_len;
    chunk.extend_from_slice(&(entry.key.len() as u32).to_le_bytes());
    chunk.extend_from_slice(&newest.0.to_le_bytes());
    chunk.extend_from_slice(entry.key);
    chunk.resize(end, 0);
    write_version(chunk, entry, Links { next: Ref::NONE, jump: newest, depth: 0 });
    cell
}

/// Adds a version to the cell of a key that is already there.
pub(super) fn add_version(arena: &mut Arena, cell: Ref, entry: Entry<'_>) {
    let newest = newest(arena, cell, End::NEVER);
    let target = entry.stamp.version();
    if version(arena, newest) <= target {
        let at = push_before(arena, newest, entry);
        arena.set_word(cell, NEWEST, at.0);
        return;
    }
    let newer = last_above(arena, newest, target);
    let next = Ref(arena.word(newer, NEXT));
    let at = push_before(arena, next, entry);
    arena.set_word(newer, NEXT, at.0);
}

struct Links {
    next: Ref,
    jump: Ref,
    depth: u32,
}

/// The last version above `at`, walking from `from`, which is above it.
fn last_above(arena: &Arena, from: Ref, at: Version) -> Ref {
    let mut here = from;
    loop {
        let next = Ref(arena.word(here, NEXT));
        if next == Ref::NONE || version(arena, next) <= at {
            return here;
        }
        let jump = Ref(arena.word(here, JUMP));
        here = if jump != here && version(arena, jump) > at { jump } else { next };
    }
}

fn push_before(arena: &mut Arena, next: Ref, entry: Entry<'_>) -> Ref {
    let links = (next != Ref::NONE).then(|| links_before(arena, next));
    let (at, chunk) = arena.reserve(version_len(entry));
    write_version(chunk, entry, links.unwrap_or(Links { next, jump: at, depth: 0 }));
    at
}

/// Where a version jumps to that is put before `next`: two equal jumps become one of twice the length.
fn links_before(arena: &Arena, next: Ref) -> Links {
    let depth = arena.word(next, DEPTH);
    let jump = Ref(arena.word(next, JUMP));
    let len = jump_len(depth);
    // Lengths follow from depths, so that the versions jumped to are read only where two jumps become one.
    let jump = if jump_len(depth - len) == len { Ref(arena.word(jump, JUMP)) } else { next };
    Links { next, jump, depth: depth.saturating_add(1) }
}

/// How far a version of this depth jumps: the last term when the depth is written as a sum of the largest
/// possible numbers of the form 2^k - 1.
fn jump_len(depth: u32) -> u32 {
    let (mut rest, mut term) = (depth, 0);
    while rest > 0 {
        term = u32::MAX >> (rest + 1).leading_zeros() >> 1;
        rest -= term;
    }
    term
}

fn version_len(entry: Entry<'_>) -> usize {
    REST + if entry.expiry == Expiry::NEVER { 0 } else { 8 } + entry.value.len()
}

fn write_version(chunk: &mut Vec<u8>, entry: Entry<'_>, links: Links) {
    let expires = if entry.expiry == Expiry::NEVER { 0 } else { EXPIRES };
    let mut header = [0; REST];
    header[..VALUE_LEN].copy_from_slice(&entry.stamp.0.to_le_bytes());
    let words = [entry.value.len() as u32 | expires, links.next.0, links.jump.0, links.depth];
    for (place, word) in header[VALUE_LEN..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    chunk.extend_from_slice(&header);
    if expires != 0 {
        chunk.extend_from_slice(&entry.expiry.0.to_le_bytes());
    }
    chunk.extend_from_slice(entry.value);
}

#[inline]
fn version(arena: &Arena, at: Ref) -> Version {
    Stamp(long(arena.tail(at), 0)).version()
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

#[inline]
fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Kind;

    #[test]
    fn lengths_of_jumps_are_those_of_a_skew_binary_list() {
        let lengths: Vec<u32> = (0..16).map(jump_len).collect();
        assert_eq!(lengths, [0, 1, 1, 3, 1, 1, 3, 7, 1, 1, 3, 1, 1, 3, 7, 15]);
    }

    #[test]
    fn every_version_jumps_as_far_as_its_depth_says() {
        let entry = |version| Entry {
            key: b"key",
            stamp: Stamp::new(Version(version), Kind::Value),
            expiry: Expiry::NEVER,
            value: b"",
        };
        let mut arena = Arena::default();
        let cell = add_key(&mut arena, entry(0));
        (1..5000).for_each(|version| add_version(&mut arena, cell, entry(version)));
        let mut at = newest(&arena, cell, End::NEVER);
        while at != Ref::NONE {
            let depth = arena.word(at, DEPTH);
            assert_eq!(version(&arena, at), Version(u64::from(depth)));
            let jump = Ref(arena.word(at, JUMP));
            assert_eq!(version(&arena, jump), Version(u64::from(depth - jump_len(depth))));
            at = older(&arena, at, End::NEVER);
        }
    }
}
