//! File operations in flight.
//!
//! A write with [`FileSync::Linked`] is a write linked to an fdatasync. The write completes only if it failed or
//! fell short; then the link is broken, and the rest is written by a new attempt. An attempt has its own generation, so that
//! what the kernel still says about an older one is ignored.

use super::buffers::Lent;
use super::ring::{Completion, Ring, Sync};
use super::tag::{Kind, Tag};
use std::io;
use std::os::fd::RawFd;

/// How a file write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSync {
    /// Not by itself.
    No,
    /// By an fdatasync linked to it.
    Linked,
    /// As it is written (RWF_DSYNC): the better way where the device has FUA and the write overwrites.
    WriteThrough,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Read,
    Write { sync: FileSync },
    Sync,
}

struct Operation<B> {
    what: What,
    token: u64,
    fd: RawFd,
    offset: u64,
    /// Bytes read or written by earlier attempts.
    done: usize,
    buf: Lent<Box<B>>,
}

struct Slot<B> {
    generation: u32,
    operation: Option<Operation<B>>,
}

/// What ended.
pub(super) struct Done<B> {
    pub token: u64,
    pub result: io::Result<usize>,
    pub buf: B,
}

pub(super) struct Files<B> {
    places: Vec<Slot<B>>,
    free: Vec<u32>,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Files<B> {
    pub fn new() -> Files<B> {
        Files { places: Vec::new(), free: Vec::new() }
    }

    /// How many operations the kernel holds.
    pub fn in_flight(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn read(&mut self, ring: &mut Ring, token: u64, fd: RawFd, offset: u64, buf: B) -> io::Result<()> {
        self.start(ring, What::Read, token, fd, offset, buf)
    }

    pub fn write(
        &mut self,
        ring: &mut Ring,
        token: u64,
        fd: RawFd,
        offset: u64,
        buf: B,
        sync: FileSync,
    ) -> io::Result<()> {
        self.start(ring, What::Write { sync }, token, fd, offset, buf)
    }

    pub fn sync(&mut self, ring: &mut Ring, token: u64, fd: RawFd, buf: B) -> io::Result<()> {
        self.start(ring, What::Sync, token, fd, 0, buf)
    }

    fn start(
        &mut self,
        ring: &mut Ring,
        what: What,
        token: u64,
        fd: RawFd,
        offset: u64,
        buf: B,
    ) -> io::Result<()> {
        let operation = Operation { what, token, fd, offset, done: 0, buf: Lent::new(Box::new(buf)) };
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Slot { generation: 0, operation: None });
            self.places.len() as u32 - 1
        });
        self.places[index as usize].operation = Some(operation);
        self.attempt(ring, index)
    }

    fn attempt(&mut self, ring: &mut Ring, index: u32) -> io::Result<()> {
        let place = &mut self.places[index as usize];
        place.generation = place.generation.wrapping_add(1);
        let Some(operation) = place.operation.as_mut() else {
            return Ok(());
        };
        let tag = |kind| Tag::new(kind, index, place.generation);
        let Operation { fd, done, .. } = *operation;
        let offset = operation.offset + done as u64;
        match operation.what {
            What::Read => ring.read(fd, offset, &mut operation.buf, done, tag(Kind::FileRead)),
            What::Write { sync } => {
                let sync = match sync {
                    FileSync::No => Sync::No,
                    FileSync::Linked => Sync::Linked(tag(Kind::FileSync)),
                    FileSync::WriteThrough => Sync::WriteThrough,
                };
                ring.write(fd, offset, &mut operation.buf, done, tag(Kind::FileWrite), sync)
            }
            What::Sync => ring.sync(fd, tag(Kind::FileSync)),
        }
    }

    /// Takes a completion in; gives back the operation if it ended.
    pub fn complete(&mut self, ring: &mut Ring, completion: Completion) -> io::Result<Option<Done<B>>> {
        let index = completion.tag.index();
        let Some(place) = self.places.get_mut(index as usize) else {
            return Ok(None);
        };
        if !completion.tag.is_of(place.generation) {
            return Ok(None);
        }
        let Some(operation) = place.operation.as_mut() else {
            return Ok(None);
        };
        operation.buf.give_back();
        let result = match operation.progress(completion) {
            Progress::Ended(result) => result,
            Progress::Continue => {
                self.attempt(ring, index)?;
                return Ok(None);
            }
        };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        Ok(place.operation.take().map(|operation| Done {
            token: operation.token,
            result,
            buf: *operation.buf.into_inner(),
        }))
    }
}

enum Progress {
    Ended(io::Result<usize>),
    Continue,
}

/// Reads that end elsewhere have met the end of the file; going on there would be refused in direct I/O.
const BLOCK: usize = 512;

impl<B: AsRef<[u8]>> Operation<B> {
    fn len(&self) -> usize {
        (**self.buf.get()).as_ref().len()
    }

    fn progress(&mut self, completion: Completion) -> Progress {
        let count = match completion.as_result() {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Progress::Continue,
            Err(error) => return Progress::Ended(Err(error)),
        };
        if completion.tag.kind() == Kind::FileSync {
            let written = if self.what == What::Sync { 0 } else { self.len() };
            return Progress::Ended(Ok(written));
        }
        self.done += count;
        if self.done == self.len() {
            return match self.what {
                // It completed although it wrote everything: the fdatasync is still to come.
                What::Write { sync: FileSync::Linked } => Progress::Continue,
                _ => Progress::Ended(Ok(self.done)),
            };
        }
        match self.what {
            What::Read if count == 0 || !self.done.is_multiple_of(BLOCK) => Progress::Ended(Ok(self.done)),
            What::Write { .. } if count == 0 => Progress::Ended(Err(io::ErrorKind::WriteZero.into())),
            _ => Progress::Continue,
        }
    }
}
