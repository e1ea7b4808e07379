//! A store that many threads share: a handle to a thread that owns one.
//!
//! Callers put their operation in a queue and sleep; the owner takes all that is there in one turn, so
//! the writes of many callers share a log commit.

use super::driver::Driver;
use super::key_value::KeyValue;
use super::options::StoreOptions;
use super::reply::{Gather, Reply};
use crate::drive::RingWaker;
use crate::error::Error;
use crate::shard::ShardStats;
use crate::shard::owned::OwnedOp;
use crate::shard::request::{Answer, Answers, Op, Ticket};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A cloneable handle to a store; all handles share it. The store closes with its last handle.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Sender<Command>,
    waker: Arc<RingWaker>,
    /// Operations that callers wait for; at most one a caller.
    waiting: AtomicUsize,
    /// The owner has ended, and did all that it took.
    is_closed: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Call { op: Arc<OwnedOp>, reply: SyncSender<Result<Reply, Error>> },
    Stats { reply: SyncSender<ShardStats> },
    Close { reply: SyncSender<Result<(), Error>> },
}

impl Store {
    /// Opens the store in `dir`, or makes one. Refused while another process has it open.
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Store, Error> {
        let dir = dir.as_ref().to_owned();
        let (commands, inbox) = channel();
        let (opened, is_open) = sync_channel(1);
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = is_closed.clone();
        let owner = move || match Driver::open(&dir, &options) {
            Ok(driver) => {
                // The opener waits for this, so the other end is there.
                let _ = opened.send(Ok(driver.waker()));
                Owner { driver, inbox, calls: Calls::default(), is_closed: closed }.run();
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name("pinion-store".into()).spawn(owner);
        let thread =
            thread.map_err(|error| Error::io("start", "the store's thread", "this process", error))?;
        let waker = is_open.recv().map_err(|_| Error::Closed)??;
        let (waiting, thread) = (AtomicUsize::new(0), Mutex::new(Some(thread)));
        let inner = Inner { commands, waker, waiting, is_closed, thread };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// The store's figures.
    pub fn stats(&self) -> Result<ShardStats, Error> {
        let (reply, answer) = sync_channel(1);
        self.inner.send(Command::Stats { reply })?;
        answer.recv().map_err(|_| Error::Closed)
    }

    /// How many callers wait for an answer now.
    pub fn waiting(&self) -> usize {
        self.inner.waiting.load(Ordering::Relaxed)
    }

    /// Makes everything durable and closes the store; other handles get [`Error::Closed`] from then on.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }
}

impl Inner {
    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Closed)?;
        self.waker.wake();
        Ok(())
    }

    /// What became of an operation that was never answered.
    fn lost(&self) -> Error {
        match self.is_closed.load(Ordering::Acquire) {
            true => Error::Closed,
            false => unknown("the store's thread ended"),
        }
    }

    fn close(&self) -> Result<(), Error> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let (reply, answer) = sync_channel(1);
        self.send(Command::Close { reply })?;
        let result = answer.recv().unwrap_or(Err(Error::Closed));
        thread.join().map_err(|_| Error::Closed)?;
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!("closing the store: {error}");
        }
    }
}

impl KeyValue for Store {
    fn call(&mut self, op: Op<'_>) -> Result<Reply, Error> {
        let (reply, answer) = sync_channel(1);
        self.inner.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.inner.send(Command::Call { op: Arc::new(OwnedOp::new(&op)), reply });
        let result = sent.and_then(|()| answer.recv().unwrap_or_else(|_| Err(self.inner.lost())));
        self.inner.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }
}

/// The thread that owns the store.
struct Owner {
    driver: Driver,
    inbox: Receiver<Command>,
    calls: Calls,
    is_closed: Arc<AtomicBool>,
}

/// Calls in progress.
#[derive(Default)]
struct Calls {
    next: u64,
    open: HashMap<u64, Call>,
    /// Those that the shard had no memory for: they are tried again.
    busy: Vec<Call>,
}

struct Call {
    op: Arc<OwnedOp>,
    gather: Gather,
    reply: SyncSender<Result<Reply, Error>>,
}

impl Calls {
    /// Answers everybody that nobody can know any more what became of their operations.
    fn give_up(&mut self, why: &Error) {
        for (_, call) in self.open.drain() {
            // A caller waits until it is answered.
            let _ = call.reply.send(Err(unknown(&why.to_string())));
        }
    }
}

fn unknown(why: &str) -> Error {
    Error::Unknown(format!("{why}; the operation may or may not have been done"))
}

impl Answers for Calls {
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) {
        let Some(call) = self.open.get_mut(&ticket.request) else { return };
        if !call.gather.take(answer) {
            return;
        }
        let Some(call) = self.open.remove(&ticket.request) else { return };
        if call.gather.is_busy {
            self.busy.push(call);
        } else {
            // A caller waits until it is answered.
            let _ = call.reply.send(call.gather.into_reply());
        }
    }
}

impl Owner {
    fn run(mut self) {
        loop {
            for call in std::mem::take(&mut self.calls.busy) {
                self.begin(call.op, call.reply);
            }
            let mut closing = None;
            while let Ok(command) = self.inbox.try_recv() {
                match command {
                    Command::Call { op, reply } => self.begin(op, reply),
                    Command::Stats { reply } => drop(reply.send(self.driver.stats())),
                    Command::Close { reply } => closing = Some(reply),
                }
            }
            if let Some(reply) = closing {
                let drained = self.driver.drain(&mut self.calls);
                match &drained {
                    Ok(()) => self.is_closed.store(true, Ordering::Release),
                    Err(error) => self.calls.give_up(error),
                }
                let _ = reply.send(drained);
                return;
            }
            let wait = if self.calls.busy.is_empty() {
                self.driver.idle_wait()
            } else {
                std::time::Duration::from_millis(1)
            };
            if let Err(error) = self.driver.turn(Some(wait), &mut self.calls) {
                tracing::error!("the store's thread ends: {error}");
                self.calls.give_up(&error);
                return;
            }
        }
    }

    fn begin(&mut self, op: Arc<OwnedOp>, reply: SyncSender<Result<Reply, Error>>) {
        let calls = &mut self.calls;
        calls.next += 1;
        let ticket = Ticket { owner: 0, request: calls.next };
        let clocks = self.driver.shard.clocks();
        let gather = op.with(|op| Gather::new(&op, clocks));
        calls.open.insert(ticket.request, Call { op: op.clone(), gather, reply });
        op.with(|op| self.driver.request(ticket, op, &mut self.calls));
    }
}
