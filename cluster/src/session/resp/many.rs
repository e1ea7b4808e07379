//! Commands on many keys: one request per partition, atomic there; the reply is put together from the parts.
//!
//! Every key and argument is checked before any part is done. The items of MGET are held until all are there, unless they
//! don't fit what a connection may have waiting: then they leave in order, as they come. A command of very many keys comes here
//! in runs ([`super::long`]).

use super::common::{self, alone, answer, request, stay_alone, ticket, with};
use super::gather::{Many, Run, Sum};
use super::reply::failure;
use super::state::{Call, Shape};
use crate::route::Owner;
use crate::session::backend::Backend;
use crate::session::groups::Groups;
use crate::session::intake::{Taken, group};
use crate::session::limits::ROOM_BYTES_MAX;
use crate::session::weight::Weight;
use crate::stats::Class;
use pinion_engine::key::Partition;
use pinion_engine::log::batch::BatchBuilder;
use pinion_engine::shard::ShardOptions;
use pinion_engine::shard::request::{Answer, Condition, Op, PutExpiry, Refusal, Update};
use pinion_net::reactor::ConnId;
use pinion_net::resp::long::RUN_ARGS_MAX;
use pinion_net::resp::{Pairs, Sequence};

/// Begins the reply, or goes on with that of a long command, and says under which sequence.
fn begin(
    backend: &mut impl Backend,
    conn: ConnId,
    class: Class,
    (sum, run): (Sum, Run),
    groups: &Groups,
) -> Option<Sequence> {
    let many = Some(Box::new(Many::new(groups, sum, run)));
    let started_us = backend.now().mono_us;
    let (command, keys) = (common::command(backend), groups.order.len());
    with(backend, conn, |resp| {
        if let Some(sequence) = run.of {
            if let Some(call) = resp.replies.context_mut(sequence) {
                call.many = many;
            }
            if sum == Sum::Values {
                resp.replies.expect(sequence, keys);
            }
            return sequence;
        }
        let call = Call { shape: Shape::Many, class, started_us, command, values: keys as u32, many };
        resp.values_due += keys;
        let sequence = match sum {
            Sum::Values => resp.replies.begin_array(call, keys),
            _ => resp.replies.begin(call),
        };
        resp.note(sequence)
    })
}

/// Why a key or a value isn't taken.
fn fault(key: &[u8], value: &[u8], value_bytes_max: usize) -> Option<Refusal<'static>> {
    if key.is_empty() || key.len() > ShardOptions::KEY_BYTES_MAX {
        return Some(Refusal::Limit("keys are 1 to 65,535 bytes long"));
    }
    (value.len() > value_bytes_max).then(|| Refusal::Limit(ShardOptions::value_limit(value_bytes_max)))
}

/// Why one of these arguments of a command that writes isn't taken, if one isn't.
pub fn first_fault(sum: Sum, args: &[&[u8]], value_bytes_max: usize) -> Option<Refusal<'static>> {
    match sum {
        Sum::AllDone => args.chunks_exact(2).find_map(|pair| fault(pair[0], pair[1], value_bytes_max)),
        Sum::Existed => args.iter().find_map(|key| fault(key, b"", value_bytes_max)),
        Sum::Values | Sum::There => None,
    }
}

/// Runs a command, or a run of one: `args` are its keys, or keys and values in turn.
pub fn run(backend: &mut impl Backend, conn: ConnId, (sum, run): (Sum, Run), args: &[&[u8]]) -> Taken {
    match sum {
        Sum::Values | Sum::There => read(backend, conn, args, (sum, run)),
        Sum::Existed => {
            let delete = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
            let updates: Vec<(&[u8], Update<'_>)> = args.iter().map(|&key| (key, delete)).collect();
            write(backend, conn, &updates, (sum, run))
        }
        Sum::AllDone => {
            let put = |value| Update::Put {
                value,
                expiry: PutExpiry::Never,
                condition: Condition::None,
                want_old: false,
            };
            let updates: Vec<(&[u8], Update<'_>)> =
                args.chunks_exact(2).map(|pair| (pair[0], put(pair[1]))).collect();
            write(backend, conn, &updates, (sum, run))
        }
    }
}

/// MGET.
pub fn get(backend: &mut impl Backend, conn: ConnId, keys: &[&[u8]]) -> Taken {
    run(backend, conn, (Sum::Values, Run::WHOLE), keys)
}

/// EXISTS of several keys.
pub fn exists(backend: &mut impl Backend, conn: ConnId, keys: &[&[u8]]) -> Taken {
    run(backend, conn, (Sum::There, Run::WHOLE), keys)
}

/// MSET.
pub fn set(backend: &mut impl Backend, conn: ConnId, pairs: Pairs<'_>) -> Taken {
    checked(backend, conn, Sum::AllDone, pairs.args())
}

/// DEL of several keys.
pub fn delete(backend: &mut impl Backend, conn: ConnId, keys: &[&[u8]]) -> Taken {
    checked(backend, conn, Sum::Existed, keys)
}

/// Runs a command that writes, if all of its arguments are fit.
fn checked(backend: &mut impl Backend, conn: ConnId, sum: Sum, args: &[&[u8]]) -> Taken {
    if let Some(refusal) = first_fault(sum, args, backend.node().limits.value_bytes_max as usize) {
        answer(backend, conn, |reply| {
            reply.error(failure(&Answer::Refused(refusal)).unwrap_or_default());
        });
        return Taken::Yes;
    }
    run(backend, conn, (sum, Run::WHOLE), args)
}

fn read(backend: &mut impl Backend, conn: ConnId, keys: &[&[u8]], (sum, run): (Sum, Run)) -> Taken {
    let Some(groups) = group(backend, conn, keys.iter().copied()) else { return Taken::NotYet };
    let Some(sequence) = begin(backend, conn, Class::Read, (sum, run), &groups) else { return Taken::Yes };
    let values = sum == Sum::Values;
    let per_key = backend.room_per_read(conn).min(ROOM_BYTES_MAX / keys.len().max(1));
    let mut wanted: Vec<&[u8]> = Vec::new();
    for (part, (partition, places)) in groups.parts.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(groups.order[places].iter().map(|&place| keys[place as usize]));
        let op = Op::GetMany { keys: &wanted, values };
        let request = request(backend, partition, op);
        backend.submit_read(ticket(conn, sequence, part), per_key * wanted.len(), request);
    }
    Taken::Yes
}

fn write(
    backend: &mut impl Backend,
    conn: ConnId,
    updates: &[(&[u8], Update<'_>)],
    (sum, run): (Sum, Run),
) -> Taken {
    let Some(groups) = group(backend, conn, updates.iter().map(|(key, _)| *key)) else {
        return Taken::NotYet;
    };
    if run.of.is_none() && has_long_part(&groups, updates) {
        answer(backend, conn, |reply| reply.error(format!("ERR {LONG_PART}")));
        return Taken::Yes;
    }
    let slowest = slowest(backend, groups.parts.iter().map(|(partition, _)| *partition));
    let weight = Weight::batch(updates);
    for (partition, _) in &groups.parts {
        let owner = backend.route().owner(*partition);
        if !backend.may_write(conn, owner, weight) {
            return Taken::NotYet;
        }
    }
    let Some(sequence) = begin(backend, conn, Class::Write, (sum, run), &groups) else { return Taken::Yes };
    with(backend, conn, |resp| resp.wrote_to = slowest);
    let mut wanted: Vec<(&[u8], Update<'_>)> = Vec::new();
    for (part, (partition, places)) in groups.parts.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(groups.order[places].iter().map(|&place| updates[place as usize]));
        let op = Op::UpdateMany { updates: &wanted };
        let request = request(backend, partition, op);
        backend.submit(ticket(conn, sequence, part), request);
    }
    Taken::Yes
}

/// Whether a partition's part is longer than a shard takes at once.
fn has_long_part(groups: &Groups, updates: &[(&[u8], Update<'_>)]) -> bool {
    let most = ShardOptions::BATCH_BYTES_MAX - RUN_ARGS_MAX * BatchBuilder::OP_BYTES;
    Weight::batch(updates).bytes > most
        && groups.parts.iter().any(|(_, places)| {
            let part = groups.order[places.clone()].iter().map(|&place| updates[place as usize]);
            part.map(|update| Weight::batch(&[update]).bytes).sum::<usize>() > most
        })
}

const LONG_PART: &str =
    "the values for one partition are over the limit of 24 MiB together; set them one by one";

/// FLUSHDB, FLUSHALL: every partition of every core.
pub fn clear(backend: &mut impl Backend, conn: ConnId) -> Taken {
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let all: Vec<Partition> = backend.route().topology.all().collect();
    let parts = all.iter().enumerate().map(|(index, &partition)| (partition, index..index + 1)).collect();
    let groups = Groups { order: vec![0; all.len()], parts };
    let what = (Sum::AllDone, Run::WHOLE);
    let Some(sequence) = begin(backend, conn, Class::Write, what, &groups) else { return Taken::Yes };
    stay_alone(backend, conn);
    for (part, partition) in all.into_iter().enumerate() {
        let request = request(backend, partition, Op::Clear);
        backend.submit(ticket(conn, sequence, part), request);
    }
    backend.after_answers(conn);
    Taken::Yes
}

/// The owner of these partitions that holds writers back the longest.
fn slowest(backend: &impl Backend, partitions: impl Iterator<Item = Partition>) -> Option<Owner> {
    partitions.map(|partition| backend.route().owner(partition)).max_by_key(|&owner| backend.delay_us(owner))
}
