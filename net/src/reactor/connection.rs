//! One connection as the reactor sees it: what is wanted of it, and which operations the kernel holds.
//!
//! ```text
//! Vacant -> Open -> Closing (output is being sent) -> Lingering (input is thrown away) -> Ending -> Vacant
//!    `-> Connecting ->^
//! ```
//! Abort, reset and errors go straight to Ending, which waits until the kernel holds no operation any more.
//! The handler hears `closed` when its connection leaves Open or Closing, and `connect_failed` when it goes from Connecting to
//! Ending.

use super::buffers::Lent;
use super::connects::ConnectError;
use super::descriptors::Direction;
use super::kept::Kept;

/// Names a connection; never reused for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    pub(super) fn new(index: u32, generation: u32) -> ConnId {
        ConnId { index, generation }
    }

    /// The place in the reactor's table: small numbers, reused after the connection is closed.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many connections had this index before.
    pub fn generation(self) -> u32 {
        self.generation
    }

    /// As one number, for tickets and maps.
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The inverse of [`ConnId::to_u64`].
    pub fn from_u64(number: u64) -> ConnId {
        ConnId { index: number as u32, generation: (number >> 32) as u32 }
    }
}

/// Why a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client had finished sending, and got everything queued before [`super::Io::close`].
    Finished,
    /// [`super::Io::close`]: everything queued before it was handed to the kernel.
    Closed,
    /// [`super::Io::abort`].
    Aborted,
    /// The connection broke: reset, timed out, ...
    Lost(std::io::ErrorKind),
    /// More input than [`super::ReactorConfig::input_bytes_max`] was left unconsumed.
    InputTooLong,
    /// The reactor stopped.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Vacant,
    /// This side began it, and the other hasn't answered.
    Connecting,
    Open,
    Closing,
    Lingering,
    Ending,
}

/// What a handler has yet to hear of a connection's end.
pub(super) enum Ended {
    Closed(Direction, CloseReason),
    /// It never was one; with the token of who asked for it.
    NotConnected(u64, ConnectError),
}

/// The attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connecting {
    Idle,
    Armed,
    Cancelling,
}

/// The multishot receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Idle,
    Armed,
    Cancelling,
}

/// The one send in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Idle,
    /// The first attempt, which never waits: settled when the enter that submitted it returns.
    Trying,
    /// The socket's buffer is full: the kernel sends when there is room.
    Waiting,
    Cancelling,
}

pub(super) struct Connection {
    pub generation: u32,
    pub direction: Direction,
    pub phase: Phase,
    pub connecting: Connecting,
    pub receiving: Receiving,
    pub sending: Sending,
    /// Is on the list of connections to bring in line at the end of the turn.
    pub touched: bool,
    /// Was over its budget and hasn't been told that it drained.
    pub stalled: bool,
    /// The handler paused it before it had taken all that was presented.
    pub backed_up: bool,
    /// `drained` is owed to the handler.
    pub owes_drained: bool,
    /// The client will send no more.
    pub finished: bool,
    /// `half_closed` was called.
    pub told_finished: bool,
    /// Beyond the limit: the handler never hears of it.
    pub refused: bool,
    /// The client sent something after it was closed here.
    pub discards: bool,
    /// How often the handler paused it.
    pub pauses: u16,
    /// How many unconsumed bytes are needed before they are presented again.
    pub wanted: usize,
    /// How much of `outgoing` was sent.
    pub sent: usize,
    /// What is being sent.
    pub outgoing: Lent<Vec<u8>>,
    /// What is sent next.
    pub filling: Vec<u8>,
    /// Received, not consumed.
    pub kept: Kept,
    /// What of its memory is in the reactor's sum, and what of `filling` is in that: it is brought in line at the end of a
    /// turn, until when whoever appends counts.
    pub charged: usize,
    pub filling_charged: usize,
    /// Bytes received and sent, and the turn in which that was last.
    pub moved: u64,
    pub moved_in: u64,
    /// It was resumed or has drained, or its client sent something, and the handler hasn't been told.
    pub has_news: bool,
}

/// What a connection holds of the memory, and whether it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Its buffers, and the room that it was given ([`super::Io::wants`]), in bytes; but for output of this turn.
    pub bytes: usize,
    /// Output for which the client makes no room, in bytes: the kernel was offered it.
    pub unread: usize,
    /// Bytes that it ever received and sent.
    pub moved: u64,
    /// In which turn that was last.
    pub moved_in: u64,
    /// Whether the reactor keeps something from the handler: that it sent more, or may go on; or from the client: output that the
    /// kernel is offered at the end of the turn.
    pub has_news: bool,
}

impl Connection {
    pub fn vacant() -> Connection {
        Connection {
            generation: 0,
            direction: Direction::In,
            phase: Phase::Vacant,
            connecting: Connecting::Idle,
            receiving: Receiving::Idle,
            sending: Sending::Idle,
            touched: false,
            stalled: false,
            backed_up: false,
            owes_drained: false,
            finished: false,
            told_finished: false,
            refused: false,
            discards: false,
            pauses: 0,
            wanted: 0,
            sent: 0,
            outgoing: Lent::new(Vec::new()),
            filling: Vec::new(),
            kept: Kept::default(),
            charged: 0,
            filling_charged: 0,
            moved: 0,
            moved_in: 0,
            has_news: false,
        }
    }

    /// Becomes a new connection in place.
    pub fn occupy(&mut self, direction: Direction, phase: Phase) {
        debug_assert_eq!(self.phase, Phase::Vacant);
        *self = Connection {
            generation: self.generation,
            touched: self.touched,
            direction,
            phase,
            ..Connection::vacant()
        };
    }

    /// Output bytes not yet handed to the kernel.
    pub fn queued(&self) -> usize {
        self.outgoing.get().len() - self.sent + self.filling.len()
    }

    /// Memory of its buffers but for what was appended in this turn, and of what it was given room for.
    pub fn bytes_to_charge(&self) -> usize {
        let wanted = if self.phase == Phase::Open { self.wanted } else { 0 };
        self.outgoing.get().capacity() + self.filling_charged + self.kept.capacity().max(wanted)
    }

    /// See [`Holding`].
    pub fn holding(&self) -> Holding {
        let was_offered = matches!(self.sending, Sending::Waiting | Sending::Cancelling);
        let (unread, is_fresh) = if was_offered { (self.queued(), false) } else { (0, self.queued() > 0) };
        Holding {
            bytes: self.bytes_to_charge(),
            unread,
            moved: self.moved,
            moved_in: self.moved_in,
            has_news: self.has_news || is_fresh,
        }
    }

    /// So many bytes were received or sent.
    pub fn note_moved(&mut self, bytes: usize, turn: u64) {
        self.moved += bytes as u64;
        self.moved_in = turn;
    }

    /// Whether the handler may still write to it.
    pub fn takes_output(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the handler may be given input.
    pub fn takes_input(&self) -> bool {
        self.phase == Phase::Open && self.pauses == 0 && !self.stalled
    }

    /// Whether an open connection's client leaves more than the budget unread.
    pub fn is_slow(&self, budget: usize) -> bool {
        self.phase == Phase::Open && self.sending == Sending::Waiting && self.queued() > budget
    }

    /// Whether the kernel should be receiving, given the connection's budget. Output over the budget doesn't
    /// stop it at once: the first attempt to send nearly always takes everything.
    pub fn wants_receive(&self, budget: usize) -> bool {
        match self.phase {
            Phase::Open => {
                let client_is_greedy = self.stalled && self.kept.len() > budget;
                // Between two pauses so much could arrive each time that what is kept would grow without end.
                let is_behind = self.backed_up && self.kept.len() > budget.max(self.wanted);
                !self.finished && self.pauses == 0 && !self.is_slow(budget) && !client_is_greedy && !is_behind
            }
            // Until the output is sent nothing changes; after that the client's end is awaited.
            Phase::Closing => self.receiving == Receiving::Armed,
            Phase::Lingering => !self.finished,
            Phase::Vacant | Phase::Connecting | Phase::Ending => false,
        }
    }

    /// Whether the kernel holds no operation of this connection.
    pub fn is_quiet(&self) -> bool {
        self.connecting == Connecting::Idle
            && self.receiving == Receiving::Idle
            && self.sending == Sending::Idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_as_a_number() {
        let id = ConnId::new(7, u32::MAX);
        assert_eq!(ConnId::from_u64(id.to_u64()), id);
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(std::mem::size_of::<Connection>() <= 192);
    }

    #[test]
    fn reading_stops_for_a_pause_and_for_a_client_that_is_slow_or_greedy() {
        let mut pool = super::super::pool::Pool::new(0);
        let mut connection = Connection::vacant();
        connection.occupy(Direction::In, Phase::Open);
        assert!(connection.wants_receive(5));
        connection.filling = vec![0; 10];
        connection.sending = Sending::Trying;
        assert!(connection.wants_receive(5));
        connection.sending = Sending::Waiting;
        assert!(!connection.wants_receive(5));
        assert!(connection.wants_receive(10));
        connection.sending = Sending::Idle;
        connection.kept.append(&[0; 10], 0, &mut pool);
        assert!(connection.wants_receive(5));
        connection.stalled = true;
        assert!(!connection.wants_receive(5));
        connection.stalled = false;
        connection.pauses = 1;
        assert!(!connection.wants_receive(5));
        connection.pauses = 0;
        connection.backed_up = true;
        assert!(!connection.wants_receive(5));
        assert!(connection.wants_receive(10));
        connection.wanted = 20;
        assert!(connection.wants_receive(5));
    }
}
