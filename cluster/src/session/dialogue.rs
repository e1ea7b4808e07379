//! What a connection speaks. Only here both protocols are told apart for what comes back to a connection: cores hand answers to
//! its [`Session`](super::Session).

use super::resp::cursors::Cursors;
use super::resp::state::RespSession;
use super::settled::Settled;
use super::waits::Wait;
use super::walk::task::Outcome;
use super::wire::state::WireSession;
use pinion_engine::clock::Clocks;
use pinion_engine::shard::request::Answer;
use pinion_net::resp::{Encoder, Protocol};
use std::net::SocketAddr;

/// What a connection speaks.
pub enum Dialogue {
    /// The binary protocol.
    Wire(WireSession),
    /// The Redis protocol.
    Resp(RespSession),
}

/// When an answer comes.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the clock of the turns, microseconds.
    pub now_us: u64,
    /// By the wall clock, milliseconds.
    pub wall_ms: u64,
}

impl Dialogue {
    /// Takes in an answer; what became of its request if it was the last.
    #[inline]
    pub fn answer(
        &mut self,
        request: u64,
        answer: &Answer<'_>,
        moment: Moment,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        match self {
            Dialogue::Resp(resp) => resp.answer(request, answer, moment.wall_ms, out),
            Dialogue::Wire(wire) => wire.answer(request, answer, moment.now_us, out),
        }
    }

    /// Takes in the end of a walk.
    pub fn walked(
        &mut self,
        command: u64,
        outcome: Outcome,
        (cursors, clocks, now_us): (&mut Cursors, &Clocks, u64),
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        match self {
            Dialogue::Resp(resp) => resp.walked(command, outcome, cursors, out),
            Dialogue::Wire(wire) => wire.walked(command, outcome, now_us, clocks, out),
        }
    }

    /// A read is kept for want of room; or it is of no use any more: then what became of its request, if that was all.
    pub fn wait(
        &mut self,
        wait: Wait,
        has_memory: bool,
        now_us: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Option<Settled>> {
        match self {
            Dialogue::Wire(wire) => wire.wait(wait, has_memory, now_us, out),
            Dialogue::Resp(resp) => resp.wait(wait.request, out),
        }
    }

    /// A reply that leaves in pieces is to go on soon: `true` if there is one, and that is news.
    pub fn queue_leaving(&mut self) -> bool {
        let Dialogue::Resp(resp) = self else { return false };
        resp.leaving().is_some_and(|leaving| !std::mem::replace(&mut leaving.is_queued, true))
    }

    /// The turn of a reply that leaves in pieces has come: `true` if there is one.
    pub fn begin_piece(&mut self) -> bool {
        let Dialogue::Resp(resp) = self else { return false };
        let leaving = resp.leaving();
        leaving.is_some_and(|leaving| {
            leaving.is_queued = false;
            true
        })
    }

    /// Writes the next piece of the reply that is leaving; what became of its command if that was the last.
    pub fn leave_piece(&mut self, out: &mut Vec<u8>) -> Option<Settled> {
        match self {
            Dialogue::Resp(resp) => resp.leave_piece(out),
            Dialogue::Wire(_) => None,
        }
    }

    /// Which address of this machine the connection reached.
    pub fn reached(&mut self, local: SocketAddr) {
        if let Dialogue::Resp(resp) = self {
            resp.reached(local);
        }
    }

    /// The last word before the connection is closed, where the protocol has one.
    pub fn take_last_word(&mut self) -> Vec<u8> {
        match self {
            Dialogue::Wire(wire) => wire.take_last_word(),
            Dialogue::Resp(_) => Vec::new(),
        }
    }

    /// The node goes down, and the client is told so where the protocol has words for it.
    pub fn go_down(&mut self) {
        if let Dialogue::Wire(wire) = self {
            wire.go_down();
        }
    }

    /// Says why the connection is closed. Nothing is under way.
    pub fn dismiss(&mut self, reason: &str, out: &mut Vec<u8>) {
        match self {
            Dialogue::Wire(wire) => wire.dismiss(reason),
            Dialogue::Resp(_) => Encoder::new(out, Protocol::Resp2).error(format!("TRYAGAIN {reason}")),
        }
    }

    /// When the oldest request came that waits for a shard alone: not for a walk or the rest of a long command.
    pub fn waits_since_us(&self) -> Option<u64> {
        match self {
            Dialogue::Wire(wire) => wire.waits_since_us(),
            Dialogue::Resp(resp) => resp.waits_since_us(),
        }
    }

    /// Requests that are not answered.
    pub fn in_flight(&self) -> usize {
        match self {
            Dialogue::Wire(wire) => wire.in_flight(),
            Dialogue::Resp(resp) => resp.in_flight(),
        }
    }

    /// Requests under way whose answers carry values.
    #[inline]
    pub fn values_due(&self) -> usize {
        match self {
            Dialogue::Wire(wire) => wire.values_due(),
            Dialogue::Resp(resp) => resp.values_due(),
        }
    }

    /// All memory that it holds.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Dialogue::Wire(wire) => wire.memory_bytes(),
            Dialogue::Resp(resp) => resp.memory_bytes(),
        }
    }

    /// Bytes of replies that wait for earlier ones, or for the rest of themselves.
    pub fn held_bytes(&self) -> usize {
        match self {
            Dialogue::Wire(wire) => wire.held_bytes(),
            Dialogue::Resp(resp) => resp.held_bytes(),
        }
    }

    /// Whether the response to a request carries its value; `None` if the value doesn't fit it any more.
    pub fn takes_value(&self, request: u64, bytes: usize) -> Option<bool> {
        match self {
            Dialogue::Wire(wire) => wire.takes_value(request, bytes),
            Dialogue::Resp(resp) => Some(resp.takes_value(request)),
        }
    }

    /// Bytes of values that are gathered for a request, and leave together.
    pub fn gathered_bytes(&self, request: u64) -> usize {
        match self {
            Dialogue::Wire(wire) => wire.gathered_bytes(request),
            Dialogue::Resp(_) => 0,
        }
    }

    /// Whether the next answer of a request would leave at once.
    pub fn is_next(&self, request: u64) -> bool {
        match self {
            Dialogue::Wire(_) => true,
            Dialogue::Resp(resp) => resp.is_next(request),
        }
    }

    /// Answers that a request still has to come.
    pub fn answers_due(&self, request: u64) -> usize {
        match self {
            Dialogue::Wire(wire) => wire.answers_due(request),
            Dialogue::Resp(resp) => resp.answers_due(request),
        }
    }

    /// Whether it knows commands that are done in slices.
    pub fn has_slices(&self) -> bool {
        matches!(self, Dialogue::Resp(_))
    }

    /// Nothing more is taken in, also not the rest of a long command, which is between two slices.
    pub fn abandon_long(&mut self, out: &mut Vec<u8>) {
        if let Dialogue::Resp(resp) = self {
            resp.abandon_long(out);
        }
    }

    /// Whether all that a slice of a long command has asked for is answered.
    pub fn is_between_slices(&self) -> bool {
        match self {
            Dialogue::Wire(_) => true,
            Dialogue::Resp(resp) => resp.is_between_slices(),
        }
    }
}
