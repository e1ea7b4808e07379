//! Files and names of a disk, and what each operation does to them, faults included.

use super::faults::{DiskCounters, DiskFaults};
use super::file::{File, Sequence, Survives};
use super::names::{Inode, Names};
use super::pages::{PAGE, Pages};
use super::rot::Rotten;
use pinion_engine::aligned::AlignedBuf;
use pinion_engine::io::FileName;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Error, ErrorKind, Result};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Media {
    pub files: BTreeMap<Inode, File>,
    pub names: Names,
    pub faults: DiskFaults,
    pub counters: DiskCounters,
    /// Bytes that may still be taken; `None` is plenty.
    pub space_left: Option<u64>,
    /// Pages that rotted.
    pub rotten: Vec<Rotten>,
    /// The files removed last, as they were.
    pub removed: VecDeque<(FileName, Pages)>,
    sequence: Sequence,
    next_inode: u64,
}

/// So many removed files leave their contents in places that new files may get.
const REMOVED_MAX: usize = 8;

fn eio() -> Error {
    const EIO: i32 = 5;
    Error::from_raw_os_error(EIO)
}

fn strikes(probability: f64, rng: &mut SmallRng) -> bool {
    probability > 0.0 && rng.random_bool(probability.min(1.0))
}

/// Space is taken in pages.
fn space(len: u64) -> u64 {
    len.next_multiple_of(PAGE as u64)
}

impl Media {
    /// The newest change: a sync asked for now covers it and what came before.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn next(&mut self) -> Sequence {
        self.sequence.0 += 1;
        self.sequence
    }

    pub fn find(&self, name: FileName) -> Result<Inode> {
        self.names.find(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    pub fn file(&self, name: FileName) -> Result<&File> {
        let inode = self.find(name)?;
        self.files.get(&inode).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn file_mut(&mut self, inode: Inode) -> Result<&mut File> {
        self.files.get_mut(&inode).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Bytes taken by the files that have a name.
    pub fn bytes(&self) -> u64 {
        let lens = self.names.iter().filter_map(|(_, inode)| self.files.get(&inode));
        lens.map(|file| space(file.now.len())).sum()
    }

    fn remember(&mut self, name: FileName) {
        if let Ok(file) = self.file(name) {
            let pages = file.durable.clone();
            self.removed.push_back((name, pages));
        }
        if self.removed.len() > REMOVED_MAX {
            self.removed.pop_front();
        }
    }

    fn give_back(&mut self, name: FileName) {
        let freed = self.file(name).map_or(0, |file| space(file.now.len()));
        if let Some(left) = &mut self.space_left {
            *left += freed;
        }
    }

    /// A change of names: fails before or behind it, or not at all.
    fn change_name(&mut self, rng: &mut SmallRng, change: impl FnOnce(&mut Media, Sequence)) -> Result<()> {
        let is_failing = strikes(self.faults.eio_name, rng);
        if is_failing {
            self.counters.name_errors += 1;
        }
        if !is_failing || rng.random() {
            let at = self.next();
            self.counters.name_changes += 1;
            change(self, at);
        }
        if is_failing { Err(eio()) } else { Ok(()) }
    }

    pub fn create(&mut self, name: FileName, rng: &mut SmallRng) -> Result<()> {
        if self.space_left.is_some_and(|left| left < PAGE as u64) {
            self.counters.full_errors += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        self.change_name(rng, |media, at| {
            media.give_back(name);
            media.next_inode += 1;
            let inode = Inode(media.next_inode);
            media.files.insert(inode, File::default());
            media.names.link(at, name, inode);
        })
    }

    pub fn rename(&mut self, from: FileName, to: FileName, rng: &mut SmallRng) -> Result<()> {
        self.find(from)?;
        self.change_name(rng, |media, at| {
            media.give_back(to);
            media.names.rename(at, from, to);
        })
    }

    pub fn unlink(&mut self, name: FileName, rng: &mut SmallRng) -> Result<()> {
        self.find(name)?;
        self.change_name(rng, |media, at| {
            media.give_back(name);
            media.remember(name);
            media.names.unlink(at, name);
        })
    }

    /// Writes all of `data`, or some of it and fails.
    pub fn write(&mut self, inode: Inode, offset: u64, data: &[u8], rng: &mut SmallRng) -> Result<()> {
        let write = self.next();
        let left = self.space_left;
        let file = self.file_mut(inode)?;
        let (len, end) = (file.now.len(), offset + data.len() as u64);
        let grows = space(end.max(len)) - space(len);
        if left.is_some_and(|left| left < grows) {
            let fits = (space(len) + left.unwrap_or(0) / PAGE as u64 * PAGE as u64).saturating_sub(offset);
            let part = &data[..data.len().min(fits as usize)];
            if !part.is_empty() && rng.random() {
                file.write(write, offset, part);
            }
            self.counters.full_errors += 1;
            self.take_space(inode, len);
            return Err(ErrorKind::StorageFull.into());
        }
        let is_failing = strikes(self.faults.eio_write, rng);
        let file = self.file_mut(inode)?;
        if is_failing {
            file.write_part(write, offset, data, Survives::draw(rng), rng);
            self.counters.write_errors += 1;
        } else {
            file.write(write, offset, data);
            self.counters.writes += 1;
        }
        self.take_space(inode, len);
        if is_failing { Err(eio()) } else { Ok(()) }
    }

    /// Counts by how much a file has grown since it had length `before`.
    fn take_space(&mut self, inode: Inode, before: u64) {
        let len = self.files.get(&inode).map_or(before, |file| file.now.len());
        if let Some(left) = &mut self.space_left {
            *left = left.saturating_sub(space(len) - space(before));
        }
    }

    /// Does some of a write that nobody will hear of again.
    pub fn write_part(&mut self, inode: Inode, offset: u64, data: &[u8], rng: &mut SmallRng) {
        let write = self.next();
        let left = self.space_left;
        let Ok(file) = self.file_mut(inode) else { return };
        let (len, end) = (file.now.len(), offset + data.len() as u64);
        if left.is_none_or(|left| space(end.max(len)) - space(len) <= left) {
            file.write_part(write, offset, data, Survives::draw(rng), rng);
            self.take_space(inode, len);
        }
    }

    /// Makes what was written until `upto` durable, or fails.
    pub fn sync(&mut self, inode: Inode, upto: Sequence, rng: &mut SmallRng) -> Result<()> {
        let is_failing = strikes(self.faults.eio_sync, rng);
        let file = self.file_mut(inode)?;
        if is_failing {
            file.fail_sync(upto, rng);
            self.counters.sync_errors += 1;
            return Err(eio());
        }
        file.sync(upto);
        self.counters.syncs += 1;
        Ok(())
    }

    pub fn sync_dir(&mut self, upto: Sequence, rng: &mut SmallRng) -> Result<()> {
        if strikes(self.faults.eio_sync, rng) {
            self.names.fail_sync(rng);
            self.counters.sync_errors += 1;
            return Err(eio());
        }
        self.names.sync(upto);
        self.counters.dir_syncs += 1;
        Ok(())
    }

    fn read_with(
        &mut self,
        inode: Inode,
        offset: u64,
        len: usize,
        rng: &mut SmallRng,
        take: impl FnMut(&[u8]),
    ) -> Result<()> {
        if strikes(self.faults.eio_read, rng) {
            self.counters.read_errors += 1;
            return Err(eio());
        }
        self.counters.reads += 1;
        let is_inside = self.file_mut(inode)?.now.read(offset, len, take);
        if is_inside { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads exactly `len` bytes.
    pub fn read(&mut self, inode: Inode, offset: u64, len: usize, rng: &mut SmallRng) -> Result<AlignedBuf> {
        let mut buf = AlignedBuf::with_capacity(len);
        self.read_with(inode, offset, len, rng, |piece| buf.extend_from_slice(piece))?;
        Ok(buf)
    }

    /// Forgets the files that have no name, can't get one back, and aren't in `used`.
    pub fn drop_unnamed(&mut self, used: &BTreeSet<Inode>) {
        let named = self.names.inodes();
        self.files.retain(|inode, _| named.contains(inode) || used.contains(inode));
    }

    /// The power goes.
    pub fn lose_power(&mut self, rng: &mut SmallRng) {
        let before = self.bytes();
        let survives = Survives::draw(rng);
        self.counters.lost_names += match survives {
            Survives::All => {
                self.names.sync(self.sequence);
                0
            }
            _ => self.names.lose_power(self.faults.names, rng),
        };
        self.drop_unnamed(&BTreeSet::new());
        for file in self.files.values_mut().filter(|file| file.is_dirty()) {
            let losses = file.lose_power(survives, rng);
            self.counters.kept_writes += losses.kept;
            self.counters.torn_writes += losses.torn;
            self.counters.lost_writes += losses.lost;
        }
        let after = self.bytes();
        if let Some(left) = &mut self.space_left {
            *left = (*left + before).saturating_sub(after);
        }
        self.counters.power_losses += 1;
    }
}
