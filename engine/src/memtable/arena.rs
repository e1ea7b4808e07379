//! Append-only memory addressed by 32-bit references.
//!
//! Bytes live in chunks that never move and are never freed one by one; a [`Ref`] packs the chunk's
//! number and the offset in it, in units of 4 bytes. Chunks double from 16 KiB to 1 MiB, so a small
//! memtable stays small; whatever is larger than [`LARGE`] gets a chunk of exactly its size. All of it
//! is safe code: an access costs two bounds checks and one hop through a table that stays in the cache.
//! At any moment one chunk is open and all others are full for good, so an [`End`] tells what was there from what came later.

/// Largest (and usual) chunk, in bytes.
const CHUNK: usize = 1 << 20;
/// First chunk, in bytes.
const FIRST_CHUNK: usize = 16 << 10;
/// Allocations above this get a chunk of their own, so that at most 1/16 of a chunk is lost at its end.
const LARGE: usize = CHUNK / 16;
/// Bits of a reference that say where in its chunk.
const OFFSET_BITS: u32 = 18;
/// Unit of offsets in bytes.
const UNIT: usize = 4;

/// Where something begins in an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ref(pub(super) u32);

impl Ref {
    /// Refers to nothing.
    pub(super) const NONE: Ref = Ref(u32::MAX);

    fn new(chunk: usize, offset: usize) -> Ref {
        assert!(chunk < (1 << (32 - OFFSET_BITS)) - 1, "a memtable is frozen long before 1 GiB");
        Ref(((chunk << OFFSET_BITS) | (offset / UNIT)) as u32)
    }

    /// This place plus `bytes`, a multiple of 4 that stays inside the same allocation.
    pub(super) fn plus(self, bytes: usize) -> Ref {
        Ref(self.0 + (bytes / UNIT) as u32)
    }

    #[inline]
    fn chunk(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    #[inline]
    fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize * UNIT
    }
}

/// Where an arena ended at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The end of the open chunk; if that was full, of all chunks.
    open: u32,
    /// The end of all chunks. Large allocations have chunks behind the open one, which goes on below them.
    chunks: u32,
}

impl End {
    /// Behind everything.
    pub(super) const NEVER: End = End { open: u32::MAX, chunks: u32::MAX };

    /// Whether this was allocated behind the end. One comparison says no to most of what is older.
    #[inline]
    pub(super) fn is_passed_by(self, at: Ref) -> bool {
        at.0 >= self.open && (at.0 >= self.chunks || at.chunk() == Ref(self.open).chunk())
    }
}

/// The chunks.
#[derive(Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// The chunk that small allocations come from.
    open: usize,
    /// Capacity of all other chunks.
    closed_bytes: usize,
}

impl Arena {
    /// Finds room for `len` bytes and returns where they begin and the chunk to append exactly them to.
    pub(super) fn reserve(&mut self, len: usize) -> (Ref, &mut Vec<u8>) {
        let index = match self.chunks.get(self.open) {
            Some(open) if len <= LARGE && open.len().next_multiple_of(UNIT) + len <= open.capacity() => {
                self.open
            }
            _ if len > LARGE => self.add_large(len),
            _ => self.add_open(len),
        };
        let chunk = &mut self.chunks[index];
        let start = chunk.len().next_multiple_of(UNIT);
        chunk.resize(start, 0);
        (Ref::new(index, start), chunk)
    }

    /// The bytes from a reference to the end of its chunk.
    #[inline]
    pub(super) fn tail(&self, at: Ref) -> &[u8] {
        &self.chunks[at.chunk()][at.offset()..]
    }

    /// `len` bytes that begin `skip` bytes after a reference.
    #[inline]
    pub(super) fn slice(&self, at: Ref, skip: usize, len: usize) -> &[u8] {
        let start = at.offset() + skip;
        &self.chunks[at.chunk()][start..start + len]
    }

    /// The 32-bit word `skip` bytes after a reference.
    #[inline]
    pub(super) fn word(&self, at: Ref, skip: usize) -> u32 {
        let bytes = self.slice(at, skip, 4);
        u32::from_le_bytes(bytes.try_into().expect("the slice has 4 bytes"))
    }

    /// Changes the 32-bit word `skip` bytes after a reference.
    pub(super) fn set_word(&mut self, at: Ref, skip: usize, word: u32) {
        let start = at.offset() + skip;
        self.chunks[at.chunk()][start..start + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// Where it ends now.
    pub(super) fn end(&self) -> End {
        let chunks = (self.chunks.len() as u32) << OFFSET_BITS;
        let filled = self.chunks.get(self.open).map_or(0, |open| open.len().div_ceil(UNIT) as u32);
        let is_full = filled >> OFFSET_BITS != 0 || self.chunks.is_empty();
        End { open: if is_full { chunks } else { ((self.open as u32) << OFFSET_BITS) + filled }, chunks }
    }

    /// Memory in use: whole chunks, and what is filled of the open one.
    pub(super) fn bytes(&self) -> usize {
        self.closed_bytes + self.chunks.get(self.open).map_or(0, Vec::len)
    }

    fn add_large(&mut self, len: usize) -> usize {
        if self.chunks.is_empty() {
            self.add_open(0);
        }
        self.chunks.push(Vec::with_capacity(len));
        self.closed_bytes += len;
        self.chunks.len() - 1
    }

    fn add_open(&mut self, len: usize) -> usize {
        let capacity = match self.chunks.get(self.open) {
            None => FIRST_CHUNK,
            Some(open) => {
                self.closed_bytes += open.capacity();
                (open.capacity() * 2).min(CHUNK)
            }
        };
        self.chunks.push(Vec::with_capacity(capacity.max(len)));
        self.open = self.chunks.len() - 1;
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_good_while_the_arena_grows() {
        let mut arena = Arena::default();
        let mut made = Vec::new();
        for i in 0..3000_usize {
            let bytes = vec![i as u8; i * 7 % 5000 + if i % 500 == 0 { LARGE } else { 0 }];
            let (at, chunk) = arena.reserve(bytes.len());
            chunk.extend_from_slice(&bytes);
            made.push((at, bytes));
        }
        for (at, bytes) in made {
            assert_eq!(arena.slice(at, 0, bytes.len()), bytes);
        }
    }

    #[test]
    fn an_end_lies_between_what_was_allocated_before_it_and_behind() {
        let mut arena = Arena::default();
        let (mut made, mut ends) = (Vec::new(), vec![arena.end()]);
        // Of all sizes: some fill a chunk to its last byte, some have one of their own, some leave a rest.
        let mixed = [7, FIRST_CHUNK - 8, LARGE + 1, 3, 8, LARGE - 4, LARGE, 2 * LARGE, 5].repeat(60);
        let even = [LARGE, LARGE + 1].repeat(2 * CHUNK / LARGE);
        for len in [mixed, even].concat() {
            let (at, chunk) = arena.reserve(len);
            chunk.resize(chunk.len() + len, 0);
            made.push(at);
            ends.push(arena.end());
        }
        for (count, end) in ends.iter().enumerate() {
            let passed = made.iter().position(|&at| end.is_passed_by(at)).unwrap_or(made.len());
            assert_eq!(passed, count);
            assert!(made[count..].iter().all(|&at| end.is_passed_by(at)), "{end:?} behind {count}");
        }
        assert!(!made.iter().any(|&at| End::NEVER.is_passed_by(at)));
        assert!(
            ends[1..].iter().any(|end| end.open >> OFFSET_BITS == end.chunks >> OFFSET_BITS),
            "none met a full chunk"
        );
    }

    #[test]
    fn an_empty_arena_owns_nothing_and_a_small_one_little() {
        let mut arena = Arena::default();
        assert_eq!(arena.bytes(), 0);
        arena.reserve(10).1.extend_from_slice(&[0; 10]);
        assert!(arena.bytes() < 100);
        assert_eq!(arena.chunks[0].capacity(), FIRST_CHUNK);
    }

    #[test]
    fn words_can_be_changed_in_place() {
        let mut arena = Arena::default();
        let (at, chunk) = arena.reserve(8);
        chunk.extend_from_slice(&[0; 8]);
        arena.set_word(at, 4, 77);
        assert_eq!((arena.word(at, 0), arena.word(at, 4)), (0, 77));
    }
}
