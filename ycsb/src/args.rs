//! The command line.

mod applies;
mod examples;
mod units;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pinion_engine::shard::Durability;

use self::examples::{EXAMPLES, QUICKSTART_EXAMPLES};
use self::units::{bytes, durability, duration_s};
use crate::db::{self, EmbeddedOptions};
use crate::report::Form;
use crate::run::{AWAY_MAX, Pacing, Settings};
use crate::workload::{Properties, PropertyError, Workload, named};

/// Loads a store with YCSB's records and drives it with YCSB's workloads.
#[derive(Debug, Parser)]
#[command(name = "kvbench", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes the records of a workload
    #[command(after_help = EXAMPLES)]
    Load(Options),
    /// Performs the operations of a workload on records that were loaded
    #[command(after_help = EXAMPLES)]
    Run(Options),
    /// Starts a throw-away node in this process on half of the cores, loads it and runs a to f
    #[command(after_help = QUICKSTART_EXAMPLES)]
    Quickstart(QuickstartOptions),
}

/// Options of both.
#[derive(Debug, Args)]
pub struct Options {
    /// A letter from a to f, or a file of YCSB properties
    #[arg(short = 'w', long, value_name = "a..f|FILE")]
    pub workload: String,

    /// Sets a property under YCSB's name (recordcount, fieldlength, requestdistribution, ...); repeatable
    #[arg(short = 'p', value_name = "NAME=VALUE")]
    pub properties: Vec<String>,

    /// The store
    #[arg(long, value_enum, default_value = "pinion")]
    pub db: db::Kind,

    /// Its addresses [default: the store's port on 127.0.0.1; 7379 for resp]
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',')]
    pub target: Vec<String>,

    /// Straight to the core that has the key, or anywhere and let the server forward [default: direct for pinion,
    /// any for resp]
    #[arg(long, value_enum)]
    pub route: Option<Route>,

    /// Threads [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub threads: Option<usize>,

    /// Connections of all threads together [default: threadcount, at least one a thread]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub connections: Option<usize>,

    /// Requests in flight on each connection [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub depth: Option<usize>,

    /// Open loop: so many operations a second on a schedule, latency from the scheduled time
    #[arg(long, value_name = "OPS", allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Ends after so long, such as 500ms, 10s or 2m; a bare number is one of seconds [default: maxexecutiontime]
    #[arg(long, value_name = "DUR", allow_negative_numbers = true, value_parser = duration_s)]
    pub duration: Option<f64>,

    /// Ends after so many operations [default: operationcount; a load: insertcount]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub operations: Option<u64>,

    /// Form of the report
    #[arg(long, value_enum, default_value = "text")]
    pub report: Form,

    /// Writes the report there instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Draws throughput and latency over time there
    #[arg(long, visible_alias = "plot", value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Where the random numbers start: the same seed draws the same operations
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1)]
    pub seed: u64,

    /// Directory of the embedded store [default: kvbench-data]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// When the embedded store's writes are done: sync, interval:MS or none [default: sync]
    #[arg(long, value_name = "MODE", value_parser = durability)]
    pub durability: Option<Durability>,

    /// Memory of the embedded store, in bytes or with KB, MB, GB [default: 256MB]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub memory: Option<usize>,
}

/// Options of the quickstart.
#[derive(Debug, Args)]
pub struct QuickstartOptions {
    /// Records, of 10 fields of 100 bytes
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 100_000)]
    pub records: u64,

    /// How long each workload runs, such as 500ms, 10s or 2m; a bare number is one of seconds
    #[arg(long, value_name = "DUR", allow_negative_numbers = true, value_parser = duration_s, default_value = "5s")]
    pub duration: f64,

    /// Connections
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 16)]
    pub connections: usize,

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 8)]
    pub depth: usize,

    /// When writes are done: sync, interval:MS or none
    #[arg(long, value_name = "MODE", default_value = "sync", value_parser = durability)]
    pub durability: Durability,

    /// Where the node's data lies while it runs [default: the system's directory for temporary files]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Writes everything as JSON there
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl QuickstartOptions {
    /// Checks the numbers and turns the duration of a workload into one.
    pub fn checked_duration(&self) -> Result<Duration, UsageError> {
        if self.records == 0 || self.connections == 0 || self.depth == 0 {
            let text = "--records, --connections and --depth must be at least 1".to_owned();
            return Err(UsageError::Option(text));
        }
        seconds(self.duration)
    }
}

/// Memory of the embedded store unless told otherwise.
const EMBEDDED_MEMORY_BYTES: usize = 256 << 20;

fn seconds(seconds: f64) -> Result<Duration, UsageError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(UsageError::Option("--duration must be more than 0 seconds".to_owned())),
    }
}

/// Where requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Route {
    /// To the core that has the key.
    Direct,
    /// To the addresses given.
    Any,
}

/// The command line makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A property.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// An option.
    #[error("{0}")]
    Option(String),
}

impl Options {
    /// The workload with its properties.
    pub fn workload(&self) -> Result<Workload, UsageError> {
        let mut properties: Properties = named(&self.workload)?;
        self.properties.iter().try_for_each(|assignment| properties.set(assignment))?;
        Ok(Workload::new(&self.workload, &properties)?)
    }

    /// Threads, connections, how much and how fast.
    pub fn settings(&self, workload: &Workload, is_load: bool) -> Result<Settings, UsageError> {
        let wrong = |text: &str| Err(UsageError::Option(text.to_owned()));
        applies::check(self)?;
        let (is_local, depth) = (self.db.is_local(), self.depth.unwrap_or(1));
        let threads = match self.threads {
            None if is_local => workload.thread_count,
            threads => threads.unwrap_or(1),
        };
        let connections = self.connections.unwrap_or(workload.thread_count.max(threads));
        if threads == 0 || connections == 0 || depth == 0 {
            return wrong("--threads, --connections and --depth must be at least 1");
        }
        if connections < threads && !is_local {
            return wrong("--connections must be at least --threads: each thread drives its own");
        }
        if connections.checked_mul(depth).is_none_or(|places| places > 1 << 24) {
            return wrong("--connections times --depth must not exceed 16,777,216 requests in flight");
        }
        if self.rate.is_some() && workload.target > 0.0 {
            return wrong("--rate (open loop) and -p target (throttled closed loop) exclude each other");
        }
        let pacing = match (self.rate, workload.target) {
            (Some(rate), _) if rate > 0.0 && rate.is_finite() => Pacing::Open(rate),
            (Some(_), _) => return wrong("--rate must be more than 0"),
            (None, target) if target > 0.0 => Pacing::Throttled(target),
            (None, _) => Pacing::Closed,
        };
        let duration = self.duration.map(seconds).transpose()?.or_else(|| {
            let seconds = workload.max_execution_time_s;
            (seconds > 0).then(|| Duration::from_secs(seconds))
        });
        let operations = match (self.operations, is_load) {
            (Some(operations), true) => operations.min(workload.insert_count),
            (None, true) => workload.insert_count,
            (Some(operations), false) => operations,
            (None, false) if duration.is_some() => u64::MAX,
            (None, false) => workload.operation_count,
        };
        Ok(Settings {
            threads,
            connections,
            depth,
            operations,
            duration,
            pacing,
            seed: self.seed,
            away_max: AWAY_MAX,
        })
    }

    /// Which store, and where.
    pub fn database(&self, settings: &Settings, workload: &Workload) -> db::Options {
        let is_direct = match self.route {
            Some(route) => route == Route::Direct,
            None => self.db == db::Kind::Pinion,
        };
        let mut null_record = Vec::new();
        crate::record::encode(workload.field_count, &mut null_record, |field, out| {
            crate::values::expected(0, field, 100, out);
        });
        db::Options {
            kind: self.db,
            targets: self.target.clone(),
            is_direct,
            threads: settings.threads,
            embedded: EmbeddedOptions {
                dir: self.embedded_dir(),
                durability: self.durability.unwrap_or(Durability::Sync),
                memory_bytes: self.memory.unwrap_or(EMBEDDED_MEMORY_BYTES),
            },
            null_record,
        }
    }

    fn embedded_dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(db::default_dir)
    }

    /// Where the store is, for reports.
    pub fn place(&self) -> Vec<String> {
        match self.db {
            db::Kind::Null => Vec::new(),
            db::Kind::Embedded => vec![self.embedded_dir().display().to_string()],
            _ if self.target.is_empty() => vec![self.db.default_target().to_owned()],
            _ => self.target.clone(),
        }
    }
}

#[cfg(test)]
#[path = "args_test.rs"]
mod tests;
