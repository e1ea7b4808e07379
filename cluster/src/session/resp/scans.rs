//! Commands that visit keys: SCAN, KEYS, DBSIZE, RANDOMKEY, CLUSTER COUNTKEYSINSLOT.
//!
//! On the shared port they see the whole node; on a core's own port they see that core, because a cluster client asks
//! every node of the cluster and puts the answers together.

use super::cursors::core_of;
use super::reply::Shape;
use super::{Call, RespSession, Taken, alone, answer, stay_alone, with};
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::session::walk::{Place, Task, Walk, by_core};
use crate::stats::Class;
use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::shard::request::Page;
use pinion_net::reactor::ConnId;
use pinion_net::resp::Scan;
use pinion_net::slot::Slot;

/// The most keys that one SCAN looks at.
const SCAN_COUNT_MAX: usize = 10_000;

/// SCAN.
pub fn scan(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, scan: Scan<'_>) -> Taken {
    if alone(turn, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let other_type = scan.kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(b"string"));
    let pattern = if other_type { Some(&b"[]"[..]) } else { scan.pattern };
    let task = Task::Collect {
        pattern: pattern.map(Box::from),
        limit: scan.count.min(SCAN_COUNT_MAX),
        seen: 0,
        items: Page::default(),
    };
    let cores = turn.hub.node.placement.cores();
    let partitions = visible(turn, conn);
    match (scan.cursor, core_of(scan.cursor)) {
        (0, _) => start(turn, conn, Shape::ScanPage, (partitions, first(), task), None),
        (cursor, Some(core)) if core == turn.hub.me => match turn.hub.cursors.take(cursor) {
            Some(place) => start(turn, conn, Shape::ScanPage, (partitions, place, task), None),
            None => no_cursor(turn, conn),
        },
        (cursor, Some(core)) if core < cores => {
            let task = Task::FindCursor { then: Box::new(task) };
            start(turn, conn, Shape::ScanPage, (partitions, first(), task), Some((core, cursor)))
        }
        _ => no_cursor(turn, conn),
    }
}

fn no_cursor(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> Taken {
    answer(turn, conn, |reply| {
        reply.error("ERR invalid cursor: it is too old or from before a restart; start again at 0");
    });
    Taken::Yes
}

/// KEYS.
pub fn keys(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, pattern: &[u8]) -> Taken {
    if alone(turn, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let task =
        Task::Collect { pattern: Some(pattern.into()), limit: usize::MAX, seen: 0, items: Page::default() };
    let partitions = visible(turn, conn);
    start(turn, conn, Shape::AllKeys, (partitions, first(), task), None)
}

/// DBSIZE, or the keys of a slot.
pub fn count(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, slot: Option<Slot>) -> Taken {
    if alone(turn, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let mut partitions = visible(turn, conn);
    if let Some(slot) = slot {
        let home = turn.hub.node.placement.partition_of_slot(slot.number());
        partitions.retain(|&partition| partition == home);
        let task = Task::CountSlot { count: 0, slot };
        return start(turn, conn, Shape::Count, (partitions, first(), task), None);
    }
    let groups = by_core(turn, &partitions);
    let Some(whom) = begin(turn, conn, Shape::Count) else { return Taken::Yes };
    turn.start_walk(Walk::counted(whom, Keyspace(0), groups, Vec::new()));
    Taken::Yes
}

/// RANDOMKEY: the first key from a place that the clock chooses.
pub fn random(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> Taken {
    if alone(turn, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let task = Task::Collect { pattern: None, limit: 1, seen: 0, items: Page::default() };
    let dice = turn.hub.now.mono_us.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let mut partitions = visible(turn, conn);
    let count = partitions.len().max(1);
    partitions.rotate_left(dice as usize % count);
    start(turn, conn, Shape::OneKey, (partitions, first(), task), None)
}

/// The partitions that this connection sees.
fn visible(turn: &mut Turn<'_, impl Sockets>, conn: ConnId) -> Vec<Partition> {
    let own_port = turn.hub.sessions.get(conn).is_some_and(|session| session.own_port);
    let placement = &turn.hub.node.placement;
    if own_port { placement.partitions_of(turn.hub.me) } else { placement.all().collect() }
}

/// The place where every scan begins.
fn first() -> Place {
    (Partition(0), Vec::new())
}

/// Begins the reply of a walk, which runs alone; says for whom it is.
fn begin(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, shape: Shape) -> Option<(ConnId, u64)> {
    let started_us = turn.hub.now.mono_us;
    let sequence = with(turn, conn, |resp| {
        let call = Call { shape, class: Class::Scan, started_us, values: 1, many: None };
        resp.values_due += 1;
        let sequence = resp.replies.begin(call);
        resp.note(sequence)
    })?;
    stay_alone(turn, conn);
    Some((conn, RespSession::request(sequence, 0)))
}

/// Starts a walk.
fn start(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    shape: Shape,
    (partitions, place, task): (Vec<Partition>, Place, Task),
    cursor: Option<(usize, u64)>,
) -> Taken {
    let Some(whom) = begin(turn, conn, shape) else { return Taken::Yes };
    let walk = Walk::new(whom, Keyspace(0), partitions, place, task);
    match cursor {
        None => turn.start_walk(walk),
        Some((core, cursor)) => turn.start_walk_at_cursor(walk, core, cursor),
    }
    Taken::Yes
}
