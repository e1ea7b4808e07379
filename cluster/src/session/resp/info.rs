//! Texts about the server and its clients: INFO, CLIENT LIST, CONFIG GET.

use super::RespSession;
use super::server::REDIS_VERSION;
use crate::config::Durability;
use crate::core::handler::memory_bytes;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::node::NodeInfo;
use crate::session::Dialogue;
use crate::stats::published::Figure;
use pinion_net::reactor::ConnId;
use std::fmt::Write;

/// Of whom INFO tells: on the common port of the node, on a core's own port of that core, as a cluster client expects
/// which asks every master and puts the answers together.
struct Scope<'n> {
    node: &'n NodeInfo,
    /// The core that answers.
    me: usize,
    /// The one that is told of, if it is one.
    core: Option<usize>,
    now_us: u64,
}

/// A section of INFO: its name, and what writes it.
type Section = (&'static str, fn(&Scope<'_>) -> String);

const SECTIONS: [Section; 7] = [
    ("Server", server),
    ("Clients", clients_section),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", |_| "cluster_enabled:1\r\n".to_owned()),
];

/// INFO: the sections that were asked for, or all.
pub fn text(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, sections: &[&[u8]]) -> String {
    let own_port = turn.hub.sessions.get(conn).is_some_and(|session| session.own_port);
    // This core's own are told as they are now.
    turn.hub.publish();
    let (node, me) = (&*turn.hub.node, turn.hub.me);
    node.published.set(me, Figure::Memory, memory_bytes(&turn.shard.stats()));
    let scope = Scope { node, me, core: own_port.then_some(me), now_us: turn.hub.now.mono_us };
    let everything = |name: &[u8]| {
        [&b"all"[..], b"everything", b"default"].iter().any(|all| name.eq_ignore_ascii_case(all))
    };
    let mut text = String::new();
    for (name, section) in SECTIONS {
        let wanted = sections.is_empty()
            || sections.iter().any(|asked| everything(asked) || asked.eq_ignore_ascii_case(name.as_bytes()));
        if wanted {
            let separator = if text.is_empty() { "" } else { "\r\n" };
            let _ = write!(text, "{separator}# {name}\r\n{}", section(&scope));
        }
    }
    text
}

impl Scope<'_> {
    fn get(&self, figure: Figure) -> u64 {
        self.node.published.get(self.core, figure)
    }

    /// The part of what the node has in all.
    fn share(&self, of_node: u64) -> u64 {
        if self.core.is_some() { of_node / self.node.placement.cores() as u64 } else { of_node }
    }
}

fn server(scope: &Scope<'_>) -> String {
    let node = scope.node;
    let uptime = scope.now_us / 1_000_000;
    let (port, whose) = match scope.core {
        Some(core) => (node.addresses.resp_cores.get(core).copied(), format!("core {core}")),
        None => (node.addresses.resp, "node".to_owned()),
    };
    format!(
        "redis_version:{REDIS_VERSION}\r\npinion_version:{}\r\nredis_mode:cluster\r\nos:Linux\r\narch_bits:64\r\n\
         process_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n\
         shards:{}\r\npartitions:{}\r\nfigures_of:{whose}\r\nanswered_by_core:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        node.run_id(),
        port.map_or(0, |addr| addr.port()),
        uptime / 86_400,
        node.placement.cores(),
        node.placement.partitions(),
        scope.me,
    )
}

/// The limit on connections is one of each core.
fn clients_section(scope: &Scope<'_>) -> String {
    let cores = if scope.core.is_some() { 1 } else { scope.node.placement.cores() };
    let limit = scope.node.config.connections_max * cores;
    let now = scope.get(Figure::Connections);
    format!("connected_clients:{now}\r\nmaxclients:{limit}\r\nblocked_clients:0\r\n")
}

fn memory(scope: &Scope<'_>) -> String {
    format!(
        "used_memory:{}\r\nused_memory_scans:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n",
        scope.get(Figure::Memory),
        scope.get(Figure::Scans),
        scope.share(scope.node.config.memory_bytes)
    )
}

fn persistence(scope: &Scope<'_>) -> String {
    let aof = u8::from(scope.node.config.durability != Durability::None);
    format!("loading:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:{aof}\r\naof_last_write_status:ok\r\n")
}

fn stats(scope: &Scope<'_>) -> String {
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
         total_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\n",
        scope.get(Figure::Accepted),
        scope.get(Figure::Commands),
        scope.get(Figure::Received),
        scope.get(Figure::Sent)
    )
}

fn replication(scope: &Scope<'_>) -> String {
    let id = scope.node.run_id();
    format!("role:master\r\nconnected_slaves:0\r\nmaster_replid:{id}\r\nmaster_repl_offset:0\r\n")
}

/// CLIENT LIST: the connections of this core that speak RESP.
pub fn clients(turn: &mut Turn<'_, impl Sockets>) -> String {
    let mut lines = String::new();
    for session in turn.hub.sessions.iter() {
        if let Dialogue::Resp(resp) = &session.dialogue {
            lines.push_str(&client(session.conn, resp));
        }
    }
    lines
}

/// One connection's line.
pub fn client(conn: ConnId, resp: &RespSession) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (library, version) = &resp.library;
    format!(
        "id={} addr={} name={} db=0 resp={} lib-name={} lib-ver={}\n",
        conn.to_u64() & i64::MAX as u64,
        resp.peer.map_or(String::new(), |peer| peer.to_string()),
        text(&resp.name),
        resp.replies.protocol().number(),
        text(library),
        text(version),
    )
}

/// What CONFIG GET knows.
pub fn parameters(node: &NodeInfo) -> Vec<(&'static str, String)> {
    let appendfsync = match node.config.durability {
        Durability::Sync => "always",
        Durability::IntervalMs(_) => "everysec",
        Durability::None => "no",
    };
    let appendonly = if node.config.durability == Durability::None { "no" } else { "yes" };
    vec![
        ("appendfsync", appendfsync.to_owned()),
        ("appendonly", appendonly.to_owned()),
        ("cluster-enabled", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("dir", node.config.dir.display().to_string()),
        ("maxclients", node.config.connections_max.to_string()),
        ("maxmemory", node.config.memory_bytes.to_string()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", node.addresses.resp.map_or(0, |addr| addr.port()).to_string()),
        ("proto-max-bulk-len", node.config.value_bytes_max.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ]
}
