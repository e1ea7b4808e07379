//! The bytes of a core's connections.
//!
//! The reactor's [`Io`] has them, and the simulator's network. All that a core decides is generic over this trait and compiled
//! for each: calls on the way of a request stay direct ones.

use pinion_engine::aligned::AlignedBuf;
use pinion_net::reactor::{ConnId, ConnectError, Holding, Io};
use std::net::SocketAddr;
use std::time::Duration;

/// The connections of a core. Calls with one that is gone do nothing.
pub trait Sockets {
    /// Begins to connect to an address, for at most so long. An error says at once why not; else the core is told once, with
    /// this token, that it is connected or that this came to nothing. Until then [`Sockets::abort`] gives the attempt up, and
    /// nothing else may be done with it; once connected it is a connection like those that came in.
    fn connect(&mut self, address: SocketAddr, timeout: Duration, token: u64)
    -> Result<ConnId, ConnectError>;
    /// A connection's output, to append to.
    fn output(&mut self, conn: ConnId) -> &mut Vec<u8>;
    /// Bytes of output that the client hasn't taken.
    fn queued(&self, conn: ConnId) -> usize;
    /// Whether that is more than a connection may have.
    fn is_over_budget(&self, conn: ConnId) -> bool;
    /// Has the core told when the output of a connection, which is over its budget, is below it again.
    fn tell_when_drained(&mut self, conn: ConnId);
    /// Presents nothing more of a connection until as many calls of [`Sockets::resume`].
    fn pause(&mut self, conn: ConnId);
    /// Takes one pause back; what was left is presented again.
    fn resume(&mut self, conn: ConnId);
    /// What a connection left is no use until it is so long; room for that is charged from now on. 0: nothing is.
    fn wants(&mut self, conn: ConnId, bytes: usize);
    /// What all connections hold, and the room that they were given, in bytes; what is appended to outputs is in it from the
    /// next turn on.
    fn held_bytes(&self) -> usize;
    /// What of that goes back by itself, because its connections are ending, in bytes.
    fn ending_bytes(&self) -> usize;
    /// Input of a connection that waits for the rest of its command, in bytes.
    fn kept(&self, conn: ConnId) -> usize;
    /// What one connection holds.
    fn holding(&self, conn: ConnId) -> Holding;
    /// Closes a connection when its output is sent.
    fn close(&mut self, conn: ConnId);
    /// Closes a connection at once.
    fn abort(&mut self, conn: ConnId);
    /// Takes no new connections from now on.
    fn stop_accepting(&mut self);
    /// Ends the core after this turn.
    fn stop(&mut self);
}

impl Sockets for Io<AlignedBuf> {
    fn connect(
        &mut self,
        address: SocketAddr,
        timeout: Duration,
        token: u64,
    ) -> Result<ConnId, ConnectError> {
        Io::connect(self, address, timeout, token)
    }

    #[inline]
    fn output(&mut self, conn: ConnId) -> &mut Vec<u8> {
        Io::output(self, conn)
    }

    #[inline]
    fn queued(&self, conn: ConnId) -> usize {
        Io::queued(self, conn)
    }

    #[inline]
    fn is_over_budget(&self, conn: ConnId) -> bool {
        Io::is_over_budget(self, conn)
    }

    #[inline]
    fn tell_when_drained(&mut self, conn: ConnId) {
        Io::tell_when_drained(self, conn);
    }

    #[inline]
    fn pause(&mut self, conn: ConnId) {
        Io::pause(self, conn);
    }

    #[inline]
    fn resume(&mut self, conn: ConnId) {
        Io::resume(self, conn);
    }

    fn wants(&mut self, conn: ConnId, bytes: usize) {
        Io::wants(self, conn, bytes);
    }

    #[inline]
    fn held_bytes(&self) -> usize {
        Io::buffer_bytes(self)
    }

    fn ending_bytes(&self) -> usize {
        Io::ending_bytes(self)
    }

    fn kept(&self, conn: ConnId) -> usize {
        Io::kept(self, conn)
    }

    fn holding(&self, conn: ConnId) -> Holding {
        Io::holding(self, conn)
    }

    #[inline]
    fn close(&mut self, conn: ConnId) {
        Io::close(self, conn);
    }

    fn abort(&mut self, conn: ConnId) {
        Io::abort(self, conn);
    }

    fn stop_accepting(&mut self) {
        Io::stop_accepting(self);
    }

    fn stop(&mut self) {
        Io::stop(self);
    }
}
