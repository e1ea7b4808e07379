//! Operations on files: from the handler to the kernel, and back.

use super::files::FileSync;
use super::io::Io;
use super::ring::Completion;
use super::{Handler, Reactor};
use std::ffi::CString;
use std::os::fd::RawFd;

impl<B: AsRef<[u8]> + AsMut<[u8]> + 'static> Io<B> {
    /// Writes all of `buf` at `offset`; unless `sync` is [`FileSync::No`] it is on the device when `file_done` says so.
    /// The descriptor must stay open until then.
    pub fn write_file(&mut self, token: u64, fd: RawFd, offset: u64, buf: B, sync: FileSync) {
        let result = self.files.write(&mut self.ring, token, fd, offset, buf, sync);
        self.must(result);
    }

    /// Fills `buf` from `offset` on; `file_done` tells how many bytes were read, fewer only at the
    /// file's end. The descriptor must stay open until then.
    pub fn read_file(&mut self, token: u64, fd: RawFd, offset: u64, buf: B) {
        let result = self.files.read(&mut self.ring, token, fd, offset, buf);
        self.must(result);
    }

    /// fdatasync; `buf` only comes back.
    pub fn sync_file(&mut self, token: u64, fd: RawFd, buf: B) {
        let result = self.files.sync(&mut self.ring, token, fd, buf);
        self.must(result);
    }

    /// Opens a file with flags of open(2), close-on-exec; `file_opened` gives its descriptor.
    pub fn open_file(&mut self, token: u64, path: CString, flags: i32) {
        let result = self.opens.start(&mut self.ring, token, path, flags);
        self.must(result);
    }

    /// How many file operations are in flight.
    pub fn files_in_flight(&self) -> usize {
        self.files.in_flight() + self.opens.in_flight()
    }
}

impl<H: Handler> Reactor<H> {
    pub(super) fn file_completed(&mut self, handler: &mut H, completion: Completion) {
        let io = &mut self.io;
        match io.files.complete(&mut io.ring, completion) {
            Ok(Some(done)) => {
                io.stats.files += 1;
                handler.file_done(io, done.token, done.result, done.buf);
            }
            Ok(None) => {}
            Err(error) => io.must(Err(error)),
        }
    }

    pub(super) fn file_opened(&mut self, handler: &mut H, completion: Completion) {
        let io = &mut self.io;
        match io.opens.complete(&mut io.ring, completion) {
            Ok(Some((token, result))) => {
                io.stats.files += 1;
                handler.file_opened(io, token, result);
            }
            Ok(None) => {}
            Err(error) => io.must(Err(error)),
        }
    }
}
