//! One process per store: `DIR/LOCK`, held with flock for as long as the store is open.

use crate::error::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Keeps other processes, and other handles of this one, out of a store until it is dropped.
#[derive(Debug)]
pub struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Takes the lock of the store in `dir`, which must exist; refused while somebody else has it.
    /// The kernel releases the lock of a process that ends, however it ends.
    pub fn acquire(dir: &Path) -> Result<StoreLock, Error> {
        let failed = |operation, source| Error::io(operation, "LOCK", dir.display(), source);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(dir.join("LOCK"))
            .map_err(|source| failed("open", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(dir, &mut file)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        // Only for the message that the next one gets; the lock is flock's.
        file.set_len(0)
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(|source| failed("write", source))?;
        Ok(StoreLock { file })
    }
}

impl StoreLock {
    /// Keeps the store in `dir` as it is while it is read: refused while somebody has taken it, shared with other readers.
    /// Writes nothing, so the medium may be read-only; where there is no `LOCK` the directory itself is locked.
    pub fn acquire_shared(dir: &Path) -> Result<StoreLock, Error> {
        let failed = |operation, source| Error::io(operation, "LOCK", dir.display(), source);
        let opened = match File::open(dir.join("LOCK")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::open(dir),
            opened => opened,
        };
        let mut file = opened.map_err(|source| failed("open", source))?;
        match file.try_lock_shared() {
            Ok(()) => Ok(StoreLock { file }),
            Err(TryLockError::WouldBlock) => Err(in_use(dir, &mut file)),
            Err(TryLockError::Error(source)) => Err(failed("lock", source)),
        }
    }
}

impl Drop for StoreLock {
    /// Gives the lock back at once. Closing the file wouldn't: a child process that another thread is just
    /// starting holds a copy of the descriptor until its exec, and flock's lock ends with the last copy.
    fn drop(&mut self) {
        // Nobody could act on an error, and the lock ends with the process all the same.
        let _ = self.file.unlock();
    }
}

fn in_use(dir: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let named = file.rewind().and_then(|()| file.read_to_string(&mut holder));
    let holder = match (named, holder.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Error::Unusable(format!("{} is in use by {holder}; stop it or choose another directory", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const CHILD: &str = "PINION_TEST_LOCK_DIR";

    #[test]
    fn a_second_opener_is_told_who_has_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StoreLock::acquire(dir.path()).unwrap();
        let error = StoreLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        assert!(error.contains("choose another directory"), "{error}");
        drop(lock);
        StoreLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_second_process_is_refused() {
        if let Some(dir) = std::env::var_os(CHILD) {
            std::process::exit(if StoreLock::acquire(Path::new(&dir)).is_err() { 41 } else { 42 });
        }
        let dir = tempfile::tempdir().unwrap();
        let _lock = StoreLock::acquire(dir.path()).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "drive::lock::tests::a_second_process_is_refused"])
            .env(CHILD, dir.path())
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(41));
    }

    #[test]
    fn a_copy_of_the_descriptor_in_a_starting_child_doesnt_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StoreLock::acquire(dir.path()).unwrap();
        let _copy = lock.file.try_clone().unwrap();
        drop(lock);
        StoreLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_it() {
        let error = StoreLock::acquire(Path::new("/nonexistent/pinion")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/pinion"), "{error}");
    }
}
