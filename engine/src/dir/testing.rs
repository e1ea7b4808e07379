//! A directory in memory that crashes as disks do, and a performer of requests and jobs over any directory.
//!
//! What was written but not synced survives a crash in any subset of 512-byte sectors; what was done to
//! names but not synced survives as a prefix, as with a journaling file system. From a given moment on,
//! every change can be made to fail, or only those that take space.

use super::Dir;
use crate::Error;
use crate::io::{FileBytes, FileName, IoCompletion, IoOutput, IoRequest};
use crate::job::{Job, JobOutput, JobStep};
use rand::Rng;
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
        self.changes_left = None;
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

    /// Ends the failures.
    pub fn heal(&mut self) {
        self.changes_left = None;
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

    fn change(&mut self, takes_space: bool) -> Result<()> {
        match &mut self.changes_left {
            Some(0) if self.is_full_disk && takes_space => Err(ErrorKind::StorageFull.into()),
            Some(0) if self.is_full_disk => Ok(()),
            Some(0) => Err(io::Error::other("injected failure")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
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
        self.change(true)?;
        self.next_file += 1;
        self.files.insert(self.next_file, MemoryFile::default());
        self.change_name(NameChange::Create(file, self.next_file));
        Ok(())
    }

    /// A write that fails may have reached the disk all the same.
    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        let grows = self.len(file)? < offset + data.len() as u64;
        let outcome = self.change(grows);
        if outcome.is_err() && self.is_full_disk {
            return outcome;
        }
        let number = self.find(file)?;
        let file = self.files.get_mut(&number).expect("a named file is there");
        put(&mut file.now, offset as usize, data);
        file.unsynced.push((offset as usize, data.to_vec()));
        outcome
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        self.change(false)?;
        let number = self.find(file)?;
        self.files.get_mut(&number).expect("a named file is there").sync();
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<()> {
        self.change(false)?;
        for change in self.name_changes.drain(..) {
            change.apply(&mut self.durable_names);
        }
        Ok(())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        self.change(false)?;
        self.find(from)?;
        self.change_name(NameChange::Rename(from, to));
        Ok(())
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.change(false)?;
        self.find(file)?;
        self.change_name(NameChange::Unlink(file));
        Ok(())
    }

    fn map(&self, file: FileName, _populate: bool) -> Result<FileBytes> {
        Ok(FileBytes::new(self.file(file)?.now.clone()))
    }

    fn path(&self) -> String {
        "store/shard-000".to_owned()
    }
}

/// Does what a request asks for.
pub fn perform(dir: &mut dyn Dir, request: IoRequest) -> IoCompletion {
    let done = |result: Result<()>| result.map(|()| IoOutput::Done);
    let (token, result) = match request {
        IoRequest::Create { token, file } => (token, done(dir.create(file))),
        IoRequest::Write { token, file, offset, data, sync } => {
            let written = dir.write(file, offset, &data);
            let synced = written.and_then(|()| if sync { dir.sync(file) } else { Ok(()) });
            (token, synced.map(|()| IoOutput::Written(data)))
        }
        IoRequest::Read { token, file, offset, len } => {
            (token, dir.read(file, offset, len).map(|bytes| IoOutput::Data(bytes.as_slice().into())))
        }
        IoRequest::Sync { token, file } => (token, done(dir.sync(file))),
        IoRequest::SyncDir { token } => (token, done(dir.sync_dir())),
        IoRequest::Rename { token, from, to } => (token, done(dir.rename(from, to))),
        IoRequest::Unlink { token, file } => (token, done(dir.unlink(file))),
        IoRequest::Map { token, file } => (token, dir.map(file, true).map(IoOutput::Mapped)),
    };
    IoCompletion { token, result }
}

/// Steps a job to its end.
pub fn run_job(dir: &mut dyn Dir, job: &mut dyn Job) -> std::result::Result<JobOutput, Error> {
    let (mut completions, mut requests) = (Vec::new(), Vec::new());
    loop {
        let step = job.step(&mut completions, &mut requests, 1 << 20);
        if let JobStep::Done(result) = step {
            assert!(requests.is_empty(), "a job that is done asks for nothing");
            return result;
        }
        let waits = matches!(step, JobStep::Waiting);
        assert!(!waits || !requests.is_empty(), "a job waits for nothing");
        completions.extend(requests.drain(..).map(|request| perform(dir, request)));
    }
}
