//! What a reshard changes on disk, as a seam: tests and the simulator cut it off between any two changes.

use crate::Error;
use crate::dir::Dir;
use crate::drive::{OsDir, StoreDir, StoreFile, follow_link, remove_shard_dir};
use std::path::{Path, PathBuf};

/// Shard directories, and the file that says which of them count.
pub trait Disk {
    /// Whether a shard's directory is there.
    fn has_shard(&self, path: &Path) -> bool;
    /// The shard directories of other layouts than the one that counts.
    fn other_layouts(&self, store: &StoreDir) -> Result<Vec<PathBuf>, Error>;
    /// A shard's directory, to read.
    fn open_shard(&self, path: &Path) -> Result<Box<dyn Dir>, Error>;
    /// A new shard's directory is to lie on the disk that an old one's is linked to, if it is linked.
    fn place_like(&mut self, new: &Path, old: &Path) -> Result<(), Error>;
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

    fn place_like(&mut self, new: &Path, old: &Path) -> Result<(), Error> {
        follow_link(new, old)
    }

    fn create_shard(&mut self, path: &Path) -> Result<Box<dyn Dir>, Error> {
        Ok(Box::new(OsDir::create(path)?))
    }

    fn remove_shard(&mut self, path: &Path) -> Result<(), Error> {
        remove_shard_dir(path)
    }

    fn write_store(&mut self, store: &Path, file: &StoreFile) -> Result<(), Error> {
        file.write(store)
    }
}
