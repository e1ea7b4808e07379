//! SCAN and COUNT: requests on ranges of keys, as walks over the partitions.
//!
//! A page of a scan is in the order of keys, merged from all cores; its [`cursor`] is the first key that isn't on it. A
//! prefix with a whole `{tag}` needs only the tag's partition.

use super::common::{has_room_for_walk, with};
use super::cursor;
use super::state::Call;
use crate::session::backend::Backend;
use crate::session::intake::Taken;
use crate::session::walk::Walk;
use crate::stats::Class;
use pinion_engine::key::{Keyspace, Partition};
use pinion_net::reactor::ConnId;
use pinion_net::slot::{Slot, hashed_part};
use pinion_net::wire::{ErrorCode, Range, Responder, Scan};

/// Items of a page whose limit is left to the server.
const LIMIT_DEFAULT: usize = 1000;
/// Items of a page at most.
const LIMIT_MAX: usize = 100_000;

/// SCAN.
pub fn scan(backend: &mut impl Backend, conn: ConnId, responder: Responder, scan: Scan<'_>) -> Taken {
    if !has_room_for_walk(backend, conn) {
        return Taken::NotYet;
    }
    let limit = match scan.limit as usize {
        0 => LIMIT_DEFAULT,
        limit => limit.min(LIMIT_MAX),
    };
    let seal = cursor::seal(&backend.node().cluster_id(), &scan.range);
    let Some(cursor) = cursor::read(seal, scan.cursor) else {
        responder.refused(backend.output(conn), ErrorCode::BAD_CURSOR, "");
        return Taken::Yes;
    };
    let (from, to) = bounds(&scan.range);
    let from = from.max(cursor.to_vec());
    let Some(whom) = begin(backend, conn, responder, seal) else { return Taken::Yes };
    let groups = backend.route().topology.by_core(&partitions(backend, &scan.range));
    let limit_bytes = backend.page_bytes(limit, groups.len());
    let mut walk = Walk::merged(whom, Keyspace(0), groups, &from, (limit, limit_bytes));
    walk.to = to.into();
    walk.keys_only = scan.keys_only;
    walk.until_us = deadline_us(backend, conn);
    backend.start_walk(walk);
    Taken::Yes
}

/// COUNT.
pub fn count(backend: &mut impl Backend, conn: ConnId, responder: Responder, range: Range<'_>) -> Taken {
    if !has_room_for_walk(backend, conn) {
        return Taken::NotYet;
    }
    let (from, to) = bounds(&range);
    let Some(whom) = begin(backend, conn, responder, 0) else { return Taken::Yes };
    let groups = backend.route().topology.by_core(&partitions(backend, &range));
    let mut walk = Walk::counted(whom, Keyspace(0), groups, from);
    walk.to = to.into();
    walk.until_us = deadline_us(backend, conn);
    backend.start_walk(walk);
    Taken::Yes
}

/// When nobody waits any more for the request that is being taken in.
fn deadline_us(backend: &mut impl Backend, conn: ConnId) -> u64 {
    with(backend, conn, |wire| wire.asked.deadline_us).unwrap_or_default()
}

fn begin(backend: &mut impl Backend, conn: ConnId, responder: Responder, seal: u32) -> Option<(ConnId, u64)> {
    let started_us = backend.now().mono_us;
    let call = Call { seal, ..Call::new(responder, Class::Scan, started_us) };
    let id = with(backend, conn, |wire| {
        wire.walks += 1;
        wire.insert(call)
    });
    Some((conn, id?.request(0)))
}

/// First key, and first key beyond the end (empty: none), of what range and prefix have in common.
fn bounds(range: &Range<'_>) -> (Vec<u8>, Vec<u8>) {
    let from = range.from.max(range.prefix).to_vec();
    let beyond = beyond(range.prefix);
    let to = match (range.to, beyond) {
        (&[], None) => Vec::new(),
        (&[], Some(beyond)) => beyond,
        (to, None) => to.to_vec(),
        (to, Some(beyond)) => beyond.min(to.to_vec()),
    };
    (from, to)
}

/// The first key after all that start with `prefix`; `None` if there is none.
fn beyond(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < 0xff)?;
    let mut beyond = prefix[..=last].to_vec();
    beyond[last] += 1;
    Some(beyond)
}

/// The partitions that can have keys of a range.
fn partitions(backend: &impl Backend, range: &Range<'_>) -> Vec<Partition> {
    let topology = &backend.route().topology;
    let has_tag = hashed_part(range.prefix).len() < range.prefix.len();
    if has_tag { vec![topology.partition_of(Slot::of(range.prefix))] } else { topology.all().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_narrows_a_range() {
        let range = |from, to, prefix| Range { from, to, prefix };
        assert_eq!(bounds(&range(b"", b"", b"")), (vec![], vec![]));
        assert_eq!(bounds(&range(b"", b"", b"ab")), (b"ab".to_vec(), b"ac".to_vec()));
        assert_eq!(bounds(&range(b"abc", b"b", b"ab")), (b"abc".to_vec(), b"ac".to_vec()));
        assert_eq!(bounds(&range(b"a", b"abx", b"ab")), (b"ab".to_vec(), b"abx".to_vec()));
        assert_eq!(bounds(&range(b"", b"", b"a\xff\xff")), (b"a\xff\xff".to_vec(), b"b".to_vec()));
        assert_eq!(bounds(&range(b"", b"", b"\xff")), (b"\xff".to_vec(), vec![]));
    }
}
