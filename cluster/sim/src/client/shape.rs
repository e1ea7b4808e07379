//! What clients do, in numbers.

use rand::Rng;
use rand::rngs::SmallRng;

/// What a client does and to which keys. Probabilities are per mille.
#[derive(Clone, Debug)]
pub struct WorkloadShape {
    /// Operations until it is finished.
    pub operations: u64,
    /// Keys that everybody fights for.
    pub hot_keys: u32,
    /// Groups of keys with one tag.
    pub groups: u32,
    /// Keys of each group.
    pub group_keys: u32,
    /// Keys that are seldom touched.
    pub cold_keys: u32,
    /// How often a request is about a hot key; about a group; the rest is about cold keys.
    pub hot: u32,
    /// See [`hot`](WorkloadShape::hot).
    pub grouped: u32,
    /// Requests without an answer at most.
    pub depth: usize,
    /// Requests sent together at most.
    pub burst: usize,
    /// How often a request only reads.
    pub reads: u32,
    /// How often a written value expires.
    pub expiring: u32,
    /// The longest relative expiry, in milliseconds.
    pub expiry_ms_max: u64,
    /// How often a request visits many keys: SCAN, KEYS, DBSIZE, COUNT.
    pub scans: u32,
    /// How often a request clears everything.
    pub clears: u32,
    /// How often a value has several blocks.
    pub large: u32,
    /// How often a value is huge.
    pub huge: u32,
    /// Length of a huge value at most.
    pub huge_bytes_max: usize,
    /// Some requests must be answered within so many milliseconds; 0: none.
    pub hurry_ms: u32,
    /// Whether nearly all entries have one length, so that a block that goes astray fits where it ends up (`alike.rs`).
    pub is_alike: bool,
    /// How often the client vanishes instead of sending.
    pub vanishes: u32,
    /// How often it sends something that is no request.
    pub garbage: u32,
}

impl Default for WorkloadShape {
    fn default() -> WorkloadShape {
        WorkloadShape {
            operations: 1000,
            hot_keys: 6,
            groups: 6,
            group_keys: 4,
            cold_keys: 400,
            hot: 350,
            grouped: 250,
            depth: 16,
            burst: 8,
            reads: 450,
            expiring: 100,
            expiry_ms_max: 3000,
            scans: 10,
            clears: 1,
            large: 40,
            huge: 1,
            huge_bytes_max: 256 << 10,
            hurry_ms: 0,
            is_alike: false,
            vanishes: 2,
            garbage: 2,
        }
    }
}

impl WorkloadShape {
    /// Draws one at random, for so many operations.
    pub fn draw(operations: u64, rng: &mut SmallRng) -> WorkloadShape {
        let mut shape = WorkloadShape { operations, ..WorkloadShape::default() };
        shape.depth = 1 << rng.random_range(0..8);
        shape
    }
}
