//! Files that are being opened.
//!
//! The kernel opens in the submission where all it needs is cached, and hands the rest to a worker of its own: the reactor's
//! thread doesn't wait for a disk.

use super::buffers::{Lent, StableBytes};
use super::ring::{Completion, Ring};
use super::tag::{Kind, Tag};
use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

// SAFETY: a CString's bytes are on the heap.
unsafe impl StableBytes for CString {}

struct Opening {
    token: u64,
    path: Lent<CString>,
    flags: i32,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Opens {
    places: Vec<Option<Opening>>,
    free: Vec<u32>,
}

impl Opens {
    /// How many files the kernel is opening.
    pub fn in_flight(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn start(&mut self, ring: &mut Ring, token: u64, path: CString, flags: i32) -> io::Result<()> {
        let opening = Opening { token, path: Lent::new(path), flags };
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[index as usize] = Some(opening);
        self.attempt(ring, index)
    }

    fn attempt(&mut self, ring: &mut Ring, index: u32) -> io::Result<()> {
        let Some(opening) = &mut self.places[index as usize] else { return Ok(()) };
        ring.open(&mut opening.path, opening.flags, Tag::new(Kind::FileOpen, index, 0))
    }

    /// Takes a completion in; gives back the token and what became of it, unless it is tried again.
    pub fn complete(
        &mut self,
        ring: &mut Ring,
        completion: Completion,
    ) -> io::Result<Option<(u64, io::Result<OwnedFd>)>> {
        let index = completion.tag.index();
        let Some(place) = self.places.get_mut(index as usize) else { return Ok(None) };
        let Some(opening) = place else { return Ok(None) };
        opening.path.give_back();
        // SAFETY: the kernel has just made the descriptor for this operation, whose one completion this is.
        let result = completion.as_result().map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return self.attempt(ring, index).map(|()| None);
        }
        self.free.push(index);
        Ok(place.take().map(|opening| (opening.token, result)))
    }
}
