//! CLUSTER: every core is a node of the cluster that clients see, with its own port.
//!
//! Hosts are those that the server listens on; where it listens on every address, the host is the one that the connection
//! which asks has reached.

use super::common::{answer, fail, with};
use super::scans;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::node::info::NodeInfo;
use crate::session::intake::Taken;
use pinion_net::reactor::ConnId;
use pinion_net::resp::{Cluster, Encoder};
use pinion_net::slot::Slot;
use std::fmt::Write;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// Runs a CLUSTER command.
pub fn run(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, command: Cluster<'_>) -> Taken {
    let node = Arc::clone(&turn.hub.node);
    let me = turn.hub.me;
    match command {
        Cluster::Slots => {
            let reached = with(turn, conn, |resp| resp.facts.host()).flatten();
            answer(turn, conn, |reply| slots(reply, &node, reached));
        }
        Cluster::Shards => {
            let reached = with(turn, conn, |resp| resp.facts.host()).flatten();
            answer(turn, conn, |reply| shards(reply, &node, reached));
        }
        Cluster::KeySlot(key) => answer(turn, conn, |reply| reply.integer(i64::from(Slot::of(key).number()))),
        Cluster::Info => answer(turn, conn, |reply| reply.text(&info(&node))),
        Cluster::Nodes => {
            // It is told "you talk to this core": how much there is it is told of this core from now on. redis-cli --cluster
            // info adds up what each node has, of which this connection is one.
            let reached = with(turn, conn, |resp| {
                resp.facts.told_as_core = true;
                resp.facts.host()
            });
            answer(turn, conn, |reply| reply.text(&nodes(&node, me, reached.flatten())));
        }
        Cluster::MyId => answer(turn, conn, |reply| reply.bulk(node.core_id(me).as_bytes())),
        Cluster::MyShardId => answer(turn, conn, |reply| reply.bulk(node.shard_name(me).as_bytes())),
        // No core has a replica, and between cores there are queues.
        Cluster::Replicas(id) => {
            match (0..node.placement.cores()).any(|core| node.core_id(core).as_bytes() == id) {
                true => answer(turn, conn, |reply| reply.array(0)),
                false => fail(turn, conn, [b"ERR Unknown node ", id].concat()),
            }
        }
        Cluster::Links => answer(turn, conn, |reply| reply.array(0)),
        Cluster::CountKeysInSlot(slot) => return scans::count(turn, conn, Slot::new(slot)),
        Cluster::GetKeysInSlot(slot, most) => {
            if let Some(slot) = Slot::new(slot) {
                return scans::keys_of_slot(turn, conn, slot, most);
            }
        }
    }
    Taken::Yes
}

/// What clients are told of a core: made once for a reply, which names it once for each of its runs of slots.
struct Told {
    id: String,
    /// Empty (clients read it as "the one you used") only where it isn't known what was reached.
    host: String,
    port: i64,
    /// Runs of slots.
    runs: Vec<Range<u32>>,
}

/// What is told of each core.
fn told(node: &NodeInfo, reached: Option<IpAddr>) -> Vec<Told> {
    let core = |core| {
        let bound = node.addresses.resp_of(Some(core)).map(|addr| addr.ip());
        Told {
            id: node.core_id(core),
            host: bound.or(reached).map_or(String::new(), |ip| ip.to_string()),
            port: node.addresses.resp_cores.get(core).map_or(0, |addr| i64::from(addr.port())),
            runs: Vec::new(),
        }
    };
    let mut cores: Vec<Told> = (0..node.placement.cores()).map(core).collect();
    for (run, core) in node.placement.slot_runs() {
        cores[core].runs.push(run);
    }
    cores
}

fn slots(reply: &mut Encoder<'_>, node: &NodeInfo, reached: Option<IpAddr>) {
    let (cores, runs) = (told(node, reached), node.placement.slot_runs());
    reply.array(runs.len());
    for (run, core) in runs {
        let core = &cores[core];
        reply.array(3);
        reply.integer(i64::from(run.start));
        reply.integer(i64::from(run.end) - 1);
        reply.array(4);
        reply.bulk(core.host.as_bytes());
        reply.integer(core.port);
        reply.bulk(core.id.as_bytes());
        reply.array(0);
    }
}

fn shards(reply: &mut Encoder<'_>, node: &NodeInfo, reached: Option<IpAddr>) {
    reply.array(node.placement.cores());
    for core in told(node, reached) {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(core.runs.len() * 2);
        for run in core.runs {
            reply.integer(i64::from(run.start));
            reply.integer(i64::from(run.end) - 1);
        }
        reply.bulk(b"nodes");
        reply.array(1);
        let texts = [
            ("id", core.id.as_str()),
            ("ip", &core.host),
            ("endpoint", &core.host),
            ("role", "master"),
            ("health", "online"),
        ];
        reply.map(texts.len() + 2);
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        reply.bulk(b"port");
        reply.integer(core.port);
        reply.bulk(b"replication-offset");
        reply.integer(0);
    }
}

fn info(node: &NodeInfo) -> String {
    let cores = node.placement.cores();
    format!(
        "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{cores}\r\ncluster_size:{cores}\r\n\
         cluster_current_epoch:1\r\ncluster_my_epoch:1\r\n"
    )
}

fn nodes(node: &NodeInfo, me: usize, reached: Option<IpAddr>) -> String {
    let mut text = String::new();
    for (core, told) in told(node, reached).into_iter().enumerate() {
        let flags = if core == me { "myself,master" } else { "master" };
        let Told { id, host, port, runs } = told;
        let _ = write!(text, "{id} {host}:{port}@0 {flags} - 0 0 1 connected");
        for run in runs {
            let _ = match run.len() {
                1 => write!(text, " {}", run.start),
                _ => write!(text, " {}-{}", run.start, run.end - 1),
            };
        }
        text.push('\n');
    }
    text
}
