//! Texts about the server: INFO, CONFIG GET.

use super::common::{alone, answer, is_of_core, with};
use super::info_stats::{Scope, commandstats, cpu, errorstats, stats};
use super::scans;
use super::state::Shape;
use crate::config::Durability;
use crate::node::info::NodeInfo;
use crate::session::backend::Backend;
use crate::session::intake::Taken;
use crate::stats::published::Figure;
use crate::stats::storage;
use pinion_net::reactor::ConnId;
use std::fmt::Write;

/// The version of Redis whose commands these are.
pub const REDIS_VERSION: &str = "7.4.0";

/// A section of INFO: its name, whether it is told unasked, and what writes it.
type Section = (&'static str, bool, fn(&Scope<'_>) -> String);

const SECTIONS: [Section; 10] = [
    ("Server", true, server),
    ("Clients", true, clients_section),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("CPU", true, cpu),
    ("Commandstats", false, commandstats),
    ("Errorstats", true, errorstats),
    ("Cluster", true, |_| "cluster_enabled:1\r\n".to_owned()),
];

/// Entries up to which INFO counts the keys unasked: counting more would take longer than a look at the figures should.
const COUNTED_UNASKED_MAX: u64 = 250_000;

/// INFO: the sections that were asked for, or those that are told unasked.
pub(super) fn run(backend: &mut impl Backend, conn: ConnId, sections: &[&[u8]]) -> Taken {
    let counts = counts_keys(backend, conn, sections);
    if counts && alone(backend, conn) == Taken::NotYet {
        return Taken::NotYet;
    }
    let text = text(backend, conn, sections);
    if counts {
        with(backend, conn, |resp| resp.facts.info = text);
        return scans::count_all(backend, conn, Shape::Keyspace);
    }
    answer(backend, conn, |reply| reply.text(&text));
    Taken::Yes
}

/// Whether the section Keyspace is told: where it is asked for by its name, or where counting takes but a moment.
fn counts_keys(backend: &mut impl Backend, conn: ConnId, sections: &[&[u8]]) -> bool {
    let of_core = is_of_core(backend, conn);
    let (node, me) = (&backend.node(), backend.me());
    node.published.set(me, Figure::Entries, backend.entries());
    let is_named = sections.iter().any(|asked| asked.eq_ignore_ascii_case(b"keyspace"));
    let entries = node.published.get(of_core.then_some(me), Figure::Entries);
    is_named || is_wanted(sections, "keyspace", true) && entries <= COUNTED_UNASKED_MAX
}

fn text(backend: &mut impl Backend, conn: ConnId, sections: &[&[u8]]) -> String {
    let of_core = is_of_core(backend, conn);
    // This core's own are told as they are now.
    backend.publish();
    let (node, me) = (backend.node(), backend.me());
    node.published.set(me, Figure::Memory, storage::memory_bytes(&backend.shard_stats()));
    let (partitions, now_us) = (backend.route().topology.partitions(), backend.now().mono_us);
    let scope = Scope { node, partitions, me, core: of_core.then_some(me), now_us };
    let mut text = String::new();
    for (name, unasked, section) in SECTIONS {
        if is_wanted(sections, name, unasked) {
            let separator = if text.is_empty() { "" } else { "\r\n" };
            let _ = write!(text, "{separator}# {name}\r\n{}", section(&scope));
        }
    }
    text
}

/// Whether a section is among those asked for.
fn is_wanted(asked: &[&[u8]], name: &str, unasked: bool) -> bool {
    let fits = |asked: &&[u8]| {
        let is = |word: &str| asked.eq_ignore_ascii_case(word.as_bytes());
        is("all") || is("everything") || is(name) || unasked && is("default")
    };
    if asked.is_empty() { unasked } else { asked.iter().any(fits) }
}

/// CONFIG RESETSTAT: what is counted of the node, or of the core on its own port, begins at 0 again.
pub fn reset(backend: &mut impl Backend, conn: ConnId) {
    let own_port = backend.session(conn).is_some_and(|session| session.own_port);
    backend.publish();
    let (node, core) = (&backend.node(), own_port.then_some(backend.me()));
    node.published.reset(core);
    let tallies = core.map_or(&node.tallies[..], |core| &node.tallies[core..=core]);
    tallies.iter().for_each(|tally| tally.reset());
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
        node.cores,
        scope.partitions,
        scope.me,
    )
}

/// The limit on connections is the node's, also where one core is asked.
fn clients_section(scope: &Scope<'_>) -> String {
    let limit = scope.node.config.connections_max;
    let now = scope.get(Figure::Connections);
    format!("connected_clients:{now}\r\nmaxclients:{limit}\r\nblocked_clients:0\r\n")
}

fn memory(scope: &Scope<'_>) -> String {
    format!(
        "used_memory:{}\r\nused_memory_dataset:{}\r\nused_memory_scans:{}\r\nused_memory_clients:{}\r\n\
         maxmemory:{}\r\nmaxmemory_policy:noeviction\r\n",
        scope.get(Figure::Memory) + scope.get(Figure::Scans) + scope.get(Figure::Clients),
        scope.get(Figure::Memory),
        scope.get(Figure::Scans),
        scope.get(Figure::Clients),
        scope.share(scope.node.config.memory_bytes)
    )
}

fn persistence(scope: &Scope<'_>) -> String {
    let aof = u8::from(scope.node.config.durability != Durability::None);
    let read_only = scope.get(Figure::ReadOnly);
    let status = if read_only == 0 { "ok" } else { "err" };
    format!(
        "loading:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:{aof}\r\naof_last_write_status:{status}\r\n\
         read_only_shards:{read_only}\r\n"
    )
}

fn replication(scope: &Scope<'_>) -> String {
    let id = scope.node.run_id();
    format!("role:master\r\nconnected_slaves:0\r\nmaster_replid:{id}\r\nmaster_repl_offset:0\r\n")
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
