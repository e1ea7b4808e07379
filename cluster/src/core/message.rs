//! Requests and answers as messages between cores: encoded into a batch, decoded in place.

use super::bytes::{Reader, Writer};
use crate::session::listing::Wanted;
use pinion_engine::clock::Clocks;
use pinion_engine::key::{Keyspace, Partition, Version};
use pinion_engine::shard::request::{
    Answer, Condition, Count, ExpireCondition, Op, Page, PutExpiry, Refusal, Request, Scan, Update, Value,
};
use smallvec::SmallVec;

const GET: u8 = 0;
const GET_MANY: u8 = 1;
const UPDATE: u8 = 2;
const UPDATE_MANY: u8 = 3;
const SCAN: u8 = 4;
const CLEAR: u8 = 5;
const CURSOR: u8 = 6;
const SCAN_MANY: u8 = 7;
const COUNT: u8 = 8;
const GO_ON: u8 = 9;
const FORGET: u8 = 10;
const CLIENTS: u8 = 11;
const RANDOM: u8 = 12;

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

/// Replaces the slot of an encoded request.
pub fn set_slot(message: &mut [u8], slot: u64) {
    message[..8].copy_from_slice(&slot.to_le_bytes());
}

/// Begins a question to a core rather than to one of its partitions.
fn question(batch: &mut Vec<u8>, slot: u64, kind: u8) -> Writer<'_> {
    let mut out = Writer(batch);
    out.u64(slot);
    out.u32(0);
    out.u16(0);
    out.u16(0);
    out.u8(kind);
    out
}

/// Appends a question for a cursor.
pub fn write_cursor(batch: &mut Vec<u8>, slot: u64, cursor: u64) {
    let mut out = question(batch, slot, CURSOR);
    out.u64(cursor);
}

/// Appends a question for the place of any key.
pub fn write_random(batch: &mut Vec<u8>, slot: u64, dice: u64) {
    let mut out = question(batch, slot, RANDOM);
    out.u64(dice);
}

/// Appends a question for connections.
pub fn write_clients(batch: &mut Vec<u8>, slot: u64, wanted: &Wanted, from: u32) {
    let mut out = question(batch, slot, CLIENTS);
    out.len(wanted.ids.len());
    wanted.ids.iter().for_each(|&id| out.u64(id));
    out.bytes(&wanted.address);
    out.bytes(&wanted.local);
    [wanted.age_s, wanted.except, wanted.asker, from.into()].into_iter().for_each(|number| out.u64(number));
    out.flag(wanted.kills);
}

fn read_clients(fields: &mut Reader<'_>) -> (Wanted, u32) {
    let ids = (0..fields.len()).map(|_| fields.u64()).collect();
    let (address, local) = (fields.bytes().to_vec(), fields.bytes().to_vec());
    let (age_s, except, asker, from) = (fields.u64(), fields.u64(), fields.u64(), fields.u64() as u32);
    (Wanted { ids, address, local, age_s, except, asker, kills: fields.flag() }, from)
}

/// Appends a request, which the sender knows by `slot`. It has room for so many KiB of values in the answers.
pub fn write_request(batch: &mut Vec<u8>, slot: u64, room_kib: u32, request: &Request<'_>) {
    let mut out = Writer(batch);
    out.u64(slot);
    out.u32(room_kib);
    out.u16(request.keyspace.0);
    out.u16(request.partition.0);
    match request.op {
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
        Op::Forget { read } => {
            out.u8(FORGET);
            out.u64(read);
        }
        Op::Update { key, update } => {
            out.u8(UPDATE);
            out.bytes(key);
            write_update(&mut out, &update);
        }
        Op::UpdateMany { updates } => {
            out.u8(UPDATE_MANY);
            out.len(updates.len());
            for (key, update) in updates {
                out.bytes(key);
                write_update(&mut out, update);
            }
        }
        Op::Scan(scan) => {
            out.u8(SCAN);
            write_scan(&mut out, &scan);
        }
        Op::ScanMany { partitions, scan, oversized } => {
            out.u8(SCAN_MANY);
            write_partitions(&mut out, partitions);
            write_scan(&mut out, &scan);
            out.flag(oversized);
        }
        Op::Count(Count { partitions, place, from, to }) => {
            out.u8(COUNT);
            write_partitions(&mut out, partitions);
            [place, from, to].into_iter().for_each(|key| out.bytes(key));
        }
        Op::Clear => out.u8(CLEAR),
    }
}

/// Takes the requests of a batch, as long as `take` wants more; returns the bytes of those taken. `take` gets the slot and the
/// room that the sender has for values, in KiB.
pub fn each_request(batch: &[u8], mut take: impl FnMut((u64, u32), Incoming<'_>) -> bool) -> usize {
    let mut fields = Reader(batch);
    let mut more = true;
    while more && !fields.is_empty() {
        let slot = (fields.u64(), fields.u32());
        let keyspace = Keyspace(fields.u16());
        let partition = Partition(fields.u16());
        let mut give = |op| more = take(slot, Incoming::Request(Request { keyspace, partition, op }));
        match fields.u8() {
            GET => give(Op::Get { key: fields.bytes() }),
            GET_MANY => {
                let (values, count) = (fields.flag(), fields.len());
                let keys: SmallVec<[&[u8]; 16]> = (0..count).map(|_| fields.bytes()).collect();
                give(Op::GetMany { keys: &keys, values });
            }
            GO_ON => give(Op::GoOn { read: fields.u64() }),
            FORGET => give(Op::Forget { read: fields.u64() }),
            UPDATE => {
                let key = fields.bytes();
                give(Op::Update { key, update: read_update(&mut fields) });
            }
            UPDATE_MANY => {
                let count = fields.len();
                let updates: SmallVec<[(&[u8], Update<'_>); 8]> =
                    (0..count).map(|_| (fields.bytes(), read_update(&mut fields))).collect();
                give(Op::UpdateMany { updates: &updates });
            }
            SCAN => give(Op::Scan(read_scan(&mut fields))),
            SCAN_MANY => {
                let partitions = read_partitions(&mut fields);
                let scan = read_scan(&mut fields);
                give(Op::ScanMany { partitions: &partitions, scan, oversized: fields.flag() });
            }
            COUNT => {
                let partitions = read_partitions(&mut fields);
                let (place, from, to) = (fields.bytes(), fields.bytes(), fields.bytes());
                give(Op::Count(Count { partitions: &partitions, place, from, to }));
            }
            CLEAR => give(Op::Clear),
            CURSOR => {
                let cursor = fields.u64();
                more = take(slot, Incoming::Cursor(cursor));
            }
            CLIENTS => {
                let (wanted, from) = read_clients(&mut fields);
                more = take(slot, Incoming::Clients(wanted, from));
            }
            RANDOM => {
                let dice = fields.u64();
                more = take(slot, Incoming::Random(dice));
            }
            other => unreachable!("no request is written as {other}"),
        }
    }
    batch.len() - fields.0.len()
}

fn write_partitions(out: &mut Writer<'_>, partitions: &[Partition]) {
    out.len(partitions.len());
    partitions.iter().for_each(|partition| out.u16(partition.0));
}

fn read_partitions(fields: &mut Reader<'_>) -> SmallVec<[Partition; 64]> {
    let count = fields.len();
    (0..count).map(|_| Partition(fields.u16())).collect()
}

fn write_scan(out: &mut Writer<'_>, scan: &Scan<'_>) {
    out.bytes(scan.from);
    out.bytes(scan.to);
    out.u64(scan.limit as u64);
    out.u64(scan.limit_bytes as u64);
    out.flag(scan.keys_only);
}

fn read_scan<'a>(fields: &mut Reader<'a>) -> Scan<'a> {
    Scan {
        from: fields.bytes(),
        to: fields.bytes(),
        limit: fields.u64() as usize,
        limit_bytes: fields.u64() as usize,
        keys_only: fields.flag(),
    }
}

fn write_update(out: &mut Writer<'_>, update: &Update<'_>) {
    match *update {
        Update::Put { value, expiry, condition, want_old } => {
            out.u8(0);
            out.bytes(value);
            write_expiry(out, expiry);
            write_condition(out, condition);
            out.flag(want_old);
        }
        Update::Delete { condition, want_old, want_existed } => {
            out.u8(1);
            write_condition(out, condition);
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
            write_expiry(out, expiry);
            out.u8(EXPIRE_CONDITIONS.iter().position(|&c| c == condition).unwrap_or(0) as u8);
            out.flag(want_old);
        }
    }
}

fn read_update<'a>(fields: &mut Reader<'a>) -> Update<'a> {
    match fields.u8() {
        0 => Update::Put {
            value: fields.bytes(),
            expiry: read_expiry(fields),
            condition: read_condition(fields),
            want_old: fields.flag(),
        },
        1 => Update::Delete {
            condition: read_condition(fields),
            want_old: fields.flag(),
            want_existed: fields.flag(),
        },
        2 => Update::Increment { by: fields.u64() as i64 },
        3 => Update::Append { suffix: fields.bytes() },
        _ => Update::Expire {
            expiry: read_expiry(fields),
            condition: EXPIRE_CONDITIONS[fields.u8() as usize],
            want_old: fields.flag(),
        },
    }
}

const EXPIRE_CONDITIONS: [ExpireCondition; 5] = [
    ExpireCondition::None,
    ExpireCondition::HasNone,
    ExpireCondition::HasOne,
    ExpireCondition::Later,
    ExpireCondition::Earlier,
];

fn write_expiry(out: &mut Writer<'_>, expiry: PutExpiry) {
    let (kind, ms) = match expiry {
        PutExpiry::Never => (0, 0),
        PutExpiry::At(ms) => (1, ms),
        PutExpiry::After(ms) => (2, ms),
        PutExpiry::Keep => (3, 0),
    };
    out.u8(kind);
    out.u64(ms);
}

fn read_expiry(fields: &mut Reader<'_>) -> PutExpiry {
    match (fields.u8(), fields.u64()) {
        (0, _) => PutExpiry::Never,
        (1, ms) => PutExpiry::At(ms),
        (2, ms) => PutExpiry::After(ms),
        _ => PutExpiry::Keep,
    }
}

fn write_condition(out: &mut Writer<'_>, condition: Condition) {
    let (kind, version) = match condition {
        Condition::None => (0, 0),
        Condition::Absent => (1, 0),
        Condition::Present => (2, 0),
        Condition::Version(version) => (3, version.0),
    };
    out.u8(kind);
    out.u64(version);
}

fn read_condition(fields: &mut Reader<'_>) -> Condition {
    match (fields.u8(), fields.u64()) {
        (0, _) => Condition::None,
        (1, _) => Condition::Absent,
        (2, _) => Condition::Present,
        (_, version) => Condition::Version(Version(version)),
    }
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
            out.len(existed as usize);
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
        Answer::Unknown(text) => {
            out.u8(8);
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
        let slot = fields.u64();
        let mut give = |answer: Answer<'_>| take(slot, answer);
        match fields.u8() {
            0 => give(Answer::Value(read_value(&mut fields, clocks))),
            1 => give(Answer::NotFound),
            2 => give(Answer::Item { index: fields.len(), value: read_optional(&mut fields, clocks) }),
            3 => {
                let (version, existed) = (Version(fields.u64()), fields.len() as u32);
                give(Answer::Written { version, existed, old: read_optional(&mut fields, clocks) });
            }
            4 => give(Answer::NotMet { current: read_optional(&mut fields, clocks) }),
            5 => give(Answer::Integer(fields.u64() as i64)),
            6 => {
                let (more, next) = (fields.flag(), fields.bytes());
                page.clear();
                for _ in 0..fields.len() {
                    let key = fields.bytes();
                    page.push(key, read_value(&mut fields, clocks));
                }
                give(Answer::Page { page, next: more.then_some(next) });
            }
            7 => {
                let kind = fields.u8();
                give(Answer::Refused(refusal_of(kind, fields.text())));
            }
            8 => give(Answer::Unknown(fields.text())),
            10 => {
                let (read, partition) = (fields.u64(), Partition(fields.u16()));
                give(Answer::Waits { read, partition, bytes: fields.len() });
            }
            _ => {
                let (keys, expiring, more) = (fields.u64(), fields.u64(), fields.flag());
                let next = (Partition(fields.u16()), fields.bytes());
                give(Answer::Counted { keys, expiring, next: more.then_some(next) });
            }
        }
    }
}

fn write_value(out: &mut Writer<'_>, value: Value<'_>, clocks: &Clocks) {
    out.bytes(value.bytes);
    out.u64(value.version.0);
    out.u64(clocks.to_boot(value.expiry));
}

fn read_value<'a>(fields: &mut Reader<'a>, clocks: &Clocks) -> Value<'a> {
    let (bytes, version) = (fields.bytes(), Version(fields.u64()));
    Value { bytes, version, expiry: clocks.from_boot(fields.u64()) }
}

fn write_optional(out: &mut Writer<'_>, value: Option<Value<'_>>, clocks: &Clocks) {
    out.flag(value.is_some());
    if let Some(value) = value {
        write_value(out, value, clocks);
    }
}

fn read_optional<'a>(fields: &mut Reader<'a>, clocks: &Clocks) -> Option<Value<'a>> {
    fields.flag().then(|| read_value(fields, clocks))
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
        _ => Refusal::WrongShard,
    }
}

#[cfg(test)]
#[path = "message_test.rs"]
mod tests;
