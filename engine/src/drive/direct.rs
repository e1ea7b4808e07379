//! Finds out whether a directory's files can be written with O_DIRECT.

use super::owned;
use super::syscalls;
use crate::aligned::{ALIGN, AlignedBuf};
use crate::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A block-sized file that was written with O_DIRECT; removed when dropped.
#[derive(Debug)]
pub(super) struct Probe {
    path: PathBuf,
    is_filled: bool,
}

impl Probe {
    /// The file, if it has contents: on a full disk it has none.
    pub(super) fn filled_path(&self) -> Option<&Path> {
        self.is_filled.then_some(&self.path)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // One that stays behind is no file of ours and does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a probe into `dir`; `None` if its file system has no O_DIRECT, which is said once per directory.
pub(super) fn probe(dir: &Path) -> Result<Option<Probe>, Error> {
    let failed = |operation, source| Error::io(operation, "directory", dir.display(), source);
    let handle = File::open(dir).map_err(|source| failed("open", source))?;
    let in_memory = syscalls::is_in_memory(&handle).map_err(|source| failed("inspect", source))?;
    let probe = if in_memory { None } else { write(dir).map_err(|source| failed("write to", source))? };
    if probe.is_none() {
        say_once(&format!("{} has no O_DIRECT: using buffered writes and fdatasync", dir.display()));
    }
    Ok(probe)
}

fn write(dir: &Path) -> io::Result<Option<Probe>> {
    static PROBES: AtomicU64 = AtomicU64::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!(".direct-probe-{}-{number}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(owned::FILE_MODE).custom_flags(libc::O_DIRECT);
    let file = options.open(&path);
    // Before looking at the result: a file system may refuse the flag only after it has made the name.
    let mut probe = Probe { path, is_filled: false };
    match file.and_then(|file| file.write_all_at(&AlignedBuf::zeroed(ALIGN), 0)) {
        Ok(()) => probe.is_filled = true,
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::EOPNOTSUPP) => return Ok(None),
            // A full disk takes the flag; that it takes no data is for later to say.
            Some(libc::ENOSPC | libc::EDQUOT) => {}
            _ => return Err(error),
        },
    }
    Ok(Some(probe))
}

/// Logs a line about a directory that several drivers find out.
pub(super) fn say_once(line: &str) {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.iter().any(|known| known == line) {
        tracing::info!("{line}");
        told.push(line.to_owned());
    }
}
