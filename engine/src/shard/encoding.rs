//! An operation as bytes: the one form in which it waits, goes to another core and, later, to a peer.
//!
//! The first byte is the opcode; [`crate::fields`] is what the rest is made of. To decode is safe whatever the bytes are:
//! what is no operation is refused, and nothing is reserved for a count that isn't followed by as much.

use super::request::{Condition, Count, ExpireCondition, Op, PutExpiry, Scan, Update};
use crate::fields::{Malformed, Reader, Writer};
use crate::key::{Partition, Version};
use smallvec::SmallVec;

const GET: u8 = 0;
const GET_MANY: u8 = 1;
const UPDATE: u8 = 2;
const UPDATE_MANY: u8 = 3;
const SCAN: u8 = 4;
const CLEAR: u8 = 5;
const SCAN_MANY: u8 = 6;
const COUNT: u8 = 7;
const GO_ON: u8 = 8;

/// What a key, and a key with an update, take at least.
const KEY_BYTES_MIN: usize = 4;
const UPDATE_BYTES_MIN: usize = KEY_BYTES_MIN + 1;

/// Appends an operation.
#[inline]
pub fn encode(op: &Op<'_>, out: &mut Vec<u8>) {
    let mut out = Writer(out);
    match *op {
        Op::Get { key } => {
            out.u8(GET);
            out.bytes(key);
        }
        Op::GetMany { keys, values } => {
            out.u8(GET_MANY);
            out.flag(values);
            out.len(keys.len());
            keys.iter().for_each(|key| out.bytes(key));
        }
        Op::GoOn { read } => {
            out.u8(GO_ON);
            out.u64(read);
        }
        Op::Update { key, update } => {
            out.u8(UPDATE);
            out.bytes(key);
            encode_update(&mut out, &update);
        }
        Op::UpdateMany { updates } => {
            out.u8(UPDATE_MANY);
            out.len(updates.len());
            for (key, update) in updates {
                out.bytes(key);
                encode_update(&mut out, update);
            }
        }
        Op::Scan(scan) => {
            out.u8(SCAN);
            encode_scan(&mut out, &scan);
        }
        Op::ScanMany { partitions, scan, oversized } => {
            out.u8(SCAN_MANY);
            encode_partitions(&mut out, partitions);
            encode_scan(&mut out, &scan);
            out.flag(oversized);
        }
        Op::Count(Count { partitions, place, from, to }) => {
            out.u8(COUNT);
            encode_partitions(&mut out, partitions);
            [place, from, to].into_iter().for_each(|key| out.bytes(key));
        }
        Op::Clear => out.u8(CLEAR),
    }
}

/// Takes an operation off and lends it.
#[inline]
pub fn decode<R>(fields: &mut Reader<'_>, use_it: impl FnOnce(Op<'_>) -> R) -> Result<R, Malformed> {
    let op = match fields.u8()? {
        GET => Op::Get { key: fields.bytes()? },
        GO_ON => Op::GoOn { read: fields.u64()? },
        UPDATE => Op::Update { key: fields.bytes()?, update: decode_update(fields)? },
        SCAN => Op::Scan(decode_scan(fields)?),
        CLEAR => Op::Clear,
        GET_MANY => {
            let (values, count) = (fields.flag()?, fields.count(KEY_BYTES_MIN)?);
            let keys: SmallVec<[&[u8]; 16]> = (0..count).map(|_| fields.bytes()).collect::<Result<_, _>>()?;
            return Ok(use_it(Op::GetMany { keys: &keys, values }));
        }
        UPDATE_MANY => {
            let count = fields.count(UPDATE_BYTES_MIN)?;
            let mut pair = |_| Ok((fields.bytes()?, decode_update(fields)?));
            let updates: SmallVec<[_; 8]> = (0..count).map(&mut pair).collect::<Result<_, Malformed>>()?;
            return Ok(use_it(Op::UpdateMany { updates: &updates }));
        }
        SCAN_MANY => {
            let partitions = decode_partitions(fields)?;
            let scan = decode_scan(fields)?;
            let oversized = fields.flag()?;
            return Ok(use_it(Op::ScanMany { partitions: &partitions, scan, oversized }));
        }
        COUNT => {
            let partitions = decode_partitions(fields)?;
            let (place, from, to) = (fields.bytes()?, fields.bytes()?, fields.bytes()?);
            return Ok(use_it(Op::Count(Count { partitions: &partitions, place, from, to })));
        }
        _ => return Err(Malformed("an opcode that this build doesn't know")),
    };
    Ok(use_it(op))
}

/// Cuts the first `count` keys out of an encoded read of several keys. Other operations stay as they are.
pub(super) fn skip_keys(encoded: &mut Vec<u8>, count: usize) {
    const COUNT_AT: usize = 2;
    const KEYS_AT: usize = COUNT_AT + 4;
    if count == 0 || encoded.first() != Some(&GET_MANY) {
        return;
    }
    let mut keys = Reader(&encoded[KEYS_AT..]);
    for _ in 0..count {
        keys.bytes().expect("no more keys are answered than were asked for");
    }
    let cut = encoded.len() - keys.0.len();
    encoded.drain(KEYS_AT..cut);
    let had = Reader(&encoded[COUNT_AT..]).len().expect("it was encoded here");
    encoded[COUNT_AT..KEYS_AT].copy_from_slice(&((had - count) as u32).to_le_bytes());
}

/// Whether an encoded operation changes keys that it names.
pub(super) fn is_update(encoded: &[u8]) -> bool {
    matches!(encoded.first(), Some(&(UPDATE | UPDATE_MANY)))
}

fn encode_partitions(out: &mut Writer<'_>, partitions: &[Partition]) {
    out.len(partitions.len());
    partitions.iter().for_each(|partition| out.u16(partition.0));
}

fn decode_partitions(fields: &mut Reader<'_>) -> Result<SmallVec<[Partition; 64]>, Malformed> {
    let count = fields.count(size_of::<u16>())?;
    (0..count).map(|_| Ok(Partition(fields.u16()?))).collect()
}

fn encode_scan(out: &mut Writer<'_>, scan: &Scan<'_>) {
    out.bytes(scan.from);
    out.bytes(scan.to);
    out.u64(scan.limit as u64);
    out.u64(scan.limit_bytes as u64);
    out.flag(scan.keys_only);
}

fn decode_scan<'a>(fields: &mut Reader<'a>) -> Result<Scan<'a>, Malformed> {
    let (from, to) = (fields.bytes()?, fields.bytes()?);
    let (limit, limit_bytes) = (fields.u64()? as usize, fields.u64()? as usize);
    Ok(Scan { from, to, limit, limit_bytes, keys_only: fields.flag()? })
}

#[inline]
fn encode_update(out: &mut Writer<'_>, update: &Update<'_>) {
    match *update {
        Update::Put { value, expiry, condition, want_old } => {
            out.u8(0);
            encode_expiry(out, expiry);
            encode_condition(out, condition);
            out.flag(want_old);
            // Last, so that a buffer grows once for a long one.
            out.bytes(value);
        }
        Update::Delete { condition, want_old, want_existed } => {
            out.u8(1);
            encode_condition(out, condition);
            out.flag(want_old);
            out.flag(want_existed);
        }
        Update::Increment { by } => {
            out.u8(2);
            out.u64(by as u64);
        }
        Update::Append { suffix } => {
            out.u8(3);
            out.bytes(suffix);
        }
        Update::Expire { expiry, condition, want_old } => {
            out.u8(4);
            encode_expiry(out, expiry);
            out.u8(condition as u8);
            out.flag(want_old);
        }
    }
}

#[inline]
fn decode_update<'a>(fields: &mut Reader<'a>) -> Result<Update<'a>, Malformed> {
    Ok(match fields.u8()? {
        0 => Update::Put {
            expiry: decode_expiry(fields)?,
            condition: decode_condition(fields)?,
            want_old: fields.flag()?,
            value: fields.bytes()?,
        },
        1 => Update::Delete {
            condition: decode_condition(fields)?,
            want_old: fields.flag()?,
            want_existed: fields.flag()?,
        },
        2 => Update::Increment { by: fields.u64()? as i64 },
        3 => Update::Append { suffix: fields.bytes()? },
        4 => Update::Expire {
            expiry: decode_expiry(fields)?,
            condition: decode_expire_condition(fields)?,
            want_old: fields.flag()?,
        },
        _ => return Err(Malformed("an update that this build doesn't know")),
    })
}

fn decode_expire_condition(fields: &mut Reader<'_>) -> Result<ExpireCondition, Malformed> {
    use ExpireCondition::{Earlier, HasNone, HasOne, Later, None};
    let number = fields.u8()?;
    let known = [None, HasNone, HasOne, Later, Earlier].into_iter().find(|&known| known as u8 == number);
    known.ok_or(Malformed("a condition on an expiry that this build doesn't know"))
}

fn encode_expiry(out: &mut Writer<'_>, expiry: PutExpiry) {
    let (kind, ms) = match expiry {
        PutExpiry::Never => (0, 0),
        PutExpiry::At(ms) => (1, ms),
        PutExpiry::After(ms) => (2, ms),
        PutExpiry::Keep => (3, 0),
    };
    out.u8(kind);
    out.u64(ms);
}

fn decode_expiry(fields: &mut Reader<'_>) -> Result<PutExpiry, Malformed> {
    match (fields.u8()?, fields.u64()?) {
        (0, _) => Ok(PutExpiry::Never),
        (1, ms) => Ok(PutExpiry::At(ms)),
        (2, ms) => Ok(PutExpiry::After(ms)),
        (3, _) => Ok(PutExpiry::Keep),
        _ => Err(Malformed("a kind of expiry that this build doesn't know")),
    }
}

fn encode_condition(out: &mut Writer<'_>, condition: Condition) {
    let (kind, version) = match condition {
        Condition::None => (0, 0),
        Condition::Absent => (1, 0),
        Condition::Present => (2, 0),
        Condition::Version(version) => (3, version.0),
    };
    out.u8(kind);
    out.u64(version);
}

fn decode_condition(fields: &mut Reader<'_>) -> Result<Condition, Malformed> {
    match (fields.u8()?, fields.u64()?) {
        (0, _) => Ok(Condition::None),
        (1, _) => Ok(Condition::Absent),
        (2, _) => Ok(Condition::Present),
        (3, version) => Ok(Condition::Version(Version(version))),
        _ => Err(Malformed("a condition that this build doesn't know")),
    }
}

#[cfg(test)]
#[path = "encoding_test.rs"]
mod tests;
