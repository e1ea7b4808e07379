//! `kvbench quickstart`: a throw-away node in this process, all six workloads in YCSB's order, one table.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinion_cluster::{Config, Node};
use pinion_engine::shard::Durability;

use crate::args::{QuickstartOptions, UsageError};
use crate::command::Failure;
use crate::db::{self, Database, EmbeddedOptions};
use crate::destination::Destination;
use crate::interrupt::{self, Second};
use crate::operation::Plan;
use crate::report::{Context, Summary, table};
use crate::run::{AWAY_MAX, Pacing, Progress, Settings, run_until};
use crate::workload::{Workload, named};

/// Runs it.
pub(crate) fn execute(options: &QuickstartOptions) -> Result<(), Failure> {
    let duration = options.checked_duration()?;
    let report = options.out.as_deref().map(|path| Destination::open(Some(path))).transpose()?;
    // Before there is anything to remove.
    let stop = interrupt::on_signals(Second::Waits).map_err(Failure::Signals)?;
    let place = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new().prefix("pinion-quickstart-").tempdir_in(place);
    let dir = dir.map_err(|cause| Failure::Write { path: "a temporary directory".into(), cause })?;
    let mut config = Config::ephemeral(dir.path());
    let cores = config.cpus.len();
    config.cpus.truncate((cores / 2).max(1));
    config.shards = Some(config.cpus.len());
    config.resp_listen = None;
    config.durability = match options.durability {
        Durability::Sync => pinion_cluster::config::Durability::Sync,
        Durability::IntervalMs(ms) => pinion_cluster::config::Durability::IntervalMs(ms),
        Durability::None => pinion_cluster::config::Durability::None,
    };
    println!(
        "A throw-away node on {} of {cores} cores, the load generator on {}; data in {} until it ends, durability {}.",
        config.cpus.len(),
        if cores > 1 { "the others" } else { "the same" },
        dir.path().display(),
        config.durability
    );
    let node = Node::start(config)?;
    let mut summaries = Vec::new();
    let result = phases(&node, options, duration, &stop, &mut summaries);
    node.stop()?;
    let path = dir.path().display().to_string();
    dir.close().map_err(|cause| Failure::Write { path, cause })?;
    // What was done until an interruption or a failure is worth reporting, too.
    if !summaries.is_empty() {
        print!("\n{}", table::write(&summaries));
    }
    if let Some(report) = report {
        let json = serde_json::to_string_pretty(&summaries);
        report.write(&json.expect("a summary has only text keys and finite numbers"))?;
    }
    result
}

/// YCSB's order: load, A, B, C, F, D; then an empty store, load, E.
fn phases(
    node: &Node,
    options: &QuickstartOptions,
    duration: Duration,
    stop: &Arc<AtomicBool>,
    summaries: &mut Vec<Summary>,
) -> Result<(), Failure> {
    let mut phase = |command, letter, duration| {
        let (summary, ended) = match phase(node, options, command, letter, duration, stop) {
            // It didn't come to anything, as it was to end before it had begun.
            Err(_) if stop.load(Ordering::Relaxed) => return Err(Failure::Interrupted),
            done => done?,
        };
        if !std::io::stderr().is_terminal() {
            eprintln!("{}", summary.line());
        }
        summaries.push(summary);
        ended
    };
    phase("load", "a", None)?;
    for letter in ["a", "b", "c", "f", "d"] {
        phase("run", letter, Some(duration))?;
    }
    db::clear(node.addresses().kv)?;
    phase("load", "e", None)?;
    phase("run", "e", Some(duration))
}

/// One phase: what was measured, also if it ended early, and why it did.
fn phase(
    node: &Node,
    options: &QuickstartOptions,
    command: &'static str,
    letter: &str,
    duration: Option<Duration>,
    stop: &Arc<AtomicBool>,
) -> Result<(Summary, Result<(), Failure>), Failure> {
    let mut properties = named(letter).map_err(UsageError::from)?;
    properties.default_to("recordcount", options.records);
    let workload = Arc::new(Workload::new(letter, &properties).map_err(UsageError::from)?);
    let settings = Settings {
        threads: 1,
        connections: options.connections,
        depth: options.depth,
        operations: if duration.is_some() { u64::MAX } else { workload.insert_count },
        duration,
        pacing: Pacing::Closed,
        seed: 1,
        away_max: AWAY_MAX,
    };
    let address = node.addresses().kv.to_string();
    let database = Database::find(&db::Options {
        kind: db::Kind::Pinion,
        targets: vec![address.clone()],
        is_direct: true,
        threads: 1,
        embedded: EmbeddedOptions { dir: db::default_dir(), durability: Durability::Sync, memory_bytes: 0 },
        null_record: Vec::new(),
    })?;
    let plan = match duration {
        None => Plan::load(workload.clone()),
        Some(_) => Plan::run(workload.clone(), workload.operation_count),
    };
    let mut progress = Progress::new(&format!("{command} {letter}"), &settings, Duration::from_secs(10));
    let mut measured = run_until(Arc::clone(stop), database, &plan, &settings, &mut progress)?;
    let context = Context { command, workload: &workload, db: "pinion", target: vec![address], settings };
    let summary = Summary::new(&context, &measured);
    let ended = match measured.error.take() {
        Some(error) => Err(error.into()),
        None if stop.load(Ordering::Relaxed) => Err(Failure::Interrupted),
        None => Ok(()),
    };
    Ok((summary, ended))
}
