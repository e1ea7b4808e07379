//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pinion_engine::shard::Durability;

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

const EXAMPLES: &str = "\
Examples:
  kvbench quickstart                 a node of its own, all six workloads
  kvbench load -w a -p recordcount=100000 --connections 50 --depth 16
  kvbench run  -w a -p recordcount=100000 --connections 50 --duration 30
  kvbench run  -w c --rate 5000 --duration 10 --report json --out c.json
  kvbench run  -w a --duration 10 --plot a.svg
  kvbench run  -w b --db resp        kvd's RESP port
  kvbench run  -w b --db resp --target 127.0.0.1:6379         Redis
  kvbench load -w e --db embedded --dir ./bench-data          this process
  kvbench run  -w e --db embedded --dir ./bench-data --duration 10
  kvbench run  -w a -p target=10000 --duration 10    throttled closed loop

A load and its runs must agree on recordcount (100,000 unless set),
fieldcount, fieldlength, insertorder and zeropadding. Order as YCSB
recommends: load, a, b, c, f, d; then an empty store, load, e.";

const QUICKSTART_EXAMPLES: &str = "\
Examples:
  kvbench quickstart
  kvbench quickstart --records 10000 --duration 1 --out quick.json
  kvbench quickstart --durability none --dir /mnt/disk

Ctrl-C ends it and removes its data.";

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

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1)]
    pub depth: usize,

    /// Open loop: so many operations a second on a schedule, latency from the scheduled time
    #[arg(long, value_name = "OPS", allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Ends after so many seconds [default: maxexecutiontime]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
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

    /// Directory of the embedded store
    #[arg(long, value_name = "DIR", default_value_os_t = db::default_dir())]
    pub dir: PathBuf,

    /// When the embedded store's writes are done: sync, interval:MS or none
    #[arg(long, value_name = "MODE", default_value = "sync", value_parser = durability)]
    pub durability: Durability,

    /// Memory of the embedded store, in bytes or with KB, MB, GB
    #[arg(long, value_name = "BYTES", default_value = "256MB", value_parser = bytes)]
    pub memory: usize,
}

/// Options of the quickstart.
#[derive(Debug, Args)]
pub struct QuickstartOptions {
    /// Records, of 10 fields of 100 bytes
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 100_000)]
    pub records: u64,

    /// Seconds of each workload
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = 5.0)]
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
        let is_local = matches!(self.db, db::Kind::Embedded | db::Kind::Null);
        let threads = match self.threads {
            None if is_local => workload.thread_count,
            threads => threads.unwrap_or(1),
        };
        let connections = self.connections.unwrap_or(workload.thread_count.max(threads));
        if threads == 0 || connections == 0 || self.depth == 0 {
            return wrong("--threads, --connections and --depth must be at least 1");
        }
        if connections < threads && !is_local {
            return wrong("--connections must be at least --threads: each thread drives its own");
        }
        if connections.checked_mul(self.depth).is_none_or(|places| places > 1 << 24) {
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
            depth: self.depth,
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
                dir: self.dir.clone(),
                durability: self.durability,
                memory_bytes: self.memory,
            },
            null_record,
        }
    }

    /// Where the store is, for reports.
    pub fn place(&self) -> Vec<String> {
        match self.db {
            db::Kind::Null => Vec::new(),
            db::Kind::Embedded => vec![self.dir.display().to_string()],
            _ if self.target.is_empty() => vec![self.db.default_target().to_owned()],
            _ => self.target.clone(),
        }
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match (text, text.strip_prefix("interval:")) {
        ("sync", _) => Ok(Durability::Sync),
        ("none", _) => Ok(Durability::None),
        (_, Some(ms)) => match ms.parse() {
            Ok(ms) if ms > 0 => Ok(Durability::IntervalMs(ms)),
            _ => Err(format!("{ms:?} is no number of milliseconds")),
        },
        _ => Err("expected sync, interval:MS or none".to_owned()),
    }
}

fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        unit => return Err(format!("{unit} is no unit: use KB, MB or GB")),
    };
    let number: usize = digits.trim().parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too much"))
}

#[cfg(test)]
#[path = "args_test.rs"]
mod tests;
