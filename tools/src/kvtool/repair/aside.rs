//! Where a repair keeps the originals.

use crate::kvtool::text::time;
use pinion_engine::Error;
use pinion_engine::drive::create_dir;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the directories `repair-TIME` are called.
const PREFIX: &str = "repair-";
/// Where in a shard's part of it the shard is built anew, and where the old one goes.
pub const REBUILT: &str = "rebuilt";
pub const BEFORE: &str = "before";

/// A directory `repair-TIME` in a store.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
}

impl Aside {
    /// Makes the directory.
    pub fn create(root: &Path) -> Result<Aside, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp: String =
            time(now.as_millis() as u64).chars().filter(char::is_ascii_alphanumeric).collect();
        let path = root.join(format!("{PREFIX}{stamp}"));
        create_dir(&path)
            .and_then(|()| sync(root))
            .map_err(|source| Error::io("create", path.display(), root.display(), source))?;
        Ok(Aside { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a `STORE` that will be replaced.
    pub fn keep_store_file(&self, from: &Path) -> Result<(), Error> {
        ShardAside { path: self.path.clone() }.copy(from)
    }

    /// The part of it for a shard.
    pub fn shard(&self, name: &str) -> Result<ShardAside, Error> {
        let path = self.path.join(name);
        let made = match create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        made.and_then(|()| sync(&self.path))
            .map_err(|source| Error::io("create", name, self.path.display(), source))?;
        Ok(ShardAside { path })
    }
}

/// The originals of one shard.
#[derive(Debug)]
pub struct ShardAside {
    path: PathBuf,
}

impl ShardAside {
    /// Copies a file that will be changed in place. One that is there already is the older, and stays.
    pub fn copy(&self, from: &Path) -> Result<(), Error> {
        self.keep(from, "copy", |to| {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        })
    }

    /// Keeps a file that will be replaced or removed.
    pub fn link(&self, from: &Path) -> Result<(), Error> {
        self.keep(from, "keep", |to| match fs::hard_link(from, to) {
            Ok(()) => Ok(()),
            // A file system without links.
            Err(_) => fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()),
        })
    }

    /// Where a file that is being made can lie until it is whole.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn keep(
        &self,
        from: &Path,
        operation: &'static str,
        keep: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), Error> {
        let to = self.path.join(from.file_name().unwrap_or(from.as_os_str()));
        if to.exists() {
            return Ok(());
        }
        keep(&to)
            .and_then(|()| sync(&self.path))
            .map_err(|source| Error::io(operation, from.display(), self.path.display(), source))
    }
}

/// Refuses to make a missing shard anew that an earlier repair had built, and was cut off before it put it in place.
pub fn refuse_unfinished(root: &Path, shard: &str) -> Result<(), Error> {
    let failed = |source| Error::io("list", "repairs", root.display(), source);
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let part = entry.path().join(shard);
        let (rebuilt, before) = (part.join(REBUILT), part.join(BEFORE));
        let is_repair = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_repair && rebuilt.is_dir() && before.is_dir() {
            return Err(Error::Unusable(format!(
                "{shard} isn't lost: a repair was cut off that had built it anew from {}; `mv {} {}` completes it",
                before.display(),
                rebuilt.display(),
                root.join(shard).display()
            )));
        }
    }
    Ok(())
}

/// Makes the names in a directory durable.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
