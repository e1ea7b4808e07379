//! Spare byte vectors, so that connections have memory while they are busy and none while they are idle.

/// Vectors larger than this are freed, not kept. Fresh memory costs a page fault every 4 KiB, which for
/// pipelined values of 256 KiB was a quarter of the server's time.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Vectors up to this size are lent to input: the beginning of a command must not sit in a megabyte.
const INPUT_BYTES_MAX: usize = 32 << 10;

/// Last in, first out: the vector whose memory is still in the cache is handed out next.
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
    /// Those that input is kept in.
    inputs: Vec<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
}

impl Pool {
    /// An empty pool, which holds so many bytes at most.
    pub fn new(bytes_max: usize) -> Pool {
        Pool { spare: Vec::new(), inputs: Vec::new(), bytes: 0, bytes_max }
    }

    /// An empty vector for output.
    pub fn take(&mut self) -> Vec<u8> {
        let vector = self.spare.pop().unwrap_or_default();
        self.bytes -= vector.capacity();
        vector
    }

    /// An empty vector for input.
    pub fn take_for_input(&mut self) -> Vec<u8> {
        let vector = self.inputs.pop().unwrap_or_default();
        self.bytes -= vector.capacity();
        vector
    }

    /// Memory that the pool holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the memory of a vector that output was in, within limits.
    pub fn put(&mut self, vector: Vec<u8>) {
        if let Some(vector) = self.admit(vector, KEPT_BYTES_MAX) {
            self.spare.push(vector);
        }
    }

    /// Keeps the memory of a vector that input was in, within limits.
    pub fn put_from_input(&mut self, vector: Vec<u8>) {
        if let Some(vector) = self.admit(vector, INPUT_BYTES_MAX) {
            self.inputs.push(vector);
        }
    }

    fn admit(&mut self, mut vector: Vec<u8>, most: usize) -> Option<Vec<u8>> {
        let bytes = vector.capacity();
        if bytes == 0 || bytes > most || self.bytes + bytes > self.bytes_max {
            return None;
        }
        vector.clear();
        self.bytes += bytes;
        Some(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_empty_and_the_pool_stays_bounded() {
        let bytes_max = 8 << 20;
        let mut pool = Pool::new(bytes_max);
        pool.put(vec![1; 100]);
        assert!(pool.take().is_empty());
        for _ in 0..100 {
            pool.put(vec![0; KEPT_BYTES_MAX]);
            pool.put_from_input(vec![0; INPUT_BYTES_MAX]);
        }
        pool.put(vec![0; KEPT_BYTES_MAX + 1]);
        assert!(pool.bytes <= bytes_max);
        let all = pool.spare.iter().chain(&pool.inputs);
        assert_eq!(pool.bytes, all.map(Vec::capacity).sum::<usize>());
    }

    #[test]
    fn input_gets_no_large_vector() {
        let mut pool = Pool::new(8 << 20);
        pool.put(vec![0; KEPT_BYTES_MAX]);
        pool.put_from_input(vec![0; KEPT_BYTES_MAX]);
        assert_eq!(pool.take_for_input().capacity(), 0);
        pool.put_from_input(vec![0; 100]);
        assert_eq!(pool.take_for_input().capacity(), 100);
    }
}
