//! What a core does with its connections: the simulator's side of [`Sockets`].

use super::Net;
use super::socket::Remains;
use pinion_cluster::drive::Sockets;
use pinion_net::reactor::{ConnId, ConnectError, Holding};
use std::net::SocketAddr;
use std::time::Duration;

impl Sockets for Net {
    fn connect(
        &mut self,
        address: SocketAddr,
        timeout: Duration,
        token: u64,
    ) -> Result<ConnId, ConnectError> {
        self.dial(address, timeout, token)
    }

    fn output(&mut self, conn: ConnId) -> &mut Vec<u8> {
        let place = self.places.get_mut(conn.index() as usize);
        let place = place.filter(|place| place.generation == conn.generation());
        match place.and_then(|place| place.socket.as_deref_mut()) {
            Some(socket) if !socket.is_closing && !socket.is_connecting => &mut socket.output,
            _ => {
                self.void.clear();
                &mut self.void
            }
        }
    }

    fn queued(&self, conn: ConnId) -> usize {
        self.find(conn).map_or(0, |socket| socket.output.len())
    }

    fn is_over_budget(&self, conn: ConnId) -> bool {
        self.queued(conn) > self.options.budget_bytes
    }

    fn tell_when_drained(&mut self, conn: ConnId) {
        if let Some(socket) = self.find_mut(conn) {
            socket.wants_drained = true;
        }
    }

    fn pause(&mut self, conn: ConnId) {
        if let Some(socket) = self.find_mut(conn).filter(|socket| !socket.is_closing) {
            socket.pauses += 1;
        }
    }

    fn resume(&mut self, conn: ConnId) {
        if let Some(socket) = self.find_mut(conn).filter(|socket| !socket.is_closing) {
            debug_assert!(socket.pauses > 0, "a resume needs a pause");
            socket.pauses -= 1;
            socket.is_ready |= socket.pauses == 0;
        }
    }

    fn wants(&mut self, conn: ConnId, bytes: usize) {
        if let Some(socket) = self.find_mut(conn).filter(|socket| !socket.is_closing) {
            socket.wanted = bytes;
            socket.input_charged = socket.input_charged.max(bytes);
        }
    }

    fn held_bytes(&self) -> usize {
        self.sockets().map(|socket| socket.input_charged + socket.output_charged).sum()
    }

    /// What a connection held is given back where it is thrown away.
    fn ending_bytes(&self) -> usize {
        0
    }

    fn holding(&self, conn: ConnId) -> Holding {
        self.find(conn).map_or_else(Holding::default, |socket| Holding {
            bytes: socket.input_charged + socket.output.len(),
            unread: if socket.is_unread { socket.output.len() } else { 0 },
            moved: socket.moved,
            moved_in: socket.moved_in,
            has_news: socket.is_ready || !socket.is_unread && !socket.output.is_empty(),
        })
    }

    fn close(&mut self, conn: ConnId) {
        self.end_dial(conn, Err(ConnectError::Aborted));
        if let Some(socket) = self.find_mut(conn) {
            socket.is_closing = true;
            socket.kept.clear();
            (socket.wanted, socket.input_charged) = (0, 0);
        }
    }

    fn abort(&mut self, conn: ConnId) {
        self.close(conn);
        if let Some(socket) = self.find_mut(conn) {
            socket.is_aborted = true;
            socket.output.clear();
            socket.output_charged = 0;
        }
    }

    fn kept(&self, conn: ConnId) -> usize {
        self.find(conn).map_or(0, |socket| socket.kept.len())
    }

    fn stop_accepting(&mut self) {
        self.is_accepting = false;
        let refused = self.knocking.drain(..);
        self.remains.extend(refused.map(|knock| Remains::of_knock(knock.client)));
    }

    fn stop(&mut self) {
        self.is_stopped = true;
    }
}
