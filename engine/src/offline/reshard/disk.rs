//! What a reshard changes on disk, as a seam: tests and the simulator cut it off between any two changes.

use crate::Error;
use crate::dir::Dir;
use crate::drive::{OsDir, StoreDir, StoreFile};
use std::path::{Path, PathBuf};

/// Shard directories, and the file that says which of them count.
pub trait Disk {
    /// Whether a shard's directory is there.
    fn has_shard(&self, path: &Path) -> bool;
    /// The shard directories of other layouts than the one that counts.
    fn other_layouts(&self, store: &StoreDir) -> Result<Vec<PathBuf>, Error>;
    /// A shard's directory, to read.
    fn open_shard(&self, path: &Path) -> Result<Box<dyn Dir>, Error>;
    /// A new shard's directory, its name durable.
    fn create_shard(&mut self, path: &Path) -> Result<Box<dyn Dir>, Error>;
    /// Removes a shard's directory and all that is in it.
    fn remove_shard(&mut self, path: &Path) -> Result<(), Error>;
    /// Replaces `STORE`, atomically and durably.
    fn write_store(&mut self, store: &Path, file: &StoreFile) -> Result<(), Error>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn has_shard(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn other_layouts(&self, store: &StoreDir) -> Result<Vec<PathBuf>, Error> {
        store.file.other_layouts(&store.path)
    }

    fn open_shard(&self, path: &Path) -> Result<Box<dyn Dir>, Error> {
        Ok(Box::new(OsDir::open(path)?))
    }

    fn create_shard(&mut self, path: &Path) -> Result<Box<dyn Dir>, Error> {
        Ok(Box::new(OsDir::create(path)?))
    }

    fn remove_shard(&mut self, path: &Path) -> Result<(), Error> {
        std::fs::remove_dir_all(path)
            .map_err(|source| Error::io("remove", path.display(), "the store", source))
    }

    fn write_store(&mut self, store: &Path, file: &StoreFile) -> Result<(), Error> {
        file.write(store)
    }
}
