//! Texts about the server and its clients: INFO, CLIENT LIST, CONFIG GET.

use super::RespSession;
use super::server::REDIS_VERSION;
use crate::config::Durability;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::node::NodeInfo;
use crate::session::Dialogue;
use crate::stats::Class;
use pinion_net::reactor::ConnId;
use std::fmt::Write;

/// A section of INFO: its name, and what writes it.
type Section<S> = (&'static str, fn(&mut Turn<'_, S>) -> String);

/// INFO: the sections that were asked for, or all. Counts are those of the core that answers.
pub fn text<S: Sockets>(turn: &mut Turn<'_, S>, sections: &[&[u8]]) -> String {
    let all: [Section<S>; 6] = [
        ("Server", server),
        ("Clients", clients_section),
        ("Memory", memory),
        ("Persistence", persistence),
        ("Stats", stats),
        ("Cluster", |_| "cluster_enabled:1\r\n".to_owned()),
    ];
    let everything = |name: &[u8]| {
        [&b"all"[..], b"everything", b"default"].iter().any(|all| name.eq_ignore_ascii_case(all))
    };
    let mut text = String::new();
    for (name, section) in all {
        let wanted = sections.is_empty()
            || sections.iter().any(|asked| everything(asked) || asked.eq_ignore_ascii_case(name.as_bytes()));
        if wanted {
            let separator = if text.is_empty() { "" } else { "\r\n" };
            let _ = write!(text, "{separator}# {name}\r\n{}", section(turn));
        }
    }
    text
}

fn server(turn: &mut Turn<'_, impl Sockets>) -> String {
    let node = &turn.hub.node;
    let uptime = turn.hub.now.unix_us.saturating_sub(node.started_unix_us) / 1_000_000;
    format!(
        "redis_version:{REDIS_VERSION}\r\npinion_version:{}\r\nredis_mode:cluster\r\nos:Linux\r\narch_bits:64\r\n\
         process_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n\
         shards:{}\r\npartitions:{}\r\nanswered_by_core:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        node.core_id(turn.hub.me),
        node.addresses.resp.map_or(0, |addr| addr.port()),
        uptime / 86_400,
        node.placement.cores(),
        node.placement.partitions(),
        turn.hub.me,
    )
}

fn clients_section(turn: &mut Turn<'_, impl Sockets>) -> String {
    let limit = turn.hub.node.config.connections_max;
    format!("connected_clients:{}\r\nmaxclients:{limit}\r\nblocked_clients:0\r\n", turn.hub.sessions.len())
}

fn memory(turn: &mut Turn<'_, impl Sockets>) -> String {
    let stats = turn.shard.stats();
    format!(
        "used_memory:{}\r\nused_memory_scans:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n",
        stats.memtable_bytes + stats.cache_bytes + stats.metadata_bytes,
        turn.hub.walks.charged_bytes(),
        turn.hub.node.config.memory_bytes
    )
}

fn persistence(turn: &mut Turn<'_, impl Sockets>) -> String {
    let aof = u8::from(turn.hub.node.config.durability != Durability::None);
    format!("loading:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:{aof}\r\naof_last_write_status:ok\r\n")
}

fn stats(turn: &mut Turn<'_, impl Sockets>) -> String {
    let stats = &turn.hub.stats;
    let commands: u64 = Class::ALL.iter().map(|&class| stats.classes[class as usize].answered).sum();
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{commands}\r\n\
         total_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\n",
        stats.connections_accepted, stats.received_bytes, stats.sent_bytes
    )
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
