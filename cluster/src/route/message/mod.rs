//! Messages between cores: encoded into a batch, decoded in place. Here are those that ask and tell, in [`answers`] what
//! comes back.
//!
//! Both ends are this process, so a batch that doesn't decode is a bug.

pub mod answers;

use pinion_engine::fields::{Malformed, Reader, Writer};
use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::shard::encoding;
use pinion_engine::shard::request::{Level, Once, Request};

/// What kind of message it is.
const REQUEST: u8 = 0;
const QUESTION: u8 = 1;

/// Flag beside the level of a request: it is to be done once.
const TO_BE_DONE_ONCE: u8 = 1 << 7;

/// What a message of another core asks for.
pub enum Incoming<'a> {
    /// A request to this core's shard.
    Request(Request<'a>),
    /// A question to the core itself; what is in it is between its sessions and those of the other.
    Question(&'a [u8]),
}

/// What a core tells another that isn't answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nobody goes on with this read, which its shard keeps.
    Forget(u64),
}

const FORGET: u8 = 0;

/// Appends what is told.
pub fn write_told(batch: &mut Vec<u8>, told: Told) {
    let mut out = Writer(batch);
    match told {
        Told::Forget(read) => {
            out.u8(FORGET);
            out.u64(read);
        }
    }
}

/// Hears all that a batch tells.
pub fn each_told(batch: &[u8], mut hear: impl FnMut(Told)) {
    let mut fields = Reader(batch);
    while !fields.is_empty() {
        hear(next_told(&mut fields).expect("cores send whole messages"));
    }
}

fn next_told(fields: &mut Reader<'_>) -> Result<Told, Malformed> {
    match fields.u8()? {
        FORGET => Ok(Told::Forget(fields.u64()?)),
        _ => Err(Malformed("nothing of this kind is told")),
    }
}

/// Replaces the slot of an encoded request.
pub fn set_slot(message: &mut [u8], slot: u64) {
    message[..8].copy_from_slice(&slot.to_le_bytes());
}

/// What every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What its sender knows it by.
    pub slot: u64,
    /// When nobody waits for its answer any more, on the clock that all cores have.
    pub deadline_us: u64,
    /// Its sender has room for so many KiB of values in the answers.
    pub room_kib: u32,
}

#[inline]
fn begin(batch: &mut Vec<u8>, envelope: Envelope, kind: u8) -> Writer<'_> {
    let Envelope { slot, deadline_us, room_kib } = envelope;
    let mut out = Writer(batch);
    out.u64(slot);
    out.u64(deadline_us);
    out.u32(room_kib);
    out.u8(kind);
    out
}

/// Appends a question.
pub fn write_question(batch: &mut Vec<u8>, envelope: Envelope, question: &[u8]) {
    begin(batch, envelope, QUESTION).bytes(question);
}

/// Appends a request, whose deadline is the envelope's.
pub fn write_request(batch: &mut Vec<u8>, envelope: Envelope, request: &Request<'_>) {
    let mut out = begin(batch, envelope, REQUEST);
    out.u16(request.keyspace.0);
    out.u16(request.partition.0);
    match request.once {
        None => out.u8(request.level as u8),
        Some(once) => {
            out.u8(request.level as u8 | TO_BE_DONE_ONCE);
            once.encode(&mut out);
            out.flag(once.is_again);
        }
    }
    encoding::encode(&request.op, batch);
}

/// Takes the requests of a batch, in order, as long as `take` takes them: it is shown each envelope first, and says whether it wants
/// what is in it. Returns the bytes of those taken.
pub fn each_request(batch: &[u8], taker: &mut impl Taker) -> usize {
    let mut fields = Reader(batch);
    let mut taken = 0;
    while !fields.is_empty() && next_request(&mut fields, taker).expect("cores send whole messages") {
        taken = batch.len() - fields.0.len();
    }
    taken
}

/// Who takes requests.
pub trait Taker {
    /// Whether a request is taken now.
    fn wants(&mut self, envelope: &Envelope) -> bool;
    /// Takes it.
    fn take(&mut self, envelope: &Envelope, incoming: Incoming<'_>);
}

#[inline]
fn next_request(fields: &mut Reader<'_>, taker: &mut impl Taker) -> Result<bool, Malformed> {
    let (slot, deadline_us, room_kib) = (fields.u64()?, fields.u64()?, fields.u32()?);
    let envelope = Envelope { slot, deadline_us, room_kib };
    if !taker.wants(&envelope) {
        return Ok(false);
    }
    match fields.u8()? {
        REQUEST => {
            let (keyspace, partition) = (Keyspace(fields.u16()?), Partition(fields.u16()?));
            let level = fields.u8()?;
            let once = match level & TO_BE_DONE_ONCE {
                0 => None,
                _ => {
                    let once = Once::decode(fields)?;
                    Some(Once { is_again: fields.flag()?, ..once })
                }
            };
            let level = Level::from_byte(level & !TO_BE_DONE_ONCE);
            let level = level.ok_or(Malformed("no level has this number"))?;
            encoding::decode(fields, |op| {
                let request = Request { keyspace, partition, level, deadline_us, once: once.as_ref(), op };
                taker.take(&envelope, Incoming::Request(request));
            })?;
        }
        QUESTION => {
            let question = fields.bytes()?;
            taker.take(&envelope, Incoming::Question(question));
        }
        _ => return Err(Malformed("no message is of this kind")),
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
