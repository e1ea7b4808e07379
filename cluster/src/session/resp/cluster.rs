//! CLUSTER: every core is a node of the cluster that clients see, with its own port.
//!
//! Hosts are those that the server listens on; where it listens on every address, the host is the one that the connection
//! which asks has reached.

use super::{Taken, answer, fail, scans, with};
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::node::NodeInfo;
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

/// The host of a core; empty (clients read it as "the one you used") only where it isn't known what was reached.
fn host(node: &NodeInfo, core: usize, reached: Option<IpAddr>) -> String {
    let bound = node.addresses.resp_of(Some(core)).map(|addr| addr.ip());
    bound.or(reached).map_or(String::new(), |ip| ip.to_string())
}

fn port(node: &NodeInfo, core: usize) -> i64 {
    node.addresses.resp_cores.get(core).map_or(0, |addr| i64::from(addr.port()))
}

/// The runs of slots of one core.
fn runs_of(node: &NodeInfo, core: usize) -> Vec<Range<u32>> {
    node.placement.slot_runs().into_iter().filter(|&(_, owner)| owner == core).map(|(run, _)| run).collect()
}

fn slots(reply: &mut Encoder<'_>, node: &NodeInfo, reached: Option<IpAddr>) {
    let runs = node.placement.slot_runs();
    reply.array(runs.len());
    for (run, core) in runs {
        reply.array(3);
        reply.integer(i64::from(run.start));
        reply.integer(i64::from(run.end) - 1);
        reply.array(4);
        reply.bulk(host(node, core, reached).as_bytes());
        reply.integer(port(node, core));
        reply.bulk(node.core_id(core).as_bytes());
        reply.array(0);
    }
}

fn shards(reply: &mut Encoder<'_>, node: &NodeInfo, reached: Option<IpAddr>) {
    reply.array(node.placement.cores());
    for core in 0..node.placement.cores() {
        let runs = runs_of(node, core);
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(runs.len() * 2);
        for run in runs {
            reply.integer(i64::from(run.start));
            reply.integer(i64::from(run.end) - 1);
        }
        reply.bulk(b"nodes");
        reply.array(1);
        let host = host(node, core, reached);
        let texts = [
            ("id", node.core_id(core)),
            ("ip", host.clone()),
            ("endpoint", host),
            ("role", "master".to_owned()),
            ("health", "online".to_owned()),
        ];
        reply.map(texts.len() + 2);
        for (name, text) in texts {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        reply.bulk(b"port");
        reply.integer(port(node, core));
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
    for core in 0..node.placement.cores() {
        let flags = if core == me { "myself,master" } else { "master" };
        let port = port(node, core);
        let host = host(node, core, reached);
        let _ = write!(text, "{} {host}:{port}@0 {flags} - 0 0 1 connected", node.core_id(core));
        for run in runs_of(node, core) {
            let _ = match run.len() {
                1 => write!(text, " {}", run.start),
                _ => write!(text, " {}-{}", run.start, run.end - 1),
            };
        }
        text.push('\n');
    }
    text
}
