//! Runs a plan against a store: workers on threads, progress on the caller's.

mod link;
mod local;
mod pace;
mod pool;
mod progress;
mod remote;
mod settings;
mod worker;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use pace::Pacing;
pub use pool::Outages;
pub use progress::Progress;
pub use settings::{AWAY_MAX, Settings};

use crate::db::{Database, DbError, Local};
use crate::measure::{Recorder, Second, Timeline};
use crate::operation::{Plan, Planner};
use pace::{Quota, Schedule};
use pool::Pool;
use remote::Remote;
use worker::Worker;

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// All workers' measurements together.
    pub recorder: Recorder,
    /// From the first request to the last answer.
    pub run_time: Duration,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Connections that broke and were made again.
    pub outages: Outages,
    /// The first failure's text, if any operation failed.
    pub first_failure: Option<String>,
    /// Why the run ended early, if it did.
    pub error: Option<DbError>,
}

/// What a thread leaves: its measurements, when it ended, its handle on a store in this process, and why it ended
/// early.
struct Finished {
    worker: Worker,
    ended: Instant,
    store: Option<Box<dyn Local>>,
    outages: Outages,
    result: Result<(), DbError>,
}

/// Runs a plan to its end.
pub fn run(
    database: Database,
    plan: &Plan,
    settings: &Settings,
    progress: &mut Progress,
) -> Result<Measured, DbError> {
    run_until(Arc::default(), database, plan, settings, progress)
}

/// Runs a plan to its end, or until `stop` is set; the run sets it itself if one of its threads has to give up.
pub fn run_until(
    stop: Arc<AtomicBool>,
    database: Database,
    plan: &Plan,
    settings: &Settings,
    progress: &mut Progress,
) -> Result<Measured, DbError> {
    let (timeline, first_failure) = (Arc::new(Timeline::default()), Arc::default());
    let make = |worker: usize, start: Instant| Worker {
        planner: Planner::new(plan.clone(), settings.seed.wrapping_add(worker as u64)),
        recorder: Recorder::new(start, timeline.clone()),
        schedule: Schedule::new(settings.pacing, worker, settings.threads, start),
        quota: Quota::new(
            share(settings.operations, worker, settings.threads),
            settings.duration.map(|duration| start + duration),
            stop.clone(),
        ),
        first_failure: Arc::clone(&first_failure),
    };
    let (start, threads) = spawn(database, settings, make)?;
    progress.follow(&timeline, start, || threads.iter().all(JoinHandle::is_finished));
    let mut recorder = Recorder::new(start, timeline.clone());
    let (mut error, mut stores, mut ended, mut outages) = (None, Vec::new(), start, Outages::default());
    for thread in threads {
        let finished = match thread.join() {
            Ok(finished) => finished,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        recorder.add(&finished.worker.recorder);
        outages.add(finished.outages);
        ended = ended.max(finished.ended);
        error = error.or(finished.result.err());
        stores.extend(finished.store);
    }
    for store in &mut stores {
        error = error.or(store.finish().err());
    }
    let first_failure = first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (run_time, seconds) = (ended - start, timeline.seconds());
    Ok(Measured { recorder, run_time, seconds, outages, first_failure, error })
}

/// Starts the threads; the clock starts when all connections are made.
fn spawn(
    database: Database,
    settings: &Settings,
    make: impl Fn(usize, Instant) -> Worker,
) -> Result<(Instant, Vec<JoinHandle<Finished>>), DbError> {
    let mut threads = Vec::new();
    match database {
        Database::Local(stores) => {
            let start = Instant::now();
            for (at, mut store) in stores.into_iter().enumerate() {
                let worker = make(at, start);
                threads.push(spawn_thread(at, move || {
                    let worker = local::run(worker, store.as_mut());
                    let (ended, outages) = (Instant::now(), Outages::default());
                    Finished { worker, ended, store: Some(store), outages, result: Ok(()) }
                })?);
            }
            Ok((start, threads))
        }
        Database::Remote { routes, protocol } => {
            let (mut pools, mut first) = (Vec::new(), 0);
            for at in 0..settings.threads {
                let connections = share(settings.connections as u64, at, settings.threads) as usize;
                pools.push(Pool::connect(&routes, protocol, first, connections)?);
                first += connections;
            }
            let start = Instant::now();
            for (at, pool) in pools.into_iter().enumerate() {
                let remote = Remote::new(make(at, start), pool, settings.depth, settings.away_max);
                threads.push(spawn_thread(at, move || {
                    let (worker, outages, result) = remote.run();
                    Finished { worker, ended: Instant::now(), store: None, outages, result }
                })?);
            }
            Ok((start, threads))
        }
    }
}

fn spawn_thread(
    at: usize,
    run: impl FnOnce() -> Finished + Send + 'static,
) -> Result<JoinHandle<Finished>, DbError> {
    let builder = std::thread::Builder::new().name(format!("worker-{at}"));
    builder.spawn(run).map_err(|error| DbError::Protocol(format!("can't start a thread: {error}")))
}

/// Part `at` of `parts` of a whole.
fn share(whole: u64, at: usize, parts: usize) -> u64 {
    if whole == u64::MAX {
        return whole;
    }
    let (at, parts) = (at as u64, parts as u64);
    whole / parts + u64::from(at < whole % parts)
}

#[cfg(test)]
mod tests;
