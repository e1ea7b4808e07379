//! Answers as messages between cores.

use pinion_engine::clock::Clocks;
use pinion_engine::fields::{Malformed, Reader, Writer};
use pinion_engine::key::{Partition, Version};
use pinion_engine::shard::request::{Answer, Page, Refusal, Unsure, Value};

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
            let (kind, text) = match unsure {
                Unsure::TimedOut => (0, ""),
                Unsure::LogFailed(text) => (1, text),
                Unsure::Forgotten => (2, ""),
                Unsure::TooLong => (3, ""),
            };
            out.u8(kind);
            out.bytes(text.as_bytes());
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
            let (kind, text) = (fields.u8()?, fields.text()?);
            Answer::Unknown(match kind {
                0 => Unsure::TimedOut,
                1 => Unsure::LogFailed(text),
                2 => Unsure::Forgotten,
                3 => Unsure::TooLong,
                _ => return Err(Malformed("no uncertainty is of this kind")),
            })
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
        Refusal::WrongTime => (10, ""),
        Refusal::NotLeader => (11, ""),
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
        10 => Refusal::WrongTime,
        11 => Refusal::NotLeader,
        _ => Refusal::WrongShard,
    }
}
