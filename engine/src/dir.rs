//! The synchronous seam to a shard's directory, for opening, repairing and inspecting.
//!
//! Opening happens before a shard serves anybody, so it may block; tests and the simulator put
//! their own directory behind this trait and fail it at any step.

#[cfg(test)]
pub mod testing;

use crate::io::{FileBytes, FileName};
use std::io::Result;

/// A shard's directory.
pub trait Dir {
    /// All files of ours, in no particular order. Foreign names are left out.
    fn list(&self) -> Result<Vec<FileName>>;
    /// Length of a file in bytes.
    fn len(&self, file: FileName) -> Result<u64>;
    /// Reads exactly `len` bytes at `offset`.
    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>>;
    /// Makes an empty file, or empties one.
    fn create(&mut self, file: FileName) -> Result<()>;
    /// Writes all of `data` at `offset`.
    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()>;
    /// Makes a file's data durable.
    fn sync(&mut self, file: FileName) -> Result<()>;
    /// Makes names durable.
    fn sync_dir(&mut self) -> Result<()>;
    /// Renames a file over another name.
    fn rename(&mut self, from: FileName, to: FileName) -> Result<()>;
    /// Removes a file.
    fn unlink(&mut self, file: FileName) -> Result<()>;
    /// Maps a whole file; `populate` makes its pages resident first.
    fn map(&self, file: FileName, populate: bool) -> Result<FileBytes>;
    /// Where the directory is, for messages.
    fn path(&self) -> String;
}

/// What to do about damage found in a shard's directory: names the command that repairs its store.
pub fn repair_hint(dir: &dyn Dir) -> String {
    format!("`kvtool repair {}` keeps what can be proved", store_of(&dir.path()))
}

/// The directory of the store that a shard's directory belongs to.
pub(crate) fn store_of(shard_dir: &str) -> &str {
    shard_dir.rsplit_once("/shard-").map_or(shard_dir, |(store, _)| store)
}
