//! Files and directories that only their owner may read: what a store is made of is what its users keep in it.
//!
//! The modes are those of new files and directories. Whoever gives more away with `chmod` keeps that.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Mode of every file that a store consists of.
pub(super) const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Makes a file, or empties it if it is there, and opens it for writing.
pub fn create_file(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// Makes a directory, which must not be there.
pub fn create_dir(path: &Path) -> Result<()> {
    DirBuilder::new().mode(DIR_MODE).create(path)
}
