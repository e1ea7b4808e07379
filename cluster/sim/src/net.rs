//! The sockets of one simulated core: bytes arrive and leave in random pieces, at random times.
//!
//! What the reactor promises its handler holds here too: input that isn't taken is presented again, extended; a paused
//! connection, or one over its output budget, is presented nothing; `closed` comes once for each `accepted`; output
//! leaves in order. What it says that its connections hold is, as there, what was kept or given room for, and output as of
//! the beginning of the turn.

mod calls;
mod dial;
mod handler;
mod socket;

use crate::trace::{Event, Trace};
pub use dial::CONNECTIONS_OUT_MAX;
use dial::Dial;
use handler::Handler;
use pinion_cluster::drive::Speaks;
use pinion_net::reactor::{CloseReason, ConnId, ConnectError};
use rand::Rng;
use rand::rngs::SmallRng;
use socket::{FarEnd, Socket, piece};
pub use socket::{Parted, Remains};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Limits of a core's sockets.
#[derive(Clone, Copy, Debug)]
pub struct NetOptions {
    /// Output of a connection beyond which it is over its budget, bytes.
    pub budget_bytes: usize,
    /// What the kernels hold on the way in each direction, bytes.
    pub in_transit_bytes: usize,
    /// The longest input that may be left untaken, bytes.
    pub input_bytes_max: usize,
}

/// A client that waits to be taken.
#[derive(Clone, Copy, Debug)]
struct Knock {
    client: usize,
    listener: (Speaks, bool),
}

/// A place for a connection, and how many had it before.
#[derive(Debug, Default)]
struct Seat {
    generation: u32,
    socket: Option<Box<Socket>>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Net {
    options: NetOptions,
    places: Vec<Seat>,
    /// Turns so far.
    turn: u64,
    knocking: VecDeque<Knock>,
    /// When the turn began, virtual time.
    now_us: u64,
    /// Attempts of the core to connect.
    dials: Vec<Dial>,
    /// Connections of clients that the core closed.
    pub remains: Vec<Remains>,
    /// Connections that it had begun and closed.
    pub parted: Vec<Parted>,
    is_accepting: bool,
    /// Clients that vanished, and whose connection the core holds.
    pub orphans: usize,
    /// The core said that it ends.
    pub is_stopped: bool,
    /// Where output to connections that are gone is thrown away.
    void: Vec<u8>,
}

impl Net {
    /// No connections.
    pub fn new(options: NetOptions) -> Net {
        Net {
            options,
            places: Vec::new(),
            turn: 0,
            knocking: VecDeque::new(),
            now_us: 0,
            dials: Vec::new(),
            remains: Vec::new(),
            parted: Vec::new(),
            orphans: 0,
            is_accepting: true,
            is_stopped: false,
            void: Vec::new(),
        }
    }

    /// A client wants a connection; `false` if nobody listens any more.
    pub fn knock(&mut self, client: usize, listener: (Speaks, bool)) -> bool {
        if self.is_accepting {
            self.knocking.push_back(Knock { client, listener });
        }
        self.is_accepting
    }

    fn find(&self, conn: ConnId) -> Option<&Socket> {
        let place = self.places.get(conn.index() as usize)?;
        let is_it = place.generation == conn.generation();
        place.socket.as_deref().filter(|socket| is_it && !socket.is_connecting)
    }

    fn find_mut(&mut self, conn: ConnId) -> Option<&mut Socket> {
        let place = self.places.get_mut(conn.index() as usize)?;
        let is_it = place.generation == conn.generation();
        place.socket.as_deref_mut().filter(|socket| is_it && !socket.is_connecting)
    }

    fn id(&self, index: usize) -> ConnId {
        ConnId::from_u64(u64::from(self.places[index].generation) << 32 | index as u64)
    }

    /// How much more a client may send now.
    pub fn room(&self, conn: ConnId) -> usize {
        let most = self.options.in_transit_bytes;
        self.find(conn).map_or(0, |socket| most.saturating_sub(socket.arriving.len()))
    }

    /// Where a client's bytes go; nowhere if the core has closed the connection.
    pub fn to_core(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.find_mut(conn).map(|socket| &mut socket.arriving)
    }

    /// The client will send no more.
    pub fn finish(&mut self, conn: ConnId) {
        if let Some(socket) = self.find_mut(conn) {
            socket.is_finished = true;
        }
    }

    /// The other end vanishes. Of what it sent, a random part still arrives.
    pub fn reset(&mut self, conn: ConnId, rng: &mut SmallRng) {
        self.end_dial(conn, Err(ConnectError::Failed(std::io::ErrorKind::ConnectionReset)));
        if let Some(socket) = self.find_mut(conn) {
            if rng.random_ratio(1, 2) {
                let kept = rng.random_range(0..=socket.arriving.len());
                socket.arriving.truncate(kept);
            }
            socket.is_reset = true;
            self.orphans += 1;
        }
    }

    /// Bytes on their way to a client.
    pub fn to_client(&self, conn: ConnId) -> usize {
        self.find(conn).map_or(0, |socket| socket.leaving.len())
    }

    /// Takes up to `most` bytes that have reached the client.
    pub fn take_for_client(&mut self, conn: ConnId, most: usize, into: &mut Vec<u8>) {
        if let Some(socket) = self.find_mut(conn) {
            let count = most.min(socket.leaving.len());
            into.extend(socket.leaving.drain(..count));
        }
    }

    /// Where each connection stands, for reports.
    pub fn describe(&self) -> String {
        self.sockets().map(Socket::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Answers that clients who are there haven't been sent.
    pub fn has_output(&self) -> bool {
        self.sockets().any(|socket| !socket.is_reset && !socket.output.is_empty())
    }

    /// Bytes that are really there for its connections.
    pub fn real_bytes(&self) -> usize {
        self.held_each().sum()
    }

    /// Those of each of them.
    pub fn held_each(&self) -> impl Iterator<Item = usize> {
        self.sockets().map(|socket| socket.kept.len() + socket.output.len())
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.places.iter().filter_map(|place| place.socket.as_deref())
    }

    /// A turn begins: all output that there is counts.
    pub fn begin_turn(&mut self, now_us: u64) {
        self.turn += 1;
        self.now_us = now_us;
        for socket in self.places.iter_mut().filter_map(|place| place.socket.as_deref_mut()) {
            socket.output_charged = socket.output.len();
        }
    }

    /// Whether a turn would find something to do.
    pub fn has_events(&self) -> bool {
        !self.knocking.is_empty()
            || self.places.iter().filter_map(|place| place.socket.as_ref()).any(|socket| {
                self.may_present(socket) && (socket.is_ready || !socket.arriving.is_empty())
                    || socket.is_drained && !socket.is_closing
                    || self.has_end(socket)
                    || self.may_leave(socket)
            })
    }

    fn may_present(&self, socket: &Socket) -> bool {
        socket.pauses == 0 && !socket.is_closing && socket.output.len() <= self.options.budget_bytes
    }

    fn has_end(&self, socket: &Socket) -> bool {
        let is_all_in = socket.arriving.is_empty();
        socket.is_aborted
            || socket.is_reset && (is_all_in || !self.may_present(socket))
            || socket.is_closing && socket.output.is_empty()
            || socket.is_finished && !socket.told_finished && is_all_in && self.may_present(socket)
    }

    fn may_leave(&self, socket: &Socket) -> bool {
        let is_wanted = socket.is_reset || socket.leaving.len() < self.options.in_transit_bytes;
        !socket.output.is_empty() && is_wanted
    }

    /// Takes a client that knocks. Its connection.
    pub fn accept(&mut self, state: &mut impl Handler, trace: &mut Trace) -> Option<(usize, ConnId)> {
        let Knock { client, listener } = self.knocking.pop_front()?;
        let conn = self.occupy(Socket { far: FarEnd::Client(client), ..Socket::default() });
        trace.add(Event::Accepted, state.number(), client as u64);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1024 + client as u16));
        state.accepted(self, conn, listener, peer);
        Some((client, conn))
    }

    fn occupy(&mut self, socket: Socket) -> ConnId {
        let index = self.places.iter().position(|place| place.socket.is_none()).unwrap_or_else(|| {
            self.places.push(Seat::default());
            self.places.len() - 1
        });
        let place = &mut self.places[index];
        place.generation += 1;
        place.socket = Some(Box::new(socket));
        self.id(index)
    }

    /// Lets something happen on one connection, if anything can. `share` says how much of what arrived is presented.
    pub fn advance(&mut self, state: &mut impl Handler, index: usize, rng: &mut SmallRng, trace: &mut Trace) {
        let Some(socket) = self.places.get(index).and_then(|place| place.socket.as_deref()) else { return };
        let conn = self.id(index);
        if socket.is_drained && !socket.is_closing {
            if let Some(socket) = self.find_mut(conn) {
                socket.is_drained = false;
            }
            state.drained(self, conn);
        }
        let Some(socket) = self.find(conn) else { return };
        if self.may_present(socket) && (socket.is_ready || !socket.arriving.is_empty()) {
            self.present(state, conn, rng, trace);
        }
        let Some(socket) = self.find(conn) else { return };
        if !self.has_end(socket) {
            return;
        }
        if socket.is_aborted {
            self.end(state, conn, CloseReason::Aborted, trace);
        } else if socket.is_reset {
            self.end(state, conn, CloseReason::Lost(std::io::ErrorKind::ConnectionReset), trace);
        } else if socket.is_closing {
            self.end(state, conn, CloseReason::Closed, trace);
        } else if let Some(socket) = self.find_mut(conn) {
            socket.told_finished = true;
            state.half_closed(self, conn);
        }
    }

    fn present(&mut self, state: &mut impl Handler, conn: ConnId, rng: &mut SmallRng, trace: &mut Trace) {
        let turn = self.turn;
        let Some(socket) = self.find_mut(conn) else { return };
        socket.is_ready = false;
        socket.is_stalled = false;
        let piece = piece(socket.arriving.len(), rng);
        socket.note_moved(piece, turn);
        socket.kept.extend(socket.arriving.drain(..piece));
        socket.input_charged = socket.input_charged.max(socket.kept.len());
        let is_over = socket.is_finished && socket.arriving.is_empty();
        if socket.kept.is_empty() || socket.kept.len() < socket.wanted && !is_over {
            return;
        }
        socket.wanted = 0;
        let mut bytes = std::mem::take(&mut socket.kept);
        trace.add(Event::Presented, conn.to_u64(), bytes.len() as u64);
        let taken = state.received(self, conn, &bytes).min(bytes.len());
        bytes.drain(..taken);
        let (budget, most) = (self.options.budget_bytes, self.options.input_bytes_max);
        let Some(socket) = self.find_mut(conn) else { return };
        socket.taken += taken as u64;
        let is_too_long = bytes.len() > most && socket.pauses == 0 && !socket.is_closing;
        socket.is_stalled = !bytes.is_empty() && socket.output.len() > budget;
        if !socket.is_closing {
            socket.kept = bytes;
        }
        socket.input_charged = socket.kept.len().max(socket.wanted);
        if is_too_long {
            self.end(state, conn, CloseReason::InputTooLong, trace);
        }
    }

    fn end(&mut self, state: &mut impl Handler, conn: ConnId, reason: CloseReason, trace: &mut Trace) {
        let Some(socket) = self.places[conn.index() as usize].socket.take() else { return };
        let client = if let FarEnd::Client(client) = socket.far { client as u64 } else { u64::MAX };
        trace.add(Event::Disconnected, conn.to_u64(), client);
        self.orphans -= usize::from(socket.is_reset);
        if !socket.is_reset {
            let Socket { far, leaving: bytes, taken, .. } = *socket;
            let is_orderly = reason == CloseReason::Closed;
            match far {
                FarEnd::Client(client) => self.remains.push(Remains { client, bytes, is_orderly, taken }),
                FarEnd::Address(_) => self.parted.push(Parted { conn, bytes }),
            }
        }
        state.closed(conn, reason);
    }

    /// Places of connections that there are or were.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// At the end of a turn: output leaves as far as there is room.
    pub fn send(&mut self, rng: &mut SmallRng) {
        let NetOptions { budget_bytes, in_transit_bytes, .. } = self.options;
        let turn = self.turn;
        for place in &mut self.places {
            let Some(socket) = place.socket.as_deref_mut() else { continue };
            let room = match socket.is_reset {
                true => usize::MAX,
                false => in_transit_bytes.saturating_sub(socket.leaving.len()),
            };
            if socket.output.is_empty() || room == 0 {
                socket.is_unread = !socket.output.is_empty();
                continue;
            }
            let count = piece(socket.output.len(), rng).clamp(1, room.max(1)).min(socket.output.len());
            let sent = socket.output.drain(..count);
            if socket.is_reset {
                drop(sent)
            } else {
                socket.leaving.extend(sent)
            }
            socket.note_moved(count, turn);
            socket.is_unread = !socket.output.is_empty();
            socket.is_ready |= socket.is_stalled && socket.output.len() <= budget_bytes;
            if socket.wants_drained && socket.output.len() <= budget_bytes {
                (socket.wants_drained, socket.is_drained) = (false, true);
            }
        }
    }

    /// The node is gone: what each client still gets is a part of what was on its way.
    pub fn crash(&mut self, rng: &mut SmallRng) -> Vec<Remains> {
        let mut remains = self.end_all();
        for remains in &mut remains {
            remains.bytes.truncate(piece(remains.bytes.len(), rng));
        }
        remains.append(&mut self.remains);
        remains
    }

    /// The node has ended: the kernel goes on delivering what it has.
    pub fn exit(&mut self) -> Vec<Remains> {
        let mut remains = self.end_all();
        remains.append(&mut self.remains);
        remains
    }

    fn end_all(&mut self) -> Vec<Remains> {
        self.dials.clear();
        let sockets = self.places.drain(..).filter_map(|place| place.socket);
        let clients = sockets.filter_map(|socket| {
            let Socket { far: FarEnd::Client(client), leaving: bytes, taken, .. } = *socket else {
                return None;
            };
            Some(Remains { client, bytes, is_orderly: false, taken })
        });
        clients.chain(self.knocking.drain(..).map(|knock| Remains::of_knock(knock.client))).collect()
    }
}
