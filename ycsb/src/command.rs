//! What `kvbench load` and `kvbench run` do.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::args::{Cli, Command, Options, UsageError};
use crate::db::{Database, DbError};
use crate::interrupt;
use crate::operation::Plan;
use crate::quickstart;
use crate::report::{Context, Summary};
use crate::run::{Progress, run_until};
use crate::workload::Kind;

/// Why kvbench fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line makes no sense.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The store.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The node of the quickstart.
    #[error("the throw-away node: {0}")]
    Node(#[from] pinion_cluster::Error),
    /// Operations failed.
    #[error("{failed} of {operations} operations failed; the first: {first}")]
    Operations {
        /// How many.
        failed: u64,
        /// Of how many.
        operations: u64,
        /// What the first one said.
        first: String,
    },
    /// A signal ended it.
    #[error("interrupted; what is reported is what was done until then")]
    Interrupted,
    /// Signals can't be waited for.
    #[error("signals can't be handled: {0}; see the limits of this process")]
    Signals(std::io::Error),
    /// The report can't be written.
    #[error("can't write {path}: {cause}")]
    Write {
        /// Where.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
}

impl Failure {
    /// The exit code: 2 for usage, 130 after a signal, else 1.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Interrupted => interrupt::EXIT_CODE,
            _ => 1,
        }
    }
}

/// Does what the command line says.
pub fn execute(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Load(options) => drive("load", options),
        Command::Run(options) => drive("run", options),
        Command::Quickstart(options) => quickstart::execute(options),
    }
}

fn drive(command: &'static str, options: &Options) -> Result<(), Failure> {
    let is_load = command == "load";
    let workload = Arc::new(options.workload()?);
    let settings = options.settings(&workload, is_load)?;
    if !is_load
        && workload.proportion(Kind::Scan) > 0.0
        && let Some(reason) = options.db.no_scans()
    {
        return Err(UsageError::Option(reason.to_owned()).into());
    }
    let database = Database::find(&options.database(&settings, &workload))?;
    let plan = match is_load {
        true => Plan::load(workload.clone()),
        false => Plan::run(workload.clone(), settings.operations.min(workload.operation_count)),
    };
    let label = format!("{command} {}", workload.name);
    let interval = Duration::from_secs(workload.status_interval_s.max(1));
    let mut progress = Progress::new(&label, &settings, interval);
    let stop = interrupt::on_signals().map_err(Failure::Signals)?;
    let mut measured = run_until(Arc::clone(&stop), database, &plan, &settings, &mut progress)?;
    let context =
        Context { command, workload: &workload, db: options.db.name(), target: options.place(), settings };
    let summary = Summary::new(&context, &measured);
    write(options.out.as_deref(), &summary.write(options.report))?;
    if let Some(path) = &options.svg {
        write(Some(path), &summary.svg())?;
    }
    match (measured.error.take(), &summary.first_failure) {
        (Some(error), _) => Err(error.into()),
        _ if stop.load(Ordering::Relaxed) => Err(Failure::Interrupted),
        (None, Some(first)) => {
            let failed = summary.timeline.iter().map(|second| second.failed).sum();
            Err(Failure::Operations { failed, operations: summary.operations, first: first.clone() })
        }
        (None, None) => Ok(()),
    }
}

/// Writes to a file, or to standard output.
pub(crate) fn write(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    let (name, result) = match path {
        Some(path) => (path.display().to_string(), std::fs::write(path, text)),
        None => ("standard output".to_owned(), std::io::stdout().write_all(text.as_bytes())),
    };
    result.map_err(|cause| Failure::Write { path: name, cause })
}
