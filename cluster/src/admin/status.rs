//! The status document: what the node is and how its shards do, as JSON.

use super::NodeFacts;
use crate::stats::{Class, CoreStats, StorageStats};
use serde::Serialize;

/// `/v1/status`.
#[derive(Serialize)]
pub struct Status<'a> {
    version: &'static str,
    state: &'static str,
    uptime_s: u64,
    #[serde(flatten)]
    node: &'a NodeFacts,
    shards: Vec<Shard<'a>>,
    /// Shards that gave no figures in time.
    silent: usize,
}

#[derive(Serialize)]
struct Shard<'a> {
    shard: usize,
    connections: u64,
    in_flight: u64,
    forwarded: u64,
    turn_us_p99: u64,
    turn_us_max: u64,
    stall_us: u64,
    /// What connections take of the memory, what they may take, and how many were closed for the sake of others.
    clients_bytes: u64,
    clients_bytes_max: u64,
    connections_dismissed: u64,
    log_sync: &'static str,
    requests: Vec<Requests>,
    storage: &'a StorageStats,
}

#[derive(Serialize)]
struct Requests {
    class: &'static str,
    answered: u64,
    refused: u64,
    unknown: u64,
    latency_us_p50: u64,
    latency_us_p99: u64,
    latency_us_max: u64,
}

impl<'a> Status<'a> {
    /// The status of a node in `state`, from what its cores told.
    pub fn new(
        node: &'a NodeFacts,
        state: &'static str,
        uptime_s: u64,
        cores: &'a [CoreStats],
        silent: usize,
    ) -> Self {
        let shards = cores.iter().map(shard).collect();
        Status { version: env!("CARGO_PKG_VERSION"), state, uptime_s, node, shards, silent }
    }
}

fn shard(core: &CoreStats) -> Shard<'_> {
    let requests = Class::ALL.map(|class| {
        let stats = &core.classes[class as usize];
        Requests {
            class: class.name(),
            answered: stats.answered,
            refused: stats.refused,
            unknown: stats.unknown,
            latency_us_p50: stats.latency.quantile_us(0.5),
            latency_us_p99: stats.latency.quantile_us(0.99),
            latency_us_max: stats.latency.max_us(),
        }
    });
    Shard {
        shard: core.core,
        connections: core.connections,
        in_flight: core.in_flight,
        forwarded: core.forwarded,
        turn_us_p99: core.turns.quantile_us(0.99),
        turn_us_max: core.turns.max_us(),
        stall_us: core.stall_us,
        clients_bytes: core.clients_bytes,
        clients_bytes_max: core.clients_bytes_max,
        connections_dismissed: core.dismissed,
        log_sync: core.log_sync,
        requests: requests.into(),
        storage: &core.storage,
    }
}
