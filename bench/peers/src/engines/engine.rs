//! What every store does here: [`Engine`] for one thread's use of it, [`Writer`] for many threads' durable writes.

use std::error::Error;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// One thread's use of a store.
pub trait Engine {
    /// Reads a key; the length of its value.
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>>;
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
    /// Puts one of very many; it is there at the latest after [`Engine::settle`].
    fn load(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value)
    }
    /// Reads up to `count` items in order; returns how many.
    fn scan(&mut self, from: &[u8], count: usize) -> Result<usize>;
    /// Waits until flushes and merges have nothing to do.
    fn settle(&mut self) -> Result<()>;
}

/// Many threads' durable writes.
pub trait Writer: Send {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;
}
