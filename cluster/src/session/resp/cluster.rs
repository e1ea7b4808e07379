//! CLUSTER: every core is a node of the cluster that clients see, with its own port.
//!
//! Hosts are those that the server listens on; where it listens on every address, the host is the one that the connection
//! which asks has reached.

use super::common::{answer, fail, with};
use super::scans;
use crate::session::backend::Backend;
use crate::session::intake::Taken;
use crate::topology::Topology;
use crate::topology::member::Member;
use pinion_net::reactor::ConnId;
use pinion_net::resp::{Cluster, Encoder};
use pinion_net::slot::Slot;
use pinion_net::wire::Home;
use std::fmt::Write;
use std::net::IpAddr;
use std::ops::Range;

/// Runs a CLUSTER command.
pub fn run(backend: &mut impl Backend, conn: ConnId, command: Cluster<'_>) -> Taken {
    let topology = backend.route().topology.share();
    let me = backend.me();
    match command {
        Cluster::Slots => {
            let reached = with(backend, conn, |resp| resp.facts.host()).flatten();
            answer(backend, conn, |reply| slots(reply, &topology, reached));
        }
        Cluster::Shards => {
            let reached = with(backend, conn, |resp| resp.facts.host()).flatten();
            answer(backend, conn, |reply| shards(reply, &topology, reached));
        }
        Cluster::KeySlot(key) => {
            answer(backend, conn, |reply| reply.integer(i64::from(Slot::of(key).number())))
        }
        Cluster::Info => answer(backend, conn, |reply| reply.text(&info(&topology))),
        Cluster::Nodes => {
            // It is told "you talk to this core": how much there is it is told of this core from now on. redis-cli --cluster
            // info adds up what each node has, of which this connection is one.
            let reached = with(backend, conn, |resp| {
                resp.facts.told_as_core = true;
                resp.facts.host()
            });
            answer(backend, conn, |reply| reply.text(&nodes(&topology, me, reached.flatten())));
        }
        Cluster::MyId => answer(backend, conn, |reply| reply.bulk(topology.me().core_id(me).as_bytes())),
        Cluster::MyShardId => {
            answer(backend, conn, |reply| reply.bulk(topology.me().shard_name(me).as_bytes()))
        }
        // No core has a replica, and between cores there are queues.
        Cluster::Replicas(id) => {
            match cores(&topology).any(|(member, core)| member.core_id(core).as_bytes() == id) {
                true => answer(backend, conn, |reply| reply.array(0)),
                false => fail(backend, conn, [b"ERR Unknown node ", id].concat()),
            }
        }
        Cluster::Links => answer(backend, conn, |reply| reply.array(0)),
        Cluster::CountKeysInSlot(slot) => return scans::count(backend, conn, Slot::new(slot)),
        Cluster::GetKeysInSlot(slot, most) => {
            if let Some(slot) = Slot::new(slot) {
                return scans::keys_of_slot(backend, conn, slot, most);
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

/// All cores of all nodes.
fn cores(topology: &Topology) -> impl Iterator<Item = (&Member, usize)> {
    topology.members().iter().flat_map(|member| (0..member.cores()).map(move |core| (member, core)))
}

/// What is told of each core of each node.
fn told(topology: &Topology, reached: Option<IpAddr>) -> Vec<Vec<Told>> {
    let of_core = |member: &Member, core| Told {
        id: member.core_id(core),
        host: member.resp_host.or(reached).map_or(String::new(), |ip| ip.to_string()),
        port: member.resp_core_ports.get(core).map_or(0, |&port| i64::from(port)),
        runs: Vec::new(),
    };
    let of_node = |member: &Member| (0..member.cores()).map(|core| of_core(member, core)).collect();
    let mut nodes: Vec<Vec<Told>> = topology.members().iter().map(of_node).collect();
    for (run, Home { node, core }) in topology.slot_runs() {
        nodes[usize::from(node)][usize::from(core)].runs.push(run);
    }
    nodes
}

fn slots(reply: &mut Encoder<'_>, topology: &Topology, reached: Option<IpAddr>) {
    let (nodes, runs) = (told(topology, reached), topology.slot_runs());
    reply.array(runs.len());
    for (run, Home { node, core }) in runs {
        let core = &nodes[usize::from(node)][usize::from(core)];
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

fn shards(reply: &mut Encoder<'_>, topology: &Topology, reached: Option<IpAddr>) {
    reply.array(cores(topology).count());
    for core in told(topology, reached).into_iter().flatten() {
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

fn info(topology: &Topology) -> String {
    let (cores, epoch) = (cores(topology).count(), topology.epoch());
    format!(
        "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{cores}\r\ncluster_size:{cores}\r\n\
         cluster_current_epoch:{epoch}\r\ncluster_my_epoch:{epoch}\r\n"
    )
}

fn nodes(topology: &Topology, me: usize, reached: Option<IpAddr>) -> String {
    let (my_id, epoch, mut text) = (topology.me().core_id(me), topology.epoch(), String::new());
    for Told { id, host, port, runs } in told(topology, reached).into_iter().flatten() {
        let flags = if id == my_id { "myself,master" } else { "master" };
        let _ = write!(text, "{id} {host}:{port}@0 {flags} - 0 0 {epoch} connected");
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
