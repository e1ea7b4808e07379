//! Open descriptors of a shard's files, with O_DIRECT where the file system has it.
//!
//! A driver asks for a file's descriptor, keeps the [`OpenFile`] for as long as the kernel may use it,
//! and tells the cache of requests that make descriptors stale ([`Files::observe`]). The cache is
//! bounded; a file that is dropped from it stays open until its last user lets go.

use super::device::LogSync;
use super::direct::probe;
use super::rare;
use crate::aligned::ALIGN;
use crate::error::Error;
use crate::io::{FileName, IoRequest};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many descriptors a cache keeps open.
pub(super) const OPEN_MAX: usize = 256;

/// An open file. Keep it until the kernel is done with its descriptor.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    direct: bool,
    /// Its length when it was opened.
    len: u64,
}

impl OpenFile {
    /// Whether it was opened with O_DIRECT, so that offsets and lengths must be multiples of [`ALIGN`].
    pub fn is_direct(&self) -> bool {
        self.direct
    }
}

impl AsRawFd for OpenFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// A cache of open files of one directory.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    direct: bool,
    log_sync: LogSync,
    open: HashMap<(FileName, bool), Cached>,
    uses: u64,
}

#[derive(Debug)]
struct Cached {
    file: Arc<OpenFile>,
    last_use: u64,
}

impl Files {
    /// A cache for `dir`. With `direct` files are opened with O_DIRECT, if the directory supports it.
    pub fn new(dir: &Path, direct: bool) -> std::result::Result<Files, Error> {
        let direct = direct && probe(dir)?.is_some();
        let log_sync = if direct { LogSync::of(dir) } else { LogSync::Linked };
        Ok(Files { dir: dir.to_owned(), direct, log_sync, open: HashMap::new(), uses: 0 })
    }

    /// How durable log writes are made: as the directory's device is best at, unless it was set.
    pub fn log_sync(&self) -> LogSync {
        self.log_sync
    }

    /// Sets how durable log writes are made.
    pub fn set_log_sync(&mut self, log_sync: LogSync) {
        self.log_sync = log_sync;
    }

    /// Whether a write that must be durable is to be one write with RWF_DSYNC, not one with a linked
    /// fdatasync: a direct write of the log into space that its file had when it was opened. (Where the file
    /// has to grow there is metadata to sync, and nothing to gain.)
    pub fn writes_through(&self, name: FileName, file: &OpenFile, offset: u64, len: usize) -> bool {
        self.log_sync == LogSync::WriteThrough
            && matches!(name, FileName::Log(_))
            && file.direct
            && offset + len as u64 <= file.len
    }

    /// Whether files are opened with O_DIRECT.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// The file for reading whole blocks and for syncing.
    pub fn get(&mut self, file: FileName) -> Result<Arc<OpenFile>> {
        self.open(file, self.direct)
    }

    /// The file for a write: one without O_DIRECT if the write isn't aligned.
    pub fn for_write(&mut self, file: FileName, offset: u64, len: usize) -> Result<Arc<OpenFile>> {
        self.open(file, self.direct && is_aligned(offset, len))
    }

    /// Drops the descriptors that a request makes stale. Call it before the request is performed.
    pub fn observe(&mut self, request: &IoRequest) {
        match *request {
            IoRequest::Create { file, .. } | IoRequest::Unlink { file, .. } => self.forget(file),
            IoRequest::Rename { from, to, .. } => {
                self.forget(from);
                self.forget(to);
            }
            _ => {}
        }
    }

    /// Drops the descriptors of a file.
    pub fn forget(&mut self, file: FileName) {
        self.open.remove(&(file, false));
        self.open.remove(&(file, true));
    }

    /// Takes out the descriptors of files whose name is gone. Call it after a job, which may have removed files, and drop
    /// them in the background: closing the last one gives the file's space back, which takes up to a second.
    pub fn take_unlinked(&mut self) -> Vec<Arc<OpenFile>> {
        let is_gone =
            |cached: &mut Cached| cached.file.file.metadata().map_or(true, |meta| meta.nlink() == 0);
        self.open.extract_if(|_, cached| is_gone(cached)).map(|(_, cached)| cached.file).collect()
    }

    fn open(&mut self, file: FileName, direct: bool) -> Result<Arc<OpenFile>> {
        self.uses += 1;
        if let Some(cached) = self.open.get_mut(&(file, direct)) {
            cached.last_use = self.uses;
            return Ok(Arc::clone(&cached.file));
        }
        let flags = if direct { libc::O_DIRECT } else { 0 };
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(rare::path(&self.dir, file))?;
        if self.open.len() >= OPEN_MAX {
            self.evict();
        }
        let len = opened.metadata()?.len();
        let opened = Arc::new(OpenFile { file: opened, direct, len });
        self.open.insert((file, direct), Cached { file: Arc::clone(&opened), last_use: self.uses });
        Ok(opened)
    }

    /// Drops the less recently used half.
    fn evict(&mut self) {
        let mut uses: Vec<u64> = self.open.values().map(|cached| cached.last_use).collect();
        let (_, median, _) = uses.select_nth_unstable(OPEN_MAX / 2);
        let median = *median;
        self.open.retain(|_, cached| cached.last_use >= median);
    }
}

/// Whether a transfer can be made with O_DIRECT.
pub(super) fn is_aligned(offset: u64, len: usize) -> bool {
    offset.is_multiple_of(ALIGN as u64) && len.is_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Token;
    use std::fs;

    #[test]
    fn a_descriptor_is_shared_until_the_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("000001.log"), b"old").unwrap();
        let mut files = Files::new(dir.path(), false).unwrap();
        let first = files.get(FileName::Log(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &files.get(FileName::Log(1)).unwrap()));
        files.observe(&IoRequest::Create { token: Token(0), file: FileName::Log(1) });
        assert!(!Arc::ptr_eq(&first, &files.get(FileName::Log(1)).unwrap()));
    }

    #[test]
    fn a_file_that_somebody_removed_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), false).unwrap();
        for number in [1, 2] {
            fs::write(dir.path().join(FileName::Table(number).to_string()), b"").unwrap();
            files.get(FileName::Table(number)).unwrap();
        }
        fs::remove_file(dir.path().join("000001.sst")).unwrap();
        assert_eq!(files.take_unlinked().len(), 1);
        assert_eq!(files.open.keys().collect::<Vec<_>>(), [&(FileName::Table(2), false)]);
    }

    #[test]
    fn unaligned_writes_get_a_descriptor_without_o_direct() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        fs::write(dir.path().join("000001.log"), b"").unwrap();
        let mut files = Files::new(dir.path(), true).unwrap();
        let direct = files.is_direct();
        assert_eq!(files.for_write(FileName::Log(1), 4096, 8192).unwrap().is_direct(), direct);
        assert!(!files.for_write(FileName::Log(1), 8, 4096).unwrap().is_direct());
        assert!(!files.for_write(FileName::Log(1), 4096, 8).unwrap().is_direct());
    }

    #[test]
    fn only_direct_log_writes_into_prepared_space_write_through() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        for name in ["000001.log", "000001.manifest"] {
            fs::write(dir.path().join(name), [0; 8192]).unwrap();
        }
        let mut files = Files::new(dir.path(), true).unwrap();
        let (log, manifest) = (FileName::Log(1), FileName::Manifest(1));
        let file = files.for_write(log, 0, 4096).unwrap();
        files.set_log_sync(LogSync::Linked);
        assert!(!files.writes_through(log, &file, 4096, 4096));
        files.set_log_sync(LogSync::WriteThrough);
        assert_eq!(files.writes_through(log, &file, 4096, 4096), files.is_direct());
        assert!(!files.writes_through(log, &file, 8192, 4096), "the file has to grow");
        assert!(!files.writes_through(manifest, &file, 4096, 4096));
        let buffered = files.for_write(log, 8, 8).unwrap();
        assert!(!files.writes_through(log, &buffered, 8, 8));
    }

    #[test]
    fn a_directory_in_memory_has_no_o_direct() {
        if let Ok(dir) = tempfile::tempdir_in("/dev/shm") {
            assert!(!Files::new(dir.path(), true).unwrap().is_direct());
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_number_of_open_files_is_bounded_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), false).unwrap();
        for number in 1..=2 * OPEN_MAX as u64 {
            fs::write(dir.path().join(FileName::Table(number).to_string()), b"").unwrap();
            files.get(FileName::Table(number)).unwrap();
            assert!(files.open.len() <= OPEN_MAX);
        }
        assert!(files.open.contains_key(&(FileName::Table(2 * OPEN_MAX as u64), false)));
    }
}
