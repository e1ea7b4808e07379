//! What taking in commands has in common, whatever the protocol.

use super::Hold;
use super::groups::Groups;
use crate::route::Owner;
use crate::session::backend::Backend;
use pinion_engine::key::Partition;
use pinion_net::reactor::ConnId;
use std::ops::Range;

/// What became of a command that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken in.
    Yes,
    /// Something must come first; it will be presented again.
    NotYet,
}

/// Holds a connection until its earlier requests are answered; `true` if it has none.
pub fn is_alone(backend: &mut impl Backend, conn: ConnId) -> bool {
    let under_way = backend.session(conn).is_some_and(|session| session.in_flight() > 0);
    if under_way {
        backend.hold(conn, Hold::Barrier);
    }
    !under_way
}

/// No more input; the end comes when everything is answered.
pub fn close(backend: &mut impl Backend, conn: ConnId) {
    if let Some(session) = backend.session(conn) {
        session.closing = true;
    }
}

/// Groups keys; `None` if an owner they need has no room yet (then the connection is held).
pub fn group<'k>(
    backend: &mut impl Backend,
    conn: ConnId,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Option<Groups> {
    let mut homes: Vec<(Partition, Owner, u32)> = Vec::new();
    for (place, key) in keys.enumerate() {
        let (partition, owner) = backend.route().home(key);
        homes.push((partition, owner, place as u32)); // a command has fewer than 2^24 keys
    }
    homes.sort_unstable();
    let mut parts: Vec<(Partition, Range<usize>)> = Vec::new();
    for (index, &(partition, owner, _)) in homes.iter().enumerate() {
        match parts.last_mut() {
            Some((last, places)) if *last == partition => places.end = index + 1,
            _ => {
                if !backend.has_room(owner, conn) {
                    return None;
                }
                parts.push((partition, index..index + 1));
            }
        }
    }
    Some(Groups { order: homes.into_iter().map(|(_, _, place)| place).collect(), parts })
}
