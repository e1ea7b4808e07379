//! A backend for tests: it notes what sessions ask, and its connections' bytes lie in memory.

use super::backend::Backend;
use super::bulk::{Bulk, Share};
use super::receive;
use super::settled::Settled;
use super::sockets::Sockets;
use super::table::Sessions;
use super::walk::Walk;
use super::weight::Weight;
use super::{Hold, Taken};
use crate::config::Config;
use crate::mesh::{Limits, mesh};
use crate::node::info::NodeInfo;
use crate::node::listeners::{Addresses, Others, Speaks};
use crate::node::run::RunId;
use crate::route::{Owner, Route};
use crate::stats::CoreStats;
use crate::topology::current::{Current, View};
use pinion_engine::drive::StoreFile;
use pinion_engine::shard::request::{Op, Request, Ticket};
use pinion_engine::shard::{Now, ShardStats};
use pinion_net::reactor::{ConnId, ConnectError, Holding};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// See the module's text.
pub struct Noted {
    pub node: NodeInfo,
    pub route: Route,
    pub sessions: Sessions,
    pub outputs: Outputs,
    /// For each request its owner, its ticket, and what it asks.
    pub asked: Vec<(Owner, Ticket, String)>,
    /// What had its last answer.
    pub settled: Vec<Settled>,
    /// No owner has room.
    pub is_full: bool,
    stats: CoreStats,
    bulk: Bulk,
}

/// What connections were sent.
#[derive(Default)]
pub struct Outputs(HashMap<ConnId, Vec<u8>>);

const CORES: u32 = 2;

impl Noted {
    /// Core 0 of two, whose topology is in `current` from now on.
    pub fn new() -> (Noted, Arc<Current>) {
        let addr = SocketAddr::from(([127, 0, 0, 1], 7400));
        let addresses = Addresses {
            kv: addr,
            resp: Some(addr),
            admin: None,
            kv_cores: vec![addr; CORES as usize],
            resp_cores: vec![addr; CORES as usize],
            others: Others::default(),
        };
        let store = StoreFile { id: [7; 16], shards: CORES, partitions: 16, layout: 0, is_made: true };
        let node = NodeInfo::new(Config::ephemeral("/test"), addresses, &store, 1, RunId::of_seed(1));
        let current = Arc::new(Current::new(node.first_topology()));
        let port = mesh(CORES as usize, Limits::default()).swap_remove(0);
        let noted = Noted {
            route: Route::new(0, View::new(Arc::clone(&current)), port),
            node,
            sessions: Sessions::new((0, CORES as usize), 1, 1),
            outputs: Outputs::default(),
            asked: Vec::new(),
            settled: Vec::new(),
            is_full: false,
            stats: CoreStats::default(),
            bulk: Bulk::default(),
        };
        (noted, current)
    }

    /// A connection comes in.
    pub fn connect(&mut self, speaks: Speaks) -> ConnId {
        let conn = ConnId::from_u64(0);
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let session = receive::accept(self, conn, (speaks, false), peer);
        self.sessions.insert(session);
        conn
    }

    /// It sends something.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8]) -> Taken {
        receive::received(self, conn, bytes)
    }
}

impl Backend for Noted {
    type Sockets = Outputs;

    fn sessions(&mut self) -> (&mut Sessions, &mut Outputs) {
        (&mut self.sessions, &mut self.outputs)
    }

    fn node(&self) -> &NodeInfo {
        &self.node
    }

    fn route(&self) -> &Route {
        &self.route
    }

    fn now(&self) -> Now {
        Now::default()
    }

    fn wall_ms(&self) -> u64 {
        0
    }

    fn server_us(&self) -> u64 {
        0
    }

    fn must_stop(&mut self, conn: ConnId) -> bool {
        self.sessions.get(conn).is_none_or(|session| session.is_held())
    }

    fn hold(&mut self, conn: ConnId, hold: Hold) {
        if let Some(session) = self.sessions.get(conn) {
            session.hold(hold);
        }
    }

    fn slice(&mut self, conn: ConnId) {
        self.hold(conn, Hold::Slice);
    }

    fn after_answers(&mut self, _conn: ConnId) {}

    fn spend(&mut self, _bytes: usize) {}

    fn has_room(&mut self, _owner: Owner, conn: ConnId) -> bool {
        if self.is_full {
            self.hold(conn, Hold::Credit);
        }
        !self.is_full
    }

    fn may_write(&mut self, _conn: ConnId, _owner: Owner, _weight: Weight) -> bool {
        true
    }

    fn has_time_for(&mut self, _conn: ConnId, _owner: Owner, _op: &Op<'_>) -> bool {
        true
    }

    fn begin_batch(&mut self, ops: usize, conn: ConnId) -> Option<Share> {
        self.bulk.begin(ops, conn)
    }

    fn delay_us(&self, _owner: Owner) -> u32 {
        0
    }

    fn throttle(&mut self, _conn: ConnId, _owner: Owner) {}

    fn room_per_read(&mut self, _conn: ConnId) -> usize {
        usize::MAX
    }

    fn submit_read(&mut self, ticket: Ticket, _room: usize, request: Request<'_>) {
        let owner = self.route.owner(request.partition);
        self.asked.push((owner, ticket, format!("{:?}", request.op)));
    }

    fn submit_single(&mut self, _conn: ConnId, owner: Owner, ticket: Ticket, request: Request<'_>) {
        self.asked.push((owner, ticket, format!("{:?}", request.op)));
    }

    fn start_walk(&mut self, _walk: Walk) {}

    fn page_bytes(&self, _items: usize, _lanes: usize) -> usize {
        1 << 20
    }

    fn settle(&mut self, settled: Settled) {
        self.settled.push(settled);
    }

    fn stats(&mut self) -> &mut CoreStats {
        &mut self.stats
    }

    fn publish(&self) {}

    fn shard_stats(&self) -> ShardStats {
        ShardStats::default()
    }

    fn entries(&self) -> u64 {
        0
    }
}

impl Sockets for Outputs {
    fn connect(&mut self, _: SocketAddr, _: Duration, _: u64) -> Result<ConnId, ConnectError> {
        Err(ConnectError::Full)
    }

    fn output(&mut self, conn: ConnId) -> &mut Vec<u8> {
        self.0.entry(conn).or_default()
    }

    fn queued(&self, conn: ConnId) -> usize {
        self.0.get(&conn).map_or(0, Vec::len)
    }

    fn is_over_budget(&self, _conn: ConnId) -> bool {
        false
    }

    fn tell_when_drained(&mut self, _conn: ConnId) {}

    fn pause(&mut self, _conn: ConnId) {}

    fn resume(&mut self, _conn: ConnId) {}

    fn wants(&mut self, _conn: ConnId, _bytes: usize) {}

    fn held_bytes(&self) -> usize {
        0
    }

    fn ending_bytes(&self) -> usize {
        0
    }

    fn kept(&self, _conn: ConnId) -> usize {
        0
    }

    fn holding(&self, _conn: ConnId) -> Holding {
        Holding::default()
    }

    fn close(&mut self, _conn: ConnId) {}

    fn abort(&mut self, _conn: ConnId) {}

    fn stop_accepting(&mut self) {}

    fn stop(&mut self) {}
}
