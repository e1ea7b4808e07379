//! What a handler does with its connections and files.
//!
//! Nothing here enters the kernel (unless the submission queue is full): calls append, queue and mark, and
//! the end of the turn ([`super::outgoing`]) turns the marks into operations.

use super::config::ReactorConfig;
use super::connection::{CloseReason, ConnId, Connection, Ended, Holding, Phase};
use super::connects::{ConnectError, Connects};
use super::descriptors::Descriptors;
use super::files::Files;
use super::listener::Listener;
use super::opens::Opens;
use super::pool::Pool;
use super::ring::Ring;
use super::seats::Seats;
use super::stats::Stats;
use super::tag::{Kind, Tag};
use super::waker::Waker;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A reactor's connections, files and wake-ups, as its handler sees them. `B` is [`super::Handler::Buf`].
pub struct Io<B> {
    /// First, so that it is closed before the memory it was lent is freed.
    pub(super) ring: Ring,
    pub(super) connections: Vec<Connection>,
    pub(super) connects: Connects,
    pub(super) descriptors: Descriptors,
    pub(super) files: Files<B>,
    pub(super) opens: Opens,
    pub(super) listeners: Vec<Listener>,
    pub(super) pool: Pool,
    /// Memory of all connections' buffers, as of their last change.
    pub(super) buffered: usize,
    /// What of it belongs to connections that are ending.
    ending_bytes: usize,
    /// Memory of the receive buffers.
    receive_bytes: usize,
    pub(super) waker: Waker,
    /// Reactors this one has signalled, for when that fails.
    peers: Vec<Waker>,
    /// Where output to connections that are gone is thrown away.
    void: Vec<u8>,
    /// Connections to bring in line at the end of the turn.
    pub(super) touched: Vec<u32>,
    /// Connections that drained or were resumed.
    pub(super) ready: Vec<ConnId>,
    /// Connections whose end the handler has to hear of.
    pub(super) ended: Vec<(ConnId, Ended)>,
    /// First attempts to send that haven't completed.
    pub(super) trying: Vec<u32>,
    /// Connections that wait for the client to close, in the order of their deadlines.
    pub(super) lingering: VecDeque<(Instant, ConnId)>,
    /// Accepts to arm.
    pub(super) accepts_idle: Vec<u32>,
    /// When accepting is tried again after an error.
    pub(super) accepts_rest_until: Option<Instant>,
    pub(super) accepting: bool,
    /// Connections the handler knows, by [`super::descriptors::Direction`].
    pub(super) open: [usize; 2],
    pub(super) connections_max: usize,
    /// The limit shared with other reactors.
    pub(super) seats: Option<Arc<Seats>>,
    pub(super) budget_bytes: usize,
    pub(super) input_bytes_max: usize,
    pub(super) linger: Duration,
    pub(super) stats: Stats,
    pub(super) now: Instant,
    pub(super) stopping: bool,
    /// Whether receives ran out of buffers in this turn.
    pub(super) exhausted: bool,
    /// The first operation that could not even be queued; ends the run.
    pub(super) failure: Option<io::Error>,
}

impl<B> Io<B> {
    pub(super) fn new(
        ring: Ring,
        files: Files<B>,
        listeners: Vec<Listener>,
        descriptors: Descriptors,
        config: &ReactorConfig,
    ) -> io::Result<Io<B>> {
        Ok(Io {
            ring,
            connections: Vec::new(),
            connects: Connects::default(),
            descriptors,
            files,
            opens: Opens::default(),
            listeners,
            pool: Pool::new(config.pool_bytes_max),
            buffered: 0,
            ending_bytes: 0,
            receive_bytes: config.receive_memory(),
            waker: Waker::new()?,
            peers: Vec::new(),
            void: Vec::new(),
            touched: Vec::new(),
            ready: Vec::new(),
            ended: Vec::new(),
            trying: Vec::new(),
            lingering: VecDeque::new(),
            accepts_idle: Vec::new(),
            accepts_rest_until: None,
            accepting: true,
            open: [0; 2],
            connections_max: config.connections_max,
            seats: config.seats.clone(),
            budget_bytes: config.budget_bytes,
            input_bytes_max: config.input_bytes_max,
            linger: config.linger,
            stats: Stats::default(),
            now: Instant::now(),
            stopping: false,
            exhausted: false,
            failure: None,
        })
    }

    /// A connection's output, to append to; what it already holds must stay as it is. It is sent at the end
    /// of the turn, by one send. For a connection that is gone or closing the bytes lead nowhere.
    pub fn output(&mut self, conn: ConnId) -> &mut Vec<u8> {
        let found = self.connections.get_mut(conn.index() as usize);
        match found.filter(|c| c.generation == conn.generation() && c.takes_output()) {
            Some(connection) => {
                if connection.filling.capacity() == 0 {
                    connection.filling = self.pool.take();
                }
                if !connection.touched {
                    connection.touched = true;
                    self.touched.push(conn.index());
                }
                &mut connection.filling
            }
            None => {
                self.void.clear();
                self.void.shrink_to(64 << 10);
                &mut self.void
            }
        }
    }

    /// Output of a connection that the kernel hasn't taken yet, in bytes.
    pub fn queued(&self, conn: ConnId) -> usize {
        self.find(conn).map_or(0, Connection::queued)
    }

    /// Input of a connection that waits to be consumed, in bytes. Zero within `received`.
    pub fn kept(&self, conn: ConnId) -> usize {
        self.find(conn).map_or(0, |connection| connection.kept.len())
    }

    /// Whether a connection's output exceeds its budget, so that it should be asked for no more answers.
    pub fn is_over_budget(&self, conn: ConnId) -> bool {
        self.queued(conn) > self.budget_bytes
    }

    /// Has [`super::Handler::drained`] called when a connection's output, which exceeds its budget, is below it again, also
    /// where no input was left.
    pub fn tell_when_drained(&mut self, conn: ConnId) {
        if self.is_over_budget(conn) {
            self.note_stall(conn.index());
        }
    }

    /// Whether a connection is still there: accepted, and not yet reported closed or told to close.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.find(conn).is_some()
    }

    /// Stops presenting and, if it lasts beyond the turn, receiving. Pauses nest: each needs its
    /// [`Io::resume`].
    pub fn pause(&mut self, conn: ConnId) {
        if let Some(connection) = self.find_mut(conn) {
            connection.pauses = connection.pauses.checked_add(1).expect("pauses are paired with resumes");
            self.touch(conn.index());
        }
    }

    /// Takes one [`Io::pause`] back. What was kept meanwhile is presented when a turn has time, in the order of resumes.
    pub fn resume(&mut self, conn: ConnId) {
        if let Some(connection) = self.find_mut(conn) {
            debug_assert!(connection.pauses > 0, "a resume needs a pause");
            connection.pauses = connection.pauses.saturating_sub(1);
            if connection.pauses == 0 {
                connection.has_news = true;
                self.ready.push(conn);
                self.touch(conn.index());
            }
        }
    }

    /// Says that what a connection left unconsumed is no use until it is `bytes` long in all: until then (or
    /// until the client has finished) it isn't presented. Counts once. Whoever calls it has found room for so much:
    /// [`Io::buffer_bytes`] counts it from now on, though memory is taken only as the bytes come.
    pub fn wants(&mut self, conn: ConnId, bytes: usize) {
        let most = self.input_bytes_max;
        if let Some(connection) = self.find_mut(conn) {
            connection.wanted = bytes.min(most);
            self.recharge(conn.index());
        }
    }

    /// What a connection holds, also while it is being closed.
    pub fn holding(&self, conn: ConnId) -> Holding {
        let found = self.connections.get(conn.index() as usize);
        let found = found.filter(|connection| connection.generation == conn.generation());
        found.map_or_else(Holding::default, Connection::holding)
    }

    /// Closes a connection after its output is sent, however long its client takes; [`Io::abort`] ends that too.
    /// Nothing it sends is presented any more. One that isn't connected yet is given up.
    pub fn close(&mut self, conn: ConnId) {
        let found = self.connections.get(conn.index() as usize);
        if found.is_some_and(|c| c.generation == conn.generation() && c.phase == Phase::Connecting) {
            return self.abort(conn);
        }
        if let Some(connection) = self.find_mut(conn) {
            connection.phase = Phase::Closing;
            let mut kept = std::mem::take(&mut connection.kept);
            kept.release(&mut self.pool);
            self.recharge(conn.index());
            self.touch(conn.index());
        }
    }

    /// Closes a connection at once; its unsent output is thrown away.
    pub fn abort(&mut self, conn: ConnId) {
        let found = self.connections.get(conn.index() as usize);
        if found.is_some_and(|c| c.generation == conn.generation()) {
            self.end(conn.index(), CloseReason::Aborted);
        }
    }

    /// How many connections the handler knows, in and out: those not yet reported closed.
    pub fn connections(&self) -> usize {
        self.open.iter().sum()
    }

    /// Stops accepting and closes the listening sockets, for good.
    pub fn stop_accepting(&mut self) {
        self.accepting = false;
    }

    /// Memory of all connections' buffers, of what they were given room for, of the pool that buffers come from, and of
    /// the receive buffers, in bytes. Kept as a sum; what a handler appends is in it from the end of the turn on.
    pub fn buffer_bytes(&self) -> usize {
        self.receive_bytes + self.pool.bytes() + self.buffered
    }

    /// What of [`Io::buffer_bytes`] belongs to connections that are ending: it goes back as soon as the kernel lets go of it.
    pub fn ending_bytes(&self) -> usize {
        self.ending_bytes
    }

    /// Brings the sum in line with a connection's buffers.
    pub(super) fn recharge(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        let bytes = connection.bytes_to_charge();
        self.buffered = self.buffered + bytes - connection.charged;
        if connection.phase == Phase::Ending {
            self.ending_bytes = self.ending_bytes + bytes - connection.charged;
        }
        connection.charged = bytes;
    }

    /// This reactor's waker, for others.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Ends [`super::Reactor::run`] after this turn. Output queued by then is offered to the kernel once; connections
    /// are closed and reported as [`CloseReason::Stopped`]; file operations in flight are awaited. For a graceful
    /// end, [`Io::close`] connections first, and stop when none is left.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// When this turn began.
    pub fn now(&self) -> Instant {
        self.now
    }

    fn find(&self, conn: ConnId) -> Option<&Connection> {
        let connection = self.connections.get(conn.index() as usize)?;
        (connection.generation == conn.generation() && connection.phase == Phase::Open).then_some(connection)
    }

    fn find_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(conn.index() as usize)?;
        (connection.generation == conn.generation() && connection.phase == Phase::Open).then_some(connection)
    }

    /// The name of the connection that has this index now.
    pub(super) fn id(&self, index: u32) -> ConnId {
        ConnId::new(index, self.connections[index as usize].generation)
    }

    /// The connection a completion is about, unless it is gone.
    pub(super) fn of_tag(&mut self, tag: Tag) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(tag.index() as usize)?;
        (connection.phase != Phase::Vacant && tag.is_of(connection.generation)).then_some(connection)
    }

    /// Puts a connection on the list for the end of the turn.
    pub(super) fn touch(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if !connection.touched {
            connection.touched = true;
            self.touched.push(index);
        }
    }

    /// Ends a connection now; the handler hears why, if it hasn't heard of its end before.
    pub(super) fn end(&mut self, index: u32, reason: CloseReason) {
        let id = self.id(index);
        let connection = &mut self.connections[index as usize];
        match connection.phase {
            Phase::Vacant | Phase::Ending => return,
            Phase::Connecting => {
                let is_stop = reason == CloseReason::Stopped;
                let error = if is_stop { ConnectError::Stopped } else { ConnectError::Aborted };
                return self.end_attempt(index, error);
            }
            Phase::Open | Phase::Closing if !connection.refused => {
                self.ended.push((id, Ended::Closed(connection.direction, reason)));
            }
            Phase::Open | Phase::Closing | Phase::Lingering => {}
        }
        connection.phase = Phase::Ending;
        self.ending_bytes += connection.charged;
        connection.kept.release(&mut self.pool);
        self.pool.put(std::mem::take(&mut connection.filling));
        connection.filling_charged = 0;
        self.recharge(index);
        self.touch(index);
    }

    /// Queued operations either are in the ring or end the run.
    pub(super) fn must(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failure.get_or_insert(error);
        }
    }

    /// Like [`Waker::wake`], of another reactor from this one's thread: the signal leaves with this one's next enter and costs
    /// no system call of its own.
    pub fn wake(&mut self, waker: &Waker) {
        if waker.notify() {
            self.signal(waker);
        }
    }

    /// Signals another reactor through its ring, or its eventfd if it has none.
    fn signal(&mut self, waker: &Waker) {
        self.stats.signals += 1;
        let Some(ring) = waker.ring() else {
            return waker.signal();
        };
        let known = self.peers.iter().position(|peer| peer.is_same(waker));
        let index = known.unwrap_or_else(|| {
            self.peers.push(waker.clone());
            self.peers.len() - 1
        });
        let result = self.ring.wake(ring, Tag::new(Kind::WakeFailed, index as u32, 0));
        self.must(result);
    }

    /// A message to another reactor wasn't delivered.
    pub(super) fn signal_failed(&mut self, index: u32) {
        if let Some(peer) = self.peers.get(index as usize) {
            peer.signal();
        }
    }

    /// Whether nothing is in the kernel but the watch on the eventfd.
    pub(super) fn is_quiet(&self) -> bool {
        self.descriptors.are_all_free() && self.ended.is_empty()
    }
}
