//! The sockets of one simulated core: bytes arrive and leave in random pieces, at random times.
//!
//! What the reactor promises its handler holds here too: input that isn't taken is presented again, extended; a paused
//! connection, or one over its output budget, is presented nothing; `closed` comes once for each `accepted`; output
//! leaves in order. What it says that its connections hold is, as there, what was kept or given room for, and output as of
//! the beginning of the turn.

use crate::core::state::CoreState;
use crate::node::listeners::Speaks;
use crate::session::sockets::Sockets;
use crate::sim::trace::{Event, Trace};
use pinion_net::reactor::{CloseReason, ConnId, Holding};
use rand::Rng;
use rand::rngs::SmallRng;
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

/// One connection, as the core's side sees it.
#[derive(Debug, Default)]
struct Socket {
    client: usize,
    /// On its way to the core.
    arriving: Vec<u8>,
    /// Presented before, and not taken.
    kept: Vec<u8>,
    /// Bytes that the core has taken.
    taken: u64,
    /// Written by the core.
    output: Vec<u8>,
    /// The rest of it found no room when it was last sent.
    is_unread: bool,
    /// On its way to the client.
    leaving: Vec<u8>,
    pauses: u32,
    /// What is kept is no use until it is so long.
    wanted: usize,
    /// What is charged of input and of output.
    input_charged: usize,
    output_charged: usize,
    /// Bytes moved in both directions, and in which turn that was last.
    moved: u64,
    moved_in: u64,
    /// What is kept is to be presented again.
    is_ready: bool,
    /// Input was left because the output was over its budget.
    is_stalled: bool,
    /// The core wants to know when the output is below its budget again, and that has come.
    wants_drained: bool,
    is_drained: bool,
    /// The client will send no more, and whether the core knows.
    is_finished: bool,
    told_finished: bool,
    is_closing: bool,
    /// The core has thrown it away.
    is_aborted: bool,
    /// The client is gone.
    is_reset: bool,
}

impl Socket {
    fn note_moved(&mut self, bytes: usize, turn: u64) {
        self.moved += bytes as u64;
        self.moved_in = turn;
    }
}

/// A place for a connection, and how many had it before.
#[derive(Debug, Default)]
struct Seat {
    generation: u32,
    socket: Option<Box<Socket>>,
}

/// What a client still gets of a connection that the core has closed.
#[derive(Debug)]
pub struct Remains {
    /// Whose.
    pub client: usize,
    /// What was under way to it.
    pub bytes: Vec<u8>,
    /// Whether the core closed it after everything was sent.
    pub is_orderly: bool,
    /// How many of the client's bytes the core had taken.
    pub taken: u64,
}

impl Remains {
    /// Of a client that wasn't taken.
    fn of_knock(knock: Knock) -> Remains {
        Remains { client: knock.client, bytes: Vec::new(), is_orderly: false, taken: 0 }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Net {
    options: NetOptions,
    places: Vec<Seat>,
    /// Turns so far.
    turn: u64,
    knocking: VecDeque<Knock>,
    /// Connections that the core closed.
    pub remains: Vec<Remains>,
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
            remains: Vec::new(),
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
        place.socket.as_deref().filter(|_| place.generation == conn.generation())
    }

    fn find_mut(&mut self, conn: ConnId) -> Option<&mut Socket> {
        let place = self.places.get_mut(conn.index() as usize)?;
        place.socket.as_deref_mut().filter(|_| place.generation == conn.generation())
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

    /// The client vanishes. Of what it sent, a random part still arrives.
    pub fn reset(&mut self, conn: ConnId, rng: &mut SmallRng) {
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
        let sockets = self.places.iter().filter_map(|place| place.socket.as_ref());
        let sockets = sockets.map(|socket| {
            format!(
                "client {}: {} arriving, {} kept, {} output, {} leaving, {} pauses, ready {}, closing {}",
                socket.client,
                socket.arriving.len(),
                socket.kept.len(),
                socket.output.len(),
                socket.leaving.len(),
                socket.pauses,
                socket.is_ready,
                socket.is_closing
            )
        });
        sockets.collect::<Vec<_>>().join("; ")
    }

    /// Answers that clients who are there haven't been sent.
    pub fn has_output(&self) -> bool {
        self.sockets().any(|socket| !socket.is_reset && !socket.output.is_empty())
    }

    /// Bytes that are really there for its connections.
    pub fn real_bytes(&self) -> usize {
        self.sockets().map(|socket| socket.kept.len() + socket.output.len()).sum()
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.places.iter().filter_map(|place| place.socket.as_deref())
    }

    /// A turn begins: all output that there is counts.
    pub fn begin_turn(&mut self) {
        self.turn += 1;
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
    pub fn accept(&mut self, state: &mut CoreState, trace: &mut Trace) -> Option<(usize, ConnId)> {
        let Knock { client, listener } = self.knocking.pop_front()?;
        let index = self.places.iter().position(|place| place.socket.is_none()).unwrap_or_else(|| {
            self.places.push(Seat::default());
            self.places.len() - 1
        });
        let place = &mut self.places[index];
        place.generation += 1;
        place.socket = Some(Box::new(Socket { client, ..Socket::default() }));
        let conn = self.id(index);
        trace.add(Event::Accepted, state.hub.me as u64, client as u64);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1024 + client as u16));
        state.accepted(self, conn, listener, peer);
        Some((client, conn))
    }

    /// Lets something happen on one connection, if anything can. `share` says how much of what arrived is presented.
    pub fn advance(&mut self, state: &mut CoreState, index: usize, rng: &mut SmallRng, trace: &mut Trace) {
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

    fn present(&mut self, state: &mut CoreState, conn: ConnId, rng: &mut SmallRng, trace: &mut Trace) {
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

    fn end(&mut self, state: &mut CoreState, conn: ConnId, reason: CloseReason, trace: &mut Trace) {
        let Some(socket) = self.places[conn.index() as usize].socket.take() else { return };
        trace.add(Event::Disconnected, conn.to_u64(), socket.client as u64);
        let is_orderly = reason == CloseReason::Closed;
        self.orphans -= usize::from(socket.is_reset);
        if !socket.is_reset {
            let Socket { client, leaving: bytes, taken, .. } = *socket;
            self.remains.push(Remains { client, bytes, is_orderly, taken });
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
        let sockets = self.places.drain(..).filter_map(|place| place.socket);
        let sockets = sockets.map(|socket| {
            let Socket { client, leaving: bytes, taken, .. } = *socket;
            Remains { client, bytes, is_orderly: false, taken }
        });
        sockets.chain(self.knocking.drain(..).map(Remains::of_knock)).collect()
    }
}

/// How many of `len` bytes come at once: mostly all, sometimes few, at least one.
fn piece(len: usize, rng: &mut SmallRng) -> usize {
    match rng.random_range(0..8) {
        _ if len <= 1 => len,
        0 => rng.random_range(1..=len.min(16)),
        1 | 2 => rng.random_range(1..=len),
        _ => len,
    }
}

impl Sockets for Net {
    fn output(&mut self, conn: ConnId) -> &mut Vec<u8> {
        let place = self.places.get_mut(conn.index() as usize);
        let place = place.filter(|place| place.generation == conn.generation());
        match place.and_then(|place| place.socket.as_deref_mut()) {
            Some(socket) if !socket.is_closing => &mut socket.output,
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
        self.remains.extend(refused.map(Remains::of_knock));
    }

    fn stop(&mut self) {
        self.is_stopped = true;
    }
}
