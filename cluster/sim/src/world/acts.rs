//! What a client does when it is its turn: it connects, sends, receives, or notices that its connection is gone.

use super::{Link, RETRY_US, Seat, Up, World};
use crate::client::{After, Dialect, Port};
use crate::model::Checked;
use crate::trace::Event;
use pinion_cluster::drive::Speaks;
use pinion_net::reactor::ConnId;
use rand::Rng;

impl World {
    /// A client connects, sends or receives.
    pub(super) fn act(&mut self, index: usize) -> Checked {
        match self.seats[index].link {
            Link::None { .. } => self.knock(index),
            Link::Open { core, conn, is_finishing } => {
                let Up::Yes(node) = &self.up else { return Ok(()) };
                let net = &node.cores[core].net;
                let may_send =
                    !is_finishing && net.room(conn) > 0 && self.seats[index].client.wants_to_send();
                let may_receive = net.to_client(conn) > 0 && self.seats[index].client.reads();
                if may_receive && (!may_send || self.streams.net.random_ratio(1, 2)) {
                    return self.receive(index, core, conn);
                }
                return self.send(index, core, conn);
            }
            Link::Closed { .. } => return self.receive_rest(index),
            Link::Knocking { .. } => {}
        }
        Ok(())
    }

    fn knock(&mut self, index: usize) {
        let Up::Yes(node) = &mut self.up else { return };
        let core = self.streams.net.random_range(0..node.cores.len());
        let is_own = self.streams.net.random_ratio(1, 2);
        let seat = &mut self.seats[index];
        let speaks = match seat.client.dialect() {
            Dialect::Resp2 | Dialect::Resp3 => Speaks::Resp,
            Dialect::Wire | Dialect::WireChecked => Speaks::Wire,
        };
        seat.link = if node.cores[core].net.knock(index, (speaks, is_own)) {
            Link::Knocking { port: if is_own { Port::Core(core) } else { Port::Shared(core) } }
        } else {
            Link::None { retry_us: self.clock.us() + RETRY_US }
        };
    }

    fn send(&mut self, index: usize, core: usize, conn: ConnId) -> Checked {
        let now = self.now();
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        let (net, seat) = (&mut node.cores[core].net, &mut self.seats[index]);
        let mut bytes = Vec::new();
        let after = seat.client.send(now, &mut self.history, &mut self.streams.clients, &mut bytes);
        self.trace.add_bytes(Event::Sent, index as u64, &bytes);
        if let Some(arriving) = net.to_core(conn) {
            arriving.extend_from_slice(&bytes);
        }
        match after {
            After::Stay => {}
            After::HalfClose => {
                self.counters.count("half-closed connections");
                net.finish(conn);
                seat.link = Link::Open { core, conn, is_finishing: true };
            }
            After::Vanish => {
                self.counters.count("vanished clients");
                net.reset(conn, &mut self.streams.net);
                seat.client.disconnected(&mut self.history, now)?;
                seat.link = Link::None { retry_us: self.clock.us() + RETRY_US };
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, core: usize, conn: ConnId) -> Checked {
        let now = self.now();
        let Up::Yes(node) = &mut self.up else { return Ok(()) };
        let mut bytes = Vec::new();
        let most = match self.streams.net.random_range(0..4) {
            0 => self.streams.net.random_range(1..=64),
            1 => self.streams.net.random_range(1..=8192),
            _ => usize::MAX,
        };
        node.cores[core].net.take_for_client(conn, most, &mut bytes);
        self.trace.add_bytes(Event::Received, index as u64, &bytes);
        self.seats[index].client.received(&bytes, now, &mut self.history)
    }

    /// What is left of a connection that the node has closed reaches its client.
    fn receive_rest(&mut self, index: usize) -> Checked {
        let now = self.now();
        let seat = &mut self.seats[index];
        let Link::Closed { bytes, is_orderly, .. } = &mut seat.link else { return Ok(()) };
        if !bytes.is_empty() {
            let most = self.streams.net.random_range(1..=bytes.len());
            let piece: Vec<u8> = bytes.drain(..most).collect();
            self.trace.add_bytes(Event::Received, index as u64, &piece);
            return seat.client.received(&piece, now, &mut self.history);
        }
        let is_orderly = *is_orderly;
        let (client, unanswered) = (&seat.client, seat.client.unanswered());
        if is_orderly && !client.expects_close() {
            let seen = format!("client {index} was disconnected with {unanswered} requests open");
            return Err(self.violation(
                "the node closes only connections that are over",
                "an open one",
                seen,
            ));
        }
        if is_orderly && unanswered > 0 {
            let seen = format!("client {index} misses {unanswered} answers");
            return Err(self.violation("all is answered before a connection is closed", "all answers", seen));
        }
        self.look_for_owed(index)?;
        self.disconnect(index)
    }

    /// A node that stops answers what it has taken in.
    pub(crate) fn look_for_owed(&self, index: usize) -> Checked {
        let Seat { client, link, .. } = &self.seats[index];
        let Link::Closed { drained: Some(taken), .. } = link else { return Ok(()) };
        let Some(owed) = client.owed(*taken) else { return Ok(()) };
        let seen = format!("client {index} misses the answer to {owed}");
        Err(self.violation("a drain ends when all that was taken in is answered", "all answers", seen))
    }

    /// A client notices that its connection is gone.
    pub(crate) fn disconnect(&mut self, index: usize) -> Checked {
        let now = self.now();
        let seat = &mut self.seats[index];
        if seat.client.is_connected() {
            seat.client.disconnected(&mut self.history, now)?;
        }
        self.trace.add(Event::Disconnected, index as u64, 0);
        let late_us = self.streams.net.random_range(0..RETRY_US);
        seat.link = Link::None { retry_us: self.clock.us() + late_us };
        Ok(())
    }
}
