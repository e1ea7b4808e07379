//! A connection that comes back: many callers share it, one task drives it.
//!
//! 1. A caller appends its request to the output and takes a place in the table of pending requests,
//!    under one short lock. The task writes the whole output at once, and while that is on its way the
//!    next one forms: many requests share one system call.
//! 2. The task reads, parses in place, and hands each response to the caller with its id.
//! 3. When the connection breaks every pending request fails, knowing whether any of it was written,
//!    and the task connects again, pausing longer each time.
//!
//! Nothing is sent twice here: trying again is the caller's decision.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::error::Error;
use super::once::{Numbered, Numbers};
use super::options::Options;
use super::pending::Pending;
use super::waiting::Waiting;
use crate::wire::{Command, ErrorCode, Features, Level, Once, Request, ServerHello};

/// Called with each HELLO, and the host that answered it.
pub(super) type Learn = Box<dyn Fn(Arc<ServerHello>, &str) + Send + Sync>;

/// The node that a map has at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) cluster_id: [u8; 16],
    /// [`NodePorts::id`](crate::wire::NodePorts::id).
    pub(super) node: u64,
}

impl Owner {
    /// Whether it is the node that said this.
    pub(super) fn has_said(self, hello: &ServerHello) -> bool {
        let node = hello.map.nodes.get(usize::from(hello.home.node)).map(|node| node.id);
        hello.cluster_id == self.cluster_id && node == Some(self.node)
    }
}

/// How the connection is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Being made for the first time, or again.
    Connecting,
    /// HELLO was answered.
    Up,
    /// The last attempt failed; the next follows after a pause.
    Down(Error),
    /// The client is gone.
    Closed,
}

/// A connection to one of some addresses.
pub(super) struct Link {
    pub(super) addresses: Vec<String>,
    pub(super) options: Arc<Options>,
    /// Whose requests it carries.
    pub(super) numbers: Arc<Numbers>,
    pub(super) learn: Learn,
    /// Who has to answer at its address. Where somebody has to, requests go elsewhere while it is down, instead of waiting.
    pub(super) owner: Option<Owner>,
    pub(super) phase: watch::Sender<Phase>,
    state: Mutex<State>,
    /// There is output to write.
    pub(super) output: Notify,
    /// A deadline is earlier than the one that the task sleeps for.
    pub(super) earlier: Notify,
    /// There is room for more requests.
    pub(super) room: Notify,
    /// Bytes that the socket took since the link was made.
    pub(super) written: AtomicU64,
}

/// What callers and the task share.
pub(super) struct State {
    pub(super) hello: Option<Arc<ServerHello>>,
    pub(super) peer_host: String,
    /// Frames that are not being written yet.
    pub(super) output: Vec<u8>,
    /// Position of the output's first byte among all bytes ever sent.
    pub(super) output_start: u64,
    pub(super) pending: Pending,
    /// No pending request's deadline is earlier.
    pub(super) earliest: Option<Instant>,
    /// Somebody waits for room.
    wants_room: bool,
}

/// What every request carries beside its command.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallOptions {
    pub(super) level: Level,
    pub(super) keyspace: u16,
    pub(super) deadline: Instant,
    /// A write's number, for what is done exactly once.
    pub(super) once: Option<Numbered>,
}

impl Link {
    /// Makes a link; [`run`](super::drive::run) drives it.
    pub(super) fn new(
        addresses: Vec<String>,
        options: Arc<Options>,
        numbers: Arc<Numbers>,
        learn: Learn,
        owner: Option<Owner>,
    ) -> Arc<Link> {
        let state = State {
            hello: None,
            peer_host: String::new(),
            output: Vec::new(),
            output_start: 0,
            pending: Pending::default(),
            earliest: None,
            wants_room: false,
        };
        Arc::new(Link {
            addresses,
            options,
            numbers,
            learn,
            owner,
            phase: watch::Sender::new(Phase::Connecting),
            state: Mutex::new(state),
            output: Notify::new(),
            earlier: Notify::new(),
            room: Notify::new(),
            written: AtomicU64::new(0),
        })
    }

    /// Ends the task.
    pub(super) fn close(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where it connects to, for errors.
    pub(super) fn address(&self) -> String {
        self.addresses.join(",")
    }

    /// Whether it is on its way up, for the first time or again.
    pub(super) fn is_connecting(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Connecting)
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_waited_for(&self) -> bool {
        self.lock().pending.waiting() > 0
    }

    /// The host that it was last connected to.
    pub(super) fn peer_host(&self) -> String {
        self.lock().peer_host.clone()
    }

    /// Whether the last attempt to connect failed.
    pub(super) fn is_down(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Down(_) | Phase::Closed)
    }

    /// What the server last said of itself.
    pub(super) fn hello(&self) -> Option<Arc<ServerHello>> {
        self.lock().hello.clone()
    }

    /// Waits until the first attempt to connect ended, well or not, or the deadline passed.
    pub(super) async fn settle(&self, deadline: Instant) {
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| !matches!(phase, Phase::Connecting));
        let _ = tokio::time::timeout_at(deadline, settled).await;
    }

    async fn until_up(&self, deadline: Instant) -> Result<(), Error> {
        let mut phase = self.phase.subscribe();
        let ended = phase.wait_for(|phase| match phase {
            Phase::Up | Phase::Closed => true,
            Phase::Down(_) => self.owner.is_some(),
            Phase::Connecting => false,
        });
        let reason = match tokio::time::timeout_at(deadline, ended).await {
            Ok(Ok(phase)) if matches!(*phase, Phase::Up) => return Ok(()),
            _ => match &*self.phase.borrow() {
                Phase::Down(error) => return Err(error.clone()),
                Phase::Closed => "the client was closed",
                Phase::Connecting | Phase::Up => "no connection before the deadline",
            },
        };
        Err(Error::NotConnected { address: self.address(), text: reason.to_owned() })
    }

    /// Sends a request, waiting for connection and room; answers the wait for its response.
    pub(super) async fn send(
        &self,
        command: Command<'_>,
        call_options: CallOptions,
    ) -> Result<Waiting<'_>, Error> {
        loop {
            if let Some(waiting) = self.try_send(command, call_options)? {
                return Ok(waiting);
            }
            let room = self.room.notified();
            self.lock().wants_room = true;
            if let Some(waiting) = self.try_send(command, call_options)? {
                return Ok(waiting);
            }
            if !matches!(*self.phase.borrow(), Phase::Up) {
                self.until_up(call_options.deadline).await?;
            } else if tokio::time::timeout_at(call_options.deadline, room).await.is_err() {
                let text = format!("{} takes no more requests for now", self.address());
                return Err(Error::TimedOut { text });
            }
        }
    }

    /// Sends a request if there is a connection and room.
    fn try_send(
        &self,
        command: Command<'_>,
        call_options: CallOptions,
    ) -> Result<Option<Waiting<'_>>, Error> {
        let now = Instant::now();
        if call_options.deadline <= now {
            return Err(Error::TimedOut { text: "the deadline passed before it was sent".to_owned() });
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(hello) = state.hello.as_deref() else { return Ok(None) };
        if !state.has_room(&self.options, hello) {
            return Ok(None);
        }
        let once = self.once(call_options.once, hello, now)?;
        let left_ms = call_options.deadline.saturating_duration_since(now).as_millis();
        let position = state.output_start + state.output.len() as u64;
        let was_empty = state.output.is_empty();
        let id = state.pending.insert(call_options.deadline, position);
        let request = Request {
            id,
            level: call_options.level,
            keyspace: call_options.keyspace,
            deadline_ms: u32::try_from(left_ms).unwrap_or(u32::MAX).max(1),
            once,
            command,
        };
        let checked = hello.features.has(Features::CHECKSUM);
        if let Err(error) = request.encode(&hello.limits, checked, &mut state.output) {
            state.pending.forget(id);
            return Err(Error::unsendable(&error));
        }
        let is_earlier = state.earliest.is_none_or(|earliest| call_options.deadline < earliest);
        if is_earlier {
            state.earliest = Some(call_options.deadline);
        }
        drop(guard);
        if was_empty {
            self.output.notify_one();
        }
        if is_earlier {
            self.earlier.notify_one();
        }
        Ok(Some(Waiting::new(self, id, once)))
    }

    /// What a write with this number carries; nothing to a server that wouldn't go by it. To such a one it isn't sent again.
    fn once(
        &self,
        numbered: Option<Numbered>,
        hello: &ServerHello,
        now: Instant,
    ) -> Result<Option<Once>, Error> {
        match numbered {
            Some(numbered) if hello.features.has(Features::ONCE) => Ok(self.numbers.stamp(numbered, now)),
            Some(Numbered { earlier: Some(_), .. }) => {
                let text = format!("{} would do again what may have been done", self.address());
                Err(Error::refused(ErrorCode::UNKNOWN_FEATURE, &text))
            }
            _ => Ok(None),
        }
    }

    /// Wakes callers that wait for room, if there is some.
    pub(super) fn announce_room(&self, state: &mut State) {
        let Some(hello) = state.hello.as_deref() else { return };
        if state.wants_room && state.has_room(&self.options, hello) {
            state.wants_room = false;
            self.room.notify_waiters();
        }
    }

    /// Ends the connection: forgets what wasn't written, fails what waits, and tells everyone.
    pub(super) fn disconnect(&self, error: &Error, phase: Phase) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        state.hello = None;
        let written = self.written.load(Ordering::Relaxed);
        // A server that says goodbye has answered all that it took in.
        let executed = if error.is_goodbye() { 0 } else { written };
        state.pending.fail_all(executed, error, &mut wakers);
        state.output_start = written;
        state.output = Vec::new();
        state.earliest = None;
        drop(state);
        self.phase.send_if_modified(|now| {
            let is_open = !matches!(now, Phase::Closed);
            if is_open {
                *now = phase;
            }
            is_open
        });
        self.room.notify_waiters();
        wakers.into_iter().for_each(|waker| waker.wake());
    }
}

impl State {
    fn has_room(&self, options: &Options, hello: &ServerHello) -> bool {
        let in_flight_max = options.in_flight_max.min(hello.limits.in_flight_max as usize).max(1);
        self.pending.waiting() < in_flight_max
            && (self.output.is_empty() || self.output.len() < options.output_bytes_max)
    }
}
