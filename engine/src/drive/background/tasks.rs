//! The executor's tasks: one per job, one per request, one per file to open or files to close.
//!
//! A job's task steps it, spawns its requests, and yields its queue after every step. However the job
//! ends, its requests are waited for before it is dropped, so nothing it lent is still in use.

use super::disk::{Disk, OpenFiles};
use super::{BackgroundEvent, BackgroundOptions, Opened, Shared, Wake};
use crate::drive::files::OpenFile;
use crate::error::Error;
use crate::io::{FileName, IoCompletion, IoRequest};
use crate::job::{Job, JobId, JobKind, JobOutput, JobStep};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Poll, Waker};

/// How much data a job works on before others have their turn, in bytes.
const STEP_BYTES: usize = 256 << 10;

/// Where events go, and open files.
pub(super) type Outboxes = (Sender<BackgroundEvent>, Sender<Opened>);

/// What all tasks of the executor share.
pub(super) struct Tasks {
    disk: Disk,
    outbox: Sender<BackgroundEvent>,
    opened: Sender<Opened>,
    wake: Wake,
    shared: Arc<Shared>,
    alive: Cell<usize>,
    last_gone: Signal,
}

impl Tasks {
    pub(super) fn new(
        disk: Disk,
        (outbox, opened): Outboxes,
        options: &BackgroundOptions,
        shared: &Arc<Shared>,
    ) -> Tasks {
        Tasks {
            disk,
            outbox,
            opened,
            wake: Arc::clone(&options.wake),
            shared: Arc::clone(shared),
            alive: Cell::new(0),
            last_gone: Signal::default(),
        }
    }

    /// Waits until no task is left.
    pub(super) async fn finished(&self) {
        self.last_gone.wait_until(|| self.alive.get() == 0).await;
    }

    /// Whether a task is left.
    pub(super) fn is_busy(&self) -> bool {
        self.alive.get() > 0
    }

    /// Drops something on the executor's helper thread, where it holds nobody up.
    pub(super) async fn drop_thing(self: Rc<Tasks>, thing: Box<dyn Any + Send>) {
        let _alive = Alive::new(&self);
        self.disk.blocking(move || drop_quietly(thing)).await;
    }

    fn tell(&self, event: BackgroundEvent) {
        // Without a receiver nobody wants to know any more.
        if self.outbox.send(event).is_ok() {
            (self.wake)();
        }
    }
}

/// Counts a task for as long as it lives.
struct Alive<'a>(&'a Tasks);

impl<'a> Alive<'a> {
    fn new(tasks: &'a Tasks) -> Alive<'a> {
        tasks.alive.set(tasks.alive.get() + 1);
        Alive(tasks)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
        self.0.last_gone.notify();
    }
}

/// Performs a request that is no job's.
pub(super) async fn run_loose(tasks: Rc<Tasks>, request: IoRequest) {
    let _alive = Alive::new(&tasks);
    let completion = tasks.disk.perform(request, &OpenFiles::default()).await;
    tasks.tell(BackgroundEvent::Io(completion));
}

/// Opens a file for the hot thread. Here and not on the helper thread, which may be closing a file that takes a second.
pub(super) async fn open_file(tasks: Rc<Tasks>, file: FileName, direct: bool) {
    let _alive = Alive::new(&tasks);
    let result = OpenFile::open(tasks.disk.dir(), file, direct);
    if tasks.opened.send(Opened { file, result }).is_ok() {
        (tasks.wake)();
    }
}

/// Closes files that the hot thread has no room for.
pub(super) async fn close_files(tasks: Rc<Tasks>, files: Vec<OpenFile>) {
    let _alive = Alive::new(&tasks);
    drop(files);
}

/// Steps a job to its end and tells what it made, unless the thread is being stopped.
pub(super) async fn run_job(tasks: Rc<Tasks>, id: JobId, mut job: Box<dyn Job>) {
    let _alive = Alive::new(&tasks);
    let requests = Rc::new(JobRequests::default());
    let result = step_to_end(&tasks, &mut *job, &requests).await;
    requests.arrived.wait_until(|| requests.in_flight.get() == 0).await;
    drop_quietly(job);
    if let Some(result) = result {
        tasks.tell(BackgroundEvent::JobDone(id, result));
    }
}

/// A job's requests in flight and its completions that wait for the next step.
#[derive(Default)]
struct JobRequests {
    files: OpenFiles,
    in_flight: Cell<usize>,
    completions: RefCell<Vec<IoCompletion>>,
    arrived: Signal,
}

async fn step_to_end(
    tasks: &Rc<Tasks>,
    job: &mut dyn Job,
    state: &Rc<JobRequests>,
) -> Option<Result<JobOutput, Error>> {
    let mut completions = Vec::new();
    let mut requests = Vec::new();
    while !tasks.shared.is_stopping() {
        completions.append(&mut state.completions.borrow_mut());
        let step = catch_unwind(AssertUnwindSafe(|| job.step(&mut completions, &mut requests, STEP_BYTES)));
        let step = match step {
            Ok(step) => step,
            Err(panic) => return Some(Err(panicked(job.kind(), &*panic))),
        };
        for request in requests.drain(..) {
            state.in_flight.set(state.in_flight.get() + 1);
            glommio::spawn_local(perform(Rc::clone(tasks), Rc::clone(state), request)).detach();
        }
        match step {
            JobStep::Done(result) => return Some(result),
            JobStep::More => glommio::executor().yield_task_queue_now().await,
            JobStep::Waiting => {
                if state.in_flight.get() == 0 && state.completions.borrow().is_empty() {
                    return Some(Err(stuck(job.kind())));
                }
                state.arrived.wait_until(|| !state.completions.borrow().is_empty()).await;
            }
        }
    }
    None
}

async fn perform(tasks: Rc<Tasks>, state: Rc<JobRequests>, request: IoRequest) {
    let completion = tasks.disk.perform(request, &state.files).await;
    state.completions.borrow_mut().push(completion);
    state.in_flight.set(state.in_flight.get() - 1);
    state.arrived.notify();
}

fn panicked(kind: JobKind, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::Unusable(format!("a {kind:?} job panicked: {text}; this is a defect, please report it"))
}

fn stuck(kind: JobKind) -> Error {
    Error::Unusable(format!(
        "a {kind:?} job waits for completions of no request; this is a defect, please report it"
    ))
}

fn drop_quietly<T>(thing: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(thing))).is_err() {
        tracing::error!("a panic while dropping something in the background; this is a defect");
    }
}

/// Wakes the one task that waits for a condition.
#[derive(Default)]
struct Signal {
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    fn notify(&self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    async fn wait_until(&self, condition: impl Fn() -> bool) {
        poll_fn(|context| {
            if condition() {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
