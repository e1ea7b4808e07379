//! Commands on many keys: one request per partition, atomic there; the reply is put together from the parts.

use super::reply::{Shape, failure};
use super::{Call, RespSession, Taken, alone, ticket, with};
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::stats::Class;
use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::shard::request::{Answer, Condition, Op, PutExpiry, Request, Update};
use pinion_net::reactor::ConnId;
use pinion_net::resp::{Pairs, Sequence};

/// What is remembered of a command on many keys.
#[derive(Debug)]
pub struct Many {
    /// Places of the keys in the command, sorted by partition.
    order: Vec<u32>,
    /// Where each part begins in `order`, and the end of the last.
    starts: Vec<u32>,
    sum: Sum,
    /// Answers that are missing.
    missing: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    /// An array of values.
    Values,
    /// How many are there.
    There,
    /// How many were there.
    Existed,
    /// OK when all is done.
    AllDone,
}

/// Keys by partition: for each the partition and the places of its keys.
struct Groups {
    order: Vec<u32>,
    parts: Vec<(Partition, std::ops::Range<usize>)>,
}

/// Groups keys; `None` if a core they need has no room yet (then the connection is held).
fn group<'k>(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Option<Groups> {
    let mut homes: Vec<(Partition, usize, u32)> = Vec::new();
    for (place, key) in keys.enumerate() {
        let (partition, core) = turn.home(key);
        homes.push((partition, core, place as u32)); // there are at most 2^20 arguments
    }
    homes.sort_unstable();
    let mut parts: Vec<(Partition, std::ops::Range<usize>)> = Vec::new();
    for (index, &(partition, core, _)) in homes.iter().enumerate() {
        match parts.last_mut() {
            Some((last, places)) if *last == partition => places.end = index + 1,
            _ => {
                if !turn.has_room(core, conn) {
                    return None;
                }
                parts.push((partition, index..index + 1));
            }
        }
    }
    Some(Groups { order: homes.into_iter().map(|(_, _, place)| place).collect(), parts })
}

/// Begins the reply and says under which sequence.
fn begin(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    class: Class,
    sum: Sum,
    groups: &Groups,
) -> Option<Sequence> {
    let (keys, parts) = (groups.order.len(), groups.parts.len());
    let by_key = matches!(sum, Sum::Values | Sum::There);
    let starts = groups.parts.iter().map(|(_, places)| places.start as u32).chain([keys as u32]).collect();
    let missing = if by_key { keys } else { parts };
    let many = Many { order: groups.order.clone(), starts, sum, missing };
    let started_us = turn.hub.now.mono_us;
    let command = turn.hub.command;
    let call = Call { shape: Shape::Many, class, started_us, command, many: Some(Box::new(many)) };
    with(turn, conn, |resp| {
        let sequence = match sum {
            Sum::Values => resp.replies.begin_array(call, keys),
            Sum::There => resp.replies.begin_sum(call, keys),
            Sum::Existed => resp.replies.begin_sum(call, parts),
            Sum::AllDone => resp.replies.begin_all(call, parts),
        };
        resp.note(sequence)
    })
}

/// MGET.
pub fn get(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, keys: &[&[u8]]) -> Taken {
    read(turn, conn, keys, Sum::Values)
}

/// EXISTS of several keys.
pub fn exists(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, keys: &[&[u8]]) -> Taken {
    read(turn, conn, keys, Sum::There)
}

fn read(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, keys: &[&[u8]], sum: Sum) -> Taken {
    let Some(groups) = group(turn, conn, keys.iter().copied()) else { return Taken::NotYet };
    let Some(sequence) = begin(turn, conn, Class::Read, sum, &groups) else { return Taken::Yes };
    let mut wanted: Vec<&[u8]> = Vec::new();
    for (part, (partition, places)) in groups.parts.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(groups.order[places].iter().map(|&place| keys[place as usize]));
        let op = Op::GetMany { keys: &wanted };
        turn.submit(ticket(conn, sequence, part), Request { keyspace: Keyspace(0), partition, op });
    }
    Taken::Yes
}

/// MSET.
pub fn set(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, pairs: Pairs<'_>) -> Taken {
    let put =
        |value| Update::Put { value, expiry: PutExpiry::Never, condition: Condition::None, want_old: false };
    let updates: Vec<(&[u8], Update<'_>)> = pairs.iter().map(|(key, value)| (key, put(value))).collect();
    write(turn, conn, &updates, Sum::AllDone)
}

/// DEL of several keys.
pub fn delete(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, keys: &[&[u8]]) -> Taken {
    let delete = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
    let updates: Vec<(&[u8], Update<'_>)> = keys.iter().map(|&key| (key, delete)).collect();
    write(turn, conn, &updates, Sum::Existed)
}

fn write(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    updates: &[(&[u8], Update<'_>)],
    sum: Sum,
) -> Taken {
    let Some(groups) = group(turn, conn, updates.iter().map(|(key, _)| *key)) else { return Taken::NotYet };
    let slowest = slowest(turn, groups.parts.iter().map(|(partition, _)| *partition));
    if slowest.is_some_and(|core| !turn.may_write(conn, core, bytes_of(updates))) {
        return Taken::NotYet;
    }
    let Some(sequence) = begin(turn, conn, Class::Write, sum, &groups) else { return Taken::Yes };
    with(turn, conn, |resp| resp.wrote_to = slowest);
    let mut wanted: Vec<(&[u8], Update<'_>)> = Vec::new();
    for (part, (partition, places)) in groups.parts.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(groups.order[places].iter().map(|&place| updates[place as usize]));
        let op = Op::UpdateMany { updates: &wanted };
        turn.submit(ticket(conn, sequence, part), Request { keyspace: Keyspace(0), partition, op });
    }
    Taken::Yes
}

/// About how many bytes updates write.
fn bytes_of(updates: &[(&[u8], Update<'_>)]) -> usize {
    let value = |update: &Update<'_>| if let Update::Put { value, .. } = update { value.len() } else { 0 };
    updates.iter().map(|(key, update)| key.len() + value(update)).sum()
}

/// FLUSHDB, FLUSHALL: every partition of every core.
pub fn clear(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> Taken {
    if alone(turn, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let all: Vec<Partition> = turn.hub.node.placement.all().collect();
    let parts = all.iter().enumerate().map(|(index, &partition)| (partition, index..index + 1)).collect();
    let groups = Groups { order: vec![0; all.len()], parts };
    let Some(sequence) = begin(turn, conn, Class::Write, Sum::AllDone, &groups) else { return Taken::Yes };
    super::stay_alone(turn, conn);
    for (part, partition) in all.into_iter().enumerate() {
        let request = Request { keyspace: Keyspace(0), partition, op: Op::Clear };
        turn.submit(ticket(conn, sequence, part), request);
    }
    turn.hub.after_answers(turn.io, conn);
    Taken::Yes
}

/// The core of these partitions that holds writers back the longest.
fn slowest(turn: &Turn<'_, impl Sockets>, partitions: impl Iterator<Item = Partition>) -> Option<usize> {
    let delay =
        |core: usize| if core == turn.hub.me { turn.hub.delay_us } else { turn.hub.forwards.delay_us(core) };
    partitions.map(|partition| turn.hub.node.placement.core_of(partition)).max_by_key(|&core| delay(core))
}

/// Takes in the answer of a part; `true` if nothing is missing any more.
pub fn answer(
    resp: &mut RespSession,
    sequence: Sequence,
    part: usize,
    answer: &Answer<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(many) = resp.replies.context_mut(sequence).and_then(|call| call.many.as_deref_mut()) else {
        return true;
    };
    let (start, end) = (many.starts[part] as usize, many.starts[part + 1] as usize);
    let by_key = matches!(many.sum, Sum::Values | Sum::There);
    let sum = many.sum;
    if let Some(text) = failure(answer) {
        let failed = if by_key { end - start } else { 1 };
        many.missing -= failed;
        let last = many.missing == 0;
        resp.replies.fail(sequence, failed, &text, out);
        return last;
    }
    many.missing -= 1;
    let last = many.missing == 0;
    match (*answer, sum) {
        (Answer::Item { index, value }, Sum::Values) => {
            let place = many.order[start + index] as usize;
            resp.replies
                .item(sequence, place, out, |reply| reply.bulk_or_null(value.map(|value| value.bytes)));
        }
        (Answer::Item { value, .. }, _) => {
            resp.replies.add(sequence, i64::from(value.is_some()), out);
        }
        (Answer::Written { existed, .. }, Sum::Existed) => {
            resp.replies.add(sequence, i64::from(existed), out);
        }
        (Answer::Written { .. }, _) => {
            resp.replies.part_done(sequence, out);
        }
        (other, _) => {
            resp.replies.fail(sequence, 1, &format!("ERR internal error: answered {other:?}"), out);
        }
    }
    last
}

/// Refuses one item, because the connection has too many bytes waiting; `true` if nothing is missing any more. The whole
/// reply becomes the error. A count needs no value, so it takes the item.
pub fn refuse_item(resp: &mut RespSession, sequence: Sequence, out: &mut Vec<u8>) -> bool {
    let Some(many) = resp.replies.context_mut(sequence).and_then(|call| call.many.as_deref_mut()) else {
        return true;
    };
    many.missing -= 1;
    let (sum, last) = (many.sum, many.missing == 0);
    if sum == Sum::There {
        resp.replies.add(sequence, 1, out);
    } else {
        let text = "TRYAGAIN the values that wait for this connection are over the limit of 64 MiB; read them, or ask for fewer keys";
        resp.replies.fail(sequence, 1, text, out);
    }
    last
}
