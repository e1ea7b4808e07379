//! A run in figures: what each form of the report writes.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::rate::Rate;
use crate::measure::{Second, Status, us};
use crate::run::{Measured, Settings};
use crate::workload::{FieldLength, Kind, Workload};

/// A whole run: how it was made, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// `load` or `run`.
    pub command: &'static str,
    /// The workload's letter or file.
    pub workload: String,
    /// The store.
    pub db: &'static str,
    /// Its addresses, or its directory.
    pub target: Vec<String>,
    /// Closed or open loop, and from when latencies count.
    #[serde(rename = "loop")]
    pub pacing: String,
    /// Threads.
    pub threads: usize,
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub depth: usize,
    /// Where the random numbers started.
    pub seed: u64,
    /// Records.
    pub record_count: u64,
    /// Fields of each.
    pub field_count: usize,
    /// How long fields are.
    pub field_length: String,
    /// How records were chosen.
    pub request_distribution: &'static str,
    /// Milliseconds from the first request to the last answer.
    pub run_time_ms: f64,
    /// Operations that ended.
    pub operations: u64,
    /// Operations a second.
    pub throughput: f64,
    /// What a rate that was asked for became.
    pub rate: Option<Rate>,
    /// Latencies of what went well; then of what didn't, called `...-FAILED`.
    pub kinds: Vec<KindSummary>,
    /// Connections that broke and were made again.
    pub connections_broken: u64,
    /// The longest time that one of them was away, milliseconds.
    pub away_ms_max: f64,
    /// What the first failure said.
    pub first_failure: Option<String>,
    /// Why the run ended early, if it did.
    pub error: Option<String>,
    /// Second by second.
    pub timeline: Vec<Second>,
}

/// Requests of one kind; latencies in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct KindSummary {
    /// YCSB's name.
    pub name: String,
    /// How many.
    pub operations: u64,
    /// Mean.
    pub mean_us: f64,
    /// Least.
    pub min_us: f64,
    /// Half are below.
    pub p50_us: f64,
    /// 95 of 100 are below.
    pub p95_us: f64,
    /// 99 of 100 are below.
    pub p99_us: f64,
    /// 999 of 1,000 are below.
    pub p999_us: f64,
    /// 9,999 of 10,000 are below.
    pub p9999_us: f64,
    /// Most.
    pub max_us: f64,
    /// How many ended how.
    pub returns: BTreeMap<&'static str, u64>,
}

/// What a summary can't learn from the measurements.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// `load` or `run`.
    pub command: &'static str,
    /// The workload.
    pub workload: &'a Workload,
    /// The store.
    pub db: &'static str,
    /// Its addresses, or its directory.
    pub target: Vec<String>,
    /// Threads, connections, pace.
    pub settings: Settings,
}

impl Summary {
    /// Sums a run up.
    pub fn new(context: &Context<'_>, measured: &Measured) -> Summary {
        let Context { workload, settings, .. } = context;
        let operations = measured.seconds.iter().map(|second| second.operations).sum();
        let run_time_s = measured.run_time.max(Duration::from_nanos(1)).as_secs_f64();
        Summary {
            command: context.command,
            workload: workload.name.clone(),
            db: context.db,
            target: context.target.clone(),
            pacing: settings.pacing.describe(),
            threads: settings.threads,
            connections: settings.connections,
            depth: settings.depth,
            seed: settings.seed,
            record_count: workload.record_count,
            field_count: workload.field_count,
            field_length: describe(&workload.field_lengths.0),
            request_distribution: workload.distribution_name,
            run_time_ms: run_time_s * 1000.0,
            operations,
            throughput: operations as f64 / run_time_s,
            rate: Rate::new(settings.pacing, operations, run_time_s),
            kinds: kinds(measured),
            connections_broken: measured.outages.breaks,
            away_ms_max: measured.outages.longest.as_secs_f64() * 1000.0,
            first_failure: measured.first_failure.clone(),
            error: measured.error.as_ref().map(ToString::to_string),
            timeline: measured.seconds.clone(),
        }
    }
}

fn kinds(measured: &Measured) -> Vec<KindSummary> {
    let mut kinds = Vec::new();
    let mut failed = Vec::new();
    for kind in Kind::ALL {
        let Some(series) = measured.recorder.series(kind) else { continue };
        let returns = |want_ok: bool| {
            let wanted = Status::ALL.into_iter().filter(move |status| (*status == Status::Ok) == want_ok);
            let counts = wanted.map(|status| (status.name(), series.statuses[status as usize]));
            counts.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
        };
        if !series.succeeded.is_empty() {
            kinds.push(KindSummary::new(kind.name().to_owned(), &series.succeeded, returns(true)));
        }
        if !series.failed.is_empty() {
            failed.push(KindSummary::new(format!("{}-FAILED", kind.name()), &series.failed, returns(false)));
        }
    }
    kinds.append(&mut failed);
    kinds
}

impl KindSummary {
    fn new(name: String, latencies: &Histogram<u64>, returns: BTreeMap<&'static str, u64>) -> KindSummary {
        let at = |quantile| us(latencies.value_at_quantile(quantile));
        KindSummary {
            name,
            operations: latencies.len(),
            mean_us: latencies.mean() / 1000.0,
            min_us: us(latencies.min()),
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: us(latencies.max()),
            returns,
        }
    }
}

fn describe(length: &FieldLength) -> String {
    match length {
        FieldLength::Constant(length) => length.to_string(),
        FieldLength::Uniform(min, max) => format!("uniform {min} to {max}"),
        FieldLength::Zipfian(min, _) => format!("zipfian from {min}"),
        FieldLength::Histogram(_) => "histogram".to_owned(),
    }
}
