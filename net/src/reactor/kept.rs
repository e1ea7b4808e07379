//! Input that a connection's handler hasn't consumed.

use super::pool::Pool;

/// Memory grows by so much at once at most: what comes behind a long command must not double it.
const STEP_BYTES_MAX: usize = 1 << 20;

/// Memory above this size shrinks when most of it has become idle.
const KEEP_BYTES_MAX: usize = 64 << 10;

/// Bytes that are appended at one end and consumed at the other; no memory while empty.
#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// Where the unconsumed bytes begin. Less than half of the vector is consumed, so that moving the rest
    /// to the front costs no more than receiving it did.
    from: usize,
}

impl Kept {
    pub fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends bytes of something that is to be `wanted` long, if that is known. Memory grows with what has come, by
    /// doubling, and to no more than what is wanted.
    pub fn append(&mut self, bytes: &[u8], wanted: usize, pool: &mut Pool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take_for_input();
        }
        let (there, needed) = (self.bytes.len(), self.bytes.len() + bytes.len());
        if needed > self.bytes.capacity() {
            let whole = self.from + wanted;
            let doubled = (2 * self.bytes.capacity()).min(self.bytes.capacity() + STEP_BYTES_MAX);
            let grown = if whole >= needed { doubled.min(whole) } else { doubled };
            self.bytes.reserve_exact(grown.max(needed) - there);
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub fn consume(&mut self, count: usize, pool: &mut Pool) {
        self.from += count;
        assert!(self.from <= self.bytes.len(), "no more is consumed than there is");
        if self.is_empty() {
            self.release(pool);
        } else if self.from >= self.len() {
            self.bytes.drain(..self.from);
            self.from = 0;
            if self.bytes.capacity() > KEEP_BYTES_MAX.max(4 * self.bytes.len()) {
                self.bytes.shrink_to(2 * self.bytes.len());
            }
        }
    }

    /// Forgets the bytes and gives the memory back.
    pub fn release(&mut self, pool: &mut Pool) {
        pool.put_from_input(std::mem::take(&mut self.bytes));
        self.from = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_appended_and_not_consumed(
            steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), 0_usize..60), 1..50)
        ) {
            let (mut kept, mut pool, mut model) = (Kept::default(), Pool::new(1 << 20), Vec::new());
            for (bytes, consumed) in steps {
                kept.append(&bytes, consumed, &mut pool);
                model.extend_from_slice(&bytes);
                let consumed = consumed.min(model.len());
                kept.consume(consumed, &mut pool);
                model.drain(..consumed);
                prop_assert_eq!(kept.as_slice(), &model[..]);
                prop_assert!(!kept.is_empty() || kept.bytes.capacity() == 0);
            }
        }
    }

    #[test]
    fn what_follows_a_long_command_does_not_keep_its_memory() {
        let (mut kept, mut pool) = (Kept::default(), Pool::new(0));
        kept.append(&vec![7; 4 << 20], 0, &mut pool);
        kept.append(b"0123456789", 0, &mut pool);
        kept.consume(4 << 20, &mut pool);
        assert_eq!(kept.as_slice(), b"0123456789");
        assert!(kept.capacity() <= KEEP_BYTES_MAX, "{} bytes for 10", kept.capacity());
    }

    #[test]
    fn memory_follows_what_has_come_and_ends_at_what_is_wanted() {
        let (mut kept, mut pool) = (Kept::default(), Pool::new(0));
        let (wanted, piece) = (100_000, [0; 1000]);
        for count in 1..=100 {
            kept.append(&piece, wanted, &mut pool);
            assert!(kept.capacity() <= wanted.min(2 * count * piece.len()), "{} of {count}", kept.capacity());
        }
        kept.append(&piece, wanted, &mut pool);
        assert_eq!(kept.len(), 101_000);
        kept.append(&vec![0; 16 << 20], 0, &mut pool);
        kept.append(&piece, 0, &mut pool);
        assert!(kept.capacity() <= kept.len() + STEP_BYTES_MAX);
    }
}
