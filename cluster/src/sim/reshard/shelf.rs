//! The directory of a simulated store: shard directories by their paths, and `STORE`.

use super::Fate;
use crate::sim::disk::{Crash, Disk as Shard, DiskDir, DiskFaults};
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::{StoreDir, StoreFile};
use pinion_engine::io::{FileBytes, FileName};
use pinion_engine::offline::Disk;
use rand::Rng;
use rand::rngs::SmallRng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// See the module's text. Changes of it are durable at once, as those of the real one are.
pub struct Shelf {
    shards: BTreeMap<PathBuf, Rc<RefCell<Shard>>>,
    store: StoreFile,
    removed: Vec<Shard>,
    luck: Rc<RefCell<Luck>>,
    /// What new shards may do wrong, and their room.
    calm: DiskFaults,
    room: Option<u64>,
}

/// What the directories share.
struct Luck {
    rng: SmallRng,
    /// Changes until the crash, if one is to come.
    steps_left: Option<u64>,
}

impl Shelf {
    /// A store with these shards; `calm` is what new ones may do wrong.
    pub fn new(store: &StoreDir, disks: Vec<Shard>, fate: Fate, calm: DiskFaults, rng: SmallRng) -> Shelf {
        let path = |shard: usize| store.file.shard_dir(&store.path, shard as u32);
        let shared = |disk| Rc::new(RefCell::new(disk));
        let shards = disks.into_iter().enumerate().map(|(shard, disk)| (path(shard), shared(disk)));
        let steps_left = if let Fate::Crash(_, steps) = fate { Some(steps) } else { None };
        Shelf {
            shards: shards.collect(),
            store: store.file.clone(),
            removed: Vec::new(),
            luck: Rc::new(RefCell::new(Luck { rng, steps_left })),
            calm,
            room: if let Fate::NoRoom(bytes) = fate { Some(bytes) } else { None },
        }
    }

    /// Whether a reshard may fail.
    pub fn had_trouble(&self) -> bool {
        self.room.is_some() || self.luck.borrow().steps_left == Some(0)
    }

    /// Ends the process or the power, for all directories.
    pub fn crash(&mut self, kind: Crash) {
        let rng = &mut self.luck.borrow_mut().rng;
        self.shards.values().for_each(|shard| shard.borrow_mut().crash(kind, rng));
    }

    /// What `STORE` says, the shards that count, and all others.
    pub fn into_disks(mut self, path: &Path) -> (StoreFile, Vec<Shard>, Vec<Shard>) {
        let paths = (0..self.store.shards).map(|shard| self.store.shard_dir(path, shard));
        let mut disks: Vec<_> = paths.filter_map(|path| Some(self.shards.remove(&path)?.take())).collect();
        disks.iter_mut().for_each(|disk| disk.set_space_left(None));
        self.removed.extend(self.shards.values().map(|shard| shard.take()));
        (self.store, disks, self.removed)
    }

    /// Counts a change; whether it happens, and whether the crash comes with it.
    fn change(&self, what: &'static str, path: &Path) -> (bool, std::result::Result<(), Error>) {
        let luck = &mut *self.luck.borrow_mut();
        let is_dead = luck.steps_left == Some(0);
        luck.steps_left = luck.steps_left.map(|left| left.saturating_sub(1));
        if luck.steps_left != Some(0) {
            return (true, Ok(()));
        }
        let error = Error::io(what, path.display(), "/sim", io::Error::other("the machine is going down"));
        (!is_dead && luck.rng.random(), Err(error))
    }

    fn dir(&self, path: &Path) -> Box<dyn Dir> {
        Box::new(ShardDir { shard: self.shards[path].clone(), luck: self.luck.clone() })
    }
}

impl Disk for Shelf {
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

    fn create_shard(&mut self, path: &Path) -> std::result::Result<Box<dyn Dir>, Error> {
        let (happens, outcome) = self.change("create", path);
        if happens {
            let mut shard = Shard::new(&path.display().to_string());
            *shard.faults() = self.calm.clone();
            shard.set_space_left(self.room);
            self.shards.insert(path.to_owned(), Rc::new(RefCell::new(shard)));
        }
        outcome.map(|()| self.dir(path))
    }

    fn remove_shard(&mut self, path: &Path) -> std::result::Result<(), Error> {
        let (happens, outcome) = self.change("remove", path);
        if let (true, Some(shard)) = (happens, self.shards.remove(path)) {
            self.removed.push(shard.take());
        }
        outcome
    }

    fn write_store(&mut self, path: &Path, file: &StoreFile) -> std::result::Result<(), Error> {
        let (happens, outcome) = self.change("write", path);
        if happens {
            self.store = file.clone();
        }
        outcome
    }
}

/// A shard's directory, shared with its [`Shelf`].
struct ShardDir {
    shard: Rc<RefCell<Shard>>,
    luck: Rc<RefCell<Luck>>,
}

impl ShardDir {
    fn with<T>(&self, act: impl FnOnce(&mut DiskDir<'_>) -> T) -> T {
        let (shard, luck) = (&mut *self.shard.borrow_mut(), &mut *self.luck.borrow_mut());
        let mut dir = shard.dir(luck.steps_left, &mut luck.rng);
        let done = act(&mut dir);
        let steps_left = dir.steps_left();
        luck.steps_left = steps_left;
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

    fn map(&self, file: FileName, populate: bool) -> Result<FileBytes> {
        self.with(|dir| dir.map(file, populate))
    }

    fn path(&self) -> String {
        self.with(|dir| dir.path())
    }
}
