//! The admin thread: health, readiness, metrics and status over HTTP, on a small runtime of its own.
//!
//! It shares nothing with the cores: it sends them messages and waits for answers with a deadline, so a core that is
//! slow costs its figures and nothing else.

pub mod ask;
mod metrics;
pub mod serve;
mod status;

use crate::error::Error;
use crate::node::liveness::{self, Liveness};
use crate::stats::{CoreStats, StorageStats};
use ask::CoreHandle;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a core has for its figures.
const ANSWER_DEADLINE: Duration = Duration::from_millis(500);

/// What stays the same while a node runs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NodeFacts {
    /// Its name.
    pub node_id: String,
    /// Its data directory.
    pub dir: String,
    /// Address of the binary protocol.
    pub kv: String,
    /// Address of the Redis protocol.
    pub resp: Option<String>,
    /// Ports of each core for the binary protocol.
    pub core_ports: Vec<u16>,
    /// Ports of each core for the Redis protocol.
    pub resp_core_ports: Vec<u16>,
    /// Number of partitions.
    pub partitions: usize,
    /// When writes are acknowledged.
    pub durability: String,
    /// Memory budget of all shards.
    pub memory_bytes: u64,
}

/// Where a node is in its life; shared by everybody who asks.
#[derive(Clone, Default)]
pub struct NodeState(Arc<AtomicU8>);

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

impl NodeState {
    /// The node serves.
    pub fn serving(&self) {
        self.0.store(SERVING, Ordering::Release);
    }

    /// The node finishes what is under way.
    pub fn draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    fn name(&self) -> &'static str {
        match self.0.load(Ordering::Acquire) {
            STARTING => "starting",
            SERVING => "serving",
            _ => "draining",
        }
    }
}

struct Shared {
    facts: NodeFacts,
    state: NodeState,
    cores: Vec<CoreHandle>,
    liveness: Liveness,
    started: Instant,
}

/// The running admin interface; dropping it ends it.
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves on bound listeners.
    pub fn start(
        listeners: Vec<TcpListener>,
        facts: NodeFacts,
        state: NodeState,
        cores: Vec<CoreHandle>,
        liveness: Liveness,
    ) -> Result<Admin, Error> {
        let failed = |e: std::io::Error| Error::Node(format!("admin interface: {e}; try --admin-listen off"));
        for listener in &listeners {
            listener.set_nonblocking(true).map_err(failed)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let shared = Arc::new(Shared { facts, state, cores, liveness, started: Instant::now() });
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std);
            let listeners = listeners.collect::<Result<_, std::io::Error>>()?;
            serve::serve(listeners, router(shared), async { drop(stopped.await) }).await;
            Ok::<(), std::io::Error>(())
        };
        let run = move || {
            // Connections that are kept alive must not hold up the end: the runtime is dropped with them.
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!("the admin interface ended: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("kvd-admin".to_owned()).spawn(run).map_err(failed)?;
        Ok(Admin { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself: then there is nobody to tell.
            let _ = stop.send(());
        }
        drop(self.thread.take());
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(endpoints))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_page))
        .route("/v1/status", get(status_document))
        .with_state(shared)
}

async fn endpoints() -> &'static str {
    "/health     it lives; names shards that are stuck or slow, take no writes or have damage\n\
     /ready      200 while every shard takes reads and writes, else 503 with why\n\
     /metrics    figures for Prometheus\n\
     /v1/status  the node and its shards, as JSON\n"
}

/// Shards that have something wrong, with what it is.
fn troubled<'a>(
    stats: &'a [Option<CoreStats>],
    what: impl Fn(&'a StorageStats) -> Option<&'a String>,
) -> Vec<serde_json::Value> {
    let told = |core: &'a CoreStats| {
        what(&core.storage).map(|reason| serde_json::json!({ "shard": core.core, "reason": reason }))
    };
    stats.iter().flatten().filter_map(told).collect()
}

/// Shards whose cores don't answer.
fn stuck(shared: &Shared) -> Vec<serde_json::Value> {
    let stuck = shared.liveness.stuck().into_iter();
    stuck
        .map(|(core, silence)| serde_json::json!({ "shard": core, "reason": liveness::reason(silence) }))
        .collect()
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let stats = ask::stats(&shared.cores, ANSWER_DEADLINE).await;
    let slow: Vec<usize> = (0..stats.len()).filter(|&core| stats[core].is_none()).collect();
    let read_only = troubled(&stats, |storage| storage.read_only.as_ref());
    let damaged = troubled(&stats, |storage| storage.damage.as_ref());
    let stuck = stuck(&shared);
    let status = match (stuck.is_empty(), slow.is_empty(), read_only.is_empty(), damaged.is_empty()) {
        (false, ..) => "stuck",
        (_, false, ..) => "slow",
        (_, _, false, _) => "read-only",
        (.., false) => "damaged",
        _ => "ok",
    };
    Json(serde_json::json!({
        "status": status,
        "stuck_shards": stuck,
        "slow_shards": slow,
        "read_only_shards": read_only,
        "damaged_shards": damaged,
    }))
    .into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.state.name();
    if state != "serving" {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({ "state": state })))
            .into_response();
    }
    let stuck = stuck(&shared);
    if !stuck.is_empty() {
        let document = serde_json::json!({ "state": "stuck", "shards": stuck });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(document)).into_response();
    }
    let stats = ask::stats(&shared.cores, ANSWER_DEADLINE).await;
    let read_only = troubled(&stats, |storage| storage.read_only.as_ref());
    if read_only.is_empty() {
        return Json(serde_json::json!({ "state": state })).into_response();
    }
    let document = serde_json::json!({ "state": "read-only", "shards": read_only });
    (StatusCode::SERVICE_UNAVAILABLE, Json(document)).into_response()
}

async fn metrics_page(State(shared): State<Arc<Shared>>) -> Response {
    let stats = ask::stats(&shared.cores, ANSWER_DEADLINE).await;
    let silent = stats.iter().filter(|stats| stats.is_none()).count();
    match metrics::page(stats.into_iter().flatten().collect(), silent) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status_document(State(shared): State<Arc<Shared>>) -> Response {
    let stats = ask::stats(&shared.cores, ANSWER_DEADLINE).await;
    let silent = stats.iter().filter(|stats| stats.is_none()).count();
    let cores: Vec<_> = stats.into_iter().flatten().collect();
    let uptime_s = shared.started.elapsed().as_secs();
    Json(status::Status::new(&shared.facts, shared.state.name(), uptime_s, &cores, silent)).into_response()
}

#[cfg(test)]
mod tests;
