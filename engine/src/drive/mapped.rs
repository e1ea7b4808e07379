//! A file mapped read-only, known to the SIGBUS handler by name.

use super::{sigbus, syscalls};
use memmap2::{Advice, Mmap};
use std::fs::File;
use std::io::Result;
use std::path::Path;

/// How much of a mapping is made resident in one go, in bytes.
pub(super) const POPULATE_STEP: usize = 1 << 20;

/// A mapping of a whole immutable file.
#[derive(Debug)]
pub(super) struct MappedFile {
    // Dropped first: the handler must forget the addresses before they can belong to somebody else.
    _registration: sigbus::Registration,
    map: Mmap,
}

impl MappedFile {
    /// Maps the file; no page is read yet.
    pub(super) fn open(path: &Path) -> Result<MappedFile> {
        let map = syscalls::map(&File::open(path)?)?;
        let registration = sigbus::register(&map, path);
        Ok(MappedFile { _registration: registration, map })
    }

    /// Makes all pages resident.
    pub(super) fn populate(&self) -> Result<()> {
        (0..self.map.len()).step_by(POPULATE_STEP).try_for_each(|offset| self.populate_step(offset))
    }

    /// Makes the pages of [`POPULATE_STEP`] bytes at `offset` resident. A page that can't be read is an
    /// error here, not a SIGBUS.
    pub(super) fn populate_step(&self, offset: usize) -> Result<()> {
        let len = POPULATE_STEP.min(self.map.len().saturating_sub(offset));
        if len == 0 { Ok(()) } else { self.map.advise_range(Advice::PopulateRead, offset, len) }
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
