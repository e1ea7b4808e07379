//! Commands that visit keys: SCAN, KEYS, DBSIZE, RANDOMKEY, CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT.
//!
//! On the shared port they see the whole node; on a core's own port they see that core, because a cluster client asks
//! every node of the cluster and puts the answers together.

use super::common::{self, alone, answer, fail, is_of_core, stay_alone, with};
use super::cursors::core_of;
use super::state::{Call, RespSession, Shape};
use crate::session::backend::Backend;
use crate::session::intake::Taken;
use crate::session::pieces::Pieces;
use crate::session::sampling::Sampling;
use crate::session::walk::Walk;
use crate::session::walk::resume_point::ResumePoint;
use crate::session::walk::task::{Keys, Task};
use crate::stats::Class;
use crate::stats::published::Figure;
use pinion_engine::key::{Keyspace, Partition};
use pinion_net::reactor::ConnId;
use pinion_net::resp::Scan;
use pinion_net::slot::Slot;

/// The most keys that one SCAN looks at.
const SCAN_COUNT_MAX: usize = 10_000;

/// SCAN.
pub fn scan(backend: &mut impl Backend, conn: ConnId, scan: Scan<'_>) -> Taken {
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let other_type = scan.kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(b"string"));
    let pattern = if other_type { Some(&b"[]"[..]) } else { scan.pattern };
    let task = Task::Collect {
        keys: pattern.map_or(Keys::All, |pattern| Keys::Matching(pattern.into())),
        limit: scan.count.min(SCAN_COUNT_MAX),
        seen: 0,
        items: Pieces::default(),
    };
    let cores = backend.node().cores;
    let partitions = visible(backend, conn);
    match (scan.cursor, core_of(scan.cursor)) {
        (0, _) => start(backend, conn, Shape::ScanPage, (partitions, first(), task)),
        (cursor, Some(core)) if core == backend.me() => match backend.sessions().0.cursors.take(cursor) {
            Some(place) => start(backend, conn, Shape::ScanPage, (partitions, place, task)),
            None => no_cursor(backend, conn),
        },
        (cursor, Some(core)) if core < cores => {
            let task = Task::FindCursor { core, cursor, then: Box::new(task) };
            start(backend, conn, Shape::ScanPage, (partitions, first(), task))
        }
        _ => no_cursor(backend, conn),
    }
}

fn no_cursor(backend: &mut impl Backend, conn: ConnId) -> Taken {
    fail(backend, conn, super::reply::NO_CURSOR);
    Taken::Yes
}

/// KEYS.
pub fn keys(backend: &mut impl Backend, conn: ConnId, pattern: &[u8]) -> Taken {
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let keys = Keys::Matching(pattern.into());
    let task = Task::Collect { keys, limit: usize::MAX, seen: 0, items: Pieces::default() };
    let partitions = visible(backend, conn);
    start(backend, conn, Shape::AllKeys, (partitions, first(), task))
}

/// DBSIZE, or the keys of a slot.
pub fn count(backend: &mut impl Backend, conn: ConnId, slot: Option<Slot>) -> Taken {
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    if let Some(slot) = slot {
        let mut partitions = visible(backend, conn);
        let home = backend.route().topology.partition_of(slot);
        partitions.retain(|&partition| partition == home);
        let task = Task::CountSlot { count: 0, slot };
        return start(backend, conn, Shape::Count, (partitions, first(), task));
    }
    count_all(backend, conn, Shape::Count)
}

/// Counts the keys of the node, or of the core if this connection is told of that; it must be alone.
pub(super) fn count_all(backend: &mut impl Backend, conn: ConnId, shape: Shape) -> Taken {
    let of_core = is_of_core(backend, conn);
    let partitions = partitions(backend, of_core);
    let groups = backend.route().topology.by_core(&partitions);
    let Some(whom) = begin(backend, conn, shape) else { return Taken::Yes };
    backend.start_walk(Walk::counted(whom, Keyspace(0), groups, Vec::new()));
    Taken::Yes
}

/// CLUSTER GETKEYSINSLOT.
pub fn keys_of_slot(backend: &mut impl Backend, conn: ConnId, slot: Slot, most: usize) -> Taken {
    if most == 0 {
        answer(backend, conn, |reply| reply.array(0));
        return Taken::Yes;
    }
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let home = backend.route().topology.partition_of(slot);
    let mut partitions = visible(backend, conn);
    partitions.retain(|&partition| partition == home);
    let task = Task::Collect { keys: Keys::OfSlot(slot), limit: most, seen: 0, items: Pieces::default() };
    start(backend, conn, Shape::AllKeys, (partitions, first(), task))
}

/// RANDOMKEY.
pub fn random(backend: &mut impl Backend, conn: ConnId) -> Taken {
    if alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let (me, dice) = (backend.me(), backend.sessions().0.roll());
    backend.node().published.set(me, Figure::Entries, backend.entries());
    let mut cores = vec![Vec::new(); backend.node().cores];
    for partition in visible(backend, conn) {
        cores[backend.route().topology.core_of(partition)].push(partition);
    }
    let cores: Vec<(usize, Vec<Partition>)> = cores.into_iter().enumerate().collect();
    let weights = cores.iter().map(|(core, partitions)| {
        let entries = backend.node().published.get(Some(*core), Figure::Entries);
        if partitions.is_empty() { 0 } else { entries }
    });
    let weights: Vec<u64> = weights.collect();
    let first = by_weight(&weights, backend.sessions().0.roll());
    let task = Task::Sample(Sampling::new(dice, cores, first));
    start(backend, conn, Shape::OneKey, (Vec::new(), self::first(), task))
}

/// The place of one of these weights, each as likely as it weighs.
fn by_weight(weights: &[u64], dice: u64) -> usize {
    let total: u64 = weights.iter().sum();
    let mut at = ((u128::from(dice) * u128::from(total)) >> 64) as u64;
    let found = weights.iter().position(|&weight| match at.checked_sub(weight) {
        Some(rest) => {
            at = rest;
            false
        }
        None => true,
    });
    found.unwrap_or_default()
}

/// The partitions that this connection sees.
fn visible(backend: &mut impl Backend, conn: ConnId) -> Vec<Partition> {
    let own_port = backend.session(conn).is_some_and(|session| session.own_port);
    partitions(backend, own_port)
}

/// The partitions of this core, or all.
fn partitions(backend: &impl Backend, of_core: bool) -> Vec<Partition> {
    let topology = &backend.route().topology;
    if of_core { topology.partitions_of(backend.me()) } else { topology.all().collect() }
}

/// The place where every scan begins.
pub fn first() -> ResumePoint {
    (Partition(0), Vec::new())
}

/// Begins the reply of a walk, which runs alone; says for whom it is.
pub fn begin(backend: &mut impl Backend, conn: ConnId, shape: Shape) -> Option<(ConnId, u64)> {
    let (started_us, command) = (backend.now().mono_us, common::command(backend));
    let sequence = with(backend, conn, |resp| {
        let call = Call { shape, class: Class::Scan, started_us, command, values: 1, many: None };
        resp.values_due += 1;
        let sequence = resp.replies.begin(call);
        resp.note(sequence)
    })?;
    stay_alone(backend, conn);
    Some((conn, RespSession::request(sequence, 0)))
}

/// Starts a walk.
fn start(
    backend: &mut impl Backend,
    conn: ConnId,
    shape: Shape,
    (partitions, place, task): (Vec<Partition>, ResumePoint, Task),
) -> Taken {
    let Some(whom) = begin(backend, conn, shape) else { return Taken::Yes };
    let walk = Walk::new(whom, Keyspace(0), partitions, place, task);
    backend.start_walk(walk);
    Taken::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_as_likely_as_it_weighs() {
        let mut counts = [0; 4];
        for step in 0..100 {
            counts[by_weight(&[10, 0, 30, 60], u64::MAX / 100 * step)] += 1;
        }
        assert!(
            (9..=11).contains(&counts[0]) && counts[1] == 0 && (59..=61).contains(&counts[3]),
            "{counts:?}"
        );
        assert_eq!(by_weight(&[0, 0], u64::MAX), 0);
    }
}
