//! What `kvbench load` and `kvbench run` do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::args::{Cli, Command, Options, UsageError};
use crate::db::{Database, DbError};
use crate::destination::Destination;
use crate::interrupt::{self, Second};
use crate::measure::Status;
use crate::operation::Plan;
use crate::quickstart;
use crate::report::{Context, Summary};
use crate::run::{Measured, Progress, run_until};
use crate::workload::{Kind, Workload};

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
    /// Hardly a record was there.
    #[error("{missing} of {reads} reads found nothing: was recordcount={record_count} loaded?")]
    NotLoaded {
        /// Reads that found nothing.
        missing: u64,
        /// Of how many.
        reads: u64,
        /// What the records were chosen from.
        record_count: u64,
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
    let report = Destination::open(options.out.as_deref())?;
    let picture = options.svg.as_deref().map(|path| Destination::open(Some(path))).transpose()?;
    if picture.as_ref().is_some_and(|picture| picture.is_same(&report)) {
        return Err(UsageError::Option("--out and --plot are the same file".to_owned()).into());
    }
    let database = Database::find(&options.database(&settings, &workload))?;
    let plan = match is_load {
        true => Plan::load(workload.clone()),
        false => Plan::run(workload.clone(), settings.operations.min(workload.operation_count)),
    };
    let label = format!("{command} {}", workload.name);
    let interval = Duration::from_secs(workload.status_interval_s.max(1));
    let mut progress = Progress::new(&label, &settings, interval);
    let stop = interrupt::on_signals(Second::Ends).map_err(Failure::Signals)?;
    let mut measured = run_until(Arc::clone(&stop), database, &plan, &settings, &mut progress)?;
    let context =
        Context { command, workload: &workload, db: options.db.name(), target: options.place(), settings };
    let summary = Summary::new(&context, &measured);
    report.write(&summary.write(options.report))?;
    if let Some(picture) = picture {
        picture.write(&summary.svg())?;
    }
    let loaded = check_loaded(&measured, &workload);
    match (measured.error.take(), &summary.first_failure) {
        (Some(error), _) => Err(error.into()),
        _ if stop.load(Ordering::Relaxed) => Err(Failure::Interrupted),
        (None, Some(first)) => {
            let failed = summary.timeline.iter().map(|second| second.failed).sum();
            Err(Failure::Operations { failed, operations: summary.operations, first: first.clone() })
        }
        (None, None) => loaded,
    }
}

/// Whether the records were there that a run read. Where more than half were missing it says so on standard error;
/// where hardly one was there, what was measured isn't the workload, and it is a failure.
fn check_loaded(measured: &Measured, workload: &Workload) -> Result<(), Failure> {
    let Some(series) = measured.recorder.series(Kind::Read) else { return Ok(()) };
    let missing = series.statuses[Status::NotFound as usize];
    let reads: u64 = series.statuses.iter().sum();
    let failure = Failure::NotLoaded { missing, reads, record_count: workload.record_count };
    match (reads - missing) as f64 / reads.max(1) as f64 {
        ..0.1 if missing > 0 => Err(failure),
        ..0.5 if missing > 0 => {
            eprintln!("kvbench: warning: {failure}");
            Ok(())
        }
        _ => Ok(()),
    }
}
