//! Chooses keys, values and requests at random.

use super::alike;
use super::dialect::Dialect;
use super::keys::{cold_key, group_key};
use super::request::{Key, Request, SetReply};
use super::shape::WorkloadShape;
use crate::model::SimTime;
use crate::model::op::{Condition, ExpireCondition, NewExpiry, Update};
use crate::model::seen::TtlUnit;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Versions that a client remembers for conditional writes.
const VERSIONS_MAX: usize = 64;
/// Where tables are to be alike, one of so many writes is any, and may leave an entry of another length.
const ALIKE_WRITES: u32 = 16;

/// What a client draws its requests from.
#[derive(Debug)]
pub struct Chooser {
    client: usize,
    dialect: Dialect,
    /// Values made so far: each is unlike any other, unless it is very short.
    made: u64,
    versions: BTreeMap<Key, u64>,
}

impl Chooser {
    /// Of a client.
    pub fn new(client: usize, dialect: Dialect) -> Chooser {
        Chooser { client, dialect, made: 0, versions: BTreeMap::new() }
    }

    /// A version of a key was told.
    pub fn told_version(&mut self, key: &Key, version: u64) {
        if self.versions.len() < VERSIONS_MAX || self.versions.contains_key(key) {
            self.versions.insert(Rc::clone(key), version);
        } else {
            self.versions.clear();
        }
    }

    /// A key: a hot one, one of a group, or a cold one.
    pub fn key(&self, shape: &WorkloadShape, rng: &mut SmallRng) -> Key {
        if shape.is_alike {
            return alike::key(rng);
        }
        let dice = rng.random_range(0..1000);
        if dice < shape.hot && shape.hot_keys > 0 {
            format!("h{}", rng.random_range(0..shape.hot_keys)).into_bytes().into()
        } else if dice < shape.hot + shape.grouped && shape.groups > 0 {
            let group = rng.random_range(0..shape.groups);
            group_key(group, rng.random_range(0..shape.group_keys.max(1)))
        } else {
            cold_key(rng.random_range(0..shape.cold_keys.max(1)))
        }
    }

    fn counter(&self, shape: &WorkloadShape, rng: &mut SmallRng) -> Key {
        if rng.random_range(0..30) == 0 {
            return self.key(shape, rng); // most likely no integer
        }
        format!("n{}", rng.random_range(0..shape.hot_keys.max(1))).into_bytes().into()
    }

    /// Several keys: of one group, or any.
    fn keys(&self, shape: &WorkloadShape, rng: &mut SmallRng) -> Vec<Key> {
        let count = rng.random_range(1..6);
        if shape.groups > 0 && rng.random_range(0..4) > 0 {
            let group = rng.random_range(0..shape.groups);
            return (0..count)
                .map(|_| group_key(group, rng.random_range(0..shape.group_keys.max(1))))
                .collect();
        }
        (0..count).map(|_| self.key(shape, rng)).collect()
    }

    /// A value that names its write, and each part of which names its place.
    pub fn value(&mut self, shape: &WorkloadShape, rng: &mut SmallRng) -> Rc<[u8]> {
        self.made += 1;
        if shape.is_alike {
            return alike::value(&format!("{}.{}:", self.client, self.made), rng).into();
        }
        let dice = rng.random_range(0..1000);
        let length = if dice < shape.huge {
            rng.random_range(1..=shape.huge_bytes_max.max(1))
        } else if dice < shape.huge + shape.large {
            rng.random_range(2000..20_000)
        } else if dice % 16 == 0 {
            rng.random_range(0..4)
        } else {
            rng.random_range(8..150)
        };
        let (client, made) = (self.client, self.made);
        if rng.random_range(0..4) == 0 {
            // One that doesn't compress.
            let mut bytes = format!("{client}.{made}:").into_bytes();
            bytes.extend((bytes.len()..length).map(|_| rng.random::<u8>()));
            bytes.truncate(length);
            return bytes.into();
        }
        let write = format!("{client}.{made}@");
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            let place = bytes.len();
            bytes.extend_from_slice(write.as_bytes());
            bytes.extend_from_slice(place.to_string().as_bytes());
            bytes.push(b';');
        }
        bytes.truncate(length);
        bytes.into()
    }

    fn expiry(&self, shape: &WorkloadShape, now: SimTime, rng: &mut SmallRng) -> NewExpiry {
        if rng.random_range(0..1000) >= shape.expiring {
            let keeps = rng.random_range(0..20) == 0;
            return if keeps { NewExpiry::Keep } else { NewExpiry::Never };
        }
        self.some_expiry(shape, now, rng)
    }

    fn some_expiry(&self, shape: &WorkloadShape, now: SimTime, rng: &mut SmallRng) -> NewExpiry {
        let ms = match rng.random_range(0..8) {
            0 => rng.random_range(1..10),
            1 => rng.random_range(1..=100) * 1_000_000,
            _ => rng.random_range(1..=shape.expiry_ms_max.max(1)),
        };
        let ms = if rng.random_range(0..3) == 0 { ms.div_ceil(1000) * 1000 } else { ms };
        match rng.random_range(0..5) {
            0..=2 => NewExpiry::After(ms),
            3 => NewExpiry::At((now.lead.wall_of(now.clock_ms_max) + ms).div_ceil(1000) * 1000),
            _ => NewExpiry::At((now.lead.wall_of(now.clock_ms_max) + ms).saturating_sub(20).max(1)),
        }
    }

    /// A request on keys.
    pub fn request(&mut self, shape: &WorkloadShape, now: SimTime, rng: &mut SmallRng) -> Request {
        if rng.random_range(0..1000) < shape.clears {
            return Request::Clear;
        }
        let reads = rng.random_range(0..1000) < shape.reads;
        if shape.is_alike && !reads && rng.random_range(0..ALIKE_WRITES) > 0 {
            let key = self.key(shape, rng);
            return self.set(key, Condition::Always, SetReply::Ok, NewExpiry::Never, shape, rng);
        }
        match (reads, self.dialect.is_resp()) {
            (true, true) => self.resp_read(shape, rng),
            (true, false) => self.wire_read(shape, rng),
            (false, true) => self.resp_write(shape, now, rng),
            (false, false) => self.wire_write(shape, now, rng),
        }
    }

    fn resp_read(&self, shape: &WorkloadShape, rng: &mut SmallRng) -> Request {
        match rng.random_range(0..20) {
            0 => Request::Exists(self.keys(shape, rng)),
            1 => Request::StrLen(self.key(shape, rng)),
            2 => Request::Ttl(self.key(shape, rng), TtlUnit::Seconds),
            3..=4 => Request::Ttl(self.key(shape, rng), TtlUnit::Milliseconds),
            5..=7 => Request::MultiGet(self.keys(shape, rng)),
            8..=9 => Request::Get(self.counter(shape, rng)),
            _ => Request::Get(self.key(shape, rng)),
        }
    }

    fn wire_read(&self, shape: &WorkloadShape, rng: &mut SmallRng) -> Request {
        match rng.random_range(0..20) {
            0..=1 => Request::Exists(vec![self.key(shape, rng)]),
            2..=5 => Request::MultiGet(self.keys(shape, rng)),
            6..=7 => Request::Get(self.counter(shape, rng)),
            _ => Request::Get(self.key(shape, rng)),
        }
    }

    fn resp_write(&mut self, shape: &WorkloadShape, now: SimTime, rng: &mut SmallRng) -> Request {
        let key = self.key(shape, rng);
        match rng.random_range(0..32) {
            0 => self.set(key, Condition::Absent, SetReply::Bit, NewExpiry::Never, shape, rng), // SETNX
            1 => self.set(key, Condition::Always, SetReply::Old, NewExpiry::Never, shape, rng), // GETSET
            2..=4 => {
                let conditions = [Condition::Always, Condition::Absent, Condition::Present];
                let condition = conditions[rng.random_range(0..3)];
                let reply = if rng.random() { SetReply::Ok } else { SetReply::Old };
                let expiry = self.expiry(shape, now, rng);
                self.set(key, condition, reply, expiry, shape, rng)
            }
            5 => Request::GetDel(key),
            6..=8 => Request::Del(vec![key]),
            9 => Request::Del(self.keys(shape, rng)),
            10..=13 => self.batch(shape, rng, false, now),
            14..=17 => Request::Add { key: self.counter(shape, rng), by: addend(rng) },
            18..=19 => self.append(key, shape, rng),
            20..=22 => self.expire(key, shape, now, rng),
            _ => {
                let expiry = self.expiry(shape, now, rng);
                self.set(key, Condition::Always, SetReply::Ok, expiry, shape, rng)
            }
        }
    }

    fn wire_write(&mut self, shape: &WorkloadShape, now: SimTime, rng: &mut SmallRng) -> Request {
        let key = self.key(shape, rng);
        let condition = self.condition(&key, rng);
        match rng.random_range(0..32) {
            0..=3 => {
                let reply = if rng.random() { SetReply::Ok } else { SetReply::Old };
                let expiry = self.expiry(shape, now, rng);
                self.set(key, condition, reply, expiry, shape, rng)
            }
            4..=6 => {
                let (old, existed) = (rng.random(), rng.random());
                Request::Delete { key, condition, old, existed }
            }
            7..=9 => Request::Delete { key, condition: Condition::Always, old: false, existed: false },
            10..=14 => self.batch(shape, rng, true, now),
            15..=18 => Request::Add { key: self.counter(shape, rng), by: addend(rng) },
            19..=21 => self.expire(key, shape, now, rng),
            _ => {
                let expiry = self.expiry(shape, now, rng);
                self.set(key, Condition::Always, SetReply::Ok, expiry, shape, rng)
            }
        }
    }

    fn condition(&self, key: &Key, rng: &mut SmallRng) -> Condition {
        match rng.random_range(0..6) {
            0 => Condition::Always,
            1 => Condition::Absent,
            2 => Condition::Present,
            _ => self.versions.get(key).map_or(Condition::Absent, |version| Condition::Version(*version)),
        }
    }

    fn set(
        &mut self,
        key: Key,
        condition: Condition,
        reply: SetReply,
        expiry: NewExpiry,
        shape: &WorkloadShape,
        rng: &mut SmallRng,
    ) -> Request {
        let bytes = self.value(shape, rng);
        Request::Set { key, bytes, expiry, condition, reply }
    }

    fn append(&mut self, key: Key, shape: &WorkloadShape, rng: &mut SmallRng) -> Request {
        let small = WorkloadShape { large: shape.large / 4, huge: 0, ..shape.clone() };
        Request::Append { key, suffix: self.value(&small, rng) }
    }

    fn expire(&self, key: Key, shape: &WorkloadShape, now: SimTime, rng: &mut SmallRng) -> Request {
        let expiry = match rng.random_range(0..10) {
            0..=1 => NewExpiry::Never,
            2 => NewExpiry::At(1),
            _ => self.some_expiry(shape, now, rng),
        };
        let condition = match rng.random_range(0..8) {
            _ if expiry == NewExpiry::Never || !self.dialect.is_resp() => ExpireCondition::Always,
            0 => ExpireCondition::HasNone,
            1 => ExpireCondition::HasOne,
            2 => ExpireCondition::Later,
            3 => ExpireCondition::Earlier,
            _ => ExpireCondition::Always,
        };
        Request::Expire { key, expiry, condition }
    }

    fn batch(&mut self, shape: &WorkloadShape, rng: &mut SmallRng, all_kinds: bool, now: SimTime) -> Request {
        let keys = self.keys(shape, rng);
        let updates = keys.into_iter().map(|key| {
            if all_kinds && rng.random_range(0..4) == 0 {
                return (key, Update::Delete { condition: Condition::Always, old: false });
            }
            let expiry = match self.expiry(shape, now, rng) {
                _ if !all_kinds => NewExpiry::Never,
                expiry => expiry,
            };
            let bytes = self.value(shape, rng);
            (key, Update::Put { bytes, expiry, condition: Condition::Always, old: false })
        });
        Request::Batch(updates.collect())
    }
}

fn addend(rng: &mut SmallRng) -> i64 {
    match rng.random_range(0..40) {
        0 => i64::MAX,
        1 => i64::MIN,
        _ => rng.random_range(-1000..1000),
    }
}
