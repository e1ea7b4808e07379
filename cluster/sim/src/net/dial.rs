//! Connections that a core begins: each attempt connects, is refused, or stays without an answer until its time is over.
//!
//! The core names an address; whoever plays the network says who listens there ([`Net::decide_dials`]), and plays the other end
//! with the calls that a client has: [`Net::to_core`], [`Net::take_for_client`], [`Net::finish`], [`Net::reset`].

use super::Net;
use super::handler::Handler;
use super::socket::{FarEnd, Socket};
use crate::trace::{Event, Trace};
use pinion_net::reactor::{ConnId, ConnectError};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections that a core may have begun, as on the reactor.
pub const CONNECTIONS_OUT_MAX: usize = 64;

/// An attempt to connect.
#[derive(Debug)]
pub(super) struct Dial {
    conn: ConnId,
    address: SocketAddr,
    token: u64,
    /// What comes of it, and when: nothing, at its deadline, unless somebody answers.
    result: Result<(), ConnectError>,
    at_us: u64,
    /// Somebody has decided on it.
    is_decided: bool,
}

impl Net {
    /// See [`pinion_cluster::drive::Sockets::connect`].
    pub(super) fn dial(
        &mut self,
        address: SocketAddr,
        timeout: Duration,
        token: u64,
    ) -> Result<ConnId, ConnectError> {
        if self.is_stopped {
            return Err(ConnectError::Stopped);
        }
        let out = self.sockets().filter(|socket| matches!(socket.far, FarEnd::Address(_))).count();
        if out >= CONNECTIONS_OUT_MAX {
            return Err(ConnectError::Full);
        }
        let far = FarEnd::Address(address);
        let conn = self.occupy(Socket { far, is_connecting: true, ..Socket::default() });
        let at_us = self.now_us.saturating_add(timeout.as_micros() as u64);
        let result = Err(ConnectError::TimedOut);
        self.dials.push(Dial { conn, address, token, result, at_us, is_decided: false });
        Ok(conn)
    }

    /// Decides on the attempts that nobody has decided on: `decide` is told who tries, where, and how long that may take,
    /// microseconds, and says what comes of it, and after how long. `None`, or later than that: no answer, as where packets are
    /// lost or machines down.
    pub fn decide_dials(
        &mut self,
        mut decide: impl FnMut(ConnId, SocketAddr, u64) -> Option<(Result<(), ConnectError>, u64)>,
    ) {
        let now_us = self.now_us;
        for dial in self.dials.iter_mut().filter(|dial| !dial.is_decided) {
            dial.is_decided = true;
            let left_us = dial.at_us.saturating_sub(now_us);
            if let Some((result, us)) =
                decide(dial.conn, dial.address, left_us).filter(|(_, us)| *us < left_us)
            {
                (dial.result, dial.at_us) = (result, now_us + us);
            }
        }
    }

    /// An attempt, if it is one, ends like this before anybody answers.
    pub(super) fn end_dial(&mut self, conn: ConnId, result: Result<(), ConnectError>) {
        if let Some(dial) = self.dials.iter_mut().find(|dial| dial.conn == conn) {
            (dial.result, dial.at_us, dial.is_decided) = (result, self.now_us, true);
        }
    }

    /// When the next attempt ends.
    pub fn next_dial_us(&self) -> Option<u64> {
        self.dials.iter().map(|dial| dial.at_us).min()
    }

    /// Tells the core of the attempts that have ended.
    pub fn end_dials(&mut self, state: &mut impl Handler, trace: &mut Trace) {
        while let Some(due) = self.dials.iter().position(|dial| dial.at_us <= self.now_us) {
            let Dial { conn, token, result, .. } = self.dials.remove(due);
            let place = &mut self.places[conn.index() as usize];
            match result {
                Ok(()) => {
                    trace.add(Event::Connected, state.number(), conn.to_u64());
                    if let Some(socket) = &mut place.socket {
                        socket.is_connecting = false;
                    }
                    state.connected(self, conn, token);
                }
                Err(error) => {
                    trace.add(Event::NotConnected, state.number(), conn.to_u64());
                    place.socket = None;
                    state.connect_failed(self, token, error);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "dial_test.rs"]
mod tests;
