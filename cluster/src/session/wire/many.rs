//! Requests on many keys: one request per partition, atomic there; the response is put together from the parts.
//!
//! A response is one frame, so its values are gathered before it leaves: as many as fit it, and as the memory for connections
//! has room for, one at least. Those left out are asked for again by the client. A long value is gathered in pieces that are
//! freed as they are copied into the response, so that it isn't there twice.

use super::common::{request, ticket, with};
use super::gather::{Gather, Kind};
use super::state::{Call, CallId};
use super::translate::{condition, put_expiry};
use crate::session::backend::Backend;
use crate::session::groups::Groups;
use crate::session::intake::{Taken, group};
use crate::session::limits::ROOM_BYTES_MAX;
use crate::session::weight::Weight;
use crate::stats::Class;
use pinion_engine::key::Partition;
use pinion_engine::shard::request::{Once, Op, PutExpiry, Update};
use pinion_net::reactor::ConnId;
use pinion_net::wire::{BatchOps, Condition, ErrorCode, KeyList, OpKind, Responder};

fn begin(
    backend: &mut impl Backend,
    conn: ConnId,
    responder: Responder,
    class: Class,
    gather: Gather,
) -> Option<CallId> {
    let started_us = backend.now().mono_us;
    let call = Call { gather: Some(Box::new(gather)), ..Call::new(responder, class, started_us) };
    with(backend, conn, |wire| wire.insert(call))
}

/// MULTI-GET.
pub fn get(backend: &mut impl Backend, conn: ConnId, responder: Responder, list: KeyList<'_>) -> Taken {
    let keys: Vec<&[u8]> = list.iter().collect();
    if keys.is_empty() {
        responder.results(backend.output(conn), 0, 0).finish(backend.output(conn));
        return Taken::Yes;
    }
    let Some(groups) = group(backend, conn, keys.iter().copied()) else { return Taken::NotYet };
    let gather = Gather::new(Kind::Values, &groups, None);
    let Some(id) = begin(backend, conn, responder, Class::Read, gather) else { return Taken::Yes };
    let per_key = backend.room_per_read(conn).min(ROOM_BYTES_MAX / keys.len());
    let mut wanted: Vec<&[u8]> = Vec::new();
    for (part, (partition, places)) in groups.parts.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(groups.order[places].iter().map(|&place| keys[place as usize]));
        let op = Op::GetMany { keys: &wanted, values: true };
        let request = request(backend, conn, partition, (op, None));
        backend.submit_read(ticket(conn, id, part), per_key * wanted.len(), request);
    }
    Taken::Yes
}

/// BATCH.
pub fn batch(
    backend: &mut impl Backend,
    conn: ConnId,
    responder: Responder,
    (ops, once): (BatchOps<'_>, Option<&Once>),
) -> Taken {
    let Some(share) = backend.begin_batch(ops.len(), conn) else { return Taken::NotYet };
    let updates: Vec<(&[u8], Update<'_>)> = ops
        .iter()
        .map(|op| {
            let update = match op.kind {
                OpKind::Put { value, expiry } => Update::Put {
                    value,
                    expiry: put_expiry(expiry),
                    condition: condition(Condition::None),
                    want_old: false,
                },
                OpKind::Delete => Update::Delete {
                    condition: condition(Condition::None),
                    want_old: false,
                    want_existed: false,
                },
            };
            (op.key, update)
        })
        .collect();
    if updates.is_empty() {
        responder.outcomes(backend.output(conn)).finish(backend.output(conn));
        return Taken::Yes;
    }
    if updates.iter().any(|(_, update)| expires_too_late(update, backend.wall_ms())) {
        let text = "an expiry lies beyond what 64 bits of milliseconds hold; nothing of the batch was done";
        responder.refused(backend.output(conn), ErrorCode::LIMIT, text);
        return Taken::Yes;
    }
    let keys = updates.iter().map(|(key, _)| *key);
    let Some(groups) = group(backend, conn, keys) else { return Taken::NotYet };
    let weight = Weight::batch(&updates);
    for (partition, _) in &groups.parts {
        let owner = backend.route().owner(*partition);
        if !backend.may_write(conn, owner, weight) {
            return Taken::NotYet;
        }
    }
    let gather = Gather::new(Kind::Outcomes, &groups, Some(share));
    let Some(id) = begin(backend, conn, responder, Class::Write, gather) else { return Taken::Yes };
    let mut wanted: Vec<(&[u8], Update<'_>)> = Vec::new();
    for (part, (partition, places)) in groups.parts.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(groups.order[places].iter().map(|&place| updates[place as usize]));
        let owner = backend.route().owner(partition);
        with(backend, conn, |wire| wire.wrote_to = Some(owner));
        let op = Op::UpdateMany { updates: &wanted };
        let request = request(backend, conn, partition, (op, once));
        backend.submit(ticket(conn, id, part), request);
    }
    Taken::Yes
}

/// Whether a shard would refuse this expiry, and so a part of the batch beside others that are done.
fn expires_too_late(update: &Update<'_>, now_ms: u64) -> bool {
    matches!(update, Update::Put { expiry: PutExpiry::After(ms), .. } if now_ms.checked_add(*ms).is_none())
}

/// CLEAR: every partition of every core.
pub fn clear(backend: &mut impl Backend, conn: ConnId, responder: Responder, once: Option<&Once>) -> Taken {
    let partitions: Vec<Partition> = backend.route().topology.all().collect();
    let parts = partitions.iter().map(|&partition| (partition, 0..0)).collect();
    let gather = Gather::new(Kind::AllDone, &Groups { order: Vec::new(), parts }, None);
    let Some(id) = begin(backend, conn, responder, Class::Write, gather) else { return Taken::Yes };
    for (part, partition) in partitions.into_iter().enumerate() {
        let request = request(backend, conn, partition, (Op::Clear, once));
        backend.submit(ticket(conn, id, part), request);
    }
    Taken::Yes
}
