//! Spare byte vectors, so that connections have memory while they are busy and none while they are idle.

/// Vectors larger than this are freed, not kept. Fresh memory costs a page fault every 4 KiB, which for
/// pipelined values of 256 KiB was a quarter of the server's time.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Most bytes the pool holds.
const POOL_BYTES_MAX: usize = 8 << 20;

/// Last in, first out: the vector whose memory is still in the cache is handed out next.
#[derive(Default)]
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// An empty vector.
    pub fn take(&mut self) -> Vec<u8> {
        let Some(vector) = self.spare.pop() else {
            return Vec::new();
        };
        self.bytes -= vector.capacity();
        vector
    }

    /// Memory that the pool holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a vector's memory for later, within limits.
    pub fn put(&mut self, mut vector: Vec<u8>) {
        let bytes = vector.capacity();
        if bytes == 0 || bytes > KEPT_BYTES_MAX || self.bytes + bytes > POOL_BYTES_MAX {
            return;
        }
        vector.clear();
        self.bytes += bytes;
        self.spare.push(vector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_empty_and_the_pool_stays_bounded() {
        let mut pool = Pool::default();
        pool.put(vec![1; 100]);
        assert!(pool.take().is_empty());
        for _ in 0..100 {
            pool.put(vec![0; KEPT_BYTES_MAX]);
        }
        pool.put(vec![0; KEPT_BYTES_MAX + 1]);
        assert!(pool.bytes <= POOL_BYTES_MAX);
        assert_eq!(pool.bytes, pool.spare.iter().map(Vec::capacity).sum::<usize>());
    }
}
