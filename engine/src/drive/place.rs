//! Where a shard's directory lies: in the store's, or where a symbolic link there leads, such as another disk.
//!
//! An operator who puts a shard elsewhere makes its directory and the link. Directories of later layouts are made in the
//! directory that the operator made, so that it may be a mount point, and linked in the same way.

use super::os_dir::{OsDir, sync_dir};
use super::store_file::layout_of;
use crate::error::Error;
use crate::io::FileName;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;

/// If the directory `old` is a link, makes `new` one to a new directory on the same disk; does nothing if it isn't.
pub fn follow_link(new: &Path, old: &Path) -> Result<(), Error> {
    if !old.is_symlink() {
        return Ok(());
    }
    let failed = |source| Error::io("link", new.display(), old.display(), source);
    let target = fs::canonicalize(old).map_err(failed)?;
    let root = if is_made_here(&target) { target.parent().unwrap_or(&target) } else { &target };
    let (Some(name), Some(store)) = (new.file_name(), new.parent()) else { return Ok(()) };
    let place = root.join(name);
    // What an attempt that was cut off before it made the link has left.
    absent_is_fine(fs::remove_dir_all(&place)).map_err(failed)?;
    OsDir::create(&place)?;
    symlink(&place, new).and_then(|()| sync_dir(store)).map_err(failed)
}

/// Removes a shard's directory with all that is in it, also where a link leads to it. Of a directory that an operator made
/// elsewhere only the shard's files go.
pub fn remove_shard_dir(path: &Path) -> Result<(), Error> {
    let remove = || {
        if !path.is_symlink() {
            return fs::remove_dir_all(path);
        }
        match fs::canonicalize(path) {
            Ok(target) if is_made_here(&target) => fs::remove_dir_all(target)?,
            Ok(target) => remove_files(&target)?,
            Err(error) => absent_is_fine(Err(error))?,
        }
        fs::remove_file(path)
    };
    remove().map_err(|source| Error::io("remove", path.display(), "the store", source))
}

/// Whether a directory was made for a later layout, and not by an operator.
fn is_made_here(path: &Path) -> bool {
    path.file_name().and_then(|name| layout_of(name.to_str()?)).is_some_and(|layout| layout > 0)
}

fn remove_files(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().and_then(FileName::parse).is_some() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A store with a shard on another disk.
    fn store() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (store, disk) = (root.path().join("store"), root.path().join("disk"));
        fs::create_dir(&store).unwrap();
        fs::create_dir(&disk).unwrap();
        symlink(&disk, store.join("shard-000")).unwrap();
        (root, store, disk)
    }

    #[test]
    fn new_directories_lie_where_the_link_leads_and_never_in_each_other() {
        let (_root, store, disk) = store();
        let [first, second, third] = ["shard-000", "shard-000.layout-1", "shard-001.layout-2"];
        follow_link(&store.join(second), &store.join(first)).unwrap();
        follow_link(&store.join(third), &store.join(second)).unwrap();
        for name in [second, third] {
            assert_eq!(fs::read_link(store.join(name)).unwrap(), disk.canonicalize().unwrap().join(name));
        }
        follow_link(&store.join("shard-002.layout-1"), &disk.join(third)).unwrap();
        assert!(!store.join("shard-002.layout-1").exists(), "no link, nothing to follow");
    }

    #[test]
    fn what_was_left_without_a_link_is_made_anew() {
        let (_root, store, disk) = store();
        fs::create_dir(disk.join("shard-000.layout-1")).unwrap();
        fs::write(disk.join("shard-000.layout-1/000001.sst"), b"").unwrap();
        follow_link(&store.join("shard-000.layout-1"), &store.join("shard-000")).unwrap();
        assert_eq!(fs::read_dir(store.join("shard-000.layout-1")).unwrap().count(), 0);
    }

    #[test]
    fn a_removed_shard_is_gone_and_its_operators_directory_stays() {
        let (_root, store, disk) = store();
        fs::write(disk.join("000001.log"), b"").unwrap();
        fs::write(disk.join("notes"), b"").unwrap();
        follow_link(&store.join("shard-000.layout-1"), &store.join("shard-000")).unwrap();
        remove_shard_dir(&store.join("shard-000")).unwrap();
        assert!(disk.join("notes").exists() && !disk.join("000001.log").exists());
        assert!(store.join("shard-000.layout-1").is_dir());
        remove_shard_dir(&store.join("shard-000.layout-1")).unwrap();
        assert!(!disk.join("shard-000.layout-1").exists());
        symlink(disk.join("nowhere"), store.join("shard-001.layout-1")).unwrap();
        remove_shard_dir(&store.join("shard-001.layout-1")).unwrap();
        assert_eq!(fs::read_dir(store).unwrap().count(), 0);
    }
}
