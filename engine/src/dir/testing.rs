//! A directory in memory that crashes as disks do.
//!
//! What was written but not synced survives a crash in any subset of 512-byte sectors; what was done to
//! names but not synced survives as a prefix, as with a journaling file system. From a given moment on,
//! every change can be made to fail, or only those that take space; or any change now and then. What fails may
//! have been done all the same, a write in part; and after a failed sync of a file, what it should have
//! synced is there in part, whatever later syncs say.

use super::Dir;
use crate::io::FileName;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Result};

const SECTOR: usize = 512;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct MemoryDir {
    files: BTreeMap<u64, MemoryFile>,
    names: BTreeMap<FileName, u64>,
    durable_names: BTreeMap<FileName, u64>,
    name_changes: Vec<NameChange>,
    next_file: u64,
    changes_left: Option<u64>,
    /// Writes within a file's length, syncs and removals pass although the changes are used up.
    is_full_disk: bool,
    /// One in so many changes of these kinds fails.
    flaky: Option<(u64, Vec<Change>)>,
    chance: u64,
    /// There is no room to remove this file.
    irremovable: Option<FileName>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Making a file.
    Create,
    /// Writing to one.
    Write,
    /// Syncing one.
    Sync,
    /// Syncing the directory.
    SyncDir,
    /// Renaming a file.
    Rename,
    /// Removing one.
    Unlink,
}

impl Change {
    /// All of them.
    pub const ALL: [Change; 6] =
        [Change::Create, Change::Write, Change::Sync, Change::SyncDir, Change::Rename, Change::Unlink];
}

/// What becomes of a change.
enum Fate {
    Done,
    Failed(io::Error),
    FailedThoughDone(io::Error),
}

#[derive(Clone, Debug, Default)]
struct MemoryFile {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(FileName, u64),
    Rename(FileName, FileName),
    Unlink(FileName),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<FileName, u64>) {
        match *self {
            NameChange::Create(name, file) => {
                names.insert(name, file);
            }
            NameChange::Rename(from, to) => {
                let file = names.remove(&from).expect("a renamed file was created before");
                names.insert(to, file);
            }
            NameChange::Unlink(name) => {
                names.remove(&name);
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

impl MemoryFile {
    fn sync(&mut self) {
        for (offset, data) in self.unsynced.drain(..) {
            put(&mut self.synced, offset, &data);
        }
    }

    /// Loses what wasn't synced, but for such sectors as `rng` decides.
    fn crash(&mut self, rng: &mut impl Rng) {
        for (offset, data) in std::mem::take(&mut self.unsynced) {
            let (whole, none) = (rng.random_ratio(1, 4), rng.random_ratio(1, 4));
            let mut at = 0;
            while at < data.len() {
                let len = (SECTOR - (offset + at) % SECTOR).min(data.len() - at);
                if whole || (!none && rng.random_ratio(1, 2)) {
                    put(&mut self.synced, offset + at, &data[at..at + len]);
                }
                at += len;
            }
        }
        self.now = self.synced.clone();
    }
}

impl MemoryFile {
    /// A write that fails on its way.
    fn write_some(&mut self, offset: usize, data: &[u8], rng: &mut impl Rng) {
        let from = rng.random_range(0..=data.len()) / SECTOR * SECTOR;
        let to = rng.random_range(from..=data.len());
        put(&mut self.now, offset + from, &data[from..to]);
        self.unsynced.push((offset + from, data[from..to].to_vec()));
    }
}

impl MemoryDir {
    /// An empty directory.
    pub fn new() -> MemoryDir {
        MemoryDir::default()
    }

    /// Loses power: what wasn't synced survives in part, as `rng` decides. Failures end.
    pub fn crash(&mut self, rng: &mut impl Rng) {
        let kept = rng.random_range(0..=self.name_changes.len());
        for change in self.name_changes.drain(..).take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.after_crash();
        for file in self.files.values_mut() {
            file.crash(rng);
        }
    }

    /// A sync failed, and the kernel takes what it couldn't write for clean: reads see it until the power goes,
    /// and no later sync makes it durable.
    pub fn forget_unsynced(&mut self) {
        self.files.values_mut().for_each(|file| file.unsynced.clear());
    }

    /// Loses power and everything that wasn't synced.
    pub fn crash_losing_all(&mut self) {
        self.name_changes.clear();
        self.after_crash();
        for file in self.files.values_mut() {
            file.unsynced.clear();
            file.now = file.synced.clone();
        }
    }

    fn after_crash(&mut self) {
        self.name_changes.clear();
        self.names = self.durable_names.clone();
        let names = &self.names;
        self.files.retain(|file, _| names.values().any(|named| named == file));
        self.heal();
    }

    /// Lets so many more changes (writes, syncs, name changes) pass and fails all after them.
    pub fn fail_after(&mut self, changes: u64) {
        self.changes_left = Some(changes);
        self.is_full_disk = false;
    }

    /// Lets so many more changes pass; then the disk is full: what would take space fails and does nothing.
    pub fn fill_after(&mut self, changes: u64) {
        self.changes_left = Some(changes);
        self.is_full_disk = true;
    }

    /// Changes until the failures begin; `None` without a limit.
    pub fn changes_left(&self) -> Option<u64> {
        self.changes_left
    }

    /// From now on one in `one_in` changes of these kinds fails, as `seed` decides.
    pub fn fail_now_and_then(&mut self, seed: u64, one_in: u64, kinds: Vec<Change>) {
        self.chance = seed;
        self.flaky = Some((one_in, kinds));
    }

    /// From now on there is no room to remove this file: where a removal is written down before space comes back.
    pub fn keep(&mut self, file: FileName) {
        self.irremovable = Some(file);
    }

    /// Ends the failures.
    pub fn heal(&mut self) {
        self.irremovable = None;
        self.changes_left = None;
        self.flaky = None;
    }

    /// A file's bytes.
    pub fn bytes(&self, name: FileName) -> &[u8] {
        &self.files[&self.names[&name]].now
    }

    /// Changes a file behind everyone's back.
    pub fn tamper(&mut self, name: FileName, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.files.get_mut(&self.names[&name]).expect("a named file is there");
        file.sync();
        change(&mut file.synced);
        file.now = file.synced.clone();
    }

    /// Flips one bit.
    pub fn flip(&mut self, name: FileName, offset: usize, bit: u8) {
        self.tamper(name, |bytes| bytes[offset] ^= 1 << bit);
    }

    /// The next of a row of random numbers below `end`.
    fn draw(&mut self, end: u64) -> u64 {
        self.chance = self.chance.wrapping_add(1);
        SmallRng::seed_from_u64(self.chance).random_range(0..end)
    }

    fn change(&mut self, kind: Change, takes_space: bool) -> Fate {
        let injected = || io::Error::other("injected failure");
        if let Some((one_in, kinds)) = &self.flaky {
            let (one_in, may_fail) = (*one_in, kinds.contains(&kind));
            if may_fail && self.draw(one_in) == 0 {
                let is_done = self.draw(2) == 0;
                return if is_done { Fate::FailedThoughDone(injected()) } else { Fate::Failed(injected()) };
            }
        }
        match &mut self.changes_left {
            Some(0) if self.is_full_disk && takes_space => Fate::Failed(ErrorKind::StorageFull.into()),
            Some(0) if self.is_full_disk => Fate::Done,
            Some(0) => Fate::Failed(injected()),
            Some(left) => {
                *left -= 1;
                Fate::Done
            }
            None => Fate::Done,
        }
    }

    /// Makes a change to a name, unless it fails.
    fn try_name(&mut self, kind: Change, takes_space: bool, change: NameChange) -> Result<()> {
        match self.change(kind, takes_space) {
            Fate::Failed(error) => Err(error),
            Fate::Done => {
                self.change_name(change);
                Ok(())
            }
            Fate::FailedThoughDone(error) => {
                self.change_name(change);
                Err(error)
            }
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn find(&self, name: FileName) -> Result<u64> {
        self.names.get(&name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn file(&self, name: FileName) -> Result<&MemoryFile> {
        Ok(&self.files[&self.find(name)?])
    }
}

impl Dir for MemoryDir {
    fn list(&self) -> Result<Vec<FileName>> {
        Ok(self.names.keys().copied().collect())
    }

    fn len(&self, file: FileName) -> Result<u64> {
        Ok(self.file(file)?.now.len() as u64)
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        let bytes = self.file(file)?.now.get(offset as usize..offset as usize + len);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        self.next_file += 1;
        self.files.insert(self.next_file, MemoryFile::default());
        self.try_name(Change::Create, true, NameChange::Create(file, self.next_file))
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        let grows = self.len(file)? < offset + data.len() as u64;
        let number = self.find(file)?;
        let (fate, seed) = (self.change(Change::Write, grows), self.draw(u64::MAX));
        let file = self.files.get_mut(&number).expect("a named file is there");
        let outcome = match fate {
            Fate::Failed(error) if error.kind() == ErrorKind::StorageFull => return Err(error),
            Fate::Failed(error) => {
                file.write_some(offset as usize, data, &mut SmallRng::seed_from_u64(seed));
                return Err(error);
            }
            Fate::FailedThoughDone(error) => Err(error),
            Fate::Done => Ok(()),
        };
        put(&mut file.now, offset as usize, data);
        file.unsynced.push((offset as usize, data.to_vec()));
        outcome
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        let number = self.find(file)?;
        let (fate, seed) = (self.change(Change::Sync, false), self.draw(u64::MAX));
        let file = self.files.get_mut(&number).expect("a named file is there");
        match fate {
            Fate::Failed(error) => {
                file.crash(&mut SmallRng::seed_from_u64(seed));
                return Err(error);
            }
            Fate::FailedThoughDone(error) => {
                file.sync();
                return Err(error);
            }
            Fate::Done => file.sync(),
        }
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<()> {
        let outcome = match self.change(Change::SyncDir, false) {
            Fate::Failed(error) => return Err(error),
            Fate::FailedThoughDone(error) => Err(error),
            Fate::Done => Ok(()),
        };
        for change in self.name_changes.drain(..) {
            change.apply(&mut self.durable_names);
        }
        outcome
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        self.find(from)?;
        self.try_name(Change::Rename, false, NameChange::Rename(from, to))
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.find(file)?;
        if self.irremovable == Some(file) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.try_name(Change::Unlink, false, NameChange::Unlink(file))
    }

    fn path(&self) -> String {
        "store/shard-000".to_owned()
    }
}
