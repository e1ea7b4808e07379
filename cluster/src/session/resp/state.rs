//! What is remembered of a connection that speaks RESP, and of its commands until they are answered.

use super::facts::Facts;
use super::gather::{BYTES_PER_KEY, Many, Sum};
use super::reply::partly;
use super::transaction::Transaction;
use crate::route::Owner;
use crate::session::pieces::Pieces;
use crate::session::settled::{Ending, Settled};
use crate::stats::Class;
use pinion_net::resp::long::RUN_ARGS_MAX;
use pinion_net::resp::{CommandId, Limits, Parser, ReplyQueue, Sequence, TtlForm};
use std::net::SocketAddr;

/// What a command's reply looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The value, or null.
    Value,
    /// OK, or null if the condition didn't hold.
    Ok,
    /// 1 if it was done, 0 if the condition didn't hold.
    Bit,
    /// The value before, or null; also where nothing was changed.
    Old,
    /// How many keys were there.
    Existed,
    /// 1 if the key is there.
    There,
    /// The number.
    Number,
    /// The value's length.
    Length,
    /// A part of the value.
    Range(i64, i64),
    /// The time to live.
    Ttl(TtlForm),
    /// `string` or `none`.
    Type,
    /// Several keys.
    Many,
    /// SCAN: a cursor and keys.
    ScanPage,
    /// KEYS: keys.
    AllKeys,
    /// RANDOMKEY: the first key, or null.
    OneKey,
    /// DBSIZE: a count.
    Count,
    /// INFO: what was said before, and a count of keys.
    Keyspace,
    /// CLIENT LIST: a line for each.
    Clients,
    /// CLIENT KILL: how many.
    Killed,
    /// CLIENT KILL of an address: OK, or that there is none.
    KilledOne,
}

/// What is remembered of a command until its reply is complete.
#[derive(Debug)]
pub struct Call {
    pub(super) shape: Shape,
    pub(super) class: Class,
    pub(super) started_us: u64,
    /// Values that it may carry.
    pub(super) values: u32,
    pub(super) command: CommandId,
    pub(super) many: Option<Box<Many>>,
}

impl Call {
    pub(super) fn settled(&self, ending: Ending) -> Settled {
        Settled { class: self.class, started_us: self.started_us, ending, command: self.command }
    }
}

/// A reply whose beginning has left.
#[derive(Debug)]
pub struct Leaving {
    pub(super) sequence: Sequence,
    pub(super) rest: Pieces,
    /// What comes behind the last piece.
    pub(super) end: &'static [u8],
    pub(super) settled: Settled,
    /// It is among those that go on in this turn or the next.
    pub is_queued: bool,
}

impl Leaving {
    /// Memory of what hasn't left.
    pub fn memory_bytes(&self) -> usize {
        self.rest.memory_bytes()
    }
}

/// A long command under way.
#[derive(Debug)]
pub struct Long {
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    /// Arguments, without the command's name, that aren't done, and their bytes.
    pub(super) args: usize,
    pub(super) bytes: usize,
    /// So many are done.
    pub(super) done: usize,
    pub(super) started_us: u64,
    pub(super) command: CommandId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Many(Sum),
    Infos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// So many bytes of the arguments, and so many of these, are checked.
    Checking { bytes: usize, args: usize },
    /// All are fit.
    Checked,
    /// The reply of this sequence has begun.
    Begun(Sequence),
    /// The head of the reply, which needs no sequence, is written.
    Writing,
}

impl Long {
    pub(super) fn take(&mut self, args: usize, bytes: usize) {
        self.args -= args;
        self.done += args;
        self.bytes -= bytes;
    }

    /// What is said if the last run has failed.
    pub(super) fn failure(&self, error: &str) -> String {
        let (done, all) = (self.done.saturating_sub(RUN_ARGS_MAX), self.done + self.args);
        let is_write = matches!(self.kind, Kind::Many(sum) if !sum.is_by_key());
        let error = if is_write { partly(error) } else { error.to_owned() };
        if done == 0 {
            return format!("{error} (of {all} arguments some of the first {RUN_ARGS_MAX} may be done)");
        }
        format!(
            "{error} (of {all} arguments the first {done} are done, of the next {RUN_ARGS_MAX} some may be)"
        )
    }
}

/// What a connection of this kind has.
#[derive(Default)]
pub struct RespSession {
    pub(super) parser: Parser,
    /// What came of a MULTI.
    pub(super) transaction: Transaction,
    pub(super) replies: ReplyQueue<Call>,
    /// A long command that isn't through.
    pub(super) long: Option<Box<Long>>,
    /// A reply that leaves in pieces.
    pub(super) leaving: Option<Box<Leaving>>,
    /// Sum of [`Call::values`].
    pub(super) values_due: usize,
    /// The sequence of the next command.
    pub(super) next: u64,
    /// Its last command.
    pub(super) command: CommandId,
    /// When it last sent something, by the clock of the turns.
    pub(super) heard_us: u64,
    pub(super) facts: Box<Facts>,
    /// [`Facts::text_bytes`]: here, because memory is counted with every answer.
    pub(super) text_bytes: usize,
    /// To whom a write of this input went, if one did.
    pub(super) wrote_to: Option<Owner>,
}

const PART_BITS: u32 = 24;
const SEQUENCE_BITS: u32 = 40;

impl RespSession {
    /// A new connection.
    pub fn new(facts: Facts, limits: Limits) -> RespSession {
        let (heard_us, parser) = (facts.opened_us, Parser::new(limits));
        RespSession { parser, heard_us, facts: Box::new(facts), ..RespSession::default() }
    }

    /// From where it came.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.facts.peer
    }

    /// Learns which address of this server it reached.
    pub fn reached(&mut self, local: SocketAddr) {
        self.facts.local = Some(local);
    }

    /// Whether nothing was asked yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.next == 0
    }

    /// Commands without a reply.
    pub fn in_flight(&self) -> usize {
        self.replies.len()
    }

    /// When the oldest command came, if that waits for shards alone.
    pub fn waits_since_us(&self) -> Option<u64> {
        let oldest = self.replies.context(Sequence(self.next - self.replies.len() as u64))?;
        let is_alone = oldest.class != Class::Scan && self.long.is_none() && self.leaving.is_none();
        is_alone.then_some(oldest.started_us)
    }

    /// Values that commands without a reply may carry.
    pub fn values_due(&self) -> usize {
        self.values_due
    }

    /// Memory of replies that wait for earlier ones.
    pub fn held_bytes(&self) -> usize {
        self.replies.held_bytes()
    }

    /// All memory that it holds.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        let leaving = self.leaving.as_ref().map_or(0, |leaving| leaving.memory_bytes());
        self.replies.memory_bytes() + leaving + self.text_bytes + self.values_due * BYTES_PER_KEY
    }

    /// Changes what its client says about itself.
    pub(super) fn describe(&mut self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts);
        self.text_bytes = self.facts.text_bytes();
    }

    pub(super) fn note(&mut self, sequence: Sequence) -> Sequence {
        self.next = sequence.0 + 1;
        sequence
    }

    pub(super) fn request(sequence: Sequence, part: usize) -> u64 {
        sequence.0 << PART_BITS | part as u64
    }

    /// The sequence and part of a ticket's request: the newest sequence not beyond `next` with these low bits.
    pub(super) fn parts(&self, request: u64) -> (Sequence, usize) {
        let low = request >> PART_BITS;
        let span = 1 << SEQUENCE_BITS;
        let mut sequence = self.next & !(span - 1) | low;
        if sequence >= self.next && sequence >= span {
            sequence -= span;
        }
        (Sequence(sequence), (request & ((1 << PART_BITS) - 1)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_survive_their_tickets_across_the_wrap() {
        for next in [1, 5, (1 << 40) - 1, 1 << 40, (1 << 40) + 1, (7 << 40) + 3] {
            let mut resp = RespSession { next, ..RespSession::default() };
            for back in 1..=1024.min(next) {
                let sequence = Sequence(next - back);
                let request = RespSession::request(Sequence(sequence.0 & ((1 << 40) - 1)), 77);
                assert_eq!(resp.parts(request), (sequence, 77));
            }
            resp.note(Sequence(next));
            assert_eq!(resp.next, next + 1);
        }
    }
}
