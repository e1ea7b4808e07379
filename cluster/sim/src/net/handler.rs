//! Whom the sockets of a core tell what happens: what the reactor's handler is to the reactor.

use super::Net;
use pinion_cluster::drive::CoreState;
use pinion_cluster::drive::Speaks;
use pinion_net::reactor::{CloseReason, ConnId, ConnectError};
use std::net::SocketAddr;

/// A core, as its sockets see it.
pub trait Handler {
    /// Which core it is.
    fn number(&self) -> u64;
    /// A connection came in.
    fn accepted(&mut self, net: &mut Net, conn: ConnId, listener: (Speaks, bool), peer: SocketAddr);
    /// A connection that was asked for with this token is there.
    fn connected(&mut self, net: &mut Net, conn: ConnId, token: u64);
    /// It came to nothing.
    fn connect_failed(&mut self, net: &mut Net, token: u64, error: ConnectError);
    /// Bytes came in; how many of them were taken.
    fn received(&mut self, net: &mut Net, conn: ConnId, bytes: &[u8]) -> usize;
    /// The other end will send no more.
    fn half_closed(&mut self, net: &mut Net, conn: ConnId);
    /// The output of a connection is below its budget again.
    fn drained(&mut self, net: &mut Net, conn: ConnId);
    /// A connection is gone.
    fn closed(&mut self, conn: ConnId, reason: CloseReason);
}

impl Handler for CoreState {
    fn number(&self) -> u64 {
        CoreState::number(self) as u64
    }

    fn accepted(&mut self, net: &mut Net, conn: ConnId, listener: (Speaks, bool), peer: SocketAddr) {
        CoreState::accepted(self, net, conn, listener, peer);
    }

    fn connected(&mut self, net: &mut Net, conn: ConnId, token: u64) {
        CoreState::connected(self, net, conn, token);
    }

    fn connect_failed(&mut self, _: &mut Net, token: u64, error: ConnectError) {
        CoreState::connect_failed(self, token, error);
    }

    fn received(&mut self, net: &mut Net, conn: ConnId, bytes: &[u8]) -> usize {
        CoreState::received(self, net, conn, bytes)
    }

    fn half_closed(&mut self, net: &mut Net, conn: ConnId) {
        CoreState::half_closed(self, net, conn);
    }

    fn drained(&mut self, net: &mut Net, conn: ConnId) {
        CoreState::drained(self, net, conn);
    }

    fn closed(&mut self, conn: ConnId, reason: CloseReason) {
        CoreState::closed(self, conn, reason);
    }
}
