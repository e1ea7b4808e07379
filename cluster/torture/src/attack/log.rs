//! The server's log: a pipe that we read, until an attack wants that nobody does.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ChildStderr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// So little of a pipe is left that it is full soon.
const PIPE_BYTES: i32 = 4096;

/// More of the log isn't kept.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// See the module.
pub struct Log {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Ends when the server has.
    _reader: JoinHandle<()>,
}

struct Shared {
    is_read: Mutex<bool>,
    changed: Condvar,
}

impl Log {
    /// Reads `stderr` into a file.
    pub fn new(mut stderr: ChildStderr, path: &Path) -> Result<Log, String> {
        // SAFETY: fcntl with these arguments touches no memory; the descriptor is open.
        unsafe { libc::fcntl(stderr.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
        let mut file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let shared = Arc::new(Shared { is_read: Mutex::new(true), changed: Condvar::new() });
        let mine = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let (mut piece, mut kept) = ([0; 4096], 0);
            while let Ok(read @ 1..) = stderr.read(&mut piece) {
                kept += read;
                if kept <= KEPT_BYTES_MAX && file.write_all(&piece[..read]).is_err() {
                    // Without room for the log what the server does still counts.
                    kept = KEPT_BYTES_MAX;
                }
                let is_read = mine.is_read.lock().unwrap_or_else(PoisonError::into_inner);
                drop(mine.changed.wait_while(is_read, |is_read| !*is_read));
            }
        });
        Ok(Log { shared, path: path.to_owned(), _reader: reader })
    }

    /// Reads it on, or doesn't.
    pub fn read(&self, is_read: bool) {
        *self.shared.is_read.lock().unwrap_or_else(PoisonError::into_inner) = is_read;
        self.shared.changed.notify_all();
    }

    /// Its last lines.
    pub fn last_lines(&self) -> Vec<String> {
        let text = std::fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(5)..].to_vec()
    }
}
