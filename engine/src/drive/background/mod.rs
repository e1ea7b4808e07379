//! The background thread of a shard: runs jobs and rare requests beside the hot thread of its core.
//!
//! One OS thread runs a glommio executor, SCHED_BATCH at nice 10 for life, with a task queue and shares
//! per kind of job. Commands go in over a channel whose sender wakes the executor only if it sleeps;
//! events come back over another, followed by a call of the owner's `wake`. The hot thread never waits
//! for a lock that the background thread may hold while it is preempted.
//!
//! Every job, request and file to open that was handed over yields exactly one event, unless this is dropped first:
//! a panic in a job is an error event, and should the thread itself end, what was outstanding fails.
//!
//! Glommio 0.9 leaves one eventfd open per executor, so a process that opens and closes stores without
//! end runs out of descriptors eventually; one that keeps its stores open never notices.

mod disk;
mod executor;
mod shared;
mod sleep;
mod tasks;
#[cfg(test)]
mod tests;

use super::files::OpenFile;
use super::limits;
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoRequest, Token};
use crate::job::{Job, JobId, JobOutput};
use shared::Shared;
use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a thread that starts has until another one is tried: at first, and the last time.
const START_PATIENCE_MIN: Duration = Duration::from_millis(250);
const START_PATIENCE_MAX: Duration = Duration::from_secs(30);

/// Why nothing more comes of what was handed over.
const ENDED: &str = "the background thread ended after an internal error; restart the process";

/// Called on the background thread after each event is queued.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// How a background thread runs.
#[derive(Clone)]
pub struct BackgroundOptions {
    /// The CPU it is pinned to; where its parent may run without.
    pub cpu: Option<usize>,
    /// Called after each event is queued. Must not block.
    pub wake: Wake,
}

/// What the background thread has to tell.
#[derive(Debug)]
pub enum BackgroundEvent {
    /// A job ended.
    JobDone(JobId, Result<JobOutput, Error>),
    /// A request that wasn't a job's completed.
    Io(IoCompletion),
}

/// What became of a file that was to be opened.
#[derive(Debug)]
pub struct Opened {
    /// Its name.
    pub file: FileName,
    /// The open file.
    pub result: io::Result<OpenFile>,
}

/// A handle to the background thread. Dropping it stops the thread at the next step of its jobs, which
/// are abandoned, and joins it.
pub struct Background {
    commands: Sender<Command>,
    events: Receiver<BackgroundEvent>,
    opened: Receiver<Opened>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    jobs: Vec<JobId>,
    requests: Vec<Token>,
    opens: Vec<FileName>,
}

enum Command {
    Start(JobId, Box<dyn Job>),
    Submit(IoRequest),
    Open { file: FileName, direct: bool },
    Close(Vec<OpenFile>),
    DropLater(Box<dyn Any + Send>),
}

impl Background {
    /// Starts the thread for the shard in `dir`; returns when it is ready to work, or says why it can't.
    ///
    /// An executor whose thread loses its CPU for a turn between looking at its rings and running its first task falls
    /// asleep with that task undone, and nobody can wake it. So a thread that isn't ready in time is given up (it ends by
    /// itself should it ever run) and another one is tried.
    pub fn spawn(dir: PathBuf, options: BackgroundOptions) -> Result<Background, Error> {
        let mut patience = START_PATIENCE_MIN;
        loop {
            match Background::try_spawn(&dir, &options, patience) {
                Ok(Some(background)) => return Ok(background),
                Ok(None) if patience > START_PATIENCE_MAX => {
                    let what =
                        "the background thread isn't ready after a minute; is this machine overloaded?";
                    return Err(Error::Unusable(what.to_owned()));
                }
                Ok(None) => patience *= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a thread; `None` if it isn't ready in time.
    fn try_spawn(
        dir: &Path,
        options: &BackgroundOptions,
        patience: Duration,
    ) -> Result<Option<Background>, Error> {
        let (commands, inbox) = channel();
        let (outbox, events) = channel();
        let (opened_outbox, opened) = channel();
        let (ready, started) = channel();
        let shared = Arc::new(Shared::new());
        let (dir, options) = (dir.to_owned(), options.clone());
        let outboxes = (outbox, opened_outbox);
        let setup = executor::Setup { dir, options, shared: Arc::clone(&shared), inbox, outboxes };
        let thread = std::thread::Builder::new()
            .name("pinion-back".to_owned())
            .spawn(move || executor::run(setup, &ready))
            .map_err(|source| Error::Unusable(limits::explain("the background thread", &source)))?;
        match started.recv_timeout(patience) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => {
                shared.stopping.store(true, Ordering::SeqCst);
                return Ok(None);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Unusable("the background thread panicked at its start".to_owned()));
            }
        }
        Ok(Some(Background {
            commands,
            events,
            opened,
            shared,
            thread: Some(thread),
            jobs: Vec::new(),
            requests: Vec::new(),
            opens: Vec::new(),
        }))
    }

    /// Hands a job over. [`BackgroundEvent::JobDone`] follows.
    pub fn start(&mut self, id: JobId, job: Box<dyn Job>) {
        self.jobs.push(id);
        self.send(Command::Start(id, job));
    }

    /// Hands a request over, of any kind but meant for rare ones. [`BackgroundEvent::Io`] follows.
    pub fn submit(&mut self, request: IoRequest) {
        self.requests.push(request.token());
        self.send(Command::Submit(request));
    }

    /// Drops something on the background thread that takes its time to drop, such as a mapping.
    pub fn drop_later(&mut self, thing: Box<dyn Any + Send>) {
        self.send(Command::DropLater(thing));
    }

    /// Opens a file. [`Background::next_opened`] gives it.
    pub fn open(&mut self, file: FileName, direct: bool) {
        self.opens.push(file);
        self.send(Command::Open { file, direct });
    }

    /// Closes files before the next one is opened, so that no more are open at a time than their owner keeps.
    pub fn close(&mut self, files: Vec<OpenFile>) {
        if !files.is_empty() {
            self.send(Command::Close(files));
        }
    }

    /// Closes files whose names are gone, one by one: each may take long, and requests go between.
    pub fn close_later(&mut self, files: Vec<OpenFile>) {
        files.into_iter().for_each(|file| self.drop_later(Box::new(file)));
    }

    /// The next event, if there is one.
    pub fn try_next(&mut self) -> Option<BackgroundEvent> {
        let dead = self.is_dead();
        match self.events.try_recv() {
            Ok(event) => {
                self.settle(&event);
                Some(event)
            }
            Err(_) if dead => self.fail_next(),
            Err(_) => None,
        }
    }

    /// The next file that was opened, or couldn't be, if there is one.
    pub fn next_opened(&mut self) -> Option<Opened> {
        let dead = self.is_dead();
        match self.opened.try_recv() {
            Ok(opened) => {
                remove_first(&mut self.opens, &opened.file);
                Some(opened)
            }
            Err(_) if dead => {
                self.opens.pop().map(|file| Opened { file, result: Err(io::Error::other(ENDED)) })
            }
            Err(_) => None,
        }
    }

    /// Whether the thread has ended by itself: nothing that is handed over is done any more.
    pub fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::Acquire)
    }

    /// How many jobs, requests and files to open have yielded nothing yet.
    pub fn outstanding(&self) -> usize {
        self.jobs.len() + self.requests.len() + self.opens.len()
    }

    fn send(&self, command: Command) {
        // Without a receiver the thread is dead; `try_next` then fails what is outstanding.
        if self.commands.send(command).is_ok() {
            self.shared.wake();
        }
    }

    fn settle(&mut self, event: &BackgroundEvent) {
        match event {
            BackgroundEvent::JobDone(id, _) => remove_first(&mut self.jobs, id),
            BackgroundEvent::Io(completion) => remove_first(&mut self.requests, &completion.token),
        }
    }

    fn fail_next(&mut self) -> Option<BackgroundEvent> {
        if let Some(id) = self.jobs.pop() {
            return Some(BackgroundEvent::JobDone(id, Err(Error::Unusable(ENDED.to_owned()))));
        }
        let token = self.requests.pop()?;
        Some(BackgroundEvent::Io(IoCompletion { token, result: Err(io::Error::other(ENDED)) }))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the background thread panicked");
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Background({} outstanding)", self.outstanding())
    }
}

fn remove_first<T: PartialEq>(list: &mut Vec<T>, item: &T) {
    if let Some(at) = list.iter().position(|other| other == item) {
        list.swap_remove(at);
    }
}
