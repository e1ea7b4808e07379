//! Connections come in, and what they send.

use super::backend::Backend;
use super::dialogue::Dialogue;
use super::resp::facts::Facts;
use super::resp::state::RespSession;
use super::wire::state::WireSession;
use super::{Session, Taken, resp, wire};
use crate::node::listeners::Speaks;
use pinion_net::reactor::ConnId;
use std::net::SocketAddr;

/// The session of a connection that came in on a listener which speaks this, and is this core's own or not.
pub fn accept(
    backend: &mut impl Backend,
    conn: ConnId,
    (speaks, own_port): (Speaks, bool),
    peer: SocketAddr,
) -> Session {
    let dialogue = match speaks {
        // Peers are nobody's session: the core keeps them apart.
        Speaks::Wire | Speaks::Peer => Dialogue::Wire(WireSession::default()),
        Speaks::Resp => {
            let (me, now_us) = (backend.me(), backend.now().mono_us);
            let local = backend.node().addresses.resp_of(own_port.then_some(me));
            let facts = Facts::new(backend.sessions().0.next_client_id(), peer, local, now_us);
            Dialogue::Resp(RespSession::new(facts, backend.node().resp_limits))
        }
    };
    Session::new(conn, dialogue, own_port)
}

/// Takes in what a connection sent.
#[inline]
pub fn received(backend: &mut impl Backend, conn: ConnId, bytes: &[u8]) -> Taken {
    match backend.session(conn).map(|session| &session.dialogue) {
        Some(Dialogue::Resp(_)) => resp::received(backend, conn, bytes),
        Some(Dialogue::Wire(_)) => wire::received(backend, conn, bytes),
        None => Taken { consumed: bytes.len(), need: 0 },
    }
}
