//! The directory of a simulated store: shard directories by their paths, and `STORE`.

use crate::disk::{Crash, Disk as Shard, DiskDir, DiskFaults};
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::{StoreDir, StoreFile};
use pinion_engine::io::FileName;
use pinion_engine::offline::Disk;
use rand::Rng;
use rand::rngs::SmallRng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Shard directories and their paths.
pub type Shards = Vec<(PathBuf, Shard)>;

/// See the module's text. Making a shard's directory and replacing `STORE` are durable at once, as they are made to be;
/// removing a directory, too, which in earnest may come undone.
pub struct SimStore {
    shards: BTreeMap<PathBuf, Rc<RefCell<Shard>>>,
    removed: Vec<Shard>,
    file: StoreFile,
    chance: Rc<RefCell<Chance>>,
    /// What new shards may do wrong, and their room.
    faults: DiskFaults,
    room: Option<u64>,
}

/// What the directories share.
struct Chance {
    rng: SmallRng,
    /// Changes until the crash, if one is to come.
    steps_left: Option<u64>,
}

impl SimStore {
    /// A store with these shards.
    pub fn new(store: &StoreDir, disks: Vec<Shard>, faults: DiskFaults, rng: SmallRng) -> SimStore {
        let mut new = SimStore {
            shards: BTreeMap::new(),
            removed: Vec::new(),
            file: store.file.clone(),
            chance: Rc::new(RefCell::new(Chance { rng, steps_left: None })),
            faults,
            room: None,
        };
        let path = |shard: usize| store.file.shard_dir(&store.path, shard as u32);
        new.add_leftovers(disks.into_iter().enumerate().map(|(shard, disk)| (path(shard), disk)).collect());
        new
    }

    /// Adds directories that are there too.
    pub fn add_leftovers(&mut self, shards: Shards) {
        for (path, mut shard) in shards {
            *shard.faults() = self.faults.clone();
            self.shards.insert(path, Rc::new(RefCell::new(shard)));
        }
    }

    /// Everything fails from this change on, which happens or not.
    pub fn crash_at(&mut self, change: u64) {
        self.chance.borrow_mut().steps_left = Some(change);
    }

    /// Directories that are made from now on have room for so many bytes each.
    pub fn limit_room(&mut self, bytes: u64) {
        self.room = Some(bytes);
    }

    /// Whether everything fails by now.
    pub fn has_crashed(&self) -> bool {
        self.chance.borrow().steps_left == Some(0)
    }

    /// Ends the process or the power, for all directories.
    pub fn crash(&mut self, kind: Crash) {
        let rng = &mut self.chance.borrow_mut().rng;
        self.shards.values().for_each(|shard| shard.borrow_mut().crash(kind, rng));
    }

    /// The shards that were removed.
    pub fn take_removed(&mut self) -> Vec<Shard> {
        std::mem::take(&mut self.removed)
    }

    /// What `STORE` says.
    pub fn file(&self) -> &StoreFile {
        &self.file
    }

    /// The shards that count, in order, and all others.
    pub fn into_shards(self, path: &Path) -> (Vec<Shard>, Shards) {
        let mut shards: BTreeMap<PathBuf, Shard> =
            self.shards.into_iter().map(|(path, shard)| (path, shard.take())).collect();
        shards.values_mut().for_each(|shard| shard.set_space_left(None));
        let paths = (0..self.file.shards).map(|shard| self.file.shard_dir(path, shard));
        let counting = paths.filter_map(|path| shards.remove(&path)).collect();
        (counting, shards.into_iter().collect())
    }

    /// Counts a change; whether it happens, and whether the crash comes with it.
    fn change(&self, what: &'static str, path: &Path) -> (bool, std::result::Result<(), Error>) {
        let chance = &mut *self.chance.borrow_mut();
        let is_dead = chance.steps_left == Some(0);
        chance.steps_left = chance.steps_left.map(|left| left.saturating_sub(1));
        if chance.steps_left != Some(0) {
            return (true, Ok(()));
        }
        let error = Error::io(what, path.display(), "/sim", io::Error::other("the machine is going down"));
        (!is_dead && chance.rng.random(), Err(error))
    }

    fn dir(&self, path: &Path) -> Box<dyn Dir> {
        Box::new(ShardDir { shard: self.shards[path].clone(), chance: self.chance.clone() })
    }
}

impl Disk for SimStore {
    fn has_shard(&self, path: &Path) -> bool {
        self.shards.contains_key(path)
    }

    fn other_layouts(&self, store: &StoreDir) -> std::result::Result<Vec<PathBuf>, Error> {
        let counts = |path: &PathBuf| {
            (0..store.file.shards).any(|shard| store.file.shard_dir(&store.path, shard) == *path)
        };
        Ok(self.shards.keys().filter(|path| !counts(path)).cloned().collect())
    }

    fn open_shard(&self, path: &Path) -> std::result::Result<Box<dyn Dir>, Error> {
        Ok(self.dir(path))
    }

    /// No directory is linked to another place.
    fn place_like(&mut self, _: &Path, _: &Path) -> std::result::Result<(), Error> {
        Ok(())
    }

    /// As the file system: one that is there stays as it is.
    fn create_shard(&mut self, path: &Path) -> std::result::Result<Box<dyn Dir>, Error> {
        let (happens, outcome) = self.change("create", path);
        if happens && !self.shards.contains_key(path) {
            let mut shard = Shard::new(&path.display().to_string());
            shard.set_space_left(self.room);
            self.add_leftovers(vec![(path.to_owned(), shard)]);
        }
        outcome.map(|()| self.dir(path))
    }

    /// File by file, as the file system.
    fn remove_shard(&mut self, path: &Path) -> std::result::Result<(), Error> {
        let mut dir = self.dir(path);
        let names = dir.list().map_err(|source| Error::io("list", path.display(), "/sim", source))?;
        for name in names {
            dir.unlink(name).map_err(|source| Error::io("remove", name, path.display(), source))?;
        }
        drop(dir);
        let (happens, outcome) = self.change("remove", path);
        if happens {
            self.removed.extend(self.shards.remove(path).map(|shard| shard.take()));
        }
        outcome
    }

    fn write_store(&mut self, path: &Path, file: &StoreFile) -> std::result::Result<(), Error> {
        let (happens, outcome) = self.change("write", path);
        if happens {
            self.file = file.clone();
        }
        outcome
    }
}

/// A shard's directory, shared with its [`SimStore`].
struct ShardDir {
    shard: Rc<RefCell<Shard>>,
    chance: Rc<RefCell<Chance>>,
}

impl ShardDir {
    fn with<T>(&self, act: impl FnOnce(&mut DiskDir<'_>) -> T) -> T {
        let (shard, chance) = (&mut *self.shard.borrow_mut(), &mut *self.chance.borrow_mut());
        let mut dir = shard.dir(chance.steps_left, &mut chance.rng);
        let done = act(&mut dir);
        let steps_left = dir.steps_left();
        chance.steps_left = steps_left;
        done
    }
}

impl Dir for ShardDir {
    fn list(&self) -> Result<Vec<FileName>> {
        self.with(|dir| dir.list())
    }

    fn len(&self, file: FileName) -> Result<u64> {
        self.with(|dir| dir.len(file))
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.with(|dir| dir.read(file, offset, len))
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        self.with(|dir| dir.create(file))
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        self.with(|dir| dir.write(file, offset, data))
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        self.with(|dir| dir.sync(file))
    }

    fn sync_dir(&mut self) -> Result<()> {
        self.with(|dir| dir.sync_dir())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        self.with(|dir| dir.rename(from, to))
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.with(|dir| dir.unlink(file))
    }

    fn path(&self) -> String {
        self.with(|dir| dir.path())
    }
}
