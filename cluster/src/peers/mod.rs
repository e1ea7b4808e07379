//! Peers: the other nodes of the cluster, as a core talks to them.
//!
//! 1. A core begins a connection to each peer of its node ([`call`]): a core of the node that it names there. It says who it is
//!    and whom it means; it is welcomed, or refused with a reason ([`guest`]).
//! 2. Over a connection that it began it sends numbered pings, and takes pongs, in their order: so it knows how long a round
//!    takes by its own clock. It answers pings that come in over connections that others began.
//! 3. A connection without an answer for [`DEAD_US`] is given up, whatever the sockets say: the other end may have lost its
//!    power, or the way there be cut. The next one is begun after a pause that doubles.
//! 4. Every message names the connection that it was sent over. What comes late over another one is nothing.
//! 5. Of each core of each peer one connection is welcome at a time: a new one takes the place of the one before. So the peers
//!    that are configured bound how many there are, however the cores of two nodes differ in number. Connections that haven't
//!    said who they are have a few places of their own, for a second; in a crowd of them the oldest goes, so that whoever says
//!    it at once is heard.
//!
//! All that is kept is bounded: pings under way, what is queued to be sent, connections that others began.
//!
//! This is where nodes will carry what they agree on. So far no setting of `kvd` names peers: the simulator's nodes have some.

mod call;
pub mod frame;
mod guest;
mod settings;
#[cfg(test)]
mod tests;

use crate::session::sockets::Sockets;
use call::Call;
use frame::Verdict;
use guest::Guest;
use pinion_net::reactor::{ConnId, ConnectError};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use settings::Caller;
pub use settings::{
    DEAD_US, HELLO_US, Id, NAMELESS_MAX, PAUSE_US_MAX, PING_US, PINGS_MAX, Peer, PeerSettings, PeerStatus,
    QUEUED_BYTES_MAX,
};

/// The peers of a core. See the module's text.
pub struct Peers {
    settings: PeerSettings,
    calls: Vec<Call>,
    guests: Vec<Guest>,
    chance: SmallRng,
    has_ended: bool,
}

impl Peers {
    /// Those of core `me`. `seed` differs between the runs of a node.
    pub fn new(settings: PeerSettings, me: usize, seed: u64) -> Peers {
        let call = |peer: &Peer| {
            let address = peer.addresses.get(me % peer.addresses.len().max(1))?;
            Some(Call::new(peer.node, *address, me as u16)) // a store has at most 1,024 shards, each with a core
        };
        let calls = settings.peers.iter().filter_map(call).collect();
        let own = u64::from_le_bytes(*settings.node.first_chunk().expect("an id has 16 bytes"));
        let chance = SmallRng::seed_from_u64(seed ^ own ^ (me as u64) << 48);
        Peers { settings, calls, guests: Vec::new(), chance, has_ended: false }
    }

    /// Begins connections, sends pings, and gives up what is dead, as far as that is due.
    pub fn tick(&mut self, io: &mut impl Sockets, now_us: u64) {
        if self.has_ended {
            return;
        }
        for call in &mut self.calls {
            call.tick(io, now_us, &mut self.chance);
        }
        self.guests.retain(|guest| {
            let is_dead = guest.is_dead(now_us);
            if is_dead {
                io.abort(guest.conn);
            }
            !is_dead
        });
    }

    /// When [`Peers::tick`] has something to do.
    pub fn due_us(&self) -> Option<u64> {
        let calls = self.calls.iter().map(Call::due_us);
        let guests = self.guests.iter().map(Guest::due_us);
        calls.chain(guests).min().filter(|_| !self.has_ended)
    }

    /// Whether a connection is one of these.
    #[inline]
    pub fn has(&self, conn: ConnId) -> bool {
        self.guests.iter().any(|guest| guest.conn == conn) || self.calls.iter().any(|call| call.has(conn))
    }

    /// Another node began a connection.
    pub fn accepted(&mut self, io: &mut impl Sockets, conn: ConnId, now_us: u64) {
        if self.has_ended {
            return io.abort(conn);
        }
        let nameless = || self.guests.iter().filter(|guest| guest.caller().is_none());
        if nameless().count() == NAMELESS_MAX
            && let Some(oldest) = nameless().next().map(|guest| guest.conn)
        {
            self.dismiss(io, oldest);
        }
        self.guests.push(Guest::new(conn, now_us));
    }

    /// A guest has to go, for another one.
    fn dismiss(&mut self, io: &mut impl Sockets, conn: ConnId) {
        io.abort(conn);
        self.guests.retain(|guest| guest.conn != conn);
    }

    /// Another guest of the same core as this one, that came before.
    fn predecessor(&self, conn: ConnId, caller: Caller) -> Option<ConnId> {
        let mut same = self.guests.iter().filter(|guest| guest.caller() == Some(caller));
        same.find(|guest| guest.conn != conn).map(|guest| guest.conn)
    }

    /// A connection that was asked for with this token is there; `false` if it isn't wanted any more.
    pub fn connected(&mut self, io: &mut impl Sockets, conn: ConnId, token: u64, now_us: u64) -> bool {
        let Some(call) = self.calls.iter_mut().find(|call| call.has(conn)) else { return false };
        call.connected(token, &self.settings, now_us, io.output(conn))
    }

    /// A connection that was asked for with this token came to nothing.
    pub fn connect_failed(&mut self, token: u64, error: ConnectError, now_us: u64) {
        for call in &mut self.calls {
            call.connect_failed(token, error, now_us, &mut self.chance);
        }
    }

    /// Bytes came in over one of these connections; how many of them were taken.
    pub fn received(&mut self, io: &mut impl Sockets, conn: ConnId, bytes: &[u8], now_us: u64) -> usize {
        let (out, mut arrived) = (io.output(conn), None);
        let (taken, verdict) = if let Some(call) = self.calls.iter_mut().find(|call| call.has(conn)) {
            call.received(bytes, now_us)
        } else if let Some(guest) = self.guests.iter_mut().find(|guest| guest.conn == conn) {
            let was_known = guest.caller().is_some();
            let received = guest.received(bytes, &self.settings, now_us, out);
            arrived = guest.caller().filter(|_| !was_known);
            received
        } else {
            return bytes.len();
        };
        match verdict {
            Verdict::Goes if io.queued(conn) <= QUEUED_BYTES_MAX => {
                if let Some(before) = arrived.and_then(|caller| self.predecessor(conn, caller)) {
                    self.dismiss(io, before);
                }
                return taken;
            }
            Verdict::Close => io.close(conn),
            Verdict::Goes | Verdict::Abort => io.abort(conn),
        }
        self.forget(conn, now_us);
        bytes.len()
    }

    /// The other end of one of these connections will send no more: it is of no use.
    pub fn half_closed(&mut self, io: &mut impl Sockets, conn: ConnId, now_us: u64) {
        io.close(conn);
        self.forget(conn, now_us);
    }

    /// A connection is gone.
    pub fn closed(&mut self, conn: ConnId, now_us: u64) {
        self.forget(conn, now_us);
    }

    fn forget(&mut self, conn: ConnId, now_us: u64) {
        self.guests.retain(|guest| guest.conn != conn);
        if let Some(call) = self.calls.iter_mut().find(|call| call.has(conn)) {
            call.lost(now_us, &mut self.chance);
        }
    }

    /// The node goes down: nobody is called any more, and nobody taken in.
    pub fn end(&mut self, io: &mut impl Sockets) {
        self.has_ended = true;
        let called = self.calls.iter_mut().filter_map(Call::hang_up);
        called.chain(self.guests.drain(..).map(|guest| guest.conn)).for_each(|conn| io.abort(conn));
    }

    /// What it shows of each peer.
    pub fn status(&self) -> impl Iterator<Item = PeerStatus> {
        self.calls.iter().map(Call::status)
    }

    /// Connections that other nodes began, and the most that there may be.
    pub fn guests(&self) -> (usize, usize) {
        (self.guests.len(), self.settings.guests_max())
    }
}
