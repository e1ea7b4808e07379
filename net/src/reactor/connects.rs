//! Attempts to connect that the kernel works on.
//!
//! The socket is made and set up by plain system calls: options of a direct descriptor can't be set before kernel 6.7. Then
//! it becomes the connection's direct descriptor and is connected as that; the process's own is closed when the attempt ends.

use super::address::Address;
use super::buffers::Lent;
use super::syscalls;
use io_uring::types::Timespec;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// There are [`super::ReactorConfig::connections_out_max`] already.
    #[error("there are as many connections to others as there may be")]
    Full,
    /// Nobody answered in time.
    #[error("no answer in time")]
    TimedOut,
    /// [`super::Io::abort`] or [`super::Io::close`].
    #[error("it was given up")]
    Aborted,
    /// The reactor stops.
    #[error("the core stops")]
    Stopped,
    /// The other side refused, can't be reached, or the system has no socket left.
    #[error("{0}")]
    Failed(io::ErrorKind),
}

impl ConnectError {
    /// What came of a connect that wasn't given up: the kernel cancels it when its time is over.
    pub(super) fn of(error: &io::Error) -> ConnectError {
        match error.raw_os_error() {
            Some(libc::ECANCELED | libc::ETIMEDOUT) => ConnectError::TimedOut,
            _ => ConnectError::Failed(error.kind()),
        }
    }
}

/// What the kernel reads while it connects.
pub(super) struct Attempt {
    token: u64,
    /// Keeps the descriptor open; the connection has its own.
    _socket: OwnedFd,
    descriptor: RawFd,
    address: Address,
    time: Timespec,
}

impl Attempt {
    /// With a new socket.
    pub fn new(address: SocketAddr, timeout: Duration, token: u64) -> io::Result<Attempt> {
        let socket = syscalls::stream_socket(address)?;
        let descriptor = socket.as_raw_fd();
        Ok(Attempt {
            token,
            _socket: socket,
            descriptor,
            address: Address::of(address),
            time: timeout.into(),
        })
    }

    pub fn descriptor(&self) -> *const RawFd {
        &raw const self.descriptor
    }

    pub fn address(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        let (bytes, len) = self.address.as_pointer();
        (bytes.cast(), len)
    }

    pub fn time(&self) -> *const Timespec {
        &raw const self.time
    }
}

/// The attempts under way, by direct descriptor.
#[derive(Default)]
pub(super) struct Connects {
    attempts: HashMap<u32, Lent<Box<Attempt>>>,
}

impl Connects {
    /// Keeps an attempt until its completion is seen.
    pub fn keep(&mut self, slot: u32, attempt: Lent<Box<Attempt>>) {
        self.attempts.insert(slot, attempt);
    }

    /// Who asked for it.
    pub fn token(&self, slot: u32) -> Option<u64> {
        self.attempts.get(&slot).map(|attempt| attempt.get().token)
    }

    /// The completion was seen: who asked, and the socket's other descriptor is closed.
    pub fn end(&mut self, slot: u32) -> Option<u64> {
        let mut attempt = self.attempts.remove(&slot)?;
        attempt.give_back();
        Some(attempt.into_inner().token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_connect_ran_out_of_time() {
        let of = |code| ConnectError::of(&io::Error::from_raw_os_error(code));
        assert_eq!(of(libc::ECANCELED), ConnectError::TimedOut);
        assert_eq!(of(libc::ETIMEDOUT), ConnectError::TimedOut);
        assert_eq!(of(libc::ECONNREFUSED), ConnectError::Failed(io::ErrorKind::ConnectionRefused));
    }
}
