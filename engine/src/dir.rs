//! The synchronous seam to a shard's directory, for opening, repairing and inspecting.
//!
//! Opening happens before a shard serves anybody, so it may block; tests and the simulator put
//! their own directory behind this trait and fail it at any step.

#[cfg(test)]
pub mod testing;

use crate::io::FileName;
use std::io::Result;
use std::ops::Range;

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
    /// Where the directory is, for messages.
    fn path(&self) -> String;
}

/// Writes a range of a file again as it reads, and syncs the file. After a sync that failed, a kernel may show data that it
/// has given up writing, and later syncs succeed without it: who can't prove what it read to be durable writes it again.
pub(crate) fn rewrite(dir: &mut dyn Dir, file: FileName, range: Range<u64>) -> Result<()> {
    const PIECE_BYTES: u64 = 1 << 20;
    let mut at = range.start;
    while at < range.end {
        let piece = PIECE_BYTES.min(range.end - at);
        let bytes = dir.read(file, at, piece as usize)?;
        dir.write(file, at, &bytes)?;
        at += piece;
    }
    dir.sync(file)
}

/// What to do about damage found in a shard's directory: names the command that repairs its store.
pub fn repair_hint(dir: &dyn Dir) -> String {
    format!("`kvtool repair {}` keeps what can be proved", store_of(&dir.path()))
}

/// The directory of the store that a shard's directory belongs to.
pub(crate) fn store_of(shard_dir: &str) -> &str {
    shard_dir.rsplit_once("/shard-").map_or(shard_dir, |(store, _)| store)
}
