//! One process per store: a lock on the directory itself, and `DIR/LOCK` with the number of the process that has it.
//!
//! Both are flock's. The directory's lock belongs to the directory, not to a name in it: it holds when `DIR/LOCK` is
//! removed or replaced, and goes with the directory when that is moved. `DIR/LOCK` is locked too, because it is what
//! earlier versions lock, and what is seen from other machines where the directory lies on a network file system. The
//! kernel releases the locks of a process that ends, however it ends. See docs/decisions/0007.

use super::owned;
use crate::error::{Error, is_without_room};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const FILE: &str = "LOCK";

/// Keeps other processes, and other handles of this one, out of a store until it is dropped.
#[derive(Debug)]
pub struct StoreLock {
    dir: File,
    /// `DIR/LOCK`; a reader has none where there is none, nor has anybody on a full disk.
    file: Option<File>,
    is_shared: bool,
}

impl StoreLock {
    /// Takes the store in `dir`, which must exist; refused while anybody else has it.
    pub fn acquire(dir: &Path) -> Result<StoreLock, Error> {
        let failed = |operation, source| Error::io(operation, FILE, dir.display(), source);
        let (handle, is_locked) = lock_dir(dir, File::try_lock)?;
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(owned::FILE_MODE)
            .open(dir.join(FILE));
        let Some(mut file) = unless_full(opened, is_locked).map_err(|source| failed("open", source))? else {
            return Ok(StoreLock { dir: handle, file: None, is_shared: false });
        };
        settle(dir, file.try_lock()).map_err(|refused| refused.unwrap_or_else(|e| failed("lock", e)))?;
        // Only for the message that the next one gets; the lock is flock's. So a full disk keeps nobody out.
        let noted =
            file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        noted.or_else(|error| if is_without_room(&error) { Ok(()) } else { Err(failed("write", error)) })?;
        Ok(StoreLock { dir: handle, file: Some(file), is_shared: false })
    }

    /// The directory that is locked, to ask whether it is where it was.
    pub fn place(&self) -> io::Result<StorePlace> {
        self.dir.try_clone().map(StorePlace)
    }

    /// Keeps the store in `dir` as it is while it is read: refused while somebody has taken it, shared with other readers.
    /// Writes nothing, so the medium may be read-only.
    pub fn acquire_shared(dir: &Path) -> Result<StoreLock, Error> {
        let failed = |operation, source| Error::io(operation, FILE, dir.display(), source);
        let (handle, _) = lock_dir(dir, File::try_lock_shared)?;
        let file = match File::open(dir.join(FILE)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(failed("open", source)),
        };
        if let Some(file) = &file {
            settle(dir, file.try_lock_shared())
                .map_err(|refused| refused.unwrap_or_else(|e| failed("lock", e)))?;
        }
        Ok(StoreLock { dir: handle, file, is_shared: true })
    }
}

/// Knows the directory of a store that is locked.
#[derive(Debug)]
pub struct StorePlace(File);

impl StorePlace {
    /// Whether this is still where the directory lies, and not elsewhere, removed, or another directory in its place.
    pub fn is_at(&self, path: &Path) -> bool {
        let (Ok(mine), Ok(there)) = (self.0.metadata(), fs::metadata(path)) else { return false };
        (mine.dev(), mine.ino()) == (there.dev(), there.ino())
    }
}

impl Drop for StoreLock {
    /// Gives the locks back at once. Closing the files wouldn't: a child process that another thread is just
    /// starting holds copies of the descriptors until its exec, and flock's lock ends with the last copy.
    fn drop(&mut self) {
        // Nobody could act on an error, and the locks end with the process all the same.
        if let Some(file) = &self.file {
            if !self.is_shared {
                let _ = file.set_len(0);
            }
            let _ = file.unlock();
        }
        let _ = self.dir.unlock();
    }
}

/// `DIR/LOCK`, or none where a full disk has no room for its name: the directory's own lock does without it, if there is one.
fn unless_full(opened: io::Result<File>, is_dir_locked: bool) -> io::Result<Option<File>> {
    match opened {
        Err(error) if is_dir_locked && is_without_room(&error) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Opens a directory and locks it; `false` if its file system has no locks for directories and leaves that to `DIR/LOCK`.
fn lock_dir(dir: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<(File, bool), Error> {
    let handle = File::open(dir).map_err(|source| Error::io("open", "directory", dir.display(), source))?;
    match settle(dir, lock(&handle)) {
        Err(Err(error)) if has_no_locks(&error) => Ok((handle, false)),
        Err(Err(source)) => Err(Error::io("lock", "directory", dir.display(), source)),
        Err(Ok(in_use)) => Err(in_use),
        Ok(()) => Ok((handle, true)),
    }
}

fn has_no_locks(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOLCK | libc::EBADF)
    )
}

/// What came of trying a lock: held by somebody else, or a failure of the system.
fn settle(dir: &Path, tried: Result<(), TryLockError>) -> Result<(), Result<Error, io::Error>> {
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Ok(in_use(dir))),
        Err(TryLockError::Error(error)) => Err(Err(error)),
    }
}

fn in_use(dir: &Path) -> Error {
    let mut holder = String::new();
    let named = File::open(dir.join(FILE)).and_then(|mut file| file.read_to_string(&mut holder));
    // A number that a killed process left is nobody's; whoever reads the store leaves none.
    let is_alive = |pid: &u32| Path::new("/proc").join(pid.to_string()).exists();
    let holder = match (named, holder.trim().parse::<u32>().ok().filter(is_alive)) {
        (Ok(_), Some(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Error::Unusable(format!("{} is in use by {holder}; stop it or choose another directory", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
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
    fn a_lock_outlives_the_file_that_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = StoreLock::acquire(dir.path()).unwrap();
        fs::remove_file(dir.path().join(FILE)).unwrap();
        assert!(StoreLock::acquire(dir.path()).is_err());
        fs::write(dir.path().join(FILE), b"").unwrap();
        assert!(StoreLock::acquire(dir.path()).is_err());
        assert!(StoreLock::acquire_shared(dir.path()).is_err());
    }

    #[test]
    fn a_lock_goes_with_the_directory_that_is_moved() {
        let parent = tempfile::tempdir().unwrap();
        let (here, there) = (parent.path().join("here"), parent.path().join("there"));
        fs::create_dir(&here).unwrap();
        let lock = StoreLock::acquire(&here).unwrap();
        let place = lock.place().unwrap();
        assert!(place.is_at(&here));
        fs::rename(&here, &there).unwrap();
        assert!(place.is_at(&there) && !place.is_at(&here));
        assert!(StoreLock::acquire(&there).is_err());
        fs::create_dir(&here).unwrap();
        assert!(!place.is_at(&here), "another directory");
        StoreLock::acquire(&here).unwrap();
        drop(lock);
        StoreLock::acquire(&there).unwrap();
    }

    #[test]
    fn a_lock_of_an_earlier_version_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(FILE)).unwrap();
        file.try_lock().unwrap();
        assert!(StoreLock::acquire(dir.path()).is_err());
        assert!(StoreLock::acquire_shared(dir.path()).is_err());
    }

    #[test]
    fn readers_share_a_store_and_write_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let readers = [(); 2].map(|()| StoreLock::acquire_shared(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = StoreLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(error.contains("in use by another process"), "{error}");
        drop(readers);
        let _owner = StoreLock::acquire(dir.path()).unwrap();
        assert!(StoreLock::acquire_shared(dir.path()).is_err());
    }

    #[test]
    fn the_file_is_its_owners_and_empty_once_the_store_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let lock = StoreLock::acquire(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(StoreLock::acquire(dir.path()).unwrap_err());
        assert_ne!(fs::read(&path).unwrap(), b"", "whoever is refused changes nothing");
        drop(lock);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_copy_of_the_descriptors_in_a_starting_child_doesnt_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StoreLock::acquire(dir.path()).unwrap();
        let _copies = [lock.dir.try_clone().unwrap(), lock.file.as_ref().unwrap().try_clone().unwrap()];
        drop(lock);
        StoreLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_full_disk_keeps_nobody_from_a_store_whose_directory_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let full = || Err(io::ErrorKind::StorageFull.into());
        assert!(unless_full(full(), true).unwrap().is_none());
        assert!(unless_full(full(), false).is_err(), "nothing else would keep others out");
        assert!(unless_full(Err(io::ErrorKind::PermissionDenied.into()), true).is_err());
        let (handle, is_locked) = lock_dir(dir.path(), File::try_lock).unwrap();
        assert!(is_locked);
        let lock = StoreLock { dir: handle, file: None, is_shared: false };
        assert!(StoreLock::acquire(dir.path()).is_err());
        drop(lock);
        StoreLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_it() {
        let error = StoreLock::acquire(Path::new("/nonexistent/pinion")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/pinion"), "{error}");
    }
}
