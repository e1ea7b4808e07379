//! One core's event loop: sockets, files, timers and wake-ups on ONE io_uring, one system call a turn.
//!
//! A [`Reactor`] runs on one thread, owns its connections and calls a [`Handler`], which never blocks and never
//! does I/O itself: it appends to [`Io::output`], queues file operations, and returns.
//!
//! One turn:
//! 1. The ring is entered once: everything the last turn queued is submitted, and the thread sleeps there if
//!    nothing is to be done.
//! 2. All completions are copied out. A first attempt to send completes only if it fell short (then the rest is
//!    sent asynchronously); one that says nothing has sent everything, and its buffer goes back to the pool.
//! 3. Events are handed to the handler in the order they came: received bytes are parsed in place in the
//!    kernel-filled buffer, which is returned within the turn; what a handler leaves is kept for its connection.
//! 4. Connections whose output drained, or that were resumed, get their kept bytes presented again. What the handler has no time
//!    for ([`Handler::has_time`]) is left for the next turn, where either kind goes first in turns.
//! 5. [`Handler::woken`] if another thread asked, then [`Handler::end_turn`].
//! 6. Each connection that was touched is brought in line with what is wanted of it: one send if it has output,
//!    its receive armed or cancelled, its end begun or completed.
//!
//! Guarantees:
//! - `accepted` and `closed` come in pairs, exactly one of each a connection; a [`ConnId`] never names another
//!   connection later, and calls with one that is gone do nothing. A connection that was begun here ([`Io::connect`]) has
//!   `connected` in the place of `accepted`; an attempt that isn't refused at once ends in that or in `connect_failed`, once.
//! - Bytes are presented in order, none twice unless left, none lost; output leaves in the order it was appended.
//! - Memory of a connection is bounded: [`ReactorConfig::budget_bytes`] and one answer of output,
//!   [`ReactorConfig::input_bytes_max`] of a frame that is still coming in, nothing while it is idle. While output is
//!   over the budget no input is presented, and reading stops when the client doesn't take its answers or a
//!   budget of input has piled up; what the kernel had delivered by then (at most all receive buffers) is kept.
//! - No request allocates: buffers come from a pool, receive buffers from a ring shared by all connections.
//! - A wake-up is never lost ([`Waker`] says why); an idle reactor sleeps without a timer.
//! - Memory lent to the kernel is freed only after the kernel is done with it, or leaked.
//!
//! ```
//! use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, Reactor, ReactorConfig};
//! use std::io::{Read, Write};
//! use std::net::{SocketAddr, TcpListener, TcpStream};
//!
//! /// Sends back what it gets, and stops when a client has left.
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Buf = Vec<u8>;
//!     fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _listener: usize, _peer: SocketAddr) {}
//!     fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
//!         io.output(conn).extend_from_slice(bytes);
//!         bytes.len()
//!     }
//!     fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
//!     fn closed(&mut self, io: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {
//!         io.stop();
//!     }
//!     fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
//!     fn woken(&mut self, _: &mut Io<Vec<u8>>) {}
//!     fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
//!         Next::Sleep(None)
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let core = std::thread::spawn(move || {
//!     Reactor::new(ReactorConfig { listeners: vec![listener], ..ReactorConfig::default() })?.run(&mut Echo)
//! });
//! let mut stream = TcpStream::connect(address)?;
//! stream.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! stream.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello");
//! drop(stream);
//! core.join().expect("the reactor's thread doesn't panic")?;
//! # Ok(())
//! # }
//! ```
//!
//! Accepts are single-shot, sixteen in flight a listener, because a multishot accept can't tell the peer's address;
//! they go into direct descriptors and are re-armed by the enter that every turn makes anyway. A connect is linked with its
//! time-out. Connections out have a limit and descriptors of their own: no crowd that comes in keeps this side from beginning
//! one. What comes in is counted together, whoever it is: a crowd of clients can keep out a peer that calls.

mod address;
mod admission;
mod buffers;
mod config;
mod connection;
mod connects;
mod descriptors;
mod dispatch;
mod file_io;
mod files;
mod io;
mod kept;
mod listener;
mod opens;
mod outgoing;
mod pool;
mod preflight;
mod ring;
mod seats;
mod stats;
mod syscalls;
mod tag;
mod turn;
mod wake_state;
mod waker;

pub use config::ReactorConfig;
pub use connection::{CloseReason, ConnId, Holding};
pub use connects::ConnectError;
pub use files::FileSync;
pub use io::Io;
pub use preflight::{Problem, preflight, raise_open_files};
pub use seats::Seats;
pub use stats::{Stall, Stats};
pub use turn::Reactor;
pub use waker::Waker;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What a reactor calls. Every call is on the reactor's thread and must not block.
pub trait Handler {
    /// What file operations read into and write from. It owns its bytes: nobody else changes or frees them.
    type Buf: AsRef<[u8]> + AsMut<[u8]> + 'static;

    /// A connection came in on the listener with this index.
    fn accepted(&mut self, io: &mut Io<Self::Buf>, conn: ConnId, listener: usize, peer: SocketAddr);

    /// Which address of this machine a connection reached. Called only for those of listeners on every address, before any
    /// of their bytes are presented, and not on kernels before 6.8.
    fn reached(&mut self, io: &mut Io<Self::Buf>, conn: ConnId, local: SocketAddr) {
        let _ = (io, conn, local);
    }

    /// A connection that [`Io::connect`] asked for with this token is there: from now on it is one like those that came in.
    fn connected(&mut self, io: &mut Io<Self::Buf>, conn: ConnId, token: u64) {
        let _ = (io, conn, token);
    }

    /// A connection that [`Io::connect`] asked for with this token came to nothing.
    fn connect_failed(&mut self, io: &mut Io<Self::Buf>, conn: ConnId, token: u64, error: ConnectError) {
        let _ = (io, conn, token, error);
    }

    /// Bytes came in; returns how many were consumed. The rest, normally a partial frame, is kept and
    /// presented again with what follows. A handler that stops early because [`Io::is_over_budget`] or because it
    /// paused the connection gets the rest when the output has drained or the connection is resumed.
    fn received(&mut self, io: &mut Io<Self::Buf>, conn: ConnId, bytes: &[u8]) -> usize;

    /// The client will send no more, and everything it sent has been presented. The default closes the
    /// connection after the output queued so far; a handler that still owes answers calls [`Io::close`] after the last.
    fn half_closed(&mut self, io: &mut Io<Self::Buf>, conn: ConnId) {
        io.close(conn);
    }

    /// The output of a connection that was over its budget is below it again.
    fn drained(&mut self, io: &mut Io<Self::Buf>, conn: ConnId);

    /// The connection is gone. Called once for each `accepted` and each `connected`.
    fn closed(&mut self, io: &mut Io<Self::Buf>, conn: ConnId, reason: CloseReason);

    /// A file operation ended: bytes read or written (0 for a sync alone), and its buffer back.
    fn file_done(
        &mut self,
        io: &mut Io<Self::Buf>,
        token: u64,
        result: std::io::Result<usize>,
        buf: Self::Buf,
    );

    /// A file that [`Io::open_file`] asked for is open, or why it isn't.
    fn file_opened(&mut self, io: &mut Io<Self::Buf>, token: u64, result: std::io::Result<OwnedFd>) {
        let _ = (io, token, result);
    }

    /// Another core or thread called [`Waker::wake`] since the last call; many wakes may make one call.
    fn woken(&mut self, io: &mut Io<Self::Buf>);

    /// Whether the turn may go on with what further connections sent. What is left comes first in the next one, which comes at
    /// once.
    fn has_time(&self) -> bool {
        true
    }

    /// The events of the turn were handled; the ring is entered next.
    fn end_turn(&mut self, io: &mut Io<Self::Buf>) -> Next;

    /// What a connection beyond [`ReactorConfig::connections_max`] is told before it is closed.
    fn refusal(&self, listener: usize) -> &'static [u8] {
        let _ = listener;
        b""
    }
}

/// What a reactor does after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More work waits: look for events, but don't sleep.
    Now,
    /// Sleep until something happens, or until this much time has passed.
    Sleep(Option<Duration>),
}
