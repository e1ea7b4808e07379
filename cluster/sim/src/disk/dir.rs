//! The disk as the directory that a shard is opened from.

use super::media::Media;
use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use rand::Rng;
use rand::rngs::SmallRng;
use std::cell::RefCell;
use std::io::{Error, Result};

/// See [`super::Disk::dir`].
pub struct DiskDir<'a> {
    path: &'a str,
    inner: RefCell<Inner<'a>>,
}

struct Inner<'a> {
    media: &'a mut Media,
    rng: &'a mut SmallRng,
    steps_left: Option<u64>,
}

fn crashed() -> Error {
    Error::other("the machine is going down")
}

impl<'a> DiskDir<'a> {
    pub(super) fn new(
        path: &'a str,
        media: &'a mut Media,
        steps_left: Option<u64>,
        rng: &'a mut SmallRng,
    ) -> DiskDir<'a> {
        DiskDir { path, inner: RefCell::new(Inner { media, rng, steps_left }) }
    }

    /// Whether everything fails now because the steps are used up.
    pub fn is_crashed(&self) -> bool {
        self.inner.borrow().steps_left == Some(0)
    }

    /// Changes until the crash, if one was asked for.
    pub fn steps_left(&self) -> Option<u64> {
        self.inner.borrow().steps_left
    }

    fn look<T>(&self, look: impl FnOnce(&mut Media, &mut SmallRng) -> Result<T>) -> Result<T> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.steps_left == Some(0) {
            return Err(crashed());
        }
        look(inner.media, inner.rng)
    }

    /// A change; the one that the crash falls into is done or not, and fails either way.
    fn change(&mut self, change: impl FnOnce(&mut Media, &mut SmallRng) -> Result<()>) -> Result<()> {
        let inner = self.inner.get_mut();
        match &mut inner.steps_left {
            Some(0) => return Err(crashed()),
            Some(left) => *left -= 1,
            None => {}
        }
        if inner.steps_left == Some(0) {
            if inner.rng.random() {
                change(inner.media, inner.rng)?;
            }
            return Err(crashed());
        }
        change(inner.media, inner.rng)
    }
}

impl Dir for DiskDir<'_> {
    fn list(&self) -> Result<Vec<FileName>> {
        self.look(|media, _| Ok(media.names.iter().map(|(name, _)| name).collect()))
    }

    fn len(&self, file: FileName) -> Result<u64> {
        self.look(|media, _| media.file(file).map(|file| file.now.len()))
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.look(|media, rng| {
            let inode = media.find(file)?;
            media.read(inode, offset, len, rng).map(|bytes| bytes.to_vec())
        })
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        self.change(|media, rng| media.create(file, rng))
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        self.change(|media, rng| {
            let inode = media.find(file)?;
            media.write(inode, offset, data, rng)
        })
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        self.change(|media, rng| {
            let inode = media.find(file)?;
            media.sync(inode, media.sequence(), rng)
        })
    }

    fn sync_dir(&mut self) -> Result<()> {
        self.change(|media, rng| media.sync_dir(media.sequence(), rng))
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        self.change(|media, rng| media.rename(from, to, rng))
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.change(|media, rng| media.unlink(file, rng))
    }

    fn path(&self) -> String {
        self.path.to_owned()
    }
}
