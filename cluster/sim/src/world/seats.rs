//! The clients of a run, each with its connection.

use crate::client::{Client, Port};
use crate::options::Plan;
use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// With so little memory for what requests came to, nodes forget some.
const LITTLE_BYTES: usize = 4096;

/// A client and its connection.
pub struct Seat {
    pub client: Client,
    pub link: Link,
    /// It has nothing more to do in this run.
    pub is_retired: bool,
}

impl Seat {
    pub fn wants_connection(&self) -> bool {
        !self.is_retired && (self.client.is_hostile() || !self.client.is_finished())
    }
}

/// How a client is connected.
#[derive(Debug)]
pub enum Link {
    /// It isn't, and tries again from then on.
    None { retry_us: u64 },
    /// It waits to be taken.
    Knocking { port: Port },
    /// It is.
    Open { core: usize, conn: ConnId, is_finishing: bool },
    /// The node has closed the connection; this is still on its way.
    Closed {
        /// Bytes.
        bytes: VecDeque<u8>,
        /// Nothing was to be lost, and nobody but the client may have asked for it.
        is_orderly: bool,
        /// How many of the client's bytes the node had taken, if it closed the connection because it stops: what is in them
        /// is answered.
        drained: Option<u64>,
    },
}

impl Seat {
    /// All clients of a plan.
    pub fn all(plan: &Plan) -> Vec<Seat> {
        let value_bytes_max = plan.node.split().value_bytes_max().min(plan.node.value_bytes_max);
        let may_forget = plan.node.tuning.budgets.once < LITTLE_BYTES;
        let clients = plan.clients.iter().enumerate();
        let clients = clients.map(|(id, (dialect, shape))| Client::new(id, *dialect, shape.clone()));
        let hostile = plan.hostile.iter().zip(plan.clients.len()..);
        let hostile = hostile.map(|(dialect, id)| Client::hostile(id, *dialect, value_bytes_max));
        let careful = plan.careful.iter().zip(plan.clients.len() + plan.hostile.len()..);
        let careful =
            careful.map(|(&(dialect, operations), id)| Client::careful(id, dialect, operations, may_forget));
        let seat = |client| Seat { client, link: Link::None { retry_us: 0 }, is_retired: false };
        clients.chain(hostile).chain(careful).map(seat).collect()
    }
}
