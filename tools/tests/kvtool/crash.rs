//! A disk that stops at a given change, as a machine that loses power does.
//!
//! What was written to a file but not synced is lost, and so are files whose names weren't made durable.

use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::{OsDir, StoreDir, StoreFile};
use pinion_engine::io::FileName;
use pinion_engine::offline::{Disk, OsDisk};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Default)]
struct State {
    /// So many more changes pass.
    left: u64,
    /// Files whose names aren't durable.
    fragile: BTreeSet<PathBuf>,
}

impl State {
    fn change(&mut self) -> Result<()> {
        if self.left == 0 {
            return Err(io::Error::other("the power is gone"));
        }
        self.left -= 1;
        Ok(())
    }
}

/// See the module.
pub struct CrashDisk {
    state: Rc<RefCell<State>>,
}

impl CrashDisk {
    /// Lets so many changes pass.
    pub fn new(changes: u64) -> CrashDisk {
        CrashDisk { state: Rc::new(RefCell::new(State { left: changes, ..State::default() })) }
    }

    /// Takes away what wasn't durable.
    pub fn crash(self) {
        for path in &self.state.borrow().fragile {
            // A directory may be gone with the file.
            std::fs::remove_file(path).unwrap_or_default();
        }
    }

    fn change(&self) -> std::result::Result<(), Error> {
        self.state.borrow_mut().change().map_err(|source| Error::io("change", "a file", "a test", source))
    }

    fn dir(&self, path: &Path) -> Box<dyn Dir> {
        let inner = OsDir::open(path).unwrap();
        Box::new(CrashDir {
            inner,
            path: path.to_owned(),
            state: self.state.clone(),
            unsynced: BTreeMap::new(),
        })
    }
}

impl Disk for CrashDisk {
    fn has_shard(&self, path: &Path) -> bool {
        OsDisk.has_shard(path)
    }

    fn other_layouts(&self, store: &StoreDir) -> std::result::Result<Vec<PathBuf>, Error> {
        OsDisk.other_layouts(store)
    }

    fn open_shard(&self, path: &Path) -> std::result::Result<Box<dyn Dir>, Error> {
        Ok(self.dir(path))
    }

    fn place_like(&mut self, new: &Path, old: &Path) -> std::result::Result<(), Error> {
        self.change()?;
        OsDisk.place_like(new, old)
    }

    fn create_shard(&mut self, path: &Path) -> std::result::Result<Box<dyn Dir>, Error> {
        self.change()?;
        OsDir::create(path)?;
        Ok(self.dir(path))
    }

    /// File by file, as the real one.
    fn remove_shard(&mut self, path: &Path) -> std::result::Result<(), Error> {
        // A link may lead nowhere, and a directory elsewhere hold directories of later layouts.
        for entry in std::fs::read_dir(path).into_iter().flatten() {
            let file = entry.unwrap().path();
            if file.is_file() {
                self.change()?;
                std::fs::remove_file(file).unwrap();
            }
        }
        self.change()?;
        OsDisk.remove_shard(path)
    }

    /// Stops before, or when it is done but nobody was told.
    fn write_store(&mut self, store: &Path, file: &StoreFile) -> std::result::Result<(), Error> {
        self.change()?;
        file.write(store)?;
        self.change()
    }
}

struct CrashDir {
    inner: OsDir,
    path: PathBuf,
    state: Rc<RefCell<State>>,
    unsynced: BTreeMap<FileName, Vec<(u64, Vec<u8>)>>,
}

impl CrashDir {
    fn change(&self) -> Result<()> {
        self.state.borrow_mut().change()
    }

    fn file(&self, file: FileName) -> PathBuf {
        self.path.join(file.to_string())
    }
}

impl Dir for CrashDir {
    fn list(&self) -> Result<Vec<FileName>> {
        self.inner.list()
    }

    fn len(&self, file: FileName) -> Result<u64> {
        self.inner.len(file)
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        assert!(!self.unsynced.contains_key(&file), "{file} is read before it is synced");
        self.inner.read(file, offset, len)
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        self.change()?;
        self.state.borrow_mut().fragile.insert(self.file(file));
        self.inner.create(file)
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        self.change()?;
        self.unsynced.entry(file).or_default().push((offset, data.to_vec()));
        Ok(())
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        self.change()?;
        for (offset, data) in self.unsynced.remove(&file).unwrap_or_default() {
            self.inner.write(file, offset, &data)?;
        }
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<()> {
        self.change()?;
        let path = self.path.clone();
        self.state.borrow_mut().fragile.retain(|file| !file.starts_with(&path));
        Ok(())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        self.change()?;
        self.state.borrow_mut().fragile.insert(self.file(to));
        self.inner.rename(from, to)
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.change()?;
        self.inner.unlink(file)
    }

    fn path(&self) -> String {
        self.inner.path()
    }
}
