//! A shard's directory on a real file system, with blocking calls.

use super::owned;
use crate::dir::Dir;
use crate::error::Error;
use crate::io::FileName;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The blocking [`Dir`], for opening, repairing and inspecting a shard.
#[derive(Clone, Debug)]
pub struct OsDir {
    path: PathBuf,
}

impl OsDir {
    /// The directory at `path`, which must exist.
    pub fn open(path: impl Into<PathBuf>) -> std::result::Result<OsDir, Error> {
        let path = path.into();
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Ok(OsDir { path }),
            Ok(_) => Err(Error::Unusable(format!(
                "{} is no directory; name the directory that holds the store",
                path.display()
            ))),
            Err(source) => Err(Error::io("open", "directory", path.display(), source)),
        }
    }

    /// Makes the directory, and those above it, if it isn't there, and makes their names durable.
    pub fn create(path: impl Into<PathBuf>) -> std::result::Result<OsDir, Error> {
        let path = path.into();
        create_durably(&path).map_err(|source| Error::io("create", "directory", path.display(), source))?;
        OsDir::open(path)
    }

    fn file(&self, file: FileName) -> PathBuf {
        self.path.join(file.to_string())
    }

    fn open_for_writing(&self, file: FileName) -> Result<File> {
        OpenOptions::new().write(true).open(self.file(file))
    }
}

impl Dir for OsDir {
    fn list(&self) -> Result<Vec<FileName>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            files.extend(entry?.file_name().to_str().and_then(FileName::parse));
        }
        Ok(files)
    }

    fn len(&self, file: FileName) -> Result<u64> {
        Ok(fs::metadata(self.file(file))?.len())
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        let handle = File::open(self.file(file))?;
        // A damaged length must not allocate more than the file can fill.
        if offset.checked_add(len as u64).is_none_or(|end| handle.metadata().is_ok_and(|m| m.len() < end)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        handle.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        owned::create_file(&self.file(file)).map(drop)
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        self.open_for_writing(file)?.write_all_at(data, offset)
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        self.open_for_writing(file)?.sync_data()
    }

    fn sync_dir(&mut self) -> Result<()> {
        sync_dir(&self.path)
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        fs::remove_file(self.file(file))
    }

    fn path(&self) -> String {
        self.path.display().to_string()
    }
}

/// Makes the names in a directory durable. A full fsync: file systems may leave new names out of an
/// fdatasync of a directory.
pub(super) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)?.sync_all()
}

fn create_durably(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match owned::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_dir(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, OsDir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = OsDir::create(temp.path().join("a/b")).unwrap();
        (temp, dir)
    }

    #[test]
    fn a_directory_lists_only_files_of_ours() {
        let (_temp, mut dir) = dir();
        dir.create(FileName::Log(1)).unwrap();
        fs::write(dir.path.join("LOCK"), b"").unwrap();
        assert_eq!(dir.list().unwrap(), [FileName::Log(1)]);
    }

    #[test]
    fn what_is_written_is_read_back_also_after_a_rename() {
        let (_temp, mut dir) = dir();
        let (from, to) = (FileName::ManifestTemp(2), FileName::Manifest(2));
        dir.create(from).unwrap();
        dir.write(from, 5, b"hello").unwrap();
        dir.sync(from).unwrap();
        dir.rename(from, to).unwrap();
        dir.sync_dir().unwrap();
        assert_eq!(dir.len(to).unwrap(), 10);
        assert_eq!(dir.read(to, 5, 5).unwrap(), b"hello");
        dir.unlink(to).unwrap();
        assert!(dir.list().unwrap().is_empty());
    }

    #[test]
    fn a_read_past_the_end_is_an_error_and_allocates_nothing() {
        let (_temp, mut dir) = dir();
        dir.create(FileName::Table(1)).unwrap();
        for (offset, len) in [(0, 1), (0, usize::MAX >> 2), (u64::MAX, 2)] {
            let error = dir.read(FileName::Table(1), offset, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_missing_directory_is_named_in_the_error() {
        let error = OsDir::open("/nonexistent/pinion").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/pinion"), "{error}");
    }
}
