//! Links between nodes: what their sockets see of the network that lies between.
//!
//! 1. From each node to each other one there is a [`Way`]: how long bytes take, whether they are lost, whether it is clogged or
//!    cut. The two ways between two nodes differ: one may be cut while the other works.
//! 2. A [`Connection`] has a [`stream::Stream`] in each direction. A stream loses nothing and keeps its order: what is lost on the
//!    way is sent again, so it stalls; what nobody acknowledges for too long breaks it.
//! 3. A process that ends closes or resets its connections. A machine that loses its power tells nobody: the other end stays
//!    half-open, until what it sends is answered with a reset, if there is nobody in between who swallows that.
//! 4. Messages of an earlier connection may come again over a later one ([`tap`]): whoever relays or repeats them does that.

mod connection;
mod stream;
mod tap;
mod way;

use connection::Connection;
pub use connection::End;
pub use tap::Heard;
pub use way::{Harm, Way};

use crate::net::{Net, Parted, Remains};
use crate::rng::stream as chance;
use pinion_net::reactor::{ConnId, ConnectError};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use tap::Echoes;

/// How a node is, for others who try to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It serves.
    Serves,
    /// The machine is there, and nobody listens.
    Refuses,
    /// Nothing is there.
    Absent,
}

/// Whoever has the sockets of the cores that are connected.
pub trait Sites {
    /// How a node is.
    fn presence(&self, node: usize) -> Presence;
    /// The sockets of a core, if the node still lives the life that the end was of.
    fn net(&mut self, end: &End) -> Option<&mut Net>;
}

/// See the module's text.
pub struct Links {
    nodes: usize,
    ways: Vec<Way>,
    connections: BTreeMap<usize, Connection>,
    begun: usize,
    echoes: Echoes,
    rng: SmallRng,
    /// Whether every attempt to connect is answered that can be.
    pub is_fair: bool,
    /// What was heard since somebody looked.
    pub heard: Vec<Heard>,
    /// Connections that ended because nobody acknowledged what was sent, or a reset came back from a half-open one.
    pub broken: u64,
}

impl Links {
    /// All ways work. `echoes`: how many of a thousand chances for an old message to come again are taken.
    pub fn new(nodes: usize, seed: u64, echoes: u32) -> Links {
        Links {
            nodes,
            ways: vec![Way::default(); nodes * nodes],
            connections: BTreeMap::new(),
            begun: 0,
            echoes: Echoes::new(echoes),
            rng: chance(seed, "links"),
            is_fair: false,
            heard: Vec::new(),
            broken: 0,
        }
    }

    /// The way from one node to another.
    pub fn way(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.nodes + to]
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.ways[from * self.nodes + to].is_cut
    }

    /// Every way works as it should, and nothing comes twice.
    pub fn heal(&mut self) {
        self.ways.fill(Way::default());
        self.echoes.stop();
        self.is_fair = true;
    }

    /// Messages that came again.
    pub fn echoed(&self) -> u64 {
        self.echoes.played()
    }

    /// A core wants to connect to another one, which is there or not, and waits for at most so long: what comes of it, and after
    /// how long; `None`: nothing.
    pub fn answer(
        &mut self,
        ends: [End; 2],
        presence: Presence,
        patience_us: u64,
    ) -> Option<(Result<(), ConnectError>, u64)> {
        let [from, to] = [ends[0].node, ends[1].node];
        let is_lost = !self.is_fair && self.rng.random_ratio(1, 16);
        if is_lost || self.is_cut(from, to) || self.is_cut(to, from) || presence == Presence::Absent {
            return None;
        }
        let there_us = self.ways[from * self.nodes + to].delay_us(64, &mut self.rng);
        let us = there_us + self.ways[to * self.nodes + from].delay_us(64, &mut self.rng);
        if us >= patience_us {
            return None;
        }
        if presence == Presence::Refuses {
            return Some((Err(ConnectError::Failed(ErrorKind::ConnectionRefused)), us));
        }
        let patience_us = self.rng.random_range(8_000_000..60_000_000);
        let is_mute = self.rng.random_ratio(1, 2);
        self.begun += 1;
        self.connections.insert(self.begun, Connection::new(ends, patience_us, is_mute));
        Some((Ok(()), us))
    }

    /// A core took the connection.
    pub fn accepted(&mut self, number: usize, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.ends[1].conn = Some(conn);
        }
    }

    /// Cores have closed these: what was on its way still arrives.
    pub fn closed(&mut self, at: (usize, usize), remains: Vec<Remains>, parted: Vec<Parted>, now_us: u64) {
        for Remains { client, bytes, is_orderly, .. } in remains {
            if let Some(connection) = self.connections.get_mut(&client) {
                connection.send(client, 1, bytes, now_us, &mut self.heard);
                connection.close(1, is_orderly, now_us);
            }
        }
        for Parted { conn, bytes } in parted {
            let mut all = self.connections.iter_mut();
            if let Some((&number, connection)) = all.find(|(_, one)| one.ends[0].is_at(at, conn)) {
                connection.send(number, 0, bytes, now_us, &mut self.heard);
                connection.close(0, true, now_us);
            }
        }
        self.sweep();
    }

    /// Forgets connections that both ends are gone from, but for what they said last.
    fn sweep(&mut self) {
        for connection in self.connections.values_mut().filter(|connection| connection.is_over()) {
            self.echoes.remember(connection);
        }
        self.connections.retain(|_, connection| !connection.is_over());
    }

    /// A node is gone; of its connections a machine without power says nothing.
    pub fn down(&mut self, node: usize, is_power: bool, now_us: u64) -> u64 {
        let mut half_open = 0;
        for connection in self.connections.values_mut() {
            for end in 0..2 {
                if connection.ends[end].node != node || connection.ends[end].is_gone {
                    continue;
                }
                if is_power {
                    connection.ends[end].is_gone = true;
                    half_open += u64::from(!connection.ends[1 - end].is_gone);
                } else {
                    connection.close(end, false, now_us);
                }
            }
        }
        self.sweep();
        half_open
    }

    /// The connections in which something can happen now.
    pub fn ready(&self, sites: &mut impl Sites, now_us: u64) -> Vec<(usize, usize)> {
        let ready = self.connections.iter().flat_map(|(&number, _)| [(number, 0), (number, 1)]);
        ready.filter(|&(number, side)| self.can_carry(number, side, sites, now_us)).collect()
    }

    fn can_carry(&self, number: usize, side: usize, sites: &mut impl Sites, now_us: u64) -> bool {
        let connection = &self.connections[&number];
        let (from, to) = (&connection.ends[side], &connection.ends[1 - side]);
        let stream = &connection.streams[side];
        let is_cut = self.is_cut(from.node, to.node);
        connection.can_pull(side, sites)
            || !is_cut && stream.is_due(now_us) && connection.can_deliver(side, sites)
            || !is_cut && connection.has_late(side, now_us)
            || stream.is_stuck(now_us, connection.patience_us) && !from.is_gone
    }

    /// When something happens although nobody does anything. What is due already and can't come waits for somebody.
    pub fn next_due_us(&self, now_us: u64) -> Option<u64> {
        let due = |connection: &Connection| {
            let each = (0..2).filter_map(|side| {
                let [from, to] = [&connection.ends[side], &connection.ends[1 - side]];
                let stream = &connection.streams[side];
                let given_up_us = stream.stuck_us(connection.patience_us).filter(|_| !from.is_gone);
                let due_us = stream.due_us().filter(|_| !self.is_cut(from.node, to.node));
                let times = [given_up_us, due_us, connection.late_us(side)];
                times.into_iter().flatten().filter(|&us| us > now_us).min()
            });
            each.min()
        };
        self.connections.values().filter_map(due).min()
    }

    /// Something happens to what one end of a connection sends the other: it leaves, or arrives, or breaks.
    pub fn carry(&mut self, (number, side): (usize, usize), sites: &mut impl Sites, now_us: u64) {
        let Links { nodes, ways, connections, echoes, rng, heard, broken, .. } = self;
        let Some(connection) = connections.get_mut(&number) else { return };
        let (from, to) = (connection.ends[side].node, connection.ends[1 - side].node);
        let way = &ways[from * *nodes + to];
        if connection.streams[side].is_stuck(now_us, connection.patience_us) {
            *broken += 1;
            connection.reset(side, sites, rng);
        } else if connection.can_pull(side, sites) {
            connection.pull(number, side, sites, (way, &mut *echoes, heard), now_us, rng);
        } else if connection.has_late(side, now_us) {
            connection.deliver_late(side, sites);
        } else if !way.is_cut {
            *broken += u64::from(connection.deliver(number, side, sites, heard, rng));
        }
        self.sweep();
    }
}
