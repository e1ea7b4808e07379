//! Open descriptors of a shard's files, with O_DIRECT where the file system has it.
//!
//! A driver asks for a file's descriptor, keeps the [`OpenFile`] for as long as the kernel may use it,
//! and tells the cache of requests that make descriptors stale ([`Files::observe`]). The cache is
//! bounded; a file that is dropped from it stays open until its last user lets go ([`Files::let_go`]).
//!
//! Nothing is closed here: the driver has the background thread close what is left over
//! ([`Files::take_dropped`]). Who opens the files for reads is the driver's choice as well: it asks with
//! [`Files::find`], and brings what was opened with [`Files::insert`].

use super::device::LogSync;
use super::direct::probe;
use super::rare;
use crate::aligned::ALIGN;
use crate::error::Error;
use crate::io::{FileName, IoRequest};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many descriptors a cache keeps open.
pub(super) const OPEN_MAX: usize = 256;

/// How many files may be open, with such as are to be closed, before others wait for these to be closed.
pub(super) const ALIVE_MAX: usize = OPEN_MAX + 64;

/// An open file. Keep it until the kernel is done with its descriptor.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    direct: bool,
    /// Its length when it was opened.
    len: u64,
    /// Shared by all files of a cache.
    alive: Option<Arc<()>>,
}

impl OpenFile {
    /// Opens a file of the shard's directory `dir`. Blocks.
    pub(super) fn open(dir: &Path, file: FileName, direct: bool) -> Result<OpenFile> {
        let flags = if direct { libc::O_DIRECT } else { 0 };
        let opened =
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(rare::path(dir, file))?;
        OpenFile::of(opened, direct)
    }

    /// A file that was opened as [`Files::way_to`] says.
    pub fn of(file: impl Into<File>, direct: bool) -> Result<OpenFile> {
        let file = file.into();
        let len = file.metadata()?.len();
        Ok(OpenFile { file, direct, len, alive: None })
    }

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
    /// The log is written through the page cache.
    buffers_log: bool,
    open: HashMap<(FileName, bool), Cached>,
    uses: u64,
    alive: Arc<()>,
    /// Out of the cache, without a user, and still to be closed.
    dropped: Vec<OpenFile>,
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
        Ok(Files {
            dir: dir.to_owned(),
            direct,
            log_sync,
            buffers_log: false,
            open: HashMap::new(),
            uses: 0,
            alive: Arc::default(),
            dropped: Vec::new(),
        })
    }

    /// How durable log writes are made: as the directory's device is best at, unless it was set.
    pub fn log_sync(&self) -> LogSync {
        self.log_sync
    }

    /// Sets how durable log writes are made.
    pub fn set_log_sync(&mut self, log_sync: LogSync) {
        self.log_sync = log_sync;
    }

    /// Has all of the log written through the page cache. Its writes begin and end anywhere: one that happens to be aligned
    /// must not go past the pages that the others share with it.
    pub fn buffer_log(&mut self) {
        self.buffers_log = true;
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

    /// The file that [`Files::get`] gives, if it is open.
    pub fn find(&mut self, file: FileName) -> Option<Arc<OpenFile>> {
        self.cached(file, self.direct)
    }

    /// How a file is opened elsewhere that [`Files::get`] would give: its path, and flags of open(2). None if its path can't be one.
    pub fn way_to(&self, file: FileName) -> Option<(CString, i32)> {
        let path = CString::new(rare::path(&self.dir, file).into_os_string().into_vec()).ok()?;
        Some((path, libc::O_RDWR | if self.direct { libc::O_DIRECT } else { 0 }))
    }

    /// Whether so many files more may be opened at once. If not, such as are to be closed come first.
    pub fn may_open(&self, more: usize) -> bool {
        Arc::strong_count(&self.alive) + more <= ALIVE_MAX
    }

    /// Takes in a file that was opened elsewhere.
    pub fn insert(&mut self, file: FileName, mut opened: OpenFile) -> Arc<OpenFile> {
        opened.alive = Some(Arc::clone(&self.alive));
        if self.open.len() >= OPEN_MAX {
            self.evict();
        }
        self.uses += 1;
        let direct = opened.direct;
        let opened = Arc::new(opened);
        let cached = Cached { file: Arc::clone(&opened), last_use: self.uses };
        if let Some(older) = self.open.insert((file, direct), cached) {
            self.let_go(older.file);
        }
        opened
    }

    /// Takes a file back from a user.
    pub fn let_go(&mut self, file: Arc<OpenFile>) {
        self.dropped.extend(Arc::into_inner(file));
    }

    /// Takes the files that nobody needs open any more. Close them in the background.
    pub fn take_dropped(&mut self) -> Vec<OpenFile> {
        std::mem::take(&mut self.dropped)
    }

    /// The file for a write: one without O_DIRECT if the write isn't aligned, or is one of a log that is buffered.
    pub fn for_write(&mut self, file: FileName, offset: u64, len: usize) -> Result<Arc<OpenFile>> {
        let is_buffered = self.buffers_log && matches!(file, FileName::Log(_));
        self.open(file, self.direct && !is_buffered && is_aligned(offset, len))
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
        for direct in [false, true] {
            if let Some(cached) = self.open.remove(&(file, direct)) {
                self.let_go(cached.file);
            }
        }
    }

    /// Takes out the descriptors of files whose name is gone. Call it after a job, which may have removed files, and drop
    /// them in the background: closing the last one gives the file's space back, which takes up to a second.
    pub fn take_unlinked(&mut self) -> Vec<OpenFile> {
        let is_gone =
            |cached: &mut Cached| cached.file.file.metadata().map_or(true, |meta| meta.nlink() == 0);
        let gone = self.open.extract_if(|_, cached| is_gone(cached));
        gone.filter_map(|(_, cached)| Arc::into_inner(cached.file)).collect()
    }

    fn open(&mut self, file: FileName, direct: bool) -> Result<Arc<OpenFile>> {
        match self.cached(file, direct) {
            Some(open) => Ok(open),
            None => OpenFile::open(&self.dir, file, direct).map(|opened| self.insert(file, opened)),
        }
    }

    fn cached(&mut self, file: FileName, direct: bool) -> Option<Arc<OpenFile>> {
        self.uses += 1;
        let cached = self.open.get_mut(&(file, direct))?;
        cached.last_use = self.uses;
        Some(Arc::clone(&cached.file))
    }

    /// Drops the less recently used half.
    fn evict(&mut self) {
        let mut uses: Vec<u64> = self.open.values().map(|cached| cached.last_use).collect();
        let (_, median, _) = uses.select_nth_unstable(OPEN_MAX / 2);
        let median = *median;
        let evicted = self.open.extract_if(|_, cached| cached.last_use < median);
        self.dropped.extend(evicted.filter_map(|(_, cached)| Arc::into_inner(cached.file)));
    }
}

/// Whether a transfer can be made with O_DIRECT.
pub(super) fn is_aligned(offset: u64, len: usize) -> bool {
    offset.is_multiple_of(ALIGN as u64) && len.is_multiple_of(ALIGN)
}

#[cfg(test)]
#[path = "files_test.rs"]
mod tests;
