//! Requests and answers as messages between cores: encoded into a batch, decoded in place.
//!
//! Both ends are this process, so a batch that doesn't decode is a bug.

use crate::session::listing::Wanted;
use pinion_engine::clock::Clocks;
use pinion_engine::fields::{Malformed, Reader, Writer};
use pinion_engine::key::{Keyspace, Partition, Version};
use pinion_engine::shard::encoding;
use pinion_engine::shard::request::{Answer, Level, Page, Refusal, Request, Unsure, Value};

/// What kind of message it is.
const REQUEST: u8 = 0;
const CURSOR: u8 = 1;
const CLIENTS: u8 = 2;
const RANDOM: u8 = 3;

/// What a message of another core asks for.
pub enum Incoming<'a> {
    /// A request to this core's shard.
    Request(Request<'a>),
    /// The place of a scan that this core keeps under a cursor: an empty page that says where it goes on, or not found.
    Cursor(u64),
    /// Its connections from a place on: a page with an item for each.
    Clients(Wanted, u32),
    /// The place of a key that this number chooses: an empty page that says where it is, or not found.
    Random(u64),
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

/// Appends a question for a cursor.
pub fn write_cursor(batch: &mut Vec<u8>, envelope: Envelope, cursor: u64) {
    let mut out = begin(batch, envelope, CURSOR);
    out.u64(cursor);
}

/// Appends a question for the place of any key.
pub fn write_random(batch: &mut Vec<u8>, envelope: Envelope, dice: u64) {
    let mut out = begin(batch, envelope, RANDOM);
    out.u64(dice);
}

/// Appends a question for connections.
pub fn write_clients(batch: &mut Vec<u8>, envelope: Envelope, wanted: &Wanted, from: u32) {
    let mut out = begin(batch, envelope, CLIENTS);
    out.len(wanted.ids.len());
    wanted.ids.iter().for_each(|&id| out.u64(id));
    out.bytes(&wanted.address);
    out.bytes(&wanted.local);
    [wanted.age_s, wanted.except, wanted.asker, from.into()].into_iter().for_each(|number| out.u64(number));
    out.flag(wanted.kills);
}

fn read_clients(fields: &mut Reader<'_>) -> Result<(Wanted, u32), Malformed> {
    let count = fields.count(size_of::<u64>())?;
    let ids = (0..count).map(|_| fields.u64()).collect::<Result<_, _>>()?;
    let (address, local) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
    let (age_s, except, asker, from) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()? as u32);
    Ok((Wanted { ids, address, local, age_s, except, asker, kills: fields.flag()? }, from))
}

/// Appends a request, whose deadline is the envelope's.
pub fn write_request(batch: &mut Vec<u8>, envelope: Envelope, request: &Request<'_>) {
    let mut out = begin(batch, envelope, REQUEST);
    out.u16(request.keyspace.0);
    out.u16(request.partition.0);
    out.u8(request.level as u8);
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
            let level = Level::from_byte(fields.u8()?).ok_or(Malformed("no level has this number"))?;
            encoding::decode(fields, |op| {
                let request = Request { keyspace, partition, level, deadline_us, op };
                taker.take(&envelope, Incoming::Request(request));
            })?;
        }
        CURSOR => {
            let cursor = fields.u64()?;
            taker.take(&envelope, Incoming::Cursor(cursor));
        }
        CLIENTS => {
            let (wanted, from) = read_clients(fields)?;
            taker.take(&envelope, Incoming::Clients(wanted, from));
        }
        RANDOM => {
            let dice = fields.u64()?;
            taker.take(&envelope, Incoming::Random(dice));
        }
        _ => return Err(Malformed("no message is of this kind")),
    }
    Ok(true)
}

/// Appends an answer to the request that its sender knows by `slot`. Shards have times of their own: on its way an expiry
/// is in BOOTTIME, by the clocks of the shard that answers.
pub fn write_answer(batch: &mut Vec<u8>, slot: u64, answer: &Answer<'_>, clocks: &Clocks) {
    let mut out = Writer(batch);
    out.u64(slot);
    match *answer {
        Answer::Value(value) => {
            out.u8(0);
            write_value(&mut out, value, clocks);
        }
        Answer::NotFound => out.u8(1),
        Answer::Item { index, value } => {
            out.u8(2);
            out.len(index);
            write_optional(&mut out, value, clocks);
        }
        Answer::Written { version, existed, old } => {
            out.u8(3);
            out.u64(version.0);
            out.u32(existed);
            write_optional(&mut out, old, clocks);
        }
        Answer::NotMet { current } => {
            out.u8(4);
            write_optional(&mut out, current, clocks);
        }
        Answer::Integer(number) => {
            out.u8(5);
            out.u64(number as u64);
        }
        Answer::Page { page, next } => {
            out.u8(6);
            out.flag(next.is_some());
            out.bytes(next.unwrap_or_default());
            out.len(page.len());
            for (key, value) in page.iter() {
                out.bytes(key);
                write_value(&mut out, value, clocks);
            }
        }
        Answer::Refused(refusal) => {
            out.u8(7);
            let (kind, text) = refusal_parts(refusal);
            out.u8(kind);
            out.bytes(text.as_bytes());
        }
        Answer::Unknown(unsure) => {
            out.u8(8);
            let failed = match unsure {
                Unsure::LogFailed(text) => Some(text),
                Unsure::TimedOut => None,
            };
            out.flag(failed.is_some());
            out.bytes(failed.unwrap_or_default().as_bytes());
        }
        Answer::Counted { keys, expiring, next } => {
            out.u8(9);
            out.u64(keys);
            out.u64(expiring);
            out.flag(next.is_some());
            let (partition, key) = next.unwrap_or_default();
            out.u16(partition.0);
            out.bytes(key);
        }
        Answer::Waits { read, partition, bytes } => {
            out.u8(10);
            out.u64(read);
            out.u16(partition.0);
            out.len(bytes);
        }
    }
}

/// Takes every answer of a batch: slot and answer. `page` is reused for pages. Expiries are in the time of the shard that
/// has these clocks.
pub fn each_answer(batch: &[u8], page: &mut Page, clocks: &Clocks, mut take: impl FnMut(u64, Answer<'_>)) {
    let mut fields = Reader(batch);
    while !fields.is_empty() {
        next_answer(&mut fields, page, clocks, &mut take).expect("cores send whole messages");
    }
}

#[inline]
fn next_answer(
    fields: &mut Reader<'_>,
    page: &mut Page,
    clocks: &Clocks,
    take: &mut impl FnMut(u64, Answer<'_>),
) -> Result<(), Malformed> {
    let slot = fields.u64()?;
    let answer = match fields.u8()? {
        0 => Answer::Value(read_value(fields, clocks)?),
        1 => Answer::NotFound,
        2 => Answer::Item { index: fields.len()?, value: read_optional(fields, clocks)? },
        3 => {
            let (version, existed) = (Version(fields.u64()?), fields.u32()?);
            Answer::Written { version, existed, old: read_optional(fields, clocks)? }
        }
        4 => Answer::NotMet { current: read_optional(fields, clocks)? },
        5 => Answer::Integer(fields.u64()? as i64),
        6 => {
            let (more, next) = (fields.flag()?, fields.bytes()?);
            page.clear();
            for _ in 0..fields.count(PAGE_ITEM_BYTES_MIN)? {
                let key = fields.bytes()?;
                page.push(key, read_value(fields, clocks)?);
            }
            Answer::Page { page, next: more.then_some(next) }
        }
        7 => {
            let kind = fields.u8()?;
            Answer::Refused(refusal_of(kind, fields.text()?))
        }
        8 => {
            let (has_failed, text) = (fields.flag()?, fields.text()?);
            Answer::Unknown(if has_failed { Unsure::LogFailed(text) } else { Unsure::TimedOut })
        }
        9 => {
            let (keys, expiring, more) = (fields.u64()?, fields.u64()?, fields.flag()?);
            let next = (Partition(fields.u16()?), fields.bytes()?);
            Answer::Counted { keys, expiring, next: more.then_some(next) }
        }
        10 => {
            let (read, partition) = (fields.u64()?, Partition(fields.u16()?));
            Answer::Waits { read, partition, bytes: fields.len()? }
        }
        _ => return Err(Malformed("no answer is of this kind")),
    };
    take(slot, answer);
    Ok(())
}

/// What a key and its value take at least: two lengths, a version, an expiry.
const PAGE_ITEM_BYTES_MIN: usize = 4 + 4 + 8 + 8;

fn write_value(out: &mut Writer<'_>, value: Value<'_>, clocks: &Clocks) {
    out.bytes(value.bytes);
    out.u64(value.version.0);
    out.u64(clocks.to_boot(value.expiry));
}

fn read_value<'a>(fields: &mut Reader<'a>, clocks: &Clocks) -> Result<Value<'a>, Malformed> {
    let (bytes, version) = (fields.bytes()?, Version(fields.u64()?));
    Ok(Value { bytes, version, expiry: clocks.from_boot(fields.u64()?) })
}

fn write_optional(out: &mut Writer<'_>, value: Option<Value<'_>>, clocks: &Clocks) {
    out.flag(value.is_some());
    if let Some(value) = value {
        write_value(out, value, clocks);
    }
}

fn read_optional<'a>(fields: &mut Reader<'a>, clocks: &Clocks) -> Result<Option<Value<'a>>, Malformed> {
    if fields.flag()? { read_value(fields, clocks).map(Some) } else { Ok(None) }
}

fn refusal_parts(refusal: Refusal<'_>) -> (u8, &str) {
    match refusal {
        Refusal::NotAnInteger => (0, ""),
        Refusal::Overflow => (1, ""),
        Refusal::Limit(text) => (2, text),
        Refusal::Busy => (3, ""),
        Refusal::ReadOnly(text) => (4, text),
        Refusal::Damaged(text) => (5, text),
        Refusal::Invalid(text) => (6, text),
        Refusal::WrongShard => (7, ""),
        Refusal::NoRoom(text) => (8, text),
        Refusal::TimedOut => (9, ""),
    }
}

fn refusal_of(kind: u8, text: &str) -> Refusal<'_> {
    match kind {
        0 => Refusal::NotAnInteger,
        1 => Refusal::Overflow,
        2 => Refusal::Limit(text),
        3 => Refusal::Busy,
        4 => Refusal::ReadOnly(text),
        5 => Refusal::Damaged(text),
        6 => Refusal::Invalid(text),
        8 => Refusal::NoRoom(text),
        9 => Refusal::TimedOut,
        _ => Refusal::WrongShard,
    }
}

#[cfg(test)]
#[path = "message_test.rs"]
mod tests;
