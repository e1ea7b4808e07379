//! The background thread itself: set-up, and the loop that turns commands into tasks.

use super::disk::Disk;
use super::tasks::{Outboxes, Tasks, close_files, open_file, run_job, run_loose};
use super::{BackgroundOptions, Command, Shared};
use crate::drive::{limits, syscalls};
use crate::error::Error;
use crate::job::JobKind;
use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, Shares};
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::task::Poll;
use std::time::Duration;

/// Memory for the executor's I/O, in bytes. It is registered with three rings, and each registration
/// counts against the limit on locked memory: two shards fit into the usual 8 MiB.
const IO_MEMORY: usize = 1 << 20;

/// How long tasks may run before the executor looks at its rings again. Longer than this thread, at nice 10, ever waits for
/// a core that a hot thread saturates: an executor that loses the CPU for a whole turn runs nothing in it (see
/// [`heartbeat`]), and with turns of 1 ms a shard under saturating reads never flushed again. Jobs wait for their
/// requests all the time, and then the rings are looked at anyway.
const TURN: Duration = Duration::from_millis(100);

/// The longest that a task can be left lying, with work under way and without.
const BEAT_BUSY: Duration = Duration::from_millis(5);
const BEAT_IDLE: Duration = Duration::from_millis(100);

/// What the thread starts with.
pub(super) struct Setup {
    pub(super) dir: PathBuf,
    pub(super) options: BackgroundOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Receiver<Command>,
    pub(super) outboxes: Outboxes,
}

/// The thread's main function: reports once over `ready`, then works until it is told to stop.
pub(super) fn run(setup: Setup, ready: &Sender<Result<(), Error>>) {
    let Setup { dir, options, shared, inbox, outboxes } = setup;
    let executor = match prepare(options.cpu) {
        Ok(executor) => executor,
        Err(error) => return report(ready, Err(error)),
    };
    let _obituary = Obituary { options: &options, shared: &shared };
    executor.run(async {
        let beat = glommio::spawn_local(heartbeat(|| true));
        let disk = Disk::open(dir).await;
        beat.cancel().await;
        match disk {
            Ok(disk) => serve(Tasks::new(disk, outboxes, &options, &shared), inbox, &shared, ready).await,
            Err(error) => report(ready, Err(error)),
        }
    });
}

/// Wakes the executor from time to time. When its thread loses the CPU for a whole turn just before it runs tasks, it
/// takes the turn for over, finds that nothing ran, and falls asleep with tasks to run (glommio 0.9); a timer wakes it.
async fn heartbeat(is_busy: impl Fn() -> bool) {
    loop {
        glommio::timer::sleep(if is_busy() { BEAT_BUSY } else { BEAT_IDLE }).await;
    }
}

fn report(ready: &Sender<Result<(), Error>>, outcome: Result<(), Error>) {
    // Nobody listens only if the spawner is gone, and then nobody needs to know.
    let _ = ready.send(outcome);
}

/// Should this thread panic, makes its owner come and look: see `Background::try_next`.
struct Obituary<'a> {
    options: &'a BackgroundOptions,
    shared: &'a Shared,
}

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.dead.store(true, Ordering::Release);
            (self.options.wake)();
        }
    }
}

/// Gives the thread its place and priority, which glommio's helper thread inherits, and makes the executor.
fn prepare(cpu: Option<usize>) -> Result<LocalExecutor, Error> {
    if let Some(cpu) = cpu {
        syscalls::pin_to_cpu(cpu).map_err(|source| {
            Error::Unusable(format!(
                "can't run on CPU {cpu}: {source}; choose CPUs that this process may use (--cpus)"
            ))
        })?;
    }
    // Without it the thread works all the same, only not as politely.
    if let Err(error) = syscalls::stand_back() {
        tracing::warn!("the background thread keeps its normal priority, which costs latency: {error}");
    }
    LocalExecutorBuilder::new(Placement::Unbound)
        .name("pinion-back")
        .io_memory(IO_MEMORY)
        .preempt_timer(TURN)
        .make()
        .map_err(|error| {
            let error = match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::from(error),
            };
            Error::Unusable(limits::explain("the background executor", &error))
        })
}

/// The executor's first task: hands commands to their queues until it is told to stop, then waits for
/// what is under way.
async fn serve(tasks: Tasks, inbox: Receiver<Command>, shared: &Shared, ready: &Sender<Result<(), Error>>) {
    let tasks = Rc::new(tasks);
    let queues = Queues::new();
    poll_fn(|context| {
        // This task's waker stays the same for as long as it lives.
        *shared.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        Poll::Ready(())
    })
    .await;
    let beat = glommio::spawn_local(heartbeat({
        let tasks = Rc::clone(&tasks);
        move || tasks.is_busy()
    }));
    report(ready, Ok(()));
    while let Some(command) = poll_fn(|_| next(&inbox, shared)).await {
        let tasks = Rc::clone(&tasks);
        match command {
            Command::Start(id, job) => queues.spawn(job.kind(), run_job(tasks, id, job)),
            Command::Submit(request) => queues.spawn(JobKind::Segment, run_loose(tasks, request)),
            // One queue for both, so that they keep their order.
            Command::Open { file, direct } => {
                queues.spawn(JobKind::Segment, open_file(tasks, file, direct));
            }
            Command::Close(files) => queues.spawn(JobKind::Segment, close_files(tasks, files)),
            Command::DropLater(thing) => queues.spawn(JobKind::Housekeeping, tasks.drop_thing(thing)),
        }
        glommio::yield_if_needed().await;
    }
    tasks.finished().await;
    beat.cancel().await;
    // On this thread, so that the task's memory is given back by its executor.
    drop(shared.waker.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// The next command; `None` when it is time to stop.
fn next(inbox: &Receiver<Command>, shared: &Shared) -> Poll<Option<Command>> {
    let found = shared.sleep.look(|| match shared.is_stopping() {
        true => Some(None),
        false => inbox.try_recv().ok().map(Some),
    });
    found.map_or(Poll::Pending, Poll::Ready)
}

/// A task queue per kind of job.
struct Queues {
    handles: [glommio::TaskQueueHandle; 5],
}

impl Queues {
    fn new() -> Queues {
        let queue = |kind| {
            glommio::executor().create_task_queue(
                Shares::Static(shares(kind)),
                Latency::NotImportant,
                name(kind),
            )
        };
        Queues { handles: KINDS.map(queue) }
    }

    fn spawn(&self, kind: JobKind, task: impl Future<Output = ()> + 'static) {
        let queue = self.handles[kind as usize];
        glommio::spawn_local_into(task, queue).expect("the queues live as long as the executor").detach();
    }
}

/// All kinds, in the order of their discriminants.
const KINDS: [JobKind; 5] =
    [JobKind::Segment, JobKind::Flush, JobKind::Merge, JobKind::Housekeeping, JobKind::Verify];

/// Weight of a kind when several have work.
fn shares(kind: JobKind) -> usize {
    match kind {
        JobKind::Segment | JobKind::Flush => 1000,
        JobKind::Merge => 300,
        JobKind::Housekeeping => 100,
        JobKind::Verify => 20,
    }
}

fn name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Segment => "segment",
        JobKind::Flush => "flush",
        JobKind::Merge => "merge",
        JobKind::Housekeeping => "housekeeping",
        JobKind::Verify => "verify",
    }
}
