//! Puts that wait to be written together, for the stores with transactions.

/// Puts that such a store gets as one while it is loaded.
const LOAD_BATCH: usize = 1_000;

/// Puts that wait.
#[derive(Default)]
pub struct Pending(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Pending {
    /// Keeps a put; true when it is time to write them.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.0.push((key.to_vec(), value.to_vec()));
        self.0.len() >= LOAD_BATCH
    }
}
