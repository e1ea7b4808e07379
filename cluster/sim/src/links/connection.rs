//! A connection between cores of two nodes: its ends, and a stream in each direction.

use super::stream::{Finish, Stream};
use super::tap::{Echoes, Heard, Tap};
use super::{Presence, Sites, Way};
use pinion_cluster::drive::Speaks;
use pinion_net::reactor::ConnId;
use rand::Rng;
use rand::rngs::SmallRng;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The node and its core.
    pub node: usize,
    /// See `node`.
    pub core: usize,
    /// In which life of the node.
    pub life: u64,
    /// The socket, once there is one.
    pub conn: Option<ConnId>,
    /// It was closed, or its node is gone.
    pub is_gone: bool,
}

impl End {
    /// Whether it is this socket of this core.
    pub fn is_at(&self, at: (usize, usize), conn: ConnId) -> bool {
        !self.is_gone && (self.node, self.core) == at && self.conn == Some(conn)
    }
}

/// A message that comes again comes so much later at most, microseconds.
const LATE_US: u64 = 400_000;

/// See the module's text.
#[derive(Debug)]
pub struct Connection {
    /// Who began it, and with whom.
    pub ends: [End; 2],
    /// What each end sends.
    pub streams: [Stream; 2],
    /// What is heard of that.
    pub taps: [Tap; 2],
    /// What of that has arrived.
    arrived: [Tap; 2],
    /// A message of an earlier connection that comes again, and when.
    late: [Option<(u64, Vec<u8>)>; 2],
    /// How long a sender waits for what it sent to be acknowledged, microseconds.
    pub patience_us: u64,
    /// Somebody in between swallows what is sent to an end that is gone.
    is_mute: bool,
    has_knocked: bool,
}

impl Connection {
    /// One that was just begun.
    pub fn new(ends: [End; 2], patience_us: u64, is_mute: bool) -> Connection {
        Connection {
            ends,
            streams: Default::default(),
            taps: Default::default(),
            arrived: Default::default(),
            late: [None, None],
            patience_us,
            is_mute,
            has_knocked: false,
        }
    }

    /// Nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.is_gone)
    }

    /// One end was closed behind what it had sent last, or thrown away.
    pub fn close(&mut self, side: usize, is_orderly: bool, now_us: u64) {
        self.streams[side].finish(now_us, if is_orderly { Finish::Closed } else { Finish::Reset });
        self.ends[side].is_gone = true;
    }

    /// Whether an end has sent something that fits on the way.
    pub fn can_pull(&self, side: usize, sites: &mut impl Sites) -> bool {
        let Some(conn) = self.ends[side].conn.filter(|_| !self.ends[side].is_gone) else { return false };
        self.streams[side].room() > 0
            && sites.net(&self.ends[side]).is_some_and(|net| net.to_client(conn) > 0)
    }

    /// Whether what arrives can be taken, or answered.
    pub fn can_deliver(&self, side: usize, sites: &mut impl Sites) -> bool {
        let to = self.ends[1 - side];
        if to.is_gone {
            let has_answer = self.streams[side].has_bytes() && !self.ends[side].is_gone && !self.is_mute;
            return has_answer && sites.presence(to.node) != Presence::Absent || self.ends[side].is_gone;
        }
        match to.conn {
            None => !self.has_knocked,
            Some(conn) => {
                !self.streams[side].has_bytes() || sites.net(&to).is_some_and(|net| net.room(conn) > 0)
            }
        }
    }

    /// What an end has sent leaves.
    pub fn pull(
        &mut self,
        number: usize,
        side: usize,
        sites: &mut impl Sites,
        (way, echoes, heard): (&Way, &mut Echoes, &mut Vec<Heard>),
        now_us: u64,
        rng: &mut SmallRng,
    ) {
        let end = self.ends[side];
        let (Some(conn), Some(net)) = (end.conn, sites.net(&end)) else { return };
        let queued = net.to_client(conn).min(self.streams[side].room());
        let most = if rng.random_ratio(1, 4) { rng.random_range(1..=queued) } else { queued };
        let mut bytes = Vec::new();
        net.take_for_client(conn, most, &mut bytes);
        let late_us = way.delay_us(bytes.len(), rng);
        self.send(number, side, bytes, now_us + late_us, heard);
        if self.late[side].is_none()
            && let Some(old) = echoes.draw(self, side, rng)
        {
            self.late[side] = Some((now_us + late_us + rng.random_range(0..LATE_US), old));
        }
    }

    /// Bytes leave one end, and arrive then.
    pub fn send(&mut self, number: usize, side: usize, bytes: Vec<u8>, at_us: u64, heard: &mut Vec<Heard>) {
        for message in self.taps[side].hear(&bytes) {
            heard.push(Heard { number, is_callers: side == 0, has_arrived: false, message });
        }
        if !bytes.is_empty() {
            self.streams[side].push(at_us, bytes);
        }
    }

    /// When a message of an earlier connection comes again, if what arrived ends with a whole message.
    pub fn late_us(&self, side: usize) -> Option<u64> {
        let can_come = self.arrived[side].is_between() && self.ends.iter().all(|end| !end.is_gone);
        self.late[side].as_ref().map(|late| late.0).filter(|_| can_come)
    }

    /// Whether that is now.
    pub fn has_late(&self, side: usize, now_us: u64) -> bool {
        self.late_us(side).is_some_and(|us| us <= now_us)
    }

    /// It comes again.
    pub fn deliver_late(&mut self, side: usize, sites: &mut impl Sites) {
        let (late, to) = (self.late[side].take(), self.ends[1 - side]);
        if let (Some((_, bytes)), Some(conn), Some(net)) = (late, to.conn, sites.net(&to))
            && let Some(arriving) = net.to_core(conn)
        {
            arriving.extend(bytes);
        }
    }

    /// What has arrived is taken by the other end, or answered with a reset: then `true`.
    pub fn deliver(
        &mut self,
        number: usize,
        side: usize,
        sites: &mut impl Sites,
        heard: &mut Vec<Heard>,
        rng: &mut SmallRng,
    ) -> bool {
        let to = self.ends[1 - side];
        if to.is_gone {
            let is_answered = !self.ends[side].is_gone;
            self.reset(side, sites, rng);
            return is_answered;
        }
        let Some(net) = sites.net(&to) else { return false };
        let Some(conn) = to.conn else {
            self.has_knocked = true;
            if !net.knock(number, (Speaks::Peer, true)) {
                self.reset(side, sites, rng);
                self.ends[1 - side].is_gone = true;
            }
            return false;
        };
        if self.streams[side].has_bytes() {
            let room = net.room(conn);
            let most = if rng.random_ratio(1, 4) { rng.random_range(1..=room) } else { room };
            if let Some(arriving) = net.to_core(conn) {
                let bytes = self.streams[side].take(most);
                for message in self.arrived[side].hear(&bytes) {
                    heard.push(Heard { number, is_callers: side == 0, has_arrived: true, message });
                }
                arriving.extend(bytes);
            }
            return false;
        }
        match self.streams[side].end() {
            Some(Finish::Closed) => net.finish(conn),
            Some(Finish::Reset) => {
                net.reset(conn, rng);
                self.ends[1 - side].is_gone = true;
            }
            None => {}
        }
        self.streams[side].clear();
        false
    }

    /// An end is told that its connection is broken, if it is there. Neither has a use for it any more.
    pub fn reset(&mut self, side: usize, sites: &mut impl Sites, rng: &mut SmallRng) {
        let end = self.ends[side];
        if let (Some(conn), false) = (end.conn, end.is_gone)
            && let Some(net) = sites.net(&end)
        {
            net.reset(conn, rng);
        }
        self.ends[side].is_gone = true;
        self.streams[side].clear();
    }
}
