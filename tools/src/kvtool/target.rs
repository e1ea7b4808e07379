//! What a command is about: a store, a shard's directory, or one file; locked against whoever would change it.

use super::error::ToolError;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::{OsDir, StoreDir, StoreFile, StoreLock};
use pinion_engine::io::FileName;
use pinion_engine::key::Partition;
use pinion_engine::manifest::Manifest;
use pinion_engine::placement::Placement;
use std::io;
use std::path::{Path, PathBuf};

/// A shard's directory.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Its directory's name.
    pub name: String,
    /// Its directory.
    pub dir: OsDir,
    /// The store's word on its identity; `None` for a directory without a store.
    pub expected_id: Option<[u8; 16]>,
}

impl Shard {
    /// The identity that its files carry.
    pub fn id(&self) -> Result<[u8; 16], Error> {
        match self.expected_id {
            Some(id) => Ok(id),
            None => Manifest::shard_id(&self.dir),
        }
    }
}

/// What a command is about. The lock is held for as long as this lives.
#[derive(Debug)]
pub struct Target {
    /// The store, if the path was one or lies in one.
    pub store: Option<StoreDir>,
    /// The shards: all of a store, or the one that was named or holds the file that was named.
    pub shards: Vec<Shard>,
    /// Shards that `STORE` counts but whose directories aren't there.
    pub missing: Vec<String>,
    /// Those of them that were made, so that what they held is lost; empty ones, too, where only the others show that.
    pub lost: Vec<String>,
    /// The file, if one was named.
    pub file: Option<FileName>,
    is_whole: bool,
    _lock: Option<StoreLock>,
}

/// What a command does with its target, and so how the store is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Change,
}

impl Access {
    fn lock(self, store: &Path) -> Result<StoreLock, Error> {
        match self {
            Access::Read => StoreLock::acquire_shared(store),
            Access::Change => StoreLock::acquire(store),
        }
    }
}

impl Target {
    /// Finds out what a path is, to read it, and locks the store it belongs to against changes. Nothing is written.
    pub fn open(path: &Path) -> Result<Target, ToolError> {
        Target::find(path, Access::Read)
    }

    /// As [`Target::open`], to change it: nobody else may even read.
    pub fn own(path: &Path) -> Result<Target, ToolError> {
        Target::find(path, Access::Change)
    }

    fn find(path: &Path, access: Access) -> Result<Target, ToolError> {
        let path = std::path::absolute(path).map_err(|source| io_error("find", path, source))?;
        let meta = std::fs::metadata(&path).map_err(|source| io_error("open", &path, source))?;
        if meta.is_file() {
            let name = path.file_name().and_then(|name| name.to_str()).and_then(FileName::parse);
            let file = name.ok_or_else(|| {
                ToolError::Usage(format!(
                    "{} is none of a shard's files; they are named like 000001.sst, .log or .manifest",
                    path.display()
                ))
            })?;
            return Target::of_shard(path.parent().unwrap_or(&path), Some(file), access);
        }
        match StoreFile::find(&path)? {
            Some(file) => Target::of_store(path, file, access),
            None => Target::of_shard(&path, None, access),
        }
    }

    /// The partitions that a shard owns, by the store's placement; `None` for a directory without a store.
    pub fn partitions(&self, name: &str) -> Option<Vec<Partition>> {
        let StoreDir { path, file } = self.store.as_ref()?;
        let number = (0..file.shards).find(|&number| name_of(&file.shard_dir(path, number)) == name)?;
        let placement = Placement::new(file.partitions as usize, file.shards as usize);
        Some(placement.partitions_of(number as usize))
    }

    /// Makes the directory of a shard that is missing.
    pub fn make_missing(&self, name: &str) -> Result<Shard, ToolError> {
        let StoreDir { path, file } = self.whole_store("repair")?;
        let dir = path.join(name);
        let number = (0..file.shards).find(|&number| file.shard_dir(path, number) == dir);
        let expected_id = number.map(|number| file.shard_id(number));
        Ok(Shard { name: name.to_owned(), dir: OsDir::create(&dir)?, expected_id })
    }

    /// The store, or an error if the path was something else.
    pub fn whole_store(&self, command: &str) -> Result<&StoreDir, ToolError> {
        self.store.as_ref().filter(|_| self.is_whole).ok_or_else(|| {
            ToolError::Usage(format!(
                "`kvtool {command}` works on a whole store; name the directory that has a file STORE"
            ))
        })
    }

    /// Refuses a file where a directory is meant.
    pub fn no_file(&self, command: &str) -> Result<(), ToolError> {
        match self.file {
            None => Ok(()),
            Some(file) => Err(ToolError::Usage(format!(
                "`kvtool {command}` works on a store or a shard's directory, not on {file} alone"
            ))),
        }
    }

    fn of_store(path: PathBuf, file: StoreFile, access: Access) -> Result<Target, ToolError> {
        let lock = Some(access.lock(&path)?);
        let (missing, lost) = (file.missing_shards(&path), file.lost_shards(&path)?);
        let mut shards = Vec::new();
        for number in 0..file.shards {
            let dir = file.shard_dir(&path, number);
            if !missing.contains(&name_of(&dir)) {
                shards.push(shard(&dir, Some(file.shard_id(number)))?);
            }
        }
        let store = Some(StoreDir { path, file });
        Ok(Target { store, shards, missing, lost, file: None, is_whole: true, _lock: lock })
    }

    fn of_shard(path: &Path, file: Option<FileName>, access: Access) -> Result<Target, ToolError> {
        let (shards, missing, lost) = (Vec::new(), Vec::new(), Vec::new());
        let mut target = Target { store: None, shards, missing, lost, file, is_whole: false, _lock: None };
        let parent = path.parent().unwrap_or(path);
        let mut id = None;
        if let Some(store) = StoreFile::read(parent)? {
            target._lock = Some(access.lock(parent)?);
            let number = (0..store.shards).find(|&number| store.shard_dir(parent, number) == path);
            id = number.map(|number| store.shard_id(number));
            target.store = Some(StoreDir { path: parent.to_owned(), file: store });
        }
        let shard = shard(path, id)?;
        let is_of_store = target.store.is_some() && id.is_some();
        if !is_of_store && shard.dir.list().map_err(|source| io_error("list", path, source))?.is_empty() {
            return Err(ToolError::Usage(format!(
                "{} is neither a store (there is no STORE in it) nor a shard's directory",
                path.display()
            )));
        }
        target.shards.push(shard);
        Ok(target)
    }
}

fn shard(path: &Path, expected_id: Option<[u8; 16]>) -> Result<Shard, ToolError> {
    Ok(Shard { name: name_of(path), dir: OsDir::open(path)?, expected_id })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> ToolError {
    let dir = path.parent().unwrap_or(path).display();
    Error::io(operation, name_of(path), dir, source).into()
}

/// A directory in which nothing but one file is to be seen.
#[derive(Debug)]
pub struct OneFile<'d> {
    /// The directory.
    pub dir: &'d OsDir,
    /// The file.
    pub file: FileName,
}

impl Dir for OneFile<'_> {
    fn list(&self) -> io::Result<Vec<FileName>> {
        Ok(vec![self.file])
    }

    fn len(&self, file: FileName) -> io::Result<u64> {
        self.dir.len(file)
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.dir.read(file, offset, len)
    }

    fn path(&self) -> String {
        self.dir.path()
    }

    fn create(&mut self, _: FileName) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write(&mut self, _: FileName, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self, _: FileName) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&mut self, _: FileName, _: FileName) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn unlink(&mut self, _: FileName) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
