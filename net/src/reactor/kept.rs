//! Input that a connection's handler hasn't consumed.

use super::pool::Pool;

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

    pub fn append(&mut self, bytes: &[u8], pool: &mut Pool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
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
        }
    }

    /// Forgets the bytes and gives the memory back.
    pub fn release(&mut self, pool: &mut Pool) {
        pool.put(std::mem::take(&mut self.bytes));
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
            let (mut kept, mut pool, mut model) = (Kept::default(), Pool::default(), Vec::new());
            for (bytes, consumed) in steps {
                kept.append(&bytes, &mut pool);
                model.extend_from_slice(&bytes);
                let consumed = consumed.min(model.len());
                kept.consume(consumed, &mut pool);
                model.drain(..consumed);
                prop_assert_eq!(kept.as_slice(), &model[..]);
                prop_assert!(!kept.is_empty() || kept.bytes.capacity() == 0);
            }
        }
    }
}
